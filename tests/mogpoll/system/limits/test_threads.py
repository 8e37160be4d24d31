"""The limit that keeps a process from starting a thread, by its name."""

from __future__ import annotations

import os
import resource

import pytest

from mogpoll.system.limits import threads
from mogpoll.system.limits.threads import name_limit
from tests.mogpoll.system.limits.kernel_files import pretend


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The files of a system on which no limit is reached."""
    made = {"/proc/self/cgroup": "", "/proc/loadavg": "0.1 0.1 0.1 1/80 11206"}
    pretend(made, [threads], monkeypatch)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (-1, -1))
    return made


@pytest.mark.parametrize(
    ("cgroup", "directory"),
    [
        ("9:cpu:/x\n8:pids:/a/b\n0::/\n", "/sys/fs/cgroup/pids/a/b"),
        ("8:pids:/a/b\n", "/sys/fs/cgroup/pids/a"),
        ("0::/a/b\n", "/sys/fs/cgroup/a/b"),
        ("0::/a/b\n", "/sys/fs/cgroup/a"),
        ("0::/\n", "/sys/fs/cgroup"),
        ("1:name=systemd:/\n0::/a/b\n", "/sys/fs/cgroup/unified/a/b"),
    ],
)
def test_cgroup_whose_pids_are_used_up_is_named(
    files: dict[str, str], cgroup: str, directory: str
) -> None:
    files["/proc/self/cgroup"] = cgroup
    files[f"{directory}/pids.max"] = "40\n"
    files[f"{directory}/pids.current"] = "39\n"
    assert name_limit() is None
    files[f"{directory}/pids.current"] = "40\n"
    assert name_limit() == f"pids.max is 40 in {directory} (TasksMax=, docker run --pids-limit)"


def test_cgroup_without_a_limit_is_not_named(files: dict[str, str]) -> None:
    files["/proc/self/cgroup"] = "0::/a\n"
    files["/sys/fs/cgroup/a/pids.max"] = "max\n"
    files["/sys/fs/cgroup/a/pids.current"] = "40\n"
    assert name_limit() is None


def test_limit_of_the_system_is_named(files: dict[str, str]) -> None:
    for most, named in ((82, None), (81, "81"), (80, "80"), (79, "79")):
        files["/proc/sys/kernel/threads-max"] = f"{most}\n"
        assert name_limit() == (named and f"kernel.threads-max is {named} (sysctl)")
    files["/proc/sys/kernel/threads-max"] = "9999\n"
    files["/proc/sys/kernel/pid_max"] = "80\n"
    assert name_limit() == "kernel.pid_max is 80 (sysctl)"


def test_limits_of_the_process_are_named(
    files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    files["/proc/self/status"] = "Name:\tx\nVmSize:\t  100000 kB\nThreads:\t3\n"
    limits = {resource.RLIMIT_AS: (110000 << 10, -1)}
    monkeypatch.setattr(resource, "getrlimit", lambda which: limits.get(which, (-1, -1)))
    assert name_limit() is None
    limits[resource.RLIMIT_STACK] = (10 << 20, -1)
    assert name_limit() == "RLIMIT_AS is 110000 KiB (ulimit -v)"


def test_file_without_the_line_names_no_limit(
    files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    files["/proc/self/status"] = "Name:\tx\n"
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1 << 30, -1))
    assert name_limit() is None


def test_limit_of_the_user_is_named(
    files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (11, 11))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    monkeypatch.setattr(os, "listdir", lambda _: ["1", "2", "3", "self"])
    owners = {"/proc/1": 0, "/proc/2": 1000, "/proc/3": 1000}
    monkeypatch.setattr(os, "stat", lambda path: _Status(owners[path]))
    files |= {f"/proc/{number}/status": f"Threads:\t{number}\n" for number in (1, 2, 3)}
    files["/proc/3/status"] = "Threads:\t9\n"
    assert name_limit() == "RLIMIT_NPROC is 11 for this user (ulimit -u)"
    files["/proc/3/status"] = "Threads:\t8\n"
    assert name_limit() is None


class _Status:
    def __init__(self, user: int) -> None:
        self.st_uid = user
