"""A tracker without a database: knows one node, and answers what clients ask."""

from __future__ import annotations

import socketserver
import threading
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qsl

from tests.support.tracker import Tracker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.daemon import Address
    from tests.support.http import Response

Fields = dict[str, str]


class Refusal(Exception):
    """An answer that begins with ERR: a code and a message."""


class FakeTracker:
    """One domain without classes. `places` are the (address, devid) that it proposes in turn."""

    def __init__(self, places: Sequence[tuple[Address, int]]) -> None:
        self._places = places
        self._fids = 0
        # By key.
        self.paths: dict[str, list[str]] = {}
        self._server = _Server(("127.0.0.1", 0), _Conversation)
        self._server.tracker = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def name(self) -> str:
        """The address as clients want it."""
        host, port = self._server.server_address[:2]
        return f"{host!s}:{port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, line: str) -> str:
        """Return the answer to one line."""
        command, _, rest = line.partition(" ")
        try:
            fields = getattr(self, f"do_{command}")(dict(parse_qsl(rest)))
        except Refusal as refusal:
            return f"ERR {refusal}"
        return "OK " + "&".join(f"{name}={value}" for name, value in fields.items())

    def do_create_open(self, _asked: Fields) -> Fields:
        self._fids += 1
        digits = f"{self._fids:010}"
        name = f"{digits[0]}/{digits[1:4]}/{digits[4:7]}/{digits}.fid"
        answer = {"fid": str(self._fids), "dev_count": str(len(self._places))}
        for number, ((host, port), devid) in enumerate(self._places, 1):
            answer[f"devid_{number}"] = str(devid)
            answer[f"path_{number}"] = f"http://{host}:{port}/dev{devid}/{name}"
        return answer

    def do_create_close(self, asked: Fields) -> Fields:
        """Check the stored file, as a tracker does before it records it."""
        head = self._ask_node("HEAD", asked["path"])
        if (head.status, head.header("Content-Length")) != (200, asked["size"]):
            raise Refusal(f"size_mismatch not+{asked['size']}+bytes")
        self.paths[asked["key"]] = [asked["path"]]
        return {}

    def do_get_paths(self, asked: Fields) -> Fields:
        paths = self.paths.get(asked["key"])
        if paths is None:
            raise Refusal("unknown_key unknown+key")
        listed = {f"path{number}": path for number, path in enumerate(paths, 1)}
        return {"paths": str(len(paths)), **listed}

    def do_delete(self, asked: Fields) -> Fields:
        for path in self.paths.pop(asked["key"]):
            if self._ask_node("DELETE", path).status != 204:
                raise Refusal("failure not+deleted")
        return {}

    def _ask_node(self, method: str, url: str) -> Response:
        host, _, path = url.removeprefix("http://").partition("/")
        name, _, port = host.partition(":")
        with Tracker((name, int(port))) as connection:
            return connection.ask(method, f"/{path}")


class _Server(socketserver.ThreadingTCPServer):
    tracker: FakeTracker
    allow_reuse_address = True


class _Conversation(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        for line in self.rfile:
            answer = self.server.tracker.answer(line.decode().strip())
            self.wfile.write(f"{answer}\r\n".encode())
