"""Log lines that are kept rare."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from txilpstream.logs import INTERVAL, RareLog
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
