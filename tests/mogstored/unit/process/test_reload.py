"""What a new configuration means to a node that runs with another one."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

from mogstored.config import Option, load
from mogstored.config.rows.setting import Scope
from mogstored.config.settings import kept
from mogstored.process import reload as module
from mogstored.process.reload import Reloader, compare

if TYPE_CHECKING:
    from collections.abc import Sequence
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


class TestReloader:
    """What the log says, at which level, and what is applied."""

    @pytest.fixture
    def levels(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> list[str]:
        caplog.set_level("DEBUG", "mogstored")
        levels: list[str] = []
        monkeypatch.setattr(module, "set_level", levels.append)
        return levels

    def reload(
        self, config: Config, new: Config, *, is_fatal: bool = False, lines: Sequence[str] = ()
    ) -> tuple[Reloader, list[Config]]:
        diagnostics = Mock()
        diagnostics.lines.return_value = list(lines)
        diagnostics.are_fatal.return_value = is_fatal
        applied: list[Config] = []
        reloader = Reloader(config, lambda: (new, diagnostics), is_strict=True)
        reloader.reload(applied.append)
        diagnostics.are_fatal.assert_called_once_with(is_strict=True)
        return reloader, applied

    def test_faults_change_nothing(
        self, config: Config, levels: list[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        new = dataclasses.replace(config, log_level="debug")
        reloader, applied = self.reload(config, new, is_fatal=True, lines=["line 3: no"])
        assert (reloader.config, applied, levels) == (config, [config], [])
        assert [(each.levelname, each.message) for each in caplog.records] == [
            ("ERROR", "HUP: line 3: no"),
            ("ERROR", "HUP: the configuration has faults: nothing of it was applied"),
        ]

    @pytest.mark.parametrize(
        ("before", "after", "shown"),
        [("info", "error", "info"), ("error", "debug", "debug")],
    )
    def test_changes(
        self,
        config: Config,
        levels: list[str],
        caplog: pytest.LogCaptureFixture,
        before: str,
        after: str,
        shown: str,
    ) -> None:
        config = dataclasses.replace(config, log_level=before)
        new = dataclasses.replace(config, log_level=after, iostat="other")  # type: ignore[arg-type]
        reloader, applied = self.reload(config, new, lines=["line 4: odd"])
        assert reloader.config == dataclasses.replace(config, log_level=after)
        assert applied == [reloader.config]
        # The lines appear if either level asks for them.
        assert levels == [shown, after]
        said = [(each.levelname, each.message) for each in caplog.records]
        unchanged = said.pop()
        assert unchanged[0] == "INFO"
        assert unchanged[1].startswith("HUP: unchanged: ")
        assert said == [
            ("WARNING", "HUP: line 4: odd"),
            ("INFO", f"HUP: applied: log_level = {after}"),
            ("WARNING", "HUP: not applied before an upgrade (USR2): iostat = other"),
        ]
