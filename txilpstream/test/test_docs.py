"""
The manual is true: its programs run, its commands are understood, and its lists are complete.
"""

from __future__ import annotations

import io
import shlex
import sys
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from importlib.metadata import metadata
from importlib.util import find_spec
from pathlib import Path
from traceback import extract_tb
from typing import Any
from unittest import TestResult
from unittest.mock import patch

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txilpstream.cli.commands import demo
from txilpstream.cli.main import COMMANDS, main
from txilpstream.plugins.memory import memoryPair
from txilpstream.service.service import Options
from txilpstream.test.support.connected import LEFT, RIGHT, run
from txilpstream.test.support.documents import (
    CHECKOUT,
    MISSING,
    PAGES,
    Block,
    blocksOf,
    execute,
    fits,
    isProgram,
    runProgram,
)
from txilpstream.test.support.virtual import VirtualTestCase

SECRET = bytes(range(32))


class DocsTestCase(VirtualTestCase):
    """Tests of pages that may be missing."""

    skip = MISSING

    def executed(self, page: str) -> dict[str, Any]:
        """The names that the blocks of a page define."""
        blocks = blocksOf(page, "python")
        self.assertNotEqual(blocks, [], page)
        return execute(blocks)


SAMPLE = """\
Page
####

.. code-block:: python
   :caption: one

   first = 1

   if first:
       second = 2

Text.

.. note::

    .. code-block:: text

        shown

.. code-block:: python

    third = 1 / 0
"""


class ReaderTests(SynchronousTestCase):
    """How pages are read, and that what is wrong in them is seen."""

    def setUp(self) -> None:
        path = Path(self.mktemp())
        path.write_text(SAMPLE, encoding="utf-8")
        pages = patch.dict(PAGES, {"sample": path})
        pages.start()
        self.addCleanup(pages.stop)

    def test_blocks(self) -> None:
        """A block has its language, its line and its text."""
        first = Block("sample", 7, "python", "first = 1\n\nif first:\n    second = 2\n")
        shown = Block("sample", 18, "text", "shown\n")
        self.assertEqual(blocksOf("sample")[:2], [first, shown])
        self.assertEqual(blocksOf("sample", "text"), [shown])

    def test_namespace(self) -> None:
        """The blocks of a page share their names."""
        names = execute(blocksOf("sample", "python")[:1])
        self.assertEqual((names["first"], names["second"]), (1, 2))

    def test_wrong(self) -> None:
        """A block that fails is a failure, at the line of the page."""
        with self.assertRaises(ZeroDivisionError) as caught:
            execute(blocksOf("sample", "python"))
        lines = [frame.lineno for frame in extract_tb(caught.exception.__traceback__)]
        self.assertEqual(lines[-1], 22)

    def test_program(self) -> None:
        """A program that fails does not print what the page shows."""
        printed = runProgram(blocksOf("sample", "python"), Path(self.mktemp()))
        self.assertIn("ZeroDivisionError", printed)
        self.assertTrue(printed.endswith("status 1\n"))

    def test_fits(self) -> None:
        """Three dots are any text, and all else is itself."""
        self.assertTrue(fits("a.b ... c\n", "a.b 1\n2 c"))
        for text in ("axb 1 c", "a.b 1 c d", "a.b  d"):
            self.assertFalse(fits("a.b ... c", text), text)

    def test_understand(self) -> None:
        """A command with a mistake is not understood."""
        block = Block("sample", 1, "sh", "")
        case = CommandTests("test_understood")
        for command in (
            "txilpstream decode --sekret 12",
            "python -m txilpstream dema",
            "python -m txilpstreem",
            "python nothere.py",
            "trial txilpstream.test.test_nothing",
            "pip install '.[everything]'",
            "rm -rf /",
        ):
            with redirect_stderr(io.StringIO()):
                self.assertRaises(self.failureException, case.understand, block, command)


class PythonTests(DocsTestCase):
    """Every block of Python."""

    def test_executed(self) -> None:
        """The blocks of each page, in their order, are a module."""
        count = 0
        for page in PAGES:
            blocks = blocksOf(page, "python")
            execute(blocks)
            count += len(blocks)
        self.assertGreater(count, 3)

    def test_programs(self) -> None:
        """A page that is a program prints what it says it prints."""
        programs = [page for page in PAGES if isProgram(blocksOf(page, "python"))]
        self.assertIn("docs/tutorial.rst", programs)
        for page in programs:
            shown = blocksOf(page, "text")
            self.assertEqual(len(shown), 1, f"{page} shows the output of its program once")
            printed = runProgram(blocksOf(page, "python"), Path(self.mktemp()))
            self.assertTrue(fits(shown[0].text, printed), f"{page} printed:\n{printed}")

    def test_testCases(self) -> None:
        """Tests that a page shows are tests that pass."""
        count = 0
        for page in PAGES:
            names = execute(blocksOf(page, "python"))
            for value in list(names.values()):
                isShown = isinstance(value, type) and value.__module__ == page
                if isShown and issubclass(value, SynchronousTestCase):
                    count += self.countPassed(page, value)
        self.assertGreater(count, 2)

    def countPassed(self, page: str, case: type[SynchronousTestCase]) -> int:
        """Run a test case of a page, and count its tests, all of which must pass."""
        result = TestResult()
        for method in dir(case):
            if method.startswith("test"):
                case(method).run(result)
        self.assertEqual(result.errors + result.failures + result.skipped, [], page)
        return result.testsRun


class ShownTests(DocsTestCase):
    """What a page defines does what the page says, in virtual time."""

    def tip(self, page: str) -> None:
        """Let the page's C{receive} and C{send} meet: both ends give a tip."""
        names = self.executed(page)
        clock = Clock()
        left, right = memoryPair(clock, left=LEFT, right=RIGHT)
        received = Deferred.fromCoroutine(names["receive"](clock, right, SECRET))
        run(clock)
        credentials = self.successResultOf(received)
        self.assertTrue(credentials.destinationAddress.startswith(RIGHT.address + "."))
        printed = io.StringIO()
        with redirect_stdout(printed):
            sent = Deferred.fromCoroutine(names["send"](clock, left, credentials))
            run(clock)
        self.assertIsInstance(self.successResultOf(sent), names["Tip"])
        self.assertEqual(printed.getvalue(), "got 500\ngot 500\n")

    def test_readme(self) -> None:
        """The first page that anybody reads."""
        self.tip("README.rst")

    def test_tutorial(self) -> None:
        """The second."""
        self.tip("docs/tutorial.rst")


class CommandTests(DocsTestCase):
    """Every command of a shell."""

    def test_understood(self) -> None:
        """Each command of each page is one that its program understands."""
        count = 0
        for page in PAGES:
            for block in blocksOf(page, "sh", "console"):
                for line in self.commandsOf(block):
                    for command in line.split("&&"):
                        self.understand(block, command)
                        count += 1
        self.assertGreater(count, 3)

    def commandsOf(self, block: Block) -> list[str]:
        """The lines of a block that a reader types."""
        lines = [line for line in block.text.splitlines() if line.strip()]
        if block.language == "console":
            lines = [line[2:] for line in lines if line.startswith("$ ")]
        self.assertNotEqual(lines, [], str(block))
        return lines

    def understand(self, block: Block, command: str) -> None:
        """Fail if a command would not be understood."""
        words = shlex.split(command.rpartition("|")[2], comments=True)
        while words and "=" in words[0]:
            del words[0]
        if not words:
            return
        program = words.pop(0).rpartition("/")[2]
        if program in ("python", "python3") and words[:2] == ["-m", "txilpstream"]:
            program, words = "txilpstream", words[2:]
        where = f"{block}: {command}"
        if program == "txilpstream":
            self.assertEqual(self.parse(words), 0, where)
        elif program == "twistd":
            self.assertEqual(words[:2], ["-n", "txilpstream"], where)
            Options().parseOptions(words[2:])
        elif program in ("python", "python3"):
            self.assertTrue(self.isThere(words), where)
        elif program == "trial":
            names = [word for word in words if not word.startswith("-")]
            self.assertTrue(all(find_spec(name) for name in names) and names, where)
        elif program == "pip":
            self.assertEqual(words[0], "install", where)
            self.assertEqual(self.extrasOf(words[-1]) - self.extras(), set(), where)
        else:
            self.assertIn(program, ("bash", "git", "cd", ".", "echo"), where)

    def parse(self, words: list[str]) -> object:
        """Let the command line read its words, and do nothing; its exit status."""

        def pretend(options: Any, stdout: Any, stderr: Any) -> int:
            return 0

        with ExitStack() as stack:
            for command in COMMANDS.values():
                stack.enter_context(patch.object(command, "run", pretend))
            stack.enter_context(redirect_stdout(io.StringIO()))
            return self.assertRaises(SystemExit, main, words).code

    def isThere(self, words: list[str]) -> bool:
        """Whether Python would find what it is to run."""
        if words[0] == "-m":
            return find_spec(words[1]) is not None
        return (CHECKOUT / words[0]).is_file()

    def extrasOf(self, requirement: str) -> set[str]:
        """The extras in C{.[one,two]}."""
        return set(filter(None, requirement.partition("[")[2].rstrip("]").split(",")))

    def extras(self) -> set[str]:
        """Those that the package has."""
        return set(metadata("txilpstream").get_all("Provides-Extra") or [])

    def test_output(self) -> None:
        """Where a page shows what a command prints, the command prints that."""
        count = 0
        for page in PAGES:
            for block in blocksOf(page, "console"):
                for part in ("\n" + block.text).split("\n$ ")[1:]:
                    command, _, shown = part.partition("\n")
                    self.checkOutput(block, command, shown)
                    count += 1
        self.assertGreater(count, 3)

    def checkOutput(self, block: Block, command: str, shown: str) -> None:
        """Run one command line in this process."""
        before, _, command = command.rpartition("|")
        words = shlex.split(command)
        self.assertEqual(words.pop(0), "txilpstream", str(block))
        given = shlex.split(before)[1:]
        self.patch(sys, "stdin", io.TextIOWrapper(io.BytesIO(" ".join(given).encode())))
        printed = io.StringIO()
        if COMMANDS.get(words[0]) is demo:
            printed.write(self.runDemo(words))
        else:
            with redirect_stdout(printed):
                self.assertEqual(self.assertRaises(SystemExit, main, words).code, 0)
        self.assertTrue(fits(shown, printed.getvalue()), f"{block} printed:\n{printed.getvalue()}")

    def runDemo(self, words: list[str]) -> str:
        """The demonstration runs a reactor, so it has a process of its own."""
        code = (
            "import contextlib, io\n"
            "from txilpstream.cli.main import main\n"
            "with contextlib.redirect_stderr(io.StringIO()):\n"
            f"    main({words!r})\n"
        )
        return runProgram([Block("", 0, "python", code)], Path(self.mktemp()))
