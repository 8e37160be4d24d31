"""Run a command under the system call rules of a systemd unit, without systemd.

python sandbox.py UNIT COMMAND...

systemd turns SystemCallFilter, RestrictAddressFamilies and MemoryDenyWriteExecute into seccomp
filters; so does this, by the library that systemd uses, and with the sets of calls as
systemd-analyze lists them. Filters add up: a call goes through if none objects. What a unit
does with mounts is not done here.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

_ALLOW = 0x7FFF0000
_EQUAL, _AT_LEAST, _MASKED_EQUAL = 4, 5, 7
# Families of addresses are numbered from 0; there were 46 in 2024.
_FAMILIES = 46


class _Comparison(ctypes.Structure):
    _fields_ = [
        ("argument", ctypes.c_uint),
        ("how", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    ]


def why_not() -> str | None:
    """Return what is missing on this system, or None."""
    if not shutil.which("systemd-analyze"):
        return "systemd-analyze is not installed"
    try:
        ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return "libseccomp is not installed"
    return None


def directives(unit: str) -> dict[str, list[str]]:
    """Return the values of each key of a unit file, in order."""
    found: dict[str, list[str]] = {}
    for line in Path(unit).read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not key.startswith(("#", "[")):
            found.setdefault(key, []).append(value)
    return found


class Filter:
    """One seccomp filter: what happens to calls in general, and to some in particular."""

    def __init__(self, general: int) -> None:
        self._library = ctypes.CDLL("libseccomp.so.2")
        self._library.seccomp_init.restype = ctypes.c_void_p
        self._context = ctypes.c_void_p(self._library.seccomp_init(ctypes.c_uint32(general)))

    def rule(self, action: int, call: str, *comparison: int) -> None:
        number = self._library.seccomp_syscall_resolve_name(call.encode())
        if number == -1:
            return
        compared = _Comparison(*comparison) if comparison else _Comparison()
        failed = self._library.seccomp_rule_add_array(
            self._context,
            ctypes.c_uint32(action),
            number,
            ctypes.c_uint(1 if comparison else 0),
            ctypes.byref(compared),
        )
        # EDOM: a call of another architecture.
        if failed and failed != -errno.EDOM:
            raise OSError(-failed, f"no rule for {call}: {os.strerror(-failed)}")

    def load(self) -> None:
        """Apply it to this process, also after exec."""
        if failed := self._library.seccomp_load(self._context):
            raise OSError(-failed, os.strerror(-failed))


def refuse(number: int) -> int:
    return 0x00050000 | number


def calls_in(name: str) -> set[str]:
    """Return the calls of a set, by its name with an at sign, or a call itself."""
    if not name.startswith("@"):
        return {name}
    listed = subprocess.run(
        ["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True
    )
    words = (line.strip() for line in listed.stdout.splitlines()[1:])
    return {call for word in words if word and word[0] != "#" for call in calls_in(word)}


def address_families(allowed: str) -> Filter:
    numbers = {int(getattr(socket, name)) for name in allowed.split()}
    families = Filter(_ALLOW)
    for family in set(range(_FAMILIES)) - numbers:
        families.rule(refuse(errno.EAFNOSUPPORT), "socket", 0, _EQUAL, family)
    families.rule(refuse(errno.EAFNOSUPPORT), "socket", 0, _AT_LEAST, _FAMILIES)
    return families


def written_or_executed() -> Filter:
    """Refuse memory that is both, and memory that becomes executable."""
    memory = Filter(_ALLOW)
    both = mmap.PROT_WRITE | mmap.PROT_EXEC
    memory.rule(refuse(errno.EPERM), "mmap", 2, _MASKED_EQUAL, both, both)
    for call in ("mprotect", "pkey_mprotect"):
        memory.rule(refuse(errno.EPERM), call, 2, _MASKED_EQUAL, mmap.PROT_EXEC, mmap.PROT_EXEC)
    return memory


def system_calls(lists: list[str]) -> Filter:
    """Allow the listed calls, except those of lists that begin with a tilde."""
    allowed: set[str] = set()
    for listed in lists:
        calls = {call for name in listed.lstrip("~").split() for call in calls_in(name)}
        allowed = allowed - calls if listed.startswith("~") else allowed | calls
    calls_allowed = Filter(refuse(errno.EPERM))
    # exec needs these, and systemd always grants them.
    for call in sorted(allowed | {"execve", "exit", "exit_group", "rt_sigreturn"}):
        calls_allowed.rule(_ALLOW, call)
    return calls_allowed


def main() -> None:
    """Load the filters, the strictest last, and exec the command."""
    rules = directives(sys.argv[1])
    filters = [address_families(rules["RestrictAddressFamilies"][-1])]
    if rules["MemoryDenyWriteExecute"] == ["yes"]:
        filters.append(written_or_executed())
    filters.append(system_calls(rules["SystemCallFilter"]))
    for each in filters:
        each.load()
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
