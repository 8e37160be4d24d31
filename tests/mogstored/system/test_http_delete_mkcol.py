"""DELETE removes files only; MKCOL is refused in a way that trackers understand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.http import Client, ask, compose

if TYPE_CHECKING:
    from tests.support.daemon import Node


def test_deleted_file_is_gone(node: Node, target: str) -> None:
    path = node.write(target, b"to go")
    with Client(node.http) as client:
        assert client.request(compose("DELETE", target)).status == 204
        assert not path.exists()
        assert client.request(compose("GET", target)).status == 404
        assert client.request(compose("DELETE", target)).status == 404


def test_empty_parents_stay(node: Node) -> None:
    path = node.write("/dev1/0/000/148/0000148056.fid", b"to go")
    assert ask(node.http, compose("DELETE", "/dev1/0/000/148/0000148056.fid")).status == 204
    assert path.parent.is_dir()


def test_file_outside_of_devices(node: Node) -> None:
    paths = [node.write("/somefile", b"1"), node.write("/foo/a", b"2")]
    for target in ("/somefile", "/foo/a"):
        assert ask(node.http, compose("DELETE", target)).status == 204
    assert not any(path.exists() for path in paths)


def test_link_is_removed_and_its_file_stays(node: Node, target: str) -> None:
    path = node.write(target, b"stays")
    link = node.path(f"{target}l")
    link.symlink_to(path)
    assert ask(node.http, compose("DELETE", f"{target}l")).status == 204
    assert not link.is_symlink()
    assert path.exists()


DEVICE_ITSELF = ["/dev7", "//dev7", "/./dev7", "/dev7/", "/dev7//", "/.//dev7/.", "/dev7/."]


@pytest.mark.parametrize("leads_to", ["device", "nowhere"])
@pytest.mark.parametrize("target", DEVICE_ITSELF)
def test_device_that_is_a_link_stays(node: Node, target: str, leads_to: str) -> None:
    """Without the link, all its files are 404, which trackers read as "gone"."""
    path = node.path("/elsewhere/dev7" if leads_to == "device" else "/elsewhere/none")
    node.write("/elsewhere/dev7/file", b"stays")
    link = node.path("/dev7")
    link.symlink_to(path)
    try:
        with Client(node.http) as client:
            answer = client.request(compose("DELETE", target))
            assert (answer.status, answer.keeps) == (403, True)
        assert link.is_symlink()
    finally:
        link.unlink()


@pytest.mark.parametrize("target", DEVICE_ITSELF)
def test_upload_cannot_take_the_place_of_a_device(node: Node, target: str) -> None:
    node.write("/elsewhere/dev7/file", b"stays")
    link = node.path("/dev7")
    link.symlink_to(node.path("/elsewhere/dev7"))
    try:
        answer = ask(node.http, compose("PUT", target, "Content-Length: 0"))
        assert answer.status in {400, 500}
        assert link.is_symlink()
        assert [path.name for path in link.iterdir()] == ["file"]
    finally:
        link.unlink()


@pytest.mark.parametrize("target", ["/dev77", "/dev77/", "/./dev77"])
def test_device_that_is_not_there(node: Node, target: str) -> None:
    assert ask(node.http, compose("DELETE", target)).status == 404


def test_file_that_is_being_read_is_read_to_its_end(node: Node, target: str) -> None:
    size = 32 * 1024 * 1024
    with node.write(target, b"").open("r+b") as file:
        file.truncate(size)
    with Client(node.http) as reader:
        reader.send(compose("GET", target))
        reader.read_head()
        assert ask(node.http, compose("DELETE", target)).status == 204
        assert reader.read_exactly(size) == bytes(size)


@pytest.mark.parametrize("target", ["/dev1", "/dev1/", "/dev1/dir", "/dev1/dir/", "/", "//"])
def test_directory_is_refused(node: Node, target: str) -> None:
    inside = node.write("/dev1/dir/inside", b"")
    with Client(node.http) as client:
        answer = client.request(compose("DELETE", target))
        assert (answer.status, answer.keeps) == (403, True)
        assert client.request(compose("GET", "/")).status == 200
    assert inside.exists()


@pytest.mark.parametrize(
    "target", ["/dev1/none", "/dev1/none/none", "/dev7/none", "/none", "/dev1/plain/below"]
)
def test_missing_file(node: Node, target: str) -> None:
    node.write("/dev1/plain", b"no directory")
    with Client(node.http) as client:
        answer = client.request(compose("DELETE", target))
        assert (answer.status, answer.keeps) == (404, True)
        assert client.request(compose("GET", "/")).status == 200


@pytest.mark.parametrize("target", ["/dev1/../x", "/..", "/dev1/a..b", "/dev1/..."])
def test_dots_are_refused(node: Node, target: str) -> None:
    names = {path.name: path for path in (node.docroot / "x", node.docroot / "dev1" / "a..b")}
    for path in names.values():
        path.write_bytes(b"precious")
    answer = ask(node.http, compose("DELETE", target))
    assert (answer.status, answer.keeps) == (403, True)
    assert all(path.exists() for path in names.values())


@pytest.mark.parametrize(
    "target",
    [
        "/dev1/test-write/",
        "/dev1/0/",
        "/dev1/0/000/",
        "/dev1/0/000/000/",
        "/dev1/new",
        "/dev1",
        "/new/",
        "/",
        "//",
    ],
)
@pytest.mark.parametrize("fields", [["Content-Length: 0"], []], ids=["length", "no length"])
def test_mkcol_makes_nothing(node: Node, target: str, fields: list[str]) -> None:
    before = sorted(node.docroot.rglob("*"))
    with Client(node.http) as client:
        answer = client.request(compose("MKCOL", target, *fields))
        assert (answer.status, answer.keeps) == (400, True)
        assert client.request(compose("GET", "/")).status == 200
    assert sorted(node.docroot.rglob("*")) == before


@pytest.mark.parametrize("target", ["/dev1/../new/", "/..", "/dev1/a..b/"])
def test_mkcol_with_dots(node: Node, target: str) -> None:
    answer = ask(node.http, compose("MKCOL", target))
    assert (answer.status, answer.keeps) == (403, True)
