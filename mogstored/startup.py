"""The order in which a node starts.

A node that cannot start says why and changes nothing; a client that can connect is served. So
sockets are bound and the pidfile is checked before the node detaches, and devices are examined
before clients are accepted. Threads and pollers are created after the last fork.
"""

from __future__ import annotations

import gc
import logging
import os
import socket
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import mogstored
from mogpoll import install_poke_handler
from mogpoll.backends import backend_name, find_backend
from mogstored.admin.control import ListenerFacts, NodeFacts
from mogstored.admin.shared_record import SharedRecord
from mogstored.config.model import Config, ConfigError, ServiceConfig
from mogstored.config.values.addresses import Address
from mogstored.config.values.processes import ProcessCount
from mogstored.connections.access import admin_rules
from mogstored.connections.listeners import Listener, describe, open_listener
from mogstored.files.docroot import Docroot
from mogstored.log.bounded_writer import BoundedWriter
from mogstored.log.handlers import log_uncaught, open_log
from mogstored.log.printable import reason
from mogstored.observability.access_target import Target
from mogstored.process.admin.child import AdminProgram
from mogstored.process.admin.keeper import (
    AdminKeeper,
    ForkingSpawner,
    LauncherSpawner,
    Spawner,
)
from mogstored.process.flusher import flush_before_exit
from mogstored.process.lifecycle import Lifecycle
from mogstored.process.main_loop import log_the_end
from mogstored.process.reload import Reloader
from mogstored.process.signals import SignalQueue
from mogstored.process.supervision.daemonize import ReadyPipe, daemonize
from mogstored.process.supervision.notify import Notifier
from mogstored.process.supervision.pid1 import OrphanReaper
from mogstored.process.supervision.pidfile import Pidfile
from mogstored.process.supervision.title import Title
from mogstored.process.upgrades.inherited import Inherited, count_upgrades
from mogstored.process.upgrades.invocation import Invocation
from mogstored.process.upgrades.launcher import Launcher
from mogstored.process.upgrades.upgrade import Upgrade
from mogstored.rlimits import raise_open_files
from mogstored.server import BoundService

if TYPE_CHECKING:
    from mogstored.process.master import Master
    from mogstored.process.single import SingleProcess

_log = logging.getLogger("mogstored")

# How long a node that has ended waits for its admin process.
_ADMIN_END_S = 2.0


class ProcessContext(NamedTuple):
    """What belongs to the process, whatever it serves."""

    invocation: Invocation
    title: Title
    log: BoundedWriter
    notifier: Notifier
    reloader: Reloader


def run(config: Config, prog: str, reloader: Reloader) -> int:
    """Start the node, serve until it is stopped, and return the exit status.

    **Raises:** `ConfigError` if it cannot start.
    """
    invocation = Invocation.of_this_process()
    title = Title.prepare(prog)
    log_uncaught()
    log = _open_log(config)
    notifier = Notifier.from_environment(os.environ, os.getpid())
    try:
        return _run(config, prog, ProcessContext(invocation, title, log, notifier, reloader))
    finally:
        flush_before_exit((log, notifier))


def _open_log(config: Config) -> BoundedWriter:
    return open_log(
        to_syslog=config.daemonize, format_name=config.log_format, level=config.log_level
    )


def _run(config: Config, prog: str, context: ProcessContext) -> int:
    _require_poller()
    raise_open_files(config.maxconns)
    inherited = Inherited.from_environment(os.environ, os.getpid())
    if config.access_log is not None:
        _try_access_log(config.access_log)
    bound_services = [_bind_service(service, inherited) for service in config.services]
    admin_listeners = [
        Listener("admin", _open_listener(address, inherited)) for address in config.adminlisten
    ]
    listeners = [each for bound in bound_services for each in bound.listeners] + admin_listeners
    inherited.close_unwanted()
    pidfile = None if config.pidfile is None else Pidfile(config.pidfile)
    if pidfile is not None:
        pidfile.prepare()
    try:
        caller = _detach(prog, inherited.by_upgrade) if config.daemonize else None
        # From here on, no signal ends the process by its default action.
        signals = SignalQueue()
        install_poke_handler()
        if pidfile is not None:
            pidfile.commit()
        if admin_listeners:
            # Not in the admin process: its first objects would be scattered over pages that it
            # shares with its parent, 3.5 MiB of them.
            from mogstored.admin import exposition, process  # noqa: F401
        serve = partial(_serve_admin, SharedRecord() if admin_listeners else None)
        program = AdminProgram(serve, partial(_open_log, config), context.title)
        launcher = Launcher(context.invocation, signals, context.title, program)
        upgrade = _prepare_upgrade(config, context, launcher, listeners, pidfile)
        lifecycle = Lifecycle(
            signals=signals,
            log=context.log,
            title=context.title,
            notifier=context.notifier,
            upgrade=upgrade,
            admin=AdminKeeper(
                _admin_spawner(config, launcher, program, admin_listeners),
                _first_facts(config, context, bound_services, admin_listeners),
            ),
            caller=caller,
            orphans=OrphanReaper(),
            took_over=inherited.by_upgrade,
            reloader=context.reloader,
        )
        _log_what_starts(config, bound_services)
        for kind, sock in listeners:
            _log.info("listening for %s on %s", kind, describe(sock))
        _serve(config, bound_services, lifecycle)
        signals.ignore()
    except ConfigError:
        raise
    except Exception as error:
        log_the_end("the node", error)
        return 1
    finally:
        if pidfile is not None:
            pidfile.release()
    return 0


def _log_what_starts(config: Config, bound_services: Sequence[BoundService]) -> None:
    devices = {bound.docroot.path: bound.docroot.count_devices() for bound in bound_services}
    _log.info(
        "mogstored %s, Python %s, %s, %s: %s",
        mogstored.__version__,
        sys.version.partition(" ")[0],
        backend_name(),
        _shown(config.worker_processes),
        ", ".join(f"{path} with {_counted(n, 'device', 's')}" for path, n in devices.items()),
    )
    for path, number in devices.items():
        if not number:
            _log.warning(
                "%s has no device: no directory dev1, dev2...", path, extra={"path": path}
            )


def _shown(processes: ProcessCount) -> str:
    if not processes.number:
        return "one process"
    note = " (auto)" if processes.is_auto else ""
    return f"{_counted(processes.number, 'worker process', 'es')}{note}"


def _counted(number: int, noun: str, ending: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}{ending}"


def _serve(config: Config, bound_services: Sequence[BoundService], lifecycle: Lifecycle) -> None:
    lifecycle.signals.flusher.add(lifecycle.log)
    lifecycle.signals.flusher.add(lifecycle.notifier)
    process = _leading_process(config)
    _share_objects()
    # Before this process has threads.
    lifecycle.admin.start()
    try:
        process(config, bound_services, lifecycle).run()
    finally:
        # So that nothing of a node is left when it has ended.
        lifecycle.admin.end(_ADMIN_END_S)
        lifecycle.upgrade.let_go()


def _leading_process(config: Config) -> type[Master | SingleProcess]:
    # Late: a node needs one of both.
    if config.worker_processes.number:
        from mogstored.process.master import Master

        return Master
    from mogstored.process.single import SingleProcess

    return SingleProcess


def _share_objects() -> None:
    """Keep the memory of all objects so far shared with the processes forked from now on.

    A full collection in one of them would write to each object, 6.5 MiB of pages. It passes over
    these, and so takes less time in a single process, too.
    Source: https://docs.python.org/3/library/gc.html#gc.freeze
    """
    gc.freeze()
    gc.enable()


def _admin_spawner(
    config: Config,
    launcher: Launcher,
    program: AdminProgram,
    listeners: Sequence[Listener],
) -> Spawner | None:
    """Return a way to start the admin process; None if the node has none."""
    if not listeners:
        return None
    socks = [listener.sock for listener in listeners]
    if config.worker_processes.number:
        return ForkingSpawner(program, socks)
    return LauncherSpawner(launcher, socks)


def _serve_admin(
    record: SharedRecord | None,
    control: socket.socket,
    listeners: Sequence[socket.socket],
    log: BoundedWriter,
) -> None:
    from mogstored.admin import process

    process.run(control, listeners, log, record)


def _first_facts(
    config: Config,
    context: ProcessContext,
    bound_services: Sequence[BoundService],
    admin_listeners: Sequence[Listener],
) -> NodeFacts:
    shown = [
        ListenerFacts(listener.kind, describe(listener.sock), bound.config.docroot)
        for bound in bound_services
        for listener in bound.listeners
    ]
    shown += [ListenerFacts(each.kind, describe(each.sock), None) for each in admin_listeners]
    return NodeFacts(
        pid=os.getpid(),
        log_level=config.log_level,
        started_at=time.time(),
        worker_processes=config.worker_processes.number,
        listeners=tuple(shown),
        upgrades=count_upgrades(context.invocation.environment),
        access=tuple(rule.line for rule in admin_rules(config)),
    )


def _prepare_upgrade(
    config: Config,
    context: ProcessContext,
    launcher: Launcher,
    listeners: Sequence[Listener],
    pidfile: Pidfile | None,
) -> Upgrade:
    forks_late = bool(config.worker_processes.number)
    if not forks_late:
        _start_early(launcher)
    fds = [listener.sock.fileno() for listener in listeners]
    return Upgrade(launcher, pidfile, context.notifier, fds, forks_late=forks_late)


def _start_early(launcher: Launcher) -> None:
    try:
        launcher.start()
    except OSError as error:
        _log.warning("this node cannot be upgraded: no launcher process: %s", reason(error))


def _require_poller() -> None:
    try:
        find_backend()
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot wait for events: {error}") from None


def _try_access_log(destination: str) -> None:
    """Create the file. Each process that serves opens it again, in a thread: its disk may hang."""
    try:
        Target(destination).sink.close()
    except OSError as error:
        raise ConfigError(f"cannot open access_log {destination}: {reason(error)}") from None


def _bind_service(service: ServiceConfig, inherited: Inherited) -> BoundService:
    try:
        docroot = Docroot(service.docroot, service.durability, service.checksum_at_rest)
    except OSError as error:
        raise ConfigError(f"docroot {service.docroot}: {reason(error)}") from None
    wanted = {
        "http": service.httplisten,
        "httpget": service.httpgetlisten,
        "mgmt": service.mgmtlisten,
    }
    listeners = tuple(
        Listener(kind, _open_listener(address, inherited))
        for kind, address in wanted.items()
        if address is not None
    )
    return BoundService(service, docroot, listeners)


def _open_listener(address: Address, inherited: Inherited) -> socket.socket:
    sock = inherited.take(address)
    if sock is not None:
        return sock
    try:
        return open_listener(address)
    except OSError as error:
        raise ConfigError(str(error.strerror)) from None


def _detach(prog: str, is_detached: bool) -> ReadyPipe | None:
    if not is_detached:
        try:
            return daemonize(prog)
        except OSError as error:
            _log.critical("cannot detach: %s", reason(error))
            raise ConfigError(f"cannot detach: {reason(error)}") from None
    # An upgrade starts the program in the working directory of the first process, before it
    # detached.
    os.chdir("/")
    return None
