"""Tests of C{txilpstream.logs}."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode

from twisted.internet.task import Clock
from twisted.logger import Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from txilpstream.logs import INTERVAL, RareLog, withoutSecrets
from txilpstream.test.support.httppeers import Events


class RareLogTests(SynchronousTestCase):
    """Each thing is said at most once per interval."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.events = Events()
        self.rareLog = RareLog(self.clock, Logger("test", observer=self.events))

    def lines(self) -> list[str]:
        """What was said since the last call."""
        lines = [formatEvent(event) for event in self.events]
        self.events.clear()
        return lines

    def test_counted(self) -> None:
        """What happens meanwhile is counted, and told with the next line."""
        for _ in range(100):
            self.rareLog.warn("lost {what}", what="a ship")
        self.assertEqual(self.lines(), ["lost a ship [1 since the last such line]"])
        self.clock.advance(INTERVAL - 0.1)
        self.rareLog.warn("lost {what}", what="a ship")
        self.assertEqual(self.lines(), [])
        self.clock.advance(0.1)
        self.rareLog.warn("lost {what}", what="a mast")
        self.assertEqual(self.lines(), ["lost a mast [101 since the last such line]"])

    def test_otherThing(self) -> None:
        """Another thing is said beside it."""
        self.rareLog.warn("lost")
        self.rareLog.warn("found")
        self.rareLog.warn("found")
        self.assertEqual(len(self.lines()), 2)


class SecretTests(SynchronousTestCase):
    """What could be a secret is not shown."""

    def test_hidden(self) -> None:
        """Keys in hex and in base64, tokens, packets, and what is joined to them."""
        key = bytes(range(100, 132))
        for secret in (
            key.hex(),
            key.hex().upper(),
            key.hex()[:16],
            f"--secret={key.hex()}",
            f"user_{key.hex()}/x=1",
            b64encode(key).decode("ascii"),
            urlsafe_b64encode(key).decode("ascii"),
            "kS9QkS9QkS9QkS9QkS9Q",
            "ab01" * 16,
            "18446744073709551615",
            "qDvQ5m3ZyJp0TtBvHk2sQ6w8Lr4uYx1nCfEoGiKl",
        ):
            for isKept in (False, True):
                text = withoutSecrets(f"it is {secret}!", isKept=isKept)
                self.assertEqual(text, "it is [not shown]!", secret)

    def test_kept(self) -> None:
        """A long word in small letters is a path on a terminal, and may be a key in a file."""
        text = "/home/alice/projects/interledger/receiver/secret"
        self.assertEqual(withoutSecrets(text), text)
        self.assertEqual(withoutSecrets(text, isKept=True), "[not shown]")
        self.assertEqual(withoutSecrets("\u00e9" * 32, isKept=True), "[not shown]")

    def test_path(self) -> None:
        """A path has long words; a packet or a secret in the place of one has hex digits."""
        path = "'/tmp/Tests/x1/_trial_temp/test_unreadable/tmpab12cd'"
        self.assertEqual(withoutSecrets(path, isPath=True), path)
        self.assertNotIn("0e1c", withoutSecrets(f"'0e1c{'00' * 12}'", isPath=True))

    def test_shown(self) -> None:
        for text in (
            "test.alice.example.com",
            "--slippage is '2'",
            "takes 5000 units in all",
            "the peer closed the connection",
            "argument --max-source: expected one argument",
        ):
            for isKept in (False, True):
                self.assertEqual(withoutSecrets(text, isKept=isKept), text)
