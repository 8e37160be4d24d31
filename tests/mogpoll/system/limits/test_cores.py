"""The processors that a process may use: by affinity, and by the quotas of its control groups."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mogpoll.system.limits import cores
from mogpoll.system.limits.cores import usable_cores
from tests.mogpoll.system.limits.kernel_files import pretend

_TOP = "/sys/fs/cgroup"
_SHOW = "from mogpoll.system.limits.cores import usable_cores; print(usable_cores())"
_CPU_V1 = Path(_TOP, "cpu")


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The files of a system with 8 processors for everyone."""
    made: dict[str, str] = {}
    pretend(made, [cores], monkeypatch)
    monkeypatch.setattr(cores, "_of_affinity", lambda: 8)
    return made


def v2(files: dict[str, str], limits: dict[str, str], path: str = "/a/b", top: str = _TOP) -> None:
    files["/proc/self/cgroup"] = f"0::{path}\n"
    files.update({f"{top}{group}/cpu.max": f"{limit}\n" for group, limit in limits.items()})


def test_system_without_control_groups(files: dict[str, str]) -> None:
    assert not files
    assert usable_cores() == 8


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("100001 100000", 2),
        ("1000 100000", 1),
        ("50000 25000", 2),
        ("1600000 100000", 8),
        ("", 8),
        ("nonsense 100000", 8),
        ("0 0", 8),
    ],
)
def test_quota_of_version_2_is_rounded_up(
    files: dict[str, str], limit: str, expected: int
) -> None:
    v2(files, {"/a/b": limit})
    assert usable_cores() == expected


@pytest.mark.parametrize(
    "limits",
    [
        {"/a/b": "max 100000", "/a": "300000 100000"},
        {"/a/b": "500000 100000", "/a": "300000 100000"},
        {"/a/b": "300000 100000", "/a": "500000 100000"},
        {"/a/b": "max 100000", "": "300000 100000"},
    ],
    ids=["outer alone", "outer less", "inner less", "top"],
)
def test_least_quota_on_the_way_up_counts(files: dict[str, str], limits: dict[str, str]) -> None:
    v2(files, limits)
    assert usable_cores() == 3


def test_version_2_beside_version_1(files: dict[str, str]) -> None:
    v2(files, {"/a/b": "300000 100000"}, top=f"{_TOP}/unified")
    assert usable_cores() == 3


def v1(files: dict[str, str], quota: str, group: str) -> None:
    files[f"{_TOP}/cpu{group}/cpu.cfs_quota_us"] = f"{quota}\n"
    files[f"{_TOP}/cpu{group}/cpu.cfs_period_us"] = "100000\n"


@pytest.mark.parametrize(("quota", "expected"), [("-1", 8), ("250000", 3), ("400000", 4)])
@pytest.mark.parametrize("controllers", ["cpu", "cpu,cpuacct"])
@pytest.mark.parametrize("group", ["/docker/x", "/docker", ""])
def test_quota_of_version_1(
    files: dict[str, str], quota: str, expected: int, controllers: str, group: str
) -> None:
    """A container without a namespace of its own sees its group at the top."""
    files["/proc/self/cgroup"] = f"5:cpuset:/y\n4:{controllers}:/docker/x\n0::/\n"
    v1(files, quota, group)
    assert usable_cores() == expected


def test_affinity_below_the_quota_counts(
    files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    v2(files, {"/a/b": "600000 100000"})
    monkeypatch.setattr(cores, "_of_affinity", lambda: 5)
    assert usable_cores() == 5


@pytest.fixture
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend({}, [cores], monkeypatch)


@pytest.mark.usefixtures("unlimited")
@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({"process_cpu_count": lambda: 3, "sched_getaffinity": lambda _: {0}}, 3),
        ({"process_cpu_count": lambda: None}, 1),
        ({"sched_getaffinity": lambda _: {4, 6}, "cpu_count": lambda: 9}, 2),
        ({"cpu_count": lambda: 9}, 9),
        ({"cpu_count": lambda: None}, 1),
    ],
)
def test_what_the_standard_library_knows(
    monkeypatch: pytest.MonkeyPatch, known: dict[str, object], expected: int
) -> None:
    for name in ("process_cpu_count", "sched_getaffinity", "cpu_count"):
        monkeypatch.delattr(os, name, raising=False)
    for name, function in known.items():
        monkeypatch.setattr(os, name, function, raising=False)
    assert usable_cores() == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_process_on_one_processor() -> None:
    one = min(os.sched_getaffinity(0))
    shown = shown_after(f"import os; os.sched_setaffinity(0, [{one}])")
    assert shown == 1


def shown_after(code: str) -> int:
    command = [sys.executable, "-c", f"{code}\n{_SHOW}"]
    return int(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group of version 1, of a name of its own."""
    directory = _CPU_V1 / f"mogpoll-{os.getpid()}"
    try:
        directory.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made: {error}")
    try:
        yield directory
    finally:
        directory.rmdir()


def test_process_in_a_real_group(group: Path) -> None:
    if not (group / "cpu.cfs_quota_us").exists():
        pytest.skip("this kernel has no quotas of processor time")
    (group / "cpu.cfs_quota_us").write_text("50000")
    assert shown_after(f"open('{group}/cgroup.procs', 'w').write('0')") == 1
