"""Counters of threads: nothing is lost, and a thread that ends leaves its counts."""

from __future__ import annotations

import threading

from mogstored.observability.counters import CLIENT_LOST, Counters, bucket_of
from mogstored.observability.histogram import HTTP_BOUNDS_S
from tests.support.threads import Running, join

THREADS, REQUESTS = 8, 20_000


def count(counters: Counters, requests: int) -> None:
    """Do as a connection does at the end of each request."""
    mine = counters.of_thread()
    for number in range(requests):
        status = 200 + number % 4
        try:
            cell = mine.cells[b"GET"][status]
        except KeyError:
            cell = mine.new_cell(b"GET", status)
        cell[bucket_of(0.001)] += 1
        cell[-1] += 0.5
        mine.sent += 3
        mine.received += 2
        mine.note_command("size")


def in_threads(counters: Counters, threads: int, requests: int) -> list[threading.Thread]:
    started = [
        threading.Thread(target=count, args=(counters, requests), daemon=True)
        for _ in range(threads)
    ]
    for each in started:
        each.start()
    return started


def test_all_threads_are_added_up_while_others_look() -> None:
    counters = Counters()
    counting = in_threads(counters, THREADS, REQUESTS)
    seen = [0]
    while any(each.is_alive() for each in counting):
        requests, durations = counters.requests()
        seen.append(sum(requests.get("GET", {}).values()))
        assert all(state.total >= seen[-2] for state in durations.values())
        counters.commands()
    for each in counting:
        join(each)
    requests, durations = counters.requests()
    total = THREADS * REQUESTS
    assert requests == {"GET": dict.fromkeys(range(200, 204), total // 4)}
    assert durations["GET"].total == durations["GET"].counts[bucket_of(0.001)] == total
    assert durations["GET"].seconds == total / 2
    assert counters.transferred() == (2 * total, 3 * total)
    assert counters.commands() == {"size": total}
    assert seen == sorted(seen)


def test_thread_goes_on_with_the_counts_of_one_that_ended() -> None:
    counters = Counters()
    for _ in range(50):
        for each in in_threads(counters, 1, 4):
            join(each)
    assert counters.requests()[0] == {"GET": dict.fromkeys(range(200, 204), 50)}
    # There is never more than one at a time.
    assert len(counters._tables) == 1


def test_thread_that_asks_again_has_the_same_tables() -> None:
    counters = Counters()
    assert counters.of_thread() is counters.of_thread()


def test_tables_of_a_thread_that_lives_are_its_own() -> None:
    counters = Counters()
    (ended,) = in_threads(counters, 1, 1)
    join(ended)
    mine = counters.of_thread()
    assert counters.requests()[0] == {"GET": {200: 1}}
    assert Running(counters.of_thread).result() is not mine


def test_what_is_counted_under_the_lock_is_added() -> None:
    counters = Counters()
    counters.note_lost_request(b"PUT", CLIENT_LOST, 2.0)
    counters.note_sent(25)
    counters.note_md5_mismatch()
    requests, durations = counters.requests()
    assert requests == {"PUT": {499: 1}}
    assert (durations["PUT"].total, durations["PUT"].seconds) == (1, 2.0)
    assert len(durations["PUT"].counts) == len(HTTP_BOUNDS_S) + 1
    assert counters.transferred() == (0, 25)
    assert counters.md5_mismatches == 1


def test_nothing_counted_is_nothing_shown() -> None:
    assert Counters().requests() == ({}, {})
