"""`mogstored top`, from its arguments to its exit status."""

from __future__ import annotations

import asyncio
import codecs
import dataclasses
import io
import json
import os
import sys
import time
from collections.abc import Iterable, Sequence

from mogstored.top.arguments import EX_USAGE, Options, parse
from mogstored.top.model import Device, Node
from mogstored.top.order import in_order, worst_first
from mogstored.top.sources.polling import poll

_SCHEMA = 1
# For the rates.
_ROUNDS = 2
_NO_RICH = (
    "the library rich is missing: pip install 'mogstored[top]', or install the system's "
    "python3-rich; --json does without"
)

# For a locale without them: what stands for the signs of the tables, of the same width.
_SUBSTITUTES = dict(zip("━─…▁▂▃▄▅▆▇█", "=-~_.,:+*%#", strict=True))


def main(prog: str, arguments: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    options = parse(prog, arguments)
    codecs.register_error("top", _substitute)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="top")
    if options.json:
        nodes = _ask(options)
        _print(json.dumps(to_json(nodes, time.time()), indent=1) + "\n")
        return _status(nodes)
    try:
        import rich  # noqa: F401
    except ImportError:
        print(f"{prog}: {_NO_RICH}", file=sys.stderr)
        return EX_USAGE
    from rich.console import Console

    is_live = not options.once and os.isatty(1) and os.environ.get("TERM") not in ("dumb", None)
    if is_live:
        from mogstored.top.live import run_live

        # The terminal is asked for its size, which the environment knows from its start at best.
        environ = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
        return run_live(options, Console(highlight=False, _environ=environ))
    nodes = _ask(options)
    _print(as_text(nodes, options))
    return _status(nodes)


def as_text(nodes: Iterable[Node], options: Options) -> str:
    """Return the two tables: as wide as the terminal, or as they like where there is none."""
    from rich.console import Console

    from mogstored.top.view import Look, whole

    width = None
    console = Console(highlight=False, markup=False, emoji=False)
    if os.isatty(1) or os.environ.get("COLUMNS", "").isdigit():
        width = console.width
    else:
        # Nothing is cut off, and no line broken.
        console.width = 10_000
    look = Look(sort=options.sort, filter=options.filter)
    with console.capture() as captured:
        console.print(whole(nodes, look, width))
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def to_json(nodes: Iterable[Node], now: float) -> dict[str, object]:
    """Return what `--json` prints; docs/top.md describes it."""
    return {"schema": _SCHEMA, "time": now, "nodes": [_of_node(n) for n in worst_first(nodes)]}


def _of_node(node: Node) -> dict[str, object]:
    fields = dataclasses.asdict(dataclasses.replace(node, devices=()))
    devices = [_of_device(device) for device in in_order(node.devices, "worst")]
    return {**fields, "devices": devices}


def _of_device(device: Device) -> dict[str, object]:
    fields = dataclasses.asdict(device)
    del fields["node"]
    return {**fields, "verdict": device.verdict}


def _ask(options: Options) -> list[Node]:
    nodes: dict[str, Node] = {}
    asyncio.run(poll(options, lambda node: nodes.update({node.node: node}), _ROUNDS))
    return list(nodes.values())


def _status(nodes: Iterable[Node]) -> int:
    return 0 if all(node.is_whole for node in nodes) else 1


def _substitute(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    lacking = error.object[error.start : error.end]
    return "".join(_SUBSTITUTES.get(sign, "?") for sign in lacking), error.end


def _print(text: str) -> None:
    """Write to stdout; a reader that has enough, such as head, is no error."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
