"""The chat of examples/chat.py with asyncio's streams: what its documentation leads to."""

from __future__ import annotations

import asyncio
import sys

MAX_LINE = 4096
MAX_BEHIND_BYTES = 1 << 20

clients: set[asyncio.StreamWriter] = set()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    clients.add(writer)
    try:
        while line := await reader.readline():
            for other in clients - {writer}:
                if other.transport.get_write_buffer_size() > MAX_BEHIND_BYTES:
                    other.close()
                other.write(line)
    except (ConnectionError, ValueError):
        pass  # gone, or a line without an end
    finally:
        clients.discard(writer)
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(
        serve, "127.0.0.1", int(sys.argv[1]), limit=MAX_LINE, backlog=1024
    )
    print("chat on port", server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


asyncio.run(main())
