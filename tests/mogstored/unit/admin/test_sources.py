"""The channels to serving processes, without the admin process around them."""

from __future__ import annotations

import socket

import pytest

from mogstored.admin.sources import Channel, Sources
from mogstored.observability.frames import frame
from tests.support.snapshots import snapshot


@pytest.mark.parametrize("way", ["close", "shutdown"])
def test_last_answer_counts_though_the_process_takes_no_question_any_more(way: str) -> None:
    """A process that stops sends its counters, and a round may begin before they are read."""
    near, far = socket.socketpair()
    sources = Sources()
    channel = Channel(0, 1, near)
    sources.add(channel)
    last = snapshot(received_bytes=77).encode()
    with far:
        far.shutdown(socket.SHUT_RD)
        if way == "shutdown":
            channel.ask()
        far.sendall(frame(last))
    channel.ask()
    assert sources.are_complete
    channel.receive()
    assert channel.is_over
    sources.drop(channel)
    assert sources.ended().received_bytes == 77
