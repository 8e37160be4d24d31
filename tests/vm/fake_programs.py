"""Fakes of qemu, qemu-img, ssh and vagrant, which record their arguments and play a part.

Each is a script on a PATH of its own. It reads its part from a file at each call, so a test can
change it at any time.
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
with open(os.path.join(here, "calls.jsonl"), "a") as calls:
    calls.write(json.dumps([name, *sys.argv[1:]]) + "\\n")
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

# A FreeBSD guest, as its image and its seed make it. It moves on a phase with each login:
# before sshd, while updaters run, with the end of rc(8) ahead, going down for a reboot, and up.
_FRESH_GUEST = """
def phases(seed):
    updaters = parts["guest"]["updaters"]
    wait = parts["guest"]["finishing"]
    off = all(f'{name}_enable="NO"'.encode() in seed for name in updaters)
    quiet = ["booting", *["finishing"] * wait]
    return [*quiet, "up"] if off else [*quiet[:1], "updating", *quiet[1:], "leaving", *quiet, "up"]

def fresh_guest():
    calls = map(json.loads, open(os.path.join(here, "calls.jsonl")))
    qemu = [call for call in calls if call[0].startswith("qemu-system")][-1]
    drive = next(word for word in qemu if "seed.iso" in word)
    log = os.path.join(here, "phases")
    count = len(open(log).readlines()) if os.path.exists(log) else 0
    order = phases(open(drive.split(",")[0].removeprefix("file="), "rb").read())
    phase = order[min(count, len(order) - 1)]
    looks = "test ! -e /firstboot" in command
    with open(log, "a") as out:
        out.write(f"{phase} {'look' if looks else 'work'}\\n")
    if "media=cdrom" not in drive:
        print("tester@guest: Permission denied (publickey).", file=sys.stderr)
        sys.exit(255)
    if phase in ("booting", "updating") or phase == "leaving" and not looks:
        print("Connection closed by remote host", file=sys.stderr)
        sys.exit(255)
    if phase == "finishing" and looks:
        sys.exit(1)
"""

_SSH = """
command = sys.argv[-1]
if parts["guest"]:
    fresh_guest()
for wanted, status, text in parts["ssh"]:
    if wanted in command:
        print(text, flush=True)
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

_SCRIPTS = {
    "qemu-system-x86_64": _QEMU,
    "qemu-img": _QEMU_IMG,
    "ssh": _FRESH_GUEST + _SSH,
    "vagrant": _VAGRANT,
}


class Programs:
    """The fakes in one directory: their parts, and the calls that they recorded."""

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
            "guest": None,
        }
        self._write()

    def play(self, **parts: object) -> None:
        """Change parts; `_` stands for `-` in a name."""
        self.parts = json.loads((self.directory / "parts.json").read_text())
        self.parts.update({name.replace("_", "-"): part for name, part in parts.items()})
        self._write()

    def answer(self, *answers: tuple[str, int, str]) -> None:
        """Let ssh answer each command that contains a text: (text, status, output)."""
        self.play(ssh=[list(answer) for answer in answers])

    def phases(self) -> list[str]:
        """Return the phase of the guest at each login so far, and what the login was for."""
        path = self.directory / "phases"
        return path.read_text().splitlines() if path.exists() else []

    def calls(self, name: str) -> list[list[str]]:
        """Return the arguments of each call of a program so far."""
        path = self.directory / "calls.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        calls = [json.loads(line) for line in lines]
        return [call[1:] for call in calls if call[0] == name]

    def remove(self, name: str) -> None:
        (self.directory / name).unlink()

    def path(self, *others: str) -> str:
        return os.pathsep.join([str(self.directory), *others])

    def _write(self) -> None:
        (self.directory / "parts.json").write_text(json.dumps(self.parts))
