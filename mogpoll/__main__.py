"""`python -m mogpoll`: check what mogpoll relies on in this system; see `mogpoll.probe`."""

from __future__ import annotations

import sys

from mogpoll import __version__
from mogpoll.probe.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], version=__version__))
