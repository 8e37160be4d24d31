"""What epoll's masks mean, of which tests see few; and errors that no other backend has."""

from __future__ import annotations

import errno
import os
import select
import types
from typing import TYPE_CHECKING

import pytest

from mogpoll import EpollPoller, Interest, NotPollable, Readiness
from mogpoll.epoll import _readiness_of_masks

if TYPE_CHECKING:
    from pathlib import Path

    from tests.mogpoll.checks import Pair

IN, OUT, ERR, HUP, RDHUP = 0x001, 0x004, 0x008, 0x010, 0x2000
READABLE, WRITABLE, HANGUP = Readiness.READABLE, Readiness.WRITABLE, Readiness.HANGUP


@pytest.mark.parametrize(
    ("mask", "readiness"),
    [
        (IN, READABLE),
        (OUT, WRITABLE),
        (IN | OUT, READABLE | WRITABLE),
        (RDHUP, READABLE | HANGUP),
        (OUT | HUP, WRITABLE | HANGUP),
        (IN | ERR, READABLE | HANGUP),
        (IN | OUT | ERR | HUP | RDHUP, READABLE | WRITABLE | HANGUP),
    ],
)
def test_mask_names_its_directions(mask: int, readiness: Readiness) -> None:
    assert _readiness_of_masks()[mask] == readiness


@pytest.mark.parametrize("mask", [ERR, HUP, ERR | HUP])
def test_n04_hangup_without_a_direction_names_both(mask: int) -> None:
    assert _readiness_of_masks()[mask] == READABLE | WRITABLE | HANGUP


def test_all_masks_are_known_beforehand() -> None:
    assert len(_readiness_of_masks()) == 2**5


needs_epoll = pytest.mark.skipif(not hasattr(select, "epoll"), reason="this system has no epoll")


@needs_epoll
def test_error_that_is_none_of_the_contract_is_raised_as_it_is(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_fd: int, _mask: int) -> None:
        raise OSError(errno.ENOSPC, "the limit of watches is reached")

    with EpollPoller() as poller:
        with monkeypatch.context() as patched:
            full = types.SimpleNamespace(closed=False, register=refuse)
            patched.setattr(poller, "_epoll", full)
            with pytest.raises(OSError, match="limit of watches") as refused:
                poller.add(pair[0], Interest.READ)
        assert type(refused.value) is OSError
        # It was not registered.
        poller.add(pair[0], Interest.READ)


@needs_epoll
def test_n08_number_that_is_a_regular_file_now_cannot_be_rearmed(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    with EpollPoller() as poller, open(tmp_path / "file", "wb") as file:
        poller.add(reader, Interest.READ)
        os.dup2(file.fileno(), reader)
        with pytest.raises(NotPollable):
            poller.rearm(reader, Interest.READ)
        poller.forget(reader)
    os.close(reader)
    os.close(writer)
