"""The order in which a node starts.

Operators see it: whoever starts a node that cannot start is told why and finds nothing
changed, and a client that connects finds everything in its place. So sockets are bound and
the pidfile is checked before the caller is let go, and devices are looked at before anybody
is served. Threads and pollers come after the last fork.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Sequence

from mogpoll import install_poke_handler
from mogpoll.poller import find_backend
from mogstored.compiled import is_compiled
from mogstored.config.model import Config, ConfigError, ServiceConfig
from mogstored.inherited import Inherited
from mogstored.listeners import Address, Listener, describe, open_listener
from mogstored.log import open_log
from mogstored.process.daemonize import ReadyPipe, daemonize
from mogstored.process.master import Master
from mogstored.process.notify import Notifier
from mogstored.process.outside import Outside
from mogstored.process.pidfile import Pidfile
from mogstored.process.rlimits import raise_open_files
from mogstored.process.signals import SignalQueue
from mogstored.process.single import Single
from mogstored.process.title import Title
from mogstored.process.upgrade import Launch, Upgrade
from mogstored.server import Site
from mogstored.storage.docroot import Docroot

_log = logging.getLogger("mogstored")


def run(config: Config, prog: str) -> int:
    """Start the node, serve until it is stopped, and return the exit status.

    **Raises:** `ConfigError` when it cannot start.
    """
    # An interrupt key before we serve ends us as TERM does, without a word.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    launch = Launch.of_this_process()
    title = Title.prepare()
    open_log(to_syslog=config.daemonize, format_name=config.log_format)
    notifier = Notifier.from_environment(os.environ, os.getpid())
    _require_poller()
    raise_open_files(config.maxconns)
    inherited = Inherited.from_environment(os.environ, os.getpid())
    sites = [_open_site(service, inherited) for service in config.services]
    inherited.close_unwanted()
    pidfile = None if config.pidfile is None else Pidfile(config.pidfile)
    if pidfile is not None:
        pidfile.prepare()
    try:
        caller = _detach(prog, inherited.by_upgrade) if config.daemonize else None
        # From here on no signal ends the process by its default action.
        signals = SignalQueue()
        install_poke_handler()
        if pidfile is not None:
            pidfile.commit()
        fds = [listener.sock.fileno() for site in sites for listener in site.listeners]
        upgrade = Upgrade(launch, pidfile, notifier, fds)
        outside = Outside(signals, title, notifier, upgrade, caller, inherited.by_upgrade)
        _serve(config, sites, outside)
        signals.ignore()
    except ConfigError:
        raise
    except Exception:
        _log.critical("the node failed", exc_info=True)
        return 1
    finally:
        if pidfile is not None:
            pidfile.release()
    return 0


def _serve(config: Config, sites: Sequence[Site], outside: Outside) -> None:
    if is_compiled():
        _log.info("compiled by mypyc")
    for site in sites:
        for kind, listener in site.listeners:
            _log.info("listening for %s on %s", kind, describe(listener))
    if config.worker_processes:
        Master(config, sites, outside).run()
    else:
        Single(config, sites, outside).run()


def _require_poller() -> None:
    try:
        find_backend()
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot wait for events: {error}") from None


def _open_site(service: ServiceConfig, inherited: Inherited) -> Site:
    try:
        docroot = Docroot(service.docroot)
    except OSError as error:
        raise ConfigError(f"docroot {service.docroot}: {error.strerror}") from None
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
    return Site(service, docroot, listeners)


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
            _log.critical("cannot detach: %s", error.strerror)
            raise ConfigError(f"cannot detach: {error.strerror}") from None
    # An upgrade starts us where the first process was started, before it detached.
    os.chdir("/")
    return None
