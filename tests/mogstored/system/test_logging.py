"""The log of a node, as text, as JSON, and by way of syslog."""

from __future__ import annotations

import json
import logging
import re
import socket
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from mogstored import log
from mogstored.compiled import is_compiled
from tests.support.daemon import Node
from tests.support.http import Client, compose

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TEXT = re.compile(r"mogstored\[(\d+)\]: (.+)")
FIELDS = ["time", "ident", "pid", "level", "message"]
# Facility daemon is 3, times 8; the levels are those of syslog.h.
DAEMON = 3 << 3


def serve_and_stop(node: Node) -> None:
    with Client(node.http) as client:
        assert client.request(compose("GET", "/")).status == 200
    assert node.stop() == 0


@pytest.mark.parametrize("extra", [[], ["--worker-processes=2"]], ids=["single", "workers"])
def test_each_line_tells_who_wrote_it(extra: list[str]) -> None:
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
    first = ["compiled by mypyc"] if is_compiled() else []
    assert messages == [*first, f"listening for http on 127.0.0.1:{port}", "ready", "stopping"]


@pytest.mark.parametrize("extra", [[], ["--worker-processes=2"]], ids=["single", "workers"])
def test_json_has_the_same_fields_one_object_a_line(extra: list[str]) -> None:
    with Node(extra=["--log-format=json", *extra]) as node:
        serve_and_stop(node)
        lines = [json.loads(line) for line in node.stderr_lines()]
    for line in lines:
        assert list(line) == FIELDS
        assert line["ident"] == "mogstored"
        assert line["pid"] == node.pid
        # Nothing is worth a warning.
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
        sock.settimeout(10.0)
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


def test_syslog_that_comes_back_is_used_again(
    tmp_path: Path, logger: logging.Logger, capfd: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "log")
    log.open_log(to_syslog=True, syslog_socket=path)
    logger.info("nobody hears this")
    for _ in range(2):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.bind(path)
            sock.settimeout(10.0)
            logger.info("hello")
            assert sock.recv(1000).endswith(b"hello")
        (tmp_path / "log").unlink()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["mogstored", "mogpoll"])
def test_debug_is_off(
    logger: logging.Logger, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    log.open_log()
    logging.getLogger(name).debug("a client went away")
    logging.getLogger(name).info("news")
    assert re.fullmatch(r"mogstored\[\d+\]: news\n", capfd.readouterr().err)


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
