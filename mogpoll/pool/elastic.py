"""Decide how many workers of a pool should run. Pure: numbers in, a number out.

Threads are there for disks that block. Under the interpreter lock each further running thread
costs: a small request takes 15 us of processor time with one, 40 us with sixty. So all threads
exist, few run, and the rest are parked until the running ones are stuck.

A sample divides the running workers into waiting (for an event), busy (finished steps since the
last sample) and stuck (finished none). The rule:

- Some wait: no more are needed, and waiting ones beyond `spare` are parked.
- None waits, events are queued, steps block: start more, twice as many each time.
- None waits, events are queued, steps compute: more threads would only compete for the
  processor, and busy ones beyond `spare` are parked.

Steps block if none was finished, or if they take long while this process leaves the processor
idle. The first test alone would take slow computation for a slow disk, the second alone other
processes' load. They do not block if this process got little processor time while a worker was
runnable: other processes have the processor then.
"""

from __future__ import annotations

from dataclasses import dataclass

# Between a small request (15 us) and an uncached read from the fastest disk (80 us).
_LONG_STEP_S = 60e-6
# Share of one processor. Waiting for a disk that seeks uses far less.
_CPU_BUSY = 0.5


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample of a pool's running workers over `interval_s` seconds.

    `steps` counts finished steps, `backlog` says that events are queued, and `cpu_s` is the
    processor time of the whole process. `ready`: a worker was running or runnable at the end;
    False if the system does not show it.
    """

    waiting: int
    busy: int
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
    """The rule, and how many workers it starts next time.

    `spare` is the number of workers that run while nothing blocks.

    **Threads:** the monitor's only.
    """

    def __init__(self, spare: int) -> None:
        self._spare = spare
        self._ramp = 1

    def decide(self, sample: Sample) -> int:
        """Return how many more workers should run, or fewer if negative."""
        if sample.backlog and not sample.waiting and sample.steps_block():
            more = self._ramp
            self._ramp *= 2
            return more
        self._ramp = 1
        if sample.waiting:
            return -max(0, sample.waiting - self._spare)
        return -max(0, sample.busy - self._spare)
