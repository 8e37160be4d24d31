"""Disown pollers and wakers in a forked child, where using them would harm the parent.

An epoll descriptor is inherited and shared: a child that waits on it takes the parent's
one-shot events. A kqueue descriptor is not inherited, so in the child its number may belong to
another file (n17). A shared waker wakes the parent's threads. In the child, each raises instead.

**Threads:** any. `_lock` guards `_alive` and `_hooked`; garbage collection removes entries
atomically without it. It is held over every fork, so that a child's copy is consistent.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol


class _Disownable(Protocol):
    def disown(self) -> None: ...


_lock = threading.Lock()
_alive: weakref.WeakSet[_Disownable] = weakref.WeakSet()
_hooked = False


def disown_after_fork(one: _Disownable) -> None:
    """Call `one.disown()` in every child forked from now on; keeps no reference to `one`."""
    global _hooked
    with _lock:
        if not _hooked:
            os.register_at_fork(
                before=_lock.acquire,
                after_in_parent=_lock.release,
                after_in_child=_disown_all,
            )
            _hooked = True
        _alive.add(one)


def _disown_all() -> None:
    inherited = list(_alive)
    _alive.clear()
    _lock.release()
    for one in inherited:
        one.disown()
