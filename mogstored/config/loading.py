"""From options and environment to a configuration; reads the files that are named."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from mogstored.config.daemon_paths import objections
from mogstored.config.diagnostics import Diagnostics
from mogstored.config.file import parse_file
from mogstored.config.merge import merge, resolve
from mogstored.config.model import Config
from mogstored.config.settings import BY_NAME, KEYS, SETTINGS
from mogstored.config.source import Source
from mogstored.log.printable import reason

_IOSTAT = "MOG_IOSTAT_CMD"
# A word in which the shell sees nothing special.
_PLAIN_WORD = re.compile(r"[\w./+:@%,]+[\w./+:@%,=-]*")


class Option(NamedTuple):
    """An option as it was met: its name without dashes, and its word, "yes" for a flag."""

    name: str
    word: str


@dataclass(slots=True)
class _Named:
    """What the options name: settings, and files that have more."""

    command_line: Source = field(default_factory=Source)
    file_names: list[str] = field(default_factory=list)
    files: list[Source] = field(default_factory=list)
    multi: bool = False


def load(options: Sequence[Option], environ: Mapping[str, str]) -> tuple[Config, Diagnostics]:
    """Return the configuration and what was found while making it.

    With errors among the diagnostics the configuration has what is valid.
    """
    diagnostics = Diagnostics()
    named = _Named()
    for option in options:
        _apply(option, named, diagnostics)
    environment = _read_environment(environ, diagnostics)
    merged = merge(named.command_line, named.files, environment, named.multi, diagnostics)
    services = tuple(resolve(draft, diagnostics) for draft in merged.services)
    config = Config(services=services, **merged.fields)
    if config.iostat and (complaint := _iostat_complaint(environ)):
        diagnostics.warn(complaint)
    if config.daemonize:
        docroots = [draft.docroot.value for draft in merged.services]
        # Last: scripts look for its summary in the last line.
        paths = named.file_names, docroots, config.pidfile
        if lines := objections(*paths, environ, config.access_log):
            diagnostics.error(*lines)
    return config, diagnostics


def _apply(option: Option, named: _Named, diagnostics: Diagnostics) -> None:
    name, word = option
    if name == "config":
        _read_once(word, named, diagnostics)
    elif name == "multi":
        named.multi = True
    else:
        setting = BY_NAME[name.replace("-", "_")]
        named.command_line.set(setting, word, f"--{name}={word}", diagnostics)


def _read_environment(environ: Mapping[str, str], diagnostics: Diagnostics) -> Source:
    """Return what variables say; a wrong one is no reason not to start."""
    source = Source("environment")
    for setting in SETTINGS:
        # Most have no variable, and an environment may hold one without a name.
        if setting.variable and (word := environ.get(setting.variable)) is not None:
            shown = f"{setting.variable}={word}"
            source.set(replace(setting, is_lenient=True), word, shown, diagnostics)
    return source


def _read_once(name: str, named: _Named, diagnostics: Diagnostics) -> None:
    """Read a config file, unless it was named before."""
    if os.path.realpath(name) in map(os.path.realpath, named.file_names):
        diagnostics.error(f"--config={name}: the same file is given twice")
    else:
        named.files.append(_read(name, diagnostics))
    named.file_names.append(name)


def _read(name: str, diagnostics: Diagnostics) -> Source:
    try:
        with open(name, "rb") as file:
            content = file.read()
    except OSError as error:
        diagnostics.error(f"cannot read config file {name}: {reason(error)}")
    else:
        if content:
            return parse_file(content, name, diagnostics)
        diagnostics.error(f"cannot read config file {name}: it is empty")
    source = Source(name)
    source.mark_invalid(KEYS)
    return source


def _iostat_complaint(environ: Mapping[str, str]) -> str | None:
    """Say that the command which replaces iostat does not exist, as far as that is certain."""
    command = environ.get(_IOSTAT, "")
    word = command.split(maxsplit=1)[0] if command.strip() else ""
    if not _PLAIN_WORD.fullmatch(word):
        return None
    directories = [""] if "/" in word else environ.get("PATH", os.defpath).split(":")
    files = [os.path.join(directory, word) for directory in directories]
    if any(os.path.isfile(file) and os.access(file, os.X_OK) for file in files):
        return None
    return f"WARNING: {_IOSTAT}={command}: no program '{word}'; utilization will be unknown"
