"""Clients that store, replace and remove files, and note when each was acknowledged."""

from __future__ import annotations

import os
import threading
import time
from random import Random
from typing import TYPE_CHECKING

from tests.crash.history import Name, digest_of, draw_content
from tests.support.http import Client, compose
from tests.support.puts import md5_of, put

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CLIENTS = 8
# So many files of one client at a time: the images are small.
_MOST_FILES = 40
# Of each client, however slow the machine is.
_LEAST_CHANGES = 10
_NEIGHBOUR_PAUSE_S = 0.1
NEIGHBOUR = "neighbour"
# Files that are changed in place: only their checksums are judged.
CHANGED = "changed"
_CHANGED_FILES, _CHANGED_BYTES = 20, 40_000

Names = dict[str, Name]


class Load:
    """Requests for dev1 from several clients until `seconds` have passed, or longer.

    Each client has names of its own, so that what a name should hold is known.

    **Threads:** each has its own part of `_names`; `errors` and `lost` are appended to.
    """

    def __init__(
        self,
        addr: tuple[str, int],
        position: Callable[[], int],
        seed: int,
        *,
        may_lose_clients: bool = False,
    ) -> None:
        self._addr = addr
        self._position = position
        self._seed = seed
        self._names: list[Names] = [{} for _ in range(CLIENTS)]
        self._until = 0.0
        self.is_cut = False
        """Set before the node is cut off: what fails then is no error, and the load ends."""
        self.errors: list[str] = []
        self._may_lose_clients = may_lose_clients
        self.lost: list[str] = []
        """Clients that have ended since the network between has reset their connection."""

    def run(self, seconds: float, disk: Path | None) -> Names:
        """Return the history of each path below dev1, whose directory is `disk`, if it is here."""
        self._until = time.monotonic() + seconds
        threads = [
            threading.Thread(target=self._guarded, args=(self._request, number))
            for number in range(CLIENTS)
        ]
        if disk is not None:
            threads.append(threading.Thread(target=self._guarded, args=(self._neighbour, disk)))
        threads.append(threading.Thread(target=self._guarded, args=(self._change_files, CHANGED)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return {path: name for names in self._names for path, name in names.items()}

    def _guarded(self, work: Callable[..., None], argument: object) -> None:
        try:
            work(argument)
        except Exception as error:
            if self.is_cut:
                return
            # It does not come again: what was under way may be done at any time.
            is_lost = self._may_lose_clients and isinstance(error, ConnectionError)
            words = f"{work.__name__.strip('_')} {argument}: {error!r}"
            (self.lost if is_lost else self.errors).append(words)

    def acknowledged(self) -> int:
        """Return how many changes have been answered; for any thread."""
        histories = [name for names in self._names for name in [*names.values()]]
        return sum(name.acknowledged() for name in histories)

    def _neighbour(self, disk: Path) -> None:
        """Sync a small file now and then, as other programs do: names reach the disk early."""
        with (disk / NEIGHBOUR).open("wb", buffering=0) as file:
            while time.monotonic() < self._until:
                file.write(b"x")
                os.fsync(file.fileno())
                time.sleep(_NEIGHBOUR_PAUSE_S)

    def _change_files(self, directory: str) -> None:
        """Store whole files with a checksum, and then parts of them."""
        draw, serial = Random(f"{self._seed} {directory}"), 0
        with Client(self._addr) as client:
            while time.monotonic() < self._until:
                serial += 1
                content = draw.randbytes(_CHANGED_BYTES)
                target = f"/dev1/{directory}/{serial % _CHANGED_FILES}"
                whole = put(target, content, f"Content-MD5: {md5_of(content)}")
                end = draw.randrange(_CHANGED_BYTES)
                piece = f"Content-Range: bytes 0-{end}/{_CHANGED_BYTES}"
                for request in (whole, put(target, bytes(end + 1), piece)):
                    if (answer := client.request(request)).status != 201:
                        self.errors.append(f"{target}: {answer.status}")

    def _request(self, number: int) -> None:
        names = self._names[number]
        with Client(self._addr) as client:
            work = operations(Random(f"{self._seed} {number}"), number)
            for done, (path, content) in enumerate(work):
                if done >= _LEAST_CHANGES and time.monotonic() > self._until:
                    return
                request, expected = request_of(path, content)
                digest = None if content is None else digest_of(content)
                change = names.setdefault(path, Name()).begin(digest, self._position())
                answer = client.request(request)
                if answer.status == expected:
                    change.answered = self._position()
                else:
                    self.errors.append(f"{request.split(b' HTTP')[0]!r}: {answer.status}")


def operations(draw: Random, number: int) -> Iterator[tuple[str, bytes | None]]:
    """Yield paths of one client with what to store there, or None to remove it; without end."""
    files: list[str] = []
    removed: list[str] = []
    serial = 0
    while True:
        if len(files) >= _MOST_FILES or (files and draw.random() < 0.25):
            path = files.pop(draw.randrange(len(files)))
            removed.append(path)
            yield path, None
        elif files and draw.random() < 0.3:
            yield draw.choice(files), draw_content(draw)
        else:
            if removed and draw.random() < 0.2:
                path = removed.pop(draw.randrange(len(removed)))
            else:
                path = f"c{number}/{serial // 40}/{serial // 8}/{serial:06}.fid"
                serial += 1
            files.append(path)
            yield path, draw_content(draw)


def request_of(path: str, content: bytes | None) -> tuple[bytes, int]:
    """Return the request for a path below dev1, and the status that acknowledges it."""
    if content is None:
        return compose("DELETE", f"/dev1/{path}"), 204
    # With it, the node knows a checksum to keep.
    md5 = [f"Content-MD5: {md5_of(content)}"] if len(content) % 2 else []
    return put(f"/dev1/{path}", content, *md5), 201
