"""Refuse an editable installation: the sources are outside this folder, so pip would copy them."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Refusal(BuildHookInterface[Any]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            self.app.abort(
                "mogpoll alone cannot be editable: pip install -e . at the top is, with the node"
            )
