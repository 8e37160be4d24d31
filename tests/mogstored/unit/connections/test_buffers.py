"""What a worker thread knows of a docroot's devices."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mogstored.connections.buffers import Known


class Devices:
    """Devices by the first component of a path; notes what it is asked for."""

    def __init__(self, *names: bytes) -> None:
        self.known = {name: SimpleNamespace(name=name) for name in names}
        self.elsewhere = SimpleNamespace(name=b"")
        self.asked: list[bytes] = []

    def of(self, path: bytes) -> Any:
        self.asked.append(path)
        name = path.removeprefix(b"./").partition(b"/")[0]
        return self.known.get(name, self.elsewhere)


def test_device_is_asked_for_once() -> None:
    devices: Any = Devices(b"dev1", b"dev2")
    known = Known()
    for path in (b"dev1/a", b"dev1/b", b"dev2/a", b"dev2", b"dev1"):
        assert known.device_of(path, devices).name == path[:4]
    assert devices.asked == [b"dev1/a", b"dev2/a"]


@pytest.mark.parametrize("path", [b"dev3/a", b"./dev1/a", b"", b"x"])
def test_name_that_is_no_device_yet_is_not_kept(path: bytes) -> None:
    """A device may come under that name, and clients could fill the table."""
    devices: Any = Devices(b"dev1")
    known = Known()
    expected = devices.of(path)
    assert known.device_of(path, devices) is expected
    late: Any = SimpleNamespace(name=b"dev3")
    devices.known[b"dev3"] = late
    assert (known.device_of(path, devices) is late) == (path == b"dev3/a")
