"""Tests of C{txilpstream.cli.commands.plot}."""

from __future__ import annotations

import sys
from io import StringIO
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from txilpstream.cli.commands.plot import SUMMARY
from txilpstream.cli.main import COMMANDS, main
from txilpstream.trace.file import TraceWriter
from txilpstream.trace.test.test_figure import NO_MATPLOTLIB, withoutMatplotlib


class PlotTests(SynchronousTestCase):
    """C{txilpstream plot}."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.trace = str(self.folder / "trace.jsonl")
        with TraceWriter(self.trace, title="a try") as writer:
            writer("packetSent", {"time": 5.0, "sequence": 1, "amount": 3, "inFlight": 1})
            writer("packetFulfilled", {"time": 5.1, "sequence": 1, "amount": 3, "delivered": 2})

    def plot(self, *words: str) -> tuple[object, str]:
        """Exit status and standard error."""
        stdout, stderr = StringIO(), StringIO()
        self.patch(sys, "stdout", stdout)
        self.patch(sys, "stderr", stderr)
        status = self.assertRaises(SystemExit, main, ["plot", *words]).code
        self.assertEqual(stdout.getvalue(), "")
        return status, stderr.getvalue()

    def check(self, status: int, expected: str, *words: str) -> None:
        """It ends with one line that says what is wrong."""
        got, stderr = self.plot(*words)
        self.assertEqual((got, stderr.count("\n")), (status, 1), stderr)
        self.assertTrue(stderr.startswith("txilpstream plot: "), stderr)
        self.assertIn(expected, stderr)

    def test_picture(self) -> None:
        """A picture of each kind, in place of what was there."""
        for suffix in (".svg", ".png", ".pdf", ".html"):
            path = self.folder / f"picture{suffix}"
            path.write_text("old")
            self.assertEqual(self.plot(self.trace, "-o", str(path)), (0, ""))
            self.assertGreater(path.stat().st_size, 1000)

    test_picture.skip = NO_MATPLOTLIB  # type: ignore[attr-defined]

    def test_wrongUse(self) -> None:
        """Both files must be named."""
        self.check(2, "-o", self.trace)
        self.check(2, "TRACE", "-o", "a.svg")
        self.check(2, "too many arguments", self.trace, "other", "-o", "a.svg")

    def test_suffix(self) -> None:
        """A kind of picture that there is not, and that is found before the trace is read."""
        self.check(2, "not with '.gif'", "no such trace", "-o", "a.gif")

    def test_unreadable(self) -> None:
        """A trace that cannot be read."""
        self.check(2, "'no such trace': No such file", "no such trace", "-o", "a.svg")
        self.check(2, "Is a directory", str(self.folder), "-o", "a.svg")
        self.check(2, "null", "a\0b", "-o", "a.svg")

    def test_noTrace(self) -> None:
        """A file that is none, with the line."""
        with open(self.trace, "a") as file:
            file.write("nonsense\n")
        output = self.folder / "a.svg"
        self.check(2, f"{self.trace!r}, line 4: this is no event", self.trace, "-o", str(output))
        self.assertFalse(output.exists())

    def test_unwritable(self) -> None:
        """A picture for which there is no place."""
        output = str(self.folder / "no such folder" / "a.svg")
        self.check(2, f"{output!r}: No such file", self.trace, "-o", output)

    test_unwritable.skip = NO_MATPLOTLIB  # type: ignore[attr-defined]

    def test_fullDisk(self) -> None:
        """An error that names no file is about the picture."""
        if not Path("/dev/full").exists():
            self.skipTest("there is no /dev/full on this machine")
        output = self.folder / "a.svg"
        output.symlink_to("/dev/full")
        self.check(2, f"{str(output)!r}: No space left", self.trace, "-o", str(output))

    test_fullDisk.skip = NO_MATPLOTLIB  # type: ignore[attr-defined]

    def test_same(self) -> None:
        """The trace is not overwritten."""
        link = self.folder / "link.svg"
        link.symlink_to("trace.jsonl")
        before = Path(self.trace).read_text()
        self.check(2, "is the trace itself", self.trace, "-o", str(link))
        self.assertEqual(Path(self.trace).read_text(), before)

    def test_missing(self) -> None:
        """Without matplotlib it says how to get it, and leaves no file."""
        withoutMatplotlib(self)
        output = self.folder / "a.svg"
        self.check(1, "pip install 'txilpstream[plot]'", self.trace, "-o", str(output))
        self.assertFalse(output.exists())

    def test_summary(self) -> None:
        """The help has a line about it."""
        self.assertIn("draw a trace", SUMMARY)
        self.assertIn("plot", COMMANDS)
