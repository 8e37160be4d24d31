"""Decide how many workers should run, from what they were seen doing.

Threads exist because disks block. Under the interpreter lock, threads that all run cost
more than they give: a small request costs 15 us of processor time with one running thread
and 40 us with sixty. So all threads exist, few run, and the rest stand by until the
running ones are stuck.

A look at the pool tells workers that wait for an event from workers that have finished
steps since the last look (busy) and from those that have not (stuck). The decision:

- somebody waits: nobody else is needed, and of many who wait some may stand by;
- nobody waits, events are queued, and steps block: start more, doubling with each look;
- nobody waits, events are queued, and steps compute: more threads would only fight for
  the processor, so of many who are busy some may stand by.

Steps block when none was finished, or when they take long and the processor is idle
meanwhile. The first condition alone would call slow computing a blocked disk; the second
alone would do so whenever other processes take the processor away. They do not block when
this process had little of the processor and one of its workers wants more of it: others
have it then, and another thread would only share what is left.

Pure: numbers in, a number out.
"""

from __future__ import annotations

from dataclasses import dataclass

# A small request takes 15 us; a read from the fastest disk that is not cached, 80 us.
_LONG_STEP_S = 60e-6
# Of one processor. A disk that seeks leaves hardly any of it used.
_CPU_BUSY = 0.5


@dataclass(frozen=True, slots=True)
class Look:
    """What the workers of a pool were seen doing during the last `interval_s`.

    `cpu_s` is the processor time of the whole process. `ready` tells that a worker ran or
    waited for a processor when it was over; False where the system does not say.
    """

    waiting: int
    busy: int
    stuck: int
    steps: int
    backlog: bool
    interval_s: float
    cpu_s: float
    ready: bool = False

    def steps_block(self) -> bool:
        idle = self.cpu_s < _CPU_BUSY * self.interval_s
        if idle and self.ready:
            return False
        if not self.steps:
            return True
        return idle and self.busy * self.interval_s / self.steps > _LONG_STEP_S


class Elastic:
    """The rule and its only memory: how many to start next time.

    `spare` is the number of workers that should run while nothing blocks.

    **Threads:** the monitor's.
    """

    def __init__(self, spare: int) -> None:
        self._spare = spare
        self._ramp = 1

    def decide(self, look: Look) -> int:
        """Return how many more workers should run; negative: how many fewer."""
        if look.backlog and not look.waiting and look.steps_block():
            more = self._ramp
            self._ramp *= 2
            return more
        self._ramp = 1
        if look.waiting:
            return -max(0, look.waiting - self._spare)
        return -max(0, look.busy - self._spare)
