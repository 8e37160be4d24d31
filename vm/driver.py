"""What every machine can do, whoever runs it, and the choice between a box and an image."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Protocol

from vm.errors import VMError
from vm.machines import Machine
from vm.ssh import Login


class State(enum.Enum):
    ABSENT = "not created"
    STOPPED = "stopped"
    RUNNING = "running"


@dataclass(frozen=True, slots=True)
class Wishes:
    """How to run machines: through Vagrant though there is an image, offline, how patiently."""

    vagrant: bool = False
    offline: bool = False
    patience: float | None = None


class Driver(Protocol):
    machine: Machine

    def state(self) -> State: ...
    def up(self) -> None:
        """Have it running and answering; nothing changes if it is."""

    def login(self) -> Login: ...
    def halt(self) -> None: ...
    def destroy(self) -> None: ...
    def patience(self) -> float:
        """Say how many times longer things may take than on the bare host."""


def driver_for(machine: Machine, wishes: Wishes) -> Driver:
    """Choose what runs the machine."""
    # Each needs tools and libraries that the other does without.
    if machine.image is not None and not wishes.vagrant:
        from vm.image_machine import ImageMachine

        return ImageMachine(machine, machine.image, wishes)
    if machine.box is None:
        raise VMError(f"{machine.name} has no box", "Leave --vagrant out: it has an image.")
    from vm.vagrant_machine import VagrantMachine

    return VagrantMachine(machine, machine.box, wishes)


def require_running(driver: Driver) -> None:
    """Raises: VMError when the machine is not running."""
    state = driver.state()
    if state is not State.RUNNING:
        name = driver.machine.name
        raise VMError(f"{name} is {state.value}", f"`python -m vm up {name}` comes first.")
