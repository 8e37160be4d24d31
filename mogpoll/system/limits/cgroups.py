"""The control groups of this process, in whose limits it shares; only Linux has them.

Sources: https://man7.org/linux/man-pages/man7/cgroups.7.html,
https://docs.kernel.org/admin-guide/cgroup-v2.html
"""

from __future__ import annotations

from collections.abc import Iterator

_CGROUPS = "/sys/fs/cgroup"


def directories_with(controller: str) -> Iterator[str]:
    """Yield the directories that may hold a limit of `controller`, innermost first: each counts.

    Some may not exist.

    **Raises:** `OSError`, `ValueError` where a process has no such groups, or another list.
    """
    for line in read("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            tops = [f"{_CGROUPS}/{controller}"]
        elif not controllers:
            tops = [_CGROUPS, f"{_CGROUPS}/unified"]
        else:
            continue
        for top in tops:
            below = path.rstrip("/")
            while below:
                yield top + below
                below = below.rpartition("/")[0]
            # In a cgroup namespace the top directory is this process's own.
            yield top


def read(path: str) -> str:
    """Return the content of a file of the kernel.

    **Raises:** `OSError`.
    """
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()
