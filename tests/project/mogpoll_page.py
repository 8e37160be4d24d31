"""The parts of docs/mogpoll.md that are taken from elsewhere, and put there by this program.

    python -m tests.project.mogpoll_page

writes the contract, the example, the answers of the probe and the notes into the page anew.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import re
from collections import Counter
from pathlib import Path

import mogpoll.poller
from mogpoll.probe import cli
from tests.project._tree import ROOT

PAGE = ROOT / "docs" / "mogpoll.md"
RESULTS = ROOT / "vm" / "results"

# What tests are named by: `test_n07_...` shows note 7. Where nothing can be shown from user
# space, or not through mogpoll, the second part says why.
NOTES = {
    1: ("Two directions are one registration on epoll and two on kqueue", ""),
    2: ("What adding twice and arming the unknown do is different in each kernel", ""),
    3: ("An event may be out of date when it is received", ""),
    4: ("A hang-up may come unasked, and with data still unread", ""),
    5: ("A peer that is gone is told for the direction that was armed", ""),
    6: ("One-shot and wake-one registrations exclude each other on epoll", ""),
    7: ("When a closed descriptor leaves the queue", ""),
    8: ("Regular files are refused by epoll and always ready on kqueue", ""),
    9: ("A pipe whose other end is gone can be registered", ""),
    10: ("Between an event and the next arming there is one owner", ""),
    11: ("A wait takes one event", ""),
    12: ("Linux before 3.8 could lose a re-arming", "no such kernel runs Python 3.11"),
    13: ("A change and a wait in one kevent call arm twice after a signal", ""),
    14: ("Which changes of a kevent call are made when one of them fails", ""),
    15: ("Python's select lacks some of kqueue's numbers", "mogpoll uses none of them"),
    16: ("A kqueue event carries a number, no object", "it shows in the types of select"),
    17: ("epoll is shared by fork, kqueue is not inherited", ""),
    18: ("The queue is closed on exec", ""),
    19: ("Which of many waiters is woken", ""),
    20: ("Blocking accept serves in turn", ""),
    21: ("A signal does not end a blocked call of Python's", ""),
    22: ("What ends a blocked accept, and at whose cost", ""),
    23: ("A signal may come too early, or after the thread", ""),
    24: ("Only a signal with a handler interrupts", ""),
    25: ("Signals are for the main thread", ""),
    26: ("A waker that stays readable reaches every thread", ""),
    27: ("An eventfd where it can be had, else a pipe", ""),
    28: ("Closing a queue does not wake its waiters", ""),
    29: ("What an accepted socket inherits", ""),
    30: ("Errors of accept that pass", ""),
    31: ("A close that fails has closed", ""),
}

_BLOCK = "<!-- {0} -->\n{1}<!-- end of {0} -->"
_TEST = re.compile(r"^ *def test_((?:n\d+_)+)", re.MULTILINE)


def contract() -> str:
    """Return the portability section of the module that holds the contract."""
    text = inspect.getdoc(mogpoll.poller) or ""
    return text.partition("-----------\n")[2] + "\n"


def example() -> str:
    return f"```python\n{(ROOT / 'examples' / 'echo.py').read_text(encoding='utf-8')}```\n"


def answers() -> str:
    """Return what `python -m mogpoll table` prints for the kept results."""
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        cli.main(["table", *map(str, sorted(RESULTS.glob("*.json")))])
    return shown.getvalue()


def notes() -> str:
    lines = ["| note | about | shown by |", "|---|---|---|"]
    for number, (about, reason) in NOTES.items():
        files = files_of(number)
        shown = ", ".join(f"{path.name} ({count})" for path, count in sorted(files.items()))
        lines.append(f"| n{number:02} | {about} | {shown or f'nothing: {reason}'} |")
    return "\n".join(lines) + "\n"


def files_of(number: int) -> Counter[Path]:
    """Count the tests that are named by a note, by file."""
    found = Counter[Path]()
    for path in sorted((ROOT / "tests" / "mogpoll").rglob("test_*.py")):
        for named in _TEST.findall(path.read_text(encoding="utf-8")):
            found[path] += f"n{number:02}" in named.split("_")
    return +found


def written_anew(page: str) -> str:
    """Return the page with each of its blocks as it should be.

    **Raises:** `ValueError` for a block that the page lacks.
    """
    for part in (contract, example, answers, notes):
        name = part.__name__
        found = re.findall(_BLOCK.format(name, ".*?"), page, re.DOTALL)
        if len(found) != 1:
            raise ValueError(f"{PAGE.name} has no single block {name}")
        page = page.replace(found[0], _BLOCK.format(name, part()))
    return page


if __name__ == "__main__":
    PAGE.write_text(written_anew(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
