"""A machine that Vagrant runs from a box.

State and login come from python-vagrant. Long commands run `vagrant` itself, which streams their
output. Provisioning and copying go over ssh, as with images, not through Vagrant.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import vagrant

from vm.drivers.driver import RunOptions, State
from vm.errors import VMError
from vm.guest import ssh
from vm.images import checksum
from vm.machines import Box, Machine
from vm.paths import HERE, cache, require_tool
from vm.progress import step

_ANSWER_S = 60.0
_STATES = {
    "running": State.RUNNING,
    "not_created": State.ABSENT,
    "not created": State.ABSENT,
}


class VagrantMachine:
    def __init__(self, machine: Machine, box: Box, options: RunOptions) -> None:
        self.machine = machine
        self._box = box
        self._options = options
        self._program = require_tool("vagrant", "vagrant")
        self._env = {
            **os.environ,
            "VAGRANT_DOTFILE_PATH": str(cache() / "vagrant"),
            "VAGRANT_CHECKPOINT_DISABLE": "1",
        }
        self._vagrant = vagrant.Vagrant(root=str(HERE), env=self._env)

    def patience(self) -> float:
        return 1.0 if self._options.patience is None else self._options.patience

    def state(self) -> State:
        try:
            statuses = self._vagrant.status(self.machine.name)
        except (subprocess.CalledProcessError, RuntimeError) as error:
            raise VMError(
                f"vagrant does not know the state of {self.machine.name}: {error}",
                f"Try: cd {HERE} && vagrant status {self.machine.name}",
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
            conf = self._vagrant.conf(vm_name=name)
        except subprocess.CalledProcessError as error:
            raise VMError(
                f"vagrant has no login for {name}", f"`python -m vm up {name}` comes first."
            ) from error
        known_hosts = cache() / "vagrant" / f"{name}.known_hosts"
        options = ssh.plain(
            conf["HostName"], int(conf["Port"]), Path(conf["IdentityFile"]), known_hosts
        )
        return ssh.Login(options, user=conf["User"], root_prefix="sudo -n", root_user=conf["User"])

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
                "See its message above. docs/vm.md says how to go without a box that has left the "
                "catalogue.",
            )
