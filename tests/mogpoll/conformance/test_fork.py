"""A forked child cannot use its parent's pollers and wakers, and takes nothing from them."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.mogpoll.backends import Backend

PREAMBLE = """
import gc, os, signal, socket, sys, threading
from mogpoll import Interest, PollerClosed, open_poller

READ, WRITE, BOTH = Interest.READ, Interest.WRITE, Interest.READ_WRITE
signal.alarm(30)

def refused(call):
    try:
        call()
    except PollerClosed:
        return True
    return False

def child(run):
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    signal.alarm(15)
    try:
        run()
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)

poller = open_poller()
near, far = socket.socketpair()
fd = near.fileno()
"""

CHILD_IS_REFUSED = """
poller.add(fd, READ)

def run():
    assert refused(lambda: poller.add(far.fileno(), READ))
    assert refused(lambda: poller.rearm(fd, READ))
    assert refused(lambda: poller.rearm(far.fileno(), READ))
    assert refused(lambda: poller.forget(fd))
    assert refused(lambda: poller.wait(0))
    assert refused(lambda: poller.wait())
    assert refused(poller.fileno)
    poller.close()
    poller.close()

assert child(run) == 0
far.send(b"a")
assert poller.wait(10).fd == fd
"""

PARENT_KEEPS_ITS_EVENTS = """
poller.add(fd, WRITE)

def run():
    assert refused(lambda: poller.wait(0))
    poller.close()

for _ in range(3):
    assert child(run) == 0
assert poller.wait(10).fd == fd
assert poller.wait(0) is None
poller.rearm(fd, BOTH)
assert child(run) == 0
assert poller.wait(10).fd == fd
assert poller.wait(0) is None
"""

CHILD_TOUCHES_NO_NUMBER = """
number = poller.fileno()

def run():
    global poller
    while (last := os.open("/dev/null", os.O_RDONLY)) < number + 8:
        pass
    was_open = [fd for fd in range(last + 1) if is_open(fd)]
    assert number in was_open
    poller.close()
    poller = None
    gc.collect()
    assert [fd for fd in range(last + 1) if is_open(fd)] == was_open

def is_open(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True

assert child(run) == 0
"""

CHILD_HAS_POLLERS_OF_ITS_OWN = """
poller.add(fd, READ)

def run():
    own = open_poller()
    a, b = socket.socketpair()
    own.add(a.fileno(), BOTH)
    assert own.wait(10).fd == a.fileno()
    b.send(b"a")
    assert own.wait(0) is None
    own.rearm(a.fileno(), READ)
    assert own.wait(10).fd == a.fileno()
    assert child(lambda: refused(lambda: own.wait(0)) or os._exit(3)) == 0
    own.close()

assert child(run) == 0
assert poller.wait(0) is None
far.send(b"a")
assert poller.wait(10).fd == fd
"""

# At nearly every moment some thread holds each lock.
FORK_UNDER_LOAD = """
pairs = [socket.socketpair() for _ in range(4)]
over = threading.Event()

def arm(end):
    poller.add(end.fileno(), BOTH)
    while not over.is_set():
        poller.rearm(end.fileno(), BOTH)

def take():
    while not over.is_set():
        poller.wait(0.01)

threads = [threading.Thread(target=arm, args=(near,)) for near, _ in pairs]
threads += [threading.Thread(target=take) for _ in range(2)]
for thread in threads:
    thread.start()

def run():
    for near, _ in pairs:
        assert refused(lambda: poller.rearm(near.fileno(), BOTH))
    assert refused(lambda: poller.add(fd, READ))
    own = open_poller()
    own.add(fd, WRITE)
    assert own.wait(10).fd == fd

statuses = [child(run) for _ in range(20)]
over.set()
for thread in threads:
    thread.join()
assert statuses == [0] * 20, statuses
"""

# As if another thread were in `hold`. Under the interpreter lock none is there at a fork.
FORK_BESIDE_A_HOLDER = """
def run():
    poller.hold()
    poller.close()
    poller.release()
    assert refused(lambda: poller.wait(0))

with poller._holds_lock:
    assert child(run) == 0
poller.add(fd, WRITE)
assert poller.wait(10).fd == fd
"""

# One of each kind that the backend accepts, and one without a poller.
WAKERS_ARE_CLOSED = """
from mogpoll import BouncingWaker, Waker
wakers = [Waker(), Waker(pipe=True), BouncingWaker()]
numbers = {waker.attach(poller) for waker in wakers}
wakers.append(Waker())

def closed(call):
    try:
        call()
    except ValueError:
        return True
    return False

def run():
    for waker in wakers:
        assert closed(waker.wake)
        assert closed(waker.drain)
        assert closed(waker.fileno)
        waker.close()
    for number in numbers:
        os.dup2(fd, number)
        assert all(closed(waker.wake) for waker in wakers)
        os.fstat(number)
    own, mine = Waker(), open_poller()
    number = own.attach(mine)
    own.wake()
    assert mine.wait(10).fd == number

assert child(run) == 0
assert poller.wait(0) is None
for waker in wakers:
    waker.wake()
assert {poller.wait(10).fd for _ in numbers} == numbers
assert poller.wait(0) is None
"""

WAKE_BESIDE_FORKS = """
from mogpoll import Waker
waker, over = Waker(), threading.Event()

def wake():
    while not over.is_set():
        waker.wake()

threads = [threading.Thread(target=wake) for _ in range(4)]
for thread in threads:
    thread.start()

def run():
    try:
        waker.wake()
    except ValueError:
        return
    raise AssertionError("not closed")

statuses = [child(run) for _ in range(20)]
over.set()
for thread in threads:
    thread.join()
assert statuses == [0] * 20, statuses
waker.wake()
"""


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(CHILD_IS_REFUSED, id="child_is_refused"),
        pytest.param(PARENT_KEEPS_ITS_EVENTS, id="parent_keeps_its_events"),
        pytest.param(CHILD_TOUCHES_NO_NUMBER, id="child_touches_no_number"),
        pytest.param(CHILD_HAS_POLLERS_OF_ITS_OWN, id="child_has_pollers_of_its_own"),
        pytest.param(FORK_UNDER_LOAD, id="fork_under_load"),
        pytest.param(FORK_BESIDE_A_HOLDER, id="fork_beside_a_holder"),
        pytest.param(WAKERS_ARE_CLOSED, id="wakers_are_closed"),
        pytest.param(WAKE_BESIDE_FORKS, id="wake_beside_forks"),
    ],
)
def test_n17_fork(backend: Backend, script: str) -> None:
    done = subprocess.run(
        # Python 3.12 warns of a fork beside threads.
        [sys.executable, "-P", "-W", "ignore", "-c", PREAMBLE + script],
        env=backend.environment(),
        check=False,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert (done.returncode, done.stderr) == (0, "")
