"""The settings of a node, merged and valid: what the rest of the program reads."""

from __future__ import annotations

from dataclasses import dataclass

from mogstored.listeners import Address

DEFAULT_DOCROOT = "/var/mogdata"
DEFAULT_HTTPLISTEN = "0.0.0.0:7500"
DEFAULT_MGMTLISTEN = "0.0.0.0:7501"
DEFAULT_MAXCONNS = 10_000
DEFAULT_USAGE_INTERVAL_S = 10
LOG_FORMATS = ("text", "json")


class ConfigError(Exception):
    """Why the node does not start: one line, without the program's name in front."""

    def __init__(self, message: str, exit_status: int = 1) -> None:
        super().__init__(message)
        self.exit_status = exit_status


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """One docroot and what serves it; None stands for a listener that is not wanted."""

    docroot: str  # absolute, links resolved
    httplisten: Address | None = None
    httpgetlisten: Address | None = None
    mgmtlisten: Address | None = None
    require_mount: bool = False
    source: str = "command line"  # the file it came from, for messages


@dataclass(frozen=True, slots=True)
class Config:
    """What a node is told by its operator."""

    services: tuple[ServiceConfig, ...]
    pidfile: str | None = None  # as typed
    daemonize: bool = False
    maxconns: int = DEFAULT_MAXCONNS
    worker_processes: int = 0
    aio_threads: int | None = None
    log_format: str = "text"
    usage_interval_s: int = DEFAULT_USAGE_INTERVAL_S
    iostat: bool = True
    stop_timeout_s: int | None = None  # None: as long as it takes
