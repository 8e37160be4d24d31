"""From options and environment to a configuration; reads the files that are named."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from mogstored.config import config_file, values
from mogstored.config.detaching import objections
from mogstored.config.findings import Findings
from mogstored.config.merge import merge, settle
from mogstored.config.model import DEFAULT_USAGE_INTERVAL_S, LOG_FORMATS, Config
from mogstored.config.settings import VALUE_KEYS, Settings

_INTERVAL = "MOG_DISK_USAGE_INTERVAL"


class Option(NamedTuple):
    """An option as it was met: its name without dashes, and its word, "yes" for a flag."""

    name: str
    word: str


@dataclass(slots=True)
class _CommandLine:
    settings: Settings = field(default_factory=Settings)
    config_names: list[str] = field(default_factory=list)
    files: list[Settings] = field(default_factory=list)
    multi: bool = False
    worker_processes: int = 0
    aio_threads: int | None = None
    log_format: str = LOG_FORMATS[0]


def load(options: Sequence[Option], environ: Mapping[str, str]) -> tuple[Config, Findings]:
    """Return the configuration and what was found while making it.

    With errors among the findings the configuration is what is left of it without them.
    """
    findings = Findings()
    line = _CommandLine()
    for option in options:
        _take(line, option, findings)
    merged = merge(line.settings, line.files, line.multi, findings)
    pidfile = merged.pidfile.value if merged.pidfile else None
    if merged.daemonize:
        docroots = [service.docroot.value for service in merged.services]
        if lines := objections(line.config_names, docroots, pidfile, environ):
            findings.error(*lines)
    services = [settle(draft, findings) for draft in merged.services]
    config = Config(
        services=tuple(service for service in services if service),
        pidfile=pidfile,
        daemonize=merged.daemonize,
        maxconns=merged.maxconns,
        worker_processes=line.worker_processes,
        aio_threads=line.aio_threads,
        log_format=line.log_format,
        usage_interval_s=_usage_interval(environ.get(_INTERVAL), findings),
        iostat=merged.iostat,
        stop_timeout_s=merged.stop_timeout_s,
    )
    return config, findings


def _take(line: _CommandLine, option: Option, findings: Findings) -> None:
    name, word = option
    shown = f"--{name}={word}"
    try:
        if name == "config":
            line.files.append(_read(word, line.config_names, findings))
            line.config_names.append(word)
        elif name == "multi":
            line.multi = True
        elif name == "worker-processes":
            line.worker_processes = values.parse_worker_processes(word)
        elif name == "aio-threads":
            line.aio_threads = values.parse_aio_threads(word)
        elif name == "log-format":
            line.log_format = values.parse_choice(word, LOG_FORMATS)
        else:
            line.settings.take(name.replace("-", "_"), word, shown, findings)
    except ValueError as error:
        findings.error(f"{shown}: {error}")


def _read(name: str, earlier: Sequence[str], findings: Findings) -> Settings:
    """Read a config file, unless it is one of the `earlier` ones."""
    settings = Settings(name)
    if os.path.realpath(name) in map(os.path.realpath, earlier):
        findings.error(f"--config={name}: the same file is given twice")
    else:
        try:
            with open(name, "rb") as file:
                content = file.read()
        except OSError as error:
            findings.error(f"cannot read config file {name}: {error.strerror}")
        else:
            if content:
                return config_file.parse(content, name, findings)
            findings.error(f"cannot read config file {name}: it is empty")
    settings.spoil(*VALUE_KEYS)
    return settings


def _usage_interval(word: str | None, findings: Findings) -> int:
    if word is None:
        return DEFAULT_USAGE_INTERVAL_S
    try:
        return values.parse_interval(word)
    except ValueError as error:
        findings.warn(f"WARNING: {_INTERVAL}={word}: {error}; using {DEFAULT_USAGE_INTERVAL_S}")
        return DEFAULT_USAGE_INTERVAL_S
