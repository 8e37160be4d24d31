"""The command line: spelling, order, options that print, and errors."""

from __future__ import annotations

import pytest

import mogstored
from mogstored.cli import complain
from mogstored.config import Option, command_line
from mogstored.config.settings import SETTINGS


def parse(*arguments: str) -> list[Option]:
    return list(command_line.parse("node", arguments).options)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], []),
        (["--config=/f"], [("config", "/f")]),
        (["--config", "/f"], [("config", "/f")]),
        (["-c", "/f"], [("config", "/f")]),
        (["-c/f"], [("config", "/f")]),
        (["-c", "/1", "--config=/2", "-c/3"], [("config", f"/{n}") for n in "123"]),
        (["-d"], [("daemonize", "yes")]),
        (["--daemonize"], [("daemonize", "yes")]),
        (["-c", "/f", "--daemon"], [("config", "/f"), ("daemonize", "yes")]),
        (["-sd"], [("skipconfig", "yes"), ("daemonize", "yes")]),
        (["-s"], [("skipconfig", "yes")]),
        (["--skipconfig"], [("skipconfig", "yes")]),
        (["--multi"], [("multi", "yes")]),
        (["--doc=/x"], [("docroot", "/x")]),
        (["--doc", "/x"], [("docroot", "/x")]),
        (["--httpl=1", "--httpg=2", "--mg=3"], [
            ("httplisten", "1"), ("httpgetlisten", "2"), ("mgmtlisten", "3")
        ]),
        (["--max=1", "--worker=2"], [("maxconns", "1"), ("worker-processes", "2")]),
        (["--pid", "/p"], [("pidfile", "/p")]),
        (["--server=none"], [("server", "none")]),
        (["--server", "none", "--serverbin=/x"], [("server", "none"), ("serverbin", "/x")]),
        (["--iostat"], [("iostat", "yes")]),
        (["--no-iostat"], [("iostat", "no")]),
        (["--log-format=json"], [("log-format", "json")]),
        (["--aio-threads=5"], [("aio-threads", "5")]),
        (["--require-mount"], [("require-mount", "yes")]),
        (["--maxconns", "-5"], [("maxconns", "-5")]),
        (["--maxconns="], [("maxconns", "")]),
        (["--docroot=a=b"], [("docroot", "a=b")]),
        (["--docroot", "a b"], [("docroot", "a b")]),
    ],
)  # fmt: skip
def test_options(arguments: list[str], expected: list[tuple[str, str]]) -> None:
    assert parse(*arguments) == expected


def test_check_config_is_no_setting() -> None:
    given = command_line.parse("node", ["--check-config", "--docroot=/x"])
    assert given.options == (("docroot", "/x"),)
    assert given.check_config
    assert not command_line.parse("node", []).check_config


def test_strict_is_no_setting() -> None:
    given = command_line.parse("node", ["--strict", "--docroot=/x"])
    assert given.options == (("docroot", "/x"),)
    assert given.is_strict
    assert not command_line.parse("node", []).is_strict


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--nonsense"], "--nonsense"),
        (["--nonsense=5"], "--nonsense"),
        (["-x"], "-x"),
        (["-h"], "-h"),
        (["--docroot"], "--docroot"),
        (["--maxconns"], "--maxconns"),
        (["--config"], "--config"),
        (["-c"], "-c"),
        (["--pidfile", "--multi"], "--pidfile"),
        (["stray"], "stray"),
        (["--multi", "stray"], "stray"),
        (["--http=7500"], "--http"),
        (["--multi=yes"], "--multi"),
        (["-config", "/f"], "-config"),
        (["-config=/f"], "-config"),
        (["-docroot=/f"], "-docroot"),
        (["-daemonize"], "-daemonize"),
        (["-maxconns=5"], "-maxconns"),
    ],
)
def test_what_cannot_be_parsed(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    complaint = complaint_about(arguments, capsys)
    assert complaint.count("\n") == 0
    assert named in complaint
    assert complaint.endswith("; try 'node --help'")


@pytest.mark.parametrize(
    ("argument", "complaint"),
    [
        ("c", "unrecognized arguments: c"),
        ("docroot", "unrecognized arguments: docroot"),
        ("-docroot", "unknown option -docroot: long options have two dashes"),
        ("-docroot=/x", "unknown option -docroot: long options have two dashes"),
    ],
)
def test_dashes_that_are_missing(
    argument: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert complaint_about([argument], capsys) == f"{complaint}; try 'node --help'"


def complaint_about(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return what is said: at once, or, of what is no option at all, with all other faults."""
    status = None
    try:
        complaint = command_line.parse("node", arguments).complaint
    except SystemExit as stopped:
        status = stopped.code
    if status is None:
        return complaint
    assert status == 64
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("node: ")
    return printed.err.removeprefix("node: ").removesuffix("\n")


@pytest.mark.parametrize(
    ("argument", "meant"),
    [
        ("--docrot=/x", "--docroot"),
        ("--stop_timeout=5", "--stop-timeout"),
        ("--HTTPlisten=7500", "--httplisten"),
    ],
)
def test_option_that_is_nearly_one(
    argument: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # Whatever else is wrong, and each of several.
    complaint = complaint_about(["--nonsense", argument, argument, "--docroot=/x"], capsys)
    assert complaint.count(f"{argument} (did you mean '{meant}'?)") == 2
    assert complaint.startswith("unrecognized arguments: --nonsense ")


def printed_by(argument: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stopped:
        parse(argument)
    assert not stopped.value.code
    printed = capsys.readouterr()
    assert printed.err == ""
    return printed.out


@pytest.mark.parametrize("argument", ["-V", "--version", "--vers"])
def test_version(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed_by(argument, capsys) == f"mogstored {mogstored.__version__}\n"


@pytest.mark.parametrize("argument", ["-?", "--help"])
def test_help_shows_all_but_the_hidden(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = printed_by(argument, capsys)
    for option in ("--docroot", "--config", "-c", "--multi", "--check-config", "--no-iostat"):
        assert f"{option} " in shown or f"{option}," in shown
    assert "--server " not in shown


def test_help_has_the_default_of_each_setting() -> None:
    lines = {setting.name: command_line.help_text(setting) for setting in SETTINGS}
    assert lines["error_write_limit"].endswith("within error_window; 0: go on (default: 20)")
    assert lines["min_free"].endswith(" free (default: files are stored until a device is full)")
    # Of a switch, whose name says it, and of what has none.
    assert [name for name in ("multi", "pidfile") if "default" in lines[name]] == []


def test_usage_is_shorter_than_help(capsys: pytest.CaptureFixture[str]) -> None:
    short = printed_by("--usage", capsys)
    assert "--docroot DIR" in short
    assert len(short) < len(printed_by("--help", capsys)) / 2


def test_a_complaint_is_one_line_whatever_it_quotes(capfd: pytest.CaptureFixture[str]) -> None:
    complain("node", ["--docroot=/a\nb\x1b[2J\udcff: \u00fcbel"])
    printed = capfd.readouterr().err
    assert printed == "node: --docroot=/a\\nb\\x1b[2J\\xff: \u00fcbel\n"
