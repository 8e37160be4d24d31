"""Values on command lines, refused with a word before anything is started."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path


def positive(text: str) -> int:
    """Return a whole number above 0."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"not a positive number: {text}")
    return int(text)


def program(text: str) -> str:
    """Return the absolute path of a program, given by path or by name."""
    found = shutil.which(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"not a program: {text}")
    return os.path.abspath(found)


def writable_file(text: str) -> Path:
    """Return the path of a file that can be written, so that no long run ends in vain."""
    file = Path(text)
    if file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"cannot be written: {text}")
    return file


def directory(text: str) -> Path:
    """Return the path of a directory that is there and can be written."""
    place = Path(text)
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise argparse.ArgumentTypeError(f"not a directory to write in: {text}")
    return place


def add_parts(parser: argparse.ArgumentParser, known: Iterable[str]) -> None:
    """Give `parser` an option that takes some of the parts; by default it is all of them."""
    known = list(known)
    help_text = f"of {','.join(known)}"
    parser.add_argument(
        "--parts", type=some_of(known), default=known, metavar="A,B", help=help_text
    )


def some_of(known: Iterable[str]) -> Callable[[str], list[str]]:
    """Return what reads a list such as `A,B`: names out of `known`, in that order, each once."""
    known = list(known)

    def parse(text: str) -> list[str]:
        names = text.split(",")
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {','.join(unknown)}; of {','.join(known)}")
        return list(dict.fromkeys(names))

    return parse
