"""The server of examples/slow_backend.py with asyncio's streams; the back end has 32 threads."""

from __future__ import annotations

import asyncio
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ", 2)[1].decode("latin-1")
        if path.startswith("/slow"):
            loop = asyncio.get_running_loop()
            body = await loop.run_in_executor(back_end, think, path)
        else:
            # In the loop: a file in the cache takes less than a thread's turn.
            body = (folder / path.lstrip("/")).read_bytes()
        writer.write(
            f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
            + body
        )
        await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError, OSError):
        pass
    finally:
        writer.close()


def think(path: str) -> bytes:
    time.sleep(0.1)
    return f"{path} took its time\n".encode()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), backlog=1024)
    print("pages on port", server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


folder = Path(sys.argv[2]).resolve()
back_end = ThreadPoolExecutor(32)
asyncio.run(main())
