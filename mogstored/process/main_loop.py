"""The loop of a main thread, which outlives exceptions.

A client's request or a passing shortage may fail there as anywhere else, and the main thread has
to be there when a signal asks for a stop. An exception costs the iteration that raised it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import ParamSpec

from mogpoll.threads import RareLog, ThreadRefused
from mogstored.process.shortage import TOO_LITTLE_MEMORY, is_too_little_memory

_log = logging.getLogger("mogstored")

P = ParamSpec("P")

_failures = RareLog()
# Between an exception and the next iteration, so that a lasting failure takes no processor.
_PAUSE_S = 0.1


def run_loop(is_over: Callable[[], bool]) -> None:
    """Call `is_over` until it returns True; exceptions are logged."""
    while not survive(is_over):
        pass


def survive(call: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> bool:
    """Return the truth value of the call's result; log an exception and return False."""
    try:
        return bool(call(*args, **kwargs))
    except Exception:
        _failures.error("the main thread failed; it goes on", with_reason=True)
        time.sleep(_PAUSE_S)
        return False


def log_the_end(of: str, error: BaseException) -> None:
    """Log why the process `of` a node ends: a line for a shortage, a traceback for a fault."""
    if isinstance(error, ThreadRefused):
        remedy = "raise the limit, or set fewer threads (--aio-threads)"
        _log.critical("%s cannot serve: %s; %s", of, error, remedy)
    elif is_too_little_memory(error):
        _log.critical("%s cannot serve: %s", of, TOO_LITTLE_MEMORY)
    else:
        _log.critical("%s failed", of, exc_info=error)
