"""The profiled kqueues give the answers that the real kernels' code gave to the same experiments.

So a profile is as good as the kept results of vm/results, and those of `freebsd13` and `darwin`,
of which there are none, stand on the sources alone.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from typing import Any

import pytest

from mogpoll.probe.experiment import catalogue
from mogpoll.probe.report import read
from tests.project._tree import ROOT
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.skipif("sys.platform != 'linux'", reason="they stand on an epoll")

KEPT = {"freebsd9": "freebsd-9.1-userspace", "netbsd7": "netbsd-7.99-userspace"}
TOPICS = ("one_shot", "hangups", "descriptors", "waiting")
LEFT_OUT = {
    # Needs a look between the data and its reading, as in test_profiles.
    "stale-event",
}

PROGRAM = """
import importlib, sys
sys.path.append(sys.argv[1])
from mogpoll import KqueuePoller
from mogpoll.probe import cli
from tests.mogpoll.kqueue.profiled_kqueue import KqueueOf
from tests.mogpoll.kqueue.profiles import PROFILES

api = KqueueOf(PROFILES[sys.argv[2]])
replaced = {
    "backend_name": lambda: "kqueue",
    "find_kqueue_api": lambda: api,
    "open_poller": lambda: KqueuePoller(api),
}
for name in ("kernel", *("experiments." + topic for topic in sys.argv[3].split(","))):
    module = importlib.import_module("mogpoll.probe." + name)
    for old, new in replaced.items():
        if hasattr(module, old):
            setattr(module, old, new)
sys.exit(cli.main(["--json", "--only", sys.argv[4]]))
"""


def kept(profile: str) -> dict[str, Any]:
    """Return what the kernel's code answered, by the names of experiments on the queue."""
    names = {
        one.name for one in catalogue() if one.run.__module__.rpartition(".")[2] in TOPICS
    } - LEFT_OUT
    results = read(ROOT / "vm" / "results" / f"{KEPT[profile]}.json").results
    return {
        result.name: result.answer
        for result in results
        if result.name in names and result.outcome != "unavailable"
    }


@functools.cache
def answers(profile: str) -> dict[str, Any]:
    """Return what the profile answers."""
    arguments = [str(ROOT), profile, ",".join(TOPICS), ",".join(kept(profile))]
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, *arguments],
        capture_output=True,
        text=True,
        timeout=150 * PATIENCE,
        check=False,
    )
    assert done.stderr == ""
    return {one["name"]: one["answer"] for one in json.loads(done.stdout)["experiments"]}


@pytest.mark.parametrize(
    ("profile", "name"), [(profile, name) for profile in KEPT for name in kept(profile)]
)
def test_profile_answers_as_the_kernels_code_did(profile: str, name: str) -> None:
    assert answers(profile)[name] == kept(profile)[name]


def test_many_answers_are_compared() -> None:
    assert min(len(kept(profile)) for profile in KEPT) > 35
