"""The MogileFS storage node."""

from __future__ import annotations

import os
import sys

__version__ = "0.2.0"

# A node that was built from a clone carries its mogpoll, and runs with no other.
_vendor = os.path.join(os.path.dirname(__file__), "vendor")
if os.path.isdir(_vendor):
    sys.path.insert(0, _vendor)
