"""Command line, environment and files become one configuration.

Nothing here stops at the first error: the operator sees all of them at once, in the order
of the sources and then of the rules.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mogstored.config.diagnostics import Diagnostics
from mogstored.config.model import ServiceConfig
from mogstored.config.rows.setting import Merge, Scope, Setting
from mogstored.config.settings import BY_NAME, EXCLUSIVE, LISTENERS, kept
from mogstored.config.source import Source, Sourced
from mogstored.config.values.addresses import Address
from mogstored.log.printable import reason

Said = Sourced[Any] | None


@dataclass(slots=True)
class ServiceDraft:
    """A service before its docroot is looked up."""

    docroot: Sourced[str]
    listeners: dict[str, Sourced[Address]]
    serves_http: Sourced[bool] | None
    fields: dict[str, Any]
    source: str


@dataclass(slots=True)
class Merged:
    """What the sources say together; `fields` are those of `Config`."""

    services: list[ServiceDraft]
    fields: dict[str, Any]


class _Sources:
    """Those that a value may come from, the last resort among them."""

    def __init__(
        self,
        cli: Source,
        files: Sequence[Source],
        environment: Source,
        diagnostics: Diagnostics,
    ) -> None:
        self._cli = cli
        self._files = files
        self._environment = environment
        self._diagnostics = diagnostics

    def merge(self, setting: Setting) -> Said:
        """Return what they say together, without the default."""
        said = [said for file in self._files if (said := file.get(setting.name))]
        merged = _RULES[setting.merge](
            setting.name, self._cli.get(setting.name), said, self._diagnostics
        )
        return self._environment.get(setting.name) if merged is None else merged

    def fields(self, settings: Iterable[Setting]) -> dict[str, Any]:
        """Return the values of the settings, or their defaults, by field."""
        merged = [(setting, self.merge(setting)) for setting in settings]
        return {
            setting.field: setting.default if said is None else said.value
            for setting, said in merged
        }


def merge(
    cli: Source,
    files: Sequence[Source],
    environment: Source,
    multi: bool,
    diagnostics: Diagnostics,
) -> Merged:
    """Merge by the rules for one service or for several, as the number of files asks."""
    if len(files) > 1:
        _prepare_several(cli, files, diagnostics)
    else:
        files = files or [Source()]
        _prepare_one(cli, files[0])
    node = _Sources(cli, files, environment, diagnostics)
    fields = node.fields(kept(Scope.NODE))
    if len(files) > 1 and not multi:
        diagnostics.error("several --config are only allowed with --multi")
    services = [
        draft
        for file in files
        if (draft := _draft(file.name, _Sources(cli, [file], environment, diagnostics)))
    ]
    for draft in services:
        _leave_http(draft, diagnostics)
    _check_docroots(services, diagnostics)
    _check_addresses(services, node.merge(BY_NAME["adminlisten"]), diagnostics)
    return Merged(services, fields)


def _prepare_one(cli: Source, file: Source) -> None:
    """Let `file` say what is the default, where neither says anything."""
    if not (cli.says("docroot") or file.says("docroot")):
        file.fill(BY_NAME["docroot"])
    if not (cli.listens() or file.listens()):
        for name in LISTENERS:
            if BY_NAME[name].default is not None:
                file.fill(BY_NAME[name])


def _prepare_several(cli: Source, files: Sequence[Source], diagnostics: Diagnostics) -> None:
    """Leave what a service needs to its file alone."""
    for name in EXCLUSIVE:
        if said := cli.get(name):
            diagnostics.error(f"{said.shown}: not together with several --config")
    cli.mark_invalid(EXCLUSIVE)
    for file in files:
        if not file.listens():
            diagnostics.error(f"{file.name}: no listener, but one of several --config needs one")
        if not file.says("docroot"):
            diagnostics.error(f"{file.name}: no docroot, but one of several --config needs one")


def _draft(name: str, sources: _Sources) -> ServiceDraft | None:
    """Return the service that the file `name` makes; None without a docroot."""
    docroot = sources.merge(BY_NAME["docroot"])
    if docroot is None:
        return None
    listeners = {name: said for name in LISTENERS if (said := sources.merge(BY_NAME[name]))}
    others = [s for s in kept(Scope.SERVICE) if s.name not in ("docroot", *LISTENERS)]
    server = sources.merge(BY_NAME["server"])
    return ServiceDraft(docroot, listeners, server, sources.fields(others), name)


def _leave_http(draft: ServiceDraft, diagnostics: Diagnostics) -> None:
    """Drop the listeners that another program has."""
    if draft.serves_http is None or draft.serves_http.value:
        return
    draft.listeners = {n: said for n, said in draft.listeners.items() if n == "mgmtlisten"}
    if not draft.listeners:
        diagnostics.warn(f"WARNING: {draft.serves_http.shown}: no listener is left")


def _check_docroots(drafts: Sequence[ServiceDraft], diagnostics: Diagnostics) -> None:
    seen: dict[str, Sourced[str]] = {}
    for docroot in (draft.docroot for draft in drafts):
        first = seen.setdefault(os.path.realpath(docroot.value), docroot)
        if first is not docroot:
            diagnostics.error(f"{docroot.shown}: the docroot of another file, {first.shown}")


def _check_addresses(
    drafts: Sequence[ServiceDraft], admin: Said, diagnostics: Diagnostics
) -> None:
    """A system may have let only the first of two be bound."""
    seen: dict[str, Sourced[Address]] = {}
    listeners = [said for draft in drafts for said in draft.listeners.values()]
    if admin is not None:
        listeners += [Sourced(each, admin.shown) for each in admin.value]
    for said in listeners:
        first = seen.setdefault(said.value.text, said)
        if first is not said and said.value.port:
            diagnostics.error(f"{said.shown}: the address of another listener, {first.shown}")


# The rules: what the command line and the files say, to what it means together.


def _override(name: str, cli: Said, files: Sequence[Sourced[Any]], found: Diagnostics) -> Said:
    if cli is not None:
        return cli
    for other in files[1:]:
        if other.value != files[0].value:
            found.error(f"{name} has two different values: {files[0].shown}, {other.shown}")
    return files[0] if files else None


def _same_file(name: str, cli: Said, files: Sequence[Sourced[Any]], found: Diagnostics) -> Said:
    said = _together(cli, files)
    for other in said[1:]:
        if os.path.realpath(other.value) != os.path.realpath(said[0].value):
            found.error(f"{name} names two different files: {said[0].shown}, {other.shown}")
    return said[0] if said else None


def _sum(_name: str, cli: Said, files: Sequence[Sourced[Any]], _found: Diagnostics) -> Said:
    total = sum(said.value for said in _together(cli, files))
    return Sourced(total, "") if total else None


def _any(_name: str, cli: Said, files: Sequence[Sourced[Any]], _found: Diagnostics) -> Said:
    return Sourced(any(said.value for said in _together(cli, files)), "")


def _all(_name: str, cli: Said, files: Sequence[Sourced[Any]], _found: Diagnostics) -> Said:
    return cli or Sourced(all(said.value for said in files), "")


def _shortest(_name: str, cli: Said, files: Sequence[Sourced[Any]], _found: Diagnostics) -> Said:
    return cli or min(files, key=lambda said: said.value, default=None)


def _join(_name: str, cli: Said, files: Sequence[Sourced[Any]], _found: Diagnostics) -> Said:
    if cli is not None or len(files) < 2:
        return cli or (files[0] if files else None)
    # Every file may name the same ones: they are the node's.
    addresses = dict.fromkeys(each for said in files for each in said.value)
    return Sourced(tuple(addresses), ", ".join(said.shown for said in files))


def _append(_name: str, cli: Said, files: Sequence[Sourced[Any]], _found: Diagnostics) -> Said:
    said = _together(cli, files)
    whole = sum((one.value for one in said), ())
    return Sourced(whole, ", ".join(one.shown for one in said)) if said else None


def _together(cli: Said, files: Sequence[Sourced[Any]]) -> list[Sourced[Any]]:
    return [*([] if cli is None else [cli]), *files]


_Rule = Callable[[str, Said, Sequence[Sourced[Any]], Diagnostics], Said]
_RULES: dict[Merge, _Rule] = {
    Merge.OVERRIDE: _override,
    Merge.SAME_FILE: _same_file,
    Merge.SUM: _sum,
    Merge.ANY: _any,
    Merge.ALL: _all,
    Merge.SHORTEST: _shortest,
    Merge.APPEND: _append,
    Merge.JOIN: _join,
}


def resolve(draft: ServiceDraft, diagnostics: Diagnostics) -> ServiceConfig:
    """Look the docroot up; it stays as typed, with an error, when it cannot be used."""
    docroot = draft.docroot.value
    try:
        docroot = os.path.realpath(docroot, strict=True)
        # It is listed, and entered.
        os.close(os.open(docroot, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        os.stat(os.path.join(docroot, "."))
    except OSError as error:
        diagnostics.error(f"{draft.docroot.shown}: {reason(error)}")
    fields = {**draft.fields, **{name: said.value for name, said in draft.listeners.items()}}
    return ServiceConfig(docroot=docroot, source=draft.source, **fields)
