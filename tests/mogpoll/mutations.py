"""Break mogpoll on purpose, one small fault at a time, and see which test notices.

    python -m tests.mogpoll.mutations [WORD ...]

runs the faults whose names contain one of the words, or all. Each is put into a temporary copy
of the package and the tests that should notice are run against that copy. A fault that no test
notices makes the exit status 1, and so does a run in which no test is said to have failed. It
takes a few minutes; run it after changing what is tested here or the tests themselves.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.mogpoll.faults import FAULTS, Fault

ROOT = Path(__file__).resolve().parents[2]

# For the whole run of one fault. Tests have shorter limits of their own, below.
_LIMIT_S = 300
_TEST_LIMIT_S = 45


def main(words: list[str]) -> int:
    chosen = [f for f in FAULTS if not words or any(word in f.name for word in words)]
    survivors = 0
    width = max(len(fault.name) for fault in chosen)
    for fault in chosen:
        noticed_by = try_out(fault)
        survivors += noticed_by is None
        print(f"{fault.name:{width}}  {noticed_by or 'SURVIVES'}", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} faults were noticed")
    return 1 if survivors else 0


def try_out(fault: Fault) -> str | None:
    """Return the first test that failed with this fault; None if none did."""
    with tempfile.TemporaryDirectory(prefix="mogpoll-fault-") as folder:
        copy = Path(folder) / "mogpoll"
        shutil.copytree(ROOT / "mogpoll", copy, ignore=shutil.ignore_patterns("__pycache__"))
        break_it(copy / fault.module, fault)
        command = [sys.executable, "-P", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        command += [f"--timeout={_TEST_LIMIT_S}", fault.tests]
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"},
                check=False,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=_LIMIT_S,
            )
        except subprocess.TimeoutExpired:
            # A test that hangs has a limit of its own, and a name.
            raise SystemExit(f"{fault.name}: the run did not end in {_LIMIT_S} s") from None
    if done.returncode == 0:
        return None
    named = re.search(r"^(?:FAILED|ERROR) \S*?([^/\s]+::\S+)", done.stdout, re.MULTILINE)
    if named:
        return named[1]
    # Not the fault's doing: wrong arguments, another checkout imported, no test collected.
    raise SystemExit(f"{fault.name}: pytest could not test it:\n{done.stdout}")


def break_it(module: Path, fault: Fault) -> None:
    source = module.read_text(encoding="utf-8")
    if source.count(fault.old) != 1:
        raise SystemExit(f"{fault.name}: {module.name} has changed, this fault has to as well")
    module.write_text(source.replace(fault.old, fault.new), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
