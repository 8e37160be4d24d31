"""The listed faults apply to the package's source."""

from __future__ import annotations

from pathlib import Path

import pytest

import mogpoll
from tests.mogpoll.faults import FAULTS, Fault

PACKAGE = Path(mogpoll.__file__).parent


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_source_has_the_piece_that_the_fault_replaces_once(fault: Fault) -> None:
    """Otherwise the mutation run would stop there."""
    source = (PACKAGE / fault.module).read_text(encoding="utf-8")
    assert (source.count(fault.old), fault.old == fault.new) == (1, False)


def test_faults_have_distinct_names() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
