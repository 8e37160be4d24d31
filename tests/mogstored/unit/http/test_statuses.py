"""What an error of the system is to a client, also those that only FreeBSD gives."""

from __future__ import annotations

import errno
import logging
import os
import re
from collections import Counter

import pytest

from mogstored.files import disk_errors
from mogstored.files.disk_errors import Attempt, DeviceDown, NotMounted
from mogstored.http import statuses
from tests.support.clock import stop_clock_of_lines

# FreeBSD's numbers: a file system that found itself damaged, and a jail of capabilities.
EINTEGRITY, ENOTCAPABLE = 97, 93
FIELDS = ("device", "path", "client", "errno", "operation")


def fail(number: int, table: dict[int, int], path: bytes = b"dev1/a", name: str = "PUT") -> int:
    """Return the status of a request that failed."""
    disk = DEVICES.setdefault(path.partition(b"/")[0], FakeDisk(path.partition(b"/")[0]))
    attempt = Attempt("write", name, path, "10.0.0.1:40000")
    return statuses.status_of(OSError(number, os.strerror(number)), table, disk, attempt)


class FakeDisk:
    """A device that only counts."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.path = f"/docroot/{name.decode()}"
        self.noted: Counter[tuple[str, int | None]] = Counter()

    def note_error(self, attempt: Attempt, error: OSError) -> None:
        self.noted[attempt.operation, error.errno] += 1


DEVICES: dict[bytes, FakeDisk] = {}


@pytest.fixture(autouse=True)
def no_devices() -> None:
    DEVICES.clear()


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        # unlink(2) of a directory is EISDIR on Linux and EPERM on FreeBSD.
        (errno.EISDIR, 403),
        (errno.EPERM, 403),
        (errno.EACCES, 403),
        # A missing file on a file system that is read-only: ENOENT on Linux, EROFS on FreeBSD.
        (errno.ENOENT, 404),
        (errno.EROFS, 403),
        (errno.EIO, 500),
        (EINTEGRITY, 500),
        (ENOTCAPABLE, 500),
    ],
)
def test_delete(number: int, expected: int) -> None:
    assert fail(number, statuses.DELETE) == expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        # open(2) of a socket's name is ENXIO on Linux and EOPNOTSUPP on FreeBSD.
        (errno.ENXIO, 403),
        (errno.EOPNOTSUPP, 403),
        (errno.ELOOP, 403),
        (errno.ENOENT, 404),
        (errno.ENOTDIR, 404),
        (errno.EIO, 500),
        (EINTEGRITY, 500),
    ],
)
def test_read(number: int, expected: int) -> None:
    assert fail(number, statuses.READ) == expected


def test_create_where_there_is_no_directory() -> None:
    assert fail(errno.ENOENT, statuses.CREATE) == 404


def test_error_without_a_number() -> None:
    attempt = Attempt("write", "PUT", b"dev1/a", "10.0.0.1:40000")
    assert statuses.status_of(OSError(), statuses.CREATE, FakeDisk(b"dev1"), attempt) == 500


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        *((OSError(getattr(errno, name), "none"), False) for name in ("ENOENT", "ENOTDIR")),
        *((OSError(getattr(errno, name), "none"), False) for name in ("ENXIO", "EOPNOTSUPP")),
        # The log has said so when it was taken out of use.
        (DeviceDown(), False),
        (NotMounted(), True),
        (OSError(errno.EIO, "bad"), True),
    ],
    ids=str,
)
def test_path_that_names_no_file_is_no_error_of_the_disk(error: OSError, counts: bool) -> None:
    disk = FakeDisk(b"dev1")
    disk_errors.report_reading(error, disk, Attempt("read", "GET", b"dev1/a", "10.0.0.1:40000"))
    assert disk.noted == ({("read", error.errno): 1} if counts else {})


def test_device_that_is_not_to_be_used_has_an_error_of_its_own() -> None:
    assert (DeviceDown().errno, NotMounted().errno) == (errno.EIO, errno.ENODEV)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ERANGE])
def test_full(number: int) -> None:
    assert fail(number, statuses.WRITE) == 507
    assert fail(number, statuses.CREATE) == 507


@pytest.mark.parametrize(
    ("table", "expected"),
    [(statuses.CREATE, 507), (statuses.READ, 500), (statuses.DELETE, 500)],
    ids=["PUT", "GET", "DELETE"],
)
def test_not_mounted(table: dict[int, int], expected: int) -> None:
    attempt = Attempt("write", "PUT", b"dev1/a", "10.0.0.1:40000")
    assert statuses.status_of(NotMounted(), table, FakeDisk(b"dev1"), attempt) == expected
    # A disk may fail with the same errno.
    assert fail(errno.ENODEV, table) == 500


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of the rate limit, which has not seen anything yet."""
    monkeypatch.setattr(statuses._aborted_paths, "_seen", {})
    return stop_clock_of_lines(monkeypatch, 100.0, statuses._aborted, statuses._mismatches)


@pytest.mark.usefixtures("now")
@pytest.mark.parametrize(
    ("number", "table", "name"),
    [
        (errno.EROFS, statuses.CREATE, "EROFS"),
        (errno.EROFS, statuses.DELETE, "EROFS"),
        (errno.EACCES, statuses.READ, "EACCES"),
        (errno.EPERM, statuses.CREATE, "EPERM"),
        (errno.ENOSPC, statuses.WRITE, "ENOSPC"),
        (errno.EIO, statuses.READ, "EIO"),
        (errno.EISDIR, statuses.CREATE, "EISDIR"),
        (errno.ELOOP, statuses.READ, "ELOOP"),
        (errno.EDQUOT, statuses.WRITE, "EDQUOT"),
        (errno.ESTALE, statuses.READ, "ESTALE"),
        (errno.ESTALE, statuses.DELETE, "ESTALE"),
    ],
)
def test_trouble_of_a_disk_is_logged_whatever_the_answer(
    number: int, table: dict[int, int], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    fail(number, table, name="DELETE")
    (record,) = caplog.records
    reason = f"{os.strerror(number)} ({name})"
    assert record.message == f"DELETE /dev1/a from 10.0.0.1:40000 failed: {reason}"
    assert record.levelno == logging.ERROR
    fields = {key: record.__dict__[key] for key in FIELDS}
    assert fields == {
        "device": "dev1",
        "path": "/dev1/a",
        "client": "10.0.0.1:40000",
        "errno": name,
        "operation": "write",
    }


@pytest.mark.usefixtures("now")
@pytest.mark.parametrize(
    ("number", "table"),
    [
        (errno.ENOENT, statuses.READ),
        (errno.ENXIO, statuses.READ),
        (errno.EISDIR, statuses.DELETE),
        (errno.EINVAL, statuses.CREATE),
    ],
)
def test_what_a_request_is_to_blame_for_is_not_logged(
    number: int, table: dict[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    assert fail(number, table) in {400, 403, 404}
    assert caplog.messages == []


MORE = "9 more of this device since the last such line"


def test_one_line_per_device_and_errno_in_a_while(
    now: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(10):
        fail(errno.EROFS, statuses.CREATE, b"dev1/a")
        fail(errno.EROFS, statuses.CREATE, b"dev2/a")
        fail(errno.EISDIR, statuses.CREATE, b"dev1/b")
    now[0] += 5.0
    fail(errno.EROFS, statuses.CREATE, b"dev1/c")
    read_only, directory = os.strerror(errno.EROFS), os.strerror(errno.EISDIR)
    assert [message.replace(" from 10.0.0.1:40000", "") for message in caplog.messages] == [
        f"PUT /dev1/a failed: {read_only} (EROFS)",
        f"PUT /dev2/a failed: {read_only} (EROFS)",
        f"PUT /dev1/b failed: {directory} (EISDIR)",
        f"PUT /dev1/c failed: {read_only} (EROFS); {MORE}",
    ]
    # All are counted.
    assert DEVICES[b"dev1"].noted == {("write", errno.EROFS): 11, ("write", errno.EISDIR): 10}


def test_what_is_left_out_at_last_has_a_line_of_its_own(
    now: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(10):
        fail(errno.EIO, statuses.READ)
    disk_errors.log_left_out()
    now[0] += 5.0
    caplog.clear()
    disk_errors.log_left_out()
    disk_errors.log_left_out()
    reason = f"{os.strerror(errno.EIO)} (EIO)"
    assert caplog.messages == [f"/docroot/dev1: 9 more such errors since the last line: {reason}"]
    # That was one of its kind.
    fail(errno.EIO, statuses.READ)
    now[0] += 5.0
    disk_errors.log_left_out()
    assert caplog.messages[1:] == [
        f"/docroot/dev1: 1 more such errors since the last line: {reason}"
    ]


def test_lines_say_of_each_error_once(now: list[float], caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the pace: the lines and the numbers in them add up."""
    for number in range(1000):
        now[0] += number % 7 * 0.1
        fail(errno.EIO, statuses.READ)
        if number % 10 == 0:
            disk_errors.log_left_out()
    now[0] += 5.0
    disk_errors.log_left_out()
    counted = 0
    for message in caplog.messages:
        more = re.search(r"(\d+) more", message)
        counted += message.startswith("PUT") + (int(more[1]) if more else 0)
    assert counted == 1000
    # In 300 s.
    assert len(caplog.messages) <= 2 + 300 / 5


def test_same_device_of_two_docroots_is_two_devices(
    now: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    error = OSError(errno.EIO, os.strerror(errno.EIO))
    for docroot in ("/a", "/b"):
        disk = FakeDisk(b"dev1")
        disk.path = f"{docroot}/dev1"
        statuses.status_of(error, statuses.READ, disk, Attempt("read", "GET", b"dev1/x", "c"))
    assert len(caplog.messages) == 2


def test_file_that_shrinks_again_and_again_has_one_line_in_a_while(
    now: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    def shrink(path: bytes) -> None:
        disk_errors.report_shrunk(FakeDisk(b"dev1"), Attempt("read", "GET", path, "peer"), 10)

    for _ in range(10):
        shrink(b"dev1/a")
    now[0] += 5.0
    shrink(b"dev1/b")
    shrank = "shrank while it was sent to peer: 10 bytes are missing"
    assert caplog.messages == [f"/dev1/a {shrank}", f"/dev1/b {shrank}; {MORE}"]


def test_aborts_of_one_path_have_one_line_in_a_second(
    now: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(10):
        statuses.report_lost(b"dev1/a", "peer", 5, "premature EOF", 7)
    now[0] += 1.0
    statuses.report_lost(b"dev1/a", "peer", 5, "premature EOF", None)
    line = "PUT /dev1/a failed from peer after 5 bytes: premature EOF"
    assert caplog.messages == [
        line,
        "last_data_recv=7ms from peer for PUT /dev1/a",
        f"{line}; 9 more since the last such line",
    ]


def test_aborts_of_many_paths_have_an_end(
    now: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(1000):
        statuses.report_lost(b"dev1/%d" % number, "peer", 5, "premature EOF", None)
    assert len(caplog.messages) == 100
    now[0] += 1.0
    statuses.report_lost(b"dev1/a", "peer", 5, "premature EOF", None)
    assert caplog.messages[-1].endswith("; 900 more since the last such line")


def test_mismatches_have_an_end(now: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "mogstored")
    for number in range(100):
        statuses.report_mismatch(b"dev1/%d" % number, "peer", b"actual==", b"promised")
    assert len(caplog.messages) == 20
    now[0] += 1.0
    statuses.report_mismatch(b"dev1/a", "peer", b"actual==", b"")
    assert caplog.messages[-1] == (
        "PUT /dev1/a from peer: Content-MD5 is none, but the MD5 of the body actual==;"
        " 80 more since the last such line"
    )
    record = caplog.records[-1]
    assert record.levelno == logging.WARNING
    assert [record.__dict__[key] for key in ("device", "path", "client", "operation")] == [
        *("dev1", "/dev1/a", "peer", "write"),
    ]
    # What trackers try on purpose.
    statuses.report_mismatch(b"dev1/test-write/test-md5", "peer", b"actual==", b"promised")
    assert caplog.records[-1].levelno == logging.DEBUG
