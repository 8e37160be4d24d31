"""Hashing while a body is received: the digest is right, in whichever thread."""

from __future__ import annotations

import hashlib
import random
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from mogstored.files.checksums import body_digest
from mogstored.files.checksums.body_digest import BodyDigest, HashingThreads, _Batch, _Queue
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Worth handing over.
LARGE = 300_000
COUNTS = pytest.mark.parametrize("count", [0, 1, 4])


@pytest.fixture
def make_threads() -> Iterator[Callable[[int], HashingThreads]]:
    """A factory of threads that have ended when the test has."""
    before = _hashing()
    made: list[HashingThreads] = []

    def make(count: int) -> HashingThreads:
        made.append(HashingThreads(count))
        return made[-1]

    yield make
    for threads in made:
        threads.stop()
    wait_until(lambda: _hashing() <= before, "the threads have ended")


def _hashing() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "md5"}


def _receive(threads: HashingThreads, seed: int) -> bool:
    """Take the digest of a body that passes through the parts of a ring."""
    source = random.Random(seed)
    expected = hashlib.md5(usedforsecurity=False)
    parts = 3
    ring = [bytearray(2 * LARGE) for _ in range(parts)]
    md5 = BodyDigest(threads, ["md5"])
    for number in range(60):
        data = source.randbytes(source.choice([0, 1, 5000, LARGE, 2 * LARGE]))
        md5.wait(parts - 1)
        part = memoryview(ring[number % parts])[: len(data)]
        part[:] = data
        expected.update(data)
        cut = source.randint(0, len(data))
        md5.begin([part[:cut], part[cut:]])
        if source.random() < 0.1:
            md5.wait()
            for each in ring:
                each[:] = bytes(2 * LARGE)
    return md5.digests()["md5"] == expected.digest()


@COUNTS
def test_digest_is_that_of_all_pieces_in_order(
    make_threads: Callable[[int], HashingThreads], count: int
) -> None:
    assert _receive(make_threads(count), 1)


@COUNTS
def test_many_bodies_at_once(make_threads: Callable[[int], HashingThreads], count: int) -> None:
    threads = make_threads(count)
    with ThreadPoolExecutor(8) as receivers:
        assert all(receivers.map(lambda seed: _receive(threads, seed), range(16)))


def test_empty_body(make_threads: Callable[[int], HashingThreads]) -> None:
    expected = hashlib.md5(usedforsecurity=False).digest()
    assert BodyDigest(make_threads(1), ["md5"]).digests()["md5"] == expected


def test_small_pieces_are_not_handed_over(make_threads: Callable[[int], HashingThreads]) -> None:
    before = _hashing()
    md5 = BodyDigest(make_threads(1), ["md5"])
    for _ in range(10):
        md5.begin([memoryview(b"small")])
    assert md5.digests()["md5"] == hashlib.md5(b"small" * 10, usedforsecurity=False).digest()
    assert _hashing() == before


def test_large_pieces_are_handed_over(make_threads: Callable[[int], HashingThreads]) -> None:
    before = _hashing()
    md5 = BodyDigest(make_threads(4), ["md5"])
    for _ in range(10):
        md5.begin([memoryview(bytes(LARGE))])
    md5.wait()
    assert len(_hashing() - before) == 1, "one body keeps one thread busy"


def test_receiver_does_not_wait_for_a_busy_thread(
    make_threads: Callable[[int], HashingThreads],
) -> None:
    threads = make_threads(1)
    busy, release = threading.Event(), threading.Event()
    batch = _batch_that_waits(busy, release)
    assert threads.hand_over(_Queue(), batch)
    try:
        assert busy.wait(60)
        assert threads.load() == (1, 0)
        md5 = BodyDigest(threads, ["md5"])
        md5.begin([memoryview(bytes(LARGE))])
        expected = hashlib.md5(bytes(LARGE), usedforsecurity=False).digest()
        assert md5.digests()["md5"] == expected
    finally:
        release.set()
    batch.wait()
    _wait_until_one_is_free(threads)


@pytest.mark.parametrize(("size", "handed_over"), [(2047, False), (2048, True)])
def test_short_pieces_go_to_a_thread_that_is_at_work_on_their_body(
    make_threads: Callable[[int], HashingThreads], size: int, handed_over: bool
) -> None:
    threads = make_threads(1)
    busy, release = threading.Event(), threading.Event()
    md5 = BodyDigest(threads, ["md5"])
    first = _batch_that_waits(busy, release)
    assert threads.hand_over(md5._queue, first)
    md5._under_way.append(first)
    assert md5._is_worth_a_thread([memoryview(bytes(size))]) is handed_over
    release.set()
    wait_until(first.is_done, "it has nothing to do any more")
    assert not md5._is_worth_a_thread([memoryview(bytes(size))])


@pytest.mark.parametrize(("cores", "handed_over"), [(1, False), (2, True)])
def test_one_processor_is_left_to_the_receiver(
    monkeypatch: pytest.MonkeyPatch, cores: int, handed_over: bool
) -> None:
    monkeypatch.setattr(body_digest, "usable_cores", lambda: cores)
    threads = HashingThreads()
    bodies = [BodyDigest(threads, ["md5"]) for _ in range(2)]
    busy, release = threading.Event(), threading.Event()
    batch = _batch_that_waits(busy, release)
    assert threads.hand_over(bodies[0]._queue, batch) is handed_over
    # There is no second one.
    assert not threads.hand_over(bodies[1]._queue, batch)
    release.set()
    if handed_over:
        batch.wait()
    threads.stop()


def test_batches_of_a_body_are_hashed_one_after_the_other(
    make_threads: Callable[[int], HashingThreads],
) -> None:
    threads, queue = make_threads(2), _Queue()
    busy, release = threading.Event(), threading.Event()
    order: list[str] = []
    first = _batch_that_waits(busy, release, lambda: order.append("first"))
    second = _Batch((lambda _: order.append("second"),), [memoryview(b"")])
    assert threads.hand_over(queue, first)
    assert busy.wait(60)
    assert threads.hand_over(queue, second), "though one thread has nothing to do"
    assert not second.is_done()
    assert threads.hand_over(_Queue(), _Batch((lambda _: None,), [])), "the other is for others"
    release.set()
    second.wait()
    assert order == ["first", "second"]
    assert first.is_done()


def _batch_that_waits(
    busy: threading.Event, release: threading.Event, then: Callable[[], None] = lambda: None
) -> _Batch:
    def work(_: memoryview) -> None:
        busy.set()
        assert release.wait(60)
        then()

    return _Batch((work,), [memoryview(b"")])


def _wait_until_one_is_free(threads: HashingThreads) -> None:
    # The thread releases the batch first, and then finds nothing else to do.
    wait_until(
        lambda: threads.hand_over(_Queue(), _Batch((lambda _: None,), [])),
        "the thread is free again",
    )


def test_system_that_refuses_threads(
    make_threads: Callable[[int], HashingThreads], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    threads = make_threads(1)
    md5 = BodyDigest(threads, ["md5"])
    for _ in range(3):
        md5.begin([memoryview(bytes(LARGE))])
    assert threads.load() == (0, 0)
    monkeypatch.undo()
    md5.begin([memoryview(bytes(LARGE))])
    assert md5.is_handed_over()
    assert md5.digests()["md5"] == hashlib.md5(bytes(4 * LARGE), usedforsecurity=False).digest()


def test_pieces_that_hold_the_interpreter_are_not_handed_over(
    make_threads: Callable[[int], HashingThreads],
) -> None:
    before = _hashing()
    md5 = BodyDigest(make_threads(1), ["md5"])
    pieces = [memoryview(b"x" * 1000)] * 400
    md5.begin(pieces)
    assert md5.digests()["md5"] == hashlib.md5(b"x" * 400_000, usedforsecurity=False).digest()
    assert _hashing() == before


def test_error_is_raised_in_the_receiver(make_threads: Callable[[int], HashingThreads]) -> None:
    threads = make_threads(1)
    md5 = BodyDigest(threads, ["md5"])
    md5.begin([memoryview(bytes(2 * LARGE))[::2]])  # hashlib wants it in one piece
    with pytest.raises(BufferError):
        md5.wait()
    _wait_until_one_is_free(threads)


def test_after_the_stop_nothing_is_handed_over(
    make_threads: Callable[[int], HashingThreads],
) -> None:
    before = _hashing()
    threads = make_threads(2)
    BodyDigest(threads, ["md5"]).begin([memoryview(bytes(LARGE))])
    threads.stop()
    wait_until(lambda: _hashing() <= before, "the threads have ended")
    md5 = BodyDigest(threads, ["md5"])
    md5.begin([memoryview(bytes(LARGE))])
    assert md5.digests()["md5"] == hashlib.md5(bytes(LARGE), usedforsecurity=False).digest()


def test_want_of_memory_is_raised_and_leaves_the_thread_free(
    make_threads: Callable[[int], HashingThreads],
) -> None:
    class Full(deque[_Batch]):
        def append(self, *_: object) -> None:
            raise MemoryError

    threads, queue = make_threads(1), _Queue()
    queue.waiting = Full()
    with pytest.raises(MemoryError):
        threads.hand_over(queue, _Batch((lambda _: None,), []))
    assert threads.load() == (0, 1)


def test_several_digests_at_once(make_threads: Callable[[int], HashingThreads]) -> None:
    body = BodyDigest(make_threads(1), ["md5", "sha256"])
    for data in (b"small", bytes(2 * LARGE)):
        body.begin([memoryview(data)])
        body.wait()
    whole = b"small" + bytes(2 * LARGE)
    assert body.digests() == {
        "md5": hashlib.md5(whole, usedforsecurity=False).digest(),
        "sha256": hashlib.sha256(whole).digest(),
    }
