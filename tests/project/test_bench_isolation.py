"""The measurement of isolation: what its load prints, what its tables say, and its picture."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from bench import nginx_config
from bench.isolation.__main__ import parse
from bench.isolation.figures import Pair, Run, both, middle, parse_run
from bench.isolation.parts import HUNDRED, HUNG, SLOW
from bench.isolation.plot import draw
from bench.isolation.table import table
from bench.report import LoadError

if TYPE_CHECKING:
    from pathlib import Path

LINE = (
    "isolation requests={} duration_us=2000000 p50_us=1500 p99_us=9000 max_us=20000 "
    "connect=0 read=0 write=0 timeout={} status={}\n"
)
WELL = Run(2000, 2.0, 1.0, 10.0, 20.0)
WORSE = Run(1000, 2.0, 2.0, 11.0, 40.0)
WEDGED = Run(0, 2.0, None, None, None)


def test_line_of_a_run() -> None:
    text = "Running 2s test\n" + LINE.format(4000, 0, 0)
    assert parse_run(text) == Run(4000, 2.0, 1.5, 9.0, 20.0)
    assert parse_run(text).rate == 2000


def test_server_that_answers_nothing_is_a_result() -> None:
    assert parse_run(LINE.format(0, 16, 0)) == WEDGED


@pytest.mark.parametrize("text", ["", LINE.format(1, 0, 3), 2 * LINE.format(1, 0, 0)])
def test_wrong_answers_and_missing_lines_are_refused(text: str) -> None:
    with pytest.raises(LoadError):
        parse_run(text)


def test_before_and_after_make_one_figure() -> None:
    assert both(WELL, WORSE) == Run(3000, 4.0, 1.5, 10.5, 30.0)
    assert both(WELL, WEDGED).p99_ms is None


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1.0, 5.0, 2.0], 2.0), ([1.0, None, 2.0], 2.0), ([1.0, None, None], None)],
)
def test_no_answer_is_the_longest(values: list[float | None], expected: float | None) -> None:
    assert middle(values) == expected


def test_verdict_is_on_the_node_alone_and_by_the_ratio_as_printed() -> None:
    samples = {
        "mogstored, 1 process": [Pair(WELL, WORSE)],
        "mogstored, 2 processes": [Pair(WELL, Run(1000, 2.0, 2.0, 12.1, 40.0))],
        "nginx": [Pair(WELL, WEDGED)],
    }
    lines = table(HUNDRED, samples).splitlines()
    assert lines[-3].endswith("1.10 (1.10-1.10)     goal <= 1.2: met")
    assert lines[-2].endswith("1.21 (1.21-1.21)     goal <= 1.2: MISSED")
    assert lines[-1].endswith("not served")
    assert "goal" not in table(HUNG, samples)


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="matplotlib is not installed")
def test_picture_names_everybody(tmp_path: Path) -> None:
    samples = {"mogstored": [Pair(WELL, WORSE)], "nginx": [Pair(WELL, WEDGED)]}
    draw({HUNG: samples, SLOW: samples}, tmp_path / "picture.svg")
    texts = {each.text for each in ElementTree.parse(tmp_path / "picture.svg").iter()}
    assert {"mogstored", "nginx", "no answer"} <= texts


@pytest.mark.parametrize("aio_threads", [False, True])
def test_nginx_gets_its_threads_only_when_asked(tmp_path: Path, aio_threads: bool) -> None:
    text = nginx_config.render(tmp_path, tmp_path, 80, 10, 2, aio_threads=aio_threads)
    assert ("aio threads;" in text) == aio_threads
    assert "worker_processes 2;" in text


@pytest.mark.parametrize("arguments", [["--parts", "other"], ["--rounds", "0"]])
def test_wrong_arguments_start_nothing(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        parse(arguments)
    assert left.value.code == 2
    assert "usage" in capsys.readouterr().err
