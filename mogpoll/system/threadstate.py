"""The scheduling state of a thread, from /proc.

Linux has it as one letter, the third field of /proc/PID/task/TID/stat: R for running or
runnable, other letters of proc_pid_stat(5) for the kinds of sleep. How long a thread was runnable
and did not run is the second field of its schedstat, in nanoseconds. FreeBSD has no such files.

Source: https://docs.kernel.org/scheduler/sched-stats.html
"""

from __future__ import annotations

_ENOUGH_FOR_THE_STATE = 64


def state_of(native_id: int | None, pid: int | None = None) -> str | None:
    """Return the state letter of a thread; None if it has ended or the system shows none.

    `native_id` is `threading.Thread.native_id`; `pid` is its process, this one by default.

    **Threads:** any.
    """
    try:
        with open(f"/proc/{pid or 'self'}/task/{native_id}/stat", "rb", buffering=0) as file:
            head = file.read(_ENOUGH_FOR_THE_STATE)
    except OSError:
        return None
    # "4711 (a name, perhaps with ')' in it) R ...": the name has at most 15 bytes.
    return head.rpartition(b") ")[2][:1].decode("ascii")


def is_runnable(native_id: int) -> bool:
    """Return whether a thread of this process runs or is runnable; False if unknown.

    **Threads:** any.
    """
    return state_of(native_id) == "R"


def waited_s() -> float:
    """Return how long this thread has waited for a processor so far; 0 where that is unknown.

    **Threads:** any; each for itself.
    """
    try:
        with open("/proc/thread-self/schedstat", "rb", buffering=0) as file:
            return int(file.read(_ENOUGH_FOR_THE_STATE).split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0
