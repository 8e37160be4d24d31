"""`test` on a machine: the steps in order, the suite's status, its results, and failing steps."""

from __future__ import annotations

import pytest

from tests.vm.lab import Lab

JUNIT = "<testsuites/>"
FILES = (("ls mogvm/out", 0, "junit.xml probe.json"), ("cat mogvm/out/junit.xml", 0, JUNIT))


def commands(lab: Lab) -> list[str]:
    return [call[-1] for call in lab.programs.calls("ssh")]


def suite_of(lab: Lab) -> str:
    (command,) = [command for command in commands(lab) if "suite.sh" in command]
    return command


def test_suite_that_passes(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.programs.answer(("suite.sh", 0, "12 passed"), *FILES)
    assert lab.vm("test", "imaged", "--", "-k", "one thing") == 0
    steps = [line for line in capsys.readouterr().out.splitlines() if line.startswith("==>")]
    order = ["booting", "copying", "provisioning", "the suite", "passed"]
    assert [word for step in steps for word in order if word in step] == order
    assert (lab.results / "run.log").read_text() == "12 passed\n"
    assert (lab.results / "junit.xml").read_text().strip() == JUNIT
    assert suite_of(lab).endswith("suite.sh --timeout=1800 -k 'one thing'")
    assert suite_of(lab).startswith("MOG_TEST_PATIENCE=10 ")


def test_suite_that_fails_gives_its_own_status(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.programs.answer(("suite.sh", 3, "1 failed"), *FILES)
    assert lab.vm("test", "imaged") == 3
    output = capsys.readouterr().out
    assert "FAILED with status 3" in output
    assert "python -m vm test imaged -- -k TEST" in output
    assert (lab.results / "junit.xml").exists()
    lab.programs.answer(("suite.sh", 0, "1 passed"), *FILES)
    assert lab.vm("test", "imaged") == 0


def test_suite_that_did_not_start_has_no_results(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.programs.answer(("suite.sh", 1, "No matching distribution found for tox"))
    assert lab.vm("test", "imaged") == 1
    assert "the suite did not get that far" in capsys.readouterr().err


def test_old_results_are_not_taken_for_new_ones(lab: Lab) -> None:
    lab.programs.answer(("suite.sh", 0, "passed"), *FILES)
    assert lab.vm("test", "imaged") == 0
    lab.programs.answer(("suite.sh", 1, "no tox"))
    assert lab.vm("test", "imaged") == 1
    assert not (lab.results / "junit.xml").exists()


def test_notes_beside_the_results_stay(lab: Lab) -> None:
    note = lab.results / "README.md"
    note.parent.mkdir(parents=True)
    note.write_text("what was run\n")
    lab.programs.answer(("suite.sh", 0, "12 passed"), *FILES)
    assert lab.vm("test", "imaged") == 0
    assert (note.read_text(), (lab.results / "run.log").exists()) == ("what was run\n", True)


def test_provisioning_is_roots_and_names_the_packages(lab: Lab) -> None:
    lab.programs.answer(("suite.sh", 0, ""), *FILES)
    assert lab.vm("test", "imaged") == 0
    (call,) = [call for call in lab.programs.calls("ssh") if "debian.sh" in call[-1]]
    assert call[call.index("-l") + 1] == "root"
    assert call[-1] == "sh ~tester/mogvm/src/vm/provision/debian.sh gcc"


def test_guest_without_network(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.programs.answer(("debian.sh", 3, "debian.sh: cannot get gcc: has this guest a way out?"))
    assert lab.vm("test", "imaged") == 1
    output = capsys.readouterr()
    assert "cannot get gcc" not in output.err
    assert "imaged: provisioning failed with status 3" in output.err
    assert "without internet" in output.err
    assert not [command for command in commands(lab) if "suite.sh" in command]


def test_connection_that_breaks_in_the_middle(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.programs.answer(("suite.sh", 255, "....."))
    assert lab.vm("test", "imaged") == 1
    assert "the connection to the guest broke" in capsys.readouterr().err


def test_guest_whose_disk_is_full(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.programs.answer(("tar -xf", 2, "tar: write error"))
    assert lab.vm("test", "imaged") == 1
    assert "copying to mogvm/src in the guest failed" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["sync", "provision", "results"])
def test_step_for_a_machine_that_does_not_run(
    command: str, lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lab.vm(command, "imaged") == 1
    output = capsys.readouterr().err
    assert "imaged is not created" in output
    assert "`python -m vm up imaged` comes first" in output


def test_interrupted_suite_is_ended_in_the_guest(lab: Lab) -> None:
    def interrupt(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    assert lab.vm("up", "imaged") == 0
    lab.monkeypatch.setattr("vm.guest.suite.provision", lambda _: None)
    lab.monkeypatch.setattr("vm.guest.suite.ssh.run", interrupt)
    assert lab.vm("test", "imaged") == 130
    assert commands(lab)[-1] == "sh mogvm/src/vm/provision/suite.sh stop"


def test_worst_of_several_machines_counts(lab: Lab) -> None:
    lab.programs.answer(("suite.sh", 5, ""), *FILES)
    assert lab.vm("test", "imaged", "imaged") == 5


def test_machines_after_one_that_fails_have_their_turn(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.programs.answer(("freebsd.sh", 3, ""), ("suite.sh", 0, ""), *FILES)
    assert lab.vm("test", "fresh", "imaged") == 1
    output = capsys.readouterr()
    assert "fresh: provisioning failed with status 3" in output.err
    assert output.out.splitlines()[-3:] == [
        "==> 2 machines:",
        "    fresh        FAILED with status 1",
        "    imaged       ok",
    ]


def test_wrong_entry_stops_only_its_machine(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    text = lab.machines_file.read_text()
    lab.machines_file.write_text(text.replace('release: "14.4"', "release: 14.4"))
    lab.programs.answer(("suite.sh", 0, ""), *FILES)
    assert lab.vm("test", "boxed", "imaged") == 1
    assert "machine 'boxed', key 'release': is the number 14.4" in capsys.readouterr().err
    assert (lab.results / "junit.xml").exists()
    assert lab.vm("list") == 0
    assert "'boxed', key 'release'" in capsys.readouterr().err


def test_part_of_the_suite_that_a_machine_runs(lab: Lab) -> None:
    lab.programs.answer(("suite.sh", 0, ""), *FILES)
    assert lab.vm("test", "fresh", "--", "-x") == 0
    assert suite_of(lab).endswith("suite.sh --timeout=1800 -x tests/mogpoll")


def test_unknown_machine(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert lab.vm("up", "plan9") == 1
    output = capsys.readouterr().err
    assert "no machine 'plan9'" in output
    assert "imaged, boxed" in output


@pytest.mark.parametrize(
    "wrong",
    [
        ["up"],
        ["fly", "imaged"],
        ["up", "imaged", "--", "-k", "x"],
        ["up", "imaged", "--patience", "0"],
        ["up", "imaged", "--patience", "x"],
        [],
    ],
)
def test_wrong_command_line(wrong: list[str], lab: Lab) -> None:
    with pytest.raises(SystemExit) as left:
        lab.vm(*wrong)
    assert left.value.code == 2
