"""What a new configuration means to a node that runs with another one."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from mogstored.config import Option, load
from mogstored.config.rows.setting import Scope
from mogstored.config.settings import kept
from mogstored.process.reload import compare

if TYPE_CHECKING:
    from pathlib import Path

    from mogstored.config import Config


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """The configuration of two services."""
    files = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        file = tmp_path / f"{name}.conf"
        file.write_text(f"docroot = {tmp_path}/{name}\nhttplisten = 127.0.0.1:0\n")
        files.append(Option("config", str(file)))
    config, diagnostics = load([Option("multi", "yes"), *files], {})
    assert diagnostics.lines() == []
    return config


def test_same_configuration_changes_nothing(config: Config) -> None:
    found = compare(config, config)
    assert found.config == config
    assert (found.taken, found.refused) == ((), ())
    reloadable = {row.name for row in kept(Scope.NODE) if row.is_reloadable}
    assert reloadable <= set(found.unchanged)
    assert len(set(found.unchanged)) == len(found.unchanged)


@pytest.mark.parametrize("scope", [Scope.NODE, Scope.SERVICE])
def test_each_setting_is_taken_or_refused_as_its_row_says(config: Config, scope: Scope) -> None:
    for row in kept(scope):
        if row.name == "docroot":
            continue
        # Of a type that no setting has: it is only compared and shown.
        changes: dict[str, Any] = {row.field: "other"}
        if scope is Scope.NODE:
            new = dataclasses.replace(config, **changes)
            line = f"{row.name} = other"
        else:
            first, second = config.services
            changed = dataclasses.replace(second, **changes)
            new = dataclasses.replace(config, services=(first, changed))
            line = f"{row.name} = other ({second.docroot})"
        found = compare(config, new)
        if row.is_reloadable:
            assert (found.taken, found.refused) == ((line,), ())
            assert found.config == new
        else:
            assert (found.taken, found.refused) == ((), (line,))
            assert found.config == config


def test_value_that_is_gone(config: Config) -> None:
    before = dataclasses.replace(config, access_log="/log")
    assert compare(before, config).taken == ("no access_log",)


def test_services_in_another_order_are_the_same(config: Config) -> None:
    first, second = config.services
    new = dataclasses.replace(config, services=(second, first))
    found = compare(config, new)
    assert found.refused == ()
    assert found.config == config


def test_service_that_comes_or_goes_needs_an_upgrade(config: Config) -> None:
    first, second = config.services
    other = dataclasses.replace(second, docroot="/other")
    found = compare(config, dataclasses.replace(config, services=(other, first)))
    assert found.refused == ("docroot = /other", f"no docroot = {second.docroot}")
    assert found.config == config
