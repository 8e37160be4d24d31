"""Name the limit that keeps this process from starting a thread.

clone(2) fails with EAGAIN for every limit on threads, pthread_create(3) for too little memory as
well. So the limits are read and compared with what is in use.
Sources: https://man7.org/linux/man-pages/man2/clone.2.html,
https://docs.kernel.org/admin-guide/cgroup-v2.html#pid, proc_sys_kernel(5)
"""

from __future__ import annotations

import contextlib
import os
import resource

from mogpoll.system.limits.cgroups import directories_with, read

_SPARE_BYTES = 1 << 20


def name_limit() -> str | None:
    """Return the limit that is reached, and the setting that raises it; None if unknown."""
    for look in (_pids_of_cgroup, _threads_of_user, _threads_of_system, _address_space):
        # Files missing or in another format, on another system or kernel; too little memory.
        with contextlib.suppress(Exception):
            if found := look():
                return found
    return None


def _pids_of_cgroup() -> str | None:
    for directory in directories_with("pids"):
        with contextlib.suppress(OSError, ValueError):
            most = int(read(f"{directory}/pids.max"))
            if int(read(f"{directory}/pids.current")) >= most:
                return f"pids.max is {most} in {directory} (TasksMax=, docker run --pids-limit)"
    return None


def _threads_of_user() -> str | None:
    most = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    if most == resource.RLIM_INFINITY or os.geteuid() == 0:
        return None
    user, threads = os.getuid(), 0
    for name in os.listdir("/proc"):
        # Processes end during the count.
        with contextlib.suppress(OSError, ValueError):
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == user:
                threads += _field(f"/proc/{name}/status", "Threads:")
    return f"RLIMIT_NPROC is {most} for this user (ulimit -u)" if threads >= most else None


def _threads_of_system() -> str | None:
    # "0.20 0.18 0.12 1/80 11206": runnable threads / all threads.
    threads = int(read("/proc/loadavg").split()[3].partition("/")[2])
    for name in ("threads-max", "pid_max"):
        most = int(read(f"/proc/sys/kernel/{name}"))
        if threads >= most - 1:
            return f"kernel.{name} is {most} (sysctl)"
    return None


def _address_space() -> str | None:
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    if most == resource.RLIM_INFINITY:
        return None
    # A thread's stack has the size of RLIMIT_STACK.
    stack = resource.getrlimit(resource.RLIMIT_STACK)[0]
    wanted = _SPARE_BYTES + (8 << 20 if stack == resource.RLIM_INFINITY else stack)
    used = _field("/proc/self/status", "VmSize:") * 1024
    return f"RLIMIT_AS is {most >> 10} KiB (ulimit -v)" if used + wanted > most else None


def _field(path: str, name: str) -> int:
    return int(next(x for x in read(path).splitlines() if x.startswith(name)).split()[1])
