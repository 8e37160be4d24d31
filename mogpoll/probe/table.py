"""Reports as text: one as a table, several side by side, and their differences."""

from __future__ import annotations

from collections.abc import Sequence

from mogpoll.probe.experiment import Answer, catalogue
from mogpoll.probe.isolation import Result
from mogpoll.probe.report import Report

_VERDICTS = {True: "holds", False: "BROKEN", None: ""}
_ABSENT = "(not asked)"


def text_of(answer: Answer) -> str:
    """Return an answer as text."""
    if isinstance(answer, bool):
        return "yes" if answer else "no"
    if isinstance(answer, list):
        return ", ".join(map(text_of, answer)) if answer else "none"
    return str(answer) if answer != "" else '""'


def for_people(report: Report) -> str:
    """Return the table of one run, with the broken answers below."""
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
    lines += ["", f"{len(rows)} asked; {held} of {held + len(broken)} relied-on answers hold"]
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
    """Return a table in Markdown, with a column a report; ✓ marks relied-on answers.

    Questions are worded as today, not as when a report was written.
    """
    questions = {r.name: r.question for report in reversed(reports) for r in report.results}
    questions |= {each.name: each.question for each in catalogue() if each.name in questions}
    names = list(dict.fromkeys(r.name for report in reports for r in report.results))
    found = [{result.name: result for result in report.results} for report in reports]
    titles = ["question", *(_title(report) for report in reports)]
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    for name in names:
        cells = [_cell(results.get(name)) for results in found]
        mark = " ✓" if any(_relied_on(results.get(name)) for results in found) else ""
        lines.append("| " + " | ".join([questions[name] + mark, *cells]) + " |")
    lines += _gaps(reports, questions)
    return "\n".join(lines) + "\n"


def _title(report: Report) -> str:
    return f"{report.place.name}, {report.place.queue}"


def _gaps(reports: Sequence[Report], questions: dict[str, str]) -> list[str]:
    """Return the questions that no code of a kernel run as a library answers, by reason."""
    libraries = [report for report in reports if report.place.kernel_code]
    without: dict[str, list[str]] = {}
    for name, question in questions.items():
        results = [result for one in libraries for result in one.results if result.name == name]
        if results and all(result.outcome == "unavailable" for result in results):
            without.setdefault(results[0].detail, []).append(question)
    if not without:
        return []
    names = " and ".join(report.place.name for report in libraries)
    lines = ["", f"Not shown by {names}:", ""]
    return lines + [f"- {why}: {'; '.join(found)}" for why, found in without.items()]


def _relied_on(result: Result | None) -> bool:
    return result is not None and bool(result.relied_on)


def _cell(result: Result | None) -> str:
    if result is None:
        return _ABSENT
    text = text_of(result.answer).replace("|", "\\|")
    return f"**{text}**" if result.holds is False else text


def differences(reports: Sequence[Report]) -> str:
    """Return the experiments whose answers differ, one a line; details are not compared.

    Columns are numbered as the reports are, from 1.
    """
    found = [{result.name: result for result in report.results} for report in reports]
    names = dict.fromkeys(name for results in found for name in results)
    rows = [(name, *(_seen(results.get(name)) for results in found)) for name in names]
    rows = [row for row in rows if len(set(row[1:])) > 1]
    if not rows:
        return ""
    numbers = map(str, range(1, len(reports) + 1))
    return "\n".join(_aligned([("name", *numbers), *rows])) + "\n"


def _seen(result: Result | None) -> str:
    return _ABSENT if result is None else text_of(result.answer)
