"""The configuration of a node: from options, files and environment to one `Config`."""

from __future__ import annotations

from mogstored.config.loading import Option, load
from mogstored.config.model import Config, ConfigError, ServiceConfig

__all__ = ["Config", "ConfigError", "Option", "ServiceConfig", "load"]
