"""The status page: one HTML document with its style and its script, from nowhere else."""

from __future__ import annotations

from mogstored.admin.page.document import HEADERS, render

__all__ = ["HEADERS", "render"]
