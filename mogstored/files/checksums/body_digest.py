"""Digests of a body, computed while the body is received and stored.

Hashing takes longer than both together: one thread that does all three in turn receives at
two thirds of the rate of hashing alone. So a second thread hashes what has arrived, while the
receiver writes it, and receives the next bytes into memory that is not being hashed. Several
batches may be queued, so that the hasher never waits for the next one. hashlib releases the
interpreter lock for more than 2047 bytes.
Source: https://docs.python.org/3/library/hashlib.html#hashlib.hash.update

A receiver never waits for such a thread: when all are taken, or the system refuses one, it
hashes by itself.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from queue import SimpleQueue
from typing import NamedTuple

from mogpoll.system.limits.cores import usable_cores
from mogpoll.threads import try_start_thread

# Waking an idle thread and waiting for it takes 0.1 ms (measured on a virtual machine), a quarter
# of the time to hash so many bytes.
_WORTH_WAKING = 256 * 1024

_Updates = tuple[Callable[[memoryview], None], ...]


class BodyDigest:
    """The digests of one body so far, by the names that hashlib has for them.

    **Threads:** for the owner of the upload.
    """

    def __init__(self, threads: HashingThreads, algorithms: Iterable[str]) -> None:
        self._threads = threads
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
        self._updates = tuple(each.update for each in self._hashes.values())
        self._queue = _Queue()
        self._under_way: deque[_Batch] = deque()

    def begin(self, pieces: Sequence[memoryview]) -> None:
        """Hash `pieces`, in order; they must not change until `wait` returns.

        **Raises:** `BufferError` for a piece that is not contiguous, here or in `wait`.
        """
        if self._is_worth_a_thread(pieces):
            batch = _Batch(self._updates, pieces)
            if self._threads.hand_over(self._queue, batch):
                self._under_way.append(batch)
                return
        self.wait()
        _hash(self._updates, pieces)

    def wait(self, most: int = 0) -> None:
        """Wait until at most the last `most` batches are still being hashed."""
        error = None
        while len(self._under_way) > most:
            error = self._under_way.popleft().wait() or error
        if error is not None:
            raise error

    def is_handed_over(self) -> bool:
        """Say whether another thread hashes the last batch."""
        return bool(self._under_way)

    def digests(self) -> dict[str, bytes]:
        """Wait for all batches; return the digests."""
        self.wait()
        return {name: each.digest() for name, each in self._hashes.items()}

    def _is_worth_a_thread(self, pieces: Sequence[memoryview]) -> bool:
        """Say whether another thread should hash these."""
        size = sum(map(len, pieces))
        if size <= 2047 * len(pieces):
            # hashlib keeps the interpreter lock for so little.
            return False
        is_awake = bool(self._under_way) and not self._under_way[-1].is_done()
        return is_awake or size >= _WORTH_WAKING


class HashingLoad(NamedTuple):
    """How many hashing threads there are."""

    busy: int
    idle: int


class HashingThreads:
    """Threads that hash for receivers; each is started when it is first needed.

    One less than there are processors: the receiver needs one too, and where there is only one
    nothing is gained. A body takes a thread while it has bytes to be hashed, not while its
    receiver waits for a client or a disk.

    **Threads:** any. `_lock` guards the numbers and the queues of bodies. A body with a thread
    is in `_bodies`, or in the hands of that thread, which leaves it when its queue is empty.
    """

    def __init__(self, count: int | None = None) -> None:
        self._count = usable_cores() - 1 if count is None else count
        self._lock = threading.Lock()
        self._bodies: SimpleQueue[_Queue | None] = SimpleQueue()
        self._started = 0
        self._taken = 0

    def hand_over(self, queue: _Queue, batch: _Batch) -> bool:
        """Have `batch` hashed behind what is in its body's `queue`; False without a thread."""
        with self._lock:
            if queue.has_thread:
                queue.waiting.append(batch)
                return True
            if self._taken >= self._count:
                return False
            self._taken += 1
            is_new = self._taken > self._started
            self._started += is_new
        if is_new and not self._start_thread():
            return False
        queue.has_thread = True
        try:
            queue.waiting.append(batch)
            self._bodies.put(queue)
        except BaseException:
            # No memory for it: the thread is free for the next one.
            with self._lock:
                queue.has_thread = False
                self._taken -= 1
            raise
        return True

    def load(self) -> HashingLoad:
        """Return how many threads hash, and how many wait for something to hash."""
        with self._lock:
            return HashingLoad(self._taken, max(0, self._started - self._taken))

    def stop(self) -> None:
        """End the threads; from now on receivers hash by themselves."""
        with self._lock:
            started, self._started, self._count = self._started, 0, 0
        for _ in range(started):
            self._bodies.put(None)

    def _start_thread(self) -> bool:
        """Start a thread, which is counted already; False when the system refuses it."""
        if try_start_thread(self._main, "md5", lasting=True) is not None:
            return True
        with self._lock:
            self._started -= 1
            self._taken -= 1
        return False

    def _main(self) -> None:
        while (queue := self._bodies.get()) is not None:
            while (batch := self._next(queue)) is not None:
                batch.hash()

    def _next(self, queue: _Queue) -> _Batch | None:
        with self._lock:
            if queue.waiting:
                return queue.waiting.popleft()
            queue.has_thread = False
            self._taken -= 1
            return None


class _Queue:
    """The batches of one body, and whether a thread works on them."""

    def __init__(self) -> None:
        self.waiting: deque[_Batch] = deque()
        self.has_thread = False


class _Batch:
    """Pieces of a body that are hashed together.

    **Threads:** one calls `hash`, another `wait`; the lock orders what they share.
    """

    def __init__(self, updates: _Updates, pieces: Sequence[memoryview]) -> None:
        self._updates = updates
        self._pieces = pieces
        self._error: BaseException | None = None
        self._under_way = threading.Lock()
        self._under_way.acquire()

    def hash(self) -> None:
        try:
            _hash(self._updates, self._pieces)
        except BaseException as error:
            self._error = error
        self._under_way.release()

    def is_done(self) -> bool:
        return not self._under_way.locked()

    def wait(self) -> BaseException | None:
        """Return when they are hashed: the error that stopped it, or None."""
        self._under_way.acquire()
        return self._error


def _hash(updates: _Updates, pieces: Sequence[memoryview]) -> None:
    for piece in pieces:
        for update in updates:
            update(piece)
