"""Refuses threads as the system would; child interpreters load it through PYTHONPATH.

The folder in MOG_TEST_REFUSALS holds `starts`, one line of fixed width for every thread that
was asked for, in this process and its children; and `refused`, the numbers of the first that is
refused and of the first that is not any more.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_WIDTH = 64
_folder = os.environ["MOG_TEST_REFUSALS"]


def _number(name: str) -> int:
    fd = os.open(f"{_folder}/starts", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        line = f"{os.getpid()} {name}".encode()[: _WIDTH - 1]
        os.write(fd, line.ljust(_WIDTH - 1) + b"\n")
        return os.lseek(fd, 0, os.SEEK_CUR) // _WIDTH - 1
    finally:
        os.close(fd)


def _is_refused(number: int) -> bool:
    with open(f"{_folder}/refused", encoding="ascii") as file:
        first, end = map(int, file.read().split())
    return first <= number < end


def _refusing(genuine: Callable[..., object]) -> Callable[..., object]:
    def start(bootstrap: Callable[[], None], *arguments: object, **options: object) -> object:
        name: str = bootstrap.__self__.name  # type: ignore[attr-defined]
        if _is_refused(_number(name)):
            raise RuntimeError("can't start new thread")
        return genuine(bootstrap, *arguments, **options)

    return start


# `Thread.start` calls one of these: the first from Python 3.13 on.
for _name in ("_start_joinable_thread", "_start_new_thread"):
    if hasattr(threading, _name):
        setattr(threading, _name, _refusing(getattr(threading, _name)))
        break
