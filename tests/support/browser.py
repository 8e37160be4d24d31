"""A headless Chromium of the system's, driven through its own driver; nothing is downloaded."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selenium.webdriver.chrome.webdriver import WebDriver

_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--no-proxy-server",
)


@contextmanager
def chromium() -> Iterator[WebDriver]:
    """Run a browser with a profile of its own; skip where there is none."""
    if sys.platform != "linux":
        pytest.skip("selenium is a test dependency on Linux only")
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("chromium and chromedriver are not installed")
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    options = ChromeOptions()
    options.binary_location = browser
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        running = Chrome(options, ChromeService(driver))
        try:
            running.set_script_timeout(PATIENCE_S)
            running.set_page_load_timeout(PATIENCE_S)
            yield running
        finally:
            running.quit()


def resize(browser: WebDriver, width: int, height: int = 900, scale: float = 1) -> None:
    """Give the page this many CSS pixels, whatever frame a window has."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False},
    )


def prefer(browser: WebDriver, scheme: str) -> None:
    """Prefer `light` or `dark` as an operator would."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def faults(browser: WebDriver) -> list[Any]:
    """Return what was written to the console since the last call, blocked content included."""
    entries: list[Any] = browser.get_log("browser")  # type: ignore[no-untyped-call]
    return entries


def requested(browser: WebDriver) -> list[str]:
    """Return the addresses that pages asked for since the last call; not the browser's own."""
    entries: list[Any] = browser.get_log("performance")  # type: ignore[no-untyped-call]
    events = [json.loads(entry["message"])["message"] for entry in entries]
    sent = [event for event in events if event["method"] == "Network.requestWillBeSent"]
    addresses: list[str] = [event["params"]["request"]["url"] for event in sent]
    return [address for address in addresses if not address.startswith(("chrome:", "data:"))]


def value(browser: WebDriver, expression: str) -> Any:
    """Return the value of an expression in the page."""
    return browser.execute_script(f"return {expression}")


def shown(browser: WebDriver, selector: str) -> str:
    """Return the text of the first element that matches, as it is on the screen."""
    text: str = value(browser, f"document.querySelector({selector!r})?.innerText ?? ''")
    return text.strip()


def keys(browser: WebDriver, *names: str) -> None:
    """Press keys one after another: `tab`, `enter`, `space`, or a character."""
    from selenium.webdriver import ActionChains, Keys

    special = {"tab": Keys.TAB, "enter": Keys.ENTER, "space": Keys.SPACE}
    ActionChains(browser).send_keys(*(special.get(name, name) for name in names)).perform()
