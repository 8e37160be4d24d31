"""Hosts, connections to them, and HTTP answers: all of it bounded in size and time.

One thread runs everything, on asyncio. Only the look-up of a name, which blocks, has a thread of
its own: asyncio's would be few, and waited for at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httptools

from mogpoll.threads import ThreadRefused, start_thread
from mogstored.config.values.addresses import join_address

# Of several addresses of a name; they are tried in turn.
_MAX_ADDRESSES = 4
_MAX_LINE = 64 * 1024
_PIECE = 64 * 1024
# Before a body: the limit of all heads of a response together.
_MAX_HEADS = 64 * 1024


class Unreachable(Exception):
    """There is no answer from a port, or no address of the host.

    `is_silence` is set where a connection came about, and nothing else.
    """

    def __init__(self, why: str, port: int | None = None, *, is_silence: bool = False) -> None:
        super().__init__(why if port is None else f"port {port}: {why}")
        self.why = why
        self.port = port
        self.is_silence = is_silence


class BadAnswer(Exception):
    """There is an answer that makes no sense; the text quotes nothing of it."""


class Response(NamedTuple):
    status: int
    body: bytes


class Stream(NamedTuple):
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


_Address = tuple[socket.AddressFamily, tuple[Any, ...]]
# The addresses of a name, or why there are none.
_Found = list[_Address] | str


class Host:
    """A host and its addresses; a name is looked up again after a failure."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._found: asyncio.Future[_Found] | None = None

    @contextlib.asynccontextmanager
    async def connect(self, port: int, timeout_s: float) -> AsyncIterator[Stream]:
        """Yield a connection, which is closed at the end of the block.

        **Raises:** `Unreachable`.
        """
        sock = await self._connect(port, timeout_s)
        try:
            reader, writer = await asyncio.open_connection(sock=sock, limit=_MAX_LINE)
        except BaseException:
            sock.close()
            raise
        try:
            yield Stream(reader, writer)
        finally:
            writer.transport.abort()

    async def _connect(self, port: int, timeout_s: float) -> socket.socket:
        addresses = await self._look_up(timeout_s)
        failure = ""
        for address in addresses:
            try:
                async with asyncio.timeout(timeout_s / len(addresses)):
                    return await _connect_to(address, port)
            except TimeoutError:
                failure = failure or "no connection"
            except OSError as error:
                failure = failure or reason(error)
        self._found = None
        raise Unreachable(failure, port)

    async def _look_up(self, timeout_s: float) -> list[_Address]:
        self._found = looked_up = self._found or _start_look_up(self.name)
        try:
            async with asyncio.timeout(timeout_s):
                # Shielded: one that takes longer is waited for again the next time.
                found = await asyncio.shield(looked_up)
        except TimeoutError:
            raise Unreachable("the look-up of the name takes too long") from None
        if isinstance(found, str):
            self._found = None
            raise Unreachable(found)
        return found


def _start_look_up(name: str) -> asyncio.Future[_Found]:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_Found] = loop.create_future()
    found = _resolve(name, socket.AI_NUMERICHOST)
    if not isinstance(found, str):
        # A number is no work for a thread.
        future.set_result(found)
        return future

    def settle(found: _Found) -> None:
        if not future.done():
            future.set_result(found)

    def run() -> None:
        found = _resolve(name, 0)
        # The loop is closed if the program has ended meanwhile.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, found)

    try:
        start_thread(run, "look-up")
    except ThreadRefused as error:
        settle(str(error))
    return future


def _resolve(name: str, flags: int) -> _Found:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=flags)
    except OSError as error:
        return f"unknown host: {error.strerror}"
    except UnicodeError:
        return "unknown host: no name at all"
    return [(family, address) for family, _, _, _, address in found[:_MAX_ADDRESSES]]


def reason(error: OSError) -> str:
    """Return the text of its number; asyncio puts addresses beside it."""
    return os.strerror(error.errno) if error.errno else str(error)


async def _connect_to(address: _Address, port: int) -> socket.socket:
    family, (host, _, *rest) = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (host, port, *rest))
    except BaseException:
        sock.close()
        raise
    return sock


async def get(host: Host, port: int, target: str, *, limit: int, timeout_s: float) -> Response:
    """Return the answer to a GET, whose body is at most `limit` bytes.

    **Raises:** `Unreachable`, `BadAnswer`.
    """
    async with host.connect(port, timeout_s) as (reader, writer):
        # An interface is no part of a name (RFC 6874).
        authority = join_address(host.name.partition("%")[0], port)
        head = f"GET {target} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode("ascii", "replace"))
        incoming = _Incoming(limit)
        try:
            async with asyncio.timeout(timeout_s):
                while not incoming.is_complete:
                    data = await reader.read(_PIECE)
                    if not data and not incoming.status:
                        # As `deny` does.
                        raise Unreachable("closed without an answer", port)
                    incoming.feed(data)
        except TimeoutError:
            raise Unreachable("no answer", port, is_silence=True) from None
        except OSError as error:
            raise Unreachable(reason(error), port) from None
        return Response(incoming.status, bytes(incoming.body))


class _Incoming:
    """A response while it comes, by the callbacks of httptools."""

    def __init__(self, limit: int) -> None:
        self.status = 0
        self.body = bytearray()
        self.is_complete = False
        self._has_length = False
        self._limit = limit
        self._received = 0
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Take what was received; nothing means the end of the connection.

        **Raises:** `BadAnswer`.
        """
        self._received += len(data)
        if self._received > self._limit + _MAX_HEADS:
            raise BadAnswer("the answer is too long")
        if not data:
            if self._has_length:
                raise BadAnswer("the answer is cut off")
            self.is_complete = True
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not self.is_complete:
                raise BadAnswer("no HTTP") from None

    def on_header(self, name: bytes, _value: bytes) -> None:
        if name.lower() in (b"content-length", b"transfer-encoding"):
            self._has_length = True

    def on_headers_complete(self) -> None:
        if not self.is_complete:
            self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        if not self.is_complete:
            self.body += body

    def on_message_complete(self) -> None:
        self.is_complete = True
