"""What `--check-config` prints: the configuration, in the notation of config files."""

from __future__ import annotations

from collections.abc import Iterator

from mogstored.config.model import Config, ServiceConfig
from mogstored.config.settings import LISTENERS


def describe(config: Config) -> str:
    """Return the merged configuration.

    What has no key in config files is shown in comments. So the text for a single service is
    itself a config file that says the same.
    """
    return "".join(f"{line}\n" for line in _lines(config))


def _lines(config: Config) -> Iterator[str]:
    yield f"# --worker-processes={config.worker_processes}"
    yield f"# --log-format={config.log_format}"
    yield f"# MOG_DISK_USAGE_INTERVAL={config.usage_interval_s}"
    if config.pidfile is not None:
        yield f"pidfile = {config.pidfile}"
    yield f"daemonize = {_word(config.daemonize)}"
    yield f"maxconns = {config.maxconns}"
    yield f"iostat = {_word(config.iostat)}"
    if config.stop_timeout_s is not None:
        yield f"stop_timeout = {config.stop_timeout_s}"
    for service in config.services:
        yield ""
        yield f"# from {service.source}"
        yield from _service_lines(service)


def _service_lines(service: ServiceConfig) -> Iterator[str]:
    yield f"docroot = {service.docroot}"
    for key in LISTENERS:
        address = getattr(service, key)
        if address is not None:
            yield f"{key} = {address.typed}"
    yield f"require_mount = {_word(service.require_mount)}"


def _word(switch: bool) -> str:
    return "yes" if switch else "no"
