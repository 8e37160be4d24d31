"""Extended attributes: on the system at hand, and with FreeBSD's calls as they are documented."""

from __future__ import annotations

import ctypes
import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from mogpoll.system import attributes
from mogpoll.system.attributes import get_attribute, remove_attribute, set_attribute

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NO_ATTRIBUTE = 87


class FakeLibrary:
    """The functions of FreeBSD for open files, over a dict."""

    def __init__(self) -> None:
        self.found: dict[tuple[int, bytes], bytes] = {}
        for name in ("set", "get", "delete"):
            setattr(self, f"extattr_{name}_fd", _Function(getattr(self, f"_{name}")))

    def _set(self, fd: int, space: int, name: bytes, data: bytes, size: Any) -> int:
        assert space == 1
        self.found[fd, name] = data[: size.value]
        return int(size.value)

    def _get(self, fd: int, space: int, name: bytes, buffer: Any, size: Any) -> int:
        assert space == 1
        value = self.found.get((fd, name))
        if value is None:
            return self._fail(NO_ATTRIBUTE)
        ctypes.memmove(buffer, value, min(len(value), size.value))
        return min(len(value), int(size.value))

    def _delete(self, fd: int, space: int, name: bytes) -> int:
        assert space == 1
        return 0 if self.found.pop((fd, name), None) is not None else self._fail(NO_ATTRIBUTE)

    @staticmethod
    def _fail(number: int) -> int:
        ctypes.set_errno(number)
        return -1


class _Function:
    restype: object = None

    def __init__(self, function: Any) -> None:
        self._function = function

    def __call__(self, *arguments: object) -> object:
        assert self.restype is ctypes.c_ssize_t
        return self._function(*arguments)


@pytest.fixture(params=["here", "freebsd"])
def fd(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[int]:
    if request.param == "freebsd":
        library = FakeLibrary()
        monkeypatch.setattr(attributes, "_ON_LINUX", False)
        monkeypatch.setattr(attributes, "_library", lambda: library)
    with open(tmp_path / "file", "wb+") as file:
        try:
            set_attribute(file.fileno(), "probe", b"")
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            pytest.skip("the file system has no attributes")
        yield file.fileno()


def test_value_is_kept_and_replaced(fd: int) -> None:
    set_attribute(fd, "a.name", b"value\0with a zero")
    assert get_attribute(fd, "a.name") == b"value\0with a zero"
    set_attribute(fd, "a.name", b"")
    assert get_attribute(fd, "a.name") == b""


def test_missing_one(fd: int) -> None:
    assert get_attribute(fd, "a.name") is None
    assert not remove_attribute(fd, "a.name")


def test_removal(fd: int) -> None:
    set_attribute(fd, "a.name", b"value")
    assert remove_attribute(fd, "a.name")
    assert get_attribute(fd, "a.name") is None


def test_system_without_the_calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(attributes, "_ON_LINUX", False)
    monkeypatch.setattr(attributes, "_library", object)
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EOPNOTSUPP)):
            set_attribute(fd, "a.name", b"")
        for call in (get_attribute, remove_attribute):
            with pytest.raises(OSError, match=os.strerror(errno.EOPNOTSUPP)):
                call(fd, "a.name")
    finally:
        os.close(fd)


@pytest.mark.skipif(not attributes._ON_LINUX, reason="calls of Linux")
@pytest.mark.parametrize("call", [get_attribute, remove_attribute])
def test_descriptor_that_is_closed(call: Callable[[int, str], object]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        call(reader, "a.name")


def test_largest_value(fd: int) -> None:
    value = bytes(range(250)) * 4
    set_attribute(fd, "a.name", value)
    assert get_attribute(fd, "a.name") == value
