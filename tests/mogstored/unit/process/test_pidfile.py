"""Pidfiles: owned by a live process, written and removed by their owner."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from mogstored.config import ConfigError
from mogstored.process.supervision.pidfile import Pidfile, PidfileInUseError, find_running
from tests.support.descriptors import open_numbers
from tests.support.processes import bystander

OWN = f"{os.getpid()}\n"


@pytest.fixture
def other() -> Iterator[int]:
    """The number of a live process that is not this one."""
    # Its last argument makes it look like a node.
    command = [sys.executable, "-c", "import time; time.sleep(600)", "cmogstored"]
    with bystander(*command) as process:
        yield process.pid


@pytest.fixture
def gone() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pid"


def committed(path: Path) -> Pidfile:
    pidfile = Pidfile(str(path))
    pidfile.prepare()
    pidfile.commit()
    return pidfile


def old(path: Path) -> Path:
    return path.with_name(path.name + ".oldbin")


def test_life_of_a_pidfile(path: Path) -> None:
    pidfile = Pidfile(str(path))
    pidfile.prepare()
    assert path.read_text() == ""
    pidfile.commit()
    assert path.read_text() == OWN
    pidfile.release()
    assert not path.exists()


def test_mode_is_left_to_the_umask(path: Path) -> None:
    before = os.umask(0o027)
    try:
        committed(path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"garbage",
        b"12 34\n",
        b"-1\n",
        b"0\n",
        b"1x\n",
        b"\0" * 8,
        b"\xff",
        b"9999999999\n",
        b"9" * 30,
        b"4" * 100_000,
    ],
)
def test_what_names_no_other_process_is_taken_over_and_replaced(
    path: Path, content: bytes
) -> None:
    path.write_bytes(content)
    pidfile = committed(path)
    assert path.read_text() == OWN
    pidfile.release()
    assert not path.exists()


def test_own_number_is_a_left_over(path: Path) -> None:
    path.write_text(OWN)
    committed(path)
    assert path.read_text() == OWN


def test_number_of_a_process_that_has_ended_is_taken_over(path: Path, gone: int) -> None:
    path.write_text(f"{gone}\n")
    committed(path)
    assert path.read_text() == OWN


@pytest.mark.parametrize("form", ["{}\n", "{}", " {} \n\n"])
def test_a_live_process_keeps_its_file(path: Path, other: int, form: str) -> None:
    content = form.format(other)
    path.write_text(content)
    words = rf"^already running on PID: {other} \(.*cmogstored\), as pidfile {path} says: stop"
    with pytest.raises(ConfigError, match=words) as caught:
        Pidfile(str(path)).prepare()
    assert caught.value.exit_status == 1
    assert path.read_text() == content


def test_a_process_that_is_no_node_has_only_got_the_number(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with bystander() as process:
        path.write_text(f"{process.pid}\n")
        committed(path)
    assert path.read_text() == OWN
    assert f"pidfile {path} is stale: PID {process.pid} (sleep 600) is not a node" in caplog.text


def test_a_process_that_cannot_be_seen_may_be_a_node(
    path: Path, other: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(pid: int) -> None:
        raise psutil.AccessDenied(pid)

    monkeypatch.setattr(psutil, "Process", refuse)
    path.write_text(f"{other}\n")
    with pytest.raises(ConfigError, match=f"already running on PID: {other}, as pidfile"):
        Pidfile(str(path)).prepare()


def test_process_of_another_user_is_alive(
    path: Path, other: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    path.write_text(f"{other}\n")
    with pytest.raises(ConfigError, match=f"already running on PID: {other}"):
        Pidfile(str(path)).prepare()


@pytest.mark.parametrize(
    ("name", "reason"),
    [("missing/pid", "No such file"), (".", "Is a directory"), ("fifo", "Illegal seek")],
)
def test_file_that_cannot_be_had(tmp_path: Path, name: str, reason: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ConfigError, match=reason) as caught:
        Pidfile(str(tmp_path / name)).prepare()
    assert str(tmp_path / name) in str(caught.value)


def test_a_start_given_up_removes_only_what_it_made(path: Path) -> None:
    pidfile = Pidfile(str(path))
    pidfile.prepare()
    pidfile.release()
    assert not path.exists()
    path.write_text("garbage")
    pidfile = Pidfile(str(path))
    pidfile.prepare()
    pidfile.release()
    assert path.read_text() == "garbage"


def test_commit_that_fails_is_logged_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    pidfile = Pidfile("/dev/null")
    pidfile.prepare()
    with caplog.at_level("ERROR", "mogstored"):
        pidfile.commit()
    pidfile.release()
    assert "cannot write pidfile /dev/null" in caplog.text
    assert Path("/dev/null").exists()


def test_another_process_does_not_remove_the_file(path: Path, other: int) -> None:
    pidfile = committed(path)
    path.write_text(f"{other}\n")
    pidfile.release()
    assert path.read_text() == f"{other}\n"


def test_release_of_a_file_that_is_gone(path: Path) -> None:
    pidfile = committed(path)
    path.unlink()
    pidfile.release()
    pidfile.release()


def test_descriptors_are_closed(path: Path) -> None:
    before = open_numbers()
    pidfile = committed(path)
    pidfile.rename_for_upgrade()
    pidfile.restore()
    pidfile.release()
    assert open_numbers() == before


# Upgrade


def test_upgrade_makes_room_and_the_old_process_goes_first(path: Path, other: int) -> None:
    pidfile = committed(path)
    pidfile.rename_for_upgrade()
    assert not path.exists()
    assert old(path).read_text() == OWN
    path.write_text(f"{other}\n")
    pidfile.release()
    assert path.read_text() == f"{other}\n"
    assert not old(path).exists()


@pytest.mark.parametrize("content", [None, "", "garbage"])
def test_upgrade_that_failed_is_taken_back(path: Path, content: str | None) -> None:
    pidfile = committed(path)
    pidfile.rename_for_upgrade()
    if content is not None:
        path.write_text(content)
    assert pidfile.restore() is True
    assert path.read_text() == OWN
    assert not old(path).exists()


def test_the_new_process_has_to_be_gone_before(path: Path, other: int, gone: int) -> None:
    pidfile = committed(path)
    pidfile.rename_for_upgrade()
    path.write_text(f"{other}\n")
    assert pidfile.restore() is False
    assert path.read_text() == f"{other}\n"
    assert old(path).read_text() == OWN
    path.write_text(f"{gone}\n")
    assert pidfile.restore() is True
    assert path.read_text() == OWN


def test_upgrade_again_after_one_that_failed(path: Path) -> None:
    pidfile = committed(path)
    for _ in range(2):
        pidfile.rename_for_upgrade()
        assert old(path).read_text() == OWN
        assert pidfile.restore() is True
    assert path.read_text() == OWN


@pytest.mark.parametrize("name", ["pid", "pid.oldbin"])
def test_no_upgrade_while_a_file_is_another_ones(path: Path, other: int, name: str) -> None:
    pidfile = committed(path)
    path.with_name(name).write_text(f"{other}\n")
    before = {file.name: file.read_text() for file in path.parent.iterdir()}
    with pytest.raises(PidfileInUseError, match=str(other)):
        pidfile.rename_for_upgrade()
    assert {file.name: file.read_text() for file in path.parent.iterdir()} == before


def test_left_over_oldbin_is_replaced(path: Path, gone: int) -> None:
    pidfile = committed(path)
    old(path).write_text(f"{gone}\n")
    pidfile.rename_for_upgrade()
    assert old(path).read_text() == OWN


def test_a_missing_pidfile_does_not_stop_an_upgrade(path: Path) -> None:
    pidfile = committed(path)
    path.unlink()
    pidfile.rename_for_upgrade()
    assert old(path).read_text() == OWN


def test_pidfile_that_cannot_be_removed_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pidfile = Pidfile(str(tmp_path / "pid"))
    pidfile.prepare()
    pidfile.commit()

    def refuse(_path: str) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "unlink", refuse)
    pidfile.release()
    monkeypatch.undo()
    assert caplog.messages == [
        f"cannot remove pidfile {tmp_path}/pid: Read-only file system (EROFS)"
    ]


# Before a start


def test_node_that_is_running_is_found_and_nothing_else(path: Path, other: int, gone: int) -> None:
    assert find_running(str(path)) is None
    assert not path.exists()
    for content, found in (("", None), (OWN, None), (f"{gone}\n", None), (f"{other}\n", other)):
        path.write_text(content)
        assert find_running(str(path)) == found
        assert path.read_text() == content
    with bystander() as process:
        path.write_text(f"{process.pid}\n")
        assert find_running(str(path)) is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing/pid", "No such file or directory (ENOENT)"),
        (".", "Is a directory (EISDIR)"),
        ("closed/pid", "its directory is not writable (EACCES)"),
    ],
)
def test_file_that_could_not_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, reason: str
) -> None:
    (tmp_path / "closed").mkdir()
    asked: list[tuple[str, int]] = []

    def access(path: str, mode: int) -> bool:
        asked.append((path, mode))
        return False

    monkeypatch.setattr(os, "access", access)
    with pytest.raises(ConfigError) as caught:
        find_running(str(tmp_path / name))
    assert str(caught.value) == f"cannot open pidfile {tmp_path / name}: {reason}"
    if name == "closed/pid":
        assert asked == [(str(tmp_path / "closed"), os.W_OK | os.X_OK)]


def test_only_a_refusal_for_its_owner_stops_the_restoration(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pidfile = committed(path)
    pidfile.rename_for_upgrade()
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        pidfile.restore()
    assert old(path).read_text() == OWN
