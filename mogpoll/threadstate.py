"""Whether a thread waits for something, or runs, or would if it had a processor.

Linux tells it in one letter, the third field of /proc/self/task/TID/stat: R for both of the
latter, and the letters of proc_pid_stat(5) for what a thread can wait for. A FreeBSD without a
Linux-like /proc tells nothing here, and the answer is then that of a thread that waits.
"""

from __future__ import annotations

_ENOUGH_FOR_THE_STATE = 64


def wants_processor(native_id: int) -> bool:
    """Return True for a thread of this process that runs or is ready to.

    `native_id` is that of `threading.Thread`. False as well for a thread that has ended, and
    wherever the system does not tell.

    **Threads:** any.
    """
    try:
        with open(f"/proc/self/task/{native_id}/stat", "rb", buffering=0) as file:
            head = file.read(_ENOUGH_FOR_THE_STATE)
    except OSError:
        return False
    # "4711 (a name, perhaps with ')' in it) R ...": at most 15 bytes of name.
    return head.rpartition(b") ")[2][:1] == b"R"
