"""The text of config files: lines, comments, line ends, and errors with their line."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mogstored.config.diagnostics import Diagnostics
from mogstored.config.file import Line, parse_file, split_line
from mogstored.config.settings import KEYS
from mogstored.config.source import Source


def read(content: bytes | str) -> tuple[Source, list[str]]:
    """Parse the content as a file named node.conf; return its diagnostics, too."""
    diagnostics = Diagnostics()
    if isinstance(content, str):
        content = content.encode()
    return parse_file(content, "node.conf", diagnostics), diagnostics.lines()


def value(source: Source, name: str) -> Any:
    said = source.get(name)
    assert said is not None
    return said.value


def read_well(content: bytes | str) -> Source:
    settings, lines = read(content)
    assert lines == []
    return settings


def the_error(content: bytes | str) -> str:
    diagnostics = Diagnostics()
    parse_file(content.encode() if isinstance(content, str) else content, "node.conf", diagnostics)
    assert (diagnostics.errors, diagnostics.warnings) == (1, 0), diagnostics.lines()
    return diagnostics.lines()[0]


def the_warning(content: str) -> str:
    diagnostics = Diagnostics()
    parse_file(content.encode(), "node.conf", diagnostics)
    assert (diagnostics.errors, diagnostics.warnings) == (0, 1), diagnostics.lines()
    return diagnostics.lines()[0]


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
    assert (value(settings, "docroot"), value(settings, "maxconns")) == ("/x", 12)


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
    assert settings.name == "node.conf"
    assert value(settings, "daemonize") is True
    assert value(settings, "httplisten")[:2] == ("0.0.0.0", 7500)
    assert value(settings, "httpgetlisten")[:2] == ("0.0.0.0", 7502)
    assert value(settings, "mgmtlisten")[:2] == ("0.0.0.0", 7501)
    assert value(settings, "pidfile") == "/run/mogstored.pid"
    assert value(settings, "require_mount") is True
    assert value(settings, "server") is False
    assert value(settings, "iostat") is False


def test_the_last_of_two_counts() -> None:
    settings, lines = read("docroot = /first\nmaxconns = 1\ndocroot = /last\n")
    assert settings.get("docroot") == ("/last", "node.conf:3: docroot = /last")
    assert lines == [
        "WARNING: node.conf:3: docroot was set in line 1 already; the last one counts"
    ]


def test_a_good_line_after_a_bad_one_does_not_hide_the_error() -> None:
    settings, lines = read("maxconns = x\nmaxconns = 5\n")
    error, warning = lines
    assert error.startswith("node.conf:1: maxconns = x: ")
    assert warning.startswith("WARNING: node.conf:2: maxconns was set in line 1 already")
    assert settings.invalid == set()


@pytest.mark.parametrize("key", ["httplisten", "httpgetlisten", "mgmtlisten"])
def test_a_port_alone_after_a_full_address_takes_nothing_with_it(key: str) -> None:
    settings, _ = read(f"{key} = 127.0.0.1:7500\n{key} = 7600\ndocroot = /x\n")
    assert value(settings, key)[:2] == ("0.0.0.0", 7600)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("daemonize", True),
        *((f"daemonize = {word}", True) for word in ("1", "yes", "true", "on")),
        *((f"daemonize = {word}", False) for word in ("0", "no", "false", "off")),
    ],
)
def test_daemonize(line: str, expected: bool) -> None:
    assert value(read_well(line), "daemonize") is expected


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
    assert read("server = perlbal")[0].get("server") == (True, "node.conf:1: server = perlbal")


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
    assert read(line)[0] == Source("node.conf")


@pytest.mark.parametrize("word", ["/usr/bin/iostat", "-dx 1 30"])
def test_iostat_accepts_anything(word: str) -> None:
    settings, lines = read(f"iostat = {word}\n")
    assert settings.get("iostat") is None
    assert len(lines) == 1
    assert lines[0].startswith(f"WARNING: node.conf:1: iostat = {word}")


def test_file_names_that_are_not_text_survive() -> None:
    settings = read_well(b"docroot = /srv/\xff\xfe\n")
    assert os.fsencode(value(settings, "docroot")) == b"/srv/\xff\xfe"


def test_only_blanks_and_tabs_separate_words() -> None:
    settings = read_well("docroot = /srv/a\u00a0b\x0bc")
    assert value(settings, "docroot") == "/srv/a\u00a0b\x0bc"


def test_nul_in_a_comment_is_allowed() -> None:
    assert value(read_well(b"# \0\nmaxconns = 5 # \0\n"), "maxconns") == 5


@pytest.mark.parametrize("content", [b"", b"# what it is\n"])
def test_byte_order_mark_of_utf8_is_not_a_part_of_the_first_key(content: bytes) -> None:
    settings = read_well(b"\xef\xbb\xbf" + content + b"httplisten = 7500\n")
    assert value(settings, "httplisten")[:2] == ("0.0.0.0", 7500)


@pytest.mark.parametrize(
    ("coding", "name"),
    [
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16"),
        ("utf-16-be", "UTF-16"),
        ("utf-32", "UTF-32"),
    ],
)
def test_file_in_another_coding_is_refused_once(coding: str, name: str) -> None:
    content = "httplisten = 7500\ndocroot = /x\n".encode(coding)
    settings, lines = read(content)
    assert lines == [f"node.conf: the text is {name}; save it as UTF-8"]
    # The value is wrong, not missing.
    assert settings.listens()


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("htplisten", "httplisten"),
        ("HTTPListen", "httplisten"),
        ("doc_root", "docroot"),
        ("max_conns", "maxconns"),
        ("stop-timeout", "stop_timeout"),
        ("requiremount", "require_mount"),
    ],
)
def test_key_that_is_nearly_one(word: str, meant: str) -> None:
    warning = the_warning(f"{word} = x")
    assert warning == (
        f"WARNING: node.conf:1: unknown key '{word}' (did you mean '{meant}'?), ignored"
    )


def test_key_that_resembles_none_gets_no_suggestion() -> None:
    assert the_warning("colour = red").endswith("unknown key 'colour', ignored")


def _is_text(content: bytes) -> bool:
    return not content.startswith((b"\xff\xfe", b"\xfe\xff")) and content[:2].count(0) != 1


@given(st.binary().filter(_is_text))
def test_any_file_is_read_to_its_end(content: bytes) -> None:
    settings, _ = read(content + b"\nmaxconns = 77")
    assert value(settings, "maxconns") == 77


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
    assert read_well(line) == Source("node.conf")
