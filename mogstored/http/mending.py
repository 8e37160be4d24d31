"""Fields in a shape that llhttp refuses and older nodes took, brought into the one it reads.

Two such shapes have one meaning only: a value that is folded over several lines (RFC 9112
section 5.2 has a server refuse it or join it with a blank), and a Content-Length that says
the same twice (RFC 9112 section 6.3 lets it count once). The mended fields are parsed again
from the start, as strictly as any, so nothing else gets past the parser this way.

Folding around the fields that say where a body ends stays refused: that is how requests
are smuggled past a proxy which reads lines one by one.

Pure. `fields` begins with the CRLF of the line before the first of them.
"""

from __future__ import annotations

import re

_FOLD = re.compile(rb"\r\n[ \t]+")
_LENGTH_NAME = re.compile(rb"\r\ncontent-length:", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)[ \t]*(?=\r\n)", re.IGNORECASE)
# A folded coding, or a continuation that looks like a field of its own.
_AMBIGUOUS = re.compile(
    rb"\r\n(?:transfer-encoding[^\r\n]*\r\n[ \t]"
    rb"|[ \t]+(?:transfer-encoding|content-length)[ \t]*:)",
    re.IGNORECASE,
)


def may_be_mended(fields: bytes) -> bool:
    """Say whether `fields`, which need not be complete, hold what `mend` is for."""
    return _FOLD.search(fields, 1) is not None or len(_LENGTH_NAME.findall(fields)) > 1


def mend(fields: bytes) -> bytes:
    """Return complete `fields` unfolded and with one Content-Length, as far as that is safe."""
    if _AMBIGUOUS.search(fields) or _FOLD.match(fields):
        return fields
    fields = _FOLD.sub(b" ", fields)
    lengths = list(_LENGTH.finditer(fields))
    if len({length[1] for length in lengths}) == 1:
        end = lengths[0].end()
        fields = fields[:end] + _LENGTH.sub(b"", fields[end:])
    return fields
