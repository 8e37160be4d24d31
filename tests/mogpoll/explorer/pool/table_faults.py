"""Faults of the table of tasks."""

from __future__ import annotations

from tests.mogpoll.faults import Fault

_LOOK = """        if fd not in self.arming and self.claim_marked(fd, key):
            # Even in a worker: its step may block.
            self._wake()
"""
_MARK = """        if wanted is Next.CLOSE:
            self.marks[key] = wanted
        else:
            self.marks.setdefault(key, wanted)
"""
_AGAIN = """        if key not in self.members:
            self.marks.pop(key, None)
            return False
"""
_LEAVE = """        fd = self.members.pop(key, -1)
        self.numbers.discard(fd)
"""
_DROP = f"""{_LEAVE}        self.deadlines.pop(key, None)
        # After it: a thread that marks the task looks again whether it is a member.
        self.marks.pop(key, None)
"""
_PUT = """        try:
            self.queue.append((task, reason))
        except MemoryError:
            self._refuse(task)
            return
        if threading.get_ident() not in self._steppers:
            self._wake()
"""

# Each with the subject whose search finds it.
TABLE_FAULTS = (
    Fault(
        "mark: no claim of a task that waits",
        "pool/table.py",
        _LOOK,
        "",
        "pool: notified",
    ),
    Fault(
        "mark: the claim comes before the mark",
        "pool/table.py",
        _MARK + _AGAIN + "        # The thread "
        "that arms it now looks for the mark afterwards. `add` may still fail: it must\n"
        "        # not lose the task to a claimant.\n" + _LOOK,
        _LOOK + _MARK + _AGAIN,
        "pool: notified",
    ),
    Fault(
        "claim_marked: does not queue",
        "pool/table.py",
        "        self.put(task, Reason.NOTIFIED",
        "        (task, Reason.NOTIFIED",
        "pool: notified",
    ),
    Fault(
        "add: the arming stays noted",
        "pool/table.py",
        "            finally:\n                self.arming.discard(fd)\n",
        "            finally:\n                pass\n",
        "pool: notified",
    ),
    Fault(
        "mark: no mark",
        "pool/table.py",
        "            self.marks.setdefault(key, wanted)",
        "            pass",
        "pool: 2 notify",
    ),
    Fault(
        "mark: no second look whether it is a member",
        "pool/table.py",
        _AGAIN,
        "",
        "pool: closed and notified",
    ),
    Fault(
        "mark: the second look leaves the mark",
        "pool/table.py",
        _AGAIN,
        _AGAIN.replace("            self.marks.pop(key, None)\n", ""),
        "pool: closed and notified",
    ),
    Fault(
        "mark: a notification overrides a close",
        "pool/table.py",
        "            self.marks.setdefault(key, wanted)",
        "            self.marks[key] = wanted",
        "pool: closed and notified",
    ),
    Fault(
        "mark: a close does not override a notification",
        "pool/table.py",
        "            self.marks[key] = wanted",
        "            self.marks.setdefault(key, wanted)",
        "pool: closed and notified",
    ),
    Fault(
        "drop: marks first",
        "pool/table.py",
        _DROP,
        "        self.marks.pop(key, None)\n" + _LEAVE,
        "pool: closed and notified",
    ),
    Fault(
        "drop: marks stay",
        "pool/table.py",
        _DROP,
        _LEAVE,
        "pool: closed and notified",
    ),
    Fault(
        "drop: members stay",
        "pool/table.py",
        _DROP,
        "        self.marks.pop(key, None)\n",
        "pool: closed",
    ),
    Fault(
        "claim_if_marked: no look",
        "pool/table.py",
        "        if id(task) in self.marks:\n",
        "        if False:\n",
        "pool: closed",
    ),
    Fault(
        "claim_if_marked: takes the mark",
        "pool/table.py",
        "        if id(task) in self.marks:\n",
        "        if self.marks.pop(id(task), None):\n",
        "pool: closed",
    ),
    Fault(
        "claim_marked: the task stays in the table",
        "pool/table.py",
        "        task = self.armed.pop(fd, None)\n        if task is None:\n",
        "        task = self.armed.get(fd, None)\n        if task is None:\n",
        "pool: closed",
    ),
    Fault(
        "claim_if_marked: claims without a mark",
        "pool/table.py",
        "        if id(task) in self.marks:\n",
        "        if True:\n",
        "pool: 2 tasks, notified again and again",
    ),
    Fault(
        "put: nobody is woken",
        "pool/table.py",
        _PUT,
        "        self.queue.append((task, reason))\n",
        "pool: added twice",
    ),
    Fault(
        "put: wakes before it queues",
        "pool/table.py",
        _PUT,
        "        self._wake()\n        self.queue.append((task, reason))\n",
        "pool: added twice",
    ),
    Fault(
        "add: a task that is in a step is taken",
        "pool/table.py",
        "            if key in self.members or fd in self.numbers:",
        "            if False:",
        "pool: added twice",
    ),
    Fault(
        "add: armed before it is a task that waits",
        "pool/table.py",
        "                self.armed[fd] = task\n                is_armed = True\n",
        (
            "                self._poller.add(fd, interest)\n"
            "                self.armed[fd] = task\n"
            "                return\n"
        ),
        "pool: closed, and its number again",
    ),
    Fault(
        "add: a task that another has taken stays its caller's",
        "pool/table.py",
        "        return self.armed.pop(fd, None) is not None\n",
        "        return self.armed.pop(fd, None) is None or True\n",
        "pool: closed, and its number again",
    ),
    Fault(
        "drop: numbers stay",
        "pool/table.py",
        "        self.numbers.discard(fd)\n",
        "",
        "pool: closed",
    ),
    Fault(
        "add: a task that could not be added stays",
        "pool/table.py",
        "                    self.drop(key)\n                    raise\n",
        "                    raise\n",
        "pool: closed, and its number again",
    ),
    Fault(
        "add: an arming is not noted",
        "pool/table.py",
        "                self.arming.add(fd)\n",
        "",
        "pool: closed, and its number again",
    ),
    Fault(
        "add: a mark that came meanwhile is not looked for",
        "pool/table.py",
        "                self.arming.discard(fd)\n        self.claim_if_marked(fd, task)\n",
        "                self.arming.discard(fd)\n",
        "pool: its number again, notified",
    ),
    Fault(
        "add: marks are looked for while it counts as being armed",
        "pool/table.py",
        "                self.arming.discard(fd)\n        self.claim_if_marked(fd, task)\n",
        (
            "                self.claim_if_marked(fd, task)\n"
            "                self.arming.discard(fd)\n"
        ),
        "pool: its number again, notified",
    ),
    Fault(
        "await_arming: does not wait",
        "pool/table.py",
        "        while fd in self.arming:\n",
        "        while False:\n",
        "pool: closed, 2 workers",
    ),
)
