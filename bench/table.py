"""The text of the tables; columns of fixed width, so that a row can be shown once it is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.figures import Ratio, Sample, Summary, summarize
from bench.goals import GOALS, Figure, Goal
from bench.idle import Growth
from bench.works import MIB

_LARGE = 64 * 1024
_ROW = "{:<8} {:>5}  {:<14} {:>9} {:>8} {:>8} {:>7}  {:<19} {:<19} {:<18} {}"
_IDLE_ROW = "{:<14} {:>10} {:>10} {:>10} {:>10} {:>11} {:>11} {:>9}  {:<18} {}"


def heading() -> str:
    return _line(
        _ROW, "work", "conns", "peer", "req/s", "CPU us", "p99 ms", "MB/s",
        "rate ratio", "CPU ratio", "goal", "verdict",
    )  # fmt: skip


def rows(
    name: str,
    size: int,
    connections: int,
    samples: Mapping[str, Sequence[Sample]],
    base: str,
    judged: str,
) -> str:
    """The lines of one work: one for each peer, the goal beside the one it is meant for."""
    lines: list[str] = []
    for peer, own in samples.items():
        summary = summarize(own, None if peer == base else samples[base])
        goal = GOALS.get(name) if peer == judged and peer != base else None
        first = (name, connections) if not lines else ("", "")
        lines.append(
            _line(
                _ROW,
                *first,
                peer,
                f"{summary.rate:.0f}",
                f"{summary.cpu_us:.1f}",
                f"{summary.p99_s * 1e3:.2f}",
                f"{summary.rate * size / 1e6:.0f}" if size >= _LARGE else "",
                _ratio(summary.rate_ratio),
                _ratio(summary.cpu_ratio),
                str(goal or ""),
                _verdict(goal, _judged_value(goal, summary)),
            )
        )
    return "\n".join(lines)


def idle_heading(connections: int) -> str:
    titles = _line(
        _IDLE_ROW, "peer", "RSS before", "RSS after", "PSS before", "PSS after",
        "RSS growth", "PSS growth", "RSS/conn", "goal", "verdict",
    )  # fmt: skip
    return f"{connections} idle keep-alive connections, MiB (per connection: bytes)\n{titles}"


def idle_row(peer: str, growth: Growth, judged: str) -> str:
    goal = GOALS["idle"] if peer == judged else None
    before, after = growth.before, growth.after
    sizes = (before.rss_bytes, after.rss_bytes, before.pss_bytes, after.pss_bytes)
    return _line(
        _IDLE_ROW,
        peer,
        *(f"{size / MIB:.2f}" for size in (*sizes, growth.rss_bytes, growth.pss_bytes)),
        f"{growth.rss_bytes / growth.connections:.0f}",
        str(goal or ""),
        _verdict(goal, growth.rss_bytes / MIB),
    )


def _line(form: str, *cells: object) -> str:
    return form.format(*cells).rstrip()


def _ratio(ratio: Ratio | None) -> str:
    if ratio is None:
        return "base"
    return f"{ratio.median:.2f} ({ratio.lowest:.2f}-{ratio.highest:.2f})"


def _judged_value(goal: Goal | None, summary: Summary) -> float:
    if goal is None:
        return 0.0
    ratio = summary.cpu_ratio if goal.figure is Figure.CPU_RATIO else summary.rate_ratio
    assert ratio is not None
    return ratio.median


def _verdict(goal: Goal | None, value: float) -> str:
    if goal is None:
        return ""
    return goal.verdict(value)
