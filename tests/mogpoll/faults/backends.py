"""Faults of the two backends."""

from __future__ import annotations

from tests.mogpoll.faults.fault import Fault

SCRIPTED = "tests/mogpoll/kqueue/test_kqueue_changes.py"
PROFILES = "tests/mogpoll/kqueue/test_profiles.py"
EXACTLY = "tests/mogpoll/conformance/test_exactly_once.py"

BACKENDS = (
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
        except (OSError, ValueError) as error:
            self._registered.pop(fd, None)
            raise self._refusal(fd, error) from None
""",
        """        if fd in self._registered:
            raise AlreadyRegistered(fd)
        try:
            self._epoll.register(fd, mask)
        except (OSError, ValueError) as error:
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
        "epoll: half close is not reported",
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
        "epoll: a time-out longer than the kernel takes is passed on",
        "epoll.py",
        "            timeout_s = clip_timeout(timeout_s)\n",
        "            pass\n",
    ),
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
        "self._api.KQ_EV_ADD | self._api.KQ_EV_ONESHOT",
        "self._api.KQ_EV_ADD",
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
        "kqueue: serial is entered after the kernel call",
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
        "kqueue: end of file is not reported",
        "kqueue.py",
        "event.flags & (self._api.KQ_EV_EOF | self._api.KQ_EV_ERROR)",
        "event.flags & self._api.KQ_EV_ERROR",
    ),
    Fault(
        "kqueue: a forked child inherits a locked lock",
        "kqueue.py",
        "        self._lock = threading.Lock()\n        _abandoned",
        "        _abandoned",
    ),
    Fault(
        "kqueue: a pipe without a reader is a bad descriptor on NetBSD",
        "kqueue.py",
        "            return filter_ == self._write and is_pipe(fd)\n",
        "            return False\n",
        PROFILES,
    ),
    Fault(
        "kqueue: a closed descriptor is taken for a pipe without a reader",
        "kqueue.py",
        "            return filter_ == self._write and is_pipe(fd)\n",
        "            return filter_ == self._write\n",
        PROFILES,
    ),
    Fault(
        "kqueue: the queue may watch itself",
        "kqueue.py",
        "            if fd == self._kqueue.fileno():\n",
        "            if False:\n",
        PROFILES,
    ),
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
        EXACTLY + "::test_n07_n10_event_of_a_forgotten_file_is_not_delivered",
    ),
    Fault(
        "epoll: a hang-up is reported to a second owner",
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
        EXACTLY + "::test_n07_n10_event_of_a_forgotten_file_is_not_delivered",
    ),
)
