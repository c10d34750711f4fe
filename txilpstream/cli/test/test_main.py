"""Tests of C{txilpstream.cli.main} and of C{python -m txilpstream}."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import txilpstream
from txilpstream._version import __version__
from txilpstream.cli.commands import decode
from txilpstream.cli.main import COMMANDS, main
from txilpstream.wire import ilp

SECRET = bytes(range(100, 132)).hex()
PACKET = ilp.encodeReject("T04", "g.c", "no")


class MainTests(SynchronousTestCase):
    """The command line."""

    def setUp(self) -> None:
        self.stdout, self.stderr = StringIO(), StringIO()
        self.patch(sys, "stdout", self.stdout)
        self.patch(sys, "stderr", self.stderr)
        self.patch(sys, "stdin", TextIOWrapper(BytesIO(PACKET)))

    def run_(self, *words: str) -> object:
        """The exit status."""
        return self.assertRaises(SystemExit, main, words).code

    def test_decode(self) -> None:
        """A subcommand does what it was asked, and its status is that of the process."""
        self.assertEqual(self.run_("decode"), 0)
        self.assertTrue(self.stdout.getvalue().startswith("Reject\n"))
        self.patch(sys, "stdin", TextIOWrapper(BytesIO(b"nonsense")))
        self.assertEqual(self.run_("decode"), 1)
        self.assertEqual(self.stderr.getvalue().count("\n"), 1)

    def test_argv(self) -> None:
        """Without words those of the process are taken."""
        self.patch(sys, "argv", ["txilpstream", "decode", "--json"])
        self.assertEqual(self.assertRaises(SystemExit, main).code, 0)
        self.assertTrue(self.stdout.getvalue().startswith("{"))

    def test_module(self) -> None:
        """C{python -m txilpstream} is the same."""
        self.patch(sys, "argv", ["txilpstream", "--version"])
        for name in ("__main__", "something else"):
            try:
                runpy.run_module("txilpstream.__main__", run_name=name)
            except SystemExit as exit:
                self.assertEqual((name, exit.code), ("__main__", 0))
        self.assertEqual(self.stdout.getvalue(), f"txilpstream {__version__}\n")

    def test_help(self) -> None:
        """The help lists every subcommand, and each has its own."""
        self.assertEqual(self.run_("--help"), 0)
        for name in COMMANDS:
            self.assertIn(f"    {name} ", self.stdout.getvalue())
            self.assertEqual(self.run_(name, "--help"), 0)
            self.assertIn(f"usage: txilpstream {name} ", self.stdout.getvalue())

    def test_wrongUse(self) -> None:
        """Errors of use: one line on standard error, exit status 2, nothing on the output."""
        for words, expected in (
            ((), "COMMAND"),
            (("nonsense",), "'nonsense'"),
            (("--nonsense", "decode"), "there is no option --nonsense"),
            (("decode", "--nonsense=a"), "there is no option --nonsense;"),
            (("decode", "a", "b"), "there are too many arguments"),
            (("decode", "--js"), "there is no option --js"),
            (("decode", "--secret"), "--secret"),
            (("decode", "--stream", "--secret", SECRET), "not allowed with"),
            (("decode", "no\nfile", "--x\ny"), "there is no option --x y"),
        ):
            self.stderr.truncate(0)
            self.stderr.seek(0)
            self.assertEqual(self.run_(*words), 2, words)
            self.assertIn(expected, self.stderr.getvalue())
            self.assertEqual(self.stderr.getvalue().count("\n"), 1)
            self.assertTrue(self.stderr.getvalue().startswith("txilpstream"))
        self.assertEqual(self.stdout.getvalue(), "")

    def test_secretsAreNotEchoed(self) -> None:
        """However wrong the words around a secret are, it is not repeated."""
        for words in (
            ("--secret", SECRET, "decode"),
            (f"--secret={SECRET}", "decode"),
            (SECRET,),
            ("decode", "--secrets", SECRET, "-"),
            ("decode", f"--secrets={SECRET}"),
            ("decode", f"--secret{SECRET}"),
            ("decode", f"--json={SECRET}"),
            ("decode", "--secret", SECRET + "zz"),
            ("decode", "--secret", SECRET[2:]),
            ("decode", "-", SECRET),
            ("decode", SECRET),
        ):
            self.assertEqual(self.run_(*words), 2, words)
        for part in (SECRET[:16], SECRET[-16:]):
            self.assertNotIn(part, self.stderr.getvalue() + self.stdout.getvalue())

    def test_interrupted(self) -> None:
        """An interrupted command ends without a traceback."""

        def interrupt(*args: object) -> int:
            raise KeyboardInterrupt

        self.patch(decode, "run", interrupt)
        self.assertEqual(self.run_("decode"), 130)
        self.assertEqual(self.stderr.getvalue(), "")

    def test_public(self) -> None:
        """All names are there."""
        module = sys.modules["txilpstream.cli.main"]
        for name in module.__all__:
            self.assertTrue(hasattr(module, name), name)


class BrokenPipe(StringIO):
    """Standard output whose reader has gone; the file below it is another's."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def fileno(self) -> int:
        return self.number

    def flush(self) -> None:
        raise BrokenPipeError


class BrokenPipeTests(SynchronousTestCase):
    """C{txilpstream decode | head -1}."""

    def test_brokenPipe(self) -> None:
        """What is left of the output goes nowhere, and nothing is said about it."""
        path = Path(self.mktemp())
        with path.open("wb", buffering=0) as file:
            self.patch(sys, "stdout", BrokenPipe(file.fileno()))
            self.patch(sys, "stdin", TextIOWrapper(BytesIO(PACKET)))
            self.assertEqual(self.assertRaises(SystemExit, main, ["decode"]).code, 1)
            file.write(b"gone")
        self.assertEqual(path.read_bytes(), b"")


class ImportTests(SynchronousTestCase):
    """What comes with the command."""

    def test_noReactor(self) -> None:
        """No reactor is installed before a subcommand asks for one."""
        code = (
            "import sys, txilpstream.cli.main; sys.exit('twisted.internet.reactor' in sys.modules)"
        )
        root = str(Path(txilpstream.__file__).parents[1])
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": root},
            capture_output=True,
            check=False,
        )
        self.assertEqual((done.returncode, done.stderr), (0, b""))
