"""`/status.json` of an admin listener, checked field by field: the network is not trusted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from mogstored.log.printable import printable
from mogstored.top.model import Device, Node
from mogstored.top.sources.network import BadAnswer

T = TypeVar("T")

_SCHEMA = 1
_MAX_DEVICES = 10_000
_MAX_HISTORY = 60
_MAX_TEXT = 200
# Beyond what any disk or counter holds, and harmless in arithmetic.
_MAX_NUMBER = 1e24
_STATES = {"starting": "starting", "draining": "draining", "serving": "ok"}


def parse_status(body: bytes, name: str) -> Node:
    """Return what the node at address `name` says of itself.

    **Raises:** `BadAnswer`.
    """
    try:
        data = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise BadAnswer("no JSON") from None
    status = _Object(data, "")
    if status.number("schema") != _SCHEMA:
        raise BadAnswer("a schema that this version does not know")
    node = status.member("node")
    http = status.member("http")
    codes = [counts for _, counts in http.member("requests").members()]
    state, detail = _state(node, status)
    return Node(
        node=name,
        state=state,
        detail=detail,
        via="admin",
        hostname=node.text("hostname"),
        version=node.text("version"),
        started_at=node.number("started_at"),
        uptime_seconds=node.number("uptime_seconds"),
        worker_processes=node.number("worker_processes"),
        worker_restarts=node.number("worker_restarts"),
        connections=sum(count.total() for _, count in status.member("connections").members()),
        requests_total=sum(count.total() for count in codes),
        failed_requests_total=sum(count.total(lambda code: code[:1] == "5") for count in codes),
        received_bytes_total=http.number("received_bytes"),
        sent_bytes_total=http.number("sent_bytes"),
        devices=tuple(_device(each, name) for each in status.rows("devices", _MAX_DEVICES)),
    )


def _state(node: _Object, status: _Object) -> tuple[str, str]:
    word = node.text("state") or ""
    if word not in _STATES:
        raise BadAnswer("node.state is no state")
    workers = status.rows("workers", _MAX_DEVICES)
    silent = [worker.value("answers", bool) for worker in workers].count(False)
    silence = f"{silent} of {len(workers)} processes silent" if silent else ""
    state = _STATES[word]
    if state != "ok" or node.value("ready", bool) is not False:
        return state, silence
    reasons = node.value("not_ready_reasons", list) or []
    texts = [_clean(reason) for reason in reasons[:5] if isinstance(reason, str)]
    return "not ready", ", ".join([*texts, *filter(None, [silence])])


def _device(row: _Object, node: str) -> Device:
    name, state = row.text("device"), row.text("state")
    if not name or not state:
        raise BadAnswer(f"{row.place} has no name or no state")
    history = row.value("utilization_history", list) or []
    operations = row.member("operations").members()
    scrub = row.value("scrub", dict)
    return Device(
        node=node,
        device=name,
        docroot=row.text("docroot"),
        path=row.text("path"),
        source=row.text("source"),
        state=state,
        state_since=row.number("state_since"),
        size_bytes=row.number("size_bytes"),
        available_bytes=row.number("available_bytes"),
        inodes=row.number("inodes"),
        inodes_free=row.number("inodes_free"),
        utilization_ratio=_ratio(row.number("utilization_ratio")),
        utilization_history=tuple(
            None if value is None else _ratio(_number(value, row.place))
            for value in history[-_MAX_HISTORY:]
        ),
        in_flight=row.number("in_flight"),
        waiting=row.number("waiting"),
        oldest_waiting_seconds=row.number("oldest_waiting_seconds"),
        requests_total=sum(each.number("count") or 0 for _, each in operations),
        errors_total=row.number("errors_total"),
        scrub_findings=None
        if scrub is None
        else len(_Object(scrub, f"{row.place}.scrub").value("findings", list) or []),
    )


class _Object:
    """A JSON object, with where it was found for messages."""

    def __init__(self, data: object, place: str) -> None:
        if not isinstance(data, dict):
            raise BadAnswer(f"{place or 'the answer'} is no object")
        self._data: dict[str, Any] = data
        self.place = place

    def value(self, name: str, kind: type[T]) -> T | None:
        found = self._data.get(name)
        if found is not None and not isinstance(found, kind):
            raise BadAnswer(f"{self._inside(name)} is no {kind.__name__}")
        return found

    def text(self, name: str) -> str | None:
        found = self.value(name, str)
        return found if found is None else _clean(found)

    def number(self, name: str) -> float | None:
        found = self._data.get(name)
        return None if found is None else _number(found, self._inside(name))

    def member(self, name: str) -> _Object:
        """Return a member that is an object; one that is missing is empty."""
        return _Object(self.value(name, dict) or {}, self._inside(name))

    def rows(self, name: str, most: int) -> list[_Object]:
        found = self.value(name, list) or []
        if len(found) > most:
            raise BadAnswer(f"{self._inside(name)} has more than {most} members")
        return [_Object(each, f"{self._inside(name)}[{i}]") for i, each in enumerate(found)]

    def members(self) -> list[tuple[str, _Object]]:
        # The keys are not ours: they are no part of a message.
        return [(key, _Object(each, f"{self.place}[]")) for key, each in self._data.items()]

    def total(self, counts: Callable[[str], bool] = lambda key: True) -> float:
        """Return the sum of the members whose key counts."""
        members: Iterable[tuple[str, object]] = self._data.items()
        return sum(_number(each, self.place) for key, each in members if counts(key))

    def _inside(self, name: str) -> str:
        return f"{self.place}.{name}" if self.place else name


def _number(value: object, place: str) -> float:
    """Return a number that is not negative; clocks of several hosts make such of a zero."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadAnswer(f"{place} is no number")
    if abs(value) > _MAX_NUMBER:
        raise BadAnswer(f"{place} is too large")
    return max(0, value)


def _ratio(value: float | None) -> float | None:
    return None if value is None else min(1.0, value)


def _clean(text: str) -> str:
    shown = printable(text[:_MAX_TEXT])
    return shown if len(shown) <= _MAX_TEXT else f"{shown[:_MAX_TEXT]}..."


def _refuse(constant: str) -> None:
    raise ValueError(constant)
