"""The page of a real node, served by its admin listener, with a disk that hangs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.browser import faults, shown, value
from tests.support.daemon import Node
from tests.support.http import Client, compose
from tests.support.slow_disk import node_with_slow_disk
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from selenium.webdriver.chrome.webdriver import WebDriver


def open_page(browser: WebDriver, node: Node) -> None:
    host, port = node.admin
    browser.get(f"http://{host}:{port}/")
    wait_until(lambda: shown(browser, "#shown") == "2", "both devices are shown")


def condition(browser: WebDriver, name: str) -> tuple[str, str]:
    word, colour = value(
        browser,
        f"""(() => {{
            const row = document.querySelector("[data-key$='/{name}']");
            const mark = row.querySelector(".mark");
            return [row.dataset.condition, getComputedStyle(mark).color];
        }})()""",
    )
    return word, colour


@pytest.mark.parametrize("workers", [0, 2])
def test_page_shows_the_node(browser: WebDriver, workers: int) -> None:
    extra = ["--worker-processes", str(workers)] if workers else []
    with Node(admin=True, mgmt=True, extra=extra) as node:
        open_page(browser, node)
        assert shown(browser, "[data-f=state]") == "serving"
        assert f"process {node.pid}" in shown(browser, "[data-f=facts]")
        listeners = value(browser, "document.querySelector('[data-table=listeners]').innerText")
        for kind, (_, port) in {"http": node.http, "admin": node.admin}.items():
            assert f"{kind}\t127.0.0.1:{port}" in listeners
        rows = "document.querySelectorAll('[data-table=workers] tbody tr').length"
        assert value(browser, rows) == max(workers, 1)
        with Client(node.http) as client:
            for _ in range(3):
                assert client.request(compose("GET", "/dev1/none")).status == 404
        gets = "document.querySelector('[data-table=requests] tbody').innerText"
        wait_until(lambda: value(browser, gets).startswith("GET\t0\t0\t3\t0"), "they are counted")
        assert faults(browser) == []


def test_disk_that_hangs_turns_red_and_back(browser: WebDriver, tmp_path: Path) -> None:
    with node_with_slow_disk(tmp_path / "disk", admin=True) as (node, disk):
        (tmp_path / "disk" / "file").write_bytes(b"x")
        open_page(browser, node)
        word, usual = condition(browser, "dev2")
        assert word == "ok"
        disk.hang()
        with Client(node.http) as client:
            client.send(compose("GET", "/dev2/file"))
            wait_until(lambda: condition(browser, "dev2")[0] == "hung", "it is hung", PATIENCE_S)
            assert condition(browser, "dev2")[1] == "rgb(163, 19, 29)"
            assert shown(browser, ".devices tbody tr [data-f=device]") == "dev2"
            disk.release()
            wait_until(lambda: condition(browser, "dev2") == ("ok", usual), "it is as before")
        assert faults(browser) == []
