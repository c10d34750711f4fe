"""Tests for C{txilpstream.undecided}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txilpstream.undecided import Undecided

HERE = ("c" * 64, 1)


class UndecidedTests(SynchronousTestCase):
    """What a stream can be said to have received."""

    def setUp(self) -> None:
        """1000 units of which nobody knows yet, and 5 after them."""
        self.undecided = Undecided()
        self.late = self.undecided.begin(*HERE, 1000)
        self.other = self.undecided.begin(*HERE, 5)

    def test_alone(self) -> None:
        """Without others it is the store's total."""
        credit = self.undecided.begin("d" * 64, 1, 7)
        credit.counted(107)
        self.assertEqual(credit.proved(), 107)

    def test_othersDoNotCount(self) -> None:
        """What is undecided besides proves nothing, be it counted or not."""
        self.late.counted(1100)
        self.other.counted(1105)
        self.assertEqual((self.other.proved(), self.late.proved()), (105, 1100))

    def test_lastIsComplete(self) -> None:
        """Whichever is decided last says all, in whatever order the store answers."""
        self.other.counted(1105)
        self.assertEqual(self.other.proved(), 105)
        self.undecided.end(*HERE, self.other)
        self.late.counted(1100)
        self.assertEqual(self.late.proved(), 1105)

    def test_revoked(self) -> None:
        """What was taken back is not said later either."""
        self.other.counted(1105)
        self.late.counted(1100)
        self.late.revoked()
        self.undecided.end(*HERE, self.late)
        self.assertEqual(self.other.proved(), 105)

    def test_neverLessThanItself(self) -> None:
        """A packet that is fulfilled proves what it brought, however much is undecided besides."""
        self.other.counted(5)
        self.assertEqual(self.other.proved(), 5)

    def test_revokedMeanwhile(self) -> None:
        """A total that was counted before something was taken back, and told after, is less."""
        self.late.counted(1000)
        self.late.revoked()
        self.undecided.end(*HERE, self.late)
        self.other.counted(1005)
        self.assertEqual(self.other.proved(), 5)

    def test_nothingIsKept(self) -> None:
        """When all is decided, what was counted before is the store's alone to say."""
        self.late.counted(5000)
        for credit in (self.late, self.other):
            self.undecided.end(*HERE, credit)
        again = self.undecided.begin(*HERE, 1)
        again.counted(10)
        self.assertEqual(again.proved(), 10)
