"""How long a node waits for a client, by what it waits for."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from mogstored.config.model import Config


class Wait(Enum):
    """What a connection waits for from its client."""

    FIRST = "the first byte of its first request"
    HEAD = "the rest of a request's head"
    BODY = "more of a body"
    SEND = "room for more of an answer"
    IDLE = "the next request"


class TimeLimits(NamedTuple):
    """Seconds; None for no limit. Replaced as a whole while the node runs."""

    header_s: int | None = None
    body_s: int | None = None
    send_s: int | None = None
    keepalive_s: int | None = None

    @classmethod
    def of(cls, config: Config) -> TimeLimits:
        return cls(
            header_s=config.client_header_timeout_s,
            body_s=config.client_body_timeout_s,
            send_s=config.send_timeout_s,
            keepalive_s=config.keepalive_timeout_s,
        )

    def limit(self, wait: Wait) -> int | None:
        """Return how long `wait` may take."""
        if wait is Wait.FIRST:
            return self.keepalive_s if self.header_s is None else self.header_s
        if wait is Wait.HEAD:
            return self.header_s
        if wait is Wait.BODY:
            return self.body_s
        return self.send_s if wait is Wait.SEND else self.keepalive_s

    def shortest(self) -> int | None:
        """Return the shortest limit; None if there is none."""
        return min((each for each in self if each is not None), default=None)
