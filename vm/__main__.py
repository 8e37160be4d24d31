"""Lets `python -m vm` drive the machines."""

from __future__ import annotations

import sys

from vm.cli import main

if __name__ == "__main__":
    sys.exit(main())
