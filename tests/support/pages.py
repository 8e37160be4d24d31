"""A folder of files as a site: what its pages load, and a server for browsers."""

from __future__ import annotations

import re
from contextlib import contextmanager
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from mogpoll.threads import start_thread
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# What a browser loads without a click. Links of other kinds are followed by users.
_LOADED = {"src", "srcset", "poster", "data", "xlink:href"}
_RELATIONS = {"stylesheet", "icon", "manifest", "preload", "modulepreload", "prefetch"}
_CONNECTIONS = {"preconnect", "dns-prefetch"}
_IN_STYLES = re.compile(r"""(?:url\(\s*|@import\s+)["']?([^"')\s]+)""")
_HAS_ORIGIN = re.compile(r"(?:\w[\w+.-]*:)?//")


class _Loads(HTMLParser):
    """Collects the addresses that a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._in_style = tag == "style"
        loaded = [value for name, value in given.items() if name in _LOADED]
        relations = set(given.get("rel", "").split())
        if (tag == "link" and relations & (_RELATIONS | _CONNECTIONS)) or tag in ("image", "use"):
            loaded.append(given.get("href", ""))
        self.found += [part.split()[0] for value in loaded for part in value.split(", ") if part]
        self.found += _IN_STYLES.findall(given.get("style", ""))

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.found += _IN_STYLES.findall(data)


def loads(path: Path) -> list[str]:
    """Return the addresses that a page, picture or style sheet loads."""
    text = path.read_text(encoding="utf-8")
    parser = _Loads()
    if path.suffix == ".css":
        parser.found = _IN_STYLES.findall(text)
    else:
        parser.feed(text)
    return [address for address in parser.found if not address.startswith(("data:", "#"))]


def is_foreign(address: str) -> bool:
    """Return whether an address names an origin."""
    return _HAS_ORIGIN.match(address) is not None


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder; yield its address, with a slash at its end."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        thread = start_thread(lambda: server.serve_forever(0.05), "pages")
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join(PATIENCE_S)
