"""The files of the site: the documents, where they are in the tree, and what they link to.

A page's path in the site is its path in the tree, so a link that works on a git host works here.
Source files that a document links to become pages that show them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File, Files, InclusionLevel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "bench" / "README.md",
]
PICTURES = {".png", ".svg"}

_LINK = re.compile(r"(?<=\]\()([^)\s#:]+)(?=[)#])")
_ROW = re.compile(r"^\|.*\|$", re.MULTILINE)
_CODE = re.compile(r"`[^`\n]+`")


def slug(heading: str, _separator: str) -> str:
    """Return the anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w-]", "", heading.strip().lower().replace(" ", "-"))


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    config.mdx_configs["toc"]["slugify"] = slug
    config.watch += [str(path) for path in DOCUMENTS]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the documents, and the files of the tree that they link to."""
    for path in sorted({*DOCUMENTS, *_linked(DOCUMENTS)}):
        name = path.relative_to(ROOT).as_posix()
        if path.suffix in {".md", *PICTURES}:
            file = File(name, str(ROOT), config.site_dir, config.use_directory_urls)
        else:
            file = File.generated(config, f"{name}.md", content=_shown(path))
        if path not in DOCUMENTS:
            file.inclusion = InclusionLevel.NOT_IN_NAV
        files.append(file)
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Turn links to sources into links to the pages that show them."""
    folder = (ROOT / page.file.src_uri).parent
    markdown = _LINK.sub(lambda link: _address(folder, link[1]), markdown)
    return _ROW.sub(lambda row: _CODE.sub(_unescaped, row[0]), markdown)


def _linked(documents: list[Path]) -> Iterator[Path]:
    for document in documents:
        for link in _LINK.findall(document.read_text(encoding="utf-8")):
            path = (document.parent / link).resolve()
            # The build says what is missing.
            if path.exists():
                yield path / "README.md" if (path / "README.md").exists() else path
                yield from _sources(path)


def _address(folder: Path, link: str) -> str:
    path = (folder / link).resolve()
    if (path / "README.md").exists():
        return f"{link.rstrip('/')}/README.md"
    return link if path.suffix in {".md", *PICTURES} or not path.exists() else f"{link}.md"


def _shown(path: Path) -> str:
    name = path.relative_to(ROOT).as_posix()
    if path.is_dir():
        links = (f"- [{file.name}]({path.name}/{file.name})" for file in _sources(path))
        return "\n".join((f"# {name}", "", *links, ""))
    language = "python" if path.suffix == ".py" else "text"
    return f"# {name}\n\n````{language}\n{path.read_text(encoding='utf-8')}````\n"


def _sources(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.py")) if folder.is_dir() else []


def _unescaped(code: re.Match[str]) -> str:
    # Between backticks Python-Markdown takes a pipe for itself, and shows a backslash.
    return code[0].replace("\\|", "|")
