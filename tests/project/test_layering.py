"""Imports point down only, and mogstored does not ask which system it runs on.

`FLOORS` is the drawing: bottom first, each floor a line of rooms. A room is a module or a package
with all in it that has no room of its own. A module may import from the floors below its own, and
from its own room; imports for type checkers count.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.project._imports import Import, called, imports_in, module_name, parse
from tests.project._tree import ROOT, modules_of

FLOORS = (
    # mogpoll
    "mogpoll.errors mogpoll.interest",
    "mogpoll.system.limits.cgroups",
    "mogpoll.system.limits",
    "mogpoll.system",
    "mogpoll.threads",
    "mogpoll.stopping mogpoll.poller",
    "mogpoll.libkqueue mogpoll.epoll mogpoll.kqueue mogpoll.waker mogpoll.acceptor",
    "mogpoll.backends mogpoll.pool.step mogpoll.pool.elastic mogpoll.pool.statistics",
    "mogpoll.pool.crew mogpoll.pool.monitor mogpoll.pool.table",
    "mogpoll.pool.loop mogpoll.pool.timers",
    "mogpoll.pool.workers",
    "mogpoll.pool",
    "mogpoll.probe.experiment mogpoll.probe.kernel mogpoll.probe.sleeping mogpoll.probe.sockets",
    "mogpoll.probe.isolation mogpoll.probe.waiters",
    "mogpoll.probe.report mogpoll.probe.experiments",
    "mogpoll.probe.table",
    "mogpoll.probe",
    "mogpoll",
    "mogpoll.__main__ mogpoll.testing",
    # mogstored
    "mogstored",
    "mogstored.log.printable mogstored.log.bounded_writer mogstored.log.rate_limit",
    "mogstored.log.sinks mogstored.log.log_file",
    "mogstored.log",
    "mogstored.observability.histogram mogstored.observability.exchange",
    "mogstored.observability.frames",
    "mogstored.observability.device_errors mogstored.observability.access_lines",
    "mogstored.observability.counters",
    "mogstored.observability.snapshot mogstored.observability.access_target",
    "mogstored.observability.access_log",
    "mogstored.observability.access_log_choice",
    "mogstored.observability",
    "mogstored.admin.page.text",
    "mogstored.admin.page.rows",
    "mogstored.admin.page.document",
    "mogstored.admin.page",
    "mogstored.children mogstored.keyed_jobs mogstored.rlimits",
    "mogstored.config.diagnostics mogstored.config.values",
    # A client: it stands below what serves, and can import nothing of it.
    "mogstored.top.model mogstored.top.keys mogstored.top.columns",
    "mogstored.top.order",
    "mogstored.top.arguments mogstored.top.tables",
    "mogstored.top.sources mogstored.top.view",
    "mogstored.top.live",
    "mogstored.top.main",
    "mogstored.top",
    "mogstored.config.model mogstored.config.rows.setting",
    "mogstored.config.rows.limits mogstored.config.rows.integrity",
    "mogstored.config.rows.sick_disks",
    "mogstored.config.settings",
    "mogstored.config",
    "mogstored.files.names mogstored.files.paths",
    "mogstored.files.durability mogstored.files.nameless mogstored.files.checksums",
    "mogstored.files.new_file",
    "mogstored.files.docroot mogstored.files.disk_errors",
    "mogstored.files.state_dir",
    "mogstored.files",
    "mogstored.scrub.walk mogstored.scrub.verdict mogstored.scrub.pace mogstored.scrub.arguments",
    "mogstored.scrub.file_check mogstored.scrub.progress",
    "mogstored.scrub.device_scrub",
    "mogstored.check_disks.exercise mogstored.check_disks.parser",
    "mogstored.check_disks.apart mogstored.check_disks.arguments",
    "mogstored.devices.sickness.standing",
    "mogstored.devices.sickness.symptoms mogstored.devices.sickness.record",
    "mogstored.devices.health mogstored.devices.shares mogstored.devices.mounts.table",
    "mogstored.devices.usage mogstored.devices.usage_file mogstored.devices.space",
    "mogstored.devices.slots mogstored.devices.mounts",
    "mogstored.devices.device",
    "mogstored.devices.inventory mogstored.devices.watchdog",
    "mogstored.devices.refresh mogstored.devices.leftovers mogstored.devices.sickness.ward",
    "mogstored.devices",
    "mogstored.scrub.background",
    "mogstored.http.message.grammar mogstored.http.message.dates",
    "mogstored.http.message.obsolete_fields mogstored.http.message.ranges",
    "mogstored.http.message.request mogstored.http.message.response",
    "mogstored.http.message.partial",
    "mogstored.http.message",
    "mogstored.connections.access mogstored.connections.buffers",
    "mogstored.connections.time_limits",
    "mogstored.connections.connection mogstored.connections.listeners",
    "mogstored.connections.clients mogstored.connections.lingering_close",
    "mogstored.connections.time_outs mogstored.connections.accepting",
    "mogstored.connections",
    "mogstored.utilization.iostat_parser",
    "mogstored.utilization.report",
    "mogstored.utilization.iostat_feed mogstored.utilization.pipe_feed",
    "mogstored.utilization.sampled_feed mogstored.utilization.watchers",
    "mogstored.utilization.busy_time",
    "mogstored.utilization.source",
    "mogstored.utilization",
    "mogstored.service",
    "mogstored.http.counting mogstored.http.late_clients mogstored.http.statuses",
    "mogstored.http.connection",
    "mogstored.http.room",
    "mogstored.http.upload",
    "mogstored.http.get mogstored.http.put mogstored.http.delete",
    "mogstored.http.dispatch",
    "mogstored.http",
    "mogstored.sidechannel.command mogstored.sidechannel.lines",
    "mogstored.sidechannel.connection mogstored.sidechannel.lookup",
    "mogstored.sidechannel.checksum mogstored.sidechannel.size mogstored.sidechannel.watch",
    "mogstored.sidechannel.commands",
    "mogstored.sidechannel",
    "mogstored.observer mogstored.collector",
    "mogstored.server",
    "mogstored.admin.shared_record",
    "mogstored.admin.control mogstored.admin.sums mogstored.admin.encoders",
    "mogstored.admin.http.message",
    "mogstored.admin.sources mogstored.admin.http.session mogstored.admin.http",
    "mogstored.admin.view",
    "mogstored.admin.metrics mogstored.admin.status",
    "mogstored.admin.exposition",
    "mogstored.admin.site",
    "mogstored.admin.process",
    "mogstored.process.shortage",
    "mogstored.process.flusher mogstored.process.ipc mogstored.process.main_loop",
    "mogstored.process.signals mogstored.process.supervision mogstored.process.utilization_relay",
    "mogstored.process.upgrades.inherited",
    "mogstored.process.upgrades.invocation",
    "mogstored.process.admin.child",
    "mogstored.process.upgrades.launcher",
    "mogstored.process.upgrades.upgrade",
    "mogstored.process.reload mogstored.process.upgrades",
    "mogstored.process.admin.keeper",
    "mogstored.process.admin",
    "mogstored.process.lifecycle",
    "mogstored.process.single mogstored.process.worker",
    "mogstored.process.master",
    "mogstored.process",
    "mogstored.admin",
    "mogstored.check_disks mogstored.device_command",
    "mogstored.preflight mogstored.startup mogstored.scrub.main",
    "mogstored.scrub",
    "mogstored.cli",
    "mogstored.__main__",
    # bench
    "bench bench.bad_disk bench.base",
    "bench.servers",
    "bench.load",
    "bench.environment",
    "bench.isolation bench.life bench.balance bench.poller",
    "bench.examples.server",
    "bench.examples.chat bench.examples.pages",
    "bench.examples",
    "bench.requests bench.scale",
    "bench.scenarios",
    "bench.options",
    "bench.__main__",
    # vm
    "vm vm.drivers vm.guest vm.images vm.errors vm.progress vm.requirements vm.systems",
    "vm.paths vm.fields vm.images.seed",
    "vm.machines vm.images.download vm.guest.ssh vm.guest.wheelhouse",
    "vm.drivers.driver vm.images.checksum vm.end_of_life",
    "vm.images.disk_images vm.drivers.vagrant_machine",
    "vm.drivers.qemu vm.guest.suite",
    "vm.drivers.image_machine",
    "vm.drivers.choice vm.doctor",
    "vm.cli",
    "vm.__main__",
)
DRAWN = ("mogpoll", "mogstored", "bench", "vm")
SMALL = (*DRAWN, "tests/mogpoll")
MAX_LINES = 400
MAX_FILES = 12

# Only these ask which system they run on, and why.
MAY_ASK_FOR_THE_SYSTEM = {
    Path("mogstored/devices/mounts/__init__.py"): "each system lists its mounts in its own way",
    Path("mogstored/utilization/source.py"): "iostat prints differently on each system",
}
SYSTEM_NAMES = {("sys", "platform"), ("os", "name"), ("os", "uname")}
KERNEL_MODULES = {"select", "selectors"}


def rooms_of(floors: Iterable[str]) -> dict[str, int]:
    """Return the floor of each room."""
    return {room: number for number, floor in enumerate(floors) for room in floor.split()}


def room_of(module: str, rooms: dict[str, int]) -> str | None:
    """Return the innermost room that holds the module; a name on no floor has none."""
    parents = [module]
    while "." in parents[-1]:
        parents.append(parents[-1].rpartition(".")[0])
    # The room of a root does not hold modules that have no room of their own.
    return next((p for p in parents if p in rooms and (p == module or "." in p)), None)


def imports_that_point_up(
    module: str, imports: Iterable[Import], floors: Iterable[str]
) -> list[str]:
    """Return what is wrong with the imports of a module, by line."""
    rooms = rooms_of(floors)
    own = room_of(module, rooms)
    if own is None:
        return [f"1: {module} is on no floor"]
    roots = {room.partition(".")[0] for room in rooms}
    wrong = []
    for line, name in sorted(imports):
        target = room_of(name, rooms)
        if name.partition(".")[0] not in roots or target == own:
            continue
        if target is None:
            wrong.append(f"{line}: {name} is on no floor")
        elif rooms[target] >= rooms[own]:
            wrong.append(f"{line}: {name} (floor {rooms[target]}) from floor {rooms[own]}")
    return wrong


def questions_about_the_system(tree: ast.Module) -> list[str]:
    """Find code that asks for the system, by its name or by features of `select`."""
    found = [
        f"line {line}: import of {name}" for line, name in imports_in(tree) if name == "platform"
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if (node.value.id, node.attr) in SYSTEM_NAMES:
                found.append(f"line {node.lineno}: {node.value.id}.{node.attr}")
        elif isinstance(node, ast.ImportFrom):
            found += [
                f"line {node.lineno}: {node.module}.{alias.name}"
                for alias in node.names
                if (node.module, alias.name) in SYSTEM_NAMES
            ]
        elif isinstance(node, ast.Call) and called(node) in {"hasattr", "getattr"}:
            asked = node.args[0] if node.args else None
            if isinstance(asked, ast.Name) and asked.id in KERNEL_MODULES:
                found.append(f"line {node.lineno}: {ast.unparse(node)}")
    return found


def imports_of(path: Path) -> set[Import]:
    name = module_name(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    return set(imports_in(parse(path), package))


def drawn_modules() -> list[Path]:
    return [path for package in DRAWN for path in modules_of(package)]


@pytest.mark.parametrize("path", drawn_modules(), ids=str)
def test_imports_point_down(path: Path) -> None:
    wrong = imports_that_point_up(module_name(path), imports_of(path), FLOORS)
    assert not wrong, "\n".join(f"{path}:{each}" for each in wrong)


def test_no_room_is_drawn_twice() -> None:
    """The second floor would count, and the first one mislead."""
    rooms = Counter(room for floor in FLOORS for room in floor.split())
    assert [room for room, count in rooms.items() if count > 1] == []


def test_no_room_is_drawn_that_is_not_there() -> None:
    names = {module_name(path) for path in drawn_modules()}
    assert set(rooms_of(FLOORS)) - names == set()


def test_imports_make_no_circle() -> None:
    """Also within a room, where the floors allow any order."""
    graph = {
        module_name(path): {name for _, name in imports_of(path)} - {module_name(path)}
        for path in drawn_modules()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"imports in a circle: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("path", modules_of("bench"), ids=str)
def test_bench_imports_nothing_of_the_tests(path: Path) -> None:
    assert roots_of(imports_of(path)).isdisjoint({"tests"})


def test_files_and_packages_stay_small() -> None:
    files = [path for package in SMALL for path in modules_of(package)]
    assert [str(path) for path in files if line_count(path) > MAX_LINES] == []
    folders = [path.parent for path in files]
    assert [str(folder) for folder in set(folders) if folders.count(folder) > MAX_FILES] == []


def line_count(path: Path) -> int:
    return (ROOT / path).read_text(encoding="utf-8").count("\n")


@pytest.mark.parametrize("path", modules_of("mogpoll"), ids=str)
def test_mogpoll_imports_nothing_of_mogstored(path: Path) -> None:
    assert roots_of(imports_of(path)).isdisjoint({"mogstored"})


def roots_of(imports: Iterable[Import]) -> set[str]:
    return {name.partition(".")[0] for _, name in imports}


@pytest.mark.parametrize(
    "path",
    [path for path in modules_of("mogstored") if path not in MAY_ASK_FOR_THE_SYSTEM],
    ids=str,
)
def test_mogstored_does_not_ask_which_system_this_is(path: Path) -> None:
    assert questions_about_the_system(parse(path)) == []


FLOORS_OF_A_TEST = ("a.base a.other", "a.room", "a.top", "a")


@pytest.mark.parametrize(
    ("module", "imported", "fault"),
    [
        ("a.room.one", "a.base", None),
        ("a.room.one", "a.room.two", None),
        ("a.room.one", "a.room", None),
        ("a.top", "elsewhere.a.top", None),
        ("a", "a.top", None),
        ("a.room.one", "a.top", "7: a.top (floor 2) from floor 1"),
        ("a.base", "a.other", "7: a.other (floor 0) from floor 0"),
        ("a.base", "a", "7: a (floor 3) from floor 0"),
        ("a.top", "a.undrawn", "7: a.undrawn is on no floor"),
        ("a.undrawn", "a.base", "1: a.undrawn is on no floor"),
    ],
)
def test_import_is_judged_by_its_floor(module: str, imported: str, fault: str | None) -> None:
    found = imports_that_point_up(module, [Import(7, imported)], FLOORS_OF_A_TEST)
    assert found == ([] if fault is None else [fault])


@pytest.mark.parametrize(
    "source",
    [
        "import mogstored",
        "import mogstored.http.message.ranges as ranges",
        "from mogstored import cli",
        "from mogstored.http import get",
        "from ..mogstored import cli",
        "def late():\n    import mogstored",
        "if TYPE_CHECKING:\n    from mogstored import cli",
        "importlib.import_module('mogstored.cli')",
    ],
)
def test_every_way_to_import_is_noticed(source: str) -> None:
    assert roots_of(imports_in(ast.parse(source))) == {"mogstored"}


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("from mogpoll.system import sendfile", {"mogpoll.system.sendfile"}),
        ("from mogpoll.system.sendfile import FileError, copy_file", {"mogpoll.system.sendfile"}),
        ("from .descriptors import x", {"mogpoll.system.descriptors"}),
        ("from . import tcpinfo", {"mogpoll.system.tcpinfo"}),
        ("from ..errors import PollError", {"mogpoll.errors"}),
    ],
)
def test_module_that_is_imported_is_named_in_full(source: str, names: set[str]) -> None:
    assert {name for _, name in imports_in(ast.parse(source), "mogpoll.system")} == names


@pytest.mark.parametrize(
    "source",
    [
        "if sys.platform == 'linux': pass",
        "x = os.name",
        "os.uname().sysname",
        "from sys import platform",
        "from os import name as system",
        "import platform",
        "from platform import system",
        "hasattr(select, 'epoll')",
        "getattr(select, 'kqueue', None)",
    ],
)
def test_every_way_to_ask_for_the_system_is_noticed(source: str) -> None:
    assert len(questions_about_the_system(ast.parse(source))) == 1


@pytest.mark.parametrize(
    "source",
    ["import select", "entry.name", "request.platform", "hasattr(device, 'name')", "os.open"],
)
def test_harmless_code_is_left_alone(source: str) -> None:
    assert questions_about_the_system(ast.parse(source)) == []
