"""`.ci/run` fails when anything fails, and looks again at a few tests only, alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.project._tree import ROOT

BASH = shutil.which("bash")

pytestmark = pytest.mark.skipif(BASH is None, reason="no bash on this system")

PASSED = "=== 10 passed, 2 skipped in 1.00s ==="
FEW = "FAILED tests/a.py::b\n=== 2 failed, 8 passed, 2 skipped in 1.00s ==="
MANY = "=== 4 failed, 6 passed in 1.00s ==="
ERROR = "=== 1 failed, 8 passed, 1 error in 1.00s ==="
BROKEN_OFF = (
    "!!! xdist.dsession.Interrupted: workers crashed !!!\n=== 1 failed, 2 passed in 1.00s ==="
)

# Prints what the test wants of its first and second call with a target, and ends as pytest would.
MAKE = """#!/bin/sh
echo "$*" >> calls
answer=answers/$1.1
[ ! -e "$answer.seen" ] || answer=answers/$1.2
: > "$answer.seen"
[ -e "$answer" ] || exit 0
cat "$answer"
! grep -q failed "$answer"
"""


def run(
    folder: Path, answers: dict[str, str]
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run a copy of the script before a make that answers so; the result, and make's calls."""
    (folder / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", folder / ".ci")
    (folder / "answers").mkdir()
    for name, text in answers.items():
        (folder / "answers" / name).write_text(text + "\n")
    programs = folder / "bin"
    programs.mkdir()
    for name, script in (("make", MAKE), ("apt-get", "#!/bin/sh\n")):
        (programs / name).write_text(script)
        (programs / name).chmod(0o755)
    done = subprocess.run(
        [str(BASH), ".ci/run"],
        cwd=folder,
        env={"PATH": f"{programs}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done, (folder / "calls").read_text().splitlines()


def again(calls: list[str]) -> list[str]:
    return [call.split()[0] for call in calls if "--last-failed" in call]


def test_all_sections_run_and_the_closing_line_is_last(tmp_path: Path) -> None:
    done, calls = run(tmp_path, {"kqueue.1": PASSED, "test.1": PASSED})
    assert done.returncode == 0, done.stderr
    assert [call.split()[0] for call in calls] == ["lint", "types", "site", "kqueue", "test"]
    assert done.stdout.splitlines()[-1] == PASSED


@pytest.mark.parametrize("name", ["site", "kqueue", "test"])
def test_what_fails_beside_others_and_passes_alone_is_named(tmp_path: Path, name: str) -> None:
    answers = {"test.1": PASSED, f"{name}.1": FEW, f"{name}.2": PASSED}
    done, calls = run(tmp_path, answers)
    assert done.returncode == 0, done.stdout
    assert again(calls) == [name]
    assert done.stdout.count("FAILED tests/a.py::b") == 2


@pytest.mark.parametrize("name", ["site", "kqueue", "test"])
def test_what_fails_twice_fails(tmp_path: Path, name: str) -> None:
    answers = {"test.1": PASSED, f"{name}.1": FEW, f"{name}.2": FEW}
    done, calls = run(tmp_path, answers)
    assert done.returncode == 1
    assert again(calls) == [name]
    assert f"failed: {name}\n" in done.stdout


@pytest.mark.parametrize("answer", [MANY, ERROR, BROKEN_OFF, "failed before pytest"])
def test_larger_failures_get_no_second_look(tmp_path: Path, answer: str) -> None:
    done, calls = run(tmp_path, {"kqueue.1": answer, "test.1": PASSED})
    assert done.returncode == 1
    assert again(calls) == []
    assert done.stdout.splitlines()[-1] == PASSED


@pytest.mark.parametrize("name", ["lint", "types"])
def test_style_and_types_are_looked_at_once(tmp_path: Path, name: str) -> None:
    done, calls = run(tmp_path, {f"{name}.1": "failed", "test.1": PASSED})
    assert done.returncode == 1
    assert [call.split()[0] for call in calls] == ["lint", "types", "site", "kqueue", "test"]
