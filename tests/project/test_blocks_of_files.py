"""Blocks of the documents that are files, queries or code: what reads them takes them."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import textwrap
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest
import yaml

from bench.options import parse as parse_bench
from mogpoll import Next, WorkerPool, open_poller
from mogstored.top.main import to_json
from mogstored.top.model import Device, Node
from tests.project._blocks import block, blocks
from tests.project._monitoring import MONITORING, listed_metrics, promtool, wrong_names
from tests.project._stage import Stage
from tests.project._tree import ROOT
from tests.support.program import run
from tests.support.required import needs
from vm.cli import _parse as parse_vm
from vm.machines import load

ANY_PORT = "127.0.0.1:0"


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


# Configuration files.


@pytest.mark.parametrize(
    ("document", "begins"),
    [
        ("README.md", "# /etc/mogilefs/mogstored.conf"),
        ("docs/configuration.md", "# /etc/mogilefs/mogstored.conf"),
        ("docs/operations.md", "# /etc/mogilefs/mogstored.conf"),
        ("docs/monitoring.md", "# /etc/mogilefs/mogstored.conf"),
        ("docs/monitoring.md", "allow = admin:"),
    ],
)
def test_configuration_has_no_fault(stage: Stage, document: str, begins: str) -> None:
    text = block(document, begins).text
    keys = re.findall(r"^(\w+)", text, re.MULTILINE)
    if "docroot" not in keys:
        text += f"docroot = /var/mogdata\nhttplisten = {ANY_PORT}\n"
    stage.path("/var/mogdata/dev1").mkdir(parents=True)
    stage.path("/run").mkdir()
    file = stage.write("/etc/mogilefs/mogstored.conf", re.sub(r"[\d.]+:75\d\d", ANY_PORT, text))
    done = run(["--config", str(file), "--check-config", "--strict"])
    assert done.returncode == 0, done.stderr
    assert [key for key in keys if f"{key} = " not in done.stdout] == []


@needs("nginx")
def test_nginx_takes_the_location(stage: Stage) -> None:
    stage.write("/etc/nginx/nodes.htpasswd", "")
    server = block("docs/monitoring.md", "location /store1/ {").text
    # Without root, nginx may write into the folder alone.
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"{kind}_temp_path {stage.folder}/{kind};\n" for kind in kinds)
    http = f"access_log off;\n{places}server {{\n{server}}}\n"
    text = f"events {{}} pid {stage.folder}/pid;\nhttp {{\n{http}}}\n"
    file = stage.write("/etc/nginx/nginx.conf", text)
    stage.run_line(f"nginx -t -q -e stderr -p {stage.folder} -c {file}")


@needs("promtool")
def test_prometheus_takes_the_files(stage: Stage) -> None:
    folder = MONITORING / "prometheus"
    stage.write("/etc/prometheus/prometheus.yml", (folder / "scrape.yml").read_text())
    printed = stage.run(block("docs/monitoring.md", "cp mogstored.rules.yml"), cwd=folder)
    assert "1 rule files found" in printed


def test_relabelling_drops_series_there_are() -> None:
    (rule,) = yaml.safe_load(block("docs/scale.md", "metric_relabel_configs:").text)[
        "metric_relabel_configs"
    ]
    assert (rule["source_labels"], rule["action"]) == (["__name__"], "drop")
    metrics = listed_metrics()
    series = [f"{name}_bucket" for name in metrics if metrics[name].kind == "histogram"]
    dropped = [name for name in series if re.fullmatch(rule["regex"], name)]
    assert dropped == [name for name in series if "_device_" in name]


@pytest.mark.parametrize("begins", ["image:", "box: mine/freebsd15"])
def test_machines_take_an_image_or_a_box(begins: str, tmp_path: Path) -> None:
    (entry,) = yaml.safe_load(block("docs/vm.md", "- name: netbsd10").text)
    del entry["image"]
    entry |= yaml.safe_load(block("docs/vm.md", begins).text)
    text = yaml.safe_dump({"machines": [entry]})
    for name, digits in (("sha256", 64), ("sha512", 128)):
        text = text.replace(f"{name}:...", f"{name}:{digits * '0'}")
    file = tmp_path / "machines.yml"
    file.write_text(text)
    machines = load(file)
    assert (list(machines), machines.broken) == (["netbsd10"], {})


# Queries and answers.


def queries() -> list[str]:
    """The queries of all blocks of promql, one a line."""
    texts = [it.text for it in blocks() if it.language == "promql"]
    lines = [line for text in texts for line in text.splitlines()]
    return [line for line in lines if not line.startswith("#")]


@pytest.mark.parametrize("query", queries())
def test_query_is_about_metrics_there_are(query: str) -> None:
    assert wrong_names(query) == []


@needs("promtool")
def test_queries_are_promql(tmp_path: Path) -> None:
    rules = [{"record": f"query:{number}", "expr": it} for number, it in enumerate(queries())]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "documents", "rules": rules}]}))
    assert f"SUCCESS: {len(rules)} rules found" in promtool("check", "rules", file)


def test_json_of_top_has_fields_there_are() -> None:
    node = Node(node="a", state="ok", devices=(Device(node="a", device="dev1", state="ok"),))
    whole: dict[str, Any] = to_json([node], 0.0)
    shown = json.loads(block("docs/top.md", '{"schema": 1').text)
    assert shown.keys() == whole.keys()
    assert shown["schema"] == whole["schema"]
    assert shown["nodes"][0].keys() <= whole["nodes"][0].keys()
    assert shown["nodes"][0]["devices"][0].keys() <= whole["nodes"][0]["devices"][0].keys()


# Code.


@pytest.mark.parametrize("begins", ["other.outbox", "back_end.submit", "pool.set_deadline"])
def test_part_of_a_step_calls_what_there_is(begins: str) -> None:
    pool, other, back_end = create_autospec(WorkerPool, instance=True), FakeTask(), FakeTask()
    code = "def step(self, other, back_end, line, path):\n"
    code += textwrap.indent(block("docs/mogpoll/guide.md", begins).text, "    ")
    names: dict[str, Any] = {"pool": pool, "Next": Next}
    exec(code, names)
    verdict = names["step"](FakeTask(), other, back_end, b"line", "path")
    assert verdict in (None, Next.PARKED, Next.READ)
    assert pool.method_calls or back_end.submitted or other.outbox


class FakeTask:
    """What stands around the parts of steps."""

    def __init__(self) -> None:
        self.outbox: list[bytes] = []
        self.submitted: list[object] = []

    def submit(self, call: object, path: str) -> None:
        self.submitted.append((call, path))

    def _ask(self, path: str) -> None: ...


def test_pool_has_a_workspace_for_each_thread() -> None:
    (line,) = block("docs/mogpoll/guide.md", "pool = WorkerPool(").text.splitlines()
    with open_poller() as poller:
        names: dict[str, Any] = {"poller": poller, "WorkerPool": WorkerPool}
        exec(line, names)
        with names["pool"] as pool:
            assert isinstance(pool, WorkerPool)


# Lines of programs that take long or change machines: their words are understood.


def lines_of(program: str) -> list[list[str]]:
    """The lines of all shell blocks that begin so, as the words after it."""
    lines = [line for it in blocks() if it.language == "sh" for line in it.text.splitlines()]
    found = [shlex.split(line, comments=True) for line in lines if line.startswith(program)]
    return [words[len(program.split()) :] for words in found]


@pytest.mark.parametrize("words", lines_of("python -m bench"), ids=" ".join)
def test_bench_understands_its_lines(words: list[str]) -> None:
    parse_bench([str(ROOT) if word == "../before" else word for word in words if word[0] != "["])


@pytest.mark.parametrize("words", lines_of("python -m vm"), ids=" ".join)
def test_vm_understands_its_lines(words: list[str]) -> None:
    given, rest = parse_vm(words)
    assert given.command == words[0]
    assert rest == (words[words.index("--") + 1 :] if "--" in words else [])


@pytest.mark.parametrize("words", lines_of("tox -e"), ids=" ".join)
def test_tox_has_the_environments(words: list[str]) -> None:
    assert re.search(rf"^\[testenv:.*\b{words[0]}\b.*\]$", (ROOT / "tox.ini").read_text(), re.M)


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
@pytest.mark.parametrize("words", [*lines_of("make ")], ids=" ".join)
def test_make_has_the_targets(words: list[str]) -> None:
    # Not what an outer make has set.
    clean = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    done = subprocess.run(
        ["make", "-n", *words], cwd=ROOT, env=clean, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
