"""What is kept of the digests of new files, and what is read again."""

from __future__ import annotations

import base64
import errno
import hashlib
import os
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from mogpoll.system.attributes import get_attribute, set_attribute
from mogstored.files.checksums import at_rest
from mogstored.files.checksums.at_rest import BadChecksum, ChecksumsAtRest
from mogstored.files.docroot import Docroot
from tests.support.attributes import takes_attributes
from tests.support.clock import stop_clock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BODY = b"content"
MD5 = hashlib.md5(BODY).digest()
SHA256 = hashlib.sha256(BODY).digest()
BOTH = {"md5": MD5, "sha256": SHA256}


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    if not takes_attributes(tmp_path):
        pytest.skip("the file system has no attributes")
    with open(tmp_path / "file", "wb+") as file:
        yield file.fileno()


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        ("none", {}),
        ("auto", {"md5": MD5}),
        ("md5", {"md5": MD5}),
        ("sha256", {"sha256": SHA256}),
    ],
)
def test_each_rule_keeps_one_at_most(fd: int, rule: str, kept: dict[str, bytes]) -> None:
    ChecksumsAtRest(rule).keep(fd, b"dev1/file", BOTH)
    assert at_rest.read(fd) == kept


@pytest.mark.parametrize("rule", ["none", "auto", "md5", "sha256"])
def test_only_two_rules_compute_what_the_client_did_not_ask_for(fd: int, rule: str) -> None:
    ChecksumsAtRest(rule).keep_of(fd, b"dev1/file", BODY)
    expected = {rule: BOTH[rule]} if rule in BOTH else {}
    assert at_rest.read(fd) == expected


def test_attributes_are_text_that_programs_for_digests_show(fd: int) -> None:
    for algorithm, digest in BOTH.items():
        at_rest.write(fd, algorithm, digest)
    assert get_attribute(fd, "mogstored.md5") == hashlib.md5(BODY).hexdigest().encode()
    assert get_attribute(fd, "mogstored.sha256") == base64.b64encode(SHA256)


def test_removal(fd: int) -> None:
    assert not at_rest.remove(fd)
    for algorithm, digest in BOTH.items():
        at_rest.write(fd, algorithm, digest)
    assert at_rest.remove(fd)
    assert at_rest.read(fd) == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("md5", b""),
        ("md5", b"0" * 31),
        ("md5", b"0" * 34),
        ("md5", b"g" * 32),
        ("md5", hashlib.md5(BODY).hexdigest().upper().replace("0", "A").encode()),
        ("md5", b"\x00\xff" * 16),
        ("md5", b"0" * 3000),
        ("sha256", b"0" * 44),
        ("sha256", base64.b64encode(MD5)),
        ("sha256", base64.b64encode(SHA256) + b"\n"),
        ("sha256", b"\xff" * 44),
    ],
)
def test_what_is_no_digest(fd: int, name: str, value: bytes) -> None:
    set_attribute(fd, f"mogstored.{name}", value)
    with pytest.raises(BadChecksum) as caught:
        at_rest.read(fd)
    assert caught.value.args == (name, value)


def test_attributes_of_others_are_left_alone(fd: int) -> None:
    set_attribute(fd, "mogstored", b"theirs")
    set_attribute(fd, "md5", b"theirs")
    assert at_rest.read(fd) == {}
    assert not at_rest.remove(fd)
    assert get_attribute(fd, "md5") == b"theirs"


def refuse(number: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let attributes be refused; return the calls."""
    calls = []

    def refused(fd: int, _name: str, _value: bytes) -> None:
        calls.append(fd)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(at_rest, "set_attribute", refused)
    return calls


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM, errno.EACCES])
def test_file_system_without_attributes_is_mentioned_once(
    fd: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    calls = refuse(number, monkeypatch)
    checksums = ChecksumsAtRest("md5", "/mogdata")
    for path in (b"dev1/a", b"dev1/b", b"dev2/a", b"dev1/c"):
        checksums.keep(fd, path, BOTH)
    assert [record.args[0] for record in caplog.records if isinstance(record.args, tuple)] == [
        "/mogdata/dev1",
        "/mogdata/dev2",
    ]
    assert len(calls) == 2, "a device that has refused is left alone for a while"


def test_device_that_has_refused_is_asked_again_after_ten_minutes(
    fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A machine that has just started.
    now = stop_clock(monkeypatch, at_rest, 0.5)
    calls = refuse(errno.EOPNOTSUPP, monkeypatch)
    checksums = ChecksumsAtRest("md5")
    asked = []
    for now[0], path in (
        (0.5, b"dev1/a"),
        (0.5, b"dev2/a"),
        (600.4, b"dev1/a"),
        (600.5, b"dev1/a"),
    ):
        checksums.keep(fd, path, BOTH)
        asked.append(len(calls))
    assert asked == [1, 2, 2, 3]


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EDQUOT, errno.E2BIG, errno.ERANGE], ids=errno.errorcode.get
)
def test_no_room_for_one_is_no_refusal_of_the_next(
    fd: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    stop_clock(monkeypatch, at_rest, 0.5)
    checksums = ChecksumsAtRest("md5")
    with monkeypatch.context() as patch:
        refuse(number, patch)
        checksums.keep(fd, b"dev1/a", BOTH)
    checksums.keep(fd, b"dev1/b", BOTH)
    assert at_rest.read(fd) == {"md5": MD5}
    assert len(caplog.records) == 1


def test_disk_that_fails_is_an_error(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(errno.EIO, monkeypatch)
    with pytest.raises(OSError, match="Input/output"):
        ChecksumsAtRest("md5").keep(fd, b"dev1/a", BOTH)


def refuse_all(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(at_rest, "get_attribute", refused)
    monkeypatch.setattr(at_rest, "remove_attribute", refused)


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.ENOSYS])
def test_reading_where_there_are_no_attributes(
    fd: int, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refuse_all(number, monkeypatch)
    assert at_rest.read(fd) == {}
    assert at_rest.remove(fd) is False


@pytest.mark.parametrize("number", [errno.EIO, errno.EPERM])
def test_reading_that_fails_is_an_error(
    fd: int, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refuse_all(number, monkeypatch)
    for call in (at_rest.read, at_rest.remove):
        with pytest.raises(OSError, match=os.strerror(number)):
            call(fd)


def test_what_is_no_file_has_none_to_be_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_all(errno.EPERM, monkeypatch)
    fds = os.pipe()
    assert at_rest.remove(fds[1]) is False
    for fd in fds:
        os.close(fd)


@pytest.mark.usefixtures("fd")
def test_file_that_is_changed_in_place_has_none_from_the_start(tmp_path: Path) -> None:
    (tmp_path / "dev1").mkdir()
    with closing(Docroot(str(tmp_path), checksums="sha256")) as docroot:
        docroot.store(b"dev1/a", BODY)
        with open(tmp_path / "dev1/a", "rb") as file:
            assert at_rest.read(file.fileno()) == {"sha256": SHA256}
            in_place = docroot.open_in_place(b"dev1/a")
            assert at_rest.read(file.fileno()) == {}
            in_place.discard()


@pytest.mark.usefixtures("fd")
@pytest.mark.parametrize("level", ["none", "data"])
def test_removal_is_on_the_disk_before_what_is_written_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    (tmp_path / "dev1").mkdir()
    with closing(Docroot(str(tmp_path), level, "md5")) as docroot:
        docroot.store(b"dev1/a", BODY)
        synced: list[int] = []
        monkeypatch.setattr("mogstored.files.docroot.os.fsync", synced.append)
        docroot.open_in_place(b"dev1/a").discard()
        docroot.open_in_place(b"dev1/a").discard()
    assert len(synced) == (level == "data")
