"""What a row of the table of settings says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from mogstored.config.values import scalars


class Scope(Enum):
    """What a value is about."""

    SERVICE = "a docroot and what serves it"
    NODE = "the whole node"
    COMMAND = "this command line; no key of files"


class Merge(Enum):
    """How several sources become one value, as documents say it."""

    OVERRIDE = "the command line's counts; several files must agree"
    SAME_FILE = "all that set it must name the same file"
    SUM = "the sum of all"
    ANY = "yes if any says so"
    ALL = "the command line's counts; of several files, no if any says so"
    SHORTEST = "the command line's counts; of several files, the shortest"
    APPEND = "those of the command line come first, then those of the file"
    JOIN = "the command line's count; of several files, those of all"


class Group(Enum):
    """A heading of the help."""

    SERVE = "what to serve"
    RUN = "how to run"
    LIMITS = "limits"
    OTHERS = "for the sake of existing command lines"
    PRINT = "what only prints"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One row."""

    name: str
    group: Group
    scope: Scope
    help: str
    metavar: str = ""
    """What stands for the value; empty for a switch, which may stand alone."""
    parse: Callable[[str], object] = scalars.parse_switch
    """A word to its value, or `ValueError` with the reason alone."""
    merge: Merge = Merge.OVERRIDE
    default: object = None
    default_text: str = ""
    """The default for people, where the value says too little."""
    about: str = ""
    """What documents add to `help`: sentences, with code in backticks."""
    short: str = ""
    opposite: str = ""
    """The help of `--no-NAME`, if there is such an option."""
    choices: tuple[str, ...] = ()
    variable: str = ""
    """An environment variable that sets it where neither an option nor a key does."""
    is_hidden: bool = False
    """Whether the help leaves the option out."""
    is_exclusive: bool = False
    """Whether several config files leave no place for it on the command line."""
    is_list: bool = False
    """Whether the value is a tuple, of all that a source says: it may repeat the setting."""
    into: str = ""
    """The field that receives the values of several lists together, in the order of a source."""
    is_lenient: bool = False
    """Whether a bad value is only warned of: existing files say anything."""
    is_reloadable: bool = False
    """Whether it takes effect in a running node, on SIGHUP."""
    is_kept: bool = True
    """Whether `mogstored.config.model` has a field for it."""

    @property
    def option(self) -> str:
        """The name of the option, without the dashes in front."""
        return self.name.replace("_", "-")

    @property
    def is_key(self) -> bool:
        return self.scope is not Scope.COMMAND

    @property
    def field(self) -> str:
        """The name of the field, which has the unit in it."""
        if self.into:
            return self.into
        return f"{self.name}_s" if self.metavar == "SECONDS" else self.name

    @property
    def shown_default(self) -> str:
        if self.default_text or self.default is None or isinstance(self.default, bool):
            return self.default_text
        return str(self.default)
