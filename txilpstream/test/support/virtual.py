"""
Virtual time: no clock of the machine's and no randomness of the system's.

A test that reads the machine's clock, or draws from the system, is another test in each run: it
fails now and then, and nobody can say why. In a L{VirtualTestCase} all that takes its clock and its
octets from the machine, unless it is told otherwise, has a clock that the test moves and octets
that are the same in each run. To read the machine's own there is an error that names the place.
"""

from __future__ import annotations

import os
import random
import secrets
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType
from typing import Any, Final
from unittest import TestResult

from twisted.python.monkey import MonkeyPatcher
from twisted.trial.unittest import SynchronousTestCase

import txilpstream

__all__ = ["EPOCH", "MACHINES", "VirtualTestCase", "counting", "drawing", "seeded", "virtually"]

EPOCH: Final = 1_700_000_000.0
"""What wall clocks of virtual time show, unless a test says otherwise, when its clock shows 0."""

MACHINES: Final[dict[Any, tuple[str, ...]]] = {
    time: ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter"),
    os: ("urandom", "getrandom"),
    secrets: ("token_bytes", "token_hex", "token_urlsafe", "randbits", "randbelow", "choice"),
    random: ("random", "randint", "randrange", "randbytes", "uniform", "choice", "sample"),
    uuid: ("uuid1", "uuid4"),
}
"""What gives another value in each run."""

_CLOCK: Final = time.time

_OCTETS: Final = os.urandom

_OURS: Final = f"{Path(txilpstream.__file__).parent}{os.sep}"


def seeded(seed: int = 0) -> Callable[[int], bytes]:
    """What gives so many octets, the same ones in each run: for an argument C{randomBytes}."""
    return random.Random(seed).randbytes


def counting(octets: bytes = b"") -> Callable[[int], bytes]:
    """What gives octets that count up, or the first of those that are given."""
    state = [0]

    def randomBytes(count: int) -> bytes:
        state[0] += 1
        return (octets or state[0].to_bytes(1, "big") * count)[:count]

    return randomBytes


@contextmanager
def virtually(seconds: Callable[[], float], seed: int = 0) -> Iterator[None]:
    """
    Have another clock and other octets, for as long as this lasts.

    @param seconds: what stands for the machine's clock where that is an argument's default.
    """
    own: dict[Any, Callable[..., Any]] = {_CLOCK: seconds, _OCTETS: seeded(seed)}
    patcher = MonkeyPatcher(*_REFUSALS)
    for function in drawing():
        named = function.__kwdefaults__
        if named:
            replaced = {name: own.get(_key(value), value) for name, value in named.items()}
            patcher.addPatch(function, "__kwdefaults__", replaced)
        if function.__defaults__:
            values = tuple(own.get(_key(value), value) for value in function.__defaults__)
            patcher.addPatch(function, "__defaults__", values)
    patcher.patch()
    try:
        yield
    finally:
        patcher.restore()


class VirtualTestCase(SynchronousTestCase):
    """
    Tests in virtual time.

    @ivar clock: a L{Clock <twisted.internet.task.Clock>}, if the test has one: wall clocks that it
        does not set itself then show L{EPOCH} and the seconds of this one.
    """

    clock: Any = None

    def run(self, result: TestResult | None = None) -> TestResult | None:
        """Run the test, with C{setUp} and all that cleans up."""
        with virtually(lambda: EPOCH + (0.0 if self.clock is None else self.clock.seconds())):
            done: TestResult | None = super().run(result)
        return done


def _refusing(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    """What stands in for a function of the machine's, and is an error where our code calls it."""

    def refuse(*arguments: Any, **options: Any) -> Any:
        caller = sys._getframe(1)
        if caller.f_code.co_filename.startswith(_OURS):
            raise AssertionError(
                f"{name} is called in virtual time, in line {caller.f_lineno} of "
                f"{caller.f_code.co_filename}: give it a clock, or octets that are seeded"
            )
        return real(*arguments, **options)

    return refuse


_REFUSALS: Final = [
    (module, name, _refusing(f"{module.__name__}.{name}", getattr(module, name)))
    for module, names in MACHINES.items()
    for name in names
    if hasattr(module, name)
]

_found: dict[int, list[FunctionType]] = {}
"""What draws, by the number of modules that there were when it was looked for."""


def drawing() -> list[FunctionType]:
    """The functions whose defaults are the machine's clock or the system's randomness."""
    modules = [name for name in sys.modules if name.partition(".")[0] == "txilpstream"]
    if len(modules) not in _found:
        _found[len(modules)] = [
            function
            for name in modules
            for function in _functionsOf(name)
            if any(
                value is _CLOCK or value is _OCTETS
                for value in (
                    *(function.__defaults__ or ()),
                    *(function.__kwdefaults__ or {}).values(),
                )
            )
        ]
    return _found[len(modules)]


def _functionsOf(name: str) -> Iterator[FunctionType]:
    """The functions and methods of a module."""
    for each in vars(sys.modules[name]).values():
        if getattr(each, "__module__", None) != name:
            continue
        for member in vars(each).values() if isinstance(each, type) else (each,):
            function = getattr(member, "__func__", member)
            if isinstance(function, FunctionType):
                yield function


def _key(value: Any) -> Any:
    """A default as a key; most are no more than equal to one."""
    return value if value is _CLOCK or value is _OCTETS else None
