"""What a thread is doing, where the system tells: whether it runs, or waits, or for what.

Linux tells it in one letter, the third field of /proc/PID/task/TID/stat: R for a thread that
runs or would if it had a processor, and the letters of proc_pid_stat(5) for what a thread can
wait for. A FreeBSD without a Linux-like /proc tells nothing here.
"""

from __future__ import annotations

_ENOUGH_FOR_THE_STATE = 64


def state_of(native_id: int | None, pid: int | None = None) -> str | None:
    """Return the letter for the thread; None when it has ended or the system does not tell.

    `native_id` is that of `threading.Thread`, `pid` the process that has it, by default this one.

    **Threads:** any.
    """
    try:
        with open(f"/proc/{pid or 'self'}/task/{native_id}/stat", "rb", buffering=0) as file:
            head = file.read(_ENOUGH_FOR_THE_STATE)
    except OSError:
        return None
    # "4711 (a name, perhaps with ')' in it) R ...": at most 15 bytes of name.
    return head.rpartition(b") ")[2][:1].decode("ascii")


def wants_processor(native_id: int) -> bool:
    """Return True for a thread of this process that runs or is ready to.

    False as well wherever `state_of` has no answer.

    **Threads:** any.
    """
    return state_of(native_id) == "R"
