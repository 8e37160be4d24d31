"""Faults of the workers' loop and of the waker."""

from __future__ import annotations

from tests.mogpoll.faults import Fault

_BEGIN = """                if marks and marks.pop(id(task), None) is _CLOSE:
                    self._close(fd, task)
                    task = None
                    continue
"""
_STEP = """                try:
                    verdict = task.step(workspace)
                except BaseException:
                    log_exception("a step of %r failed", task)
                    verdict = _CLOSE
"""
_DEADLINES = """                if deadlines:
                    deadlines.pop(id(task), None)
"""
_ARMED = """                        arming.discard(fd)
                        if marks:
                            # No longer owned here.
                            stepped, task = task, None
                            table.claim_if_marked(fd, stepped)
"""
_NOTIFIED = """                    armed[fd] = stepped = task
                    task = None
                    if marks:
                        table.claim_if_marked(fd, stepped)
"""
_AWAIT = """                if fd in arming:
                    table.await_arming(fd)
"""
_CLOSE = """        try:
            if fd >= 0:
                self._poller.forget(fd)
        except PollerClosed:
            pass  # the pool stopped before the task was resumed
        except BaseException:
            log_exception("could not forget %r", task)
"""
_DRAIN = """            self._is_set = False
            try:
                if self._is_eventfd:
                    os.eventfd_read(self._read_fd)
                else:
                    while len(os.read(self._read_fd, 4096)) == 4096:
                        pass
            except BlockingIOError:
                return
            finally:
                self._is_set = False
"""
_ARMING = """                    arming.add(fd)
                    try:
                        armed[fd] = task
                    except BaseException:
                        arming.discard(fd)
                        raise
"""

# Each with the subject whose search finds it.
LOOP_FAULTS = (
    Fault(
        "serve: marks stay when a step begins",
        "pool/loop.py",
        _BEGIN,
        _BEGIN.replace("marks.pop(", "marks.get("),
        "pool: notified",
    ),
    Fault(
        "serve: the arming stays noted",
        "pool/loop.py",
        _ARMED,
        _ARMED.replace("                        arming.discard(fd)\n", ""),
        "pool: notified",
    ),
    Fault(
        "serve: armed before it is a task that waits",
        "pool/loop.py",
        "armed[fd] = task\n                    except",
        (
            "rearm(fd, interest)\n                        "
            "armed[fd] = task\n                        continue\n                    except"
        ),
        "pool: notified",
    ),
    Fault(
        "serve: NOTIFIED does not wait",
        "pool/loop.py",
        _NOTIFIED,
        "                    task = None\n",
        "pool: notified",
    ),
    Fault(
        "serve: the queue is not looked at",
        "pool/loop.py",
        "                if queue and not is_pollers_turn:",
        "                if False:",
        "pool: notified",
    ),
    Fault(
        "serve: a queued task stays in the queue",
        "pool/loop.py",
        "                        task, worker.reason = queue.popleft()",
        "                        task, worker.reason = queue[0]",
        "pool: notified",
    ),
    Fault(
        "waker: never drained",
        "pool/loop.py",
        "                self.waker.drain()\n",
        "                pass\n",
        "pool: notified",
    ),
    Fault(
        "waker: a wake leaves the note that it is set, and writes nothing",
        "waker.py",
        "                    os.eventfd_write(self._write_fd, 1)\n",
        "                    pass\n",
        "pool: notified",
    ),
    Fault(
        "serve: marks are taken after the step",
        "pool/loop.py",
        "                # This step is what was asked for.\n" + _BEGIN + _DEADLINES + _STEP,
        _STEP + "                if marks and marks.pop(id(task), None) is _CLOSE:\n"
        "                    verdict = _CLOSE\n",
        "pool: 2 notify",
    ),
    Fault(
        "waker: received and not armed again",
        "pool/loop.py",
        "            self.waker.receive(self._poller)\n            return leave\n",
        "            return leave\n",
        "pool: 2 notify",
    ),
    Fault(
        "waker: a drain leaves the note that it is set",
        "waker.py",
        _DRAIN,
        _DRAIN.replace("            finally:\n                self._is_set = False\n", "").replace(
            "            self._is_set = False\n", ""
        ),
        "pool: 2 notify",
    ),
    Fault(
        "serve: a close counts as a notification",
        "pool/loop.py",
        "marks.pop(id(task), None) is _CLOSE",
        "marks.pop(id(task), None) is None",
        "pool: closed",
    ),
    Fault(
        "serve: marks are not looked for after an arming",
        "pool/loop.py",
        _ARMED,
        "                        arming.discard(fd)\n",
        "pool: closed",
    ),
    Fault(
        "serve: marks are looked for before the task waits",
        "pool/loop.py",
        _ARMING,
        (
            "                    arming.add(fd)\n                    if id(task) in marks:\n"
            "                        table.claim_if_marked(fd, task)\n"
            "                    armed[fd] = task\n                    rearm(fd, interest)\n"
            "                    arming.discard(fd)\n                    task = None\n"
            "                    continue\n"
        ),
        "pool: closed",
    ),
    Fault(
        "serve: marks are not looked for after NOTIFIED",
        "pool/loop.py",
        _NOTIFIED,
        _NOTIFIED.partition("                    if marks")[0],
        "pool: closed",
    ),
    Fault(
        "serve: marks are looked for before NOTIFIED",
        "pool/loop.py",
        _NOTIFIED,
        (
            "                    if marks:\n"
            "                        table.claim_if_marked(fd, task)\n"
            "                    armed[fd] = task\n                    task = None\n"
        ),
        "pool: closed",
    ),
    Fault(
        "serve: the task of an event stays in the table",
        "pool/loop.py",
        "                    task = take(fd, None)\n                    if task is None:",
        "                    task = armed.get(fd)\n                    if task is None:",
        "pool: closed",
    ),
    Fault(
        "serve: PARKED closes",
        "pool/loop.py",
        "                elif verdict is not _PARKED:",
        "                else:",
        "pool: added twice",
    ),
    Fault(
        "close: the number is free before it is forgotten",
        "pool/loop.py",
        _CLOSE + "        self.table.drop(id(task))\n        try:\n            task.close()\n",
        (
            "        task.close()\n" + _CLOSE + "        self.table.drop(id(task))\n        try:\n"
            "            pass\n"
        ),
        "pool: closed, and its number again",
    ),
    Fault(
        "close: nothing is forgotten",
        "pool/loop.py",
        "            if fd >= 0:",
        "            if False:",
        "pool: closed, and its number again",
    ),
    Fault(
        "serve: an arming is not awaited",
        "pool/loop.py",
        _AWAIT,
        "",
        "pool: closed, 2 workers",
    ),
    Fault(
        "serve: an arming is not noted",
        "pool/loop.py",
        _ARMING,
        "                    armed[fd] = task\n",
        "pool: closed, 2 workers",
    ),
    Fault(
        "serve: marks are looked for before the arming",
        "pool/loop.py",
        _ARMING,
        (
            "                    armed[fd] = task\n                    if marks:\n"
            "                        table.claim_if_marked(fd, task)\n"
            "                    rearm(fd, interest)\n                    task = None\n"
            "                    continue\n"
        ),
        "pool: closed, 2 workers",
    ),
    Fault(
        "serve: PARKED waits",
        "pool/loop.py",
        "                elif verdict is _NOTIFIED:",
        "                elif verdict is _NOTIFIED or verdict is _PARKED:",
        "pool: parked and notified",
    ),
    Fault(
        "serve: two take the last of the queue",
        "pool/loop.py",
        "                    except IndexError:\n                        continue\n",
        "                    except IndexError:\n                        raise\n",
        "pool: parked, 2 workers",
    ),
    Fault(
        "serve: waits while tasks are queued",
        "pool/loop.py",
        "event = wait(0)",
        "event = wait()",
        "pool: 1 worker, 2 notify",
    ),
)
