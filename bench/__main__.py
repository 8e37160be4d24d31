"""`python -m bench`: one command, one table, and nothing left running or lying about."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import machine, options, tools
from bench.comparison import Comparison
from bench.cpu import NotLinux, require_proc
from bench.load import Load
from bench.options import Options
from bench.peers import PeerFailed, Workshop
from bench.report import LoadError
from bench.rounds import Method
from bench.ways_out import make_signals_leave, working_place
from bench.works import space_bytes, write_content

_FAILURES = (NotLinux, LoadError, PeerFailed, machine.PlaceUnfit, tools.ToolMissing, OSError)


def main() -> int:
    wanted = options.parse()
    make_signals_leave()
    try:
        _compare(wanted)
    except _FAILURES as error:
        _progress("")
        print(f"bench: FAILED: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nbench: interrupted, all servers are stopped", file=sys.stderr)
        return 130
    return 0


def _compare(wanted: Options) -> None:
    require_proc()
    found = tools.find_tools(wanted.install)
    with _working_place(wanted) as place:
        node = "(calibration: nginx, too)"
        if not wanted.calibrate:
            node = machine.about_node(wanted.python, place)
        header = machine.describe(found, place, _method_text(wanted), node)
        print(header, end="\n\n", flush=True)
        content = place / "content"
        write_content(content)
        workshop = Workshop(
            place, content, found.nginx, tools.nginx_build(found.nginx), wanted.python
        )
        load = Load(found.wrk, wanted.wrk_threads)
        method = Method(load, wanted.rounds, wanted.seconds, _progress)
        comparison = Comparison(wanted, workshop, method, _show)
        try:
            comparison.run()
        finally:
            if wanted.json is not None:
                everything = {"header": header.splitlines(), "results": comparison.record}
                wanted.json.write_text(json.dumps(everything, indent=1) + "\n")


def _method_text(wanted: Options) -> str:
    return (
        f"{wanted.rounds} alternating rounds of {wanted.seconds} s after a warm-up; medians; "
        f"ratios to nginx of the same round: median (lowest-highest); "
        f"at most {wanted.wrk_threads} wrk threads"
    )


@contextmanager
def _working_place(wanted: Options) -> Iterator[Path]:
    """A temporary directory with room for all docroots."""
    peers = 2 if wanted.cmogstored is None else 3
    space = space_bytes(wanted.works, wanted.connections, peers)
    parent = wanted.docroot_parent or machine.default_docroot_parent(space)
    if machine.free_bytes(parent) < space:
        raise machine.PlaceUnfit(f"{parent} has less than {space >> 20} MiB free")
    with working_place(parent) as place:
        yield place


def _show(text: str) -> None:
    print(text, flush=True)


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
