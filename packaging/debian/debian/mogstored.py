#!/usr/bin/python3
"""Run the node from its own directory, apart from other versions of its packages."""

from __future__ import annotations

import sys

sys.path.insert(0, "/usr/lib/mogstored")

from mogstored.cli import main

sys.exit(main())
