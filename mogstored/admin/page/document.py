"""The document: the current numbers in HTML, with the styles and the script inside."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from hashlib import sha256
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

from mogstored.admin.page.rows import device_fields, overview, tables, worst_first

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mogstored.admin.page.rows import Row, Status


def _text(*names: str) -> str:
    folder = files(__package__)
    return "".join(folder.joinpath(name).read_text(encoding="utf-8") for name in names)


def _hashed(content: str) -> str:
    return f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"


_STYLE = _text("page.css")
_SCRIPT = _text("text.js", "rows.js", "device_table.js", "page.js")
_PAGE = Template(_text("page.html"))
_DEVICE = Template(_text("device.html").rstrip())
_TILE = Template(_text("tile.html").rstrip())

_POLICY = (
    "default-src 'none'",
    f"style-src {_hashed(_STYLE)}",
    f"script-src {_hashed(_SCRIPT)}",
    "connect-src 'self'",
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
)
# To be sent with the page. Only our own style and script take effect, whatever a device's name is.
HEADERS = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "; ".join(_POLICY)),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
)

_TILES = {
    "devices": "Devices",
    "requests": "Requests",
    "sent": "Sent",
    "received": "Received",
    "connections": "HTTP connections",
    "cpu": "Processor",
    "memory": "Memory",
}
_CHARTED = ("requests", "sent", "received", "cpu")
# Title, headings, and how many of the columns at the left are words.
_TABLES = {
    "workers": ("Processes", "PID State Up Connections CPU Memory Files", 2),
    "requests": ("Requests", "Method 2xx 3xx 4xx 5xx Mean", 1),
    "connections": ("Connections", "Protocol Active Idle Waiting", 1),
    "listeners": ("Listeners", "Kind Address Docroot", 3),
    "commands": ("Sidechannel", "Command Answered", 1),
    "threads": ("Threads", "Pool Running Idle", 1),
    "findings": ("Scrub findings", "File Verdict Found Ago", 3),
}
_COLUMNS = {
    "device": "Device",
    "condition": "State",
    "free": "Free",
    "utilization": "Utilization",
    "in_flight": "In flight",
    "waiting": "Waiting",
    "oldest": "Oldest waiting",
    "errors": "Errors",
}
_NO_DEVICE: Status = {
    "device": "",
    "source": None,
    "path": "",
    "state": "ok",
    "state_since": None,
    "size_bytes": None,
    "available_bytes": None,
    "inodes": None,
    "inodes_free": None,
    "utilization_ratio": None,
    "utilization_history": [],
    "in_flight": 0,
    "waiting": 0,
    "oldest_waiting_seconds": None,
    "errors_total": 0,
    "errors": {},
    "scrub": None,
}


def render(status: Status) -> bytes:
    """Return the page that shows `status`, the value that /status.json has as JSON."""
    texts = overview(status)
    rows = tables(status)
    return _PAGE.substitute(
        _escaped(texts),
        style=_STYLE,
        script=_SCRIPT,
        ready="yes" if status["node"]["ready"] else "no",
        reasons_hidden="" if texts["reasons"] else "hidden",
        version=escape(status["node"]["version"]),
        time=escape(_utc(status["time"])),
        tiles="\n".join(_tile(name, title, texts) for name, title in _TILES.items()),
        tables="\n".join(_table(name, rows[name]) for name in _TABLES),
        columns="\n".join(_column(*column) for column in _COLUMNS.items()),
        devices="\n".join(_device(it, status["time"]) for it in worst_first(status["devices"])),
        no_device=_device(_NO_DEVICE, 0),
    ).encode()


def _utc(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _escaped(texts: Mapping[str, str]) -> dict[str, str]:
    return {name: escape(text) for name, text in texts.items()}


def _tile(name: str, title: str, texts: Mapping[str, str]) -> str:
    return _TILE.substitute(
        name=name,
        title=title,
        value=escape(texts[name]),
        note=escape(texts[f"{name}_note"]),
        charted="" if name in _CHARTED else "hidden",
    )


def _table(name: str, rows: Iterable[Row]) -> str:
    title, headings, words = _TABLES[name]
    head = "".join(
        f'<th scope="col"{"" if place < words else " class=number"}>{heading}</th>'
        for place, heading in enumerate(headings.split())
    )
    body = "\n".join(f"<tr>{_cells(row, words)}</tr>" for row in rows)
    return (
        f'<section class="card" data-table="{name}" data-words="{words}"><h3>{title}</h3>'
        f'<div class="scroll"><table aria-label="{title}">'
        f"<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div></section>"
    )


def _cells(row: Row, words: int) -> str:
    return "".join(
        f"<td{'' if place < words else ' class=number'}>{escape(text)}</td>"
        for place, text in enumerate(row)
    )


def _column(name: str, title: str) -> str:
    order = ' aria-sort="descending"' if name == "condition" else ""
    return f'<th role="columnheader" scope="col" data-sort="{name}"{order}>{title}</th>'


def _device(device: Status, now: float) -> str:
    return _DEVICE.substitute(_escaped(device_fields(device, now)), key=escape(device["path"]))
