"""The settings of a node, merged and valid: what the rest of the program reads."""

from __future__ import annotations

from dataclasses import dataclass

from mogstored.config.values.addresses import Address
from mogstored.config.values.duration import Duration
from mogstored.config.values.free_space import MinFree
from mogstored.config.values.networks import AccessRule
from mogstored.config.values.processes import ProcessCount


class ConfigError(Exception):
    """Why the node does not start: one line, without the program's name in front."""

    def __init__(self, message: str, exit_status: int = 1) -> None:
        super().__init__(message)
        self.exit_status = exit_status


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceConfig:
    """One docroot and what serves it; None stands for a listener that is not wanted."""

    docroot: str  # absolute, links resolved
    httplisten: Address | None = None
    httpgetlisten: Address | None = None
    mgmtlisten: Address | None = None
    require_mount: bool
    durability: str
    checksum_at_rest: str = "auto"
    access: tuple[AccessRule, ...] = ()
    source: str  # the file it came from, for messages


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The settings of the node; `mogstored.config.settings` says what each is."""

    services: tuple[ServiceConfig, ...]
    adminlisten: tuple[Address, ...] = ()
    pidfile: str | None  # as typed
    daemonize: bool
    maxconns: int
    worker_processes: ProcessCount
    aio_threads: int | None
    stop_timeout_s: int | None  # None: as long as it takes
    usage_interval_s: int
    iostat: bool
    log_format: str
    access_log: str | None  # as typed: a path, "-" or "syslog"
    access_log_format: str
    log_level: str
    client_header_timeout_s: int | None = None
    client_body_timeout_s: int | None = None
    send_timeout_s: int | None = None
    keepalive_timeout_s: int | None = None
    min_free: MinFree | None = None
    error_write_limit: int = 0  # 0: any number
    error_read_limit: int = 0
    error_window_s: int = 60
    scrub: Duration | None = None
    scrub_rate: int = 20  # MiB/s
