"""Command line and files together: precedence, agreement, and what is forbidden."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from mogstored.config import Config, Option, load
from mogstored.config.settings import BY_NAME
from mogstored.config.values.processes import ProcessCount

ENVIRON = {"PATH": "/usr/bin:/bin"}


class Place:
    """A directory with docroots and config files in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.a, self.b = self._docroot("a"), self._docroot("b")

    def _docroot(self, name: str) -> str:
        (self.path / name).mkdir()
        return str(self.path / name)

    def file(self, name: str, *lines: str) -> str:
        file = self.path / name
        file.write_text("".join(f"{line}\n" for line in lines))
        return f"config={file}"

    def link(self, name: str, target: str) -> str:
        (self.path / name).symlink_to(target)
        return str(self.path / name)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path.resolve())


@pytest.fixture
def unprivileged(place: Place) -> Iterator[None]:
    """Permissions of files count, also for root."""
    if os.geteuid():
        yield
        return
    for path in (place.path, *place.path.iterdir()):
        os.chown(path, 65534, 65534)
    parents = [path for path in place.path.parents if not path.stat().st_mode & 0o001]
    modes = [path.stat().st_mode & 0o7777 for path in parents]
    for path, mode in zip(parents, modes, strict=True):
        path.chmod(mode | 0o011)
    os.seteuid(65534)
    yield
    os.seteuid(0)
    for path, mode in zip(parents, modes, strict=True):
        path.chmod(mode)


def options(*words: str) -> list[Option]:
    return [Option(*word.split("=", 1)) if "=" in word else Option(word, "yes") for word in words]


def load_well(*words: str, environ: Mapping[str, str] = ENVIRON) -> Config:
    config, diagnostics = load(options(*words), environ)
    assert diagnostics.lines() == []
    return config


def start_says(*words: str, environ: Mapping[str, str] = ENVIRON) -> list[str]:
    """Return the output of a start that fails."""
    _, diagnostics = load(options(*words), environ)
    assert diagnostics.errors > 0
    return diagnostics.lines()


def the_error(*words: str) -> str:
    (line,) = start_says(*words)
    return line


def listeners(config: Config) -> Sequence[tuple[str | None, ...]]:
    return [
        tuple(
            address and address.typed
            for address in (service.httplisten, service.httpgetlisten, service.mgmtlisten)
        )
        for service in config.services
    ]


# Listeners


def test_default_listeners(place: Place) -> None:
    assert listeners(load_well(f"docroot={place.a}")) == [("0.0.0.0:7500", None, "0.0.0.0:7501")]


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("httplisten=1", ("1", None, None)),
        ("httpgetlisten=2", (None, "2", None)),
        ("mgmtlisten=3", (None, None, "3")),
    ],
)
@pytest.mark.parametrize("in_file", [True, False])
def test_one_listener_given_leaves_the_others_out(
    place: Place, option: str, expected: tuple[str | None, ...], in_file: bool
) -> None:
    if in_file:
        option = place.file("f", option)
    assert [expected] == listeners(load_well(f"docroot={place.a}", option))


def test_listeners_come_from_both_sides_and_the_command_line_wins(place: Place) -> None:
    file = place.file("f", "httplisten = 1", "httpgetlisten = 2")
    config = load_well(f"docroot={place.a}", file, "httplisten=10", "mgmtlisten=30")
    assert listeners(config) == [("10", "2", "30")]


def test_the_last_of_two_options_counts(place: Place) -> None:
    config = load_well(f"docroot={place.b}", "httplisten=1", f"docroot={place.a}", "httplisten=2")
    assert listeners(config) == [("2", None, None)]
    assert config.services[0].docroot == place.a


@pytest.mark.parametrize("key", ["httplisten", "httpgetlisten", "mgmtlisten"])
@pytest.mark.parametrize(
    "word", ["666.0.0.1:7500", "foo:1", "localhost:7500", "1.2.3.4:http", "1:65536", "", ":"]
)
def test_address_that_is_none_is_named_with_its_option(place: Place, key: str, word: str) -> None:
    assert the_error(f"docroot={place.a}", f"{key}={word}").startswith(f"--{key}={word}: ")


# Docroot and pidfile


def test_docroot_has_its_links_resolved(place: Place) -> None:
    link = place.link("link", place.a)
    assert load_well(f"docroot={link}").services[0].docroot == place.a


def test_docroot_and_source_of_a_file(place: Place) -> None:
    file = place.file("f", f"docroot = {place.a}")
    service = load_well(file).services[0]
    assert (service.docroot, service.source) == (place.a, file.removeprefix("config="))


def test_docroot_given_on_both_sides_may_be_the_same_by_a_link(place: Place) -> None:
    file = place.file("f", f"docroot = {place.link('link', place.a)}")
    assert load_well(f"docroot={place.a}/", file).services[0].docroot == place.a


def test_docroots_that_differ_are_both_named(place: Place) -> None:
    error = the_error(f"docroot={place.a}", place.file("f", f"docroot = {place.b}"))
    assert error.startswith("docroot ")
    assert f"--docroot={place.a}" in error
    assert f"{place.path}/f:1: docroot = {place.b}" in error


@pytest.mark.parametrize(
    ("name", "reason"),
    [("missing", "No such file"), ("file", "Not a directory"), ("loop", "symbolic links")],
)
def test_docroot_must_be_a_directory(place: Place, name: str, reason: str) -> None:
    (place.path / "file").touch()
    (place.path / "loop").symlink_to("loop")
    error = the_error(f"docroot={place.path}/{name}")
    assert error.startswith(f"--docroot={place.path}/{name}: ")
    assert reason in error


@pytest.mark.parametrize("mode", [0o300, 0o600])
@pytest.mark.usefixtures("unprivileged")
def test_docroot_must_be_readable_and_searchable(place: Place, mode: int) -> None:
    docroot = place.path / "a"
    docroot.chmod(mode)
    assert the_error(f"docroot={docroot}") == f"--docroot={docroot}: Permission denied (EACCES)"


def test_docroot_that_is_missing_is_named_with_its_line(place: Place) -> None:
    error = the_error(place.file("f", "", "docroot = /nowhere/at/all"))
    assert f"{place.path}/f:2: docroot = /nowhere/at/all: No such file" in error


def test_an_empty_docroot_is_not_the_current_directory() -> None:
    assert the_error("docroot=").startswith("--docroot=: ")


def test_default_docroot() -> None:
    config, diagnostics = load([], ENVIRON)
    if diagnostics.errors:
        assert "/var/mogdata" in diagnostics.lines()[0]
    else:
        assert config.services[0].docroot == str(Path("/var/mogdata").resolve())


def test_pidfile_of_either_side(place: Place) -> None:
    assert load_well(f"docroot={place.a}", "pidfile=/run/x").pidfile == "/run/x"
    assert load_well(f"docroot={place.a}", place.file("f", "pidfile = /run/x")).pidfile == "/run/x"
    assert load_well(f"docroot={place.a}").pidfile is None


def test_pidfile_that_does_not_exist_may_be_named_by_a_link(place: Place) -> None:
    link = place.link("link", place.a)
    file = place.file("f", f"pidfile = {place.a}/pid")
    assert load_well(f"docroot={place.a}", file, f"pidfile={link}/pid").pidfile == f"{link}/pid"


def test_pidfiles_that_differ_are_both_named(place: Place) -> None:
    error = the_error(f"docroot={place.a}", "pidfile=/x/1", place.file("f", "pidfile = /x/2"))
    assert error.startswith("pidfile ")
    assert "--pidfile=/x/1" in error
    assert f"{place.path}/f:1: pidfile = /x/2" in error


# Numbers and switches


@pytest.mark.parametrize(
    ("option", "line", "sum_of_both"),
    [
        (None, None, 10_000),
        (5, None, 5),
        (None, 7, 7),
        (5, 7, 12),
        (0, 0, 10_000),
        (0, 7, 7),
        (10_000, 10_000, 20_000),
    ],
)
def test_maxconns(place: Place, option: int | None, line: int | None, sum_of_both: int) -> None:
    words = [f"docroot={place.a}", f"httplisten={1}"]
    if option is not None:
        words.append(f"maxconns={option}")
    if line is not None:
        words.append(place.file("f", f"maxconns = {line}"))
    assert load_well(*words).maxconns == sum_of_both


@pytest.mark.parametrize(
    ("option", "culprit"),
    [
        ("maxconns=abc", "'a'"),
        ("maxconns=10k", "'k'"),
        ("maxconns=-5", "'-'"),
        ("maxconns=", "missing"),
        (f"maxconns={2**64}", str(2**64 - 1)),
        ("worker-processes=two", "'t'"),
        ("worker-processes=4294967296", "4294967295"),
        ("aio-threads=0", "at least 1"),
        ("stop-timeout=0", "at least 1"),
        ("stop-timeout=soon", "'s'"),
        ("log-format=xml", "text, json"),
    ],
)
def test_error_names_option_value_and_culprit(place: Place, option: str, culprit: str) -> None:
    error = the_error(f"docroot={place.a}", option)
    assert error.startswith(f"--{option}: ")
    assert culprit in error


def test_options_of_the_process(place: Place) -> None:
    config = load_well(
        f"docroot={place.a}", "worker-processes=3", "aio-threads=20", "log-format=json"
    )
    shown = config.worker_processes, config.aio_threads, config.log_format
    assert shown == (ProcessCount(3), 20, "json")


def test_defaults_of_the_process(place: Place) -> None:
    config = load_well(f"docroot={place.a}")
    shown = config.worker_processes, config.aio_threads, config.log_format
    assert shown == (ProcessCount(0), None, "text")
    assert (config.daemonize, config.iostat, config.usage_interval_s) == (False, True, 10)
    assert config.services[0].require_mount is False


@pytest.mark.parametrize(
    ("option", "line", "expected"),
    [(False, "", False), (True, "", True), (False, "X", True), (True, "X = no", True)],
)
@pytest.mark.parametrize("key", ["daemonize", "require_mount"])
def test_switch_of_either_side(
    place: Place, key: str, option: bool, line: str, expected: bool
) -> None:
    words = [f"docroot={place.a}", place.file("f", "# f", line.replace("X", key))]
    if option:
        words.append(key.replace("_", "-"))
    config = load_well(*words)
    values = {"daemonize": config.daemonize, "require_mount": config.services[0].require_mount}
    assert values == {"daemonize": False, "require_mount": False} | {key: expected}


@pytest.mark.parametrize(
    ("option", "line", "expected"),
    [
        (None, "# nothing", True),
        ("no", "# nothing", False),
        (None, "iostat = no", False),
        ("yes", "iostat = no", True),
        ("no", "iostat = yes", False),
    ],
)
def test_iostat(place: Place, option: str | None, line: str, expected: bool) -> None:
    words = [f"docroot={place.a}", place.file("f", line)]
    if option:
        words.append(f"iostat={option}")
    assert load_well(*words).iostat is expected


@pytest.mark.parametrize(
    ("option", "lines", "expected"),
    [
        (None, ["# nothing"], None),
        ("7", ["# nothing"], 7),
        (None, ["stop_timeout = 9"], 9),
        ("7", ["stop_timeout = 5"], 7),
        (None, ["stop_timeout = 9", "stop_timeout = 8", "# nothing"], 8),
    ],
)
def test_stop_timeout(
    place: Place, option: str | None, lines: list[str], expected: int | None
) -> None:
    """The command line wins, then the shortest of the files."""
    if len(lines) == 1:
        words = [f"docroot={place.a}", place.file("f", *lines)]
    else:
        words = ["multi=yes"]
        for number, line in enumerate(lines):
            docroot = place.path / f"root{number}"
            docroot.mkdir()
            content = [f"docroot = {docroot}", f"httplisten = {7000 + number}", line]
            words.append(place.file(f"f{number}", *content))
    if option:
        words.append(f"stop-timeout={option}")
    assert load_well(*words).stop_timeout_s == expected


@pytest.mark.parametrize("word", ["1", "30", "0010"])
def test_usage_interval(place: Place, word: str) -> None:
    environ = ENVIRON | {"MOG_DISK_USAGE_INTERVAL": word}
    assert load_well(f"docroot={place.a}", environ=environ).usage_interval_s == int(word)


@pytest.mark.parametrize("word", ["0", "-1", "soon", "", "1.5", "9" * 20])
def test_usage_interval_that_is_none_is_replaced_with_a_warning(place: Place, word: str) -> None:
    environ = ENVIRON | {"MOG_DISK_USAGE_INTERVAL": word}
    config, diagnostics = load(options(f"docroot={place.a}"), environ)
    assert (config.usage_interval_s, diagnostics.errors) == (10, 0)
    (warning,) = diagnostics.lines()
    assert warning.startswith(f"WARNING: MOG_DISK_USAGE_INTERVAL={word}: ")


def test_variable_without_a_name_says_nothing(place: Place) -> None:
    # As `env "=yes" mogstored` has it.
    plain = load_well(f"docroot={place.a}")
    assert load_well(f"docroot={place.a}", environ={**ENVIRON, "": "yes"}) == plain


def test_options_without_effect(place: Place) -> None:
    plain = load_well(f"docroot={place.a}")
    assert load_well(f"docroot={place.a}", "skipconfig") == plain
    assert load_well(f"docroot={place.a}", "multi") == plain
    config, diagnostics = load(
        options(f"docroot={place.a}", "serverbin=/usr/bin/perlbal"), ENVIRON
    )
    assert (config, diagnostics.errors) == (plain, 0)
    assert "/usr/bin/perlbal" in diagnostics.lines()[0]


# Server


@pytest.mark.parametrize("in_file", [True, False])
def test_server_none_leaves_the_sidechannel(place: Place, in_file: bool) -> None:
    server = place.file("f", "server = none") if in_file else "server=none"
    given = ["httplisten=1", "httpgetlisten=2", "mgmtlisten=3"]
    assert listeners(load_well(f"docroot={place.a}", *given, server)) == [(None, None, "3")]


def test_server_none_with_default_listeners(place: Place) -> None:
    config = load_well(f"docroot={place.a}", "server=none")
    assert listeners(config) == [(None, None, "0.0.0.0:7501")]


def test_server_of_the_command_line_wins(place: Place) -> None:
    words = [f"docroot={place.a}", "httplisten=1", "mgmtlisten=3"]
    config, _ = load(options(*words, "server=perlbal", place.file("f", "server = none")), ENVIRON)
    assert listeners(config) == [("1", None, "3")]
    config, _ = load(options(*words, "server=none", place.file("g", "server = perlbal")), ENVIRON)
    assert listeners(config) == [(None, None, "3")]


def test_server_none_without_sidechannel_is_doubtful(place: Place) -> None:
    config, diagnostics = load(
        options(f"docroot={place.a}", "httplisten=1", "server=none"), ENVIRON
    )
    assert listeners(config) == [(None, None, None)]
    assert diagnostics.lines() == ["WARNING: --server=none: no listener is left"]


def test_perlbal_is_served_with_a_warning(place: Place) -> None:
    config, diagnostics = load(
        options(f"docroot={place.a}", "httplisten=1", "server=perlbal"), ENVIRON
    )
    assert listeners(config) == [("1", None, None)]
    assert diagnostics.errors == 0
    (warning,) = diagnostics.lines()
    assert warning.startswith("W: using internal HTTP for 'server = perlbal'")


@pytest.mark.parametrize("word", ["apache", "lighttpd", "nginx", "x", ""])
def test_other_servers_end_the_start(place: Place, word: str) -> None:
    error = the_error(f"docroot={place.a}", f"server={word}")
    assert error == (
        f"E: 'server = {word}' not understood by cmogstored (--server={word}): "
        "mogstored serves HTTP itself; leave the setting out, or say none"
    )


def test_a_bad_server_in_a_file_counts_though_the_command_line_would_win(place: Place) -> None:
    error = the_error(f"docroot={place.a}", "server=none", place.file("f", "server = apache"))
    assert error.startswith("E: 'server = apache' not understood by cmogstored")


# Several files


@pytest.fixture
def two(place: Place) -> list[str]:
    return [
        place.file("1", f"docroot = {place.a}", "httplisten = 1", "mgmtlisten = 11"),
        place.file("2", f"docroot = {place.b}", "mgmtlisten = 2"),
    ]


def test_each_file_is_a_service(place: Place, two: list[str]) -> None:
    config = load_well("multi", *two)
    assert listeners(config) == [("1", None, "11"), (None, None, "2")]
    assert [place.a, place.b] == [service.docroot for service in config.services]
    assert [f"config={service.source}" for service in config.services] == two


def test_several_files_need_multi(two: list[str]) -> None:
    assert "--multi" in the_error(*two)


@pytest.mark.parametrize("option", ["httplisten=9", "httpgetlisten=9", "mgmtlisten=9"])
def test_listeners_of_several_files_are_not_on_the_command_line(
    two: list[str], option: str
) -> None:
    assert f"--{option}" in the_error("multi", *two, option)


def test_docroots_of_several_files_are_not_on_the_command_line(
    place: Place, two: list[str]
) -> None:
    assert f"--docroot={place.a}" in the_error("multi", *two, f"docroot={place.a}")


@pytest.mark.parametrize("key", ["httplisten", "httpgetlisten", "mgmtlisten"])
def test_any_listener_is_enough_for_a_file(place: Place, two: list[str], key: str) -> None:
    (place.path / "c").mkdir()
    third = place.file("3", f"docroot = {place.path}/c", f"{key} = 3")
    assert len(load_well("multi", *two, third).services) == 3


def test_file_without_listener_is_named(place: Place) -> None:
    first = place.file("1", f"docroot = {place.a}", "httplisten = 1")
    second = place.file("2", f"docroot = {place.b}")
    error = the_error("multi", first, second)
    assert error.startswith(f"{place.path}/2: ")
    assert "listener" in error


def test_file_without_docroot_is_named(place: Place) -> None:
    first = place.file("1", "httplisten = 1")
    second = place.file("2", f"docroot = {place.b}", "httplisten = 2")
    error = the_error("multi", first, second)
    assert error.startswith(f"{place.path}/1: ")
    assert "docroot" in error


def test_the_same_docroot_twice_is_named(place: Place) -> None:
    link = place.link("link", place.a)
    first = place.file("1", f"docroot = {place.a}", "httplisten = 1")
    second = place.file("2", f"docroot = {link}", "httplisten = 2")
    error = the_error("multi", first, second)
    assert f"{place.path}/2:1: docroot = {link}" in error
    assert f"{place.path}/1:1: docroot = {place.a}" in error


def test_pidfiles_of_several_files_may_agree(place: Place, two: list[str]) -> None:
    for config in two:
        file = Path(config.removeprefix("config="))
        file.write_text(file.read_text() + "pidfile = /run/x\n")
    assert load_well("multi", *two).pidfile == "/run/x"
    assert load_well("multi", *two, "pidfile=/run/../run/x").pidfile == "/run/../run/x"
    for error in start_says("multi", *two, "pidfile=/run/y"):
        assert "--pidfile=/run/y" in error
        assert "pidfile = /run/x" in error


def test_sums_and_switches_of_several_files(place: Place) -> None:
    first = place.file("1", f"docroot = {place.a}", "httplisten = 1", "maxconns = 30", "daemonize")
    second = place.file(
        "2", f"docroot = {place.b}", "mgmtlisten = 2", "maxconns = 4", "require_mount", "iostat=no"
    )
    config = load_well("multi", first, second, "maxconns=500")
    assert (config.maxconns, config.daemonize, config.iostat) == (534, True, False)
    assert [service.require_mount for service in config.services] == [False, True]
    everywhere = load_well("multi", first, second, "require-mount")
    assert [service.require_mount for service in everywhere.services] == [True, True]


def test_server_none_of_one_file_is_not_the_others(place: Place, two: list[str]) -> None:
    file = Path(two[0].removeprefix("config="))
    file.write_text(file.read_text() + "server = none\n")
    assert listeners(load_well("multi", *two)) == [(None, None, "11"), (None, None, "2")]


def test_checks_of_several_files_come_in_their_order(place: Place) -> None:
    listening = [f"docroot = {place.a}", "httplisten = 1"]
    files = [place.file("1", "pidfile = /x/1"), place.file("2", *listening, "pidfile = /x/2")]
    found = start_says(*files, "docroot=/x", "httplisten=9", "mgmtlisten=9")
    expected = [
        "--docroot=/x: ",
        "--httplisten=9: ",
        "--mgmtlisten=9: ",
        f"{place.path}/1: no listener",
        f"{place.path}/1: no docroot",
        "pidfile names two different files: ",
        "several --config are only allowed with --multi",
    ]
    assert len(found) == len(expected)
    assert all(line.startswith(start) for line, start in zip(found, expected, strict=True))
    files = [place.file("1", *listening), place.file("2", listening[0], "httplisten = 2")]
    assert f"{place.path}/2:1: docroot = {place.a}" in the_error(*files, "multi")


# Files that cannot be read


def test_file_that_is_missing() -> None:
    assert "/nowhere/x.conf: No such file or directory" in the_error("config=/nowhere/x.conf")


def test_file_that_is_a_directory(place: Place) -> None:
    assert f"{place.a}: Is a directory" in the_error(f"config={place.a}")


def test_file_that_is_empty(place: Place) -> None:
    assert f"{place.path}/f: it is empty" in the_error(place.file("f"))


def test_file_without_a_name() -> None:
    assert "No such file or directory" in the_error("config=")


def test_file_given_twice(place: Place) -> None:
    first = place.file("1", f"docroot = {place.a}", "httplisten = 1")
    link = place.link("link", f"{place.path}/1")
    error = the_error("multi", first, f"config={link}")
    assert link in error
    assert "same file" in error


# All errors at once


def test_everything_is_found_in_one_run(place: Place) -> None:
    file = place.file(
        "f", "colour = red", "maxconns = x", "httplisten = foo:1", "docroot = /nowhere"
    )
    found = start_says("worker-processes=x", file, "maxconns=1k", "server=nginx")
    expected = [
        "--worker-processes=x: ",
        f"WARNING: {place.path}/f:1: unknown key 'colour'",
        f"{place.path}/f:2: maxconns = x: ",
        f"{place.path}/f:3: httplisten = foo:1: ",
        "--maxconns=1k: ",
        "E: 'server = nginx' not understood",
        f"{place.path}/f:4: docroot = /nowhere: No such file or directory",
    ]
    assert len(found) == len(expected)
    assert all(line.startswith(start) for line, start in zip(found, expected, strict=True))


def test_one_mistake_is_not_reported_as_an_omission_too(place: Place) -> None:
    first = place.file("1", "docroot = /a b", "httplisten = foo:1")
    second = place.file("2", f"docroot = {place.b}", "httplisten = 2")
    assert len(start_says("multi", first, second)) == 2
    assert len(start_says("multi", "config=/nowhere/1.conf", second)) == 1


# The command that replaces iostat


@pytest.mark.parametrize("command", ["/nowhere/iostat -dx 1", "no-such-iostat", "/etc/passwd 1"])
def test_iostat_command_that_cannot_be_run_is_a_warning(place: Place, command: str) -> None:
    environ = {**ENVIRON, "MOG_IOSTAT_CMD": command}
    config, diagnostics = load(options(f"docroot={place.a}"), environ)
    word = command.split()[0]
    assert diagnostics.lines() == [
        f"WARNING: MOG_IOSTAT_CMD={command}: no program '{word}'; utilization will be unknown"
    ]
    assert config.iostat is True
    load_well(f"docroot={place.a}", "iostat=no", environ=environ)


@pytest.mark.parametrize(
    "command", ["", " ", "cat /dev/null", "/bin/sh -c :", '"$IOSTAT" 1', "~/iostat", "(a; b)"]
)
def test_iostat_command_that_may_exist_is_none(place: Place, command: str) -> None:
    load_well(f"docroot={place.a}", environ={**ENVIRON, "MOG_IOSTAT_CMD": command})


# Settings of the node


@pytest.mark.parametrize(
    ("key", "word", "expected"),
    [
        ("worker_processes", "3", ProcessCount(3)),
        ("aio_threads", "9", 9),
        ("log_format", "json", "json"),
        ("usage_interval", "5", 5),
    ],
)
def test_key_of_a_file_is_the_option(place: Place, key: str, word: str, expected: object) -> None:
    field = BY_NAME[key].field
    in_file = place.file("f", f"{key} = {word}")
    assert getattr(load_well(f"docroot={place.a}", in_file), field) == expected
    option = f"{BY_NAME[key].option}={word}"
    assert getattr(load_well(f"docroot={place.a}", option), field) == expected
    other = place.file("g", f"{key} = {'text' if key == 'log_format' else 1}")
    assert getattr(load_well(f"docroot={place.a}", option, other), field) == expected


def test_files_that_differ_in_a_setting_of_the_node(place: Place, two: list[str]) -> None:
    files = [Path(config.removeprefix("config=")) for config in two]
    for file, word in zip(files, ("text", "json"), strict=True):
        file.write_text(f"{file.read_text()}log_format = {word}\n")
    error = the_error("multi", *two)
    assert error.startswith("log_format has two different values: ")
    assert all(str(file) in error for file in files)
    assert load_well("multi", *two, "log-format=json").log_format == "json"


def test_variable_counts_where_neither_option_nor_key_does(place: Place) -> None:
    environ = {**ENVIRON, "MOG_DISK_USAGE_INTERVAL": "17"}
    words = [f"docroot={place.a}", place.file("f", "usage_interval = 5")]
    assert load_well(words[0], environ=environ).usage_interval_s == 17
    assert load_well(*words, environ=environ).usage_interval_s == 5
    assert load_well(*words, "usage-interval=3", environ=environ).usage_interval_s == 3
    wrong = {**ENVIRON, "MOG_DISK_USAGE_INTERVAL": "0"}
    assert load(options(*words), wrong)[0].usage_interval_s == 5


# Addresses


def test_two_listeners_of_one_address(place: Place) -> None:
    file = place.file("f", "httplisten = 127.0.0.1:7500")
    error = the_error(f"docroot={place.a}", file, "mgmtlisten=127.0.0.1:7500")
    assert error == (
        f"--mgmtlisten=127.0.0.1:7500: the address of another listener, "
        f"{place.path}/f:1: httplisten = 127.0.0.1:7500"
    )


def test_two_services_of_one_address(place: Place) -> None:
    files = [
        place.file(f"{name}.conf", f"docroot = {place.path}/{name}", "httplisten = 1")
        for name in ("a", "b")
    ]
    error = the_error("multi", *files)
    assert error.startswith(f"{place.path}/b.conf:2: httplisten = 1: the address of another")


def test_several_listeners_of_any_port(place: Place) -> None:
    load_well(f"docroot={place.a}", "httplisten=0", "httpgetlisten=0", "mgmtlisten=0")


def test_listener_that_is_left_out_does_not_conflict(place: Place) -> None:
    load_well(f"docroot={place.a}", "server=none", "httplisten=1", "mgmtlisten=1")


# Admin listeners


def admin_listeners(*words: str) -> list[str]:
    return [address.typed for address in load_well(*words).adminlisten]


def test_no_admin_listener_by_default(place: Place) -> None:
    assert admin_listeners(f"docroot={place.a}") == []


@pytest.mark.parametrize(
    "words",
    [
        ["adminlisten=127.0.0.1:1", "adminlisten=[::1]:2"],
        ["adminlisten=127.0.0.1:1,[::1]:2"],
        ["adminlisten=127.0.0.1:1 , [::1]:2"],
        ["adminlisten=127.0.0.1:1 [::1]:2"],
    ],
)
@pytest.mark.parametrize("in_file", [True, False])
def test_several_admin_listeners(place: Place, words: list[str], in_file: bool) -> None:
    if in_file:
        words = [place.file("x.conf", *(word.replace("=", " = ", 1) for word in words))]
    assert admin_listeners(f"docroot={place.a}", *words) == ["127.0.0.1:1", "[::1]:2"]


def test_admin_listener_is_no_reason_to_leave_the_others_out(place: Place) -> None:
    config = load_well(f"docroot={place.a}", "adminlisten=1")
    assert listeners(config) == [("0.0.0.0:7500", None, "0.0.0.0:7501")]


def test_admin_listeners_of_the_command_line_replace_those_of_a_file(place: Place) -> None:
    file = place.file("x.conf", "adminlisten = 1")
    assert admin_listeners(f"docroot={place.a}", file, "adminlisten=2") == ["2"]


def test_admin_listeners_of_several_files_are_joined(place: Place) -> None:
    files = [
        place.file("a.conf", f"docroot = {place.a}", "httplisten = 1", "adminlisten = 8, 9"),
        place.file("b.conf", f"docroot = {place.b}", "httplisten = 2", "adminlisten = 9"),
    ]
    assert admin_listeners("multi", *files) == ["8", "9"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (
            ["httplisten=127.0.0.1:8", "adminlisten=127.0.0.1:8"],
            "--adminlisten=127.0.0.1:8: the address of another listener, --httplisten=127.0.0.1:8",
        ),
        (
            ["adminlisten=8,8"],
            "--adminlisten=8,8: the address of another listener, --adminlisten=8,8",
        ),
        (
            ["adminlisten=8,x"],
            "--adminlisten=8,x: 'x' is not of the form [[IPV4]:]PORT or [IPV6]:PORT",
        ),
        (
            ["adminlisten=x", "adminlisten=8"],
            "--adminlisten=x: 'x' is not of the form [[IPV4]:]PORT or [IPV6]:PORT",
        ),
    ],
)
def test_admin_listeners_that_cannot_be(place: Place, words: list[str], complaint: str) -> None:
    assert the_error(f"docroot={place.a}", *words) == complaint
