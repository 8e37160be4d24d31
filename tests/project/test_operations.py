"""docs/messages.md agrees with the log, and docs/operations.md with the sidechannel."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.project._tree import ROOT
from tests.support.daemon import Node
from tests.support.sidechannel import manage

DOCUMENT = (ROOT / "docs" / "operations.md").read_text()
SCRIPT = ROOT / "packaging" / "docs" / "messages.py"


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("messages", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_every_message_of_the_code_is_in_the_table() -> None:
    """The output has the texts for which code and entries differ."""
    checked = subprocess.run(
        [sys.executable, "-P", SCRIPT, "--check"], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


CALLS = """
_log.warning("%s is odd", 1)
_log.info("a", "b")
_log.debug("never written")
_log.log(NOTICE, "of note")
_log.exception("gone")
_failures.error("rare")
log_exception("failed")
LOSS = "lost"
logging.LogRecord("mogstored", logging.WARNING, "", 0, LOSS, (), None)
parser.error("not logged")
raise ConfigError(f"{name}: no {thing}")
"""


def source_of(script: Any, code: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    for package in ("mogpoll", "mogstored"):
        (tmp_path / package).mkdir()
    (tmp_path / "mogpoll" / "a.py").write_text("_failures = RareLog()")
    (tmp_path / "mogstored" / "b.py").write_text(code)
    monkeypatch.setattr(script, "ROOT", tmp_path)
    return script.Source()


def test_every_way_of_logging_is_found(
    script: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = source_of(script, CALLS, monkeypatch, tmp_path)
    assert [(message.level, text) for text, message in source.logged()] == [
        ("warning", "%s is odd"),
        ("info", "a"),
        ("notice", "of note"),
        ("error", "gone"),
        ("error", "rare"),
        ("error", "failed"),
        ("warning", "lost"),
    ]
    assert [text for text, _ in source.refused()] == ["%s: no %s"]


def test_message_that_is_no_literal_is_refused(
    script: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = source_of(script, "_log.error(text)", monkeypatch, tmp_path)
    with pytest.raises(ValueError, match=r"mogstored/b\.py:1"):
        list(source.logged())


def test_difference_of_code_and_entries_has_the_text(
    script: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = source_of(script, '_log.error("new text")', monkeypatch, tmp_path)
    entries = {
        "messages": {
            "": [{"text": "old text", "values": [[1, "two words", "a reason of five words"]]}]
        },
        "refusals": {},
    }
    found = {"messages": dict(source.logged()), "refusals": {}}
    assert [
        fault.rpartition(": ")[2] for fault in script._differences(entries, found, source)
    ] == [
        "new text",
        "old text",
        "a reason of five words",
    ]


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Node(mgmt=True, devices=["dev1"]) as node:
        yield node


def test_threads_are_set_as_shown(node: Node) -> None:
    (command,) = re.findall(r"printf '(server .*?)\\r\\n'", DOCUMENT)
    with manage(node) as manager:
        assert manager.ask(command.encode()) == b"\r\n"
    node.wait_for_log(r"server aio_threads=60$")
