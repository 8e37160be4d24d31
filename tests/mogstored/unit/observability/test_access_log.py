"""The access log never waits: what is not taken is kept, or dropped and counted."""

from __future__ import annotations

import errno
import logging
import os
import re
import socket
import threading
import time
from collections import deque
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

from mogstored.observability import access_log
from mogstored.observability.access_lines import LONG_HEAD
from mogstored.observability.access_log import MAX_WAITING, STOP_S, AccessLog
from mogstored.observability.access_target import Message, Target
from mogstored.observability.exchange import Exchange
from tests.support.access_lines import parse_combined, parse_json
from tests.support.clock import stop_clock
from tests.support.disks import small_disk
from tests.support.slow_disk import slow_disk
from tests.support.threads import is_held, join
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOST = re.compile(r"access log (\S+): (\d+) lines were lost: (.*)")


def exchange(number: int, padding: int = 0) -> Exchange:
    head = b"GET /dev1/%d HTTP/1.1\r\nUser-Agent: %b\r\n\r\n" % (number, b"u" * padding)
    return Exchange(time.monotonic(), "10.0.0.7", head, 200, 0, 0, 0.1, "dev1", 0.0, "")


@contextmanager
def running(destination: object, format_name: str = "combined", **how: Any) -> Iterator[AccessLog]:
    log = AccessLog(str(destination), format_name, **how)
    log.start()
    try:
        yield log
    finally:
        log.stop()


def numbers(*texts: str) -> list[int]:
    """Return the numbers in the paths of whole lines."""
    lines = [line for text in texts for line in text.splitlines(keepends=True)]
    assert all(line.endswith("\n") for line in lines)
    requests = (parse_combined(line[:-1])["request"] for line in lines)
    return [int(request.split()[1].removeprefix("/dev1/")) for request in requests]


def reported(caplog: pytest.LogCaptureFixture) -> int:
    """Return how many lines the log says were lost."""
    return sum(int(found[2]) for line in caplog.messages if (found := LOST.fullmatch(line)))


@pytest.fixture(autouse=True)
def caught(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Let records of the node's log reach the test, whatever was opened before."""
    monkeypatch.setattr(logging.getLogger("mogstored"), "propagate", True)
    caplog.set_level(logging.INFO, "mogstored")


def test_lines_are_in_the_order_of_the_exchanges(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with running(path) as log:
        for number in range(1000):
            log.append(exchange(number))
    assert numbers(path.read_text()) == list(range(1000))
    assert log.dropped == 0


def test_a_line_is_written_without_another_request(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with running(path) as log:
        wait_until(path.exists, "the file is created")
        for number in range(3):
            log.append(exchange(number))
            wait_until(
                lambda: numbers(path.read_text()) == list(range(number + 1)),  # noqa: B023
                "the line is there",
            )


def test_json(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with running(path, "json") as log:
        log.append(exchange(7))
    assert parse_json(path.read_text())["target"] == "/dev1/7"


def test_file_is_readable_by_owner_and_group_and_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "log"
    before = os.umask(0o022)
    try:
        for number in range(2):
            with running(path) as log:
                log.append(exchange(number))
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640
    assert numbers(path.read_text()) == [0, 1]


def test_threads_lose_nothing_and_write_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "log"

    def work(first: int) -> None:
        for number in range(first, first + 1000):
            log.append(exchange(number))

    with running(path) as log:
        threads = [threading.Thread(target=work, args=(each,)) for each in range(0, 6000, 1000)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(numbers(path.read_text())) == list(range(6000))


def test_thread_sleeps_while_nothing_comes(tmp_path: Path) -> None:
    with running(tmp_path / "log") as log:
        wait_until(lambda: log._is_asleep, "it sleeps")
        assert log._report_in_s() is None
        log.append(exchange(0))
        wait_until(lambda: log._is_asleep and not log._count_left(), "it sleeps again")
    assert log.dropped == 0


def test_thread_sleeps_until_it_has_something_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    now = stop_clock(monkeypatch, access_log, 100.0)
    log = AccessLog("/x", "combined")
    slept: list[tuple[float | None, bool]] = []

    def wait(timeout: float | None) -> None:
        # News of before it looked is no news.
        assert not log._news.is_set()
        slept.append((timeout, log._is_asleep))

    monkeypatch.setattr(log._news, "wait", wait)
    log._news.set()
    log._sleep()
    log._lose(1)
    log._sleep()
    now[0] = 105.0
    log._sleep()
    assert slept == [(None, True), (1.0, True), (0.0, True)]
    assert not log._is_asleep
    reasons: list[Callable[[], None]] = [
        lambda: log.append(exchange(0)),
        log.reopen,
        log._end.set,
    ]
    for happens in reasons:
        happens()
        log._sleep()
        log._waiting.clear()
        log._reopening.clear()
    assert len(slept) == 3


def test_only_a_thread_that_sleeps_is_woken() -> None:
    log = AccessLog("/x", "combined")
    log.append(exchange(0))
    assert not log._news.is_set()
    log._is_asleep = True
    log.append(exchange(1))
    assert (log._news.is_set(), log._is_asleep) == (True, False)


def test_what_is_not_taken_is_tried_again_later_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = AccessLog("/x", "combined")
    # The last two are those of the stop.
    results = [*[False] * 7, True, False, False, False, True]
    waits: list[float] = []
    pauses: list[float] = []
    slept: list[int] = []

    def wait(timeout: float) -> None:
        waits.append(timeout)
        if len(waits) == 9:
            log._ends_at = time.monotonic() + PATIENCE_S
            log._end.set()

    monkeypatch.setattr(log, "_write_all", lambda: results.pop(0))
    monkeypatch.setattr(log, "_sleep", lambda: slept.append(len(waits)))
    monkeypatch.setattr(log._end, "wait", wait)
    monkeypatch.setattr(access_log, "time", SimpleNamespace(sleep=pauses.append))
    log._run()
    assert waits == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 0.05, 0.1]
    assert (results, pauses, slept) == ([], [0.05], [7])


class TestReopening:
    def test_goes_on_in_a_new_file(self, tmp_path: Path) -> None:
        path, old = tmp_path / "log", tmp_path / "log.1"
        with running(path) as log:
            log.append(exchange(0))
            wait_until(lambda: path.exists() and path.stat().st_size, "the line is there")
            path.rename(old)
            log.append(exchange(1))
            wait_until(lambda: numbers(old.read_text()) == [0, 1], "the old file gets lines")
            log.reopen()
            wait_until(path.exists, "there is a new file")
            log.append(exchange(2))
        assert (numbers(old.read_text()), numbers(path.read_text())) == ([0, 1], [2])
        assert path.stat().st_mode & 0o777 == 0o640

    def test_under_load_loses_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "log"
        with running(path) as log:
            wait_until(path.exists, "the file is created")
            for round_ in range(10):
                for number in range(500):
                    log.append(exchange(500 * round_ + number))
                path.rename(tmp_path / f"log.{round_}")
                log.reopen()
                wait_until(path.exists, "there is a new file")
        written = [numbers(file.read_text()) for file in tmp_path.iterdir()]
        assert sorted(sum(written, [])) == list(range(5000))  # noqa: RUF017
        assert log.dropped == 0

    def test_of_what_cannot_be_opened_keeps_the_old_file(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        directory, moved = tmp_path / "logs", tmp_path / "moved"
        directory.mkdir()
        path = directory / "log"
        with running(path) as log:
            wait_until(path.exists, "the file is created")
            directory.rename(moved)
            log.reopen()
            message = (
                f"cannot open {path} again: No such file or directory (ENOENT);"
                " the access log goes on in the old file"
            )
            wait_until(lambda: message in caplog.messages, "it says so")
            log.append(exchange(1))
        assert caplog.messages.count(message) == 1
        assert numbers((moved / "log").read_text()) == [1]


def test_path_that_cannot_be_opened_yet(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    directory = tmp_path / "logs"
    path = directory / "log"
    with running(path) as log:
        log.append(exchange(1))
        said = f"cannot open access_log {path}: No such file or directory (ENOENT)"
        wait_until(lambda: said in caplog.messages, "it says so")
        directory.mkdir()
        wait_until(path.exists, "it tries again")
    assert numbers(path.read_text()) == [1]
    assert caplog.messages.count(said) == 1


def test_queue_is_bounded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not started, as if its disk hung."""
    log = AccessLog(str(tmp_path / "log"), "combined")
    for number in range(MAX_WAITING + 5):
        log.append(exchange(number))
    assert log.dropped == 5
    log.start()
    log.stop()
    assert numbers((tmp_path / "log").read_text()) == list(range(MAX_WAITING))
    assert (log.dropped, reported(caplog)) == (5, 5)


def test_long_heads_do_not_fill_the_memory(tmp_path: Path) -> None:
    log = AccessLog(str(tmp_path / "log"), "combined")
    log.append(exchange(1, padding=60_000))
    (kept,) = log._waiting
    assert len(kept[2]) < LONG_HEAD
    log.start()
    log.stop()
    assert numbers((tmp_path / "log").read_text()) == [1]


class TestFullDisk:
    @pytest.fixture
    def disk(self, tmp_path: Path) -> Iterator[Path]:
        path = tmp_path / "small"
        with small_disk(path, "size=64k"):
            yield path

    def test_keeps_lines_until_there_is_room(
        self, disk: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        ballast = disk / "ballast"
        ballast.write_bytes(b"x" * 56 * 1024)
        path = disk / "log"
        with running(path) as log:
            for number in range(300):
                log.append(exchange(number))
            wait_until(lambda: "ENOSPC" in log._trouble, "the disk is full")
            ballast.unlink()
            wait_until(lambda: not log._count_left(), "the rest is written")
        # The line that was begun ends as it should.
        assert numbers(path.read_text()) == list(range(300))
        assert (log.dropped, reported(caplog)) == (0, 0)

    def test_lost_lines_are_counted(self, disk: Path, caplog: pytest.LogCaptureFixture) -> None:
        path = disk / "log"
        sent = MAX_WAITING + 3000
        with running(path) as log:
            for number in range(sent):
                log.append(exchange(number))
                if number % 1000 == 0:
                    time.sleep(0.001)
            wait_until(lambda: log.dropped, "lines are lost")
        text = path.read_text()
        whole = text[: text.rindex("\n") + 1]
        written = numbers(whole)
        assert written == list(range(len(written)))
        assert reported(caplog) == log.dropped == sent - len(written)
        assert "No space left on device (ENOSPC)" in caplog.text


def test_nothing_is_written_after_a_stop_has_counted_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The thread may be late: it gets the processor again when the stop is over."""
    monkeypatch.setattr(access_log, "STOP_S", 0.01)
    path = tmp_path / "log"
    may_go_on = threading.Event()

    class Late(AccessLog):
        def _write_all(self) -> bool:
            if self._end.is_set():
                may_go_on.wait(PATIENCE_S)
            return super()._write_all()

    log = Late(str(path), "combined")
    log.start()
    thread = log._thread
    wait_until(path.exists, "the file is created")
    log._end.set()
    for number in range(10):
        log.append(exchange(number))
    log.stop()
    may_go_on.set()
    assert thread is not None
    join(thread)
    written = numbers(path.read_text())
    assert reported(caplog) == log.dropped == 10 - len(written)


@pytest.mark.parametrize(
    ("late_s", "longest_s"), [(0.0, 1.0), (5.0, 0.0)], ids=["in time", "late"]
)
@pytest.mark.parametrize("hangs", [True, False])
def test_stop_waits_for_a_second_and_a_moment(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    late_s: float,
    longest_s: float,
    hangs: bool,
) -> None:
    now = stop_clock(monkeypatch, access_log, 100.0)
    log = AccessLog("/x", "combined")
    log.append(exchange(1))
    log._thread, log._turn = thread, turn = Mock(), Mock()
    turn.acquire.return_value = not hangs
    monkeypatch.setattr(log._news, "set", lambda: now.__setitem__(0, 100.0 + late_s))
    log.stop()
    assert now == [100.0 + late_s], "a thread that sleeps is woken"
    assert log._end.is_set()
    thread.join.assert_called_once_with(longest_s)
    turn.acquire.assert_called_once_with(timeout=0.05)
    assert turn.release.call_count == (not hangs)
    assert reported(caplog) == log.dropped == 1


def test_log_that_does_not_run_can_be_stopped() -> None:
    log = AccessLog("/x", "combined")
    log.append(exchange(1))
    log.stop()
    assert log.dropped == 0


class Deque(deque[Any]):
    """Fails as one does that changes while another thread copies it or goes through it."""

    def copy(self) -> Any:
        self._check()
        return super().copy()

    def __iter__(self) -> Iterator[Any]:
        self._check()
        return super().__iter__()

    def _check(self) -> None:
        if threading.current_thread().name != "access-log":
            raise RuntimeError("deque mutated during iteration")


def test_stop_counts_what_is_left_beside_a_write_that_hangs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(access_log, "STOP_S", 0.01)
    monkeypatch.setattr(access_log, "deque", Deque)
    hung, released = threading.Event(), threading.Event()
    closed: list[None] = []

    def take(_message: bytes) -> bool:
        hung.set()
        return not released.wait(PATIENCE_S)

    target = SimpleNamespace(
        count_left=lambda: 0,
        messages=lambda lines: [Message(line.encode(), 1) for line in lines],
        sink=SimpleNamespace(take=take, finish=lambda: True, close=lambda: closed.append(None)),
    )
    log = AccessLog("/x", "combined")
    monkeypatch.setattr(log, "_open_first", lambda: target)
    for number in range(5):
        log.append(exchange(number))
    log.start()
    thread = log._thread
    assert thread is not None
    assert hung.wait(PATIENCE_S)
    log.append(exchange(5))
    try:
        log.stop()
        assert reported(caplog) == log.dropped == 6
    finally:
        released.set()
        join(thread)
    assert closed == [None]


class TestHungDisk:
    def test_costs_lines_only(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        with slow_disk(tmp_path / "disk") as disk, ExitStack() as stack:
            stack.callback(disk.release)
            path = disk.path / "log"
            log = AccessLog(str(path), "combined")
            log.start()
            log.append(exchange(0))
            wait_until(lambda: not log._count_left(), "the first line is written")
            disk.hang("write")
            log.append(exchange(1))
            disk.wait_until_held(1, "write")
            for number in range(2, MAX_WAITING + 20):
                log.append(exchange(number))
            assert log.dropped > 0
            began = time.monotonic()
            log.stop()
            assert time.monotonic() - began < STOP_S + PATIENCE_S
            assert reported(caplog) == log.dropped == MAX_WAITING + 19
            disk.release()

    def test_that_comes_back_has_what_was_kept(self, tmp_path: Path) -> None:
        with slow_disk(tmp_path / "disk") as disk, ExitStack() as stack:
            stack.callback(disk.release)
            path = disk.path / "log"
            with running(path) as log:
                log.append(exchange(0))
                wait_until(lambda: not log._count_left(), "the first line is written")
                disk.hang("write")
                for number in range(1, 500):
                    log.append(exchange(number))
                disk.wait_until_held(1, "write")
                log.reopen()
                disk.release()
            assert numbers(path.read_text()) == list(range(500))


@contextmanager
def stdout_is(fd: int) -> Iterator[None]:
    saved = os.dup(1)
    os.dup2(fd, 1)
    try:
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)


def read_all(fd: int) -> str:
    with os.fdopen(fd, "rb") as file:
        return file.read().decode()


class TestStdout:
    def test_pipe_gets_lines(self) -> None:
        reader, writer = os.pipe()
        with stdout_is(writer), running("-") as log:
            for number in range(50):
                log.append(exchange(number))
        os.close(writer)
        assert numbers(read_all(reader)) == list(range(50))

    def test_file_gets_lines(self, tmp_path: Path) -> None:
        with (tmp_path / "out").open("w+") as file:
            with stdout_is(file.fileno()), running("-") as log:
                log.append(exchange(1))
                log.reopen()
            file.seek(0)
            assert numbers(file.read()) == [1]

    def test_reader_that_is_gone(self, caplog: pytest.LogCaptureFixture) -> None:
        reader, writer = os.pipe()
        os.close(reader)
        with stdout_is(writer), running("-") as log:
            for number in range(10):
                log.append(exchange(number))
            wait_until(lambda: log.dropped == 10, "the lines are lost")
            wait_until(lambda: reported(caplog) == 10, "the log says so")
        os.close(writer)
        assert "access log -: 10 lines were lost: Broken pipe (EPIPE)" in caplog.messages

    def test_nothing_is_left_for_a_reader_that_is_gone(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(access_log, "_BATCH", 2)
        log = AccessLog("-", "combined")
        for number in range(5):
            log.append(exchange(number))
        target = Mock()
        target.count_left.return_value = 1
        target.messages.side_effect = lambda lines: [Message(b"", len(lines))]
        target.sink.take.side_effect = BrokenPipeError
        # Done, until something comes.
        assert log._write_to(target)
        target.sink.abandon.assert_called_once_with()
        assert log.dropped == 6
        assert log._count_left() == len(log._unsent) == 0

    def test_reader_that_is_slow_gets_whole_lines(self, caplog: pytest.LogCaptureFixture) -> None:
        reader, writer = os.pipe()
        with stdout_is(writer), running("-") as log:
            for number in range(3000):
                log.append(exchange(number))
            wait_until(lambda: log._unsent, "the pipe is full")
            received = []
            thread = threading.Thread(target=lambda: received.append(read_all(reader)))
            thread.start()
            wait_until(lambda: not log._count_left(), "all is written")
        os.close(writer)
        thread.join()
        assert numbers(*received) == list(range(3000))
        assert reported(caplog) == 0

    def test_reader_that_never_reads_does_not_hold_a_stop(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        reader, writer = os.pipe()
        log = AccessLog("-", "combined")
        with stdout_is(writer):
            log.start()
            for number in range(3000):
                log.append(exchange(number))
            wait_until(lambda: log._unsent, "the pipe is full")
            log.stop()
        os.close(writer)
        written = numbers(read_all(reader))
        assert written == list(range(len(written)))
        assert reported(caplog) == log.dropped == 3000 - len(written) > 0

    def test_writes_of_a_pipe_are_not_torn(self) -> None:
        """Each is at most what the system writes as a whole, and ends with a line."""
        reader, writer = os.pipe()
        with stdout_is(writer):
            target = Target("-")
        target.sink.close()
        os.close(reader)
        os.close(writer)
        lines = [f"{'x' * size}\n" for size in (10, 4000, 90, 4095, 0, 1, 1, 4095)]
        messages = list(target.messages(lines))
        assert b"".join(each.content for each in messages) == "".join(lines).encode()
        assert all(len(each.content) <= 4096 for each in messages)
        assert sum(each.lines for each in messages) == len(lines)
        (whole,) = target.messages(["x" * 2047 + "\n"] * 2)
        assert (len(whole.content), whole.lines) == (4096, 2)


def test_writes_of_a_file_have_all_that_is_there(tmp_path: Path) -> None:
    target = Target(str(tmp_path / "log"))
    (message,) = target.messages(["x" * 4000 + "\n"] * 3)
    assert (len(message.content), message.lines) == (3 * 4001, 3)
    target.sink.close()


class TestSyslog:
    @pytest.fixture
    def syslog(self, tmp_path: Path) -> Iterator[socket.socket]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.bind(str(tmp_path / "log"))
            sock.settimeout(PATIENCE_S)
            yield sock

    def test_gets_a_message_for_each_line(self, syslog: socket.socket) -> None:
        with running("syslog", syslog_socket=syslog.getsockname()) as log:
            for number in range(3):
                log.append(exchange(number))
            for number in range(3):
                message = syslog.recv(5000).decode()
                found = re.fullmatch(r"<30>mogstored-access\[(\d+)\]: (.*)", message)
                assert found
                assert (int(found[1]), numbers(found[2] + "\n")) == (os.getpid(), [number])

    def test_that_is_not_read_does_not_hold_a_stop(
        self, syslog: socket.socket, caplog: pytest.LogCaptureFixture
    ) -> None:
        log = AccessLog("syslog", "combined", syslog_socket=syslog.getsockname())
        log.start()
        for number in range(1000):
            log.append(exchange(number))
        wait_until(lambda: log._unsent, "its queue is full")
        log.stop()
        received = 0
        syslog.setblocking(False)
        try:
            while syslog.recv(5000):
                received += 1
        except BlockingIOError:
            assert log.dropped == 1000 - received > 0
        assert reported(caplog) == log.dropped

    def test_that_comes_late_gets_what_was_kept(self, tmp_path: Path) -> None:
        path = str(tmp_path / "late")
        with running("syslog", syslog_socket=path) as log:
            log.append(exchange(1))
            wait_until(lambda: "ENOENT" in log._trouble, "it is not there")
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.bind(path)
                sock.settimeout(PATIENCE_S)
                assert b"/dev1/1 " in sock.recv(5000)


def test_losses_are_reported_once_in_a_while(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = stop_clock(monkeypatch, access_log, 100.0)
    log = AccessLog("/x", "combined")
    for now[0], lost in ((100, 1), (100.5, 2), (101.5, 4), (102, 8), (110, 16), (112, 32)):
        log._lose(lost)
    counts = [int(found[2]) for line in caplog.messages if (found := LOST.fullmatch(line))]
    assert counts == [7, 56]
    log._report(at_once=True)
    assert reported(caplog) == log.dropped == 63


def test_loss_is_put_down_to_what_was_wrong_last(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log = AccessLog("/x", "combined")
    results = Mock(side_effect=[OSError(errno.ENOSPC, "No space left"), False, True])
    monkeypatch.setattr(log, "_open", lambda: None)
    monkeypatch.setattr(log, "_write_to", results)
    for is_done in (False, False, True):
        assert log._write_all() is is_done
        log._lose(1)
        log._report(at_once=True)
    causes = [found[3] for line in caplog.messages if (found := LOST.fullmatch(line))]
    assert causes == ["No space left (ENOSPC)", *["it is not taken fast enough"] * 2]


def test_what_was_lost_is_counted_and_reported_under_the_lock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = AccessLog("/x", "combined")
    held: list[bool] = []

    def clock() -> float:
        held.append(is_held(log._lock))
        return 100.0

    monkeypatch.setattr(access_log, "monotonic", clock)
    log._lose(1)
    log._report_in_s()
    log._report(at_once=True)
    assert held == [True] * 4


def test_thread_survives_a_failure_and_counts_what_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    log = AccessLog(str(path), "combined")
    good, failures = log._format, [MemoryError()]

    def fails_once(*arguments: Any) -> list[str]:
        if failures:
            raise failures.pop()
        return good(*arguments)

    log._format = fails_once
    log.start()
    log.append(exchange(1))
    wait_until(lambda: log.dropped == 1, "the line is lost")
    log.append(exchange(2))
    wait_until(lambda: numbers(path.read_text()) == [2], "the next is written")
    log.stop()
