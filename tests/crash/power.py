"""Cut the power of a node's disk at hundreds of moments, and look at what it holds then.

The disk is an image behind a server that records writes and flushes; ext4 and xfs are mounted on
it by a loop device, as on a disk with a volatile cache. A node stores and removes files on it.
Then the image is made as the disk could have held it at a moment, mounted, which replays the
journal, and compared with the answers that had come until then.
"""

from __future__ import annotations

import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from random import Random
from threading import Lock
from typing import TYPE_CHECKING

from bench.bad_disk.control import CannotMount
from bench.bad_disk.control import mounted as served
from tests.crash.history import Verdict
from tests.crash.inspection import CHECKSUM, LEFTOVER, WRONG, Findings, inspect
from tests.crash.load import NEIGHBOUR, Load
from tests.crash.record import Images, Position, Record
from tests.crash.table import Table
from tests.support.daemon import Node
from tests.support.images import run
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.crash.load import Names

_MIB = 1 << 20
_MEMORY = Path("/dev/shm")
KINDS = {
    "ext4": (96 * _MIB, ["mkfs.ext4", "-q", "-F", "-b", "4096"]),
    # Smaller ones are refused.
    "xfs": (304 * _MIB, ["mkfs.xfs", "-q", "-f"]),
}
LEVELS = ("none", "data", "full")
_AT_A_TIME = 4
UNMOUNTABLE = "unmountable"

_AT_DATA = {WRONG, UNMOUNTABLE, CHECKSUM, Verdict.HALF.value}
_PROMISED = {
    "none": {WRONG, UNMOUNTABLE},
    "data": _AT_DATA,
    "full": {*_AT_DATA, Verdict.LOST.value, Verdict.BACK.value},
}
COLUMNS = ("level", "kind", "moments", "flushes", "acknowledged")
_VERDICTS = (
    *(verdict.value for verdict in Verdict if verdict is not Verdict.RIGHT),
    *(CHECKSUM, WRONG, UNMOUNTABLE, LEFTOVER),
)


@dataclass(slots=True)
class Result:
    """What was found at all moments together."""

    level: str
    kind: str
    moments: int
    flushes: int = 0
    acknowledged: int = 0
    findings: Findings = field(default_factory=Findings)
    errors: list[str] = field(default_factory=list)

    def row(self) -> list[object]:
        own = [self.level, self.kind, self.moments, self.flushes, self.acknowledged]
        return [*own, *(self.findings.counts[name] for name in _VERDICTS)]

    def is_right(self) -> bool:
        """Say whether the level's promise was kept; at `none`, whether the check finds losses."""
        counts = self.findings.counts
        broken = any(counts[name] for name in _PROMISED[self.level]) or bool(self.errors)
        if self.level == "none":
            return not broken and counts[Verdict.LOST.value] + counts[Verdict.HALF.value] > 0
        return not broken

    def faults(self) -> list[str]:
        """Return examples of what breaks the promise."""
        return self.errors[:5] + self.findings.examples(_PROMISED[self.level])


def headings() -> list[str]:
    return [*COLUMNS, *_VERDICTS]


def try_out(level: str, kind: str, *, moments: int, seconds: float, seed: int) -> Result:
    """Run a node under load for `seconds`, and cut the power at so many moments.

    **Raises:** `CannotMount` where the system has no FUSE, or mounts no such image.
    """
    result = Result(level, kind, moments)
    with scratch_directory() as scratch:
        base = scratch / "base.img"
        make_image(kind, base)
        record, names = _record(result, base, scratch, seconds, seed)
        _cut(result, base, scratch, record, names, Random(f"{seed} {level} {kind}"))
    return result


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """Make a directory in memory where there is one: images are written a hundred times."""
    memory = _MEMORY if _MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="mog-crash-", dir=memory) as directory:
        yield Path(directory)


def make_image(kind: str, image: Path) -> None:
    size_bytes, command = KINDS[kind]
    with image.open("wb") as file:
        file.truncate(size_bytes)
    run(*command, str(image))
    # The journal is full of zeros, and each image is a copy.
    run("fallocate", "--dig-holes", str(image))


def _record(
    result: Result, base: Path, scratch: Path, seconds: float, seed: int
) -> tuple[Record, Names]:
    """Return all that was written, and the history of the names."""
    log, position = scratch / "record", Position(scratch / "position")
    log.touch()
    files = (str(base), str(log), str(scratch / "position"))
    mount_point = scratch / "mounted"
    mount_point.mkdir()
    with ExitStack() as stack:
        stack.enter_context(served(scratch / "served", "tests.crash.recorder", *files))
        image = scratch / "served" / "image"
        try:
            stack.enter_context(mounted_image(result.kind, image, mount_point))
        except subprocess.CalledProcessError as error:
            raise CannotMount(f"no {result.kind} from an image: {error.stderr.strip()}") from None
        _assert_flushes_arrive(mount_point, position, log)
        node = Node(devices=(), extra=[f"--durability={result.level}"])
        (node.docroot / "dev1").symlink_to(mount_point)
        with node:
            load = Load(node.http, position, seed)
            names = load.run(seconds, mount_point)
        result.errors += load.errors
    return Record(log), names


def _assert_flushes_arrive(mount_point: Path, position: Position, log: Path) -> None:
    """Expect that a sync of a file reaches the disk: its content, and then a flush."""
    content = b"is this flushed?" * 32
    before = position()
    with (mount_point / NEIGHBOUR).open("wb") as file:
        file.write(content)
        file.flush()
        assert not _is_flushed(Record(log), content), "the content was not to be there yet"
        subprocess.run(["sync", str(mount_point / NEIGHBOUR)], check=True)
    assert position() > before
    assert _is_flushed(Record(log), content), "a sync of the file system is not seen as a flush"


def _is_flushed(record: Record, content: bytes) -> bool:
    durable = record.writes(0, record.flushed_at(len(record)))
    return any(content in bytes(write.data) for write in durable)


def _cut(
    result: Result, base: Path, scratch: Path, record: Record, names: Names, draw: Random
) -> None:
    """Look at the disk at moments of the load, half of them just after an answer."""
    changes = [change for name in names.values() for change in name.changes]
    answers = sorted(change.answered for change in changes if change.answered is not None)
    result.flushes = len(record.flushes)
    result.acknowledged = len(answers)
    begin, end = min(change.sent for change in changes), answers[-1]
    chosen = [draw.choice(answers) for _ in range(result.moments // 2)]
    chosen += [draw.randint(begin, end) for _ in range(result.moments - len(chosen))]
    images = Images(base, record, scratch)
    # A mount waits for the kernel, most of the time.
    free: SimpleQueue[Path] = SimpleQueue()
    merging = Lock()
    for number in range(_AT_A_TIME):
        (scratch / f"cut{number}").mkdir()
        free.put(scratch / f"cut{number}")

    def look(mount_point: Path, moment: int) -> None:
        try:
            findings = look_at(result.kind, mount_point, names, moment)
        finally:
            free.put(mount_point)
        with merging:
            result.findings.merge(findings)

    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        looks = []
        for moment in sorted(chosen):
            mount_point = free.get()
            images.build(moment, mount_point.with_suffix(".img"), draw)
            looks.append(pool.submit(look, mount_point, moment))
        for each in looks:
            each.result()


def look_at(kind: str, mount_point: Path, names: Names, moment: int) -> Findings:
    """Compare the image beside `mount_point` with what it may be, and remove it."""
    image, findings = mount_point.with_suffix(".img"), Findings()
    try:
        with mounted_image(kind, image, mount_point):
            inspect(mount_point, names, moment, findings)
    except subprocess.CalledProcessError as error:
        findings.add(UNMOUNTABLE, f"at {moment}: {error.stderr.strip()}")
    finally:
        # The loop device may have it a moment longer, and is not to see the next one.
        image.unlink()
    return findings


@contextmanager
def mounted_image(kind: str, image: Path, mount_point: Path) -> Iterator[None]:
    """Mount a file system from an image file by a loop device that goes with it."""
    # Images of one disk have one UUID.
    options = "loop,noatime,nouuid" if kind == "xfs" else "loop,noatime"
    run("mount", "-t", kind, "-o", options, str(image), str(mount_point))
    try:
        yield
    finally:
        _unmount(mount_point)


def _unmount(mount_point: Path) -> None:
    def done() -> bool:
        return run("umount", str(mount_point), check=False).returncode == 0

    try:
        wait_until(done, f"no file below {mount_point} is open")
    except BaseException:
        run("umount", "-l", str(mount_point), check=False)
        raise


def prove(levels: Sequence[str], count: int, seed: int) -> bool:
    """Try out these levels on all kinds; say whether all is as it has to be."""
    table = Table(headings())
    is_right = True
    for kind in KINDS:
        for level in levels:
            result = try_out(level, kind, moments=count, seconds=6.0, seed=seed)
            table.add(result.row())
            is_right &= result.is_right()
            for line in result.faults():
                print(f"  {line[:400]}", flush=True)
    return is_right
