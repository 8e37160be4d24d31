"""What of the environment a service manager is to be believed."""

from __future__ import annotations

import pytest

from mogstored.process.notify import Notifier


@pytest.mark.parametrize(
    ("environ", "interval_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "1000000"}, None),
        ({"NOTIFY_SOCKET": "/s"}, None),
        ({"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "1000000"}, 0.25),
        ({"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "7"}, 0.25),
        ({"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "8"}, None),
        ({"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "0"}, None),
        ({"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "-5"}, None),
        ({"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_interval_of_signs_of_life(environ: dict[str, str], interval_s: float | None) -> None:
    assert Notifier.from_environment(environ, 7).sign_interval_s == interval_s


def test_without_a_manager_nothing_happens() -> None:
    notifier = Notifier.from_environment({}, 7)
    notifier.ready(takes_over=False)
    notifier.draining(3)
    notifier.stopping()
