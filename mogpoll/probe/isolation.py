"""Run an experiment in a child process: it may hang or crash, and leaves nothing behind.

The child leads a process group, which is killed after the answer or at the time limit. If the
probe itself is killed, an alarm ends the child.
"""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import time
from dataclasses import dataclass
from typing import Literal

from mogpoll.probe.experiment import Answer, Experiment, Finding, Unavailable

Outcome = Literal["answered", "unavailable", "failed", "crashed", "timed out"]

_ALARM_AFTER_LIMIT_S = 2


@dataclass(frozen=True, slots=True)
class Result:
    """The result of an experiment. If there is no answer, `answer` says why."""

    name: str
    question: str
    outcome: Outcome
    answer: Answer
    detail: str
    relied_on: tuple[Answer, ...]

    @property
    def holds(self) -> bool | None:
        """Whether the answer is one relied on; None if any will do, or none is available."""
        if not self.relied_on or self.outcome == "unavailable":
            return None
        return self.outcome == "answered" and self.answer in self.relied_on


def run_isolated(experiment: Experiment, limit_s: float) -> Result:
    """Run `experiment` in a forked child for at most `limit_s` seconds.

    **Threads:** the process must have no other thread, since it forks.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _be_the_child(experiment, writer, limit_s)
    os.close(writer)
    try:
        outcome, answer, detail = _receive(reader, child, time.monotonic() + limit_s)
    finally:
        os.close(reader)
        _end(child)
    return Result(
        experiment.name, experiment.question, outcome, answer, detail, experiment.relied_on
    )


def _be_the_child(experiment: Experiment, writer: int, limit_s: float) -> None:
    status = 1
    try:
        os.setpgid(0, 0)
        signal.alarm(int(limit_s) + _ALARM_AFTER_LIMIT_S)
        null = os.open(os.devnull, os.O_RDWR)
        for standard in range(3):
            os.dup2(null, standard)
        os.write(writer, json.dumps(_answer_of(experiment)).encode() + b"\n")
        status = 0
    finally:
        # Buffers and exit handlers belong to the parent.
        os._exit(status)


def _answer_of(experiment: Experiment) -> tuple[Outcome, Answer, str]:
    try:
        found = experiment.run()
    except Unavailable as reason:
        return "unavailable", "not available", str(reason)
    except Exception as error:
        return "failed", _name_of(error), str(error)
    if isinstance(found, Finding):
        return "answered", found.answer, found.detail
    return "answered", found, ""


def _name_of(error: Exception) -> str:
    number = error.errno if isinstance(error, OSError) else None
    return errno.errorcode.get(number or 0, type(error).__name__)


def _receive(reader: int, child: int, deadline: float) -> tuple[Outcome, Answer, str]:
    received = b""
    while (left := deadline - time.monotonic()) > 0:
        # End of file is not enough: the experiment's own children may hold the pipe. Checked
        # before reading, so that data written before the end is seen.
        ended = _has_ended(child)
        if not select.select([reader], [], [], 0 if ended else min(left, 0.1))[0]:
            if ended:
                break
            continue
        piece = os.read(reader, 65536)
        received += piece
        if received.endswith(b"\n"):
            outcome, answer, detail = json.loads(received)
            return outcome, answer, detail
        if not piece:
            break
    else:
        return "timed out", "timed out", ""
    return "crashed", "crashed", _end_of(child)


def _has_ended(child: int) -> bool:
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end_of(child: int) -> str:
    ended = os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    if ended is None or ended.si_code == os.CLD_EXITED:
        return "the process ended"
    return f"by {signal.Signals(ended.si_status).name}"


def _end(child: int) -> None:
    """Kill the group, and reap its leader; the other members are not our children."""
    for kill in (os.killpg, os.kill):
        try:
            kill(child, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            # No group yet, or only zombies in it: EPERM on macOS and FreeBSD.
            continue
    os.waitpid(child, 0)
