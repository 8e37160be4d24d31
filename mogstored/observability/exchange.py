"""What is known of a request when it ends, for the access log."""

from __future__ import annotations

from typing import NamedTuple


class Exchange(NamedTuple):
    """One request and its answer. Nothing in it is formatted yet: that is for the log's thread.

    Requests with the same bytes may share `head`.
    """

    ended_at: float
    """On the monotonic clock: reading the time of day would cost each request a call."""
    client: str
    """The address without the port; empty if it could not be read."""
    head: bytes
    """The request line and fields as received, up to the empty line; the first bytes of a head
    that was refused before it was whole."""
    status: int
    """As sent or decided; 499 if the connection ended before that."""
    body_sent: int
    """Bytes of content given to the kernel."""
    body_received: int
    """Bytes of the body, without the framing of chunks."""
    seconds: float
    """From the first byte received to the last byte of the answer given to the kernel."""
    device: str
    """`dev1`, or empty."""
    waited_s: float
    """Of `seconds`: waiting for a slot of the device."""
    error: str
    """The name of the errno of the disk's error, or empty."""


Plain = tuple[float, str, bytes, int, int, int, float, str, float, str]
"""An exchange without names, as requests leave it: made in a quarter of the time, and the garbage
collector does not look at it again and again while thousands wait to be written."""
