"""What a forked child does to become the admin process, and how it ends."""

from __future__ import annotations

import gc
import logging
import os
import signal
from typing import TYPE_CHECKING, Any, NoReturn
from unittest.mock import Mock, call

import pytest

from mogstored.process.admin import child as module
from mogstored.process.admin.child import AdminProgram

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ("mogstored", "mogpoll")


class Ended(BaseException):
    """Takes the place of the end of the process; its argument is the status."""


def end(status: int) -> NoReturn:
    raise Ended(status)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The calls of the child, in their order."""
    found = Mock()
    found._exit.side_effect = end
    for owner, name in (
        (gc, "freeze"),
        (gc, "enable"),
        (signal, "set_wakeup_fd"),
        (signal, "signal"),
        (module, "close_all_but"),
        (module, "flush_before_exit"),
        (os, "_exit"),
    ):
        monkeypatch.setattr(owner, name, getattr(found, name))
    return found


@pytest.fixture
def handlers() -> Iterator[dict[str, logging.Handler]]:
    """The parent's, one of each logger, which are put back."""
    loggers = [logging.getLogger(name) for name in NAMES]
    before = [list(logger.handlers) for logger in loggers]
    found: dict[str, logging.Handler] = {}
    for logger in loggers:
        found[logger.name] = logging.NullHandler()
        logger.handlers = [found[logger.name]]
    yield found
    for logger, each in zip(loggers, before, strict=True):
        logger.handlers = each
    module._handlers_of_the_parent.clear()


def run(steps: Any) -> int:
    """Run the program of `steps` with a control channel and two listeners; return its status."""
    sockets = [Mock(**{"fileno.return_value": fd}) for fd in (5, 8, 9)]
    program = AdminProgram(steps.serve, steps.open_log, steps.title)
    with pytest.raises(Ended) as ended:
        program.run(sockets[0], sockets[1:])
    assert steps.serve.mock_calls in (
        [],
        [call(sockets[0], sockets[1:], steps.open_log.return_value)],
    )
    return int(ended.value.args[0])


def test_nothing_of_the_parent_is_left(steps: Any, handlers: dict[str, logging.Handler]) -> None:
    def serve(*_: object) -> None:
        assert [logging.getLogger(name).handlers for name in NAMES] == [[], []]

    steps.serve.side_effect = serve
    assert run(steps) == 0
    stops = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
    assert steps.mock_calls == [
        # Or the collector would close descriptors of the parent's, which are others by then.
        call.freeze(),
        call.enable(),
        call.set_wakeup_fd(-1),
        *(call.signal(number, signal.SIG_IGN) for number in stops),
        call.close_all_but(5, 8, 9),
        call.open_log(),
        call.title.show_role("admin", name="mogstored-admin"),
        *(each for each in steps.mock_calls if each[0] == "serve"),
        call.flush_before_exit([steps.open_log.return_value]),
        call._exit(0),
    ]
    assert set(module._handlers_of_the_parent) == set(handlers.values()), "nothing releases them"


@pytest.mark.usefixtures("handlers")
def test_program_that_fails(steps: Any, caplog: pytest.LogCaptureFixture) -> None:
    steps.serve.side_effect = ValueError("a fault")
    assert run(steps) == 1
    assert caplog.messages == ["the admin process failed"]
    steps.flush_before_exit.assert_called_once_with([steps.open_log.return_value])


@pytest.mark.usefixtures("handlers")
def test_log_that_cannot_be_opened(steps: Any, caplog: pytest.LogCaptureFixture) -> None:
    steps.open_log.side_effect = OSError("no log")
    assert run(steps) == 1
    assert caplog.messages == ["the admin process failed"]
    assert not steps.serve.called
    assert not steps.flush_before_exit.called


@pytest.mark.usefixtures("handlers")
def test_flush_that_fails_does_not_keep_the_process(steps: Any) -> None:
    steps.flush_before_exit.side_effect = MemoryError
    assert run(steps) == 0
