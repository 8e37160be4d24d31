"""What the system says of a server's processes: time, memory, connections.

A reaped child's time moves into its parent's `children` times, so that the sum over a tree loses
no child that ended during a run. The times are in clock ticks, 10 ms on common kernels: half a
percent of a run of two seconds. psutil reads all of it from /proc on Linux.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Memory:
    """Of all processes together: RSS counts a shared page in each of them, PSS once in all."""

    rss_bytes: int
    pss_bytes: int


def tree(root: int) -> list[psutil.Process]:
    """A process and all its descendants. Raises: psutil.NoSuchProcess."""
    process = psutil.Process(root)
    return [process, *process.children(recursive=True)]


def cpu_s(root: int) -> float:
    """User and system time so far of a process, its descendants and those reaped by them."""
    total = 0.0
    for process in tree(root):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue  # its time is its parent's now
        total += times.user + times.system + times.children_user + times.children_system
    return total


def memory(root: int) -> Memory:
    found = [process.memory_full_info() for process in tree(root)]
    return Memory(sum(each.rss for each in found), sum(each.pss for each in found))


def client_ports(process: psutil.Process) -> list[int]:
    """The remote port of each established connection; clients of two addresses may share one."""
    return [
        connection.raddr.port
        for connection in process.net_connections("tcp4")
        if connection.status == psutil.CONN_ESTABLISHED and connection.raddr
    ]


def session(leader: int) -> dict[int, psutil.Process]:
    """All live processes of a session: workers, successors after an upgrade, iostat."""
    found = {}
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == leader and is_alive(process.pid):
                found[process.pid] = process
        except ProcessLookupError:
            continue
    return found


def is_alive(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
