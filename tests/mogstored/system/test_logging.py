"""The log of a node, as text, as JSON, and through syslog."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

import mogstored
from mogpoll.backends import backend_name
from mogpoll.system.limits.cores import usable_cores
from mogstored.config.values.scalars import LOG_LEVELS
from mogstored.log import handlers as log
from tests.support.daemon import Node
from tests.support.http import Client, compose
from tests.support.processes import workers_of
from tests.support.puts import put
from tests.support.threads import join
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType

_TEXT = re.compile(r"mogstored\[(\d+)\]: (.+)")
FIELDS = ["time", "ident", "pid", "level", "message"]
# Facility daemon is 3, times 8; the levels are those of syslog.h.
DAEMON = 3 << 3


def serve_and_stop(node: Node) -> None:
    with Client(node.http) as client:
        assert client.request(compose("GET", "/")).status == 200
    assert node.stop() == 0


@pytest.mark.parametrize("extra", [[], ["--worker-processes=2"]], ids=["single", "workers"])
def test_each_line_names_its_process(extra: list[str]) -> None:
    with Node(mgmt=True, extra=extra) as node:
        serve_and_stop(node)
        found = [_TEXT.fullmatch(line) for line in node.stderr_lines()]
    assert None not in found
    assert {match[1] for match in found if match} == {str(node.pid)}


def test_messages_of_a_plain_start_and_stop() -> None:
    with Node() as node:
        serve_and_stop(node)
        messages = [line.partition(": ")[2] for line in node.stderr_lines()]
    port = node.http[1]
    version = f"mogstored {mogstored.__version__}, Python {sys.version.partition(' ')[0]}"
    assert messages == [
        f"{version}, {backend_name()}, one process: {node.docroot} with 2 devices",
        f"listening for http on 127.0.0.1:{port}",
        "ready",
        "stopping",
    ]


def test_start_of_a_node_with_a_worker_for_each_processor() -> None:
    expected = "1 worker process" if usable_cores() == 1 else f"{usable_cores()} worker processes"
    with Node(extra=["--worker-processes=auto"]) as node:
        node.wait_for_log(rf", {expected} \(auto\): ")
        assert len(workers_of(node)) == usable_cores()


def test_start_of_a_node_with_workers_and_without_devices() -> None:
    with Node(devices=(), extra=["--worker-processes=2"]) as node:
        node.wait_for_log(f", 2 worker processes: {re.escape(str(node.docroot))} with 0 devices$")
        node.wait_for_log(f"{re.escape(str(node.docroot))} has no device: ")


@pytest.mark.parametrize("extra", [[], ["--worker-processes=2"]], ids=["single", "workers"])
def test_json_has_the_same_fields_one_object_a_line(extra: list[str]) -> None:
    with Node(extra=["--log-format=json", *extra]) as node:
        serve_and_stop(node)
        lines = [json.loads(line) for line in node.stderr_lines()]
    for line in lines:
        assert list(line) == FIELDS
        assert line["ident"] == "mogstored"
        assert line["pid"] == node.pid
        # No line is a warning.
        assert line["level"] == "info"
        age = datetime.now(UTC) - datetime.fromisoformat(line["time"])
        assert timedelta(0) <= age < timedelta(minutes=1)
    assert [line["message"] for line in lines][-2:] == ["ready", "stopping"]


# The handlers by themselves.


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    loggers = [logging.getLogger(name) for name in ("mogstored", "mogpoll")]
    before = [(each.handlers[:], each.level, each.propagate) for each in loggers]
    yield loggers[0]
    for each, (handlers, level, propagate) in zip(loggers, before, strict=True):
        for handler in each.handlers:
            handler.close()
        each.handlers[:], each.level, each.propagate = handlers, level, propagate


@pytest.fixture
def syslog(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "log"))
        sock.settimeout(PATIENCE_S)
        yield sock


@pytest.mark.parametrize(
    ("level", "number"),
    [
        (logging.CRITICAL, 2),
        (logging.ERROR, 3),
        (logging.WARNING, 4),
        (log.NOTICE, 5),
        (logging.INFO, 6),
    ],
)
def test_syslog_gets_facility_level_identity_and_pid(
    syslog: socket.socket, logger: logging.Logger, level: int, number: int
) -> None:
    log.open_log(to_syslog=True, syslog_socket=syslog.getsockname())
    logger.log(level, "what %s", "happened")
    message = syslog.recv(1000).decode()
    assert re.fullmatch(rf"<{DAEMON + number}>mogstored\[\d+\]: what happened", message)


def test_syslog_gets_json_when_asked_to(syslog: socket.socket, logger: logging.Logger) -> None:
    log.open_log(to_syslog=True, format_name="json", syslog_socket=syslog.getsockname())
    logger.info("what happened")
    head, _, content = syslog.recv(1000).decode().partition(": ")
    assert re.fullmatch(r"<30>mogstored\[\d+\]", head)
    assert list(json.loads(content)) == FIELDS


def test_syslog_that_comes_back_gets_what_was_logged_meanwhile(
    tmp_path: Path, logger: logging.Logger, capfd: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "log")
    log.open_log(to_syslog=True, syslog_socket=path)
    for _ in range(2):
        logger.info("away")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.bind(path)
            sock.settimeout(PATIENCE_S)
            logger.info("hello")
            assert sock.recv(1000).endswith(b"away")
            assert sock.recv(1000).endswith(b"hello")
        (tmp_path / "log").unlink()
    assert capfd.readouterr().err == ""


def test_json_has_a_word_for_the_level_between_the_others(
    logger: logging.Logger, capfd: pytest.CaptureFixture[str]
) -> None:
    log.open_log(format_name="json")
    logger.log(log.NOTICE, "what happened")
    assert json.loads(capfd.readouterr().err)["level"] == "notice"


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("debug", "debug info notice warning error critical"),
        ("info", "info notice warning error critical"),
        ("notice", "notice warning error critical"),
        ("warning", "warning error critical"),
        ("error", "error critical"),
    ],
)
@pytest.mark.parametrize("name", ["mogstored", "mogpoll"])
def test_level_leaves_out_what_is_less_important(
    logger: logging.Logger, capfd: pytest.CaptureFixture[str], name: str, level: str, shown: str
) -> None:
    log.open_log(level="info")
    log.set_level(level)
    for word, number in {**log.LEVELS, "critical": logging.CRITICAL}.items():
        logging.getLogger(name).log(number, word)
    lines = capfd.readouterr().err.splitlines()
    assert " ".join(line.rpartition(" ")[2] for line in lines) == shown


def test_log_that_is_opened_again_closes_what_was_open(
    logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[None] = []
    monkeypatch.setattr(log.open_log(), "close", lambda: closed.append(None))
    log.open_log()
    # By each logger; a second time is harmless.
    assert closed


def test_stderr_without_a_reader_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, stderr = os.pipe()
    os.close(reader)
    monkeypatch.setattr(log, "_STDERR_FD", stderr)
    writer = log.open_stderr()
    writer.write(b"line\n")
    assert writer.lost == 1
    writer.close()
    os.close(stderr)
    assert log._count_lines(2) == b"2 lines were lost\n"


def test_levels_are_those_of_the_setting() -> None:
    assert tuple(log.LEVELS) == LOG_LEVELS


def test_node_logs_from_its_level_on() -> None:
    with Node(extra=["--log-level=debug"]) as node:
        with Client(node.http) as client:
            wrong = "Content-MD5: AAAAAAAAAAAAAAAAAAAAAA=="
            client.request(put("/dev1/test-write/test-md5", b"x", wrong))
        node.wait_for_log("tries a wrong Content-MD5 on /dev1/test-write/test-md5$")


def test_log_of_text_loads_no_library_for_json() -> None:
    code = "import sys; from mogstored import startup; print('pythonjsonlogger' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("name", ["mogstored", "mogpoll"])
def test_debug_is_off(
    logger: logging.Logger, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    log.open_log()
    logging.getLogger(name).debug("a client went away")
    logging.getLogger(name).info("news")
    assert re.fullmatch(r"mogstored\[\d+\]: news\n", capfd.readouterr().err)


def test_message_that_cannot_be_made(
    logger: logging.Logger, capfd: pytest.CaptureFixture[str]
) -> None:
    log.open_log()
    logger.info("%d clients", "no")

    class Greedy:
        def __str__(self) -> str:
            raise MemoryError

    logger.info("%s", Greedy())
    logger.info("news")
    shown = [line.partition(": ")[2] for line in capfd.readouterr().err.splitlines()]
    assert shown[0].startswith("cannot format a message: %d clients: ")
    assert shown[1:] == [log.LOSS % 1, "news"]


def test_uncaught_exceptions_are_logged(
    logger: logging.Logger, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interpreter would print them, and block on a full stderr."""
    for module, name in ((threading, "excepthook"), (sys, "unraisablehook")):
        monkeypatch.setattr(module, name, getattr(module, name))
    log.open_log()
    log.log_uncaught()

    class Failing:
        def __del__(self) -> None:
            raise ValueError("in a finalizer")

    def fail() -> None:
        raise ValueError("in a thread")

    thread = threading.Thread(target=fail, name="failing")
    thread.start()
    join(thread)
    Failing()
    shown = capfd.readouterr().err
    assert re.search(r"^mogstored\[\d+\]: thread failing failed\nTraceback", shown)
    assert "ValueError: in a thread" in shown
    assert "ValueError: in a finalizer" in shown


@pytest.mark.parametrize(("module", "name"), [(threading, "excepthook"), (sys, "unraisablehook")])
def test_uncaught_exception_that_cannot_be_logged_is_dropped(
    logger: logging.Logger, monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str
) -> None:
    """The interpreter would print the exception of its hook, and block on a full stderr."""
    for each, hook in ((threading, "excepthook"), (sys, "unraisablehook")):
        monkeypatch.setattr(each, hook, getattr(each, hook))
    log.log_uncaught()
    asked: list[str] = []

    def lack_memory(message: str, *_: object, **_named: object) -> None:
        asked.append(message)
        raise MemoryError

    for level in ("critical", "error"):
        monkeypatch.setattr(logger, level, lack_memory)
    uncaught = SimpleNamespace(
        exc_type=ValueError, exc_value=None, exc_traceback=None, thread=None, err_msg=None
    )
    getattr(module, name)(uncaught)
    assert len(asked) == 1


def test_json_keeps_a_traceback_on_one_line(
    logger: logging.Logger, capfd: pytest.CaptureFixture[str]
) -> None:
    log.open_log(format_name="json")
    try:
        raise ValueError("bad")
    except ValueError:
        logger.exception("it failed")
    (line,) = capfd.readouterr().err.splitlines()
    found = json.loads(line)
    assert found["level"] == "error"
    assert found["message"].startswith("it failed\nTraceback")
    assert "ValueError: bad" in found["message"]


# Not UTF-8, and two lines.
ODD = os.fsdecode(b"data\xe9\n")
SHOWN = r"data\xe9\n"


@pytest.mark.parametrize("format_name", ["text", "json"])
def test_syslog_gets_names_that_are_not_utf8(
    syslog: socket.socket, logger: logging.Logger, format_name: str
) -> None:
    log.open_log(to_syslog=True, format_name=format_name, syslog_socket=syslog.getsockname())
    logger.error("cannot read %s", ODD)
    message = syslog.recv(1000).decode().partition(": ")[2].rstrip("\0")
    if format_name == "json":
        message = json.loads(message)["message"]
    assert message == f"cannot read {SHOWN}"


def test_traceback_keeps_its_lines(
    logger: logging.Logger, capfd: pytest.CaptureFixture[str]
) -> None:
    log.open_log()
    try:
        raise ValueError(ODD + "2")
    except ValueError:
        logger.exception("it failed for %s", ODD)
    first, *others = capfd.readouterr().err.splitlines()
    assert first.endswith(f"it failed for {SHOWN}")
    assert others[0].startswith("Traceback")
    assert others[-2:] == [r"ValueError: data\xe9", "2"]
