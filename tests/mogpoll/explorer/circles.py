"""Finds a circle in a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

_Node = TypeVar("_Node")


def find_circle(
    nodes: Iterable[_Node], following: Callable[[_Node], Iterable[_Node]]
) -> _Node | None:
    """Return a node that leads to itself; None if there is none."""
    is_over = dict[_Node, bool]()
    for start in nodes:
        if start in is_over:
            continue
        # Depth first: a step to what is not over yet closes a circle.
        is_over[start] = False
        path: list[tuple[_Node, Iterator[_Node]]] = [(start, iter(following(start)))]
        while path:
            node, left = path[-1]
            reached = next(left, None)
            if reached is None:
                is_over[node] = True
                path.pop()
            elif is_over.get(reached) is False:
                return reached
            elif reached not in is_over:
                is_over[reached] = False
                path.append((reached, iter(following(reached))))
    return None
