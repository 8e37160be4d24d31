"""What every machine can do, booted from an image or from a box."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Protocol

from vm.errors import VMError
from vm.guest.ssh import Login
from vm.machines import Machine


class State(enum.Enum):
    ABSENT = "not created"
    STOPPED = "stopped"
    RUNNING = "running"


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Options of the command line; without `patience` the driver chooses."""

    vagrant: bool = False
    offline: bool = False
    patience: float | None = None


class Driver(Protocol):
    machine: Machine

    def state(self) -> State: ...
    def up(self) -> None:
        """Start it and wait for a login over ssh; no change if it runs."""

    def login(self) -> Login: ...
    def halt(self) -> None: ...
    def destroy(self) -> None: ...
    def patience(self) -> float:
        """Return the factor on all time limits; 1 suits the bare host."""


def require_running(driver: Driver) -> None:
    """Raises: VMError when the machine is not running."""
    state = driver.state()
    if state is not State.RUNNING:
        name = driver.machine.name
        raise VMError(f"{name} is {state.value}", f"`python -m vm up {name}` comes first.")
