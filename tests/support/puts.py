"""PUT requests as bytes, their answers, and the files they leave."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.http import Client
from tests.support.processes import pids_of
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from tests.support.daemon import Address, Node
    from tests.support.http import Response

CREATED = "201 Created"
BAD_REQUEST = "400 Bad Request"
FORBIDDEN = "403 Forbidden"
NOT_FOUND = "404 Not Found"
NOT_ALLOWED = "405 Method Not Allowed"
SERVER_ERROR = "500 Internal Server Error"
NO_STORAGE = "507 Insufficient Storage"

CHUNKED = "Transfer-Encoding: chunked"

# A lingering close reads this much from a refused client.
LINGER_BYTES = 64 * 1024

_DATE = re.compile(
    rb"Date: (Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-3][0-9] "
    rb"(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) 20[0-9]{2} "
    rb"[0-2][0-9]:[0-5][0-9]:[0-6][0-9] GMT\r\n"
)


def put_head(target: str, *fields: str, version: str = "1.1") -> bytes:
    """Return the head of a PUT with these `Name: value` lines."""
    lines = [f"PUT {target} HTTP/{version}", *fields, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def put(target: str, body: bytes, *fields: str, version: str = "1.1") -> bytes:
    """Return a PUT whose body has a Content-Length."""
    length = f"Content-Length: {len(body)}"
    return put_head(target, length, *fields, version=version) + body


def put_chunked(target: str, coded: bytes, *fields: str, version: str = "1.1") -> bytes:
    """Return a PUT whose body is chunked already."""
    return put_head(target, CHUNKED, *fields, version=version) + coded


def chunk(data: bytes) -> bytes:
    """Return one chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def chunks(data: bytes, size: int, *trailer: str) -> bytes:
    """Return a whole chunked body in chunks of `size`, with these trailer lines."""
    pieces = [chunk(data[at : at + size]) for at in range(0, len(data), size)]
    ending = "\r\n".join(["0", *trailer, "", ""]).encode("latin-1")
    return b"".join([*pieces, ending])


def md5_of(data: bytes) -> str:
    """Return the value that Content-MD5 has for `data`."""
    return base64.b64encode(hashlib.md5(data).digest()).decode()


def short_block(status: str, *, keep: bool) -> bytes:
    """Return the answer without a body, its date masked."""
    connection = "keep-alive" if keep else "close"
    return (
        f"HTTP/1.1 {status}\r\n"
        f"Status: {status}\r\n"
        "Date: -\r\n"
        "Content-Length: 0\r\n"
        "Content-Type: text/plain\r\n"
        f"Connection: {connection}\r\n"
        "\r\n"
    ).encode()


def masked(blocks: bytes) -> bytes:
    """Return `blocks` with every well-formed date masked."""
    return _DATE.sub(b"Date: -\r\n", blocks)


def assert_short(response: Response, status: str, *, keep: bool) -> None:
    """Expect this answer byte for byte."""
    assert masked(response.raw_head) == short_block(status, keep=keep)


def assert_created(response: Response, *, keep: bool = True) -> None:
    """Expect the answer to a PUT that worked."""
    assert_short(response, CREATED, keep=keep)


def assert_refusal(client: Client, status: str) -> None:
    """Expect an answer that announces the end of the connection, and that end."""
    assert_short(client.read_response(), status, keep=False)
    client.read_eof()


def assert_refused(addr: Address, request: bytes, status: str) -> None:
    """Send a request on a connection of its own and expect to be refused and closed."""
    with Client(addr) as client:
        client.send(request)
        assert_refusal(client, status)


def assert_serves(node: Node) -> None:
    """Expect that the node answers a new client."""
    with Client(node.http) as client:
        assert client.request(b"GET / HTTP/1.0\r\n\r\n").status == 200


def traces(node: Node, target: str) -> list[str]:
    """Return the files in the target's directory with its name or a temporary one."""
    path = node.path(target)
    if not path.parent.is_dir():
        return []
    names = (entry.name for entry in path.parent.iterdir())
    return sorted(name for name in names if name.split(".")[0] == path.name.split(".")[0])


def wait_until_untouched(node: Node, target: str) -> None:
    """Expect that soon there is neither the target nor a temporary file of it."""
    wait_until(lambda: traces(node, target) == [], f"no trace of {target}")


def wait_until_alone(node: Node, target: str) -> None:
    """Expect that soon the target is there without a temporary file beside it."""
    name = node.path(target).name
    wait_until(lambda: traces(node, target) == [name], f"{target} and nothing beside it")


def begun_files(node: Node, target: str) -> list[os.stat_result]:
    """Return the files of uploads in the target's directory that have no final name yet."""
    path = node.path(target)
    named = [path.with_name(name) for name in traces(node, target) if name != path.name]
    nameless = re.compile(rf"{re.escape(str(path.parent.resolve()))}/#\d+ \(deleted\)")
    pids = pids_of(node) | {node.pid}
    links = [link for pid in pids for link in Path(f"/proc/{pid}/fd").glob("*")]
    return [each.stat() for each in named + [link for link in links if _leads_to(link, nameless)]]


def wait_until_begun(node: Node, target: str) -> None:
    """Wait until the upload of a new target has a file, be it without a name."""
    begun = partial(begun_files, node, target)
    wait_until(lambda: traces(node, target) or begun(), f"an incomplete file of {target}")


def _leads_to(link: Path, pattern: re.Pattern[str]) -> bool:
    try:
        return pattern.fullmatch(os.readlink(link)) is not None
    except OSError:
        # Closed by now.
        return False
