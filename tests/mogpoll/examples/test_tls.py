"""The example of a TLS server talks to clients of the standard library."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.mogpoll.examples.conftest import connect, receive
from tests.support.sockets import reset
from tests.support.threads import Running, run_all

if TYPE_CHECKING:
    from tests.mogpoll.examples.conftest import Start


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("certificate")
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-days", "2", "-keyout", "key.pem", "-out", "certificate.pem"]
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            *subject,
            *files,
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return [str(folder / "certificate.pem"), str(folder / "key.pem")]


def test_many_clients_get_back_what_they_sent(start: Start, certificate: list[str]) -> None:
    echo = start("tls.py", "0", *certificate)
    port = echo.port
    context = ssl.create_default_context(cafile=certificate[0])

    def talk() -> None:
        with context.wrap_socket(connect(port), server_hostname="127.0.0.1") as client:
            for size in (1, 16_385, 300_000):
                message = os.urandom(size)
                # OpenSSL's connections are not for two threads: the rest comes when it is sent.
                sent = 0
                while sent < size:
                    piece = message[sent : sent + 10_000]
                    client.sendall(piece)
                    assert receive(client, len(piece)) == piece
                    sent += len(piece)

    run_all([talk] * 8)
    assert echo.end() == (0, b"", b"")


def test_what_is_no_handshake_harms_no_other(start: Start, certificate: list[str]) -> None:
    echo = start("tls.py", "0", *certificate)
    port = echo.port
    with connect(port) as silent, connect(port) as wrong:
        wrong.sendall(b"GET / HTTP/1.1\r\n\r\n")
        gone = connect(port)
        gone.sendall(b"\x16\x03\x01")
        reset(gone)
        context = ssl.create_default_context(cafile=certificate[0])
        with context.wrap_socket(connect(port), server_hostname="127.0.0.1") as client:
            Running(partial(client.sendall, b"hello")).result()
            assert receive(client, 5) == b"hello"
        assert silent.fileno() >= 0
    assert echo.end() == (0, b"", b"")
