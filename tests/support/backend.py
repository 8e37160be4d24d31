"""Which poller backend the node under test runs on, where that is seen from outside."""

from __future__ import annotations

import os
import select

# libkqueue keeps descriptors of its own beside each socket, and asks a broken socket for its
# error, which takes the error away from whoever reads next. No real kqueue does either.
OVER_LIBKQUEUE = os.environ.get("MOGPOLL_BACKEND") == "kqueue" and not hasattr(select, "kqueue")
