"""The MD5 of a body, taken beside the receiving and the storing.

Hashing takes longer than both together: one thread that does all three in turn receives at
two thirds of what hashing alone reaches. So what has arrived is hashed by another thread,
while the one that received it writes it, and receives what comes next into memory that is
not being hashed. Several pieces may wait for the hashing, so that it has the next one at
once when it is done with one. hashlib lets go of the interpreter for more than 2047 bytes.
Source: https://docs.python.org/3/library/hashlib.html#hashlib.hash.update

Nobody waits for such a thread: when all are taken, or the system has no more, the receiver
hashes by itself.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from mogpoll.stopping import signals_blocked

# Waking a thread that has nothing to do, and waiting for it, takes 0.1 ms (measured on a
# virtual machine): a quarter of what hashing so much does.
_WORTH_WAKING = 256 * 1024

_Update = Callable[[memoryview], None]


class BodyMD5:
    """The digest of one body so far.

    **Threads:** its upload's owner.
    """

    def __init__(self, threads: HashingThreads) -> None:
        self._threads = threads
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._line = _Line()
        self._under_way: deque[_Handed] = deque()

    def begin(self, pieces: Sequence[memoryview]) -> None:
        """Hash `pieces`, in order. They must stay as they are until `wait` has said so."""
        if self._is_for_another(pieces):
            handed = _Handed(self._md5.update, pieces)
            if self._threads.hand_over(self._line, handed):
                self._under_way.append(handed)
                return
        self.wait()
        _hash(self._md5.update, pieces)

    def wait(self, most: int = 0) -> None:
        """Wait until no more than the last `most` of what was begun may still be looked at."""
        error = None
        while len(self._under_way) > most:
            error = self._under_way.popleft().wait() or error
        if error is not None:
            raise error

    def is_handed_over(self) -> bool:
        """Say whether another thread hashes what was begun last."""
        return bool(self._under_way)

    def digest(self) -> bytes:
        """Return the digest, 16 bytes, of all that was begun."""
        self.wait()
        return self._md5.digest()

    def _is_for_another(self, pieces: Sequence[memoryview]) -> bool:
        """Say whether another thread should hash these."""
        size = sum(map(len, pieces))
        if size <= 2047 * len(pieces):
            # hashlib does not let go of the interpreter for so little.
            return False
        is_awake = bool(self._under_way) and not self._under_way[-1].is_done()
        return is_awake or size >= _WORTH_WAKING


class HashingThreads:
    """Threads that hash for those who receive; started when they are wanted first.

    One less than there are processors: the receiver needs one, too, and where there is
    only one nothing is gained. A thread is taken for as long as a body has something to be
    hashed, not while its receiver waits for a client or a disk.

    **Threads:** any. `_lock` guards the numbers and the lines. A line that has a thread is in
    the queue, or in the hands of that thread; it gives it up when it finds it empty.
    """

    def __init__(self, count: int | None = None) -> None:
        self._count = _count_processors() - 1 if count is None else count
        self._lock = threading.Lock()
        self._queue: SimpleQueue[_Line | None] = SimpleQueue()
        self._started = 0
        self._taken = 0

    def hand_over(self, line: _Line, handed: _Handed) -> bool:
        """Have `handed` done after what is in `line`; False if no thread can be had."""
        with self._lock:
            if line.has_thread:
                line.waiting.append(handed)
                return True
            if self._taken >= self._count:
                return False
            self._taken += 1
            is_wanted = self._taken > self._started
            self._started += is_wanted
        if is_wanted and not self._start_thread():
            return False
        line.has_thread = True
        line.waiting.append(handed)
        self._queue.put(line)
        return True

    def stop(self) -> None:
        """End the threads. Nobody may hand anything over any more."""
        with self._lock:
            started, self._started, self._count = self._started, 0, 0
        for _ in range(started):
            self._queue.put(None)

    def _start_thread(self) -> bool:
        """Start the thread that was counted as started and taken, if the system allows it."""
        try:
            with signals_blocked():
                threading.Thread(target=self._main, name="md5", daemon=True).start()
        except RuntimeError:
            # No more threads for this process or user.
            with self._lock:
                self._started -= 1
                self._taken -= 1
            return False
        return True

    def _main(self) -> None:
        while (line := self._queue.get()) is not None:
            while (handed := self._next(line)) is not None:
                handed.do()

    def _next(self, line: _Line) -> _Handed | None:
        with self._lock:
            if line.waiting:
                return line.waiting.popleft()
            line.has_thread = False
            self._taken -= 1
            return None


class _Line:
    """What waits for the hashing of one body, and whether a thread sees to it."""

    def __init__(self) -> None:
        self.waiting: deque[_Handed] = deque()
        self.has_thread = False


class _Handed:
    """Pieces on their way into a digest.

    **Threads:** `do` is for one, `wait` for another; the lock passes the rest between them.
    """

    def __init__(self, update: _Update, pieces: Sequence[memoryview]) -> None:
        self._update = update
        self._pieces = pieces
        self._error: BaseException | None = None
        self._under_way = threading.Lock()
        self._under_way.acquire()

    def do(self) -> None:
        try:
            _hash(self._update, self._pieces)
        except BaseException as error:
            self._error = error
        self._under_way.release()

    def is_done(self) -> bool:
        return not self._under_way.locked()

    def wait(self) -> BaseException | None:
        """Return once they are in the digest, or why they are not."""
        self._under_way.acquire()
        return self._error


def _count_processors() -> int:
    """Return how many this process may use, where the system knows; else how many there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _hash(update: _Update, pieces: Sequence[memoryview]) -> None:
    for piece in pieces:
        update(piece)
