"""What is decided for a docroot as a whole: what stays free, and whether a device is mounted."""

from __future__ import annotations

from dataclasses import MISSING, fields
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from mogstored.config.values.free_space import parse_min_free
from mogstored.service import Service

MIN_FREE = parse_min_free("10G")


def make_service(**given: Any) -> Service:
    needed = {
        each.name: Mock()
        for each in fields(Service)
        if each.default is MISSING and each.default_factory is MISSING
    }
    return Service(**{**needed, "docroot": SimpleNamespace(path="/srv"), **given})


def test_new_service_goes_on_and_is_the_first() -> None:
    found = make_service()
    assert (found.draining, found.number, found.min_free) == (False, 0, None)


@pytest.mark.parametrize("looks", [True, False])
def test_operator_is_warned_where_nothing_looks_at_the_room(
    looks: bool, caplog: pytest.LogCaptureFixture
) -> None:
    found = make_service(inventory=Mock() if looks else None)
    found.keep_free(None)
    assert caplog.messages == []
    found.keep_free(MIN_FREE)
    assert found.min_free is MIN_FREE
    line = "min_free does not hold in /srv before an upgrade (USR2): nothing looks at it"
    assert caplog.messages == ([] if looks else [line])


@pytest.mark.parametrize("is_unmounted", [True, False])
def test_only_a_device_is_asked_for_its_mount(is_unmounted: bool) -> None:
    assert not make_service().is_unmounted(b"dev7/a")
    guard = Mock()
    guard.is_unmounted.return_value = is_unmounted
    found = make_service(guard=guard)
    assert not found.is_unmounted(b"other/a")
    assert not guard.is_unmounted.called
    assert found.is_unmounted(b"dev7/a") is is_unmounted
    guard.is_unmounted.assert_called_once_with(7)
