"""Small faults for mogpoll, each of which some test must notice; see `mutations`."""

from __future__ import annotations

from dataclasses import dataclass

ACCEPTING = "tests/mogpoll/test_acceptor.py"
STOPPING = "tests/mogpoll/test_acceptor_stopping.py"
CONFORMANCE = "tests/mogpoll/conformance"
SCRIPTED = "tests/mogpoll/test_kqueue_changes.py"
EXACTLY = "tests/mogpoll/conformance/test_exactly_once.py"


@dataclass(frozen=True)
class Fault:
    """A piece of the source, what to put in its place, and where it should be noticed."""

    name: str
    module: str
    old: str
    new: str
    tests: str = CONFORMANCE


FAULTS = (
    # The contract
    Fault(
        "epoll: armed for ever, not once",
        "epoll.py",
        "_EPOLLONESHOT = 1 << 30",
        "_EPOLLONESHOT = 0",
    ),
    Fault(
        "epoll: the table is filled after the kernel",
        "epoll.py",
        """        if self._registered.setdefault(fd, claim := object()) is not claim:
            raise AlreadyRegistered(fd)
        try:
            self._epoll.register(fd, mask)
        except (OSError, OverflowError, ValueError) as error:
            self._registered.pop(fd, None)
            raise self._refusal(fd, error) from None
""",
        """        if fd in self._registered:
            raise AlreadyRegistered(fd)
        try:
            self._epoll.register(fd, mask)
        except (OSError, OverflowError, ValueError) as error:
            raise self._refusal(fd, error) from None
        self._registered[fd] = object()
""",
    ),
    Fault(
        "epoll: a refused descriptor stays in the table",
        "epoll.py",
        """            self._registered.pop(fd, None)
            raise self._refusal""",
        "            raise self._refusal",
    ),
    Fault(
        "epoll: forget leaves the table entry",
        "epoll.py",
        "            del self._registered[fd]\n        except KeyError:",
        "            self._registered[fd]\n        except KeyError:",
    ),
    Fault(
        "epoll: forget leaves the kernel's entry",
        "epoll.py",
        "            self._epoll.unregister(fd)\n",
        "            pass\n",
    ),
    Fault(
        "epoll: half close is not told",
        "epoll.py",
        "_IN = _EPOLLIN | _EPOLLRDHUP | _EPOLLONESHOT",
        "_IN = _EPOLLIN | _EPOLLONESHOT",
    ),
    Fault(
        "epoll: a forked child keeps its copy",
        "epoll.py",
        "        disown_after_fork(self)\n",
        "",
    ),
    Fault(
        "epoll: negative time-out waits for ever",
        "epoll.py",
        "            timeout_s = clip_timeout(timeout_s)\n",
        "            pass\n",
    ),
    # Kqueue
    Fault(
        "kqueue: late twin is not dropped",
        "kqueue.py",
        "            fd = self._armed.pop(event.udata, None)\n            if fd is not None:",
        "            fd = event.ident\n            if self._armed.pop(event.udata, None) or True:",
    ),
    Fault(
        "kqueue: serial is looked at and not taken",
        "kqueue.py",
        "            fd = self._armed.pop(event.udata, None)\n",
        "            fd = self._armed.get(event.udata)\n",
    ),
    Fault(
        "kqueue: every arming has the same serial",
        "kqueue.py",
        "serial = self._serial | (filters == 2)\n",
        "serial = fd\n",
    ),
    Fault(
        "kqueue: armed for ever, not once",
        "kqueue.py",
        "self._kernel.KQ_EV_ADD | self._kernel.KQ_EV_ONESHOT",
        "self._kernel.KQ_EV_ADD",
    ),
    Fault(
        "kqueue: forget leaves the table entry",
        "kqueue.py",
        "                last = self._registered.pop(fd)\n",
        "                last = self._registered[fd]\n",
    ),
    Fault(
        "kqueue: forget leaves the serial",
        "kqueue.py",
        """            self._armed.pop(last, None)
        for filter_ in""",
        "        for filter_ in",
        SCRIPTED,
    ),
    Fault(
        "kqueue: rearm leaves the serial before",
        "kqueue.py",
        """            self._armed.pop(last, None)
            serial = self._draw_serial""",
        "            serial = self._draw_serial",
    ),
    Fault(
        "kqueue: serial is entered after the kernel was told",
        "kqueue.py",
        """            serial = self._draw_serial(fd, len(filters))
            if last & 1 or serial & 1:
                self._arm(fd, filters, serial)
                return
        self._arm(fd, filters, serial)
""",
        """            serial = self._draw_serial(fd, len(filters))
            del self._armed[serial]
            if last & 1 or serial & 1:
                self._arm(fd, filters, serial)
                self._armed[serial] = fd
                return
        self._arm(fd, filters, serial)
        self._armed[serial] = fd
""",
    ),
    Fault(
        "kqueue: two filters are set without the lock",
        "kqueue.py",
        "            if last & 1 or serial & 1:",
        "            if False:",
    ),
    Fault(
        "kqueue: only one of two directions is armed",
        "kqueue.py",
        "Interest.READ_WRITE: (self._read, self._write),",
        "Interest.READ_WRITE: (self._read,),",
    ),
    Fault(
        "kqueue: files are not refused",
        "kqueue.py",
        "            refuse_unpollable(fd)\n",
        "            pass\n",
    ),
    Fault(
        "kqueue: changes and waits in one call",
        "kqueue.py",
        "                ready = self._control(None, 1, timeout_s)\n",
        "                ready = self._control([], 2, timeout_s)\n",
        SCRIPTED,
    ),
    Fault(
        "kqueue: end of file is not told",
        "kqueue.py",
        "event.flags & (self._kernel.KQ_EV_EOF | self._kernel.KQ_EV_ERROR)",
        "event.flags & self._kernel.KQ_EV_ERROR",
    ),
    Fault(
        "kqueue: a forked child meets a lock that nobody will open",
        "kqueue.py",
        "        self._lock = threading.Lock()\n        _abandoned",
        "        _abandoned",
    ),
    # Wakers
    Fault(
        "waker: a forked child keeps its copy",
        "waker.py",
        "        disown_after_fork(self)\n",
        "",
    ),
    Fault(
        "waker: a forked child meets a lock that nobody will open",
        "waker.py",
        "        self._lock = threading.RLock()\n        self.close()\n",
        "        self.close()\n",
    ),
    Fault(
        "waker: the bouncing one is drained",
        "waker.py",
        "        poller.rearm(self.fileno(), Interest.READ)",
        "        self.drain()\n        poller.rearm(self.fileno(), Interest.READ)",
    ),
    Fault(
        "waker: the bouncing one is not handed on",
        "waker.py",
        "        poller.rearm(self.fileno(), Interest.READ)",
        "        self.fileno()",
    ),
    Fault(
        "waker: the drained one wakes only once",
        "waker.py",
        "        self.drain()\n        poller.rearm(self._read_fd, Interest.READ)",
        "        self.drain()",
    ),
    Fault(
        "waker: receive does not drain",
        "waker.py",
        "        self.drain()\n        poller.rearm(self._read_fd, Interest.READ)",
        "        self.fileno()\n        poller.rearm(self._read_fd, Interest.READ)",
    ),
    Fault(
        "waker: a full pipe is an error",
        "waker.py",
        """            except BlockingIOError:
                # Full""",
        """            except ZeroDivisionError:
                # Full""",
    ),
    Fault(
        "waker: a wake before attach is lost",
        "waker.py",
        "                if was_woken:\n                    self.wake()\n",
        "",
    ),
    Fault(
        "waker: a number may be closed while it is used",
        "waker.py",
        """        with self._lock:
            self._check_open()
            try:
                if self._is_eventfd:
                    os.eventfd_write""",
        """        if True:
            self._check_open()
            try:
                if self._is_eventfd:
                    os.eventfd_write""",
    ),
    # Acceptor
    Fault(
        "stopping: pokes once and never again",
        "stopping.py",
        """        while self._thread.is_alive():
            self._poke()
            self._thread.join(_POKE_INTERVAL_S)""",
        """        self._poke()
        self._thread.join()""",
        STOPPING,
    ),
    Fault(
        "stopping: an ended thread is signalled",
        "stopping.py",
        "            if not self._exited and self._thread.ident is not None:",
        "            if self._thread.ident is not None:",
        "tests/mogpoll/test_stopping.py",
    ),
    Fault(
        "stopping: the end is not noted under the lock",
        "stopping.py",
        "            with self._exit_lock:\n                self._exited = True",
        "            self._exited = True",
        "tests/mogpoll/test_stopping.py",
    ),
    Fault(
        "acceptor: an interrupted accept ends the thread",
        "acceptor.py",
        "        if number == errno.EINTR or number in _TRY_NEXT:",
        "        if number == errno.EINTR:\n            return False\n"
        "        if number in _TRY_NEXT:",
        ACCEPTING,
    ),
    Fault(
        "acceptor: EINTR is lost, as Python's own accept loses it",
        "acceptor.py",
        "while self._running:\n            try:\n                accepted = _accept4(fd)",
        "while self._running:\n            try:\n"
        "                accepted = self._listener.accept()[0].detach()",
        STOPPING,
    ),
    Fault(
        "acceptor: the listener is shut down",
        "acceptor.py",
        "        self._resumed.set()\n",
        "        self._resumed.set()\n        self._listener.shutdown(socket.SHUT_RDWR)\n",
        STOPPING,
    ),
    Fault(
        "acceptor: pressure ends the thread",
        "acceptor.py",
        "        if number in _PRESSURE:",
        "        if False:",
        ACCEPTING,
    ),
    Fault(
        "acceptor: a non-blocking listener stays so",
        "acceptor.py",
        "            os.set_blocking(self._listener.fileno(), True)\n",
        "            time.sleep(0.001)\n",
        STOPPING,
    ),
    # Pool
    Fault(
        "workers: armed before the task is in the table",
        "workers.py",
        """                armed[fd] = task
                try:
                    rearm(fd, interest)
""",
        """                try:
                    rearm(fd, interest)
                    armed[fd] = task
""",
        "tests/mogpoll/test_workers.py",
    ),
    Fault(
        "workers: a claim does not wait for the arming",
        "workers.py",
        "                if fd in arming:\n                    self._await_arming(fd)\n",
        "",
        "tests/mogpoll/test_workers_parking.py",
    ),
    Fault(
        "workers: the second of two resumed tasks wakes nobody",
        "workers.py",
        "                if resumed:\n                    # This step may block: somebody else "
        "should have the next one.\n                    self._waker.wake()\n",
        "",
        "tests/mogpoll/test_workers_parking.py",
    ),
    Fault(
        "workers: identities of ended threads are kept",
        "workers.py",
        "            self._idents.discard(threading.get_ident())",
        "            pass",
        "tests/mogpoll/test_workers_parking.py",
    ),
    Fault(
        "workers: nobody is started when all are stuck",
        "workers.py",
        "                self._unpark(max(0, change))\n",
        "",
        "tests/mogpoll/test_workers_elasticity.py",
    ),
    Fault(
        "workers: nobody stands by again",
        "workers.py",
        "                self._surplus = max(0, -change)\n",
        "",
        "tests/mogpoll/test_workers_elasticity.py",
    ),
    Fault(
        "workers: a second stop touches the waker that is closed",
        "workers.py",
        "            if self._is_stopped:\n                return True\n",
        "",
        "tests/mogpoll/test_workers_stopped.py",
    ),
    Fault(
        "workers: what is resumed after the stop is kept",
        "workers.py",
        "        except ValueError:\n            self._close_left()\n",
        "        except ValueError:\n            pass\n",
        "tests/mogpoll/test_workers_stopped.py",
    ),
    Fault(
        "monitor: who waits for an event is taken for stuck",
        "monitor.py",
        "            if not worker.waiting\n",
        "",
        "tests/mogpoll/test_monitor.py",
    ),
    Fault(
        "monitor: looks as often while nothing is to be done",
        "monitor.py",
        "min(2 * interval_s, _LONGEST_INTERVAL_S)",
        "interval_s",
        "tests/mogpoll/test_monitor.py",
    ),
    Fault(
        "monitor: steps are counted from the beginning, not since the last look",
        "monitor.py",
        "worker.steps - before\n",
        "worker.steps\n",
        "tests/mogpoll/test_monitor.py",
    ),
    Fault(
        "epoll: a hang-up names no direction",
        "epoll.py",
        "            if meaning == Readiness.HANGUP:",
        "            if False:",
    ),
    Fault(
        "sendfile: a count of 0 is passed on",
        "sendfile.py",
        "    if count < 1:",
        "    if count < 0:",
        "tests/mogpoll/test_sendfile.py",
    ),
    # What a crowd is told, counted exactly
    Fault(
        "epoll: one event in a hundred is lost",
        "epoll.py",
        "        fd, mask = ready[0]\n",
        """        self._count = getattr(self, "_count", 0) + 1
        if self._count % 100 == 0:
            return self.wait(timeout_s)
        fd, mask = ready[0]
""",
        EXACTLY,
    ),
    Fault(
        "epoll: one event in a hundred is given to two threads",
        "epoll.py",
        "        fd, mask = ready[0]\n",
        """        fd, mask = ready[0]
        self._count = getattr(self, "_count", 0) + 1
        if self._count % 100 == 0 and fd in self._registered:
            self._modify(fd, mask | _EPOLLONESHOT)
""",
        EXACTLY,
    ),
    Fault(
        "epoll: forget leaves the kernel's entry of a file that stays open",
        "epoll.py",
        "            self._epoll.unregister(fd)\n",
        "            pass\n",
        EXACTLY + "::test_n07_n10_event_of_a_forgotten_file_is_nobodys",
    ),
    Fault(
        "epoll: a hang-up is told of to a second owner",
        "epoll.py",
        "        fd, mask = ready[0]\n",
        """        fd, mask = ready[0]
        if not mask & _EPOLLHUP and fd in self._registered:
            self._modify(fd, _EPOLLRDHUP | _EPOLLONESHOT)
""",
        "tests/mogpoll/conformance/test_ends.py",
    ),
    Fault(
        "kqueue: one event in a hundred is lost",
        "kqueue.py",
        "            if fd is not None:\n                return _new_event",
        "            if fd is not None and event.udata % 200 > 1:\n"
        "                return _new_event",
        EXACTLY,
    ),
    Fault(
        "kqueue: one event in a hundred is given to two threads",
        "kqueue.py",
        "            if fd is not None:\n                return _new_event",
        """            if fd is not None and event.udata % 200 < 2 and fd in self._registered:
                self.rearm(fd, Interest.READ)
            if fd is not None:
                return _new_event""",
        EXACTLY,
    ),
    Fault(
        "kqueue: forget leaves the kernel's filters and the serial",
        "kqueue.py",
        """            self._armed.pop(last, None)
        for filter_ in (self._read, self._write):
""",
        "        for filter_ in ():\n",
        EXACTLY + "::test_n07_n10_event_of_a_forgotten_file_is_nobodys",
    ),
)
