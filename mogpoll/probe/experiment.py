"""An experiment: one question to the system, the way to ask it, and the answer relied on."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# Data that JSON knows.
Answer = Any

# In the order in which they are shown. Each is a module of `mogpoll.probe.experiments`.
TOPICS = ("one_shot", "hangups", "descriptors", "waiting", "stopping", "accepting", "sending")


class Unavailable(Exception):
    """The system does not have what the question is about; the message says what."""


@dataclass(frozen=True, slots=True)
class Finding:
    """An answer, with figures that explain it and are different at every run."""

    answer: Answer
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Experiment:
    """One question, by a name that never changes.

    `relied_on` lists the answers with which mogpoll keeps its promises; empty when it copes
    with any.
    """

    name: str
    question: str
    run: Callable[[], Answer | Finding]
    relied_on: tuple[Answer, ...] = ()


_catalogue: dict[str, Experiment] = {}


def experiment(
    name: str, question: str, *, relied_on: tuple[Answer, ...] = ()
) -> Callable[[Callable[[], Answer | Finding]], Callable[[], Answer | Finding]]:
    """Enter the decorated function into the catalogue."""

    def enter(run: Callable[[], Answer | Finding]) -> Callable[[], Answer | Finding]:
        if name in _catalogue:
            raise ValueError(f"there are two experiments called {name}")
        _catalogue[name] = Experiment(name, question, run, relied_on)
        return run

    return enter


def catalogue() -> list[Experiment]:
    """Return all experiments, in the order in which they are shown."""
    for topic in TOPICS:
        importlib.import_module(f"mogpoll.probe.experiments.{topic}")
    return list(_catalogue.values())
