"""Run the tests of what threads share while those threads wait at random moments.

    python -m tests.races [--runs 1] [--distance 40] [--seed 0] [PYTEST-ARGUMENT ...]

Beside the tests, the nodes that they start run so. A test that fails is named with the seed: the
same seed chooses the same waits, though not the same order of threads. Arguments for pytest
replace the list of tests; `-k` and `-n` add to it.
"""

from __future__ import annotations

import argparse
import os
import sys

from tests.mogpoll.pytest_run import run_pytest

# What is shared by threads, by itself and in a node. Left out are tests of how long things take.
SUITES = (
    *("tests/mogpoll/conformance", "tests/mogpoll/pool", "tests/mogpoll/threads"),
    "tests/mogpoll/test_model.py",
    *(f"tests/mogstored/unit/{name}" for name in ("connections", "devices", "files", "http")),
    *(f"tests/mogstored/unit/{name}" for name in ("observability", "sidechannel", "utilization")),
    *(
        f"tests/mogstored/system/test_{name}.py"
        for name in (
            *("counting", "device_queues", "device_that_hangs", "http_crowd", "http_get"),
            *("http_persistence", "http_stop", "put_abort", "put_chunked_split", "put_readers"),
            *("put_whole", "recent_files", "shutdown_graceful", "sidechannel_digest"),
            *("sidechannel_fsck", "sidechannel_threads", "sidechannel_watch", "time_outs"),
        )
    ),
)
# They measure time, or rely on a second being long.
_OF_TIME = (
    "tests/mogstored/unit/connections/test_access.py",
    "tests/mogstored/unit/devices/test_ward.py",
    "tests/mogstored/unit/observability/test_access_log.py",
)
# Code under a trace is slow, and it is made to wait.
_PATIENCE = "10"
_TEST_S = 900
_RUN_S = 3 * 3600


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.races",
        description="The tests of what threads share, with waits between any two operations.",
    )
    parser.add_argument("--runs", type=int, default=1, metavar="N")
    parser.add_argument(
        "--distance", type=int, default=40, metavar="N", help="operations between two waits, about"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the first run")
    wanted, rest = parser.parse_known_args(arguments)
    names = [] if any(each.startswith("tests/") for each in rest) else SUITES
    for seed in range(wanted.seed, wanted.seed + wanted.runs):
        environment = os.environ | {
            "MOG_RACES_DISTANCE": str(wanted.distance),
            "MOG_RACES_SEED": str(seed),
            "MOG_TEST_PATIENCE": _PATIENCE,
        }
        options = ["-p", "tests.races.plugin", "-m", "not slow", f"--timeout={_TEST_S}"]
        options += [f"--ignore={each}" for each in _OF_TIME]
        status, said = run_pytest([*options, *rest, *names], _RUN_S, environment)
        closing = (said.strip().splitlines() or ["nothing was printed"])[-1]
        if status != 0:
            print(f"{said}\nseed {seed}: FAILED, {closing}")
            return 1
        print(f"seed {seed}: {closing}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
