"""A connection with errors of its socket, and its name in the log."""

from __future__ import annotations

import errno
import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from mogpoll import Next
from mogstored.connections.buffers import Buffers
from mogstored.connections.connection import Connection
from tests.support.sockets import fill, stream_pair, tcp_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NO_BUFFERS = cast("Buffers", None)


class Failing(Connection):
    """A connection whose step raises `error`, or returns `verdict`."""

    error: OSError | None = None
    verdict = Next.READ

    def advance(self, _buffers: Buffers) -> Next:
        if self.error is not None:
            raise self.error
        return self.verdict

    def send_ahead(self) -> None: ...

    def cancel(self) -> None: ...

    def detach(self) -> Callable[[], None]:
        return lambda: None


@pytest.fixture
def connection() -> Iterator[Failing]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        sock, _ = listener.accept()
        clients: Any = SimpleNamespace(note_closed=lambda _connection: None)
        with client, sock:
            yield Failing(sock, clients)


@pytest.mark.parametrize(
    "number",
    [
        errno.ECONNRESET,
        errno.EPIPE,
        errno.ETIMEDOUT,
        errno.ENOTCONN,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.ENETDOWN,
        errno.ENETRESET,
        errno.EHOSTDOWN,
    ],
    ids=lambda number: errno.errorcode[number],
)
def test_client_that_has_gone_is_closed(connection: Failing, number: int) -> None:
    connection.error = OSError(number, "gone")
    assert connection.step(NO_BUFFERS) is Next.CLOSE


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOENT, errno.EBADF, errno.EMFILE])
def test_other_errors_are_shown(connection: Failing, number: int) -> None:
    connection.error = OSError(number, "a fault")
    with pytest.raises(OSError, match="a fault"):
        connection.step(NO_BUFFERS)


@pytest.mark.parametrize("verdict", [Next.READ, Next.WRITE, Next.AGAIN])
def test_step_counts_as_activity(connection: Failing, verdict: Next) -> None:
    connection.active_at -= 60
    connection.verdict = verdict
    assert connection.has_been_silent(30)
    assert connection.step(NO_BUFFERS) is verdict
    assert not connection.has_been_silent(30)


def test_step_that_only_waits_on_does_not(connection: Failing) -> None:
    connection.active_at -= 60
    connection.verdict = Next.PARKED
    assert connection.step(NO_BUFFERS) is Next.PARKED
    assert connection.has_been_silent(30)


def test_name_in_the_log(connection: Failing) -> None:
    host, port = connection.sock.getpeername()
    assert connection.peer() == f"{host}:{port}"
    connection.close()
    assert connection.peer() == "unknown peer"
    connection.hang_up()


def test_name_in_the_log_of_a_client_over_ipv6() -> None:
    sock: Any = SimpleNamespace(getpeername=lambda: ("::1", 7500, 0, 0))
    assert Failing(sock, cast("Any", None)).peer() == "[::1]:7500"


class Counted:
    """Notes what is counted in and out."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, object]] = []

    def note_opened(self, connection: object = None) -> None:
        self.noted.append(("opened", connection))

    def note_closed(self, connection: object = None) -> None:
        self.noted.append(("closed", connection))


@pytest.mark.parametrize("fails", [False, True])
def test_what_is_left_behind_counts_until_it_is_released(connection: Failing, fails: bool) -> None:
    clients = Counted()
    connection.clients = cast("Any", clients)

    def release() -> None:
        clients.noted.append(("released", None))
        if fails:
            raise OSError("a fault of the disk")

    connection.detach = lambda: release  # type: ignore[method-assign]
    clean_up = connection.leave_behind()
    assert clients.noted == [("opened", None)]
    if fails:
        with pytest.raises(OSError, match="a fault of the disk"):
            clean_up()
    else:
        clean_up()
    assert clients.noted[1:] == [("released", None), ("closed", None)]


def test_close_is_counted_once(connection: Failing) -> None:
    clients = Counted()
    connection.clients = cast("Any", clients)
    connection.close()
    assert clients.noted == [("closed", connection)]
    assert connection.fileno() == -1


def test_new_connection_waits_for_nothing(connection: Failing) -> None:
    assert connection.opened_at == connection.active_at
    assert (connection.head_since, connection.waited_s) == (0.0, 0.0)
    facts = connection.expired, connection.has_slot, connection.may_expire, connection.is_idle()
    assert not any(facts)
    assert connection.waits() is None


def test_one_that_is_idle_is_settled_after_a_second(
    connection: Failing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mogstored.connections.connection.monotonic", lambda: 1000.0)
    monkeypatch.setattr(Failing, "is_idle", lambda _self: True)
    for active_at, is_settled in ((1000.0, False), (999.0, False), (998.9, True)):
        connection.active_at = active_at
        assert connection.is_settled() == is_settled
    monkeypatch.setattr(Failing, "is_idle", lambda _self: False)
    assert not connection.is_settled()


def test_connection_is_named_by_its_kind_and_its_client(connection: Failing) -> None:
    assert repr(connection) == f"Failing from {connection.peer()}"


def test_discard_of_what_is_unsent_resets_the_connection() -> None:
    with tcp_pair() as (near, far):
        connection = Failing(near, cast("Any", Counted()))
        fill(near)
        connection.discard_unsent()
        assert near.recv(1) == b""
        connection.close()
        with pytest.raises(ConnectionResetError):
            list(iter(lambda: far.recv(1 << 20), b""))


def test_hang_up_is_seen_as_the_end() -> None:
    with stream_pair() as (near, far):
        Failing(near, cast("Any", None)).hang_up()
        assert far.recv(1) == b""
        assert near.recv(1) == b""
