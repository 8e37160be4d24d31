"""Make the tables of docs/configuration.md from the table of settings.

python packaging/docs/render.py [FILE]            writes them between their marks
python packaging/docs/render.py --check [FILE]    says if they are out of date, and exits with 1
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from mogstored.config.rows.setting import Merge, Setting
from mogstored.config.settings import KEYS, SETTINGS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"
_RELOADABLE = "HUP applies a change."
_MADE = re.compile(r"(<!-- made: (\w+) -->\n).*?(<!-- end -->\n)", re.DOTALL)


def main() -> int:
    """Write the page, or compare it."""
    files = [argument for argument in sys.argv[1:] if argument != "--check"]
    page = Path(files[0]) if files else PAGE
    text = page.read_text()
    made = _MADE.sub(lambda found: f"{found[1]}{TABLES[found[2]]}{found[3]}", text)
    if "--check" not in sys.argv[1:]:
        page.write_text(made)
    elif made != text:
        print(f"out of date: {page.name}; run python packaging/docs/render.py")
        return 1
    return 0


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


TABLES = {
    "settings": "".join(f"{line}\n" for line in settings()),
    "rules": "".join(f"{line}\n" for line in rules()),
}


if __name__ == "__main__":
    sys.exit(main())
