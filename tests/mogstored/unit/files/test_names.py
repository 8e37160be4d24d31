"""Names of devices, in every form that is one, and in some that are none."""

from __future__ import annotations

import pytest

from mogstored.files.names import device_name, device_number, sole_device


@pytest.mark.parametrize(
    ("name", "devid"), [(b"dev0", 0), (b"dev7", 7), (b"dev10", 10), (b"dev16777215", 16_777_215)]
)
def test_number_of_a_device(name: bytes, devid: int) -> None:
    assert device_number(name) == devid


@pytest.mark.parametrize(
    "name",
    [b"", b"dev", b"dev007", b"dev16777216", b"dev1x", b"xdev1", b"Dev1", b"dev-1", b"dev1\n"],
)
def test_no_device_has_that_name(name: bytes) -> None:
    assert device_number(name) is None


@pytest.mark.parametrize("path", [b"dev1", b"dev1/x", b"./dev1//x", b"/dev1", b".//./dev1/"])
def test_first_component_names_the_device(path: bytes) -> None:
    assert device_name(path) == b"dev1"


@pytest.mark.parametrize("path", [b"", b".", b"./", b"//."])
def test_path_without_a_component(path: bytes) -> None:
    assert device_name(path) == b""


@pytest.mark.parametrize("path", [b"dev7", b"./dev7", b"dev7//", b"/dev7/."])
def test_path_that_is_the_device(path: bytes) -> None:
    assert sole_device(path) == b"dev7"


def test_device_itself_may_have_leading_zeros() -> None:
    assert sole_device(b"dev007/") == b"dev007"


@pytest.mark.parametrize("path", [b"", b".", b"dev7/x", b"x", b"dev", b"dev7x"])
def test_path_that_is_no_device(path: bytes) -> None:
    assert sole_device(path) is None
