"""A few kills under load: what was acknowledged is there, and the check finds what is not."""

from __future__ import annotations

import sys

import pytest

from bench.bad_disk.control import CannotMount
from tests.crash.history import Verdict

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="adopts processes as Linux does"),
]

# Uploads go to their names at once.
IN_PLACE = """
import os
from mogstored.files.docroot import Docroot

def store(docroot, path, content, device=b""):
    file = docroot.open_in_place(path)
    os.write(file.fd, content)
    file.publish()

Docroot.new_file, Docroot.store = Docroot.open_in_place, store
"""


@pytest.mark.parametrize("form", ["single", "workers"])
def test_kills_lose_nothing(form: str) -> None:
    from tests.crash import kills

    result = kills.try_out("system", form, kills=6, seed=1)
    assert result.is_right(), result
    assert result.acknowledged >= result.kills
    assert result.under_way


def test_kills_with_temporary_names_lose_nothing() -> None:
    from tests.crash import kills

    try:
        result = kills.try_out("fuse", "single", kills=6, seed=1)
    except CannotMount as reason:
        pytest.skip(str(reason))
    assert result.is_right(), result


def test_check_finds_files_that_are_not_whole() -> None:
    from tests.crash import kills

    result = kills.try_out("system", "single", kills=4, seed=1, injected=IN_PLACE)
    assert result.found[Verdict.HALF.value], result
