"""Where log lines go: an inherited stderr, or the system's log.

Neither may block a thread, and the flags of stderr must stay as they are: O_NONBLOCK belongs to
the open file description, which the shell and others share. A socket is written with MSG_DONTWAIT.
A pipe or a terminal is opened again, which on Linux creates a description of our own
(proc_pid_fd(5)). Where that fails or is a mere dup (fd(4) of FreeBSD), each write is small and
follows a poll for room; two processes that write to one pipe at the same moment can then still
block until its reader reads. Files are written without precautions.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import stat

from mogstored.log.bounded_writer import Sink

# FreeBSD returns ENOBUFS if the receiver of a datagram is slow.
_NO_ROOM = (errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM)
# The sockets of the system's log, on Linux and on the BSDs.
_SYSLOG_SOCKETS = ("/dev/log", "/var/run/log")
# What every system accepts as one datagram to its log.
_SHORT_BYTES = 2000


def open_descriptor(fd: int) -> Sink:
    """Return a sink for an inherited descriptor, whose flags stay as they are."""
    kind = os.fstat(fd).st_mode
    if stat.S_ISSOCK(kind):
        return _Socket(fd)
    if stat.S_ISFIFO(kind) or os.isatty(fd):
        if not os.get_blocking(fd):
            return _Descriptor(fd)
        own_fd = _open_again(fd)
        return _Polled(fd) if own_fd is None else _Descriptor(fd, own_fd)
    return _Descriptor(fd)


def find_syslog() -> str:
    """Return the path of the system's log."""
    for path in _SYSLOG_SOCKETS:
        if os.path.exists(path):
            return path
    return _SYSLOG_SOCKETS[0]


def _open_again(fd: int) -> int | None:
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        own_fd = os.open(f"/dev/fd/{fd}", flags)
    except OSError:
        return None
    if os.get_blocking(own_fd):
        os.close(own_fd)
        return None
    return own_fd


class _Stream:
    """A sink for a stream of bytes, which keeps the rest of a partly sent message."""

    def __init__(self) -> None:
        self._framed = b""
        self._sent = 0

    def take(self, message: bytes) -> bool:
        if not self.finish():
            return False
        self._framed, self._sent = self._frame(message), 0
        try:
            is_taken = self.finish() or self._sent > 0
        except OSError:
            self._framed = b""
            raise
        if not is_taken:
            self._framed = b""
        return is_taken

    def finish(self) -> bool:
        while self._sent < len(self._framed):
            try:
                # Not `+=`: `_send` may begin the message again.
                count = self._send(memoryview(self._framed)[self._sent :])
                self._sent += count
            except OSError as error:
                if error.errno in _NO_ROOM:
                    return False
                self._sent = 0
                raise
        return True

    def abandon(self) -> None:
        self._framed, self._sent = b"", 0

    def reopen(self) -> None:
        """Nothing: an inherited descriptor has no name."""

    def close(self) -> None:
        pass

    def _frame(self, message: bytes) -> bytes:
        return message

    def _send(self, data: memoryview) -> int:
        raise NotImplementedError


class _Descriptor(_Stream):
    """A file, or a non-blocking descriptor; `own_fd` is closed in the end."""

    def __init__(self, fd: int, own_fd: int | None = None) -> None:
        super().__init__()
        self._fd = fd if own_fd is None else own_fd
        self._own_fd = own_fd

    def close(self) -> None:
        if self._own_fd is not None:
            os.close(self._own_fd)
            self._fd, self._own_fd = -1, None

    def _send(self, data: memoryview) -> int:
        return os.write(self._fd, data)


class _Polled(_Stream):
    """A blocking pipe or terminal, polled before each write."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd
        self._room = select.poll()
        self._room.register(fd, select.POLLOUT)

    def _send(self, data: memoryview) -> int:
        if not self._room.poll(0):
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return os.write(self._fd, data[: select.PIPE_BUF])


class _Socket(_Stream):
    """An inherited socket, such as systemd's journal passes to services."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._sock = socket.socket(fileno=os.dup(fd))

    def close(self) -> None:
        self._sock.close()

    def _send(self, data: memoryview) -> int:
        return self._sock.send(data, socket.MSG_DONTWAIT)


class Syslog(_Stream):
    """The socket of the system's log, datagram or stream; reconnects when it is restarted."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self._sock: socket.socket | None = None

    def take(self, message: bytes) -> bool:
        # Connected first: `_frame` depends on the type of the socket.
        if self._sock is None:
            try:
                self._sock = self._connect()
            except OSError as error:
                if error.errno in _NO_ROOM:
                    return False
                raise
        return super().take(message)

    def abandon(self) -> None:
        super().abandon()
        self._disconnect()

    close = abandon

    def reopen(self) -> None:
        if not self._framed[self._sent :]:
            self._disconnect()

    def _frame(self, message: bytes) -> bytes:
        return message + b"\0" if self._is_stream() else message

    def _is_stream(self) -> bool:
        return self._sock is not None and self._sock.type == socket.SOCK_STREAM

    def _send(self, data: memoryview) -> int:
        try:
            return self._send_once(data)
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise
        # The daemon was restarted, and has dropped a partly sent message.
        self._disconnect()
        self._sock = self._connect()
        self._sent = 0
        self._framed = self._frame(self._framed.removesuffix(b"\0"))
        return self._send_once(memoryview(self._framed))

    def _send_once(self, data: memoryview) -> int:
        if self._sock is None:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        try:
            return self._sock.send(data)
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise
        self._sock.send(data[:_SHORT_BYTES])
        return len(data)

    def _connect(self) -> socket.socket:
        """**Raises:** `OSError`."""
        try:
            return self._connect_as(socket.SOCK_DGRAM)
        except OSError as error:
            if error.errno != errno.EPROTOTYPE:
                raise
        return self._connect_as(socket.SOCK_STREAM)

    def _connect_as(self, kind: socket.SocketKind) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, kind)
        try:
            sock.setblocking(False)
            sock.connect(self._path)
        except OSError:
            sock.close()
            raise
        return sock

    def _disconnect(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None
