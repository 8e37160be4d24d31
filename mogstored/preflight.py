"""What would keep a node from starting on this machine: addresses in use, an unwritable pidfile.

Nothing listens at the node's addresses and nothing is written, so a check may run beside a running
node. An obstacle that is only that node is a warning.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress

import psutil

from mogstored.config.diagnostics import Diagnostics
from mogstored.config.model import Config, ConfigError
from mogstored.config.settings import LISTENERS
from mogstored.config.values.addresses import Address
from mogstored.connections.listeners import WILDCARDS, bind
from mogstored.files.names import device_number
from mogstored.log.log_file import check_path
from mogstored.log.printable import reason
from mogstored.observability.access_target import STDOUT, SYSLOG
from mogstored.process.supervision.pid_identity import describe_process, is_node
from mogstored.process.supervision.pidfile import find_running
from mogstored.process.upgrades.inherited import Inherited


def examine(config: Config, diagnostics: Diagnostics) -> None:
    """Add the obstacles to a start to `diagnostics`."""
    for service in config.services:
        _examine_docroot(service.docroot, diagnostics)
    running = _examine_pidfile(config.pidfile, diagnostics)
    _examine_access_log(config.access_log, diagnostics)
    try:
        inherited = Inherited.from_environment(os.environ, os.getpid())
    except ConfigError as error:
        diagnostics.error(str(error))
        inherited = Inherited()
    free: list[tuple[str, Address]] = []
    for key, address in _listeners(config):
        if inherited.has(address):
            continue
        if _examine_address(key, address, running, diagnostics):
            _examine_overlap(key, address, free, diagnostics)
            free.append((key, address))


def _listeners(config: Config) -> Iterator[tuple[str, Address]]:
    for service in config.services:
        for key in LISTENERS:
            address = getattr(service, key)
            if address is not None:
                yield key, address
    for address in config.adminlisten:
        yield "adminlisten", address


def _examine_docroot(path: str, diagnostics: Diagnostics) -> None:
    """Look for devices; a docroot that cannot be used has been complained of."""
    with suppress(OSError):
        if not any(device_number(os.fsencode(name)) is not None for name in os.listdir(path)):
            diagnostics.warn(
                f"WARNING: docroot = {path}: it has no device: no directory dev1, dev2..."
            )


def _examine_pidfile(path: str | None, diagnostics: Diagnostics) -> int | None:
    """Return the PID of the running node that the pidfile names."""
    if path is None:
        return None
    try:
        running = find_running(path)
    except ConfigError as error:
        diagnostics.error(str(error))
        return None
    if running is not None:
        diagnostics.warn(
            f"WARNING: pidfile = {path}: already running on PID: {running}", is_passing=True
        )
    return running


def _examine_access_log(destination: str | None, diagnostics: Diagnostics) -> None:
    if destination is not None and destination not in (STDOUT, SYSLOG):
        try:
            check_path(destination)
        except OSError as error:
            diagnostics.error(f"access_log = {destination}: {reason(error)}")


def _examine_address(
    key: str, address: Address, running: int | None, diagnostics: Diagnostics
) -> bool:
    """Return whether the address is free."""
    try:
        bind(address).close()
        return True
    except OSError as error:
        complaint = f"{key} = {address.typed}: {reason(error)}"
    holder = _find_holder(address)
    if holder is None:
        is_running = running is not None
    else:
        is_running = is_node(holder)
        complaint += f", by PID: {holder} ({describe_process(holder)})"
    if is_running:
        diagnostics.warn(f"WARNING: {complaint}", is_passing=True)
    else:
        diagnostics.error(complaint)
    return False


def _examine_overlap(
    key: str, address: Address, free: Iterable[tuple[str, Address]], diagnostics: Diagnostics
) -> None:
    """Find out whether a wildcard and an address of its port may both listen; BSDs allow it."""
    for other_key, other in free:
        if other.family != address.family or not _clashes(other, address.host, address.port):
            continue
        try:
            _listen_on_one_port(address, other)
        except OSError as error:
            complaint = f"{key} = {address.typed}: {reason(error)}"
            diagnostics.error(f"{complaint}, by {other_key} = {other.typed}")


def _listen_on_one_port(*addresses: Address) -> None:
    """Try it at a free port: Linux shares a port among sockets that do not listen.

    **Raises:** `OSError` if the system refuses it.
    """
    wildcard_first = sorted(addresses, key=lambda each: each.host != WILDCARDS[each.family])
    port = 0
    with ExitStack() as listeners:
        for each in wildcard_first:
            listener = listeners.enter_context(bind(each._replace(port=port)))
            listener.listen(1)
            port = listener.getsockname()[1]


def _find_holder(address: Address) -> int | None:
    """Return the PID of a process that listens on the address, if this user may see it."""
    try:
        connections = psutil.net_connections("tcp")
    except (psutil.Error, OSError):
        return None
    listeners = (each for each in connections if each.status == psutil.CONN_LISTEN and each.pid)
    return next((each.pid for each in listeners if _clashes(address, *each.laddr)), None)


def _clashes(address: Address, host: str, port: int) -> bool:
    wildcard = WILDCARDS[address.family]
    own_host = address.host.partition("%")[0]
    # Each socket at port 0 gets a port of its own.
    return 0 < port == address.port and (host in (own_host, wildcard) or own_host == wildcard)
