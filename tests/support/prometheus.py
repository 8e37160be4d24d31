"""A real Prometheus that scrapes nodes each second, and answers queries over its HTTP API."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import urlencode

import yaml

from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.support.daemon import Address

_LISTENING = re.compile(r'msg="Listening on" address=127\.0\.0\.1:(\d+)')
_READY = "Server is ready to receive web requests"


class Sample(NamedTuple):
    """One series of an answer, at the time of the query."""

    labels: Mapping[str, str]
    value: float


class Prometheus:
    """Runs while the `with` block does, on a port that the system chose, with files in `folder`.

    It scrapes `targets` as the job `mogstored`, and evaluates `rules`.
    """

    def __init__(
        self, folder: Path, targets: Sequence[Address], rules: Sequence[Path] = ()
    ) -> None:
        self._folder = folder
        self._target_count = len(targets)
        self._config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(path) for path in rules],
            "scrape_configs": [
                {
                    "job_name": "mogstored",
                    "static_configs": [{"targets": [f"{host}:{port}" for host, port in targets]}],
                }
            ],
        }
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._log: list[str] = []
        self._port: int | None = None
        self._is_ready = False

    def __enter__(self) -> Self:
        file = self._folder / "prometheus.yml"
        file.write_text(yaml.safe_dump(self._config))
        self._process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={file}",
                f"--storage.tsdb.path={self._folder / 'data'}",
                "--web.listen-address=127.0.0.1:0",
            ],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._follow, args=(self._process,), daemon=True)
        self._reader.start()
        try:
            wait_until(lambda: self._is_ready or not self._is_running(), "it is ready")
            assert self._is_running(), self._said()
            self.wait_for_scrape()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def query(self, expression: str) -> list[Sample]:
        """Return the series of an instant query; a scalar is one without labels."""
        data = self.ask("query", query=expression)
        if data["resultType"] == "scalar":
            return [Sample({}, float(data["result"][1]))]
        return [Sample(each["metric"], float(each["value"][1])) for each in data["result"]]

    def value(self, expression: str) -> float:
        """Return the value of a query that has one series."""
        (sample,) = self.query(expression)
        return sample.value

    def by(self, label: str, *more: str, of: str) -> dict[tuple[str, ...], float]:
        """Return the sums of the series that have these labels in common, without zeros."""
        labels = (label, *more)
        return {
            tuple(sample.labels.get(name, "") for name in labels): sample.value
            for sample in self.query(f"sum by ({', '.join(labels)}) ({of})")
            if sample.value
        }

    def ask(self, what: str, **parameters: str) -> Any:
        """Return the data of an answer of the API; an error fails."""
        assert self._port is not None
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)
        try:
            connection.request("GET", f"/api/v1/{what}?{urlencode(parameters)}")
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        assert answer["status"] == "success", f"{parameters}: {answer}"
        return answer["data"]

    def wait_for_scrape(self) -> None:
        """Return when all targets were scraped, all at a time after the call."""
        # Prometheus keeps milliseconds, rounded down.
        now = time.time() + 0.001

        def is_scraped() -> bool:
            # Of the bare selector: of a comparison it would be the time of the query.
            times = self.query('timestamp(up{job="mogstored"}) and up == 1')
            return len(times) == self._target_count and all(sample.value > now for sample in times)

        wait_until(is_scraped, f"a scrape; Prometheus says:\n{self._said()}")

    def _follow(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            self._log.append(line)
            if found := _LISTENING.search(line):
                self._port = int(found[1])
            elif _READY in line:
                self._is_ready = True

    def _is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _said(self) -> str:
        return "".join(self._log[-20:])

    def _end(self) -> None:
        assert self._process is not None
        assert self._reader is not None
        self._process.terminate()
        try:
            self._process.wait(PATIENCE_S)
        finally:
            self._process.kill()
            self._process.wait()
            self._reader.join(PATIENCE_S)
            if self._process.stderr is not None:
                self._process.stderr.close()
