"""The devices, one of them a slow disk, and the servers that are asked for the files on them.

All servers share the devices: each docroot has links to them, and one server runs at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import nginx_config
from bench.peers import Peer, free_port
from tests.support.fuse.control import SlowDisk, mounted

FILES = 20
# More than anybody keeps open, so that a slow disk is not spared.
BAD_FILES = 2000
# Of a device and a file, in Python and in C alike.
PATH_FORMAT = "/dev%d/0/000/000/%010d.fid"
_SIZE = 1024
_CONNECTIONS = 1024


@dataclass(frozen=True, slots=True)
class Devices:
    """`count` devices below one directory; the last one is the bad disk."""

    home: Path
    count: int
    bad: SlowDisk

    @property
    def bad_path(self) -> str:
        return PATH_FORMAT % (self.count, 1)


@contextmanager
def make_devices(home: Path, count: int) -> Iterator[Devices]:
    """Make them with their files. Raises: CannotMount."""
    home.mkdir()
    with mounted(home / f"dev{count}") as bad:
        for device in range(1, count + 1):
            for number in range(1, (BAD_FILES if device == count else FILES) + 1):
                file = home / (PATH_FORMAT % (device, number))[1:]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(b"m" * _SIZE)
        yield Devices(home, count, bad)


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes the servers; `cmogstored` is None where there is none."""

    place: Path
    python: str
    nginx: str
    nginx_build: str
    cmogstored: str | None

    def nodes(self, devices: Devices) -> list[Peer]:
        """Return the node with one process and with two."""
        return [self._node(devices, workers) for workers in (1, 2)]

    def others(self, devices: Devices) -> list[Peer]:
        """Return those that it is compared with."""
        made = [self._nginx(devices, workers, aio=False) for workers in (1, 2)]
        if "--with-threads" in self.nginx_build:
            made += [self._nginx(devices, workers, aio=True) for workers in (1, 2)]
        if self.cmogstored is not None:
            made += [self._cmogstored(devices, self.cmogstored, workers) for workers in (1, 2)]
        return made

    def _node(self, devices: Devices, workers: int) -> Peer:
        peer = self._peer(f"mogstored, {_processes(workers)}", devices)
        peer.argv += [self.python, "-m", "mogstored", *_listening(peer, workers)]
        return peer

    def _cmogstored(self, devices: Devices, binary: str, workers: int) -> Peer:
        peer = self._peer(f"cmogstored, {_processes(workers)}", devices)
        peer.argv += [binary, *_listening(peer, workers)]
        return peer

    def _nginx(self, devices: Devices, workers: int, *, aio: bool) -> Peer:
        name = f"nginx, {_processes(workers)}" + (", aio threads" if aio else "")
        peer = self._peer(name, devices)
        text = nginx_config.render(
            peer.home, peer.docroot, peer.port, _CONNECTIONS, workers, aio_threads=aio
        )
        text = nginx_config.without_absent_modules(text, self.nginx_build)
        (peer.home / "nginx.conf").write_text(text)
        peer.argv += [self.nginx, "-p", str(peer.home), "-c", "nginx.conf"]
        return peer

    def _peer(self, name: str, devices: Devices) -> Peer:
        home = self.place / f"{devices.home.name}-{name}".replace(" ", "-").replace(",", "")
        peer = Peer(name, home, free_port(), [])
        peer.docroot.mkdir(parents=True)
        for device in range(1, devices.count + 1):
            (peer.docroot / f"dev{device}").symlink_to(devices.home / f"dev{device}")
        return peer


@contextmanager
def running(peer: Peer, bad: SlowDisk) -> Iterator[Peer]:
    """Run a server; the disk is good again before it has to stop, or it could not."""
    with peer:
        try:
            yield peer
        finally:
            bad.release()


def _listening(peer: Peer, workers: int) -> list[str]:
    words = ["--docroot", str(peer.docroot), "--httplisten", f"127.0.0.1:{peer.port}"]
    return words if workers == 1 else [*words, f"--worker-processes={workers}"]


def _processes(workers: int) -> str:
    return "1 process" if workers == 1 else f"{workers} processes"
