"""Reports as text: one as a table, several side by side, and what is different in two."""

from __future__ import annotations

from collections.abc import Sequence

from mogpoll.probe.experiment import Answer
from mogpoll.probe.isolation import Result
from mogpoll.probe.report import Report

_VERDICTS = {True: "holds", False: "BROKEN", None: ""}
_ABSENT = "(not asked)"


def text_of(answer: Answer) -> str:
    """Return an answer in words."""
    if isinstance(answer, bool):
        return "yes" if answer else "no"
    if isinstance(answer, list):
        return ", ".join(map(text_of, answer)) if answer else "none"
    return str(answer) if answer != "" else '""'


def for_people(report: Report) -> str:
    """Return the table of one run, with what is wrong below it."""
    rows = [
        (_VERDICTS[result.holds], result.name, text_of(result.answer), result.question)
        for result in report.results
    ]
    lines = [
        str(report.place),
        "",
        *_aligned([("relied on", "name", "answer", "question"), *rows]),
    ]
    broken = report.broken()
    held = sum(result.holds is True for result in report.results)
    lines += ["", f"{len(rows)} asked; {held} of {held + len(broken)} that are relied on hold"]
    return "\n".join(lines + [_complaint(result) for result in broken]) + "\n"


def _complaint(result: Result) -> str:
    wanted = " or ".join(map(text_of, result.relied_on))
    detail = f" ({result.detail})" if result.detail else ""
    return f"BROKEN {result.name}: {text_of(result.answer)}{detail}, should be {wanted}"


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def side_by_side(reports: Sequence[Report]) -> str:
    """Return a table in Markdown, with a column for each report; ✓ marks what is relied on."""
    questions = {r.name: r.question for report in reversed(reports) for r in report.results}
    names = list(dict.fromkeys(r.name for report in reports for r in report.results))
    found = [{result.name: result for result in report.results} for report in reports]
    titles = ["question", *(_title(report) for report in reports)]
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    for name in names:
        cells = [_cell(results.get(name)) for results in found]
        mark = " ✓" if any(_relied_on(results.get(name)) for results in found) else ""
        lines.append("| " + " | ".join([questions[name] + mark, *cells]) + " |")
    return "\n".join(lines) + "\n"


def _title(report: Report) -> str:
    return f"{report.place.system}, {report.place.queue}"


def _relied_on(result: Result | None) -> bool:
    return result is not None and bool(result.relied_on)


def _cell(result: Result | None) -> str:
    if result is None:
        return _ABSENT
    text = text_of(result.answer).replace("|", "\\|")
    return f"**{text}**" if result.holds is False else text


def differences(one: Report, other: Report) -> str:
    """Return what differs between two reports, one experiment a line; empty if nothing does.

    Figures that are different at every run are left out.
    """
    left = {result.name: result for result in one.results}
    right = {result.name: result for result in other.results}
    rows = [
        (name, _seen(left.get(name)), _seen(right.get(name)))
        for name in dict.fromkeys([*left, *right])
        if _seen(left.get(name)) != _seen(right.get(name))
    ]
    if not rows:
        return ""
    return "\n".join(_aligned([("name", "first", "second"), *rows])) + "\n"


def _seen(result: Result | None) -> str:
    return _ABSENT if result is None else text_of(result.answer)
