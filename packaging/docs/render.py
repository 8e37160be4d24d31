"""Make the tables of the reference pages in docs/ from the code.

python packaging/docs/render.py [FILE...]            writes them between their marks
python packaging/docs/render.py --check [FILE...]    says which are out of date, and exits with 1
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

# Also where Python runs with a safe path.
sys.path.insert(0, str(Path(__file__).parent))

import http_tables
import metrics_tables
import settings_tables
import sidechannel_tables

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = [DOCS / f"{name}.md" for name in ("configuration", "http", "metrics", "sidechannel")]
TABLES = {
    "settings": settings_tables.settings,
    "rules": settings_tables.rules,
    "metrics": metrics_tables.metrics,
    "commands": sidechannel_tables.commands,
    "statuses": http_tables.statuses,
    "errors": http_tables.errors,
    "accepted": http_tables.accepted,
    "refused": http_tables.refused,
}
_MADE = re.compile(r"(<!-- made: (\w+) -->\n).*?(<!-- end -->\n)", re.DOTALL)


def main() -> int:
    """Write the pages, or compare them."""
    files = [Path(argument) for argument in sys.argv[1:] if argument != "--check"]
    status = 0
    for page in files or PAGES:
        text = page.read_text()
        made = _MADE.sub(lambda found: f"{found[1]}{table(found[2])}{found[3]}", text)
        if "--check" not in sys.argv[1:]:
            page.write_text(made)
        elif made != text:
            print(f"out of date: {page.name}; run python packaging/docs/render.py")
            status = 1
    return status


def table(name: str) -> str:
    """Return the lines of a table."""
    return "".join(f"{line}\n" for line in TABLES[name]())


if __name__ == "__main__":
    sys.exit(main())
