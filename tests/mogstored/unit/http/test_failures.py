"""What an error of the system is to a client, also those that only FreeBSD gives."""

from __future__ import annotations

import errno
import os

import pytest

from mogstored.http import failures

# FreeBSD's numbers: a file system that found itself damaged, and a jail of capabilities.
EINTEGRITY, ENOTCAPABLE = 97, 93


def status(number: int, table: dict[int, int]) -> int:
    return failures.status_of(OSError(number, os.strerror(number)), table, b"dev1/a", "DELETE")


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
    assert status(number, failures.DELETE) == expected


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
    assert status(number, failures.READ) == expected


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_full(number: int) -> None:
    assert status(number, failures.WRITE) == 507
    assert status(number, failures.CREATE) == 507
