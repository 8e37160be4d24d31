"""The status page as the server renders it."""

from __future__ import annotations

import re
import time
from base64 import b64encode
from hashlib import sha256
from html import unescape

import pytest

from mogstored.admin.page import HEADERS, render
from mogstored.admin.page.rows import condition, device_fields, tables, worst_first
from tests.support.statuses import device, faulty_devices, scrubbed, status

_HOSTILE = "<script>alert(1)</script>\"'&$hostname"


def rendered(*devices: dict[str, object], **changes: object) -> str:
    return render(status(list(devices), **changes)).decode()


def visible(page: str) -> str:
    """Return the text of the body, without tags."""
    body = page.partition("<body>")[2].partition("<script>")[0].partition("<template")[0]
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", body)))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "ok"),
        ({"state": "hung", "available_bytes": 0}, "hung"),
        ({"available_bytes": 0}, "full"),
        ({"inodes_free": 0}, "full"),
        ({"inodes": 0, "inodes_free": 0}, "ok"),
        ({"size_bytes": None, "available_bytes": None}, "ok"),
        ({"waiting": 1}, "waiting"),
        ({"waiting": 1, "available_bytes": 0}, "full"),
    ],
    ids=str,
)
def test_device_that_is_ok_can_be_full_or_have_waiting_requests(
    changes: dict[str, object], expected: str
) -> None:
    assert condition(device(1, **changes)) == expected


@pytest.mark.parametrize(
    ("inodes", "free", "shown"),
    [
        (1000, 50, ""),
        (1000, 49, "5\N{NO-BREAK SPACE}% of inodes"),
        (1000, 0, "0\N{NO-BREAK SPACE}% of inodes"),
        (0, 0, ""),
    ],
)
def test_inodes_are_shown_when_few_are_left(inodes: int, free: int, shown: str) -> None:
    fields = device_fields(device(1, inodes=inodes, inodes_free=free), time.time())
    assert fields["inodes"] == shown


def test_devices_are_sorted_worst_first_and_then_by_number() -> None:
    devices = [device(10), device(2), *reversed(faulty_devices(time.time()))]
    order = [3, 14, 17, 9, 21, 23, 26, 2, 10, 28]
    assert [it["device"] for it in worst_first(devices)] == [f"dev{number}" for number in order]


def test_state_that_the_page_does_not_know_comes_first() -> None:
    devices = [device(1, state="hung"), device(2, state="on fire")]
    assert [it["device"] for it in worst_first(devices)] == ["dev2", "dev1"]


def test_current_numbers_are_in_the_document() -> None:
    page = visible(rendered(*faulty_devices(time.time())))
    for text in (
        "store07.example.net",
        "mogstored 1.0.0 · up 3 d 04 h · process 2714 · Python 3.13.1, epoll",
        "2723 serving",
        "http 0.0.0.0:7500 /srv/mogile",
        "sidechannel 1 11 0",
        "dev3 /dev/mapper/disk003 on /srv/mogile/dev3 hung for 38 s",
        "3.0 TiB 19 % of 16.0 TiB",
        "dev17 unknown source on /srv/mogile/dev17 unmounted for 1 m 04 s \u2013 ",
        "1 204 EIO",
        "8 41 38 s 0",
    ):
        assert text in page


def test_findings_of_scrubs_are_shown_the_latest_first() -> None:
    now = time.time()
    many = [(f"/srv/{it}", "mismatch", "md5 1", now - 9000 + it) for it in range(25)]
    devices = [
        device(1, scrub=scrubbed(*many)),
        device(2, scrub=scrubbed(("/srv/a", "unreadable", "EIO at 0", now - 64))),
        device(3, scrub=scrubbed()),
    ]
    assert [device_fields(it, now)["findings"] for it in devices] == [
        "25 findings",
        "1 finding",
        "",
    ]
    shown = tables(status(devices, time=now))["findings"]
    assert len(shown) == 20
    assert shown[0][:3] == ["/srv/a", "unreadable", "EIO at 0"]
    assert [row[0] for row in shown[1:]] == [f"/srv/{it}" for it in range(24, 5, -1)]
    page = visible(rendered(*devices, time=now))
    assert "Scrub findings File Verdict Found Ago /srv/a unreadable EIO at 0 1 m 04 s" in page
    assert "0 25 findings" in page


def test_reason_of_a_node_that_is_not_ready_is_shown() -> None:
    calm = status([])
    node = calm["node"] | {"ready": False, "not_ready_reasons": ["no usable device"]}
    page = render(calm | {"node": node}).decode()
    assert "Not ready: no usable device" in visible(page)
    assert '<p id="reasons" class="notice" >' in page
    assert '<p id="reasons" class="notice" hidden>' in render(calm).decode()


def test_names_cannot_become_markup() -> None:
    worker = status([])["workers"][0] | {"state": _HOSTILE}
    listener = {"kind": "http", "address": _HOSTILE, "docroot": _HOSTILE}
    page = rendered(
        device(
            1,
            device=_HOSTILE,
            path=_HOSTILE,
            source=_HOSTILE,
            errors={"read": {_HOSTILE: 1}},
            scrub=scrubbed((_HOSTILE, _HOSTILE, _HOSTILE, 1.0)),
        ),
        node=status([])["node"] | {"hostname": _HOSTILE, "version": _HOSTILE},
        workers=[worker],
        listeners=[listener],
    )
    assert "<script>alert" not in page
    assert "\"'&$" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27;&amp;$hostname") >= 10


def test_process_without_a_first_answer_is_shown() -> None:
    worker = status([])["workers"][0] | {"answers": False, "started_at": None}
    assert "2720 no answer \u2013 100" in visible(rendered(workers=[worker]))


def test_policy_allows_the_documents_own_style_and_script_only() -> None:
    page = rendered(device(1))
    policy = dict(HEADERS)["Content-Security-Policy"]
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = b64encode(sha256(content.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}';" in policy
    assert not re.search(r"\sstyle=|\son\w+=", page)


def test_document_names_no_other_host() -> None:
    """Save the name space of the icon, which is no address."""
    page = rendered(device(1)).replace("xmlns='http://www.w3.org/2000/svg'", "")
    assert "//" not in re.sub(
        r"<style>.*?</style>|<script>.*?</script>", "", page, flags=re.DOTALL
    )
    assert not re.search(r"https?:|url\(|@import|\bimport\b", page)
