"""A chunked upload and the request behind it, cut in two at every position."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.arrival import wait_until_taken
from tests.support.http import Client
from tests.support.puts import CREATED, chunks, masked, md5_of, put_chunked, short_block

if TYPE_CHECKING:
    from tests.support.daemon import Node

BODY = b"some chunked content"


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_cut_anywhere(node: Node, target: str, version: str) -> None:
    coded = chunks(BODY, 11, f"Content-MD5: {md5_of(BODY)}").replace(b"\r\n", b";x=y\r\n", 1)
    fields = ["Trailer: Content-MD5", "Connection: keep-alive"]
    upload = put_chunked(target, coded, *fields, version=version)
    # The last piece of the upload brings the beginning of the next request along.
    download = f"GET {target} HTTP/1.0\r\n\r\n".encode()
    begun = upload + download[:7]
    for cut in range(1, len(begun)):
        node.path(target).unlink(missing_ok=True)
        with Client(node.http) as client:
            client.send(begun[:cut])
            wait_until_taken(client)
            client.send(begun[cut:])
            at_once = client.recv_once()
            assert masked(at_once) == short_block(CREATED, keep=True), f"cut at {cut}"
            response = client.request(download[7:])
            assert (response.status, response.body) == (200, BODY), f"cut at {cut}"
            assert response.header("Connection") == "close"
            client.read_eof()
