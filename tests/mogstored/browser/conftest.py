"""A browser for each file, and the page on a server that shows what the test wants."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.browser import chromium, faults, prefer, resize

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selenium.webdriver.chrome.webdriver import WebDriver


@pytest.fixture(scope="module")
def running_browser() -> Iterator[WebDriver]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def browser(running_browser: WebDriver) -> WebDriver:
    """The file's browser, with an empty page of 1280 pixels in light colours."""
    running_browser.get("about:blank")
    resize(running_browser, 1280)
    prefer(running_browser, "light")
    faults(running_browser)
    return running_browser
