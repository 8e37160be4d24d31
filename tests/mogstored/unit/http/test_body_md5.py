"""Hashing beside the receiving: the digest is right, whoever takes it."""

from __future__ import annotations

import hashlib
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from mogstored.http.body_md5 import BodyMD5, HashingThreads, _Handed, _Line
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
    md5 = BodyMD5(threads)
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
    return md5.digest() == expected.digest()


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
    assert BodyMD5(make_threads(1)).digest() == expected


def test_small_pieces_are_not_handed_over(make_threads: Callable[[int], HashingThreads]) -> None:
    before = _hashing()
    md5 = BodyMD5(make_threads(1))
    for _ in range(10):
        md5.begin([memoryview(b"small")])
    assert md5.digest() == hashlib.md5(b"small" * 10, usedforsecurity=False).digest()
    assert _hashing() == before


def test_large_pieces_are_handed_over(make_threads: Callable[[int], HashingThreads]) -> None:
    before = _hashing()
    md5 = BodyMD5(make_threads(4))
    for _ in range(10):
        md5.begin([memoryview(bytes(LARGE))])
    md5.wait()
    assert len(_hashing() - before) == 1, "one body keeps one thread busy"


def test_nobody_waits_for_a_busy_thread(make_threads: Callable[[int], HashingThreads]) -> None:
    threads = make_threads(1)
    busy, release = threading.Event(), threading.Event()
    handed = _handed_that_waits(busy, release)
    assert threads.hand_over(_Line(), handed)
    try:
        assert busy.wait(60)
        md5 = BodyMD5(threads)
        md5.begin([memoryview(bytes(LARGE))])
        expected = hashlib.md5(bytes(LARGE), usedforsecurity=False).digest()
        assert md5.digest() == expected
    finally:
        release.set()
    handed.wait()
    _wait_until_one_is_free(threads)


def test_pieces_of_a_body_line_up_behind_each_other(
    make_threads: Callable[[int], HashingThreads],
) -> None:
    threads, line = make_threads(2), _Line()
    busy, release = threading.Event(), threading.Event()
    order: list[str] = []
    first = _handed_that_waits(busy, release, lambda: order.append("first"))
    second = _Handed(lambda _: order.append("second"), [memoryview(b"")])
    assert threads.hand_over(line, first)
    assert busy.wait(60)
    assert threads.hand_over(line, second), "though one thread has nothing to do"
    assert not second.is_done()
    assert threads.hand_over(_Line(), _Handed(lambda _: None, [])), "the other is for others"
    release.set()
    second.wait()
    assert order == ["first", "second"]
    assert first.is_done()


def _handed_that_waits(
    busy: threading.Event, release: threading.Event, then: Callable[[], None] = lambda: None
) -> _Handed:
    def work(_: memoryview) -> None:
        busy.set()
        release.wait(60)
        then()

    return _Handed(work, [memoryview(b"")])


def _wait_until_one_is_free(threads: HashingThreads) -> None:
    # The thread says first that it is done, and sees then that there is nothing else to do.
    wait_until(
        lambda: threads.hand_over(_Line(), _Handed(lambda _: None, [])), "the thread is free again"
    )


def test_system_without_threads_to_spare(
    make_threads: Callable[[int], HashingThreads], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    threads = make_threads(1)
    md5 = BodyMD5(threads)
    for _ in range(3):
        md5.begin([memoryview(bytes(LARGE))])
    monkeypatch.undo()
    md5.begin([memoryview(bytes(LARGE))])
    assert md5.digest() == hashlib.md5(bytes(4 * LARGE), usedforsecurity=False).digest()


def test_pieces_that_hold_the_interpreter_are_not_handed_over(
    make_threads: Callable[[int], HashingThreads],
) -> None:
    before = _hashing()
    md5 = BodyMD5(make_threads(1))
    pieces = [memoryview(b"x" * 1000)] * 400
    md5.begin(pieces)
    assert md5.digest() == hashlib.md5(b"x" * 400_000, usedforsecurity=False).digest()
    assert _hashing() == before


def test_error_is_the_receivers(make_threads: Callable[[int], HashingThreads]) -> None:
    threads = make_threads(1)
    md5 = BodyMD5(threads)
    md5.begin([memoryview(bytes(2 * LARGE))[::2]])  # hashlib wants it in one piece
    with pytest.raises(BufferError):
        md5.wait()
    _wait_until_one_is_free(threads)


def test_after_the_stop_nothing_is_handed_over(
    make_threads: Callable[[int], HashingThreads],
) -> None:
    before = _hashing()
    threads = make_threads(2)
    BodyMD5(threads).begin([memoryview(bytes(LARGE))])
    threads.stop()
    wait_until(lambda: _hashing() <= before, "the threads have ended")
    md5 = BodyMD5(threads)
    md5.begin([memoryview(bytes(LARGE))])
    assert md5.digest() == hashlib.md5(bytes(LARGE), usedforsecurity=False).digest()
