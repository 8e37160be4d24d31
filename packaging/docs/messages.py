"""Make the tables of messages in docs/messages.md from the code and from messages.toml.

python packaging/docs/messages.py            writes them between their marks
python packaging/docs/messages.py --check    says whether they are out of date, and exits with 1

Text and level of a message come from the call that logs it, its meaning from messages.toml. A
message without an entry there, an entry without a message, and an example with words that the code
does not have end with the text in question.
"""

from __future__ import annotations

import ast
import errno
import os
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "messages.md"
ENTRIES = Path(__file__).with_name("messages.toml")

# The default level is INFO: what is below it is for developers.
_LEVELS = ("info", "warning", "error", "critical", "exception")
_LOGGERS = re.compile(r"(self\.)?_?log")
_PLACEHOLDER = re.compile("%[sdgr]")
# A value of an example with so many words is a part of a message, unless others wrote it.
_PART_WORDS = 5
_FROM_OTHERS = re.compile("Command '.*' timed out after .* seconds")
# Where the ways of logging are themselves: their messages are arguments.
_WAYS_OF_LOGGING = "mogpoll/threads.py"
_MADE = re.compile(r"(<!-- made: (messages|refusals) -->\n).*?(<!-- end -->\n)", re.DOTALL)


@dataclass(frozen=True)
class Message:
    """What the code prints: `text` has `%s`, `%d` or `%g` in place of values."""

    text: str
    level: str


def main() -> int:
    """Write the page, or compare it."""
    text = PAGE.read_text()
    try:
        made = render(text)
    except ValueError as error:
        print(error)
        return 1
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(made)
    elif made != text:
        print(f"out of date: {PAGE.name}; run python packaging/docs/messages.py")
        return 1
    return 0


def render(page: str) -> str:
    """Return the page with its tables made anew.

    **Raises:** `ValueError` that lists the texts for which code and entries differ.
    """
    entries = tomllib.loads(ENTRIES.read_text())
    source = Source()
    found = {"messages": dict(source.logged()), "refusals": dict(source.refused())}
    if faults := list(_differences(entries, found, source)):
        raise ValueError("\n".join(faults))
    return _MADE.sub(
        lambda mark: f"{mark[1]}{tables(entries[mark[2]], found[mark[2]])}{mark[3]}", page
    )


def _differences(
    entries: dict[str, Any], found: dict[str, dict[str, Message]], source: Source
) -> Iterator[str]:
    for kind, messages in found.items():
        texts = [entry["text"] for group in entries[kind].values() for entry in group]
        yield from (f"twice in messages.toml: {text}" for text in sorted(_repeated(texts)))
        for text in messages.keys() - set(texts):
            yield f"the code has a message without an entry in messages.toml, {kind}: {text}"
        # Some refusals are put together before they are raised.
        known = messages if kind == "messages" else source.texts | messages.keys()
        for text in set(texts) - set(known):
            yield f"messages.toml, {kind}, has an entry without a message in the code: {text}"
        values = (
            value
            for group in entries[kind].values()
            for entry in group
            for line in entry.get("values", [])
            for value in line
        )
        for value in values:
            if not source.has_part(str(value)):
                yield f"messages.toml, {kind}, has a value that the code does not print: {value}"


def _repeated(texts: list[str]) -> set[str]:
    return {text for text in texts if texts.count(text) > 1}


def tables(groups: dict[str, list[dict[str, Any]]], messages: dict[str, Message]) -> str:
    """Return a table for each group."""
    return "".join(f"{line}\n" for line in _lines(groups, messages))


def _lines(groups: dict[str, list[dict[str, Any]]], messages: dict[str, Message]) -> Iterator[str]:
    has_levels = any(message.level for message in messages.values())
    for title, entries in groups.items():
        yield ""
        yield f"### {title}"
        yield ""
        yield ("| level " if has_levels else "") + "| line | when | what to do |"
        yield ("|---" if has_levels else "") + "|---|---|---|"
        for entry in entries:
            level = f"| {messages[entry['text']].level} " if has_levels else ""
            lines = "<br>".join(f"`{_escape(line)}`" for line in examples(entry))
            yield f"{level}| {lines} | {entry['when']} | {entry.get('do', '')} |"
    yield ""


def examples(entry: dict[str, Any]) -> Iterator[str]:
    """Yield lines as they are printed: the text with each of the entry's lists of values."""
    for values in entry.get("values", [[]]):
        yield entry["text"].replace("%r", "%s") % tuple(values)


def _escape(line: str) -> str:
    return line.replace("|", "\\|")


class Source:
    """The strings in both packages, and the calls that print them."""

    def __init__(self) -> None:
        self._modules = {
            path.relative_to(ROOT).as_posix(): ast.parse(path.read_text())
            for package in ("mogpoll", "mogstored")
            for path in sorted((ROOT / package).rglob("*.py"))
        }
        self.texts = {
            text
            for node in self._nodes()
            if (text := _text(node)) and len(re.sub(r"\W", "", _PLACEHOLDER.sub("", text))) >= 8
        }
        self._patterns = [
            re.compile(".*".join(map(re.escape, _PLACEHOLDER.split(text)))) for text in self.texts
        ]
        self._constants = {
            target.id: text
            for node in self._nodes()
            if isinstance(node, ast.Assign) and (text := _text(node.value)) is not None
            for target in node.targets
            if isinstance(target, ast.Name) and target.id.isupper()
        }
        self._rare = {
            _name(node.targets[0])
            for node in self._nodes()
            if isinstance(node, ast.Assign) and ast.unparse(node.value) == "RareLog()"
        }

    def logged(self) -> Iterator[tuple[str, Message]]:
        """Yield what is logged at a level that is written."""
        for place, tree in self._modules.items():
            for node in ast.walk(tree):
                if not isinstance(node, ast.Call) or (how := self._how(node)) is None:
                    continue
                level, argument = how
                text = self._resolve(argument)
                if text is not None:
                    yield text, Message(text, level)
                elif place != _WAYS_OF_LOGGING:
                    raise ValueError(f"{place}:{node.lineno}: a message that is no literal")

    def refused(self) -> Iterator[tuple[str, Message]]:
        """Yield what ends a start, apart from faults of options and files."""
        for node in self._nodes():
            if isinstance(node, ast.Call) and _name(node.func) == "ConfigError" and node.args:
                text = self._resolve(node.args[0])
                if text is not None:
                    yield text, Message(text, "")

    def has_part(self, value: str) -> bool:
        """Return whether the code, or the system, prints this value of an example."""
        if len(value.split()) < _PART_WORDS or _FROM_OTHERS.fullmatch(value):
            return True
        return any(pattern.fullmatch(value) for pattern in self._patterns) or any(
            os.strerror(number) in value for number in errno.errorcode
        )

    def _how(self, call: ast.Call) -> tuple[str, ast.expr] | None:
        """Return the level and the message of a call that logs."""
        name = _name(call.func)
        if name == "log_exception":
            return "error", call.args[0]
        if name == "LogRecord":
            return ast.unparse(call.args[1]).rpartition(".")[2].lower(), call.args[4]
        if not isinstance(call.func, ast.Attribute):
            return None
        if name == "error" and _name(call.func.value) in self._rare:
            return "error", call.args[0]
        if not _LOGGERS.fullmatch(ast.unparse(call.func.value)):
            return None
        if name == "log":
            return ast.unparse(call.args[0]).rpartition(".")[2].lower(), call.args[1]
        if name not in _LEVELS:
            return None
        return name.replace("exception", "error"), call.args[0]

    def _resolve(self, node: ast.expr) -> str | None:
        if isinstance(node, ast.Name):
            return self._constants.get(node.id)
        return _text(node)

    def _nodes(self) -> Iterable[ast.AST]:
        for tree in self._modules.values():
            yield from ast.walk(tree)


def _name(node: ast.AST) -> str:
    return ast.unparse(node).rpartition(".")[2]


def _text(node: ast.AST) -> str | None:
    """Return a string as the code has it, with `%s` for what an f-string fills in."""
    if isinstance(node, ast.Constant):
        value = node.value
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        return value.rstrip("\n") if isinstance(value, str) else None
    if isinstance(node, ast.JoinedStr):
        parts = [
            str(part.value) if isinstance(part, ast.Constant) else "%s" for part in node.values
        ]
        return "".join(parts).rstrip("\n")
    return None


if __name__ == "__main__":
    sys.exit(main())
