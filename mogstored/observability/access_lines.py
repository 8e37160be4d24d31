r"""The lines of the access log: the combined format with more fields, or JSON.

Clients choose the request line, Referer and User-Agent, byte by byte. In a combined line, a quote,
a backslash and what is not printable ASCII become `\xHH`, as nginx has it. JSON strings have UTF-8
as it is meant, escaped as JSON has it, and `\xHH` for bytes that are not UTF-8. So an exchange is
one line of ASCII, and short enough to be written to a pipe as a whole.
"""

from __future__ import annotations

import math
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from json.encoder import encode_basestring_ascii as quoted

from mogstored.observability.exchange import Plain

FORMATS = ("combined", "json")

# The most characters that a text of a client has in a line. With three of them, or five in JSON, a
# line fits into PIPE_BUF of Linux, which is 4096.
MAX_TEXT = 700
CUT = "..."

# Longer heads are shortened while they wait to be written.
LONG_HEAD = 2048

# Clients repeat their fields with every request, but for the lengths of what they upload.
_KEPT_SIZE = 1024
_KEPT_COUNT = 256

_PLAIN = bytes(set(range(0x20, 0x7F)) - {*b'"\\'})
_BYTES = [chr(byte) if byte in _PLAIN else f"\\x{byte:02X}" for byte in range(256)]
# Most requests take less than 2 ms. A table is three times as fast as formatting the number.
_SHORT = [f"{number / 1e6:.6f}" for number in range(2000)]
# A byte of the worst kind becomes `\u0000` in JSON.
_MOST_ESCAPED = 6

_FLAGS = re.IGNORECASE | re.MULTILINE
_REFERER = re.compile(rb"^referer[ \t]*:[ \t]*([^\r\n]*)", _FLAGS)
_USER_AGENT = re.compile(rb"^user-agent[ \t]*:[ \t]*([^\r\n]*)", _FLAGS)

AccessFormat = Callable[[Iterable[Plain]], list[str]]
"""From exchanges to lines, each with its line end."""


def access_format(name: str) -> AccessFormat:
    """Return the format of that name.

    **Threads:** it belongs to one, because it keeps what repeats.
    """
    return (_Json() if name == "json" else _Combined()).lines


def shorten(exchange: Plain) -> Plain:
    """Return the exchange without the parts of a long head that no line has."""
    head = exchange[2]
    if len(head) <= LONG_HEAD:
        return exchange
    line, block = _split(head)
    texts = [line[: MAX_TEXT + 1]]
    for name, pattern in ((b"Referer", _REFERER), (b"User-Agent", _USER_AGENT)):
        if found := pattern.search(block):
            texts.append(name + b":" + found[1][: MAX_TEXT + 1])
    return (*exchange[:2], b"\r\n".join(texts), *exchange[3:])


class _Format(ABC):
    """What both formats keep of what repeats: the second, and the fields of clients."""

    def __init__(self) -> None:
        # By the part of a head behind its first line: Referer and User-Agent as they are shown.
        self._texts: dict[bytes, str] = {}

    def _second_of(self, ended_at: float) -> tuple[float, float, str]:
        """Return when its second begins and ends on the monotonic clock, and how it is shown."""
        epoch = time.time() - time.monotonic()
        second = math.floor(ended_at + epoch)
        return second - epoch, second + 1 - epoch, self._show_time(second)

    @abstractmethod
    def _show_time(self, second: int) -> str:
        """Return the second since the epoch as it is shown."""

    @abstractmethod
    def _show_texts(self, referer: bytes, agent: bytes) -> str:
        """Return both as they are shown."""

    def _look_up(self, block: bytes) -> str:
        referer, agent = _REFERER.search(block), _USER_AGENT.search(block)
        shown = self._show_texts(referer[1] if referer else b"", agent[1] if agent else b"")
        if len(block) <= _KEPT_SIZE:
            if len(self._texts) >= _KEPT_COUNT:
                self._texts.clear()
            self._texts[block] = shown
        return shown


class _Combined(_Format):
    def lines(self, exchanges: Iterable[Plain]) -> list[str]:
        # Each operation costs each request: 0.7 us in all.
        made, texts, begin, end, stamp = [], self._texts, 0.0, 0.0, ""
        for ended, client, head, status, sent, received, took, device, waited, error in exchanges:
            if not begin <= ended < end:
                begin, end, stamp = self._second_of(ended)
            line, _, block = head.partition(b"\r\n")
            if not line or len(line) > MAX_TEXT or line.translate(None, _PLAIN):
                line, block = _split(head)
                line = _escaped_or_dash(line).encode()
            referer_and_agent = texts.get(block) or self._look_up(block)
            microseconds = int(took * 1e6)
            shown_time = _SHORT[microseconds] if microseconds < len(_SHORT) else f"{took:.6f}"
            made.append(
                f'{client or "-"} - - [{stamp}] "{line.decode()}" {status} {sent}'
                f" {referer_and_agent} {device or '-'} {received} {shown_time}"
                f" {f'{waited:.6f}' if waited else '0.000000'} {error or '-'}\n"
            )
        return made

    def _show_time(self, second: int) -> str:
        return time.strftime("%d/%b/%Y:%H:%M:%S %z", time.localtime(second))

    def _show_texts(self, referer: bytes, agent: bytes) -> str:
        return f'"{_escaped_or_dash(referer)}" "{_escaped_or_dash(agent)}"'


class _Json(_Format):
    def lines(self, exchanges: Iterable[Plain]) -> list[str]:
        made, texts, begin, end, stamp = [], self._texts, 0.0, 0.0, ""
        for ended, client, head, status, sent, received, took, device, waited, error in exchanges:
            if not begin <= ended < end:
                begin, end, stamp = self._second_of(ended)
            first, block = _split(head)
            is_plain = len(first) <= MAX_TEXT and not first.translate(None, _PLAIN)
            line = first.decode() if is_plain else _cut(first)
            method, _, rest = line.partition(" ")
            target, _, protocol = rest.rpartition(" ")
            if is_plain and target:
                request = f'"method": "{method}", "target": "{target}", "protocol": "{protocol}"'
            else:
                request = (
                    f'"method": {_or_null(method)}, "target": {_or_null(target)},'
                    f' "protocol": {_or_null(protocol)}'
                )
            milliseconds = int((ended - begin) * 1000)
            made.append(
                f'{{"time": "{stamp}.{milliseconds:03d}Z", "client": {_or_null(client)},'
                f' {request}, "status": {status}, "sent_bytes": {sent},'
                f' "received_bytes": {received}, "duration_seconds": {took:.6f},'
                f' "waited_seconds": {waited:.6f}, "device": {_or_null(device)},'
                f' "errno": {_or_null(error)}, {texts.get(block) or self._look_up(block)}}}\n'
            )
        return made

    def _show_time(self, second: int) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))

    def _show_texts(self, referer: bytes, agent: bytes) -> str:
        shown = _or_null(_cut(referer)), _or_null(_cut(agent))
        return f'"referer": {shown[0]}, "user_agent": {shown[1]}'


def _split(head: bytes) -> tuple[bytes, bytes]:
    """Return the request line, and what is behind it. An empty line may come first."""
    line, _, block = head.removeprefix(b"\r\n").partition(b"\n")
    return line.rstrip(b"\r"), block


def _escaped_or_dash(text: bytes) -> str:
    shown = "".join(_BYTES[byte] for byte in text[: MAX_TEXT + 1])
    if len(shown) > MAX_TEXT:
        shown = "".join(_BYTES[byte] for byte in text[: MAX_TEXT // 4]) + CUT
    return shown or "-"


def _cut(text: bytes) -> str:
    """Return the text of which JSON makes `MAX_TEXT` characters, or less."""
    shown = text[: MAX_TEXT + 1].decode("utf-8", "backslashreplace")
    if len(text) > MAX_TEXT or len(quoted(shown)) > MAX_TEXT + 2:
        return shown[: MAX_TEXT // _MOST_ESCAPED] + CUT
    return shown


def _or_null(text: str) -> str:
    return quoted(text) if text else "null"
