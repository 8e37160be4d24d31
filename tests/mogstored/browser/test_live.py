"""The page follows the node while it is looked at, and says when the node does not answer."""

from __future__ import annotations

import time
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest

from mogstored.admin.page import rows, text
from tests.support.browser import faults, shown, value
from tests.support.statuses import (
    Status,
    StatusServer,
    busier,
    device,
    faulty_devices,
    scrubbed,
    served,
)
from tests.support.statuses import status as status_of
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selenium.webdriver.chrome.webdriver import WebDriver

_RED, _GREY = "rgb(163, 19, 29)", "rgb(89, 99, 111)"


@pytest.fixture
def server() -> Iterator[StatusServer]:
    with served(status_of([device(1), device(2)])) as server:
        yield server


def answer_again(server: StatusServer) -> None:
    """Wait until the page has the current status: it asks again after it has shown one."""
    before = server.asked
    wait_until(lambda: server.asked >= before + 2, "the page asks twice")


def test_numbers_follow_the_node(browser: WebDriver, server: StatusServer) -> None:
    browser.get(server.url)
    answer_again(server)
    server.status = busier(server.status, 2.0)
    wait_until(lambda: shown(browser, "[data-f=requests]") == "1\u202f000/s", "the rate is shown")
    assert shown(browser, "[data-f=sent]") == "64.0\u00a0MiB/s"
    assert shown(browser, "[data-f=received]") == "8.0\u00a0MiB/s"
    assert shown(browser, "[data-f=cpu]") == "60\u00a0%"
    assert shown(browser, "[data-table=workers] tbody td:nth-child(5)") == "15\u00a0%"
    assert faults(browser) == []


@pytest.mark.parametrize(
    ("pid", "requests", "seconds"),
    [(1, 10**9, 1), (0, -(10**7), 1), (0, 10, -100)],
    ids=["another process", "counts anew", "clock set back"],
)
def test_rate_has_nothing_of_what_was_before(
    browser: WebDriver, server: StatusServer, pid: int, requests: int, seconds: int
) -> None:
    browser.get(server.url)
    answer_again(server)
    after = deepcopy(server.status)
    after["time"] += seconds
    after["node"]["pid"] += pid
    after["http"]["requests"]["GET"]["200"] += requests
    server.status = after
    answer_again(server)
    server.status = busier(after, 1.0)
    wait_until(lambda: shown(browser, "[data-f=requests]") == "1\u202f000/s", "the rate is shown")


def test_device_that_hangs_turns_red_and_back(browser: WebDriver, server: StatusServer) -> None:
    browser.get(server.url)
    assert colour_of_state(browser, "dev2") == ("ok", _GREY)
    calm = server.status
    queue = {"waiting": 7, "oldest_waiting_seconds": 12.0}
    hung = device(2, state="hung", state_since=calm["time"] - 20, **queue)
    server.status = calm | {"devices": [device(1), hung]}
    wait_until(lambda: colour_of_state(browser, "dev2") == ("hung", _RED), "it is red")
    assert first_row(browser).startswith("dev2")
    assert value(browser, "document.title").startswith("(1) store07")
    assert "1\u00a0hung, 1\u00a0ok" in shown(browser, "[data-f=devices_note]")
    server.status = calm
    wait_until(lambda: colour_of_state(browser, "dev2") == ("ok", _GREY), "it is as before")
    assert first_row(browser).startswith("dev1")
    assert faults(browser) == []


def colour_of_state(browser: WebDriver, name: str) -> tuple[str, str]:
    word, colour = value(
        browser,
        f"""(() => {{
            const mark = document.querySelector("[data-key$='/{name}'] .mark");
            return [mark.textContent, getComputedStyle(mark).color];
        }})()""",
    )
    return word, colour


def first_row(browser: WebDriver) -> str:
    return shown(browser, ".devices tbody tr")


def test_devices_come_and_go(browser: WebDriver, server: StatusServer) -> None:
    browser.get(server.url)
    server.status = server.status | {"devices": [device(2), device(7)]}
    names = "[...document.querySelectorAll('[data-f=device]')].map((it) => it.textContent)"
    wait_until(lambda: value(browser, names) == ["dev2", "dev7"], "dev1 is gone, dev7 is there")
    server.status = server.status | {"devices": []}
    wait_until(lambda: value(browser, names) == [], "none is left")
    assert shown(browser, "#none") == "The docroot has no device."


def test_names_stay_text(browser: WebDriver, server: StatusServer) -> None:
    browser.get(server.url)
    name = "<img src=x onerror=document.title=1>"
    server.status = server.status | {"devices": [device(1, device=name)]}
    wait_until(lambda: shown(browser, "[data-f=device]") == name, "it is shown as it is")
    assert faults(browser) == []


def test_node_that_stops_is_noticed_and_found_again(
    browser: WebDriver, server: StatusServer
) -> None:
    browser.get(server.url)
    answer_again(server)
    server.stop()
    notice = "document.getElementById('notice').checkVisibility()"
    wait_until(lambda: value(browser, notice), "the notice is shown")
    assert shown(browser, "#notice").startswith("No answer since ")
    again = StatusServer(status_of([device(5)]), server.port)
    try:
        wait_until(lambda: not value(browser, notice), "the notice is gone")
        assert first_row(browser).startswith("dev5")
    finally:
        again.stop()


def test_page_of_another_version_is_loaded_anew(browser: WebDriver, server: StatusServer) -> None:
    browser.get(f"{server.url}#sort=free")
    answer_again(server)
    node = server.status["node"] | {"version": "2.0.0"}
    server.status = server.status | {"node": node}
    version = "document.documentElement.dataset.version"
    wait_until(lambda: value(browser, version) == "2.0.0", "the page is the new one")
    assert value(browser, "location.hash") == "#sort=free"
    assert faults(browser) == []


def test_tab_that_is_hidden_asks_for_nothing(browser: WebDriver, server: StatusServer) -> None:
    browser.get(server.url)
    answer_again(server)
    hide(browser, hidden=True)
    # Timers are in order: this one ends after the one that would have asked.
    pause = "setTimeout(arguments[0], 2 * PERIOD_MS)"
    browser.execute_async_script(pause)
    before = server.asked
    browser.execute_async_script(pause)
    assert server.asked == before
    hide(browser, hidden=False)
    answer_again(server)


def hide(browser: WebDriver, *, hidden: bool) -> None:
    browser.execute_script(
        "Object.defineProperty(document, 'hidden', {value: arguments[0], configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))",
        hidden,
    )


def statuses() -> list[Status]:
    usual = status_of([device(1), *faulty_devices(time.time())])
    quiet = deepcopy(usual)
    quiet["node"] |= {"ready": False, "not_ready_reasons": ["a", "b"], "worker_processes": 0}
    quiet["workers"] = [quiet["workers"][0] | {"answers": False, "started_at": None}]
    quiet["http"] |= {"requests": {}, "durations": {}}
    quiet["sidechannel"] = {"commands": {}}
    quiet["devices"] = [device(1, state="on fire", oldest_waiting_seconds=None)]
    found = [(f"/{it}", "mismatch", "md5 1", time.time() - it % 7) for it in range(25)]
    usual["devices"][0]["scrub"] = scrubbed(*found)
    usual["devices"][1]["scrub"] = scrubbed(("/a", "unreadable", "EIO at 0", time.time() - 64))
    return [usual, quiet, status_of([])]


@pytest.mark.parametrize("status", statuses(), ids=["usual", "quiet", "empty"])
def test_script_and_server_show_the_same(
    browser: WebDriver, server: StatusServer, status: Status
) -> None:
    browser.get(server.url)

    def scripted(call: str, *arguments: Any) -> Any:
        return browser.execute_script(f"return {call}(...arguments)", *arguments)

    assert scripted("overview", status) == rows.overview(status)
    assert scripted("tables", status) == rows.tables(status)
    for each in status["devices"]:
        fields = rows.device_fields(each, status["time"])
        assert scripted("deviceFields", each, status["time"]) == fields


@pytest.mark.parametrize("name", ["count", "decimal", "size", "percent", "duration"])
def test_script_and_server_print_numbers_alike(
    browser: WebDriver, server: StatusServer, name: str
) -> None:
    browser.get(server.url)
    ties = [0, 0.005, 0.05, 0.25, 0.35, 0.95, 2.5, 9.95, 59.5, 99.95, 999.5, 3599.5, 86399.5]
    numbers: list[Any] = [*ties, *(7**power for power in range(16)), 1e-4, 123_456.789]
    if name == "count":
        numbers = [int(number) for number in numbers]
    if name == "size":
        numbers += [2**50, 2**60, 7**21]
    if name != "decimal":
        numbers.append(None)
    scripted = browser.execute_script(f"return arguments[0].map((it) => {name}(it))", numbers)
    assert scripted == [getattr(text, name)(number) for number in numbers]
