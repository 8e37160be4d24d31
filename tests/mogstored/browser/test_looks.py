"""The page at its narrowest and widest, in light and dark, and without its script."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.browser import faults, prefer, resize, shown, value
from tests.support.statuses import StatusServer, device, faulty_devices, served, status
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selenium.webdriver.chrome.webdriver import WebDriver

_LONG = "/dev/disk/by-id/scsi-SATA_" + "ABCDEFGHIJKLMNOPQRSTUVWXYZ" * 3

# Each text that is seen, as [text, ratio of its contrast to what is behind it].
_CONTRASTS = """
const parse = (color) => color.match(/[\\d.]+/g).map(Number);
const luminance = ([r, g, b]) => [r, g, b].map((it) => it / 255)
  .map((it) => (it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4))
  .reduce((sum, it, place) => sum + it * [0.2126, 0.7152, 0.0722][place], 0);
const ground = (element) => {
  for (let it = element; it; it = it.parentElement) {
    const color = parse(getComputedStyle(it).backgroundColor);
    if ((color[3] ?? 1) > 0) return color;
  }
  throw new Error("no background");
};
const ratio = (a, b) => {
  const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (light + 0.05) / (dark + 0.05);
};
return [...document.querySelectorAll("body *")]
  .filter((it) => it.checkVisibility())
  .filter((it) => [...it.childNodes].some((child) => child.nodeType === 3 && child.data.trim()))
  .map((it) => [it.textContent.trim(), ratio(parse(getComputedStyle(it).color), ground(it))]);
"""


@pytest.fixture(scope="module")
def server() -> Iterator[StatusServer]:
    usual = status([device(1), *faulty_devices(time.time()), device(40, source=_LONG)])
    usual["listeners"].append({"kind": "http", "address": "[::1]:80", "docroot": "/x" + _LONG})
    node = usual["node"] | {"ready": False, "not_ready_reasons": ["draining"]}
    with served(usual | {"node": node}) as server:
        yield server


def live(browser: WebDriver, server: StatusServer) -> None:
    browser.get(server.url)
    wait_until(lambda: shown(browser, "#shown") == "10", "the table is live")


@pytest.mark.parametrize("width", [320, 400, 640, 800, 1000, 1280, 2560])
def test_page_never_scrolls_sideways(browser: WebDriver, server: StatusServer, width: int) -> None:
    resize(browser, width)
    live(browser, server)
    browser.execute_script("document.getElementById('parts').open = true")
    assert value(browser, "document.documentElement.scrollWidth") <= width
    beyond = f"""[...document.querySelectorAll('body *')]
        .filter((it) => it.checkVisibility() && !it.closest('.skip, .scroll'))
        .filter((it) => it.getBoundingClientRect().right > {width})
        .map((it) => it.outerHTML)"""
    assert value(browser, beyond) == []
    assert faults(browser) == []


@pytest.mark.parametrize("width", [400, 980, 1000, 1199, 1210, 1280])
def test_all_of_a_device_is_seen(browser: WebDriver, server: StatusServer, width: int) -> None:
    resize(browser, width)
    live(browser, server)
    hidden = """[...document.querySelectorAll('.devices [data-f]')]
        .filter((it) => it.textContent && !it.getBoundingClientRect().width)
        .map((it) => it.outerHTML)"""
    assert value(browser, hidden) == []
    assert shown(browser, ".devices tbody tr").startswith("dev3")
    assert browser.execute_script(_OVERLAPS) == []


# Texts of a row that lie on others, those of the head included.
_OVERLAPS = """
return [...document.querySelectorAll(".devices tr")].flatMap((row) => {
  const boxes = [...row.querySelectorAll("[data-f], button")]
    .filter((it) => it.textContent.trim() && it.checkVisibility())
    .map((it) => [it.textContent, it.getBoundingClientRect()]);
  return boxes.flatMap(([text, a], place) => boxes.slice(place + 1)
    .filter(([, b]) => a.left < b.right - 1 && b.left < a.right - 1
                    && a.top < b.bottom - 1 && b.top < a.bottom - 1)
    .map(([other]) => [text, other]));
});
"""


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_is_enough_for_small_text(
    browser: WebDriver, server: StatusServer, scheme: str, width: int
) -> None:
    prefer(browser, scheme)
    resize(browser, width)
    live(browser, server)
    browser.execute_script(
        "document.getElementById('parts').open = true;"
        "document.getElementById('notice').hidden = false;"
        "document.getElementById('notice').textContent = 'No answer since 10:00:00.'"
    )
    found = browser.execute_script(_CONTRASTS)
    assert len(found) > 150
    assert [each for each in found if each[1] < 4.5] == []


def test_schemes_differ(browser: WebDriver, server: StatusServer) -> None:
    live(browser, server)
    ground = "getComputedStyle(document.body).backgroundColor"
    prefer(browser, "light")
    light = value(browser, ground)
    prefer(browser, "dark")
    assert value(browser, ground) != light


@contextmanager
def without_script(browser: WebDriver) -> Iterator[None]:
    def disable(yes: bool) -> None:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": yes})

    disable(True)
    try:
        yield
    finally:
        disable(False)


@pytest.mark.parametrize("width", [400, 1280])
def test_page_is_readable_without_script(
    browser: WebDriver, server: StatusServer, width: int
) -> None:
    resize(browser, width)
    with without_script(browser):
        browser.get(server.url)
        text = seen_without_script(browser)
    for part in (
        "store07.example.net",
        "Not ready: draining",
        "unknown source on /srv/mogile/dev17",
        "11.0 GiB",
        "85 351 308",
        "0.0.0.0:7501",
    ):
        assert part in text
    assert (
        text.index("dev3\n") < text.index("dev14\n") < text.index("dev9\n") < text.index("dev1\n")
    )
    # What needs the script is not there.
    assert "all 10" not in text
    assert faults(browser) == []


def seen_without_script(browser: WebDriver) -> str:
    from selenium.webdriver.common.by import By

    assert browser.find_elements(By.CSS_SELECTOR, "th button") == []
    assert browser.find_elements(By.CSS_SELECTOR, "noscript meta[http-equiv=refresh]")
    text: Any = browser.find_element(By.TAG_NAME, "body").text
    return str(text).replace("\u202f", " ")
