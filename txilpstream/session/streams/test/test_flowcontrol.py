"""Tests of C{txilpstream.session.streams.flowcontrol}."""

from __future__ import annotations

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txilpstream.amounts import U64_MAX
from txilpstream.session.streams.flowcontrol import (
    INITIAL_CONNECTION_CREDIT,
    INITIAL_STREAM_CREDIT,
    ByteBudget,
    ReceiveWindow,
    SendWindow,
)
from txilpstream.test.support.strategies import forAll, uint64


class SendWindowTests(SynchronousTestCase):
    """How far the peer lets us send."""

    def test_room(self) -> None:
        """Room is what is granted and not used; it is never negative."""
        credit = SendWindow(INITIAL_STREAM_CREDIT)
        self.assertEqual(credit.room, 16384)
        credit.used = 16384
        self.assertEqual(credit.room, 0)
        credit.hear(10)
        self.assertEqual((credit.limit, credit.room), (10, 0))

    def test_renew(self) -> None:
        """Who counts otherwise gives room, and never takes any away."""
        credit = SendWindow(10)
        credit.used = 8
        self.assertEqual((credit.renew(2), credit.room), (False, 2))
        self.assertEqual((credit.renew(5), credit.room, credit.limit), (True, 5, 13))

    def test_firstWord(self) -> None:
        """The first word counts even if it is small: before it there was an assumption."""
        for word, isNew in ((100, True), (1 << 20, True), (INITIAL_CONNECTION_CREDIT, False)):
            credit = SendWindow(INITIAL_CONNECTION_CREDIT)
            self.assertEqual(credit.hear(word), isNew)
            self.assertEqual(credit.limit, word)
            self.assertFalse(credit.hear(word))
            self.assertFalse(credit.hear(word - 1))
            self.assertEqual(credit.limit, word)
            self.assertTrue(credit.hear(word + 1))
            self.assertEqual(credit.limit, word + 1)

    @forAll(uint64, st.lists(uint64, min_size=1, max_size=8))
    def test_words(self, assumed: int, words: list[int]) -> None:
        """Whatever the order of the words, the largest counts; hearing tells what it changed."""
        credit = SendWindow(assumed)
        for word in words:
            before = credit.limit
            self.assertEqual(credit.hear(word), credit.limit != before)
        self.assertEqual(credit.limit, max(words))


class ReceiveWindowTests(SynchronousTestCase):
    """How far we let the peer send."""

    def test_due(self) -> None:
        """The first grant is due at once, the next when half of the window was consumed."""
        receiveWindow = ReceiveWindow(100)
        self.assertTrue(receiveWindow.isDue())
        self.assertEqual(receiveWindow.tell(), 100)
        self.assertFalse(receiveWindow.isDue())
        receiveWindow.consumed = 49
        self.assertEqual(receiveWindow.limit, 149)
        self.assertFalse(receiveWindow.isDue())
        receiveWindow.consumed = 50
        self.assertTrue(receiveWindow.isDue())
        self.assertEqual(
            (receiveWindow.told, receiveWindow.tell(), receiveWindow.told), (100, 150, 150)
        )

    def test_smallWindow(self) -> None:
        """
        A window of one byte is told once for each byte. Half of it is nothing, so that it was
        due for ever.
        """
        receiveWindow = ReceiveWindow(1)
        self.assertTrue(receiveWindow.isDue())
        self.assertEqual(receiveWindow.tell(), 1)
        self.assertFalse(receiveWindow.isDue())
        receiveWindow.consumed = 1
        self.assertTrue(receiveWindow.isDue())

    def test_last(self) -> None:
        """Offsets end with 64 bits."""
        receiveWindow = ReceiveWindow(100)
        receiveWindow.consumed = U64_MAX - 10
        self.assertEqual(receiveWindow.tell(), U64_MAX)
        receiveWindow.consumed = U64_MAX
        self.assertEqual(receiveWindow.limit, U64_MAX)
        self.assertFalse(receiveWindow.isDue())

    @forAll(st.integers(1, 100), st.lists(st.integers(0, 40), max_size=30))
    def test_words(self, window: int, takes: list[int]) -> None:
        """
        A grant never shrinks; it is told at most every half window, and what is not told is less
        than that.
        """
        receiveWindow = ReceiveWindow(window)
        half = max(1, window // 2)
        receiveWindow.tell()
        for count in takes:
            receiveWindow.consumed += count
            before = receiveWindow.told
            if receiveWindow.isDue():
                self.assertGreaterEqual(receiveWindow.tell(), before + half)
            self.assertLess(receiveWindow.limit - receiveWindow.told, half)
            self.assertEqual(receiveWindow.limit, receiveWindow.consumed + window)


class ByteBudgetTests(SynchronousTestCase):
    """Bytes of all connections together."""

    def test_budget(self) -> None:
        """What would exceed the limit is not held at all; what is given back may be taken."""
        budget = ByteBudget(10)
        self.assertTrue(budget.take(6))
        self.assertFalse(budget.take(5))
        self.assertEqual(budget.used, 6)
        self.assertTrue(budget.take(4))
        self.assertTrue(budget.take(0))
        self.assertFalse(budget.take(1))
        budget.give(10)
        self.assertEqual((budget.used, budget.limit), (0, 10))
        self.assertTrue(budget.take(10))
