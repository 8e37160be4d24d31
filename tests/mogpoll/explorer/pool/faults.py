"""Small faults of a pool's own lines that the claim is about; each must break it."""

from __future__ import annotations

from tests.mogpoll.explorer.pool.loop_faults import LOOP_FAULTS
from tests.mogpoll.explorer.pool.table_faults import TABLE_FAULTS
from tests.mogpoll.faults import Fault

FAULTS = TABLE_FAULTS + LOOP_FAULTS

# What was tried and does not break the claim, with the reason.
OUTSIDE = {
    "mark: the claim does not look for an arming": "it spares a wait: who takes a task that is "
    "being armed owns it all the same",
    "serve: always the queue's turn": "the claim is not how soon",
    "close: the task stays in the pool until it is closed": "a late call is answered as one a "
    "moment before it",
    "waker: drained after it is armed again": "it wakes one thread more",
    "waker: drained while tasks are queued": "who drains it looks at the queue next, and no step "
    "blocks here",
}

# No faults: with both, a step never begins without a cause; with one, it does.
GAPS = (
    Fault(
        "between a mark and its claim, a step begins that takes the mark",
        "pool/table.py",
        "        task = self.armed.pop(fd, None)\n        if task is None:\n"
        "            return False",
        "        task = claim_at_once(self, fd, key)\n        if task is None:\n"
        "            return False",
    ),
    Fault(
        "between the look for a mark and the step, the mark comes",
        "pool/loop.py",
        "                if marks and marks.pop(id(task), None) is _CLOSE:",
        "                if look_at_once(task) is _CLOSE:",
    ),
)
