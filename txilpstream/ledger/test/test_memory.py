"""Tests for C{txilpstream.ledger.memory}."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from txilpstream.amounts import U64_MAX
from txilpstream.errors import LocalError
from txilpstream.interfaces import ITotals
from txilpstream.ledger.memory import MemoryTotals
from txilpstream.test.support.strategies import forAll


class MemoryTotalsTests(SynchronousTestCase):
    """Totals in memory."""

    def setUp(self) -> None:
        self.totals = MemoryTotals()

    def test_interface(self) -> None:
        """It is a store."""
        verifyObject(ITotals, self.totals)

    def test_credit(self) -> None:
        """By connection and stream; a packet counts once on each."""
        credit = self.totals.credit
        self.assertEqual(credit("a", 1, 5, b"1"), 5)
        self.assertEqual(credit("a", 1, 7, b"2"), 12)
        self.assertEqual(credit("a", 1, 5, b"1"), 12)
        self.assertEqual(credit("a", 3, 2, b"1"), 2)
        self.assertEqual(credit("b", 1, 9, b"1"), 9)
        self.assertEqual(self.totals.total("a"), 12)
        self.assertEqual((self.totals.total("a", 5), self.totals.total("c")), (0, 0))

    def test_revoke(self) -> None:
        """What a packet brought goes when all its copies are revoked, and can come again."""
        for _ in range(2):
            self.totals.credit("a", 1, 5, b"1")
        self.totals.revoke("a", 1, b"1")
        self.assertEqual(self.totals.total("a"), 5)
        self.totals.revoke("a", 1, b"1")
        self.assertEqual(self.totals.total("a"), 0)
        for _ in range(2):
            self.totals.revoke("a", 1, b"1")
        self.totals.revoke("b", 1, b"1")
        self.assertEqual(self.totals.total("a"), 0)
        self.assertEqual(self.totals.credit("a", 1, 5, b"1"), 5)

    def test_refused(self) -> None:
        """What is no amount, or would not fit, changes nothing."""
        self.totals.credit("a", 1, U64_MAX, b"1")
        wrong: list[Any] = [1, -1, 1.0]
        for amount in wrong:
            self.assertRaises(LocalError, self.totals.credit, "a", 1, amount, b"2")
        self.assertEqual(self.totals.total("a"), U64_MAX)
        for options in ({"maximumStreams": 0}, {"packetsRemembered": 0}):
            self.assertRaises(LocalError, MemoryTotals, **options)

    def test_full(self) -> None:
        """A total is not forgotten by itself; what is known goes on."""
        totals = MemoryTotals(maximumStreams=2)
        totals.credit("a", 1, 5, b"1")
        totals.credit("a", 3, 5, b"1")
        error = self.assertRaises(LocalError, totals.credit, "b", 1, 5, b"1")
        self.assertIn("maximumStreams", str(error))
        self.assertEqual(totals.credit("a", 3, 1, b"2"), 6)
        totals.forget("c")
        totals.forget("a")
        self.assertEqual(totals.credit("b", 1, 5, b"1"), 5)
        self.assertEqual(totals.credit("b", 3, 5, b"1"), 5)

    def test_forgotten(self) -> None:
        """A connection that was forgotten begins at 0, its old packets too."""
        self.totals.credit("a", 1, 5, b"1")
        self.totals.forget("a")
        self.totals.revoke("a", 1, b"1")
        self.totals.credit("a", 1, 5, b"2")
        self.totals.forget("a")
        self.assertEqual(self.totals.credit("a", 1, 7, b"2"), 7)
        self.totals.revoke("a", 1, b"2")
        self.assertEqual(self.totals.total("a"), 0)

    def test_remembered(self) -> None:
        """Of packets the oldest are forgotten: their number is bounded."""
        totals = MemoryTotals(packetsRemembered=2)
        for packetID in (b"1", b"2", b"3"):
            totals.credit("a", 1, 5, packetID)
        self.assertEqual(totals.credit("a", 1, 5, b"3"), 15)
        self.assertEqual(totals.credit("a", 1, 5, b"1"), 20)

    @forAll(st.lists(st.tuples(st.booleans(), st.integers(1, 3), st.integers(0, 9))))
    def test_countsStanding(self, steps: list[tuple[bool, int, int]]) -> None:
        """The total is what the packets brought of which a credit stands."""
        totals = MemoryTotals()
        uncancelled: dict[int, list[int]] = {}
        for isCredit, packet, amount in steps:
            packetID = bytes([packet])
            if isCredit:
                uncancelled.setdefault(packet, []).append(amount)
                totals.credit("a", 1, amount, packetID)
            else:
                totals.revoke("a", 1, packetID)
                credits = uncancelled.get(packet, [])
                if len(credits) == 1:
                    del uncancelled[packet]
                elif credits:
                    credits.pop()
            expected = sum(credits[0] for credits in uncancelled.values())
            self.assertEqual(totals.total("a"), expected)
