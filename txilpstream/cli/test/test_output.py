"""Tests of C{txilpstream.cli.output}: what a command that goes on says."""

from __future__ import annotations

import json
import sys
from io import StringIO
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from txilpstream.cli import output
from txilpstream.cli.output import (
    LINE_INTERVAL,
    TERMINAL_INTERVAL,
    Amount,
    Announcements,
    Progress,
    pluginOptions,
    progressFor,
)
from txilpstream.crypto.credentials import Credentials
from txilpstream.service.settings import Settings

BTP = {"btp": "127.0.0.1:7768", "http": "127.0.0.1:7771"}


class OptionTests(SynchronousTestCase):
    """The words that lead to a hub."""

    def test_usual(self) -> None:
        """None where commands look by themselves."""
        self.assertEqual(pluginOptions(BTP), "")
        self.assertEqual(pluginOptions({}), "")

    def test_others(self) -> None:
        self.assertIn("btp+ws://:any-token@[::1]:1", pluginOptions({"btp": "[::1]:1"}))
        self.assertIn("http://:any-token@127.0.0.1:7771/", pluginOptions({"http": BTP["http"]}))
        self.assertIn(":TOKEN@", pluginOptions(BTP, isOpen=False))


class WordsTests(SynchronousTestCase):
    """For people, and for programs."""

    def setUp(self) -> None:
        self.stdout = StringIO()
        self.account: Any = type("Account", (), {"address": "test.us"})()

    def say(self, *, isJSON: bool = False) -> Announcements:
        """Something to say it with."""
        return Announcements(self.stdout, isJSON=isJSON)

    def listening(self, ports: dict[str, str], **texts: Any) -> str:
        """What is said when it listens."""
        settings = Settings.fromTexts(texts, {})
        self.say().listening(self.account, ports, settings)
        return self.stdout.getvalue()

    def test_pays(self) -> None:
        """The command that pays it, as it stands."""
        text = self.listening({"spsp": "127.0.0.1:7770", **BTP})
        self.assertIn("\n  txilpstream pay http://127.0.0.1:7770/alice 1000\n", text)

    def test_otherAsset(self) -> None:
        """What arrives is said where assets differ: so much of the payer's may be nothing."""
        text = self.listening({"spsp": "127.0.0.1:1", **BTP}, **{"own-asset": "EUR/2"})
        self.assertIn("/alice 1000 --deliver\n", text)

    def test_account(self) -> None:
        text = self.listening({"spsp": "127.0.0.1:1"}, account=["default"], plugin="memory:x")
        self.assertIn("pay http://127.0.0.1:1/ 1000 --plugin YOUR-PLUGIN", text)

    def test_noURL(self) -> None:
        """There is none for a socket of this machine."""
        self.assertNotIn("txilpstream pay", self.listening({"spsp": "unix:/run/x"}))

    def test_withoutBTP(self) -> None:
        self.patch(output, "hasBTP", lambda: False)
        self.assertIn("needs the extra 'btp'", self.listening({}))

    def test_hub(self) -> None:
        self.say().hub("test.hub", BTP, True)
        self.assertIn("open to any token", self.stdout.getvalue())
        self.assertIn("txilpstream receive", self.stdout.getvalue())
        self.say().hub("test.hub", {"http": "127.0.0.1:1"}, False)
        self.assertIn("open to the tokens of its peers", self.stdout.getvalue())
        self.assertIn("pay DESTINATION AMOUNT --plugin", self.stdout.getvalue())

    def test_json(self) -> None:
        say = self.say(isJSON=True)
        say.received("alice", 5, 3)
        credentials = Credentials("test.alice", bytes(32))
        say.credentials(credentials)
        say.ended(5, 3, "eHl6")
        lines = [json.loads(line) for line in self.stdout.getvalue().splitlines()]
        self.assertEqual([line["event"] for line in lines], ["received", "credentials", "ended"])
        self.assertEqual(Credentials.fromJSON(lines[1]["credentials"]), credentials)
        self.assertEqual(
            lines[0], {"event": "received", "account": "alice", "total": 5, "bytes": 3}
        )

    def test_nobodyReads(self) -> None:
        """Whoever read has gone: what is done goes on without a word."""

        class Gone(StringIO):
            """A pipe whose reader is gone."""

            writes = 0

            def write(self, text: str) -> int:
                """Fail."""
                self.writes += 1
                raise BrokenPipeError

        gone = Gone()
        say = Announcements(gone, isJSON=False)
        say.received("alice", 5, 3)
        say.received("alice", 6, 3)
        self.assertEqual(gone.writes, 1)


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
