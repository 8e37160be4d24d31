"""What counts as a descriptor, and which files are refused."""

from __future__ import annotations

import os
import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from mogpoll.errors import BadDescriptor, NotPollable
from mogpoll.system.descriptors import descriptor_of, is_pipe, refuse_unpollable
from mogpoll.system.timeouts import LONGEST_S, clip_timeout, next_wait

if TYPE_CHECKING:
    from pathlib import Path


class Index:
    def __index__(self) -> int:
        return 7


def test_number_or_object_with_one() -> None:
    objects: list[Any] = [3, Index(), SimpleNamespace(fileno=lambda: 5)]
    assert [descriptor_of(each) for each in objects] == [3, 7, 5]


@pytest.mark.parametrize("given", ["3", 3.0, None, SimpleNamespace(fileno=3)], ids=repr)
def test_what_is_no_descriptor(given: object) -> None:
    with pytest.raises(TypeError, match=r" is no descriptor, and has no fileno\(\)$"):
        descriptor_of(given)  # type: ignore[arg-type]


def test_sockets_and_pipes_are_accepted(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    file = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    with socket.socket() as sock:
        for fd in (reader, writer, sock.fileno()):
            refuse_unpollable(fd)
        for fd in (file, os.open(tmp_path, os.O_RDONLY), os.open(os.devnull, os.O_RDONLY)):
            with pytest.raises(NotPollable):
                refuse_unpollable(fd)
            os.close(fd)
        found = [is_pipe(fd) for fd in (reader, writer, sock.fileno(), file)]
        assert found == [True, True, False, False]
    os.close(reader)
    os.close(writer)
    for fd in (-1, writer, 1 << 40):
        with pytest.raises(BadDescriptor):
            refuse_unpollable(fd)
    assert not is_pipe(writer)


@pytest.mark.parametrize(
    ("given", "clipped"),
    [
        (0.0, 0.0),
        (1.5, 1.5),
        (2073600.0, 2073600.0),
        (2073600.5, None),
        (-0.1, None),
        (float("inf"), None),
    ],
)
def test_time_outs_that_every_kernel_takes(given: float, clipped: float | None) -> None:
    assert clip_timeout(given) == clipped


def test_time_out_that_is_no_number() -> None:
    with pytest.raises(ValueError, match=r"^a time-out of nan seconds is not a number$"):
        clip_timeout(float("nan"))


def test_time_out_of_one_call_of_many() -> None:
    given = (None, -1.0, 0.0, 0.5, 1e9)
    assert [next_wait(each) for each in given] == [None, 0.0, 0.0, 0.5, LONGEST_S]
