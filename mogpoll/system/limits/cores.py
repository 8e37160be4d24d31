"""How many processors this process may use.

Those of its affinity (`taskset`, a cpuset), which the standard library knows on the systems that
have it. On Linux a control group may also limit the processor time, and so may each group above
it: `CPUQuota=150%` of systemd, `docker run --cpus 1.5`. That is a quota in each period,
"150000 100000" in `cpu.max` of version 2, in `cpu.cfs_quota_us` and `cpu.cfs_period_us` of
version 1; "max" and -1 are no limit. Part of a processor counts as one: rounded down, up to half
of what was granted would stay unused.

Sources: https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files,
https://docs.kernel.org/scheduler/sched-bwc.html
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

from mogpoll.system.limits.cgroups import directories_with, read


def usable_cores() -> int:
    """Return the number of processors that this process can keep busy, at least 1.

    A limit that changes later is seen by the next call.
    """
    return max(1, min([_of_affinity(), *_of_quotas()]))


def _of_affinity() -> int:
    # From Python 3.13 on; it also counts PYTHON_CPU_COUNT.
    count: Callable[[], int | None] | None = getattr(os, "process_cpu_count", None)
    if count is not None:
        return count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _of_quotas() -> list[int]:
    # No such file, a file in another format, or no limit.
    with contextlib.suppress(OSError, ValueError):
        return [*_rounded_up(directories_with("cpu"))]
    return []


def _rounded_up(directories: Iterator[str]) -> Iterator[int]:
    for directory in directories:
        with contextlib.suppress(OSError, ValueError):
            quota, period = map(int, _quota_in(directory))
            if quota > 0 and period > 0:
                yield -(-quota // period)


def _quota_in(directory: str) -> list[str]:
    try:
        return read(f"{directory}/cpu.max").split()
    except FileNotFoundError:
        return [read(f"{directory}/cpu.cfs_{which}_us") for which in ("quota", "period")]
