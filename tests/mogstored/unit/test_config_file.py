"""The text of config files: lines, comments, line ends, and what is wrong in which line."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mogstored.config.config_file import Line, parse, split_line
from mogstored.config.findings import Findings
from mogstored.config.settings import KEYS, Settings


def read(content: bytes | str) -> tuple[Settings, list[str]]:
    """Parse the content as that of a file called node.conf; return all findings, too."""
    findings = Findings()
    if isinstance(content, str):
        content = content.encode()
    return parse(content, "node.conf", findings), findings.lines()


def read_well(content: bytes | str) -> Settings:
    settings, lines = read(content)
    assert lines == []
    return settings


def the_error(content: bytes | str) -> str:
    findings = Findings()
    parse(content.encode() if isinstance(content, str) else content, "node.conf", findings)
    assert (findings.errors, findings.warnings) == (1, 0), findings.lines()
    return findings.lines()[0]


def the_warning(content: str) -> str:
    findings = Findings()
    parse(content.encode(), "node.conf", findings)
    assert (findings.errors, findings.warnings) == (0, 1), findings.lines()
    return findings.lines()[0]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", None),
        (" \t ", None),
        ("\r", None),
        ("# docroot = /x", None),
        ("   # docroot = /x", None),
        ("docroot=/x", Line("docroot", "/x")),
        ("docroot = /x", Line("docroot", "/x")),
        ("\t docroot \t = \t /x \t", Line("docroot", "/x")),
        ("docroot = /x # where it is", Line("docroot", "/x")),
        ("docroot = /x#y", Line("docroot", "/x")),
        ("docroot = /x\r", Line("docroot", "/x")),
        ("docroot = /a=b", Line("docroot", "/a=b")),
        ("docroot = a b", Line("docroot", "a b")),
        ("docroot =", Line("docroot", "")),
        ("daemonize", Line("daemonize", None)),
        ("daemonize # now", Line("daemonize", None)),
        ("= x", Line("", "x")),
    ],
)
def test_line(text: str, line: Line | None) -> None:
    assert split_line(text) == line


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_line_ends(end: str, last: bool) -> None:
    settings = read_well(f"docroot = /x{end}maxconns = 12" + (end if last else ""))
    assert settings.docroot is not None
    assert settings.maxconns is not None
    assert (settings.docroot.value, settings.maxconns.value) == ("/x", 12)


def test_every_key_of_the_example() -> None:
    settings = read_well(
        "# a node\n"
        "daemonize\n"
        "maxconns = 10000\n"
        "httplisten = 0.0.0.0:7500\n"
        "httpgetlisten = 7502\n"
        "mgmtlisten = :7501\n"
        "docroot = /var/mogdata\n"
        "pidfile = /run/mogstored.pid\n"
        "require_mount = yes\n"
        "server = none\n"
        "skipconfig\n"
        "skipconfig = 1\n"
        "iostat = 0\n"
    )
    assert settings.source == "node.conf"
    assert settings.daemonize is not None
    assert settings.daemonize.value is True
    assert settings.httplisten is not None
    assert settings.httplisten.value[:2] == ("0.0.0.0", 7500)
    assert settings.httpgetlisten is not None
    assert settings.httpgetlisten.value[:2] == ("0.0.0.0", 7502)
    assert settings.mgmtlisten is not None
    assert settings.mgmtlisten.value[:2] == ("0.0.0.0", 7501)
    assert settings.pidfile is not None
    assert settings.pidfile.value == "/run/mogstored.pid"
    assert settings.require_mount is not None
    assert settings.require_mount.value is True
    assert settings.serves_http is not None
    assert settings.serves_http.value is False
    assert settings.iostat is not None
    assert settings.iostat.value is False


def test_the_last_of_two_counts() -> None:
    settings = read_well("docroot = /first\nmaxconns = 1\ndocroot = /last\n")
    assert settings.docroot == ("/last", "node.conf:3: docroot = /last")


def test_a_good_line_after_a_bad_one_does_not_hide_the_error() -> None:
    settings, lines = read("maxconns = x\nmaxconns = 5\n")
    assert lines == ["node.conf:1: maxconns = x: not a number, because of 'x'"]
    assert settings.maxconns is not None
    assert settings.spoiled == set()


@pytest.mark.parametrize("key", ["httplisten", "httpgetlisten", "mgmtlisten"])
def test_a_port_alone_after_a_full_address_takes_nothing_with_it(key: str) -> None:
    settings = read_well(f"{key} = 127.0.0.1:7500\n{key} = 7600\ndocroot = /x\n")
    assert getattr(settings, key).value[:2] == ("0.0.0.0", 7600)
    assert settings.docroot is not None


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("daemonize", True),
        *((f"daemonize = {word}", True) for word in ("1", "yes", "true", "on")),
        *((f"daemonize = {word}", False) for word in ("0", "no", "false", "off")),
        ("daemonize\ndaemonize = no", False),
    ],
)
def test_daemonize(line: str, value: bool) -> None:
    settings = read_well(line)
    assert settings.daemonize is not None
    assert settings.daemonize.value is value


@pytest.mark.parametrize(
    ("line", "facts"),
    [
        ("httplisten = 666.0.0.1:7500", ["httplisten", "666"]),
        ("httplisten = foo:1", ["httplisten", "foo:1"]),
        ("mgmtlisten = localhost:7501", ["mgmtlisten", "localhost:7501"]),
        ("httpgetlisten = 1.2.3.4:http", ["httpgetlisten", "1.2.3.4:http"]),
        ("httplisten = 1.2.3.4:65536", ["httplisten", "65536"]),
        ("httplisten = 1.2.3.4:", ["httplisten", "1.2.3.4:"]),
        ("httplisten = 1.2.3.4", ["httplisten", "1.2.3.4"]),
        ("httplisten = ::1:7500", ["httplisten", "::1:7500"]),
        ("httplisten = [::1:7500", ["httplisten", "[::1:7500"]),
        ("httplisten = -1", ["httplisten", "-1"]),
        ("maxconns = abc", ["maxconns = abc", "'a'"]),
        ("maxconns = 12x", ["maxconns = 12x", "'x'"]),
        ("maxconns = -1", ["maxconns = -1", "'-'"]),
        (f"maxconns = {2**64}", ["maxconns", str(2**64)]),
        ("daemonize = maybe", ["daemonize = maybe", "yes", "no"]),
        ("require_mount = perhaps", ["require_mount = perhaps", "yes", "no"]),
        ("docroot =", ["docroot", "no value"]),
        ("docroot = # /var/mogdata", ["docroot", "no value"]),
        ("docroot = /a b", ["docroot", "'/a b'", "one word"]),
        ("maxconns = 1 2", ["maxconns", "'1 2'", "one word"]),
        ("docroot = /a\0b", ["docroot", "NUL"]),
        ("pidfile = \0", ["pidfile", "NUL"]),
        ("httplisten = 7500\0", ["httplisten", "NUL"]),
        ("skipconfig = \0", ["skipconfig", "NUL"]),
    ],
)
def test_error_names_file_line_and_value(line: str, facts: list[str]) -> None:
    error = the_error(f"# first\n\n{line}\n")
    assert error.startswith("node.conf:3: ")
    for fact in facts:
        assert fact in error


@pytest.mark.parametrize("word", ["apache", "lighttpd", "nginx", "Perlbal", "internal"])
def test_servers_that_are_not_run(word: str) -> None:
    error = the_error(f"\nserver = {word}")
    assert error.startswith(f"E: 'server = {word}' not understood by cmogstored")
    assert "node.conf:2" in error


def test_perlbal_is_answered_for_with_a_warning() -> None:
    warning = the_warning("server = perlbal")
    assert warning.startswith("W: using internal HTTP for 'server = perlbal'")
    assert read("server = perlbal")[0].serves_http == (True, "node.conf:1: server = perlbal")


def test_serverbin_is_ignored_with_a_warning() -> None:
    warning = the_warning("serverbin = /usr/sbin/nginx")
    assert warning.startswith("WARNING: node.conf:1: ")
    assert "/usr/sbin/nginx" in warning


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("max_conns = 12", "max_conns"),
        ("Docroot = /x", "Docroot"),
        ("colour", "colour"),
        ("[section]", "[section]"),
        ("colour blue", "colour"),
        ("a b = c", "a b"),
        ("= c", ""),
        ("\x1c", "\x1c"),
        ("disk\0 = x", "disk"),
    ],
)
def test_unknown_key_is_ignored_with_a_warning(line: str, key: str) -> None:
    warning = the_warning(f"# one\n{line}\n")
    assert warning.startswith("WARNING: node.conf:2: unknown key ")
    assert f"'{key}" in warning


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("docroot", "docroot"),
        ("docroot /var/mogdata", "docroot"),
        ("daemonize yes", "daemonize"),
        ("maxconns", "maxconns"),
        ("server", "server"),
    ],
)
def test_line_without_equals_sign_is_ignored_with_a_warning(line: str, key: str) -> None:
    warning = the_warning(line)
    assert warning.startswith("WARNING: node.conf:1: ")
    assert f"'{key}'" in warning
    assert "'='" in warning
    assert read(line)[0] == Settings("node.conf")


@pytest.mark.parametrize("word", ["/usr/bin/iostat", "-dx 1 30"])
def test_iostat_accepts_anything(word: str) -> None:
    settings, lines = read(f"iostat = {word}\n")
    assert settings.iostat is None
    assert len(lines) == 1
    assert lines[0].startswith(f"WARNING: node.conf:1: iostat = {word}")


def test_file_names_that_are_not_text_survive() -> None:
    settings = read_well(b"docroot = /srv/\xff\xfe\n")
    assert settings.docroot is not None
    assert os.fsencode(settings.docroot.value) == b"/srv/\xff\xfe"


def test_only_blanks_and_tabs_separate_words() -> None:
    settings = read_well("docroot = /srv/a\u00a0b\x0bc")
    assert settings.docroot is not None
    assert settings.docroot.value == "/srv/a\u00a0b\x0bc"


def test_nul_in_a_comment_is_nobodys_concern() -> None:
    assert read_well(b"# \0\nmaxconns = 5 # \0\n").maxconns == (5, "node.conf:2: maxconns = 5")


@given(st.binary())
def test_any_file_is_read_to_its_end(content: bytes) -> None:
    settings, _ = read(content + b"\nmaxconns = 77")
    assert settings.maxconns is not None
    assert settings.maxconns.value == 77


_BLANKS = st.text(" \t", max_size=3)


@given(
    key=st.sampled_from(sorted(KEYS)),
    value=st.text(st.characters(codec="utf-8", exclude_characters="#\0 \t\r\n"), min_size=1),
    gaps=st.tuples(_BLANKS, _BLANKS, _BLANKS, _BLANKS),
    comment=st.sampled_from(["", "#", "# x = y", "\r"]),
)
def test_blanks_and_comments_do_not_matter(
    key: str, value: str, gaps: tuple[str, str, str, str], comment: str
) -> None:
    first, second, third, last = gaps
    text = f"{first}{key}{second}={third}{value}{last}{comment}"
    assert split_line(text) == Line(key, value)


@pytest.mark.parametrize("line", ["skipconfig = a b", "skipconfig =", "skipconfig = yes"])
def test_skipconfig_accepts_anything(line: str) -> None:
    assert read_well(line) == Settings("node.conf")
