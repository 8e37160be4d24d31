"""What a DELETE and a MKCOL do, and what is answered."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

from mogpoll import Next
from mogstored.devices.slots import DELETE
from mogstored.http import delete, room, statuses
from mogstored.http.message.request import Fields, Request
from tests.support.clock import stop_clock

if TYPE_CHECKING:
    from collections.abc import Callable

Answer = tuple[int, bool]


class Rig:
    """A connection to a docroot with one device; its answers are what they are made of."""

    def __init__(self) -> None:
        self.service, self.device = Mock(), Mock(is_down=False)
        self.device.enter.return_value = True
        self.service.devices.of.return_value = self.device
        self.service.is_unmounted.return_value = False
        self.connection: Any = Mock(service=self.service, get_only=False, turn_at=5.0, errno=0)
        self.connection.answer_short = lambda status, keep_alive: (status, keep_alive)

    def ask(
        self,
        path: bytes,
        keep_alive: bool = True,
        answer: Callable[..., Any] = delete.answer_delete,
        **fields: Any,
    ) -> Any:
        request = Request(b"DELETE", path, Fields(keep_alive, **fields))
        return answer(self.connection, request, keep_alive)


@pytest.fixture
def removed(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """What notes that there may be more room."""
    removed = Mock()
    monkeypatch.setattr(room, "note_removed", removed)
    return removed


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch, removed: Mock) -> Rig:
    stop_clock(monkeypatch, delete, 7.0)
    monkeypatch.setattr(statuses, "report", lambda *_: None)
    return Rig()


@pytest.mark.parametrize(
    ("path", "get_only", "is_down", "status"),
    [
        (b"dev1/../a", False, False, 403),
        (b"", False, False, 403),
        (b"dev1/a", True, False, 405),
        (b"dev1/../a", True, False, 405),
        (b"dev1/a", False, True, 500),
    ],
)
def test_refused(rig: Rig, path: bytes, get_only: bool, is_down: bool, status: int) -> None:
    rig.connection.get_only, rig.device.is_down = get_only, is_down
    assert rig.ask(path, keep_alive=False) == (status, False)
    assert not rig.device.enter.called


@pytest.mark.parametrize("keep_alive", [True, False])
def test_file_is_removed(rig: Rig, removed: Mock, keep_alive: bool) -> None:
    assert rig.ask(b"dev1/a", keep_alive) == (204, keep_alive)
    rig.service.docroot.unlink.assert_called_once_with(b"dev1/a")
    rig.device.leave.assert_called_once_with(DELETE, 2.0)
    rig.device.note_change.assert_called_once_with()
    removed.assert_called_once_with(rig.service, rig.device)


@pytest.mark.parametrize(("is_there", "status"), [(True, 403), (False, 404)])
def test_device_is_not_removed(rig: Rig, is_there: bool, status: int) -> None:
    rig.service.docroot.is_there.return_value = is_there
    assert rig.ask(b"dev1/") == (status, True)
    rig.device.leave.assert_called_once_with(DELETE, 2.0)
    assert not rig.service.docroot.unlink.called


@pytest.mark.parametrize(
    ("error", "status", "number"),
    [
        (OSError(errno.ENOENT, "none"), 404, errno.ENOENT),
        (OSError(errno.EIO, "broken"), 500, errno.EIO),
        (OSError("without a number"), 500, 0),
        (None, 500, errno.ENODEV),
    ],
    ids=["missing", "broken", "unnumbered", "unmounted"],
)
def test_file_that_cannot_be_removed(
    rig: Rig, removed: Mock, error: OSError | None, status: int, number: int
) -> None:
    rig.service.docroot.unlink.side_effect = error
    rig.service.is_unmounted.return_value = error is None
    assert rig.ask(b"dev1/a") == (status, True)
    assert rig.connection.errno == number
    rig.device.leave.assert_called_once_with(DELETE, 2.0)
    assert (rig.device.note_change.called, removed.called) == (False, False)


@pytest.mark.parametrize(("is_down", "status"), [(False, 204), (True, 500)])
@pytest.mark.parametrize("takes_interim", [False, True])
def test_device_that_is_waited_for(
    rig: Rig, is_down: bool, status: int, takes_interim: bool
) -> None:
    rig.device.enter.return_value = False
    assert rig.ask(b"dev1/a", takes_interim=takes_interim) is Next.PARKED
    rig.device.enter.assert_called_once_with(rig.connection, has_nothing=True)
    assert not rig.device.leave.called
    work = rig.connection.work
    assert work.takes_interim is takes_interim
    rig.device.enter.return_value, rig.device.is_down = True, is_down
    assert work.advance(rig.connection) == (status, True)
    assert rig.service.docroot.unlink.called is not is_down
    rig.device.leave.assert_called_once_with(DELETE, 2.0)


@pytest.mark.parametrize(
    ("path", "get_only", "status"),
    [(b"dev1/a", False, 400), (b"dev1/../a", False, 403), (b"dev1/a", True, 405)],
)
def test_mkcol(rig: Rig, path: bytes, get_only: bool, status: int) -> None:
    rig.connection.get_only = get_only
    assert rig.ask(path, answer=delete.answer_mkcol) == (status, True)
