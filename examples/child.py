"""Run commands side by side, print what they say line by line, and end those that take too long.

    python child.py SECONDS COMMAND...

A child is a task by the pipe of its output. The deadline is for each wait, so SECONDS is how long
a command may be silent.
"""

import subprocess
import sys
import threading

from mogpoll import Next, Reason, WorkerPool, open_poller


class Child:
    def __init__(self, command: str) -> None:
        self._command, self._begun_line = command, b""
        self._process = subprocess.Popen(
            command, shell=True, stdout=subprocess.PIPE, start_new_session=True, bufsize=0
        )
        assert self._process.stdout is not None
        self._output = self._process.stdout
        self.fileno = self._output.fileno

    def step(self, _workspace: None) -> Next:
        if pool.reason is Reason.DEADLINE:
            self._process.kill()
            print(f"{self._command}: silent for {silence_s:g} s, killed", flush=True)
            return Next.CLOSE
        # The pipe has something, or its end: this does not block.
        received = self._output.read(65536)
        if not received:
            return Next.CLOSE
        *lines, self._begun_line = (self._begun_line + received).split(b"\n")
        for line in lines:
            print(f"{self._command}: {line.decode(errors='replace')}", flush=True)
        pool.set_deadline(self, silence_s)
        return Next.READ

    def close(self) -> None:
        self._output.close()
        print(f"{self._command}: status {self._process.wait()}", flush=True)
        ended.release()


silence_s, commands = float(sys.argv[1]), sys.argv[2:]
ended = threading.Semaphore(0)
with open_poller() as poller, WorkerPool[Child, None](poller, threads=2) as pool:
    for command in commands:
        pool.add(Child(command), deadline_s=silence_s)
    for _ in commands:
        ended.acquire()
