"""Checksums in the formats of publishers, and downloads that fail."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import lzma
import urllib.request
from datetime import date
from email.message import Message
from pathlib import Path
from urllib.error import HTTPError, URLError

import pytest

from vm.errors import VMError
from vm.images import checksum, disk_images
from vm.images.checksum import Checksum, look_up
from vm.machines import Image, Machine

SHA256, SHA512 = "ab" * 32, "cd" * 64
URL = "https://example.org/images/disk.qcow2.xz"
RELEASE = json.dumps({"assets": [{"name": "f.xz", "digest": f"sha256:{SHA256}"}]})
LIST = "https://example.org/images/SUMS"


@pytest.mark.parametrize(
    ("listing", "wanted"),
    [
        (f"SHA512 (other) = {SHA512[::-1]}\nSHA512 (f.xz) = {SHA512}\n", ("sha512", SHA512)),
        (f"SHA256 (f.xz) = {SHA256}\n", ("sha256", SHA256)),
        (f"{SHA512}  f.xz\n", ("sha512", SHA512)),
        (f"{SHA256} *f.xz\r\n", ("sha256", SHA256)),
        (f"{SHA256}  ./f.xz\n", ("sha256", SHA256)),
        (RELEASE, ("sha256", SHA256)),
    ],
)
def test_line_of_the_file_is_found(listing: str, wanted: tuple[str, str]) -> None:
    assert look_up(listing, "f.xz", LIST) == Checksum(*wanted)


@pytest.mark.parametrize(
    "listing",
    [
        "",
        "<html>404</html>",
        f"{SHA512}  f.xz.old\n",
        f"{SHA512[:-1]}  f.xz\n",
        "SHA512 (f.xz) =",
        "{}",
        "{",
    ],
)
def test_list_without_the_file(listing: str) -> None:
    with pytest.raises(VMError, match=r"SUMS has no checksum of f\.xz"):
        look_up(listing, "f.xz", LIST)


def test_literal_checksum_needs_no_network() -> None:
    assert checksum.resolve(f"sha256:{SHA256}", "f.xz") == Checksum("sha256", SHA256)


class Web:
    """A fake web server that records the URLs it is asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: dict[str, bytes | Exception] = {}
        self.asked: list[str] = []
        self.length: int | None = None
        monkeypatch.setattr(urllib.request, "urlopen", self._open)

    def _open(self, url: str, timeout: float) -> io.BytesIO:
        assert timeout > 0
        self.asked.append(url)
        answer = self.answers[url]
        if isinstance(answer, Exception):
            raise answer
        body = io.BytesIO(answer)
        headers = Message()
        headers["Content-Length"] = str(len(answer) if self.length is None else self.length)
        body.headers = headers  # type: ignore[attr-defined]
        return body


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Web:
    monkeypatch.setenv("MOG_VM_CACHE", str(tmp_path))
    web = Web(monkeypatch)
    packed = lzma.compress(b"a disk")
    web.answers = {
        URL: packed,
        LIST: f"SHA512 (disk.qcow2.xz) = {hashlib.sha512(packed).hexdigest()}\n".encode(),
    }
    return web


def prepare() -> Path:
    image = Image(url=URL, path=None, build=None, checksum=LIST, disk="10G", accel="tcg")
    machine = Machine("one", "freebsd", "14.4", date(2099, 12, 31), "", 1024, 1, (), None, image)
    return disk_images.prepare(machine, image).disk


def test_image_is_fetched_checked_unpacked_and_kept(web: Web, tmp_path: Path) -> None:
    disk = prepare()
    assert disk == tmp_path / "images" / "freebsd-14.4-disk.qcow2"
    assert disk.read_bytes() == b"a disk"
    assert web.asked == [URL, LIST]
    assert prepare() == disk
    assert len(web.asked) == 2
    assert [path.name for path in disk.parent.iterdir()] == ["freebsd-14.4-disk.qcow2"]


def test_image_with_another_checksum_than_published_is_not_used(web: Web, tmp_path: Path) -> None:
    web.answers[LIST] = f"{SHA512}  disk.qcow2.xz\n".encode()
    with pytest.raises(VMError, match="has the wrong sha512"):
        prepare()
    assert not (tmp_path / "images" / "freebsd-14.4-disk.qcow2").exists()


def test_download_that_ends_early_leaves_nothing(web: Web, tmp_path: Path) -> None:
    web.length = 1 << 20
    with pytest.raises(VMError, match="ended after"):
        prepare()
    assert list((tmp_path / "images").iterdir()) == []


@pytest.mark.parametrize(
    "failure",
    [
        URLError("Name or service not known"),
        HTTPError(URL, 404, "Not Found", Message(), io.BytesIO()),
        TimeoutError("timed out"),
        http.client.BadStatusLine("?"),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_download_that_fails_names_its_address(web: Web, failure: Exception) -> None:
    web.answers[URL] = failure
    with pytest.raises(VMError, match=r"disk\.qcow2\.xz: ") as caught:
        prepare()
    assert "`image: path`" in caught.value.advice


def test_image_larger_than_the_free_space(web: Web, tmp_path: Path) -> None:
    web.length = 1 << 60
    with pytest.raises(VMError, match=r"no space for freebsd-14.4-disk\.qcow2\.xz"):
        prepare()
    assert list((tmp_path / "images").iterdir()) == []


def test_archive_that_is_damaged(web: Web) -> None:
    broken = b"\xfd7zXZ\0 and then nonsense"
    web.answers[URL] = broken
    web.answers[LIST] = f"{hashlib.sha512(broken).hexdigest()}  disk.qcow2.xz\n".encode()
    with pytest.raises(VMError, match=r"disk\.qcow2\.xz"):
        prepare()
