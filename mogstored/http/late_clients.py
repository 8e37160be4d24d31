"""The log lines of clients that take too long. They cause them as often as they like."""

from __future__ import annotations

import logging

from mogstored.log.rate_limit import BurstLimiter, more

_log = logging.getLogger("mogstored")

_lines = BurstLimiter(burst=20, interval_s=1.0)


def report_head(peer: str, limit_s: int) -> None:
    """Log that a head was not whole in time."""
    if (skipped := _lines.skipped()) is not None:
        _log.warning(
            "a request from %s timed out: its head was not whole within %d s%s",
            *(peer, limit_s, more(skipped)),
            extra={"client": peer},
        )


def report_body(peer: str, limit_s: int) -> None:
    """Log that a body which is only dropped has stopped."""
    if (skipped := _lines.skipped()) is not None:
        _log.warning(
            "a request from %s timed out: nothing of its body came for %d s%s",
            *(peer, limit_s, more(skipped)),
            extra={"client": peer},
        )


def report_send(peer: str, limit_s: int, subject: str) -> None:
    """Log that a client has stopped reading `subject`."""
    if (skipped := _lines.skipped()) is not None:
        _log.warning(
            "sending %s to %s timed out: nothing was taken for %d s%s",
            *(subject, peer, limit_s, more(skipped)),
            extra={"client": peer},
        )
