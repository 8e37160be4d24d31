"""The admin process beside serving processes: rounds, sums, and ends."""

from __future__ import annotations

import errno
import json
import socket
import threading
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

from mogstored.admin import process
from mogstored.admin.control import DRAINING, NodeFacts, ServingProcess
from mogstored.admin.http.message import Request
from mogstored.log.bounded_writer import FlushResult
from mogstored.observability.frames import frame
from mogstored.observer import REQUEST
from tests.support.admin_rig import AdminRig, admin_rig
from tests.support.clock import stop_clock
from tests.support.http import Client, compose
from tests.support.snapshots import FACTS, snapshot
from tests.support.sockets import refuses
from tests.support.threads import join
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mogstored.observability.snapshot import ProcessSnapshot
    from tests.support.admin_rig import Mute
    from tests.support.http import Response


@pytest.fixture
def rig() -> Iterator[AdminRig]:
    with admin_rig() as found:
        yield found


def status(rig: AdminRig) -> dict[str, Any]:
    answer = rig.get("/status.json")
    assert answer.status == 200
    found: dict[str, Any] = json.loads(answer.body)
    return found


def gets(rig: AdminRig) -> int:
    """Return how many GETs were answered by 200, by /metrics."""
    name = 'mogstored_http_requests_total{code="200",method="GET"} '
    lines = rig.get("/metrics").body.decode().splitlines()
    return int(sum(float(line.removeprefix(name)) for line in lines if line.startswith(name)))


def with_gets(count: int, pid: int = 1001) -> ProcessSnapshot:
    return snapshot(pid=pid, requests={"GET": {200: count}})


def gets_answered_by(rig: AdminRig, mute: Mute, counters: ProcessSnapshot) -> int:
    """As `gets`, while a process answers that would not do so by itself."""
    counted: list[int] = []
    scrape = threading.Thread(target=lambda: counted.append(gets(rig)))
    scrape.start()
    mute.await_request()
    mute.answer(counters)
    join(scrape)
    return counted[0]


def test_each_scrape_shows_the_present(rig: AdminRig) -> None:
    serving = rig.serve()
    for count in (1, 5, 70):
        serving.counters = with_gets(count)
        assert gets(rig) == count


def test_counters_of_all_processes_are_added(rig: AdminRig) -> None:
    for number in range(3):
        rig.serve(number, 1001 + number).counters = with_gets(10**number)
    assert gets(rig) == 111
    assert [each["pid"] for each in status(rig)["workers"]] == [1001, 1002, 1003]


def test_counters_stay_when_a_process_is_replaced(rig: AdminRig) -> None:
    stopping, killed = rig.serve(0, 1001), rig.be_mute(1, 1002)
    stopping.counters = with_gets(3)
    assert gets_answered_by(rig, killed, with_gets(4, 1002)) == 7
    # The last snapshot of one that stops comes unasked; one that is killed has none.
    stopping.counters = with_gets(5)
    stopping.end()
    killed.end()
    wait_until(lambda: status(rig)["workers"] == [], "both have ended")
    assert gets(rig) == 9
    rig.serve(0, 1003).counters = with_gets(1, 1003)
    assert gets(rig) == 10


def test_process_that_does_not_answer_is_shown_as_it_was(rig: AdminRig) -> None:
    mute = rig.be_mute()
    assert gets_answered_by(rig, mute, with_gets(7)) == 7
    (worker,) = status(rig)["workers"]
    assert worker["answers"] is False
    assert gets(rig) == 7
    assert rig.get("/-/healthy").status == 200, "it has answered within the last 10 s"
    ready = rig.get("/-/ready")
    assert (ready.status, ready.body) == (503, b"no process answers\n")


def test_many_who_ask_at_once_share_a_round(rig: AdminRig) -> None:
    serving = rig.serve()
    clients = [Client(rig.addr) for _ in range(20)]
    for client in clients:
        client.send(compose("GET", "/metrics"))
    for client in clients:
        assert client.read_response().status == 200
        client.close()
    # The first one's round, and those that begin while the others arrive.
    assert serving.asked < len(clients)


def test_facts_of_the_node(rig: AdminRig) -> None:
    rig.update(FACTS._replace(worker_restarts=3, upgrades=2, worker_processes=4))
    node = status(rig)["node"]
    assert (node["worker_restarts"], node["upgrades"], node["worker_processes"]) == (3, 2, 4)
    assert status(rig)["listeners"] == [
        {"kind": "http", "address": "127.0.0.1:7500", "docroot": "/srv"},
        {"kind": "admin", "address": "[::1]:7502", "docroot": None},
    ]


def test_requests_before_the_node_has_said_anything_wait() -> None:
    with AdminRig() as rig, Client(rig.addr) as client:
        client.send(compose("GET", "/-/healthy"))
        client.expect_silence()
        rig.update()
        assert client.read_response().status == 200


def assert_stays(answer: Response, reason: str) -> None:
    assert (answer.status, answer.body.decode()) == (503, f"{reason}\n")


def test_node_that_drains_is_shown_to_the_end(rig: AdminRig) -> None:
    rig.serve()
    rig.update(FACTS._replace(state=DRAINING))
    assert_stays(rig.get("/-/ready"), "draining")
    assert rig.get("/-/healthy").status == 200
    assert status(rig)["node"]["state"] == "draining"


def test_node_that_was_succeeded_leaves_new_clients_to_its_successor(rig: AdminRig) -> None:
    rig.serve()
    idle, busy = Client(rig.addr), Client(rig.addr)
    with idle, busy:
        assert idle.request(compose("GET", "/-/healthy")).keeps
        busy.send(b"GET /-/healthy HTTP/1.1\r\n")
        assert gets(rig) >= 0, "both were accepted"
        rig.update(FACTS._replace(state=DRAINING, is_succeeded=True))
        idle.read_eof()
        # The listener stays open in this process only.
        rig.listener.close()
        wait_until(lambda: refuses(rig.addr), "new clients are refused")
        busy.send(b"\r\n")
        assert not busy.read_response().keeps
        busy.read_eof()


def test_request_that_crosses_the_succession_is_answered(
    rig: AdminRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "CROSSING_S", PATIENCE_S)
    rig.serve()
    with Client(rig.addr) as client:
        assert gets(rig) >= 0, "it was accepted"
        rig.update(FACTS._replace(state=DRAINING, is_succeeded=True))
        rig.listener.close()
        wait_until(lambda: refuses(rig.addr), "new clients are refused")
        response = client.request(compose("GET", "/-/ready"))
        assert_stays(response, "draining")
        assert not response.keeps


def test_end_of_the_leader_ends_it() -> None:
    with AdminRig() as rig:
        rig.update()
    wait_until(lambda: refuses(rig.addr), "the listener is closed")


def test_page_shows_the_status(rig: AdminRig) -> None:
    rig.serve()
    page = rig.get("/")
    assert page.status == 200
    assert page.header("Content-Type") == "text/html; charset=utf-8"
    assert "default-src 'none'" in (page.header("Content-Security-Policy") or "")
    assert b"dev1" in page.body


@pytest.mark.parametrize("path", ["/status.json", "/metrics", "/-/ready", "/-/healthy", "/", "/x"])
def test_answers_are_fresh_and_what_they_say(rig: AdminRig, path: str) -> None:
    rig.serve()
    answer = rig.get(path)
    assert answer.header("Cache-Control") == "no-store"
    assert answer.header("X-Content-Type-Options") == "nosniff"
    with Client(rig.addr) as client:
        head = client.request(compose("HEAD", path), head=True)
        assert head.status == answer.status
        assert client.request(compose("GET", path)).status == answer.status


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "MKCOL"])
def test_nothing_can_be_changed(rig: AdminRig, method: str) -> None:
    rig.serve()
    with Client(rig.addr) as client:
        answer = client.request(compose(method, "/metrics"))
        assert (answer.status, answer.header("Allow")) == (405, "GET, HEAD")
        assert client.request(compose(method, "/dev1/x")).status == 404


def test_format_of_metrics_is_negotiated(rig: AdminRig) -> None:
    rig.serve()
    plain = rig.get("/metrics")
    assert (plain.header("Content-Type") or "").startswith("text/plain")
    opened = rig.get("/metrics", "Accept: application/openmetrics-text;version=1.0.0")
    assert (opened.header("Content-Type") or "").startswith("application/openmetrics-text")
    assert opened.body.endswith(b"# EOF\n")


def test_control_channel_takes_descriptors_in_order() -> None:
    """Of several introductions that are read at once."""
    with AdminRig() as rig:
        for number in range(30):
            rig.serve(number, 2000 + number)
        rig.update(NodeFacts(1, 0.0, 30, ()))
        workers = status(rig)["workers"]
        assert [each["pid"] for each in workers] == [2000 + number for number in range(30)]
        assert all(each["answers"] for each in workers)


class TestTimes:
    """Of an admin process whose loop the test plays; the clock is the test's."""

    @pytest.fixture
    def now(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        return stop_clock(monkeypatch, process, 1000.0)

    @pytest.fixture
    def admin(self, now: list[float]) -> Iterator[Any]:
        assert now
        rig = AdminRig()
        rig.admin._facts = FACTS
        yield rig.admin
        rig.admin._release()
        rig.control.close()
        rig._far.close()

    def after(self, admin: Any, now: list[float], seconds: float) -> float | None:
        """Let time pass; return how long the process waits then at most."""
        now[0] += seconds
        admin._act_on_time()
        waits: float | None = admin._timeout_s()
        return None if waits is None else round(waits, 3)

    def test_round_has_half_a_second_and_the_next_begins_later(
        self, admin: Any, now: list[float]
    ) -> None:
        assert self.after(admin, now, 0.0) is None
        near, far = socket.socketpair()
        with near, far:
            admin._introduce(ServingProcess(0, 1001), near)
            session = Mock(is_last=False, deadline=0.0)
            request = Request("GET", "/metrics", "", keep_alive=True)
            admin._take(session, request)
            assert session.is_last is False
            assert self.after(admin, now, 0.0) == 0.5
            assert far.recv(9) == REQUEST
            admin._take(session, request)
            assert self.after(admin, now, 0.49) == 0.01
            # Nothing was answered: the round ends, and the next begins.
            assert self.after(admin, now, 0.01) == 0.5
            assert far.recv(9) == REQUEST
            far.sendall(2 * frame(snapshot().encode()))
            admin._receive(admin._sources.channels[0])
            admin._take(session, request)
            assert self.after(admin, now, 0.02) == 0.08
            assert self.after(admin, now, 0.08) == 0.5
            admin._sources.drop(admin._sources.channels[0])

    def test_utilization_is_sampled_while_somebody_looks(
        self, admin: Any, now: list[float]
    ) -> None:
        admin._take(Mock(), Request("GET", "/", "", keep_alive=True))
        assert self.after(admin, now, 0.0) == 1.0
        assert admin._round_until is None
        assert self.after(admin, now, 0.25) == 0.75
        assert self.after(admin, now, 0.75) == 0.5
        assert self.after(admin, now, 0.0) == 1.0
        assert self.after(admin, now, 58.5) == 0.5
        assert self.after(admin, now, 0.0) == 1.0
        assert self.after(admin, now, 0.5) is None
        assert self.after(admin, now, 5.0) is None

    def test_lines_of_the_log_are_offered_again(self, admin: Any, now: list[float]) -> None:
        admin._log = log = Mock()
        admin._flush_later()
        log.flush.return_value = FlushResult.FULL
        assert self.after(admin, now, 0.25) == 0.25
        assert not log.flush.called
        assert self.after(admin, now, 0.25) == 0.5
        log.flush.return_value = FlushResult.DONE
        assert self.after(admin, now, 0.5) is None
        assert log.flush.call_count == 2

    def test_listener_rests_when_descriptors_have_run_out(
        self, admin: Any, now: list[float], caplog: pytest.LogCaptureFixture
    ) -> None:
        listener = Mock()
        admin._accept_or_not()
        assert admin._accepts
        listener.accept.side_effect = OSError(errno.EMFILE, "none left")
        admin._accept(listener)
        admin._accept_or_not()
        assert (admin._accepts, admin._timeout_s()) == (False, pytest.approx(0.1))
        assert caplog.messages == ["admin listener: accept failed: none left (EMFILE)"]
        now[0] += 0.11
        admin._accept_or_not()
        assert admin._accepts
        listener.accept.side_effect = [OSError(errno.ECONNABORTED, "gone"), BlockingIOError]
        admin._accept(listener)
        assert listener.accept.call_count == 3
        assert len(caplog.messages) == 1

    def test_idle_clients_of_a_succeeded_node_have_a_second(
        self, admin: Any, now: list[float]
    ) -> None:
        idle, soon = Mock(is_idle=True, deadline=2000.0), Mock(is_idle=True, deadline=1000.5)
        busy = Mock(is_idle=False, is_awaiting=False, deadline=2000.0)
        admin.sessions = dict.fromkeys((idle, soon, busy), 0)
        admin._accept_or_not()
        admin._stop_accepting()
        assert [each.deadline for each in admin.sessions] == [1001.0, 1000.5, 2000.0]
        assert all(each.is_last for each in admin.sessions)
        assert admin._listeners == []
        assert not admin._accepts
