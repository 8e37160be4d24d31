"""Which answer there is under which path."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from mogstored.admin.http.message import Answer, Request
from mogstored.admin.status import describe
from mogstored.admin.view import NodeView

_METHODS = ("GET", "HEAD")
_ALLOW = {"Allow": ", ".join(_METHODS)}
_TEXT = "text/plain; charset=utf-8"
_FRESH = {"Cache-Control": "no-store"}
# As many formats of one view are kept as there are in use: those of two scrapers, and the page.
_MAX_KEPT = 8


class Site:
    """Makes answers of views; what is asked for again is made once."""

    def __init__(self) -> None:
        self._view: NodeView | None = None
        self._kept: dict[tuple[str, str], Answer] = {}

    def refuse(self, request: Request) -> Answer | None:
        """Return the answer to a request for which no view is needed; None for others."""
        if request.path not in _PATHS:
            return Answer(404, _TEXT, b"not found\n", _FRESH)
        if request.method not in _METHODS:
            return Answer(405, _TEXT, b"only GET and HEAD\n", _FRESH | _ALLOW)
        return None

    def answer(self, request: Request, view: NodeView) -> Answer:
        if view is not self._view:
            self._view = view
            self._kept.clear()
        key = request.path, request.accept if request.path == METRICS else ""
        answer = self._kept.get(key)
        if answer is None:
            answer = _PATHS[request.path](view, request)
            if len(self._kept) < _MAX_KEPT:
                self._kept[key] = answer
        return answer

    def forget(self) -> None:
        """Release what was kept of the last view."""
        self._view = None
        self._kept.clear()


def _page(view: NodeView, _request: Request) -> Answer:
    from mogstored.admin.page import HEADERS, render

    fields = dict(HEADERS)
    return Answer(200, fields.pop("Content-Type"), render(describe(view)), fields)


def _status(view: NodeView, _request: Request) -> Answer:
    content = json.dumps(describe(view), separators=(",", ":")).encode()
    return Answer(200, "application/json", content, _FRESH)


def _metrics(view: NodeView, request: Request) -> Answer:
    # Late: the library costs 3 MiB, and not every node is scraped.
    from mogstored.admin.exposition import render

    content_type, content = render(view, request.accept)
    return Answer(200, content_type, content, _FRESH)


def _healthy(view: NodeView, _request: Request) -> Answer:
    reason = view.sick_reason
    return _verdict([] if reason is None else [reason])


def _ready(view: NodeView, _request: Request) -> Answer:
    return _verdict(view.not_ready_reasons)


def _verdict(reasons: list[str]) -> Answer:
    content = "".join(f"{reason}\n" for reason in reasons or ["ok"]).encode()
    return Answer(503 if reasons else 200, _TEXT, content, _FRESH)


METRICS = "/metrics"
PAGE, STATUS = "/", "/status.json"

_PATHS: Mapping[str, Callable[[NodeView, Request], Answer]] = {
    PAGE: _page,
    STATUS: _status,
    METRICS: _metrics,
    "/-/healthy": _healthy,
    "/-/ready": _ready,
}
