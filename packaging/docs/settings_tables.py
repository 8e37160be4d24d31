"""The tables of docs/configuration.md, from the table of settings."""

from __future__ import annotations

from collections.abc import Iterator

from mogstored.config.rows.setting import Merge, Setting
from mogstored.config.settings import KEYS, SETTINGS

_RELOADABLE = "HUP applies a change."


def settings() -> Iterator[str]:
    """Yield what can be set, and how."""
    yield "| option | key | default | meaning |"
    yield "|---|---|---|---|"
    for setting in SETTINGS:
        key = f"`{setting.name}`" if setting.is_key else ""
        option = "" if setting.is_hidden else ", ".join(f"`{flag}`" for flag in flags(setting))
        default = setting.shown_default
        yield f"| {option} | {key} | {default} | {meaning(setting)} |"


def flags(setting: Setting) -> Iterator[str]:
    value = f" {setting.metavar}" if setting.metavar else ""
    for flag in (setting.short, f"--{setting.option}"):
        if flag:
            yield flag + value
    if setting.opposite:
        yield f"--no-{setting.option}"


def meaning(setting: Setting) -> str:
    end = "" if setting.help.endswith(".") else "."
    about = " ".join(filter(None, (setting.about, setting.is_reloadable and _RELOADABLE)))
    return f"{setting.help}{end} {about}" if about else setting.help


def rules() -> Iterator[str]:
    """Yield how the command line and files become one value."""
    yield "| keys | command line and files together |"
    yield "|---|---|"
    for rule in Merge:
        keys = [f"`{key}`" for key, row in KEYS.items() if row.merge is rule and row.is_kept]
        yield f"| {', '.join(keys)} | {rule.value} |"
