"""`python -m mogpoll`: ask this system's kernel what mogpoll relies on; see `mogpoll.probe`."""

from __future__ import annotations

import sys

from mogpoll.probe.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
