"""The access log that the configuration asks for, which a new configuration may replace."""

from __future__ import annotations

import logging
from collections.abc import Callable

from mogpoll.threads import ThreadRefused
from mogstored.observability.access_log import AccessLog

_log = logging.getLogger("mogstored")


class AccessLogChoice:
    """`log` is None while requests are not logged; `publish` receives each new one.

    **Threads:** the main one; `count_dropped` any.
    """

    def __init__(
        self,
        destination: str | None,
        format_name: str,
        publish: Callable[[AccessLog | None], None],
    ) -> None:
        self._settings = destination, format_name
        self._publish = publish
        self.log = _make(*self._settings)
        # With those that were replaced, for what they have dropped.
        self._all = [self.log]

    def start(self) -> None:
        """**Raises:** `ThreadRefused`."""
        if self.log is not None:
            self.log.start()

    def apply(self, destination: str | None, format_name: str) -> None:
        """Replace the log if one of the settings has changed, else open its file again.

        If the system refuses a thread nothing changes, and the log says so.
        """
        settings = destination, format_name
        if settings == self._settings:
            self.reopen()
            return
        log = _make(*settings)
        try:
            if log is not None:
                log.start()
        except ThreadRefused as error:
            _log.error("access_log stays as it was: %s; send HUP again", error)
            return
        before, self.log, self._settings = self.log, log, settings
        self._all.append(log)
        self._publish(log)
        if before is not None:
            before.stop()

    def reopen(self) -> None:
        """Open the file again, after it was renamed."""
        if self.log is not None:
            self.log.reopen()

    def stop(self) -> None:
        if self.log is not None:
            self.log.stop()

    def count_dropped(self) -> int:
        """Return how many lines were dropped since the start."""
        return sum(log.dropped for log in self._all if log is not None)


def _make(destination: str | None, format_name: str) -> AccessLog | None:
    return None if destination is None else AccessLog(destination, format_name)
