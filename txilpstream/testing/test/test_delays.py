"""Tests of C{txilpstream.testing.delays}: hops that take time."""

from __future__ import annotations

from txilpstream.test.support.paths import HopTestCase
from txilpstream.testing import Latency, Reorder


class DelayTests(HopTestCase):
    """Latency and reordering."""

    def test_latency(self) -> None:
        self.connect(Latency(0.25))
        waiting = self.send()
        self.clock.advance(0.2)
        self.assertEqual(self.amounts(), [])
        self.clock.advance(0.05)
        self.assertEqual(self.amounts(), [100])
        self.clock.advance(0.2)
        self.assertNoResult(waiting)
        self.clock.advance(0.05)
        self.assertEqual(self.code(waiting), "")

    def test_jitter(self) -> None:
        self.connect(Latency(1, jitter=1))
        for amount in range(100):
            self.send(amount)
        self.clock.advance(0.999)
        self.assertEqual(self.amounts(), [])
        for _ in range(10):
            self.clock.advance(0.1)
        self.assertNotEqual(self.amounts(), list(range(100)))
        self.clock.advance(0.1)
        self.assertEqual(sorted(self.amounts()), list(range(100)))

    def test_reorder(self) -> None:
        self.connect(Reorder(0.5, 1))
        for amount in range(100):
            self.send(amount)
        self.clock.advance(0)
        early = self.amounts()
        self.assertTrue(20 < len(early) < 80)
        self.clock.advance(1)
        self.assertEqual(sorted(self.amounts()), list(range(100)))
        self.assertEqual(self.amounts()[: len(early)], early)

    def test_reorderReplies(self) -> None:
        self.connect(Reorder(0, 1, replies=1))
        waiting = self.send()
        self.clock.advance(0)
        self.assertEqual(self.amounts(), [100])
        self.assertNoResult(waiting)
        self.clock.advance(1)
        self.assertEqual(self.code(waiting), "")
