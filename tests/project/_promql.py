"""What an expression of PromQL names: metrics, the labels they are selected by, groupings."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
    |(?P<range>\[[^\]]*\])
    |(?P<number>\d[\w.]*)
    |(?P<word>[A-Za-z_:][\w:]*)
    |(?P<sign>=~|!~|!=|==|<=|>=|[^\s])""",
    re.VERBOSE,
)
_OPERATORS = {"and", "or", "unless", "bool", "offset", "inf", "nan"}
_GROUPINGS = {"by", "without", "on", "ignoring", "group_left", "group_right"}


@dataclass
class Names:
    """The names in one expression."""

    metrics: dict[str, dict[str, str]] = field(default_factory=dict)
    """Each with the labels of all its selectors, and the last value each is compared with."""
    groupings: set[str] = field(default_factory=set)


def names_in(expression: str) -> Names:
    """Read `expression`, which is valid."""
    names = Names()
    tokens = [(str(it.lastgroup), it.group()) for it in _TOKEN.finditer(expression)]
    tokens += [("sign", "")] * 3
    labels: dict[str, str] | None = None  # of the selector that is open
    metric = ""
    grouping = False
    for (kind, token), (_, following), (_, value) in zip(
        tokens, tokens[1:], tokens[2:], strict=False
    ):
        if token == "{":
            labels = names.metrics.setdefault(metric, {})
        elif token == "}":
            labels = None
        elif token == ")":
            grouping = False
        elif kind != "word" or token in _OPERATORS:
            continue
        elif labels is not None:
            labels[token] = value.strip("\"'")
        elif grouping:
            names.groupings.add(token)
        elif token in _GROUPINGS:
            grouping = following == "("
        elif following != "(" and following not in _GROUPINGS:  # else a function
            metric = token
            names.metrics.setdefault(metric, {})
    return names
