#!/usr/bin/python3
"""Run the node from its own directory, where it meets no other version of its parts."""

from __future__ import annotations

import sys

sys.path.insert(0, "/usr/lib/mogstored")

from mogstored.cli import main

sys.exit(main())
