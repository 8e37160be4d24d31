"""Chooses the driver of a machine: qemu for an image, Vagrant for a box."""

from __future__ import annotations

from vm.drivers.driver import Driver, RunOptions
from vm.errors import VMError
from vm.machines import Machine


def driver_for(machine: Machine, options: RunOptions) -> Driver:
    """Raises: VMError when the options ask for a box and the machine has none."""
    # Imported late: each driver needs tools and libraries that the other does without.
    if machine.image is not None and not options.vagrant:
        from vm.drivers.image_machine import ImageMachine

        return ImageMachine(machine, machine.image, options)
    if machine.box is None:
        raise VMError(f"{machine.name} has no box", "Leave --vagrant out: it has an image.")
    try:
        from vm.drivers.vagrant_machine import VagrantMachine
    except ModuleNotFoundError as error:
        raise VMError(
            f"python-vagrant is not installed: no module {error.name}",
            "python -m pip install python-vagrant",
        ) from error

    return VagrantMachine(machine, machine.box, options)
