"""The table of docs/sidechannel.md, from sidechannel.toml and the classes of the commands.

**Raises:** `ValueError` for a command or an algorithm without a line in sidechannel.toml.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from mogstored.sidechannel import command as grammar

ENTRIES = Path(__file__).with_name("sidechannel.toml")

_ALGORITHMS = re.compile(r"MD5|SHA-\(\?:([\d|]+)\)")


def entries() -> list[dict[str, str]]:
    """Return what is sent and what comes back."""
    return list(tomllib.loads(ENTRIES.read_text())["command"])


def commands() -> Iterator[str]:
    """Yield which line does what."""
    parsed = [grammar.parse_command(entry["send"].encode()) for entry in entries()]
    if missing := set(get_args(grammar.Command)) - set(map(type, parsed)):
        raise ValueError(f"sidechannel.toml has no line for {missing}")
    digests = {each.algorithm.decode() for each in parsed if isinstance(each, grammar.Digest)}
    if missing := algorithms() - digests:
        raise ValueError(f"sidechannel.toml has no line for {missing}")
    yield "| send | comes back | meaning |"
    yield "|---|---|---|"
    for entry, command in zip(entries(), parsed, strict=True):
        about = entry.get("about") or _meaning(type(command))
        back = f"`{entry['back']}`" if entry["back"] else "an empty line"
        yield f"| `{entry['send']}` | {entry.get('shown', back)} | {about} |"


def _meaning(command: type) -> str:
    """Return the first clause of a class's description."""
    return f"{re.split('[;.]', command.__doc__ or '')[0]}."


def algorithms() -> set[str]:
    """Return the names of the digests, as the grammar has them."""
    text = grammar._DIGEST.pattern.decode()
    (lengths,) = filter(None, _ALGORITHMS.findall(text))
    return {"MD5", *(f"SHA-{length}" for length in lengths.split("|"))}
