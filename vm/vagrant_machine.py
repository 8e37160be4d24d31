"""A machine from a box: Vagrant runs it, python-vagrant tells its state and its way in.

`vagrant` itself is run for what takes long, so that its output streams. Its own provisioning and
synced folders are not used: provisioning and copying go over ssh, as for machines without a box.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import vagrant

from vm import checksum, ssh
from vm.driver import State, Wishes
from vm.errors import VMError
from vm.machines import Box, Machine
from vm.place import HERE, cache, require_tool
from vm.progress import step

_ANSWER_S = 60.0
_STATES = {
    "running": State.RUNNING,
    "not_created": State.ABSENT,
    "not created": State.ABSENT,
}


class VagrantMachine:
    def __init__(self, machine: Machine, box: Box, wishes: Wishes) -> None:
        self.machine = machine
        self._box = box
        self._wishes = wishes
        self._program = require_tool("vagrant", "vagrant")
        self._env = {
            **os.environ,
            "VAGRANT_DOTFILE_PATH": str(cache() / "vagrant"),
            "VAGRANT_CHECKPOINT_DISABLE": "1",
        }
        self._vagrant = vagrant.Vagrant(root=str(HERE), env=self._env)

    def patience(self) -> float:
        return 1.0 if self._wishes.patience is None else self._wishes.patience

    def state(self) -> State:
        try:
            statuses = self._vagrant.status(self.machine.name)
        except (subprocess.CalledProcessError, RuntimeError) as error:
            raise VMError(
                f"vagrant cannot tell the state of {self.machine.name}: {error}",
                f"Try it yourself: cd {HERE} && vagrant status {self.machine.name}",
            ) from error
        known = [_STATES.get(str(one.state), State.STOPPED) for one in statuses]
        return known[0] if known else State.ABSENT

    def up(self) -> None:
        name = self.machine.name
        require_tool("ssh", "openssh-client")
        if self.state() is not State.RUNNING:
            step(name, f"vagrant up, provider {self._box.provider}")
            extra = {}
            if self._box.checksum is not None:
                file_name = self._box.url.rpartition("/")[2]
                found = checksum.resolve(self._box.checksum, file_name)
                extra["MOG_VM_BOX_CHECKSUM"] = f"{found.algorithm}:{found.digest}"
            self._run("up", name, "--no-provision", "--provider", self._box.provider, extra=extra)
        ssh.wait_until_answering(
            self.login(),
            name,
            _ANSWER_S * self.patience(),
            lambda: self.state() is State.RUNNING,
            lambda: "  | (a box's console is its provider's)",
        )

    def login(self) -> ssh.Login:
        name = self.machine.name
        try:
            told = self._vagrant.conf(vm_name=name)
        except subprocess.CalledProcessError as error:
            raise VMError(
                f"{name} has no way in", f"`python -m vm up {name}` comes first."
            ) from error
        known_hosts = cache() / "vagrant" / f"{name}.known_hosts"
        options = ssh.plain(
            told["HostName"], int(told["Port"]), Path(told["IdentityFile"]), known_hosts
        )
        return ssh.Login(options, user=told["User"], root_prefix="sudo -n", root_user=told["User"])

    def halt(self) -> None:
        self._run("halt", self.machine.name)

    def destroy(self) -> None:
        self._run("destroy", "--force", self.machine.name)
        (cache() / "vagrant" / f"{self.machine.name}.known_hosts").unlink(missing_ok=True)

    def _run(self, *arguments: str, extra: dict[str, str] | None = None) -> None:
        done = subprocess.run(
            [self._program, *arguments],
            cwd=HERE,
            env={**self._env, **(extra or {})},
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode != 0:
            raise VMError(
                f"vagrant {' '.join(arguments)} failed with status {done.returncode}",
                "Its message stands above. If the box is gone from the catalogue: docs/vm.md says "
                "how to go without one.",
            )
