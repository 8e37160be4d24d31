"""Command line and files become one configuration.

Nothing here stops at the first error: a check reports all of them. They are found in the
order in which a start looks at them, and a start shows the first.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from mogstored.config.findings import Findings
from mogstored.config.model import (
    DEFAULT_DOCROOT,
    DEFAULT_HTTPLISTEN,
    DEFAULT_MAXCONNS,
    DEFAULT_MGMTLISTEN,
    ServiceConfig,
)
from mogstored.config.settings import LISTENERS, Given, Settings
from mogstored.listeners import Address, parse_address


@dataclass(slots=True)
class Draft:
    """A service before anybody looked whether its docroot exists."""

    docroot: Given[str]
    httplisten: Address | None
    httpgetlisten: Address | None
    mgmtlisten: Address | None
    require_mount: bool
    source: str


@dataclass(slots=True)
class Merged:
    """What the sources say together."""

    services: list[Draft]
    pidfile: Given[str] | None
    daemonize: bool
    maxconns: int
    iostat: bool
    stop_timeout_s: int | None


def merge(cli: Settings, files: Sequence[Settings], multi: bool, findings: Findings) -> Merged:
    """Merge by the rules for one service or for several, whichever the number of files asks."""
    if len(files) > 1:
        return _merge_several(cli, files, multi, findings)
    return _merge_one(cli, files[0] if files else Settings(), findings)


def _merge_one(cli: Settings, file: Settings, findings: Findings) -> Merged:
    docroot = _agreed("docroot", [cli, file], findings)
    if docroot is None and "docroot" not in cli.spoiled | file.spoiled:
        docroot = Given(DEFAULT_DOCROOT, f"docroot = {DEFAULT_DOCROOT} (the default)")
    pidfile = _agreed("pidfile", [cli, file], findings)
    if not cli.listens() and not file.listens():
        file.httplisten = Given(parse_address(DEFAULT_HTTPLISTEN), "")
        file.mgmtlisten = Given(parse_address(DEFAULT_MGMTLISTEN), "")
    services = [_draft(cli, file, docroot, findings)] if docroot else []
    return _merged(cli, [file], services, pidfile)


def _merge_several(
    cli: Settings, files: Sequence[Settings], multi: bool, findings: Findings
) -> Merged:
    for key in ("docroot", *LISTENERS):
        if given := getattr(cli, key):
            findings.error(f"{given.shown}: not together with several --config")
    for file in files:
        if not file.listens():
            findings.error(f"{file.source}: no listener, but one of several --config needs one")
        if not file.docroot and "docroot" not in file.spoiled:
            findings.error(f"{file.source}: no docroot, but one of several --config needs one")
    pidfile = _agreed("pidfile", [cli, *files], findings)
    if not multi:
        findings.error("several --config are only allowed with --multi")
    _check_distinct([file.docroot for file in files if file.docroot], findings)
    cli.spoil("docroot", *LISTENERS)
    services = [_draft(cli, file, file.docroot, findings) for file in files if file.docroot]
    return _merged(cli, files, services, pidfile)


def _agreed(key: str, sources: Sequence[Settings], findings: Findings) -> Given[str] | None:
    """Return the first source's value; all that give one must mean the same file."""
    given: list[Given[str]] = [value for source in sources if (value := getattr(source, key))]
    for other in given[1:]:
        if os.path.realpath(other.value) != os.path.realpath(given[0].value):
            findings.error(f"{key} names two different files: {given[0].shown}, {other.shown}")
    return given[0] if given else None


def _check_distinct(docroots: Sequence[Given[str]], findings: Findings) -> None:
    seen: dict[str, Given[str]] = {}
    for docroot in docroots:
        first = seen.setdefault(os.path.realpath(docroot.value), docroot)
        if first is not docroot:
            findings.error(f"{docroot.shown}: the docroot of another file, {first.shown}")


def _draft(cli: Settings, file: Settings, docroot: Given[str], findings: Findings) -> Draft:
    http, httpget, mgmt = (
        given.value if (given := getattr(cli, key) or getattr(file, key)) else None
        for key in LISTENERS
    )
    serves_http = cli.serves_http or file.serves_http
    if serves_http and not serves_http.value:
        http = httpget = None
        if mgmt is None:
            findings.warn(f"WARNING: {serves_http.shown}: no listener is left")
    return Draft(
        docroot=docroot,
        httplisten=http,
        httpgetlisten=httpget,
        mgmtlisten=mgmt,
        require_mount=_any(cli.require_mount, file.require_mount),
        source=file.source,
    )


def _merged(
    cli: Settings, files: Sequence[Settings], services: list[Draft], pidfile: Given[str] | None
) -> Merged:
    sources = [cli, *files]
    iostat = [cli.iostat] if cli.iostat else [file.iostat for file in files]
    return Merged(
        services=services,
        pidfile=pidfile,
        daemonize=_any(*(source.daemonize for source in sources)),
        maxconns=sum(source.maxconns.value for source in sources if source.maxconns)
        or DEFAULT_MAXCONNS,
        iostat=all(given.value for given in iostat if given),
        stop_timeout_s=_stop_timeout_s(cli, files),
    )


def _stop_timeout_s(cli: Settings, files: Sequence[Settings]) -> int | None:
    """Return the command line's, else the shortest of the files."""
    if cli.stop_timeout:
        return cli.stop_timeout.value
    return min((file.stop_timeout.value for file in files if file.stop_timeout), default=None)


def _any(*switches: Given[bool] | None) -> bool:
    return any(given.value for given in switches if given)


def settle(draft: Draft, findings: Findings) -> ServiceConfig | None:
    """Look the docroot up; None, with an error, when it is not a directory."""
    try:
        docroot = os.path.realpath(draft.docroot.value, strict=True)
        # Only a directory can be entered.
        os.stat(os.path.join(docroot, "."))
    except OSError as error:
        findings.error(f"{draft.docroot.shown}: {error.strerror}")
        return None
    return ServiceConfig(
        docroot=docroot,
        httplisten=draft.httplisten,
        httpgetlisten=draft.httpgetlisten,
        mgmtlisten=draft.mgmtlisten,
        require_mount=draft.require_mount,
        source=draft.source,
    )
