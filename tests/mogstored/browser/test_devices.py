"""The table of 500 devices: sorting, filtering, the keyboard, and what survives a reload."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.browser import faults, keys, shown, value
from tests.support.statuses import StatusServer, device, faulty_devices, served, status
from tests.support.waiting import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from selenium.webdriver.chrome.webdriver import WebDriver

_ROWS = "[...document.querySelectorAll('.devices tbody tr:not([hidden])')]"
_NAMES = f"{_ROWS}.map((row) => row.querySelector('[data-f=device]').textContent)"


def many_devices() -> list[dict[str, Any]]:
    """Return 500, with values that differ; the same ones for each test."""
    chance = random.Random(7)
    faulty = {it["device"]: it for it in faulty_devices(time.time())}
    devices = []
    for number in range(1, 501):
        errors = chance.randrange(1, 1000)
        usual = device(
            number,
            utilization_ratio=round(chance.random(), 4),
            in_flight=chance.randrange(9),
            errors_total=errors,
            errors={"read": {"ESTALE" if number % 100 == 0 else "EIO": errors}},
        )
        devices.append(faulty.get(f"dev{number}", usual))
    chance.shuffle(devices)
    return devices


@pytest.fixture(scope="module")
def server() -> Iterator[StatusServer]:
    with served(status(many_devices())) as server:
        yield server


@pytest.fixture
def new_page(browser: WebDriver, server: StatusServer) -> WebDriver:
    """The page as it is loaded, with the script at work."""
    browser.get(server.url)
    wait_until(lambda: shown(browser, "#shown") == "500", "the table is live")
    return browser


@pytest.fixture
def page(running_browser: WebDriver, request: pytest.FixtureRequest) -> WebDriver:
    """The page without settings: that of the last test if there is one, since loading is slow."""
    if shown(running_browser, "#shown") == "":
        request.getfixturevalue("new_page")
    running_browser.execute_script("location.hash = ''; dispatchEvent(new Event('hashchange'))")
    assert value(running_browser, "document.getElementById('filter').value") == ""
    assert shown(running_browser, "#shown") == "500"
    return running_browser


def sort_by(browser: WebDriver, name: str) -> None:
    browser.execute_script(f"document.querySelector('[data-sort={name}] button').click()")


def choose(browser: WebDriver, condition: str) -> None:
    chip = f"#conditions [data-condition='{condition}']"
    browser.execute_script("document.querySelector(arguments[0]).click()", chip)


def type_filter(browser: WebDriver, text: str) -> None:
    browser.execute_script(
        "const field = document.getElementById('filter'); field.value = arguments[0];"
        "field.dispatchEvent(new Event('input'))",
        text,
    )


def test_worst_are_first(page: WebDriver) -> None:
    worst = ["dev3", "dev14", "dev17", "dev9", "dev21", "dev23", "dev26", "dev1", "dev2", "dev4"]
    assert value(page, _NAMES)[:10] == worst
    assert faults(page) == []


@pytest.mark.parametrize(
    ("column", "key", "descending"),
    [
        ("device", lambda it: int(it["device"][3:]), False),
        ("free", lambda it: share(it["available_bytes"], it["size_bytes"]), False),
        ("utilization", lambda it: it["utilization_ratio"], True),
        ("in_flight", lambda it: it["in_flight"], True),
        ("waiting", lambda it: it["waiting"], True),
        ("errors", lambda it: it["errors_total"], True),
        ("oldest", lambda it: it["oldest_waiting_seconds"] if it["waiting"] else None, True),
    ],
)
def test_each_column_sorts_both_ways(
    page: WebDriver,
    server: StatusServer,
    column: str,
    key: Callable[[dict[str, Any]], Any],
    descending: bool,
) -> None:
    """The worst first at the first press; equal ones by name; unknown ones last either way."""
    by_name = sorted(server.status["devices"], key=lambda it: int(it["device"][3:]))
    known = [it for it in by_name if key(it) is not None]
    unknown = [it["device"] for it in by_name if key(it) is None]
    for order in (descending, not descending):
        sort_by(page, column)
        expected = [it["device"] for it in sorted(known, key=key, reverse=order)]
        assert value(page, _NAMES) == expected + unknown
        word = "descending" if order else "ascending"
        assert value(page, f"document.querySelector('[data-sort={column}]').ariaSort") == word
    assert value(page, "document.querySelectorAll('th[aria-sort]').length") == 1


def share(part: int | None, whole: int | None) -> float | None:
    return None if part is None or not whole else part / whole


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("dev3", 111),
        ("disk007", 1),
        ("/SRV/mogile/dev500", 1),
        ("estale", 5),
        ("unknown source", 1),
        ("read-only", 1),
        ("dev4 erofs", 0),
    ],
)
def test_text_filters_by_all_words(page: WebDriver, typed: str, found: int) -> None:
    type_filter(page, typed)
    names = value(page, _NAMES)
    assert len(names) == found
    assert shown(page, "#shown") == f"{found} of 500"
    assert value(page, "document.getElementById('none').checkVisibility()") == (found == 0)


def test_states_filter_together(page: WebDriver) -> None:
    assert value(page, "document.querySelector('#conditions').innerText").split() == [
        *("all", "500", "hung", "1", "failed", "1", "unmounted", "1", "read-only", "1"),
        *("full", "2", "waiting", "1", "ok", "493"),
    ]
    choose(page, "hung")
    assert value(page, _NAMES) == ["dev3"]
    choose(page, "full")
    assert value(page, _NAMES) == ["dev3", "dev21", "dev23"]
    type_filter(page, "dev2")
    assert value(page, _NAMES) == ["dev21", "dev23"]
    choose(page, "")
    assert value(page, _NAMES)[:3] == ["dev21", "dev23", "dev26"]


def test_settings_survive_a_reload(page: WebDriver) -> None:
    sort_by(page, "errors")
    sort_by(page, "errors")
    choose(page, "ok")
    choose(page, "read-only")
    type_filter(page, "dev9 on")
    wait_until(lambda: "filter=" in value(page, "location.hash"), "the address has them")
    names = value(page, _NAMES)
    assert "dev9" in names
    page.refresh()
    wait_until(lambda: shown(page, "#shown") != "", "the table is live")
    assert value(page, _NAMES) == names
    assert value(page, "document.getElementById('filter').value") == "dev9 on"
    assert value(page, "document.querySelector('[data-sort=errors]').ariaSort") == "ascending"
    pressed = "[...document.querySelectorAll('#conditions [aria-pressed=true]')]"
    chosen = value(page, f"{pressed}.map((it) => it.dataset.condition)")
    assert chosen == ["read-only", "ok"]


@pytest.mark.parametrize("settings", ["sort=__proto__&order=x&state=constructor,,", "%", "sort="])
def test_settings_that_mean_nothing_are_ignored(
    browser: WebDriver, server: StatusServer, settings: str
) -> None:
    browser.get(f"{server.url}#{settings}")
    wait_until(lambda: shown(browser, "#shown") == "500", "the table is live")
    assert value(browser, _NAMES)[0] == "dev3"
    assert faults(browser) == []


def test_rows_out_of_sight_are_up_to_date_soon(page: WebDriver, server: StatusServer) -> None:
    before = server.status
    after = [it | {"errors_total": 424_242} for it in before["devices"]]
    server.status = before | {"devices": after}
    try:
        current = "[...document.querySelectorAll('[data-f=errors]')]"
        all_new = f"{current}.every((it) => it.textContent === count(424242))"
        wait_until(lambda: value(page, all_new), "each row shows it")
    finally:
        server.status = before


def computed_s(page: WebDriver) -> float:
    """Return how long the page's thread has run: the machine may have other work as well."""
    shown = page.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return float(next(each["value"] for each in shown if each["name"] == "TaskDuration"))


def test_filtering_does_not_block_the_page(page: WebDriver) -> None:
    page.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
    began_s = computed_s(page)
    value(
        page,
        """(() => {
            const field = document.getElementById('filter');
            for (field.value of ['dev1', '', 'dev1', '']) {
                field.dispatchEvent(new Event('input'));
                document.body.offsetHeight;
            }
        })()""",
    )
    assert 0.0 < computed_s(page) - began_s < 4 * 0.1 * PATIENCE


def test_all_is_done_with_the_keyboard(new_page: WebDriver) -> None:
    page = new_page
    focused = "document.activeElement"
    keys(page, "tab")
    assert value(page, f"{focused}.className") == "skip"
    assert value(page, f"{focused}.getBoundingClientRect().left") >= 0
    keys(page, "enter")
    assert value(page, f"{focused}.id") == "devices"
    keys(page, "tab")
    assert value(page, f"{focused}.id") == "filter"
    assert_focus_shows(page)
    keys(page, *"dev2")
    assert shown(page, "#shown") == "111 of 500"
    reached = []
    while (text := value(page, f"{focused}.textContent")) != "Errors":
        reached.append(text)
        assert len(reached) < 30
        keys(page, "tab")
        assert_focus_shows(page)
    assert "full 2" in reached
    assert "State" in reached
    keys(page, "enter")
    order = value(page, f"{_ROWS}.map((row) => row.querySelector('[data-f=errors]').innerText)")
    numbers = [int(text.replace("\u202f", "")) for text in order if text]
    assert value(page, "document.querySelector('[data-sort=errors]').ariaSort") == "descending"
    assert numbers[:20] == sorted(numbers, reverse=True)[:20]
    keys(page, "space")
    assert value(page, "document.querySelector('[data-sort=errors]').ariaSort") == "ascending"


def assert_focus_shows(page: WebDriver) -> None:
    style, width = value(
        page,
        "[getComputedStyle(document.activeElement).outlineStyle,"
        " getComputedStyle(document.activeElement).outlineWidth]",
    )
    assert (style, width) == ("solid", "2px")


def test_table_is_one_for_screen_readers(page: WebDriver) -> None:
    nodes = page.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    roles = [node.get("role", {}).get("value") for node in nodes]
    assert roles.count("rowheader") == 500
    assert roles.count("columnheader") >= 8
    names = [node.get("name", {}).get("value") for node in nodes]
    assert "Filter the devices" in names
    assert "Devices" in names
