"""An experiment: one question to the system, how to answer it, and the answers relied on."""

from __future__ import annotations

import errno
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# JSON data.
Answer = Any

# Modules of `mogpoll.probe.experiments`, in the order of the table.
TOPICS = ("one_shot", "hangups", "descriptors", "waiting", "stopping", "accepting", "sending")


class Unavailable(Exception):
    """The system lacks what the question is about; the message names it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """An answer, and figures behind it that vary from run to run."""

    answer: Answer
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Experiment:
    """One question; its name never changes, since kept results are compared by it.

    `relied_on` lists the answers with which mogpoll's contract holds; empty if any will do.
    """

    name: str
    question: str
    run: Callable[[], Answer | Finding]
    relied_on: tuple[Answer, ...] = ()


def name_of_errno(number: int | None) -> str:
    """Return `ECONNRESET`, say; Python lacks names for some numbers of some systems."""
    return errno.errorcode.get(number or 0, f"errno {number}")


_catalogue: dict[str, Experiment] = {}


def experiment(
    name: str, question: str, *, relied_on: tuple[Answer, ...] = ()
) -> Callable[[Callable[[], Answer | Finding]], Callable[[], Answer | Finding]]:
    """Register the decorated function as an experiment."""

    def enter(run: Callable[[], Answer | Finding]) -> Callable[[], Answer | Finding]:
        if name in _catalogue:
            raise ValueError(f"two experiments are called {name}")
        _catalogue[name] = Experiment(name, question, run, relied_on)
        return run

    return enter


def catalogue() -> list[Experiment]:
    """Return all experiments, in the order of the table."""
    for topic in TOPICS:
        importlib.import_module(f"mogpoll.probe.experiments.{topic}")
    return list(_catalogue.values())
