"""No call of `notify` is lost in any interleaving, and each listed fault of a pool breaks that."""

from __future__ import annotations

import pytest

from mogpoll.pool.step import Next
from tests.mogpoll.explorer.pool.faults import FAULTS, GAPS, OUTSIDE
from tests.mogpoll.explorer.pool.methods import listing, source_of
from tests.mogpoll.explorer.pool.subjects import FULL, QUICK, PoolSubject, kill, without
from tests.mogpoll.faults import Fault

# The rest takes longer: python -m tests.mogpoll.explorer.
SLOW = {
    "pool: closed, 2 workers",
    "pool: closed, and its number again",
    "pool: 1 worker, 2 notify",
    *(subject.name for subject in FULL),
}
SMALL_FAULTS = [fault for fault in FAULTS if fault.tests not in SLOW]


@pytest.mark.parametrize("subject", QUICK, ids=lambda subject: subject.name)
def test_no_call_is_lost_in_any_interleaving(subject: PoolSubject) -> None:
    found = subject.explore()
    assert (found.violation, found.trace, found.is_complete) == ("", [], True)
    assert found.states > 100


def test_no_step_begins_without_a_cause_if_the_gaps_are_closed() -> None:
    found = without(GAPS).explore()
    assert (found.violation, found.trace, found.is_complete) == ("", [], True)


@pytest.mark.parametrize("gap", GAPS, ids=lambda gap: gap.name)
def test_gap_lets_one_step_too_many_begin(gap: Fault) -> None:
    others = tuple(each for each in GAPS if each is not gap)
    assert "without a cause" in without(others).explore().violation


@pytest.mark.parametrize("fault", SMALL_FAULTS, ids=lambda fault: fault.name)
def test_fault_of_the_list_breaks_the_claim(fault: Fault) -> None:
    assert kill(fault) is not None


def test_most_faults_are_found_by_a_small_search() -> None:
    assert len(SMALL_FAULTS) >= 38
    assert {fault.tests for fault in FAULTS} <= {subject.name for subject in QUICK + FULL}
    assert not OUTSIDE.keys() & {fault.name for fault in FAULTS}


@pytest.mark.parametrize("fault", FAULTS + GAPS, ids=lambda fault: fault.name)
def test_source_has_the_piece_that_the_fault_replaces_once(fault: Fault) -> None:
    assert (source_of(fault.module).count(fault.old), fault.old == fault.new) == (1, False)


def test_two_tasks_and_two_workers_are_explored() -> None:
    assert any(one.numbers == (0, 1) and one.threads.count("work") == 2 for one in FULL)


def test_counterexample_names_the_lines_of_the_pool() -> None:
    (fault,) = [fault for fault in FAULTS if fault.name == "drop: members stay"]
    found = kill(fault)
    assert found is not None
    assert any("self.marks.pop(key, None)" in line for line in found[1].trace)


def test_task_that_is_always_ready_does_not_come_to_rest() -> None:
    """It would hide what is lost: no step of the subjects waits to write."""
    subject = PoolSubject("busy", ("work",), (Next.WRITE,), data="")
    assert subject.explore().violation == ""
    subject = PoolSubject("busy", ("work", "notify_once"), (Next.WRITE,), data="")
    assert "circles" in subject.explore().violation


def test_steps_are_lines_of_the_pool() -> None:
    shown = listing()
    assert "mogpoll/pool/table.py, TaskTable.mark:" in shown
    assert "mogpoll/pool/loop.py, Loop._serve:" in shown
    assert "armed[fd] = task" in shown
