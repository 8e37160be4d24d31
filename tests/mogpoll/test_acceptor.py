"""The acceptor: a thread in a blocking accept, which can be stopped and loses nobody."""

from __future__ import annotations

import errno
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from mogpoll import Acceptor, acceptor
from tests.support.sockets import reset
from tests.support.threads import Running, is_asleep, run_all
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mogpoll.acceptor import AcceptCallback, PressureCallback


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as made:
        yield made


class Customers:
    """What an acceptor passed on, in the order of arrival."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []
        self._arrived = threading.Condition()

    def take(self, connection: socket.socket) -> None:
        with self._arrived:
            self.sockets.append(connection)
            self._arrived.notify_all()

    def wait_for(self, count: int) -> list[socket.socket]:
        with self._arrived:
            arrived = self._arrived.wait_for(lambda: len(self.sockets) >= count, 20)
        assert arrived, f"{len(self.sockets)} of {count} connections were passed on"
        return self.sockets

    def close(self) -> None:
        for connection in self.sockets:
            connection.close()


@pytest.fixture
def customers() -> Iterator[Customers]:
    made = Customers()
    yield made
    made.close()


def stop(running: Acceptor) -> None:
    """Stop it, and fail where that does not end."""
    Running(running.stop).result()


@contextmanager
def accepting(
    listener: socket.socket,
    on_accept: AcceptCallback,
    on_pressure: PressureCallback | None = None,
) -> Iterator[Acceptor]:
    made = Acceptor(listener, on_accept, on_pressure=on_pressure, name="acceptor-under-test")
    made.start()
    try:
        yield made
    finally:
        stop(made)
    assert not made.is_alive()


def connect(listener: socket.socket) -> socket.socket:
    return socket.create_connection(listener.getsockname(), 10)


def thread_of(name: str) -> threading.Thread:
    (found,) = [thread for thread in threading.enumerate() if thread.name == name]
    return found


def wait_until_accepting(name: str = "acceptor-under-test") -> None:
    wait_until(lambda: is_asleep(thread_of(name)), "the acceptor sleeps in accept")


class ScriptedAccept:
    """Takes the place of accept4: fails as told first, then is the real one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, errors: list[int]) -> None:
        self._errors = errors
        self._real = acceptor._accept4
        self.outcomes: list[int | None] = []
        monkeypatch.setattr(acceptor, "_accept4", self)

    def __call__(self, fd: int) -> int:
        try:
            if self._errors:
                number = self._errors.pop(0)
                raise OSError(number, os.strerror(number))
            accepted = self._real(fd)
        except OSError as error:
            self.outcomes.append(error.errno)
            raise
        self.outcomes.append(None)
        return accepted


# What is passed on


@pytest.mark.parametrize("has_accept4", [True, False])
def test_n29_accepted_socket_is_ready_for_use(
    listener: socket.socket,
    customers: Customers,
    monkeypatch: pytest.MonkeyPatch,
    has_accept4: bool,
) -> None:
    if not has_accept4:
        monkeypatch.setattr(acceptor, "_HAS_ACCEPT4", False)
    with accepting(listener, customers.take), connect(listener) as client:
        (accepted,) = customers.wait_for(1)
        facts = (accepted.family, accepted.type, accepted.gettimeout(), accepted.getpeername())
        assert facts == (socket.AF_INET, socket.SOCK_STREAM, 0.0, client.getsockname())
        assert not os.get_blocking(accepted.fileno())
        assert not accepted.get_inheritable()
        with pytest.raises(BlockingIOError):
            accepted.recv(1)
        client.send(b"abc")
        select.select([accepted], [], [], 10)
        assert accepted.recv(100) == b"abc"


def test_accepts_on_a_unix_listener(customers: Customers) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        path = f"/tmp/mogpoll-test-{os.getpid()}.sock"
        listener.bind(path)
        try:
            listener.listen()
            with accepting(listener, customers.take):
                client.connect(path)
                (accepted,) = customers.wait_for(1)
        finally:
            os.unlink(path)
        assert accepted.family == socket.AF_UNIX


def test_thousand_connections_from_many_clients(
    listener: socket.socket, customers: Customers
) -> None:
    seen: set[object] = set()

    def take(connection: socket.socket) -> None:
        seen.add(connection.getpeername())
        connection.close()
        customers.take(connection)

    def connect_many() -> list[object]:
        names = []
        for _ in range(125):
            with connect(listener) as client:
                names.append(client.getsockname())
                # The end of the connection: it was accepted, and no number is used twice.
                assert client.recv(1) == b""
        return names

    with accepting(listener, take):
        names = run_all([connect_many] * 8)
    assert len(customers.sockets) == 1000
    assert seen == {name for some in names for name in some}


def test_connection_that_waited_before_the_start_is_accepted(
    listener: socket.socket, customers: Customers
) -> None:
    with connect(listener) as client, accepting(listener, customers.take):
        (accepted,) = customers.wait_for(1)
        assert accepted.getpeername() == client.getsockname()


def test_connection_that_was_reset_in_the_backlog_harms_nobody(
    listener: socket.socket, customers: Customers
) -> None:
    for _ in range(3):
        reset(connect(listener))
    with accepting(listener, customers.take), connect(listener) as client:
        wait_until(
            lambda: client.getsockname() in map(peer_of, list(customers.sockets)),
            "the connection behind them is accepted",
        )


def peer_of(connection: socket.socket) -> object:
    try:
        return connection.getpeername()
    except OSError:
        return None


@pytest.mark.skipif(
    not hasattr(socket, "EPOLLIN") and sys.platform != "linux",
    reason="the order in which sleepers are woken is known of Linux",
)
def test_n20_sleeping_acceptors_take_turns(listener: socket.socket) -> None:
    names = [f"turn-{number}" for number in range(4)]
    order: list[str] = []
    arrived = threading.Semaphore(0)

    def take(name: str) -> Callable[[socket.socket], None]:
        def note(connection: socket.socket) -> None:
            connection.close()
            order.append(name)
            arrived.release()

        return note

    with ExitStack() as stack:
        for name in names:
            made = Acceptor(listener, take(name), name=name)
            made.start()
            stack.callback(stop, made)
            wait_until_accepting(name)
        for _ in range(12):
            with connect(listener):
                assert arrived.acquire(timeout=10)
            for name in names:
                wait_until_accepting(name)
    assert order == names * 3


# Stopping


def test_n21_n22_stop_interrupts_a_sleeping_accept(
    listener: socket.socket, customers: Customers, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = ScriptedAccept(monkeypatch, [])
    with accepting(listener, customers.take):
        wait_until_accepting()
    assert script.outcomes == [errno.EINTR]
    with connect(listener), listener.accept()[0]:
        assert customers.sockets == []


def test_n23_poke_that_comes_before_the_call_is_repeated(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    poked, entered = threading.Event(), threading.Event()
    real = acceptor._accept4

    def late(fd: int) -> int:
        entered.set()
        assert poked.wait(20)
        return real(fd)

    monkeypatch.setattr(acceptor, "_accept4", late)
    made = Acceptor(listener, socket.socket.close)
    thread = made._thread
    real_poke = thread._poke

    def poke() -> None:
        real_poke()
        poked.set()

    monkeypatch.setattr(thread, "_poke", poke)
    made.start()
    assert entered.wait(20)
    stop(made)
    assert not made.is_alive()


@pytest.mark.parametrize("times", [50])
def test_stop_at_once_after_start(listener: socket.socket, times: int) -> None:
    for _ in range(times):
        made = Acceptor(listener, socket.socket.close)
        made.start()
        stop(made)
    with connect(listener), listener.accept()[0]:
        pass


def test_stop_before_start_returns_and_start_works_after_it(
    listener: socket.socket, customers: Customers
) -> None:
    made = Acceptor(listener, customers.take)
    stop(made)
    made.start()
    with connect(listener):
        customers.wait_for(1)
    stop(made)
    stop(made)


def test_stop_by_several_threads(listener: socket.socket) -> None:
    made = Acceptor(listener, socket.socket.close)
    made.start()
    run_all([made.stop] * 4)
    assert not made.is_alive()


def test_stop_under_a_stream_of_connections_loses_none(
    listener: socket.socket, customers: Customers
) -> None:
    """What was accepted is passed on; what was not is left for others."""
    clients = [connect(listener) for _ in range(300)]
    made = Acceptor(listener, customers.take)
    made.start()
    customers.wait_for(1)
    stop(made)
    listener.settimeout(0)
    left: list[socket.socket] = []
    while len(customers.sockets) + len(left) < len(clients):
        left.append(listener.accept()[0])
    expected = {client.getsockname() for client in clients}
    found = {connection.getpeername() for connection in [*customers.sockets, *left]}
    for connection in [*clients, *left]:
        connection.close()
    assert found == expected


def test_n24_poke_signal_has_a_handler_that_lets_calls_be_interrupted(
    listener: socket.socket,
) -> None:
    with accepting(listener, socket.socket.close):
        handler = signal.getsignal(signal.SIGURG)
    assert callable(handler)


def test_n25_only_the_poke_signal_and_faults_reach_the_thread(listener: socket.socket) -> None:
    masks: list[set[int]] = []
    done = threading.Event()

    def take(connection: socket.socket) -> None:
        connection.close()
        masks.append({int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])})
        done.set()

    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with accepting(listener, take), connect(listener):
        assert done.wait(10)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
    assert {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP} <= masks[0]
    assert not {signal.SIGURG, signal.SIGSEGV} & masks[0]


# Where threads cannot be signalled


@pytest.fixture
def no_poke(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptor, "can_poke", lambda: False)


@pytest.mark.usefixtures("no_poke")
def test_without_signals_the_acceptor_is_woken_by_a_connection(
    listener: socket.socket, customers: Customers
) -> None:
    with accepting(listener, customers.take), connect(listener):
        customers.wait_for(1)
        wait_until_accepting()
    assert len(customers.sockets) == 1
    with connect(listener), listener.accept()[0]:
        pass


@pytest.mark.usefixtures("no_poke")
def test_without_signals_a_listener_on_every_address_can_be_left(customers: Customers) -> None:
    with socket.create_server(("0.0.0.0", 0)) as listener, accepting(listener, customers.take):
        wait_until_accepting()
    assert customers.sockets == []


@pytest.mark.usefixtures("no_poke")
def test_without_signals_a_unix_listener_can_be_left(customers: Customers) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        path = f"/tmp/mogpoll-test-{os.getpid()}.sock"
        listener.bind(path)
        try:
            listener.listen()
            with accepting(listener, customers.take):
                wait_until_accepting()
        finally:
            os.unlink(path)


@pytest.mark.usefixtures("no_poke")
def test_without_signals_waiting_customers_are_not_taken_for_ourselves(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The acceptor is busy while it is told to stop; customers and our own queue up."""
    busy, go_on = threading.Event(), threading.Event()
    names: list[object] = []

    def take(connection: socket.socket) -> None:
        names.append(connection.getpeername())
        connection.close()
        busy.set()
        assert go_on.wait(20)

    made = Acceptor(listener, take)
    made.start()
    first, second = connect(listener), connect(listener)
    assert busy.wait(10)
    stopping = Running(made.stop)
    wait_until(lambda: made._own_address is not None, "it connects to itself")
    go_on.set()
    stopping.result()
    listener.settimeout(10)
    with first, second, listener.accept()[0] as left:
        assert left.getpeername() == second.getsockname()
        assert names == [first.getsockname()]


# Sharing the listener with other processes

SIBLING = """
import os, socket, sys
from mogpoll import Acceptor

listener = socket.socket(fileno=int(sys.argv[1]))

def answer(connection):
    connection.setblocking(True)
    connection.sendall(b"%d" % os.getpid())
    connection.close()

acceptor = Acceptor(listener, answer)
acceptor.start()
print("ready", flush=True)
sys.stdin.readline()
acceptor.stop()
print("stopped", flush=True)
sys.stdin.readline()
listener.detach()
"""


class Sibling:
    """A process that accepts from our listener, and answers with its number."""

    def __init__(self, listener: socket.socket) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", SIBLING, str(listener.fileno())],
            pass_fds=[listener.fileno()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.name = b"%d" % self._process.pid
        self._expect(b"ready")

    def stop_accepting(self) -> None:
        self._say_on()
        self._expect(b"stopped")

    def end(self) -> int:
        self._process.communicate(b"\n\n", timeout=20)
        return self._process.returncode

    def _say_on(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()

    def _expect(self, word: bytes) -> None:
        assert self._process.stdout is not None
        assert Running(self._process.stdout.readline).result().strip() == word


def ask(listener: socket.socket) -> bytes:
    with connect(listener) as client:
        return client.recv(100)


def test_n22_stop_takes_no_connection_from_a_sibling_process(listener: socket.socket) -> None:
    siblings = [Sibling(listener) for _ in range(3)]
    answers: list[bytes] = []
    half, over = threading.Event(), threading.Event()

    def ask_on() -> None:
        while not over.is_set():
            answers.append(ask(listener))
            if len(answers) >= 200:
                half.set()

    def stop_some() -> None:
        assert half.wait(20)
        siblings[0].stop_accepting()
        siblings[1].stop_accepting()
        over.set()

    run_all([ask_on, ask_on, ask_on, stop_some])
    after = [ask(listener) for _ in range(50)]
    assert [sibling.end() for sibling in siblings] == [0, 0, 0]
    names = {sibling.name for sibling in siblings}
    assert set(answers) == names
    assert set(after) == {siblings[2].name}


def test_n22_own_stop_leaves_the_listener_to_a_sibling_process(
    listener: socket.socket, customers: Customers
) -> None:
    with accepting(listener, customers.take):
        sibling = Sibling(listener)
    after = [ask(listener) for _ in range(20)]
    assert sibling.end() == 0
    assert after == [sibling.name] * 20


def test_n30_listener_that_a_sibling_made_non_blocking_is_made_blocking_again(
    listener: socket.socket, customers: Customers
) -> None:
    with accepting(listener, customers.take):
        wait_until_accepting()
        for count in (1, 2, 3):
            os.set_blocking(listener.fileno(), False)
            with connect(listener):
                customers.wait_for(count)
            wait_until(lambda: os.get_blocking(listener.fileno()), "the listener blocks")


def test_n30_listener_that_is_non_blocking_at_the_start(
    listener: socket.socket, customers: Customers
) -> None:
    listener.setblocking(False)
    with accepting(listener, customers.take), connect(listener):
        customers.wait_for(1)
        assert os.get_blocking(listener.fileno())


# Failures


@pytest.mark.parametrize(
    "number",
    [errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.ENETDOWN, errno.EHOSTUNREACH],
    ids=lambda number: errno.errorcode[number],
)
def test_n30_error_of_one_connection_is_passed_over(
    listener: socket.socket, customers: Customers, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    ScriptedAccept(monkeypatch, [number] * 3)
    with accepting(listener, customers.take), connect(listener):
        customers.wait_for(1)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EBADF, errno.ENOTSOCK])
def test_n30_error_of_the_listener_ends_the_thread_loudly(
    listener: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: int,
) -> None:
    ScriptedAccept(monkeypatch, [number])
    made = Acceptor(listener, socket.socket.close)
    made.start()
    wait_until(lambda: not made.is_alive(), "the thread has ended")
    stop(made)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("mogpoll", logging.CRITICAL)
    assert errno.errorcode[number] in record.getMessage()


PRESSURES = [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM]


@pytest.mark.parametrize("number", PRESSURES, ids=lambda number: errno.errorcode[number])
@pytest.mark.parametrize("relieved", [True, False])
def test_n30_pressure_is_told_and_survived(
    listener: socket.socket,
    customers: Customers,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    relieved: bool,
) -> None:
    ScriptedAccept(monkeypatch, [number] * 2)
    told: list[int | None] = []

    def on_pressure(error: OSError) -> bool:
        told.append(error.errno)
        return relieved

    with accepting(listener, customers.take, on_pressure), connect(listener):
        customers.wait_for(1)
    assert told == [number] * 2


def test_n30_stop_does_not_wait_for_the_end_of_pressure(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptor, "_PRESSURE_PAUSE_S", 3600.0)
    ScriptedAccept(monkeypatch, [errno.EMFILE])
    pressed = threading.Event()

    def on_pressure(_: OSError) -> bool:
        pressed.set()
        return False

    with accepting(listener, socket.socket.close, on_pressure):
        assert pressed.wait(10)


OUT_OF_DESCRIPTORS = """
import os, resource, socket
from mogpoll import Acceptor

listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname(), 10)
hoard, accepted, pressures = [], [], []
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
try:
    while True:
        hoard.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass

def on_pressure(error):
    pressures.append(error.errno)
    if len(pressures) < 3:
        return False
    os.close(hoard.pop())
    return True

def on_accept(connection):
    accepted.append(connection.getpeername())
    connection.sendall(b"hello")
    connection.close()

acceptor = Acceptor(listener, on_accept, on_pressure=on_pressure)
acceptor.start()
assert client.recv(100) == b"hello"
assert accepted == [client.getsockname()]
assert len(pressures) == 3, pressures
acceptor.stop()
client.close()
listener.close()
"""


def test_n30_connection_waits_while_descriptors_are_out() -> None:
    done = subprocess.run(
        [sys.executable, "-c", OUT_OF_DESCRIPTORS],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_callback_that_raises_costs_its_connection_only(
    listener: socket.socket, customers: Customers, caplog: pytest.LogCaptureFixture
) -> None:
    def take(connection: socket.socket) -> None:
        customers.take(connection)
        if len(customers.sockets) == 1:
            raise RuntimeError("no room")

    with accepting(listener, take), connect(listener) as first:
        assert first.recv(1) == b""
        with connect(listener):
            customers.wait_for(2)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
