"""Faults of wakers."""

from __future__ import annotations

from tests.mogpoll.faults.fault import Fault

WAKERS = (
    Fault(
        "waker: a forked child keeps its copy",
        "waker.py",
        "        disown_after_fork(self)\n",
        "",
    ),
    Fault(
        "waker: a forked child inherits a locked lock",
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
            if self._is_set:
                return
            try:
                if self._is_eventfd:
                    os.eventfd_write""",
        """        if True:
            self._check_open()
            if self._is_set:
                return
            try:
                if self._is_eventfd:
                    os.eventfd_write""",
    ),
)
