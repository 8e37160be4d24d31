"""Which poller backend the node under test runs on, for tests that see the difference."""

from __future__ import annotations

import os
import select

# libkqueue keeps descriptors of its own beside each socket, and asks a broken socket for its
# error, which consumes it before the next reader. A real kqueue does neither.
OVER_LIBKQUEUE = os.environ.get("MOGPOLL_BACKEND") == "kqueue" and not hasattr(select, "kqueue")
