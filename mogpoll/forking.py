"""Disown pollers and wakers in a forked child, where using one would harm somebody else.

An epoll descriptor is inherited and shared: a child that waits on it takes its parent's
one-shot events away. A kqueue descriptor is not inherited, so its number is free for
another file in the child. And who wakes a waker that is shared wakes the parent. So the child
must not touch what is the parent's, and is told so by an exception rather than by silence.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol


class _Disownable(Protocol):
    def disown(self) -> None: ...


# Guards what is below, save that one which is collected leaves `_alive` by a single operation.
# Held over every fork, so that no child gets it locked or half changed.
_lock = threading.Lock()
_alive: weakref.WeakSet[_Disownable] = weakref.WeakSet()
_hooked = False


def disown_after_fork(one: _Disownable) -> None:
    """Call `one.disown()` in every child that this process forks from now on."""
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
