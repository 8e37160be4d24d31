"""Makes the generated parts of docs/mogpoll.

    python -m tests.project.mogpoll_book

writes the contract, the example, the answers of the probe and the notes into their pages.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import mogpoll.poller
from mogpoll.probe import cli
from tests.project._tree import ROOT

PAGES = sorted((ROOT / "docs" / "mogpoll").glob("*.md"))
RESULTS = ROOT / "vm" / "results"

# Tests are named by note: `test_n07_...` shows note 7. If no test can show it, the second part
# says why.
NOTES = {
    1: ("Two directions are one registration on epoll and two on kqueue", ""),
    2: ("Adding twice and re-arming the unregistered differ by kernel", ""),
    3: ("An event may be stale when it is received", ""),
    4: ("A hang-up may come unarmed, and before unread data", ""),
    5: ("A closed peer is reported for the direction that was armed", ""),
    6: ("One-shot and wake-one registrations exclude each other on epoll", ""),
    7: ("When a closed descriptor leaves the queue", ""),
    8: ("Regular files are refused by epoll and always ready on kqueue", ""),
    9: ("A pipe whose other end is gone can be registered", ""),
    10: ("Between an event and the next arming there is one owner", ""),
    11: ("A wait takes one event", ""),
    12: ("Linux before 3.8 could lose a re-arming", "no such kernel runs Python 3.11"),
    13: ("A change and a wait in one kevent call arm twice after a signal", ""),
    14: ("Which changes of a kevent call apply if one fails", ""),
    15: ("Python's select lacks some kqueue constants", "mogpoll uses none of them"),
    16: ("A kqueue event carries a number, not an object", "the types of select say so"),
    17: ("fork shares an epoll, and does not inherit a kqueue", ""),
    18: ("The queue is closed on exec", ""),
    19: ("Which of many waiters is woken", ""),
    20: ("Blocking accept wakes threads in turn", ""),
    21: ("A signal does not end a blocking call of Python", ""),
    22: ("What ends a blocked accept, and its side effects", ""),
    23: ("A signal may come before the call, or after the thread's end", ""),
    24: ("Only a signal with a handler interrupts", ""),
    25: ("Signals go to the main thread", ""),
    26: ("A waker that stays readable reaches every thread", ""),
    27: ("An eventfd if available, else a pipe", ""),
    28: ("Closing a queue does not wake its waiters", ""),
    29: ("What an accepted socket inherits", ""),
    30: ("Transient errors of accept", ""),
    31: ("A failed close has closed", ""),
    61: ("A queued one-shot keeps its place and count, and takes the new udata", ""),
    62: ("A pipe without a reader is refused to a writer, or never reported", ""),
    63: ("Closing a queue beside a waiter, and a queue that watches itself", ""),
    64: ("A waker that is never drained wakes every thread", ""),
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
        cli.main(["table", *map(str, kept_results())])
    return shown.getvalue()


def kept_results() -> list[Path]:
    """Return the files of the results: systems first, then kernels' code run as libraries."""
    return sorted(RESULTS.glob("*.json"), key=lambda path: ("-userspace" in path.name, path.name))


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


def read() -> dict[Path, str]:
    """Return the pages as they are."""
    return {page: page.read_text(encoding="utf-8") for page in PAGES}


def written_anew(pages: Mapping[Path, str]) -> dict[Path, str]:
    """Return the pages with their blocks up to date.

    **Raises:** `ValueError` for a block that is not in exactly one of them.
    """
    fresh = dict(pages)
    for part in (contract, example, answers, notes):
        block = re.compile(_BLOCK.format(part.__name__, ".*?"), re.DOTALL)
        found = [(page, old) for page, text in pages.items() for old in block.findall(text)]
        if len(found) != 1:
            raise ValueError(f"docs/mogpoll has no single block {part.__name__}")
        page, old = found[0]
        fresh[page] = fresh[page].replace(old, _BLOCK.format(part.__name__, part()))
    return fresh


if __name__ == "__main__":
    for page, text in written_anew(read()).items():
        page.write_text(text, encoding="utf-8")
