"""Running commands in place of iostat."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mogpoll.probe.sleeping import settle
from mogpoll.threads import signals_blocked
from mogstored import children
from mogstored.utilization import iostat_feed
from mogstored.utilization.iostat_feed import IostatFeed, spawn_shell
from mogstored.utilization.report import Report
from tests.support.descriptors import open_numbers
from tests.support.threads import Running, join
from tests.support.waiting import PATIENCE_S, promptly, wait_until

LONG_S = 3600.0


class Runs:
    """Feeds with their reports; the commands append a line to `log` for each start."""

    def __init__(self, directory: Path) -> None:
        self.log = directory / "log"
        self.log.touch()
        self.reports: SimpleQueue[Report] = SimpleQueue()
        self.feeds: list[IostatFeed] = []

    def start(
        self, script: str, *, retry_s: float = LONG_S, idle_s: float = LONG_S, wanted: bool = True
    ) -> IostatFeed:
        path = self.log.with_name("fake-iostat")
        path.write_text(f"#!/bin/sh\necho $$ >> {self.log}\n{script}\n")
        path.chmod(0o755)
        feed = IostatFeed(str(path), retry_s=retry_s, idle_s=idle_s)
        self.feeds.append(feed)
        feed.start(self.reports.put)
        feed.want(wanted)
        return feed

    def pids(self) -> list[int]:
        return [int(line) for line in self.log.read_text().splitlines()]

    def await_runs(self, count: int) -> None:
        wait_until(lambda: len(self.pids()) >= count, f"{count} runs")

    def next(self) -> Report:
        return self.reports.get(timeout=10)


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    runs = Runs(tmp_path)
    yield runs
    for feed in runs.feeds:
        feed.stop()
    assert "iostat" not in {thread.name for thread in threading.enumerate()}
    assert [pid for pid in runs.pids() if _is_alive(pid)] == []


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


FOREVER = "while :; do echo sda 1; echo; sleep 0.01; done"


def test_reports_of_a_run_that_goes_on(runs: Runs) -> None:
    runs.start("echo sda 0.5; echo sdb 1; echo; echo sda 0.6; echo; exec sleep 60")
    assert runs.next() == {"sda": "0.5", "sdb": "1"}
    assert runs.next() == {"sda": "0.6"}


def test_line_that_comes_in_two_parts(runs: Runs) -> None:
    runs.start(
        "printf 'sd'; sleep 0.02; printf 'a 0.'; sleep 0.02; printf '5\\n\\n'; exec sleep 60"
    )
    assert runs.next() == {"sda": "0.5"}


def test_success_is_started_again_at_once(runs: Runs, caplog: pytest.LogCaptureFixture) -> None:
    runs.start("echo sda 1; echo")
    for _ in range(5):
        assert runs.next() == {"sda": "1"}
    assert len(set(runs.pids())) >= 5
    assert caplog.records == []


def test_unfinished_report_does_not_leak_into_the_next_run(runs: Runs) -> None:
    runs.start("echo sda 1; echo; echo sdb 2; printf 'sdc '")
    assert [runs.next() for _ in range(3)] == [{"sda": "1"}] * 3


def test_fruitless_success_is_not_repeated_at_once(runs: Runs) -> None:
    runs.start("exit 0")
    runs.await_runs(1)
    feed = runs.feeds[0]
    # It is between two runs for most of a second, and can be stopped there.
    feed.stop()
    assert len(runs.pids()) <= 2


@pytest.mark.parametrize(
    ("end", "how"), [("exit 3", "exited with status 3"), ("kill -9 $$", "was killed by SIGKILL")]
)
def test_failure_is_reported_and_waited_for(
    runs: Runs, caplog: pytest.LogCaptureFixture, end: str, how: str
) -> None:
    runs.start(f"echo sda 1; echo; {end}")
    wait_until(lambda: caplog.records, "a warning")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.message == f"iostat (PID {runs.pids()[0]}) {how}"
    assert len(runs.pids()) == 1
    # The last one says that nothing is known now.
    assert [runs.next(), runs.next()] == [{"sda": "1"}, {}]


def test_command_goes_on_for_a_while_without_watchers(runs: Runs) -> None:
    """Reports come meanwhile, and each is an occasion to end it too early."""
    feed = runs.start(FOREVER)
    runs.next()
    feed.want(False)
    for _ in range(30):
        assert runs.next() == {"sda": "1"}
    feed.want(True)
    for _ in range(30):
        assert runs.next() == {"sda": "1"}
    assert len(runs.pids()) == 1


def test_command_whose_status_another_took_counts_as_a_success(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = os.waitpid

    def too_late(pid: int, options: int) -> tuple[int, int]:
        real(pid, options)
        raise ChildProcessError

    monkeypatch.setattr(os, "waitpid", too_late)
    runs.start("echo sda 1; echo; exit 3")
    for _ in range(3):
        assert runs.next() == {"sda": "1"}
    runs.feeds[0].stop()
    monkeypatch.undo()
    assert caplog.messages == []


def test_feed_that_was_never_started_can_be_stopped() -> None:
    IostatFeed("false").stop()


def test_failure_is_tried_again_later(runs: Runs, caplog: pytest.LogCaptureFixture) -> None:
    runs.start("exit 1", retry_s=0.01)
    runs.await_runs(3)
    assert [runs.next(), runs.next()] == [{}, {}]
    assert len(caplog.records) >= 2


def test_command_that_does_not_exist(caplog: pytest.LogCaptureFixture) -> None:
    feed = IostatFeed("/nonexistent/iostat -dx", retry_s=LONG_S)
    reports: SimpleQueue[Report] = SimpleQueue()
    feed.start(reports.put)
    feed.want(True)
    assert reports.get(timeout=10) == {}
    feed.stop()
    assert caplog.records[0].message.endswith("exited with status 127")


def test_odd_output_is_said_once_with_the_line(
    runs: Runs, caplog: pytest.LogCaptureFixture
) -> None:
    runs.start("for i in 1 2 3; do echo 'sda 1,00 0,45'; echo; done; echo sda nan; echo")
    runs.await_runs(2)
    assert runs.next() == {"sda": "-"}
    assert caplog.messages == [
        "utilization of some disks is unknown: iostat: a line is not understood: sda 1,00 0,45"
    ]


def test_end_without_a_report_is_said_once(runs: Runs, caplog: pytest.LogCaptureFixture) -> None:
    runs.start("echo Linux", retry_s=0.01)
    runs.await_runs(3)
    assert caplog.messages == [
        "utilization of some disks is unknown: iostat: it ended without a report"
    ]


def test_no_shell_to_start_it(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object, **_kwargs: object) -> int:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(os, "posix_spawn", fail)
    before = open_numbers()
    feed = IostatFeed("iostat", retry_s=LONG_S)
    reports: SimpleQueue[Report] = SimpleQueue()
    feed.start(reports.put)
    feed.want(True)
    assert reports.get(timeout=10) == {}
    feed.stop()
    assert open_numbers() == before
    assert caplog.messages[0] == (
        "cannot start iostat (iostat): No such file or directory (ENOENT)"
    )


def test_stop_ends_it(runs: Runs) -> None:
    feed = runs.start("exec sleep 60")
    runs.await_runs(1)
    feed.stop()
    assert not _is_alive(runs.pids()[0])


def test_stop_ends_what_has_closed_its_output(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread waits for its end, and must not keep others from sending a signal."""
    reaps = threading.Event()
    reap = IostatFeed._reap

    def note(feed: IostatFeed) -> tuple[int, int]:
        reaps.set()
        return reap(feed)

    monkeypatch.setattr(IostatFeed, "_reap", note)
    feed = runs.start("exec >&-; exec sleep 60")
    assert reaps.wait(PATIENCE_S)
    assert feed._thread is not None
    settle(feed._thread.native_id)
    stopping = Running(feed.stop)
    wait_until(stopping.is_over, "it is stopped")
    assert not _is_alive(runs.pids()[0])


def test_stop_ends_a_pipeline(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    part = f"sh -c 'echo $$ >> {pids}; exec sleep 60'"
    feed = IostatFeed(f"{part} | {part}")
    feed.start(lambda _report: None)
    feed.want(True)
    wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2, "both parts run")
    feed.stop()
    for pid in map(int, pids.read_text().split()):
        wait_until(lambda pid=pid: not _runs(pid), f"process {pid} has ended")  # type: ignore[misc]


def _runs(pid: int) -> bool:
    """Like `_is_alive`, for processes that another one has to reap."""
    state = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            return state.read_text().rpartition(") ")[2][0] != "Z"
        except (FileNotFoundError, ProcessLookupError):
            return False
    return _is_alive(pid)


def test_stop_kills_what_does_not_listen(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mogstored.utilization.iostat_feed._END_S", 0.1)
    feed = runs.start(f"trap '' TERM; {FOREVER}")
    runs.next()
    feed.stop()
    assert not _is_alive(runs.pids()[0])


def test_nothing_is_started_after_the_stop(runs: Runs) -> None:
    feed = runs.start("exit 0", wanted=False)
    feed.stop()
    feed.want(True)
    assert runs.pids() == []


def test_nothing_is_started_until_somebody_watches(runs: Runs) -> None:
    feed = runs.start(FOREVER, wanted=False)
    assert runs.pids() == []
    feed.want(True)
    assert runs.next() == {"sda": "1"}


def test_it_is_ended_after_a_while_without_watchers(
    runs: Runs, caplog: pytest.LogCaptureFixture
) -> None:
    feed = runs.start(FOREVER, idle_s=0.02)
    runs.next()
    feed.want(False)
    wait_until(lambda: not _is_alive(runs.pids()[0]), "it has ended")
    assert caplog.records == []
    feed.want(True)
    runs.await_runs(2)


def test_it_goes_on_for_who_comes_back_soon(runs: Runs) -> None:
    feed = runs.start(FOREVER)
    runs.next()
    feed.want(False)
    feed.want(True)
    runs.next()
    assert len(runs.pids()) == 1


def test_receiver_that_fails_gets_the_next_report(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reports: SimpleQueue[Report] = SimpleQueue()

    def receive(report: Report) -> None:
        reports.put(report)
        raise ValueError("broken")

    feed = IostatFeed("printf 'sda 1\\n\\nsda 2\\n\\n'")
    feed.start(receive)
    feed.want(True)
    assert reports.get(timeout=10) == {"sda": "1"}
    assert reports.get(timeout=10) == {"sda": "2"}
    feed.stop()
    assert caplog.records[0].message == "a utilization report was lost"


# Times, and what is left of a run


def test_pause_after_each_kind_of_run(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = IostatFeed("iostat")
    monkeypatch.setattr(feed, "_spawn", lambda: os.open(os.devnull, os.O_RDONLY))

    def pause_after(status: int, *, is_fruitful: bool) -> float:
        monkeypatch.setattr(feed, "_read", lambda *_: is_fruitful)
        monkeypatch.setattr(feed, "_reap", lambda: (1234, status))
        return feed._run_once(lambda _report: None)

    assert pause_after(0, is_fruitful=True) == 0.0
    assert pause_after(0, is_fruitful=False) == 1.0
    assert pause_after(1, is_fruitful=True) == 10.0
    # The end that it was asked for is no failure.
    feed._dismissed = True
    assert pause_after(-signal.SIGTERM, is_fruitful=True) == 0.0


def test_command_is_ended_a_minute_after_the_last_watcher_has_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, sent = [100.0], []
    monkeypatch.setattr(iostat_feed, "time", SimpleNamespace(monotonic=lambda: now[0]))
    feed = IostatFeed("iostat")
    monkeypatch.setattr(feed, "_signal", lambda number: sent.append((now[0], number)))
    feed.want(True)
    for at, wanted in ((200.0, False), (230.0, True), (240.0, False), (270.0, False)):
        now[0] = at
        feed.want(wanted)
    for now[0] in (299.9, 300.0, 301.0):
        feed._dismiss_idle()
    assert sent == [(300.0, signal.SIGTERM)]


@pytest.mark.parametrize("listens", [True, False])
def test_stop_waits_two_seconds_before_it_kills_and_then_no_longer(
    monkeypatch: pytest.MonkeyPatch, listens: bool
) -> None:
    feed = IostatFeed("iostat")
    done: list[object] = []
    monkeypatch.setattr(feed, "_signal", done.append)
    feed._thread = cast(
        "Any", SimpleNamespace(join=done.append, is_alive=lambda: not listens, name="")
    )
    feed.stop()
    expected = [signal.SIGTERM, 2.0, signal.SIGKILL, 2.0]
    assert done == expected[: 2 if listens else 4]


def test_nothing_is_left_of_a_run_that_is_over() -> None:
    feed = IostatFeed("true")
    feed._dismissed = True
    fd = feed._spawn()
    assert fd is not None
    assert not feed._dismissed
    pid = feed._pid
    assert pid in children._own
    os.close(fd)
    assert feed._reap() == (pid, 0)
    assert feed._pid is None
    assert pid not in children._own
    # It may be another's by now.
    feed._signal(signal.SIGKILL)


def test_stopped_feed_starts_nothing() -> None:
    feed = IostatFeed("true")
    feed.stop()
    assert feed._spawn() is None
    assert feed._run_once(lambda _report: None) == 0.0
    assert feed._pid is None


# What the command finds around it


def _output_of(command: str) -> bytes:
    read_fd, write_fd = os.pipe()
    # As the feed's thread does.
    with signals_blocked():
        pid = spawn_shell(command, write_fd)
    os.close(write_fd)
    with os.fdopen(read_fd, "rb") as pipe:
        output = pipe.read()
    os.waitpid(pid, 0)
    return output


def _python(code: str) -> str:
    return f'"{sys.executable}" -I -c "{code}"'


def test_locale_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("S_TIME_FORMAT", "ISO")
    assert _output_of("env | grep -e ^LC_ALL= -e ^S_TIME_FORMAT= | sort").split() == [
        b"LC_ALL=C",
        b"S_TIME_FORMAT=ISO",
    ]


def test_nothing_to_read() -> None:
    saved, ends = os.dup(0), os.pipe()
    os.write(ends[1], b"for us")
    os.close(ends[1])
    os.dup2(ends[0], 0)
    try:
        assert _output_of("wc -c").strip() == b"0"
    finally:
        os.dup2(saved, 0)
        os.close(saved)
        os.close(ends[0])


def test_no_descriptor_of_ours_is_passed_on(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(
        "import os, sys\n"
        "try: os.fstat(int(sys.argv[1]))\n"
        "except OSError: print('closed')\n"
        "else: print('open')\n"
    )
    with open(script) as file:
        # High enough for the child not to have one of its own there.
        fd = fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, 100)
        seen = _output_of(f'"{sys.executable}" -I {script} {fd}')
        os.close(fd)
    assert seen == b"closed\n"


def test_no_signal_is_blocked_or_ignored() -> None:
    code = (
        "import signal as s; "
        "print(s.pthread_sigmask(s.SIG_BLOCK, []) or 'none', "
        "[n for n in (s.SIGTERM, s.SIGINT, s.SIGHUP) if s.getsignal(n) == s.SIG_IGN])"
    )
    assert _output_of(_python(code)) == b"none []\n"


def test_pipe_signal_ends_it() -> None:
    # Python ignores it; a command whose reader has gone must end.
    read_fd, write_fd = os.pipe()
    pid = spawn_shell("yes", write_fd)
    os.close(write_fd)
    os.close(read_fd)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGPIPE


def test_process_group_of_its_own() -> None:
    code = "import os; print(os.getpgrp() == os.getpid())"
    assert _output_of(_python(code)) == b"True\n"


class HungStart:
    """Holds the start of the command until it is released, as a hung disk does."""

    def __init__(self) -> None:
        self.begun, self.released = threading.Event(), threading.Event()

    def __call__(self, command: str, stdout_fd: int) -> int:
        self.begun.set()
        assert self.released.wait(60.0)
        return spawn_shell(command, stdout_fd)


def test_start_that_hangs_blocks_neither_watchers_nor_a_stop(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hung disk may keep the child from exec, on the way to which it closes all files."""
    hung = HungStart()
    monkeypatch.setattr(iostat_feed, "spawn_shell", hung)
    monkeypatch.setattr(iostat_feed, "_END_S", 0.01)
    feed = runs.start(FOREVER)
    assert hung.begun.wait(30.0)

    def watch_and_stop() -> None:
        feed.want(False)
        feed.stop()

    callers = Running(watch_and_stop)
    try:
        join(callers.thread)
    finally:
        hung.released.set()
    callers.result()
    assert feed._thread is not None
    join(feed._thread)


def test_first_block_within_two_seconds(runs: Runs) -> None:
    def first_block() -> Report:
        runs.reports = SimpleQueue()
        feed = runs.start(FOREVER)
        block = runs.next()
        feed.stop()
        return block

    promptly(first_block, 2.0)
