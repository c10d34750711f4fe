"""Tests of C{txilpstream.cli.commands.demo}."""

from __future__ import annotations

import json
import subprocess
import sys
from argparse import ArgumentParser
from io import StringIO
from os import environ
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import txilpstream
from txilpstream.cli.commands import demo
from txilpstream.cli.commands.demo import addArguments, run

ROOT = str(Path(txilpstream.__file__).resolve().parents[1])


class ArgumentTests(SynchronousTestCase):
    """What is refused before anything runs."""

    def assertRefused(self, *words: str) -> str:
        """One line on standard error, status 2, and nothing else."""
        parser = ArgumentParser()
        addArguments(parser)
        stdout, stderr = StringIO(), StringIO()
        self.assertEqual(run(parser.parse_args(words), stdout, stderr), 2)
        self.assertEqual(stdout.getvalue(), "")
        line = stderr.getvalue()
        self.assertEqual((line[-1], line.count("\n")), ("\n", 1))
        return line

    def test_amount(self) -> None:
        """Amounts that are none, and those that are worth nothing at the other end."""
        for amount in ("0", "-1", "1086", str(2**63), "1.5", "many", "\u0663", "9" * 5000, ""):
            line = self.assertRefused(f"--amount={amount}")
            self.assertIn(repr(amount[:40]), line)
            self.assertIn("from 1087", line)

    def test_roundTrip(self) -> None:
        """Round trips out of bounds."""
        for text in ("-1", "10001", "nan", "soon"):
            self.assertIn(repr(text), self.assertRefused(f"--rtt={text}"))

    def test_file(self) -> None:
        """Files that are not there, are folders, or cannot be read."""
        self.assertIn("No such file", self.assertRefused("--file=/there/is/none"))
        folder = self.mktemp()
        Path(folder).mkdir()
        self.assertIn("is a folder", self.assertRefused(f"--file={folder}"))

        def unreadable(self: object, size: int = 0) -> bytes:
            raise OSError(5, "Input/output error")

        path = Path(self.mktemp())
        path.write_bytes(b"x")
        kind = type("Unreadable", (), {"peek": unreadable, "close": lambda self: None})
        names = vars(demo)
        names["open"] = lambda *_: kind()
        self.addCleanup(names.pop, "open")
        self.assertIn("cannot be read", self.assertRefused(f"--file={path}"))


class RunTests(SynchronousTestCase):
    """The command as somebody runs it."""

    def demo(self, *words: str) -> tuple[int, str, str]:
        """Exit status, standard output and standard error of a process."""
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "txilpstream", "demo", *words],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
            env={**environ, "PYTHONPATH": ROOT},
        )
        return done.returncode, done.stdout, done.stderr

    def test_json(self) -> None:
        """One object on standard output, and nothing else anywhere."""
        status, out, err = self.demo("--amount=500000000", "--rtt=10", "--json")
        self.assertEqual((status, err), (0, ""))
        result = json.loads(out)
        self.assertEqual((result["sent"], result["inDoubt"]), (500_000_000, 0))
        self.assertEqual(result["sha256Sent"], result["sha256Echoed"])

    def test_table(self) -> None:
        """A file is sent and a table printed; progress goes to standard error."""
        path = Path(self.mktemp())
        path.write_bytes(b"a file\n" * 1000)
        status, out, err = self.demo("--amount=5000000", f"--file={path}")
        self.assertEqual(status, 0, err)
        rows = dict(line.split("  ", 1) for line in out.splitlines())
        self.assertEqual(rows["sent"].strip(), "5,000,000")
        self.assertEqual(rows["bytes received"].strip(), "7,000")
        for line in err.splitlines():
            self.assertRegex(line, r"^money \d+ % [\d,]+, file .*, echo .* packets in flight")
