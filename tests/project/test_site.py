"""The documents as a site ask their own origin only, and fit a narrow screen.

`make site` builds it and runs this file. Without a built site only the way of looking is tested.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.project._tree import ROOT
from tests.support.browser import chromium, faults, requested, resize, value
from tests.support.pages import is_foreign, loads, served
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver

# With a picture, with the widest tables, with the longest lines of code.
NARROW = ["", "docs/configuration/", "docs/monitoring/", "docs/isolation/", "docs/mogpoll/"]
NARROW_PX = 400


@pytest.fixture(scope="module")
def site() -> Path:
    if "MOG_SITE" not in os.environ:
        pytest.skip("`make site` builds the site and runs this test")
    return Path(os.environ["MOG_SITE"])


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with served(site) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[WebDriver]:
    with chromium() as browser:
        yield browser


def loaded(site: Path) -> list[tuple[Path, str]]:
    files = [path for path in site.rglob("*") if path.suffix in (".html", ".css", ".svg")]
    return [(path, address) for path in files for address in loads(path)]


def test_no_page_loads_from_elsewhere(site: Path) -> None:
    found = loaded(site)
    assert len(found) > 100
    assert [(path, address) for path, address in found if is_foreign(address)] == []


def test_what_pages_load_is_there(site: Path) -> None:
    # The page for what is missing does not know where it is shown.
    named = [
        (path.parent / address.partition("?")[0].partition("#")[0], path)
        for path, address in loaded(site)
        if path.name != "404.html"
    ]
    assert [pair for pair in named if not pair[0].exists()] == []


def test_document_outside_of_the_navigation_fails_the_build(site: Path, tmp_path: Path) -> None:
    """By the command of tox.ini: its options decide whether warnings count."""
    assert site.exists()
    (line,) = re.findall(r"^ +(mkdocs .*)$", (ROOT / "tox.ini").read_text(), re.MULTILINE)
    command, _, config = line.rpartition(" ")
    folder = (ROOT / config).parent
    text = (ROOT / config).read_text().replace("  - Durability: docs/durability.md\n", "")
    for name in ("assets", "hook.py"):
        text = re.sub(rf"(?<=[:-] ){re.escape(name)}$", f"{folder / name}", text, flags=re.M)
    (tmp_path / "mkdocs.yml").write_text(text.replace("../../site", "site"))
    done = subprocess.run(
        [sys.executable, "-m", *command.split(), "mkdocs.yml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "docs/durability.md" in done.stderr


def test_browser_asks_the_own_origin_only(browser: WebDriver, address: str) -> None:
    requested(browser)
    browser.get(address)
    # The search loads its index and a worker.
    browser.execute_script(
        "const q = document.querySelector('[data-md-component=search-query]');"
        "q.focus(); q.value = 'durability';"
        "q.dispatchEvent(new KeyboardEvent('keyup', {bubbles: true}));"
    )
    found = "document.querySelectorAll('.md-search-result__item').length"
    wait_until(lambda: value(browser, found) > 0, "the search has found something")
    asked = requested(browser)
    assert any(name.endswith("search_index.json") for name in asked)
    assert [name for name in asked if not name.startswith(address)] == []
    assert faults(browser) == []


def test_pages_fit_a_narrow_screen(browser: WebDriver, address: str) -> None:
    resize(browser, NARROW_PX)
    widths = {}
    for name in NARROW:
        browser.get(address + name)
        widths[name] = value(browser, "document.documentElement.scrollWidth")
    assert widths == dict.fromkeys(NARROW, NARROW_PX)


def test_request_to_another_origin_is_noticed(browser: WebDriver, tmp_path: Path) -> None:
    with served(tmp_path) as own, served(tmp_path) as other:
        (tmp_path / "index.html").write_text(f"<p>text<img src='{other}picture.png'>")
        requested(browser)
        browser.get(own)
        assert f"{other}picture.png" in requested(browser)
    faults(browser)


PAGE = """
<link rel=stylesheet href="https://a.example/style.css"><link rel=canonical href="https://b.example">
<link rel="preconnect" href="//c.example"><script src="https://d.example/x.js"></script>
<img src="own.png" srcset="https://e.example/1.png 1x, own2.png 2x"><a href="https://f.example">
<style>@font-face { src: url("https://g.example/font.woff2") }</style>
<p style="background: url(http://h.example/i.png)"><svg><use href="#here"/></svg>
<img src="data:image/png;base64,AAAA"><iframe src="HTTP://i.example"></iframe>
"""


def test_every_way_of_loading_is_found(tmp_path: Path) -> None:
    page, style = tmp_path / "page.html", tmp_path / "style.css"
    page.write_text(PAGE)
    style.write_text("@import 'https://a.example/b.css'; p { background: url(../own.png) }")
    foreign = [address for address in loads(page) if is_foreign(address)]
    hosts = {address.lower().partition("//")[2].partition(".")[0] for address in foreign}
    assert hosts == set("acdeghi")
    assert {"own.png", "own2.png"} <= set(loads(page))
    assert [(is_foreign(name), name) for name in loads(style)] == [
        (True, "https://a.example/b.css"),
        (False, "../own.png"),
    ]
