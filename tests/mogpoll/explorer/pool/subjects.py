"""What is explored of a pool: threads, tasks, and what their steps return."""

from __future__ import annotations

from dataclasses import dataclass

from mogpoll.pool.step import Next
from tests.mogpoll.explorer.pool.world import PoolWorld
from tests.mogpoll.explorer.search import Outcome, Search
from tests.mogpoll.faults import Fault


@dataclass(frozen=True, slots=True)
class PoolSubject:
    """Threads by the function that each runs, and tasks by the number of each.

    Of tasks with one number the first is in the pool, and the next are added once it is closed:
    the kernel may refuse them. Data arrives for each once, or never, or `endless`. If `is_exact`,
    each step has to have a cause.
    """

    name: str
    threads: tuple[str, ...]
    verdicts: tuple[Next, ...]
    numbers: tuple[int, ...] = (0,)
    data: str = "once"
    # Those that are closed.
    gaps: tuple[Fault, ...] = ()
    is_exact: bool = False

    @property
    def has_comers(self) -> bool:
        """Whether tasks come and go."""
        return Next.CLOSE in self.verdicts or bool({"close", "add", "add_again"} & {*self.threads})

    def explore(self, fault: Fault | None = None, limit: int | None = None) -> Outcome:
        """Play all interleavings, until `limit` states are known; with a fault in the source."""
        world = PoolWorld(self, fault)
        threads = [world.machine.start(name) for name in self.threads]
        return Search(world, threads, limit).run()


_READ, _NOTIFIED = (Next.READ,), (Next.NOTIFIED,)
_BOTH = (Next.READ, Next.NOTIFIED)
_PARKS = (Next.READ, Next.PARKED)
_CLOSES = (Next.READ, Next.CLOSE)
_ALL = (Next.READ, Next.NOTIFIED, Next.PARKED, Next.CLOSE)
_SUCCESSION = (0, 0)

# By their size.
QUICK = (
    PoolSubject("pool: notified", ("work", "notify_once"), _BOTH, data=""),
    PoolSubject("pool: added twice", ("work", "add_again", "resume"), _PARKS),
    PoolSubject("pool: closed", ("work", "close"), _BOTH),
    PoolSubject("pool: 2 notify", ("work", "notify_once", "notify_once"), _NOTIFIED, data=""),
    PoolSubject("pool: closed and notified", ("work", "notify_once", "close"), _NOTIFIED, data=""),
    PoolSubject("pool: parked, 2 workers", ("work", "work", "resume"), _PARKS),
    PoolSubject("pool: closed, 2 workers", ("work", "work", "close"), _READ),
    PoolSubject(
        "pool: closed, and its number again", ("work", "close", "add"), _READ, _SUCCESSION
    ),
    PoolSubject("pool: parked and notified", ("work", "notify_once", "resume"), _PARKS),
    PoolSubject("pool: 2 workers, 1 notifies", ("work", "work", "notify_once"), _READ),
    PoolSubject("pool: 1 worker, 2 notify", ("work", "notify_once", "notify_once"), _BOTH),
)
FULL = (
    PoolSubject("pool: 2 tasks, notified again and again", ("work", "notify"), _PARKS, (0, 1), ""),
    PoolSubject(
        "pool: its number again, notified", ("work", "notify_once", "add"), _CLOSES, _SUCCESSION
    ),
    PoolSubject("pool: closed and notified beside data", ("work", "notify_once", "close"), _BOTH),
    PoolSubject("pool: 2 tasks, 2 workers", ("work", "work", "notify_once"), _READ, (0, 1)),
    PoolSubject(
        "pool: 2 notify again and again", ("work", "notify", "notify"), _BOTH, data="endless"
    ),
    PoolSubject(
        "pool: 2 workers, 2 notify", ("work", "work", "notify_once", "notify_once"), _READ
    ),
    PoolSubject(
        "pool: 2 workers, closed and notified", ("work", "work", "notify_once", "close"), _BOTH
    ),
    PoolSubject(
        "pool: all that a step may return", ("work", "work", "notify_once", "resume"), _ALL
    ),
    PoolSubject(
        "pool: its number again, 2 workers",
        ("work", "work", "notify_once", "add"),
        _CLOSES,
        _SUCCESSION,
    ),
)


def without(gaps: tuple[Fault, ...]) -> PoolSubject:
    """Return one in which no step may begin without a cause, and these gaps are closed."""
    threads = ("work", "work", "notify_once", "notify_once")
    return PoolSubject(
        "pool: no step too many", threads, _NOTIFIED, data="", gaps=gaps, is_exact=True
    )


def kill(fault: Fault) -> tuple[PoolSubject, Outcome] | None:
    """Return the subject whose claim the fault breaks, and how; None if it survives."""
    (subject,) = [one for one in QUICK + FULL if one.name == fault.tests]
    outcome = subject.explore(fault)
    return (subject, outcome) if outcome.violation else None
