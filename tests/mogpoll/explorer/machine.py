"""Runs one step of one thread on a state, where states are plain tuples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.mogpoll.explorer.function import Function, Op

# Name of the function, position, live locals, handlers, exception that is handled, where the
# caller wants the result.
Frame = tuple[str, int, tuple[tuple[str, Any], ...], tuple[int, ...], Any, str]
# The innermost call last; empty once the thread has ended.
Thread = tuple[Frame, ...]


class Blocked(Exception):
    """The step cannot be made now; `waits` if the thread sleeps in the kernel's queue."""

    def __init__(self, *, waits: bool = False) -> None:
        super().__init__()
        self.waits = waits


class Violation(Exception):
    """The claim does not hold; the message says what happened."""


class KernelError(OSError):
    """An error of a modelled kernel, equal to any other of its number: part of a state."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KernelError) and self.errno == other.errno

    def __hash__(self) -> int:
        return hash(self.errno)


class Serial(int):
    """A number that is used for its identity only; the lowest unused one is drawn next."""

    def __or__(self, other: int) -> Serial:
        return Serial(int(self) | int(other))

    def __add__(self, other: int) -> Serial:
        return Serial(int(self) + int(other))


@dataclass(slots=True)
class _Running:
    function: Function
    at: int
    names: dict[str, Any]
    handlers: list[int]
    error: BaseException | None
    result: str


class Machine:
    """The compiled functions."""

    def __init__(self, functions: dict[str, Function]) -> None:
        self._functions = functions
        # The locks that are held; given and taken back by `world`.
        self.locks: set[str] = set()
        # What the thread runs that makes the present step.
        self.running = ""

    def start(self, name: str, *arguments: Any) -> Thread:
        """Return a thread before its first step, in a call of that function."""
        function = self._functions[name]
        self.running = name
        names = dict(zip(function.parameters, arguments, strict=True))
        return self._run([_Running(function, 0, names, [], None, "")], None)

    def next_op(self, thread: Thread) -> Op:
        name, at, *_ = thread[-1]
        return self._functions[name].ops[at]

    def step(self, thread: Thread) -> Thread:
        """Make the next shared access, and run on to the one after it.

        **Raises:** `Blocked`, `Violation`.
        """
        frames = [
            _Running(self._functions[name], at, dict(names), list(handlers), error, result)
            for name, at, names, handlers, error, result in thread
        ]
        self.running = thread[0][0]
        return self._run(frames, self.next_op(thread))

    def _run(self, frames: list[_Running], first: Op | None) -> Thread:
        while frames:
            top = frames[-1]
            op = top.function.ops[top.at]
            if op.is_shared:
                if first is None:
                    break
                # Taking a lock moves to what follows it without a change, and giving it back to
                # what precedes it (Lipton): neither is a step of its own.
                if not op.joins:
                    first = None
            top.at += 1
            try:
                self._execute(op, top, frames)
            except (Blocked, Violation):
                raise
            except BaseException as error:
                self._unwind(frames, error)
        return tuple(map(_frozen, frames))

    def _execute(self, op: Op, top: _Running, frames: list[_Running]) -> None:
        match op.kind:
            case "run":
                exec(op.code or "", top.function.namespace, top.names)
            case "test":
                if not self._value(op, top):
                    top.at = op.target
            case "jump":
                top.at = op.target
            case "call":
                frames.append(self._called(op, top))
            case "return":
                value = self._value(op, top)
                frames.pop()
                if frames:
                    frames[-1].names[top.result] = value
            case "acquire":
                if op.name in self.locks:
                    raise Blocked
                self.locks.add(op.name)
            case "release":
                self.locks.discard(op.name)
            case "guard":
                top.handlers.append(op.target)
            case "unguard":
                top.handlers.pop()
            case "match":
                if not isinstance(top.error, self._value(op, top)):
                    top.at = op.target
                elif op.name:
                    top.names[op.name] = top.error
            case "handled":
                top.error = None
            case "raise":
                raise self._value(op, top) if op.code else top.error or RuntimeError("no error")

    def _value(self, op: Op, top: _Running) -> Any:
        assert op.code is not None
        return eval(op.code, top.function.namespace, top.names)

    def _called(self, op: Op, top: _Running) -> _Running:
        name, result = op.name.split()
        function = self._functions[name]
        given, words, values = self._value(op, top)
        defaults = function.parameters[len(function.parameters) - len(function.defaults) :]
        names = dict(zip(defaults, function.defaults, strict=True))
        names |= dict(zip(function.parameters, given, strict=False))
        names |= dict(zip(words, values, strict=True))
        return _Running(function, 0, names, [], None, result)

    def _unwind(self, frames: list[_Running], error: BaseException) -> None:
        while frames:
            top = frames[-1]
            if top.handlers:
                top.at = top.handlers.pop()
                top.error = error
                return
            frames.pop()
        raise Violation(f"{type(error).__name__} is raised: {error}") from error


def _frozen(one: _Running) -> Frame:
    live = one.function.live[one.at]
    names = tuple(sorted((name, value) for name, value in one.names.items() if name in live))
    return one.function.name, one.at, names, tuple(one.handlers), one.error, one.result
