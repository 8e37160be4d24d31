"""Mend two obsolete shapes of fields that llhttp refuses and older nodes accepted.

Each has one meaning: a value that is folded over several lines (RFC 9112 section 5.2: a server
refuses it, or joins it with a blank), and a Content-Length that says the same twice (RFC 9112
section 6.3: it may count once). The mended fields are parsed again from the start, as strictly
as any, so nothing else gets past the parser this way.

Folding around the fields that say where a body ends stays refused: it smuggles requests past a
proxy that reads line by line.

Pure. `fields` begins with the CRLF of the line before the first of them.
"""

from __future__ import annotations

from mogstored.http.message.grammar import AMBIGUOUS_FOLD, FOLD, LENGTH, LENGTH_NAME


def may_be_mended(fields: bytes) -> bool:
    """Say whether `fields`, which need not be complete, hold what `mend` is for."""
    return FOLD.search(fields, 1) is not None or len(LENGTH_NAME.findall(fields)) >= 2


def mend(fields: bytes) -> bytes:
    """Return complete `fields` unfolded and with one Content-Length, as far as that is safe."""
    if AMBIGUOUS_FOLD.search(fields) or FOLD.match(fields):
        return fields
    fields = FOLD.sub(b" ", fields)
    lengths = list(LENGTH.finditer(fields))
    if len({length[1] for length in lengths}) == 1:
        end = lengths[0].end()
        fields = fields[:end] + LENGTH.sub(b"", fields[end:])
    return fields
