"""The table of settings agrees with itself, and with the fields that receive its values."""

from __future__ import annotations

from dataclasses import fields

import pytest

from mogstored.config.model import Config, ServiceConfig
from mogstored.config.rows.setting import Scope, Setting
from mogstored.config.settings import BY_NAME, KEYS, LISTENERS, SETTINGS, kept


@pytest.mark.parametrize(
    ("scope", "model", "others"),
    [(Scope.NODE, Config, {"services"}), (Scope.SERVICE, ServiceConfig, {"source"})],
)
def test_each_value_has_its_field(
    scope: Scope, model: type[Config | ServiceConfig], others: set[str]
) -> None:
    assert {setting.field for setting in kept(scope)} == {f.name for f in fields(model)} - others


def test_names_are_unique() -> None:
    assert len(BY_NAME) == len({setting.option for setting in SETTINGS}) == len(SETTINGS)


def test_keys_are_words_of_config_files() -> None:
    assert all(key.replace("_", "").isalpha() and key.islower() for key in KEYS)


def test_listeners_come_in_the_order_of_binding() -> None:
    assert LISTENERS == ("httplisten", "httpgetlisten", "mgmtlisten")


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_row(setting: Setting) -> None:
    assert setting.help[0].islower()
    assert not setting.help.endswith(".") or setting.help.endswith("...")
    assert not setting.about or setting.about.endswith(".")
    if setting.default not in (None, ()) and setting.metavar not in ("", "ADDR"):
        assert setting.parse(str(setting.default)) == setting.default
    if setting.choices:
        assert [str(setting.parse(choice)) for choice in setting.choices] == list(setting.choices)
    if setting.is_exclusive:
        assert setting.scope is Scope.SERVICE
