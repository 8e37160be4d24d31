"""Run the node as `python -m mogstored`."""

from __future__ import annotations

import sys

from mogstored.cli import main

sys.exit(main())
