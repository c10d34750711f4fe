"""
Tests for L{txilpstream.test.support.virtual}, and that all tests keep to virtual time.

Tests over sockets and in processes of their own have the machine's clock, and state no durations.
"""

from __future__ import annotations

import ast
import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Final
from unittest import TestResult

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

import txilpstream
from txilpstream.test.support.virtual import (
    EPOCH,
    MACHINES,
    VirtualTestCase,
    drawing,
    seeded,
    virtually,
)

HOUSE: Final = Path(txilpstream.__file__).parent

REAL: Final = {
    "plugins/http/test/test_plugin.py": "certificates for real sockets are good from now on"
}
"""Files in which the machine's clock is read, and why."""

_FORBIDDEN: Final = {
    *(f"{module.__name__}.{name}" for module, names in MACHINES.items() for name in names),
    *(f"datetime.{name}" for name in ("now", "utcnow", "today")),
    *(f"date.{name}" for name in ("today",)),
    "random.SystemRandom",
}


def problemOf(function: Callable[[], object]) -> str:
    """What goes wrong when a test does this in virtual time; empty if nothing does."""

    class Case(VirtualTestCase):
        def test_it(self) -> None:
            function()

    result = TestResult()
    Case("test_it").run(result)
    return "".join(text for _, text in (*result.errors, *result.failures))


class SeededTests(SynchronousTestCase):
    """Octets that are the same in each run."""

    def test_seeded(self) -> None:
        """Each seed has its own, and goes on with others."""
        first, again, other = seeded(1), seeded(1), seeded(2)
        octets = first(32)
        self.assertEqual(len(octets), 32)
        self.assertEqual(again(32), octets)
        self.assertNotEqual(first(32), octets)
        self.assertNotEqual(other(32), octets)


class Sample:
    """Takes clock and octets as our own classes do, by place and by name."""

    def __init__(
        self,
        randomBytes: Callable[[int], bytes] = os.urandom,
        *,
        wallClock: Callable[[], float] = time.time,
    ) -> None:
        self.octets = randomBytes(32)
        self.time = wallClock()


class VirtualTests(SynchronousTestCase):
    """What is in reach of a test, and what is not."""

    def test_defaults(self) -> None:
        """The defaults are a clock and octets of our own, for as long as it lasts."""
        found = []
        for _ in range(2):
            with virtually(lambda: 5.0):
                found.append(Sample())
        found.append(Sample())
        self.assertEqual([each.time == 5.0 for each in found], [True, True, False])
        self.assertEqual(found[0].octets, found[1].octets)
        self.assertNotEqual(found[0].octets, found[2].octets)

    def test_told(self) -> None:
        """What is told otherwise is left alone."""
        with virtually(lambda: 5.0):
            told = Sample(bytes, wallClock=lambda: 6.0)
        self.assertEqual((told.octets, told.time), (bytes(32), 6.0))

    def test_clock(self) -> None:
        """In a test case wall clocks go with its clock."""
        times = []

        class Case(VirtualTestCase):
            def test_it(self) -> None:
                times.append(Sample().time)
                self.clock = Clock()
                self.clock.advance(7)
                times.append(Sample().time)

        Case("test_it").run(TestResult())
        self.assertEqual(times, [EPOCH, EPOCH + 7])

    def test_refused(self) -> None:
        """To read the machine's own is an error that names the place."""
        for function in (
            lambda: os.urandom(1),
            lambda: secrets.token_hex(1),
            lambda: time.monotonic() + 1,
        ):
            problem = problemOf(function)
            self.assertIn("is called in virtual time, in line", problem)
            self.assertIn("test_virtual.py", problem)
        self.assertEqual(problemOf(lambda: None), "")

    def test_drawing(self) -> None:
        """What draws is found, and nothing else."""
        names = {function.__qualname__ for function in drawing()}
        self.assertIn("Sample.__init__", names)
        self.assertNotIn("SeededTests.test_seeded", names)


def callsIn(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Calls in a file that give another value in each run, by their lines."""
    named = {
        each.asname or each.name: f"{node.module}.{each.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for each in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            words = ast.unparse(node.func).split(".")
            words[:1] = named.get(words[0], words[0]).split(".")
            name = ".".join(words[1:] if words[0] == "datetime" and len(words) == 3 else words)
            if name in _FORBIDDEN or (name == "random.Random" and not node.args):
                yield node.lineno, name


def basesIn(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Classes of tests that are not in virtual time, if their file uses what draws."""
    drawn = {function.__qualname__.partition(".")[0] for function in drawing()}
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} & drawn
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    for node in classes if used else ():
        if any(ast.unparse(base).endswith("SynchronousTestCase") for base in node.bases):
            yield node.lineno, f"a class that is no VirtualTestCase, beside {min(used)}"


class GuardTests(SynchronousTestCase):
    """No test depends on when it is run."""

    def setUp(self) -> None:
        """Have all modules, as only what is imported is known to draw."""
        for path in HOUSE.rglob("*.py"):
            parts = path.relative_to(HOUSE.parent).with_suffix("").parts
            if "test" not in parts and parts[-1] != "__main__":
                with contextlib.suppress(ImportError):  # of an extra
                    import_module(".".join(parts).removesuffix(".__init__"))

    def complaints(self, check: Callable[[ast.AST], Iterator[tuple[int, str]]]) -> list[str]:
        """What is wrong in the files of tests."""
        found = []
        for path in sorted(HOUSE.rglob("*.py")):
            name = path.relative_to(HOUSE).as_posix()
            if "test" in name.split("/") and name not in (*REAL, "test/test_virtual.py"):
                tree = ast.parse(path.read_text(encoding="utf-8"))
                found += [f"{name}:{line}: {what}" for line, what in check(tree)]
        return found

    def test_calls(self) -> None:
        """No file of tests reads the machine's clock or draws from the system."""
        self.assertEqual(self.complaints(callsIn), [])

    def test_bases(self) -> None:
        """What draws unless it is told otherwise is used in virtual time."""
        self.assertEqual(self.complaints(basesIn), [])

    def test_badSample(self) -> None:
        """The guards see what they should."""
        sample = ast.parse(
            "import os, random, time\n"
            "from datetime import datetime\n"
            "from time import monotonic as now\n"
            "from txilpstream.transport.account import Account\n"
            "class SomeTests(SynchronousTestCase):\n"
            "    def test_it(self):\n"
            "        Account(self.clock, time.time(), os.urandom(5))\n"
            "        now(), datetime.now(), random.Random(), random.Random(1)\n"
        )
        self.assertEqual(
            sorted(callsIn(sample)),
            [
                (7, "os.urandom"),
                (7, "time.time"),
                (8, "datetime.now"),
                (8, "random.Random"),
                (8, "time.monotonic"),
            ],
        )
        self.assertEqual(
            list(basesIn(sample)), [(5, "a class that is no VirtualTestCase, beside Account")]
        )

    def test_reasons(self) -> None:
        """Each exception is still needed."""
        for name in REAL:
            tree = ast.parse((HOUSE / name).read_text(encoding="utf-8"))
            self.assertNotEqual(list(callsIn(tree)), [], name)
