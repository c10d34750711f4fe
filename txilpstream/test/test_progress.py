"""Tests of C{txilpstream.progress}."""

from __future__ import annotations

import sys
from io import StringIO

from twisted.trial.unittest import SynchronousTestCase

from txilpstream.progress import LINE_INTERVAL, TERMINAL_INTERVAL, Amount, Progress, progressFor

AMOUNTS = [Amount("money", 2500, 10_000), Amount("file", 7, None), Amount("echo", 0, 0)]


class Terminal(StringIO):
    """A terminal, as far as it says so."""

    def isatty(self) -> bool:
        return True


class ProgressTests(SynchronousTestCase):
    """The three ways to show it."""

    def shown(self, stream: StringIO) -> str:
        """What stands there when it is over."""
        progress: Progress = progressFor(stream)
        progress.show(AMOUNTS, "3 packets in flight")
        progress.show(AMOUNTS, "4 packets in flight")
        progress.close()
        self.interval = progress.interval
        return stream.getvalue()

    def test_lines(self) -> None:
        """Lines where nothing can be written over."""
        line = "money 25 % 2,500, file 7, echo 0, {} packets in flight\n"
        self.assertEqual(self.shown(StringIO()), line.format(3) + line.format(4))
        self.assertEqual(self.interval, LINE_INTERVAL)

    def test_oneLine(self) -> None:
        """A terminal without rich: one line, never wider, and gone in the end."""
        for name in ("rich.console", "rich.progress"):
            if name in sys.modules:
                self.addCleanup(sys.modules.__setitem__, name, sys.modules[name])
            else:
                self.addCleanup(sys.modules.pop, name)
            sys.modules[name] = None  # type: ignore[assignment]
        self.patch(__import__("shutil"), "get_terminal_size", lambda: type("", (), {"columns": 30}))
        shown = self.shown(Terminal())
        line = "\rmoney 25 % 2,500, file 7, echo\x1b[K"
        self.assertEqual(shown, line[:30] + "\x1b[K" + line[:30] + "\x1b[K" + "\r\x1b[K")
        self.assertEqual(self.interval, TERMINAL_INTERVAL)

    def test_bars(self) -> None:
        """A terminal with rich: a bar for each."""
        try:
            import rich  # noqa: F401
        except ImportError:
            return self.test_oneLine()
        self.patch(__import__("os"), "environ", {"TERM": "xterm", "COLUMNS": "120"})
        shown = self.shown(Terminal())
        for part in ("money", "2,500", "file", "echo", "4 packets in flight"):
            self.assertIn(part, shown)
        self.assertEqual(self.interval, TERMINAL_INTERVAL)
        return None
