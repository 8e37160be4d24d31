"""The proof of the scrub, in short."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.crash import scrub
from tests.support.attributes import takes_attributes


def test_everything_that_rots_is_found() -> None:
    if not takes_attributes(Path(tempfile.gettempdir())):
        pytest.skip("the file system has no attributes")
    assert scrub.prove((), 20, 1)
