"""Large files: memory of the node, cost, and fairness: `python -m bench.large`.

A GET of a sparse file and a PUT of the same size, beside nginx; then 64 downloads at once, of
which each should get as much as any other. The client throws the content away in the kernel,
so the server is what is measured. Contents come from and go to the docroot's file system: in
memory a PUT of 10 GiB needs 10 GiB of it, and `--docroot-parent` names a disk instead.
"""

from __future__ import annotations

import argparse
import select
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import mean, median

from bench import machine, tools
from bench.cpu import NotLinux, require_proc
from bench.figures import Sample, by_round, cpu_us, rate
from bench.goals import GOALS, Figure
from bench.load import Load
from bench.outcome import spread
from bench.peers import Peer, PeerFailed, Workshop
from bench.rounds import Method, Variant, quiet
from bench.sink import percentile
from bench.values import directory, positive
from bench.ways_out import make_signals_leave, working_place
from bench.works import MIB, write_content

_GIB = 1024 * MIB
_LARGE_PATH, _STORED_PATH = "/dev1/0/000/000/large.fid", "/dev1/0/000/000/stored.fid"
_PIECE = memoryview(bytearray(MIB))
_DOWNLOADS = 64
_FAIR_S = 5.0
_TIMEOUT_S = 600.0


def main() -> int:
    wanted = _parser().parse_args()
    make_signals_leave()
    size = wanted.gib * _GIB
    try:
        require_proc()
        found = tools.find_tools(wanted.install)
        parent = wanted.docroot_parent or machine.default_docroot_parent(size + _GIB)
        with working_place(parent) as place, ExitStack() as stack:
            about = machine.about_node(sys.executable, place)
            print(machine.format_facts(machine.facts_about(place, about)), end="\n\n")
            write_content(place / "content")
            build = tools.nginx_build(found.nginx)
            shop = Workshop(place, place / "content", found.nginx, build, sys.executable)
            peers = [stack.enter_context(peer) for peer in (shop.node(), shop.nginx())]
            _compare(peers, size, Method(Load(found.wrk, 1), wanted.rounds, 1, quiet))
            _share(peers)
    except (NotLinux, PeerFailed, machine.PlaceUnfit, tools.ToolMissing, OSError) as error:
        print(f"bench.large: FAILED: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nbench.large: interrupted, all servers are stopped", file=sys.stderr)
        return 130
    return 0


def _compare(peers: list[Peer], size: int, method: Method) -> None:
    print(f"{size // _GIB} GiB{'':<10}{'MiB/s':>8}{'CPU us/MiB':>12}{'peak RSS growth, MiB':>22}")
    for peer in peers:
        with open(peer.docroot / _LARGE_PATH[1:], "wb") as file:
            file.truncate(size)
    for name, goal, transfer in (
        ("GET", GOALS["get-100m"], downloading),
        ("PUT", GOALS["put-1g"], uploading),
    ):
        before = {peer.name: _peak_bytes(peer) for peer in peers}
        variants = [transfer(peer, size) for peer in peers]
        samples = method.take_turns(name, variants, warm_up=False)
        for peer in peers:
            grown = (_peak_bytes(peer) - before[peer.name]) / MIB
            mib_s = median(map(rate, samples[peer.name])) * size / MIB
            us_mib = median(map(cpu_us, samples[peer.name])) * MIB / size
            print(f"{name} {peer.name:<12}{mib_s:>8.0f}{us_mib:>12.1f}{grown:>22.1f}", flush=True)
        figure = cpu_us if goal.figure is Figure.CPU_RATIO else rate
        ours, base = samples.values()
        values = by_round(ours, base, figure)
        print(f"{name} beside nginx: {spread(values)}; {goal}: {goal.verdict(median(values))}")


def downloading(peer: Peer, size: int) -> Variant[Sample]:
    """One GET of the large file, however long a run is meant to be."""
    return Variant(
        peer.name, lambda _: timed(peer, lambda: download(peer.port, _LARGE_PATH, size))
    )


def uploading(peer: Peer, size: int, name: str = "", fields: str = "") -> Variant[Sample]:
    """One PUT of zeros to a new path, which is free again then."""

    def run(_: int) -> Sample:
        sample = timed(peer, lambda: upload(peer.port, _STORED_PATH, size, fields))
        (peer.docroot / _STORED_PATH[1:]).unlink()
        return sample

    return Variant(name or peer.name, run)


def timed(peer: Peer, act: Callable[[], None]) -> Sample:
    """One request, with what it took of the server's processor time."""
    used_s, began = peer.cpu_s(), time.monotonic()
    act()
    took_s = time.monotonic() - began
    peer.require_alive()
    return Sample(1, took_s, took_s, peer.cpu_s() - used_s)


def _share(peers: list[Peer]) -> None:
    print(f"\n{_DOWNLOADS} downloads at once, {_FAIR_S:.0f} s: bytes of one against the mean")
    print(f"{'':<14}{'MiB/s':>8}{'least':>8}{'5 %':>8}{'95 %':>8}{'most':>8}")
    for peer in peers:
        got = sorted(share(peer.port, _LARGE_PATH, _DOWNLOADS, _FAIR_S))
        usual = mean(got)
        parts = (got[0], percentile(got, 0.05), percentile(got, 0.95), got[-1])
        shown = "".join(f"{part / usual:>8.2f}" for part in parts)
        print(f"{peer.name:<14}{sum(got) / MIB / _FAIR_S:>8.0f}{shown}", flush=True)


def download(port: int, path: str, size: int) -> None:
    """Read a whole file. Raises: PeerFailed when it is not `size` bytes."""
    with socket.create_connection(("127.0.0.1", port), _TIMEOUT_S) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
        head, content = _head(sock)
        if b" 200 " not in head or b"ength: %d\r\n" % size not in head + b"\r\n":
            raise PeerFailed(f"unexpected answer: {head!r}")
        missing = size - len(content)
        while missing:
            got = sock.recv_into(_PIECE, min(missing, MIB), socket.MSG_TRUNC)
            if not got:
                raise PeerFailed(f"the download ended {missing} bytes early")
            missing -= got


def zeros(size: int) -> Iterator[memoryview]:
    """The content of a stored file, piece by piece."""
    for begin in range(0, size, MIB):
        yield _PIECE[: min(MIB, size - begin)]


def upload(port: int, path: str, size: int, more_fields: str = "") -> None:
    """Store a file of zeros. Raises: PeerFailed unless it is created."""
    with socket.create_connection(("127.0.0.1", port), _TIMEOUT_S) as sock:
        fields = f"Host: bench\r\nContent-Length: {size}\r\n{more_fields}\r\n"
        sock.sendall(f"PUT {path} HTTP/1.1\r\n{fields}".encode())
        for piece in zeros(size):
            sock.sendall(piece)
        head, _ = _head(sock)
        if b" 201 " not in head and b" 204 " not in head:
            raise PeerFailed(f"unexpected answer: {head!r}")


def share(port: int, path: str, count: int, seconds: float) -> list[float]:
    """Download the same file over `count` connections at once; return the bytes of each."""
    got: dict[int, float] = {}
    with ExitStack() as stack:
        poll = stack.enter_context(select.epoll())
        open_sockets = {}
        for _ in range(count):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), 30))
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
            open_sockets[sock.fileno()], got[sock.fileno()] = sock, 0.0
            poll.register(sock, select.EPOLLIN)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for fd, _ in poll.poll(1):
                received = open_sockets[fd].recv_into(_PIECE, MIB, socket.MSG_TRUNC)
                if not received:
                    raise PeerFailed("a download ended early: give a larger --gib")
                got[fd] += received
    return list(got.values())


def _head(sock: socket.socket) -> tuple[bytes, bytes]:
    received = b""
    while b"\r\n\r\n" not in received:
        some = sock.recv(4096)
        if not some:
            raise PeerFailed(f"closed after {received!r}")
        received += some
    head, _, content = received.partition(b"\r\n\r\n")
    return head, content


def _peak_bytes(peer: Peer) -> int:
    total = 0
    for pid in peer.pids():
        status = Path(f"/proc/{pid}/status").read_text()
        total += int(status.partition("VmHWM:")[2].split()[0]) * 1024
    return total


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.large", description="Measure GET and PUT of one large file."
    )
    add = parser.add_argument
    add("--gib", type=positive, default=10, metavar="N", help="size of it (default: %(default)s)")
    add("--rounds", type=positive, default=1, metavar="N", help="(default: %(default)s)")
    add(
        "--docroot-parent",
        type=directory,
        metavar="DIR",
        help="default: /dev/shm, else the temp dir",
    )
    add("--install", action="store_true", help="install nginx and wrk by apt-get if missing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
