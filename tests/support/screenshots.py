"""Make `docs/status-page.png`: `python -m tests.support.screenshots`, in the checkout.

One picture of an imagined node, its left part in light colours and its right part in dark ones.
Needs chromium and the dependency group `plots`.
"""

from __future__ import annotations

import base64
import io
import math
import random
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from tests.support.browser import chromium, prefer, resize, shown
from tests.support.statuses import Status, busier, device, faulty_devices, served, status
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selenium.webdriver.chrome.webdriver import WebDriver

_PICTURE = Path(__file__).parents[2] / "docs" / "status-page.png"
_WIDTH, _HEIGHT = 1280, 860
_BOTH = """
document.documentElement.style = "background: none";
document.body.style = "margin: 0; position: relative";
document.body.replaceChildren(...arguments[0].map((png, dark) => {
  const image = new Image();
  image.src = "data:image/png;base64," + png;
  image.style = "position: absolute; left: 0; top: 0; width: 100%";
  if (dark) image.style.clipPath = "polygon(58% 0, 100% 0, 100% 100%, 42% 100%)";
  return image;
}));
const done = arguments[1];
Promise.all([...document.images].map((it) => it.decode())).then(() => done());
"""


def minute() -> Iterator[Status]:
    """Yield the status of a minute, second by second; the load goes up and down."""
    chance = random.Random(3)
    faulty = faulty_devices(0)[:4]
    devices = [*faulty, *(device(number) for number in (1, 2, 4, 5, 6, 7))]
    latest = status(devices)
    for each in devices:
        if each["state"] != "ok":
            each["state_since"] += latest["time"]
    for second in range(61):
        yield latest
        load = 0.7 + 0.25 * math.sin(second / 9) + chance.uniform(-0.1, 0.1)
        latest = busier(latest, load) | {"time": latest["time"] + 1}


def picture(browser: WebDriver) -> bytes:
    """Return the picture as PNG."""
    statuses = list(minute())
    resize(browser, _WIDTH, _HEIGHT)
    with served(statuses[0]) as server:
        browser.get(server.url)
        wait_until(lambda: shown(browser, "#shown") != "", "the page is live")
        server.status = statuses[-1]
        # No earlier one may arrive after what is shown now.
        asked = server.asked
        wait_until(lambda: server.asked >= asked + 2, "the page has the last one")
        browser.execute_script("for (const it of arguments[0]) page.show(it)", statuses)
        parts = []
        for scheme in ("light", "dark"):
            prefer(browser, scheme)
            parts.append(browser.get_screenshot_as_base64())
        browser.get("about:blank")
    browser.execute_async_script(_BOTH, parts)
    return base64.b64decode(browser.get_screenshot_as_base64())


def main() -> None:
    with chromium() as browser:
        content = picture(browser)
    # A palette is enough for a page, and makes half of it.
    Image.open(io.BytesIO(content)).convert("RGB").quantize(256, kmeans=4).save(
        _PICTURE, optimize=True
    )
    print(f"{_PICTURE}: {_PICTURE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
