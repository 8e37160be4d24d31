"""The examples' figures as lines of the table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench.base.figures import Sample, cpu_us, middle, p99_s, spread
from bench.base.machine import require_files
from bench.base.outcome import Outcome, beside
from bench.environment import Environment
from bench.examples import chat, pages
from bench.examples.server import running
from bench.load.child import ROOT

_HERE = Path(__file__).parent
_EXAMPLES = ROOT / "examples"


def chats(environment: Environment) -> Iterator[Outcome]:
    """All crowds are there at once; they talk in turns."""
    programs = {
        "examples/chat.py": _EXAMPLES / "chat.py",
        "asyncio": _HERE / "chat_asyncio.py",
    }
    require_files(2 * chat.CLIENTS * len(programs))
    with ExitStack() as stack:
        crowds = {
            name: stack.enter_context(chat.crowd(stack.enter_context(running(program))))
            for name, program in programs.items()
        }
        found = environment.take_turns({name: crowd.talk for name, crowd in crowds.items()})
    yield Outcome(f"a chat of {chat.CLIENTS}, {chat.LINES} lines a second: deliveries")
    yield from lines(found, "asyncio", programs)


def slow_back_ends(environment: Environment) -> Iterator[Outcome]:
    """One server runs at a time: the clients of the others would wake the machine."""
    programs = {
        "examples/slow_backend.py": _EXAMPLES / "slow_backend.py",
        "asyncio": _HERE / "pages_asyncio.py",
        "8 threads": _HERE / "pages_threads.py",
    }
    (environment.workdir / "page").write_bytes(pages.PAGE)

    def visit(program: Path, seconds: float) -> Sample:
        with running(program, environment.workdir) as server, pages.visitors(server) as visitors:
            return visitors.visit(seconds)

    found = environment.take_turns(
        {name: partial(visit, program) for name, program in programs.items()}
    )
    yield Outcome(f"a page of 1 KiB, beside {pages.SLOW_CLIENTS} clients of a back end of 0.1 s")
    yield from lines(found, "asyncio", programs)


def lines(
    found: Mapping[str, Sequence[Sample]], base: str, programs: Mapping[str, Path]
) -> Iterator[Outcome]:
    """Latencies, processor time with its ratio to the base, and the lines of each program."""
    for name, samples in found.items():
        ratios = [
            cpu_us(one) / cpu_us(other) for one, other in zip(samples, found[base], strict=True)
        ]
        compared = "base" if name == base else f"{spread(ratios)} x"
        p50, p99 = middle(samples, lambda each: each.p50_s), middle(samples, p99_s)
        size = len(programs[name].read_text().splitlines())
        yield beside(
            f"{name}, {size} lines",
            f"p50 {p50 * 1e3:.2f} p99 {p99 * 1e3:.2f} ms  "
            f"{middle(samples, cpu_us):.1f} us CPU  {compared}",
            {"samples": samples},
        )
