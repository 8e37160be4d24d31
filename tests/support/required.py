"""Programs that tests drive: without one a test is skipped, or fails if the run requires it.

`MOG_CI_REQUIRES` names programs, separated by spaces. With them a skip whose reason names one is
a failure: continuous integration installs them, and a test that leaves itself out there proves
nothing.
"""

from __future__ import annotations

import os
import re
import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

REQUIRED = os.environ.get("MOG_CI_REQUIRES", "").split()
# Administrators' tools are not on every user's path.
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def needs(*programs: str) -> pytest.MarkDecorator:
    """Return a mark that skips a test where one of `programs` is not installed."""
    missing = [name for name in programs if shutil.which(name, path=PATH) is None]
    return pytest.mark.skipif(
        bool(missing), reason=f"{', '.join(missing) or 'nothing'} is not installed"
    )


def refuse_skip(
    report: pytest.TestReport | pytest.CollectReport, required: Sequence[str] = REQUIRED
) -> None:
    """Make a failure of a skip for want of a required program."""
    if not report.skipped or not isinstance(report.longrepr, tuple):
        return
    reason = str(report.longrepr[2])
    for name in required:
        if re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", reason):
            report.outcome = "failed"
            report.longrepr = (
                f"MOG_CI_REQUIRES names {name}, and the test was to be skipped: {reason}"
            )
            return
