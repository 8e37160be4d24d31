"""How long a session of an admin listener waits, and for what; the clock is the test's."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from mogstored.admin.http import session as module
from mogstored.admin.http.message import Answer, Request
from mogstored.admin.http.session import Session, Want

if TYPE_CHECKING:
    from collections.abc import Iterator

GET = b"GET / HTTP/1.1\r\n\r\n"
OK = Answer(200, "text/plain", b"ok\n")


class Rig:
    """A session, its client, and the requests that it has passed on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(module, "monotonic", lambda: self.now)
        near, self.client = socket.socketpair()
        self.client.setblocking(False)
        self.asked: list[Request] = []
        self.session = Session(near, lambda _, request: self.asked.append(request))

    @property
    def left_s(self) -> float:
        return self.session.deadline - self.now

    def send(self, data: bytes) -> Want:
        self.client.sendall(data)
        return self.session.step()

    def answer(self, answer: Answer = OK) -> Want:
        self.session.answer(answer)
        return self.session.step()

    def received(self) -> bytes:
        return self.client.recv(100_000)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    found = Rig(monkeypatch)
    yield found
    found.session.close()
    found.client.close()


def test_idle_client_has_more_time_than_scrapes_are_apart(rig: Rig) -> None:
    assert rig.left_s == 75.0
    assert rig.session.step() is Want.READ
    assert rig.session.is_idle
    assert rig.session.expire() is Want.CLOSE
    assert rig.received() == b""


def test_head_has_5_s_from_its_first_byte(rig: Rig) -> None:
    assert rig.send(GET[:1]) is Want.READ
    assert not rig.session.is_idle
    assert rig.left_s == 5.0
    rig.now += 3
    assert rig.send(GET[1:-1]) is Want.READ
    assert rig.left_s == 2.0
    assert rig.session.expire() is Want.READ
    answer = rig.received()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert answer.endswith(b"Connection: close\r\n\r\n408\n")
    assert b"Content-Type: text/plain; charset=utf-8\r\n" in answer


def test_answer_is_awaited_and_the_next_request_too(rig: Rig) -> None:
    for _ in range(2):
        assert rig.send(GET) is Want.ANSWER
        assert (rig.session.is_awaiting, rig.session.is_idle) == (True, False)
        assert rig.session.step() is Want.ANSWER
        rig.now += 7
        rig.session.answer(OK)
        assert rig.left_s == 10.0
        assert rig.session.step() is Want.READ
        assert (rig.session.is_awaiting, rig.session.is_idle) == (False, True)
        assert rig.left_s == 75.0
        assert rig.received().endswith(b"Connection: keep-alive\r\n\r\nok\n")
    assert [each.path for each in rig.asked] == ["/", "/"]


def test_second_request_waits_for_its_turn_and_has_less_time(rig: Rig) -> None:
    rig.send(GET + GET[:3])
    assert rig.answer() is Want.WRITE
    assert rig.left_s == 5.0
    assert not rig.session.is_idle
    assert rig.session.step() is Want.READ


def test_answer_has_10_s_without_progress_and_60_in_all(rig: Rig) -> None:
    rig.send(GET)
    big = Answer(200, "text/plain", b"x" * 5_000_000)
    assert rig.answer(big) is Want.WRITE
    assert rig.left_s == 10.0
    assert rig.session.step() is Want.WRITE
    received = 0
    for _ in range(6):
        rig.now += 9
        received += len(rig.received())
        assert rig.session.step() is Want.WRITE
    assert rig.left_s == 6.0
    rig.now += 1
    assert rig.session.step() is Want.WRITE
    assert rig.left_s == 5.0, "nothing more was sent"
    assert rig.session.expire() is Want.CLOSE


def test_whole_answer_arrives_through_a_narrow_socket(rig: Rig) -> None:
    rig.send(GET)
    content = bytes(range(256)) * 8000
    want = rig.answer(Answer(200, "text/plain", content))
    received = b""
    while want is Want.WRITE:
        received += rig.received()
        want = rig.session.step()
    received += rig.received()
    while len(received.partition(b"\r\n\r\n")[2]) < len(content):
        received += rig.received()
    assert want is Want.READ
    assert received.endswith(b"\r\n\r\n" + content)


def test_head_request_has_no_content(rig: Rig) -> None:
    rig.send(b"HEAD / HTTP/1.1\r\n\r\n")
    rig.answer()
    assert rig.received().endswith(b"\r\n\r\n")
    # A refusal has one again.
    rig.send(b"\x00")
    assert rig.received().endswith(b"\r\n\r\n400\n")


def test_connection_ends_after_the_last_answer(rig: Rig) -> None:
    rig.send(GET)
    rig.session.is_last = True
    assert rig.answer() is Want.CLOSE
    assert rig.received().endswith(b"Connection: close\r\n\r\nok\n")


def test_client_that_may_still_write_lingers_for_a_second(rig: Rig) -> None:
    rig.send(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n")
    assert rig.answer() is Want.READ
    assert rig.left_s == 1.0
    assert rig.received().endswith(b"ok\n")
    assert rig.received() == b"", "its end is shut down"
    assert rig.session.step() is Want.READ
    assert rig.send(b"x" * 9) is Want.READ
    rig.client.shutdown(socket.SHUT_WR)
    assert rig.session.step() is Want.CLOSE


def test_client_that_goes_on_writing_is_left(rig: Rig) -> None:
    rig.send(b"\x00")
    dropped = 0
    while rig.send(b"x" * 16384) is Want.READ:
        dropped += 16384
    assert dropped == 256 * 1024 - 16384


def test_rest_behind_a_last_request_lingers_too(rig: Rig) -> None:
    rig.send(GET + b"more")
    rig.session.is_last = True
    assert rig.answer() is Want.READ
    assert rig.left_s == 1.0


@pytest.mark.parametrize("sent", [b"", GET[:5]])
def test_client_that_leaves(rig: Rig, sent: bytes) -> None:
    rig.client.sendall(sent)
    rig.client.shutdown(socket.SHUT_WR)
    while (want := rig.session.step()) is Want.READ:
        pass
    assert want is Want.CLOSE
    assert rig.received() == b""


def test_client_that_is_gone_before_its_answer(rig: Rig) -> None:
    rig.send(GET)
    rig.client.close()
    assert rig.answer() is Want.CLOSE
