"""The live view: one screen, redrawn when a node has answered, a key came, or the size changed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.control import Control
from rich.screen import Screen

from mogstored.top import keys
from mogstored.top.arguments import Options
from mogstored.top.keys import KeyReader, keys_at_once
from mogstored.top.model import Node
from mogstored.top.order import SORTS
from mogstored.top.sources.polling import poll
from mogstored.top.view import Look, screen

T = TypeVar("T")

# Answers of many nodes come close together: so many seconds between two pictures.
_PICTURE_S = 0.2
# A sequence of bytes that one key sends is complete within this.
_SEQUENCE_S = 0.1
_MAX_FILTER = 80

_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ORDERS = {
    "w": "worst",
    "u": "utilization",
    "f": "full",
    "a": "waiting",
    "o": "oldest",
    "e": "errors",
    "t": "requests",
    "n": "name",
}


class LiveView:
    """**Threads:** that of the event loop."""

    def __init__(self, options: Options, console: Console) -> None:
        self._options = options
        self._console = console
        names = (address.text for address in options.nodes)
        self._nodes = {name: Node(node=name, state="asking") for name in names}
        self._paused: list[Node] = []
        self._look = Look(sort=options.sort, filter=options.filter)
        self._pressed: list[str] = []
        self._signals: list[signal.Signals] = []
        self._wakened = asyncio.Event()
        self._status: int | None = None

    async def run(self) -> int:
        """Show it until it is ended; return the exit status."""
        asking = asyncio.create_task(poll(self._options, self.take))
        asking.add_done_callback(lambda _task: self._wakened.set())
        try:
            with self._signals_noted():
                while self._status is None:
                    with self._terminal():
                        await self._show(asking)
                    if self._status is None:
                        # Stopped by Ctrl-Z: the shell continues it.
                        os.kill(os.getpid(), signal.SIGSTOP)
        finally:
            asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asking
        return self._status

    async def _show(self, asking: asyncio.Task[None]) -> None:
        """Redraw and obey, until the end or until the process is to be stopped for a while."""
        while True:
            self._wakened.clear()
            if asking.done():
                # It ends by an error of the program alone.
                asking.result()
            for key in _emptied(self._pressed):
                self.press(key)
            for number in _emptied(self._signals):
                if number == signal.SIGTSTP:
                    return
                if number in _ENDINGS:
                    self._status = 0 if number == signal.SIGINT else 128 + number
            if self._status is not None:
                return
            drawn_at = time.monotonic()
            self.draw()
            await self._wakened.wait()
            # Keys and signals are obeyed at once.
            while not self._pressed and not self._signals:
                left_s = drawn_at + _PICTURE_S - time.monotonic()
                if left_s <= 0:
                    break
                self._wakened.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left_s):
                        await self._wakened.wait()

    def draw(self) -> None:
        """Show what is known now."""
        console = self._console
        nodes = self._paused if self._look.is_paused else list(self._nodes.values())
        clock = time.strftime("%H:%M:%S")
        picture = screen(nodes, self._look, (console.width, console.height), clock)
        console.print(Control.home(), Screen(picture), end="", sep="")

    def take(self, node: Node) -> None:
        """Let the next picture show the state of a node."""
        self._nodes[node.node] = node
        self._wakened.set()

    def press(self, key: str) -> None:
        """Obey a key: a name as in `keys`, or a character."""
        look = self._look
        if look.typed is not None:
            self._type(key)
        elif look.shows_help:
            look.shows_help = False
        elif key == "q":
            self._status = 0
        elif key in ("p", " "):
            look.is_paused = not look.is_paused
            self._paused = list(self._nodes.values())
        elif key in ("h", "?"):
            look.shows_help = True
        elif key == "/":
            look.typed = look.filter
        elif key == keys.ESCAPE:
            look.filter = ""
        elif key in ("s", *_ORDERS):
            orders = list(SORTS)
            following = orders[(orders.index(look.sort) + 1) % len(orders)]
            look.sort, look.skipped = _ORDERS.get(key, following), 0
        elif key == "r":
            look.is_reversed = not look.is_reversed
        elif key == "v":
            look.only = {"": "nodes", "nodes": "devices", "devices": ""}[look.only]
            look.skipped = 0
        else:
            self._scroll(key)

    def _type(self, key: str) -> None:
        look = self._look
        typed = look.typed or ""
        if key == keys.ENTER:
            look.typed = None
        elif key == keys.ESCAPE:
            look.typed, look.filter = None, ""
        elif key == keys.BACKSPACE:
            look.typed = look.filter = typed[:-1]
        elif len(key) == 1 and len(typed) < _MAX_FILTER:
            look.typed = look.filter = typed + key
        look.skipped = 0

    def _scroll(self, key: str) -> None:
        page = self._console.height // 2
        steps = {keys.UP: -1, "k": -1, keys.DOWN: 1, "j": 1}
        steps |= {keys.PAGE_UP: -page, keys.PAGE_DOWN: page}
        if key == keys.HOME:
            self._look.skipped = 0
        elif key == keys.END:
            # The picture keeps it in bounds.
            self._look.skipped = sum(len(node.devices) + 1 for node in self._nodes.values())
        else:
            self._look.skipped += steps.get(key, 0)

    @contextlib.contextmanager
    def _terminal(self) -> Iterator[None]:
        """Take over the terminal, and give it back as it was."""
        with contextlib.ExitStack() as stack:
            if sys.stdin is not None and os.isatty(0):
                stack.enter_context(keys_at_once(0))
                stack.enter_context(self._keys_noted())
            stack.enter_context(self._console.screen())
            yield

    @contextlib.contextmanager
    def _keys_noted(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        reader = KeyReader()

        def note(pressed: Sequence[str]) -> None:
            self._pressed += pressed
            self._wakened.set()

        def read() -> None:
            try:
                data = os.read(0, 1024)
            except OSError:
                data = b""
            if not data:
                # The terminal has gone.
                loop.remove_reader(0)
                note(["q"])
                return
            note(reader.feed(data))
            if reader.is_waiting:
                loop.call_later(_SEQUENCE_S, lambda: note(reader.flush()))

        loop.add_reader(0, read)
        try:
            yield
        finally:
            loop.remove_reader(0)

    @contextlib.contextmanager
    def _signals_noted(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()

        def note(number: signal.Signals) -> None:
            self._signals.append(number)
            self._wakened.set()

        noted = (*_ENDINGS, signal.SIGWINCH, signal.SIGTSTP)
        for number in noted:
            loop.add_signal_handler(number, note, number)
        try:
            yield
        finally:
            for number in noted:
                loop.remove_signal_handler(number)


def _emptied(things: list[T]) -> list[T]:
    taken = things[:]
    things.clear()
    return taken


def run_live(options: Options, console: Console) -> int:
    """Run the live view to its end; return the exit status."""

    async def run() -> int:
        return await LiveView(options, console).run()

    return asyncio.run(run())
