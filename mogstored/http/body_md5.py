"""The MD5 of a body, taken beside the receiving and the storing.

Hashing takes longer than both together: one thread that does all three in turn receives at
two thirds of what hashing alone reaches. So what has arrived is hashed by another thread,
while the one that received it writes it, and receives what comes next into memory of its
own. hashlib lets go of the interpreter for more than 2047 bytes.
Source: https://docs.python.org/3/library/hashlib.html#hashlib.hash.update

Nobody waits for such a thread: when all are busy, or the system has no more, the receiver
hashes by itself.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from mogpoll.stopping import signals_blocked

# Handing over and waiting takes 0.1 ms (measured on a virtual machine), a quarter of what
# hashing so much does.
_WORTH_HANDING_OVER = 256 * 1024

_Update = Callable[[memoryview], None]


class BodyMD5:
    """The digest of one body so far.

    **Threads:** its upload's owner.
    """

    def __init__(self, threads: HashingThreads) -> None:
        self._threads = threads
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._under_way: _Handed | None = None

    def begin(self, pieces: Sequence[memoryview]) -> None:
        """Hash `pieces`, in order. They must stay as they are until `wait` was called."""
        self.wait()
        handed = None
        size = sum(map(len, pieces))
        # hashlib does not let go of the interpreter for small pieces.
        if size >= _WORTH_HANDING_OVER and size > 2047 * len(pieces):
            handed = self._threads.hand_over(self._md5.update, pieces)
        if handed is None:
            _hash(self._md5.update, pieces)
        self._under_way = handed

    def wait(self) -> None:
        """Wait until nothing is being hashed any more."""
        handed, self._under_way = self._under_way, None
        if handed is not None:
            handed.done.acquire()
            if handed.error is not None:
                raise handed.error

    def digest(self) -> bytes:
        """Return the digest, 16 bytes, of all that was begun."""
        self.wait()
        return self._md5.digest()


class HashingThreads:
    """Threads that hash for those who receive; started when they are wanted first.

    One less than there are processors: the receiver needs one, too, and where there is
    only one nothing is gained.

    **Threads:** any. `_lock` guards the numbers; each piece of work has one owner, who hands
    it over by the queue.
    """

    def __init__(self, count: int | None = None) -> None:
        self._count = _count_processors() - 1 if count is None else count
        self._lock = threading.Lock()
        self._queue: SimpleQueue[_Handed | None] = SimpleQueue()
        self._started = 0
        self._busy = 0

    def hand_over(self, update: _Update, pieces: Sequence[memoryview]) -> _Handed | None:
        """Have a thread call `update` with each of `pieces`, if one is free; None if not."""
        handed = _Handed(update, pieces)
        with self._lock:
            if self._busy >= self._count:
                return None
            self._busy += 1
            is_wanted = self._busy > self._started
            self._started += is_wanted
        if is_wanted and not self._start_thread():
            return None
        self._queue.put(handed)
        return handed

    def stop(self) -> None:
        """End the threads. Nobody may hand anything over any more."""
        with self._lock:
            started, self._started, self._count = self._started, 0, 0
        for _ in range(started):
            self._queue.put(None)

    def _start_thread(self) -> bool:
        """Start the thread that was counted as started and busy, if the system allows it."""
        try:
            with signals_blocked():
                threading.Thread(target=self._main, name="md5", daemon=True).start()
        except RuntimeError:
            # No more threads for this process or user.
            with self._lock:
                self._started -= 1
                self._busy -= 1
            return False
        return True

    def _main(self) -> None:
        while (handed := self._queue.get()) is not None:
            try:
                _hash(handed.update, handed.pieces)
            except BaseException as error:
                handed.error = error
            # Free before done, so that whoever waits finds a free thread for the next.
            with self._lock:
                self._busy -= 1
            handed.done.release()
            # It would keep a buffer for as long as there is nothing to do.
            del handed


class _Handed:
    """Pieces on their way into a digest.

    Whoever may `acquire` `done` knows them in there, or why they are not.
    """

    def __init__(self, update: _Update, pieces: Sequence[memoryview]) -> None:
        self.update = update
        self.pieces = pieces
        self.error: BaseException | None = None
        self.done = threading.Lock()
        self.done.acquire()


def _count_processors() -> int:
    """Return how many this process may use, where the system knows; else how many there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _hash(update: _Update, pieces: Sequence[memoryview]) -> None:
    for piece in pieces:
        update(piece)
