"""Reports on their way from the master to its workers."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mogstored.utilization import pipe_feed
from mogstored.utilization.pipe_feed import PipeFeed, ReportReader, ReportSender, serialize
from mogstored.utilization.report import Report
from tests.support.threads import join
from tests.support.waiting import wait_until

REPORT = {"sda": "0.45", "dm-0": "-"}

NAME = st.text(st.characters(exclude_categories=["Cs", "Z", "Cc"]), min_size=1, max_size=71)
REPORTS = st.lists(
    st.dictionaries(NAME, st.sampled_from(["0.45", "-", "100.00"]), max_size=4), max_size=5
)


def test_bytes_of_a_report() -> None:
    assert serialize(REPORT) == b"sda\t0.45\ndm-0\t-\n\n"
    assert serialize({}) == b"\n"


@given(REPORTS, st.data())
def test_reports_arrive_as_they_were_in_any_pieces(
    reports: list[Report], data: st.DataObject
) -> None:
    text = b"".join(map(serialize, reports))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=10)))
    reader = ReportReader()
    arrived = []
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        arrived += reader.feed(text[start:end])
    assert arrived == reports


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read_fd, write_fd = os.pipe()
    yield read_fd, write_fd
    for fd in (read_fd, write_fd):
        try:
            os.close(fd)
        except OSError:
            # The test has closed it.
            continue


def test_receiver_that_does_not_read_misses_whole_reports(pipe: tuple[int, int]) -> None:
    read_fd, write_fd = pipe
    sender = ReportSender(write_fd)
    large = {f"disk-{number}": "100.00" for number in range(1000)}
    for number in range(100):
        sender.send({**large, "number": str(number)})
    reader = ReportReader()
    os.set_blocking(read_fd, False)
    arrived = _read_all(read_fd, reader)
    sender.send(REPORT)
    arrived += _read_all(read_fd, reader)
    assert 1 < len(arrived) < 100
    assert [report["number"] for report in arrived[:-1]] == [
        str(number) for number in range(len(arrived) - 1)
    ]
    assert all(len(report) == 1001 for report in arrived[:-1])
    assert arrived[-1] == REPORT


def _read_all(fd: int, reader: ReportReader) -> list[Report]:
    arrived: list[Report] = []
    try:
        while piece := os.read(fd, 65536):
            arrived += reader.feed(piece)
    except BlockingIOError:
        pass
    return arrived


def test_reader_that_has_gone_is_an_error_of_send(pipe: tuple[int, int]) -> None:
    read_fd, write_fd = pipe
    sender = ReportSender(write_fd)
    os.close(read_fd)
    with pytest.raises(BrokenPipeError):
        sender.send(REPORT)


def test_feed_passes_reports_on_while_they_are_wanted(pipe: tuple[int, int]) -> None:
    read_fd, write_fd = pipe
    reports: SimpleQueue[Report] = SimpleQueue()
    feed = PipeFeed(os.dup(read_fd))
    feed.start(reports.put)
    feed.want(True)
    ReportSender(write_fd).send(REPORT)
    assert reports.get(timeout=10) == REPORT
    feed.stop()


def test_feed_drops_unwanted_reports(pipe: tuple[int, int]) -> None:
    read_fd, write_fd = pipe
    reports: SimpleQueue[Report] = SimpleQueue()
    feed = PipeFeed(os.dup(read_fd))
    feed.start(reports.put)
    sender = ReportSender(write_fd)
    sender.send({"old": "1"})
    os.set_blocking(read_fd, False)
    wait_until(lambda: _is_empty(read_fd), "the old report is read")
    feed.want(True)

    def arrived() -> bool:
        sender.send(REPORT)
        return not reports.empty()

    wait_until(arrived, "a report")
    assert reports.get() == REPORT
    feed.stop()


def _is_empty(fd: int) -> bool:
    import select

    return not select.select([fd], [], [], 0)[0]


def test_feed_passes_on_whether_reports_are_wanted(pipe: tuple[int, int]) -> None:
    passed_on: list[bool] = []
    feed = PipeFeed(os.dup(pipe[0]), passed_on.append)
    feed.want(True)
    feed.want(False)
    feed.stop()
    assert passed_on == [True, False]


def test_stop_ends_the_thread_and_closes_the_descriptor(pipe: tuple[int, int]) -> None:
    fd = os.dup(pipe[0])
    feed = PipeFeed(fd)
    feed.start(lambda _report: None)
    feed.stop()
    assert "utilization" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_stop_ends_a_thread_that_has_no_descriptors(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[None] = []

    def refuse() -> NoReturn:
        attempts.append(None)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(pipe_feed, "open_poller", refuse)
    feed = PipeFeed(os.dup(pipe[0]))
    feed.start(lambda _report: None)
    wait_until(lambda: attempts, "it has failed")
    stopping = threading.Thread(target=feed.stop, daemon=True)
    stopping.start()
    join(stopping)


def test_news_without_bytes_are_no_end(pipe: tuple[int, int]) -> None:
    feed = PipeFeed(os.dup(pipe[0]))
    assert feed._read(ReportReader(), lambda _report: None)
    feed.stop()


def test_end_of_the_sender_ends_the_thread(pipe: tuple[int, int]) -> None:
    read_fd, write_fd = pipe
    feed = PipeFeed(os.dup(read_fd))
    feed.start(lambda _report: None)
    os.close(write_fd)
    wait_until(
        lambda: "utilization" not in {thread.name for thread in threading.enumerate()},
        "the thread has ended",
    )
    feed.stop()


def test_receiver_that_fails_gets_the_next_report(
    pipe: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    reports: SimpleQueue[Report] = SimpleQueue()

    def receive(report: Report) -> None:
        reports.put(report)
        raise ValueError("broken")

    feed = PipeFeed(os.dup(pipe[0]))
    feed.want(True)
    feed.start(receive)
    sender = ReportSender(pipe[1])
    sender.send({"a": "1"})
    sender.send({"b": "2"})
    assert reports.get(timeout=10) == {"a": "1"}
    assert reports.get(timeout=10) == {"b": "2"}
    feed.stop()
    assert caplog.records[0].message == "a utilization report was lost"
