"""The address of a peer, from what the kernel has written."""

from __future__ import annotations

import socket
import sys

import pytest

from mogpoll.acceptor import _address_of

_HOST4 = bytes([10, 0, 200, 1])
_HOST6 = socket.inet_pton(socket.AF_INET6, "fe80::1:2")


def raw(port: int, *rest: bytes) -> bytes:
    """Return the bytes of an address, with the rubbish behind it that a buffer may have."""
    return b"\xee\xee" + port.to_bytes(2) + b"".join(rest) + b"\xee" * 90


def scoped(scope: int) -> bytes:
    return raw(0xABCD, (0x01020304).to_bytes(4), _HOST6, scope.to_bytes(4, sys.byteorder))


@pytest.mark.parametrize(
    ("family", "found", "address"),
    [
        (socket.AF_INET, raw(0x1234, _HOST4), ("10.0.200.1", 0x1234)),
        (socket.AF_INET6, scoped(0), ("fe80::1:2", 0xABCD, 0x01020304, 0)),
        (
            socket.AF_INET6,
            scoped(socket.if_nameindex()[0][0]),
            (
                f"fe80::1:2%{socket.if_nameindex()[0][1]}",
                *(0xABCD, 0x01020304, socket.if_nameindex()[0][0]),
            ),
        ),
        (
            socket.AF_INET6,
            scoped(0x7FFF0102),
            (f"fe80::1:2%{0x7FFF0102}", 0xABCD, 0x01020304, 0x7FFF0102),
        ),
        (socket.AF_UNIX, b"\xee\xee/run/\xff\0rubbish", "/run/\udcff"),
        (socket.AF_UNIX, b"\xee\xee", ""),
        (socket.AF_UNIX, b"\xee\xee\0abstract\0", b"\0abstract\0"),
        (socket.AF_INET6 + socket.AF_INET + socket.AF_UNIX, b"other", b"other"),
    ],
)
def test_address(family: int, found: bytes, address: object) -> None:
    assert _address_of(family, found) == address
