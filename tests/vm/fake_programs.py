"""Stand-ins for qemu, qemu-img, ssh and vagrant: they record what they are told and play a part.

Each is a script on a PATH of its own. What it plays is read from a file beside it each time, so a
test can change the part in the middle.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

_BODY = """#!{python} -IS
import json, os, signal, sys, time
here = {directory!r}
name = os.path.basename(sys.argv[0])
parts = json.load(open(os.path.join(here, "parts.json")))
with open(os.path.join(here, "told.jsonl"), "a") as told:
    told.write(json.dumps([name, *sys.argv[1:]]) + "\\n")
"""

_QEMU = """
console = next(a.partition(":")[2] for a in sys.argv if a.startswith("file:"))
with open(console, "a") as out:
    out.write("Booting from Hard Disk\\nlogin service is up\\n")
if parts["qemu"] == "refuses":
    print("qemu: could not set up host forwarding rule", file=sys.stderr)
    sys.exit(1)
assert "-daemonize" in sys.argv
child = os.fork()
if child:
    with open(sys.argv[sys.argv.index("-pidfile") + 1], "w") as out:
        out.write(str(child))
    os._exit(0)
os.setsid()
null = os.open(os.devnull, os.O_RDWR)
for number in (0, 1, 2):
    os.dup2(null, number)
if parts["qemu"] == "crashes":
    sys.exit(1)
while True:
    signal.pause()
"""

_QEMU_IMG = """
if parts["qemu-img"] == "fails":
    print("Could not open the image: not in qcow2 format", file=sys.stderr)
    sys.exit(1)
open(sys.argv[-2], "w").close()
"""

_SSH = """
command = sys.argv[-1]
for wanted, status, said in parts["ssh"]:
    if wanted in command:
        print(said, flush=True)
        sys.exit(status)
if "tar -xf" in command:
    sys.stdin.buffer.read()
if "shutdown" in command:
    os.kill(int(open(parts["pid file"]).read()), signal.SIGTERM)
"""

_VAGRANT = """
part = parts["vagrant"]
if "status" in sys.argv:
    machine = sys.argv[-1]
    for kind, value in (("state", part), ("provider-name", "libvirt")):
        print(f"1700000000,{machine},{kind},{value}")
elif "ssh-config" in sys.argv:
    if part != "running":
        sys.exit(1)
    print("Host box\\n  HostName 127.0.0.1\\n  User vagrant\\n  Port 2222")
    print("  IdentityFile /nowhere/private_key")
elif part == "box gone":
    print("The box 'x/y' could not be found", file=sys.stderr)
    sys.exit(1)
elif "up" in sys.argv:
    parts["vagrant"] = "running"
    parts["seen checksum"] = os.environ.get("MOG_VM_BOX_CHECKSUM")
    json.dump(parts, open(os.path.join(here, "parts.json"), "w"))
"""

_SCRIPTS = {"qemu-system-x86_64": _QEMU, "qemu-img": _QEMU_IMG, "ssh": _SSH, "vagrant": _VAGRANT}


class Programs:
    """The fakes in one directory: what they shall play, and what they were told."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        body = _BODY.format(python=sys.executable, directory=str(directory))
        for name, script in _SCRIPTS.items():
            path = directory / name
            path.write_text(body + script)
            path.chmod(0o755)
        self.parts: dict[str, object] = {
            "qemu": "runs",
            "qemu-img": "works",
            "ssh": [],
            "vagrant": "not_created",
        }
        self._write()

    def play(self, **parts: object) -> None:
        """Change parts; `_` stands for `-` in a name."""
        self.parts = json.loads((self.directory / "parts.json").read_text())
        self.parts.update({name.replace("_", "-"): part for name, part in parts.items()})
        self._write()

    def answer(self, *answers: tuple[str, int, str]) -> None:
        """Have ssh answer commands in which a text is found: with a status, saying something."""
        self.play(ssh=[list(answer) for answer in answers])

    def told(self, name: str) -> list[list[str]]:
        """Return the arguments of each call of a program so far."""
        path = self.directory / "told.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        calls = [json.loads(line) for line in lines]
        return [call[1:] for call in calls if call[0] == name]

    def remove(self, name: str) -> None:
        (self.directory / name).unlink()

    def path(self, *others: str) -> str:
        return os.pathsep.join([str(self.directory), *others])

    def _write(self) -> None:
        (self.directory / "parts.json").write_text(json.dumps(self.parts))
