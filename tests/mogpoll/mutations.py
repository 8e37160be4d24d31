"""Break mogpoll on purpose, one small fault at a time, and see which test notices.

    python -m tests.mogpoll.mutations [WORD ...]

runs the faults whose names contain one of the words, or all. Each is put into a temporary copy
of the package and the tests that should notice are run against that copy. An event that is lost
shows as a test that hangs: that counts, if the test's own limit ends it and so names it. A fault
that no test notices makes the exit status 1, and so does a run that ends with no test named. It
takes a few minutes; run it after changing what is tested here or the tests themselves.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from tests.mogpoll.faults import FAULTS, Fault
from tests.mogpoll.pytest_run import ROOT, run_pytest

# For the whole run of one fault. Tests have shorter limits of their own, below.
_LIMIT_S = 300
_TEST_LIMIT_S = 45


def main(words: list[str]) -> int:
    chosen = [f for f in FAULTS if not words or any(word in f.name for word in words)]
    missed = 0
    width = max(len(fault.name) for fault in chosen)
    for fault in chosen:
        noticed, said = try_out(fault)
        missed += not noticed
        print(f"{fault.name:{width}}  {said}", flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} faults were noticed")
    return 1 if missed else 0


def try_out(fault: Fault) -> tuple[bool, str]:
    """Say whether a test failed with this fault, and what to print of it."""
    with tempfile.TemporaryDirectory(prefix="mogpoll-fault-") as folder:
        copy = Path(folder) / "mogpoll"
        shutil.copytree(ROOT / "mogpoll", copy, ignore=shutil.ignore_patterns("__pycache__"))
        break_it(copy / fault.module, fault)
        environment = {**os.environ, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"}
        arguments = ["-x", f"--timeout={_TEST_LIMIT_S}", fault.tests]
        status, output = run_pytest(arguments, _LIMIT_S, environment)
    if status == 0:
        return False, "SURVIVES"
    named = re.search(r"^(?:FAILED|ERROR) \S*?([^/\s]+::\S+)", output, re.MULTILINE)
    if named:
        # In the words of pytest-timeout; the summary's own line may be cut off before them.
        hung = re.search(r"^E +Failed: Timeout ", output, re.MULTILINE)
        return True, f"the run hung in {named[1]}" if hung else named[1]
    if status is None:
        return False, f"ERROR: the run hung for {_LIMIT_S} s, and no test was named"
    # Not the fault's doing: wrong arguments, another checkout imported, no test collected.
    raise SystemExit(f"{fault.name}: pytest could not test it:\n{output}")


def break_it(module: Path, fault: Fault) -> None:
    source = module.read_text(encoding="utf-8")
    if source.count(fault.old) != 1:
        raise SystemExit(f"{fault.name}: {module.name} has changed, this fault has to as well")
    module.write_text(source.replace(fault.old, fault.new), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
