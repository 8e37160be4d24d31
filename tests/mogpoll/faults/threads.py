"""Faults of acceptors and pools."""

from __future__ import annotations

from tests.mogpoll.faults.fault import Fault

ACCEPTING = "tests/mogpoll/threads/test_acceptor.py"
STOPPING = "tests/mogpoll/threads/test_acceptor_stopping.py"
ASKED = "tests/mogpoll/pool/requests"

THREADS = (
    Fault(
        "stopping: pokes once and never again",
        "stopping.py",
        """        while self.is_alive():
            self._poke()
            self.join(_POKE_INTERVAL_S)""",
        """        self._poke()
        self.join()""",
        STOPPING,
    ),
    Fault(
        "stopping: an ended thread is signalled",
        "stopping.py",
        "            if not self._exited and ident is not None:",
        "            if ident is not None:",
        "tests/mogpoll/threads/test_stopping.py",
    ),
    Fault(
        "stopping: the end is not noted under the lock",
        "stopping.py",
        "            with self._exit_lock:\n                self._exited = True",
        "            self._exited = True",
        "tests/mogpoll/threads/test_stopping.py",
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
        "while self._running:\n            try:\n"
        "                accepted = _accept4(fd, self._peer)",
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
    Fault(
        "workers: armed before the task is in the table",
        "pool/loop.py",
        """                        armed[fd] = task
""",
        """                        rearm(fd, interest)
                        armed[fd] = task
                        interest = None
""",
        "tests/mogpoll/pool/test_workers.py",
    ),
    Fault(
        "workers: a claim does not wait for the arming",
        "pool/loop.py",
        "                if fd in arming:\n                    table.await_arming(fd)\n",
        "",
        "tests/mogpoll/pool/test_workers_parking.py",
    ),
    Fault(
        "workers: the second of two resumed tasks wakes no thread",
        "pool/loop.py",
        "                    if queue:\n                        # This step may block: wake "
        "another worker for the next task.\n                        self.waker.wake()\n",
        "",
        "tests/mogpoll/pool/test_workers_parking.py",
    ),
    Fault(
        "workers: identities of ended threads are kept",
        "pool/loop.py",
        "            self.workers.pop(threading.get_ident(), None)",
        "            pass",
        "tests/mogpoll/pool/test_workers_parking.py",
    ),
    Fault(
        "crew: no thread is started when all are stuck",
        "pool/crew.py",
        "                self._unpark(max(0, change))\n",
        "",
        "tests/mogpoll/pool/test_workers_elasticity.py",
    ),
    Fault(
        "crew: no thread is parked again",
        "pool/crew.py",
        "                self._surplus = max(0, -change)\n",
        "",
        "tests/mogpoll/pool/test_workers_elasticity.py",
    ),
    Fault(
        "workers: a second stop touches the waker that is closed",
        "pool/workers.py",
        "            if self._is_stopped:\n                return True\n",
        "",
        "tests/mogpoll/pool/test_workers_stopped.py",
    ),
    Fault(
        "workers: what is resumed after the stop is kept",
        "pool/loop.py",
        "        except ValueError:\n            self.close_left()\n",
        "        except ValueError:\n            pass\n",
        "tests/mogpoll/pool/test_workers_stopped.py",
    ),
    Fault(
        "workers: a mark that came during the step is not looked for",
        "pool/loop.py",
        """                        if marks:
                            # No longer owned here.""",
        """                        if False:
                            # No longer owned here.""",
        ASKED,
    ),
    Fault(
        "workers: a mark is looked for before the task waits",
        "pool/loop.py",
        """                    try:
                        rearm(fd, interest)
                    except""",
        """                    if id(task) in marks:
                        table.claim_marked(fd, id(task))
                    marks = {}
                    try:
                        rearm(fd, interest)
                    except""",
        ASKED,
    ),
    Fault(
        "table: notified after the task was looked for",
        "pool/table.py",
        "        if fd not in self.arming and self.claim_marked(fd, key):",
        "        if False:",
        ASKED,
    ),
    Fault(
        "table: a task keeps its mark, and is stepped twice",
        "pool/loop.py",
        "                if marks and marks.pop(id(task), None) is _CLOSE:",
        "                if marks and marks.get(id(task), None) is _CLOSE:",
        ASKED,
    ),
    Fault(
        "table: a mark of a task that has gone is kept",
        "pool/table.py",
        "        self.marks.pop(key, None)\n\n    def mark",
        "\n    def mark",
        ASKED,
    ),
    Fault(
        "table: notify overrides a close",
        "pool/table.py",
        "            self.marks.setdefault(key, wanted)",
        "            self.marks[key] = wanted",
        ASKED,
    ),
    Fault(
        "workers: a step leaves the deadline in force",
        "pool/loop.py",
        """                if deadlines:
                    deadlines.pop(id(task), None)
                try:""",
        "                try:",
        ASKED,
    ),
    Fault(
        "timers: a later deadline is forgotten when the entry comes up",
        "pool/timers.py",
        "            self._enter(item, deadline.at)\n",
        "",
        ASKED,
    ),
    Fault(
        "timers: an earlier deadline waits for the entry before",
        "pool/timers.py",
        "            if self._entries.get(key, math.inf) > at:",
        "            if key not in self._entries:",
        ASKED,
    ),
    Fault(
        "timers: a deadline that passes in its step is dropped",
        "pool/timers.py",
        "                self._enter(key, time.monotonic() + deadline.retry_s)",
        "                pass",
        ASKED,
    ),
    Fault(
        "timers: the thread is not woken for an earlier time",
        "pool/timers.py",
        "        if heap[0][2] is item:",
        "        if len(heap) == 1:",
        ASKED,
    ),
    Fault(
        "poller: a close does not wait for the pools",
        "poller.py",
        "            if self._holders:\n                return\n",
        "",
        ASKED,
    ),
    Fault(
        "monitor: who waits for an event is taken for stuck",
        "pool/monitor.py",
        "            if not worker.waiting\n",
        "",
        "tests/mogpoll/pool/test_monitor.py",
    ),
    Fault(
        "monitor: looks as often while nothing is to be done",
        "pool/monitor.py",
        "min(2 * interval_s, _LONGEST_INTERVAL_S)",
        "interval_s",
        "tests/mogpoll/pool/test_monitor.py",
    ),
    Fault(
        "monitor: steps are counted from the beginning, not since the last sample",
        "pool/monitor.py",
        "worker.steps - before\n",
        "worker.steps\n",
        "tests/mogpoll/pool/test_monitor.py",
    ),
    Fault(
        "epoll: a hang-up names no direction",
        "epoll.py",
        "            if meaning == Readiness.HANGUP:",
        "            if False:",
    ),
    Fault(
        "sendfile: a count of 0 is passed on",
        "system/sendfile.py",
        "    if count < 1:",
        "    if count < 0:",
        "tests/mogpoll/system/test_sendfile.py",
    ),
)
