"""The table of settings agrees with itself, and with the fields that receive its values."""

from __future__ import annotations

from dataclasses import fields

import pytest

from mogstored.config.model import Config, ServiceConfig
from mogstored.config.rows.setting import Scope, Setting
from mogstored.config.settings import BY_NAME, KEYS, LISTENERS, SETTINGS, kept
from mogstored.config.values.processes import ProcessCount


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


def test_defaults() -> None:
    defaults = {s.name: s.default for s in SETTINGS if s.default is not None and s.default != ()}
    assert defaults == {
        "docroot": "/var/mogdata",
        "httplisten": "0.0.0.0:7500",
        "mgmtlisten": "0.0.0.0:7501",
        "require_mount": False,
        "durability": "none",
        "checksum_at_rest": "auto",
        "scrub_rate": 20,
        "daemonize": False,
        "maxconns": 10_000,
        "worker_processes": ProcessCount(0),
        "usage_interval": 10,
        "iostat": True,
        "log_format": "text",
        "error_write_limit": 20,
        "error_read_limit": 0,
        "error_window": 60,
        "access_log_format": "combined",
        "log_level": "info",
    }


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (
            "is_reloadable",
            (
                "allow deny client_header_timeout client_body_timeout send_timeout"
                " keepalive_timeout min_free error_write_limit error_read_limit error_window"
                " access_log access_log_format log_level"
            ),
        ),
        ("is_list", "adminlisten allow deny"),
        ("is_lenient", "iostat skipconfig"),
        ("is_exclusive", "docroot httplisten httpgetlisten mgmtlisten"),
        ("is_hidden", "server"),
    ],
)
def test_rows_of_a_kind(kind: str, names: str) -> None:
    assert [s.name for s in SETTINGS if getattr(s, kind)] == names.split()


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
