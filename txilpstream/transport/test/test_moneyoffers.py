"""Tests for C{txilpstream.transport.moneyoffers}."""

from __future__ import annotations

from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from txilpstream.errors import RejectSeen
from txilpstream.interfaces import PaymentError, PaymentResult
from txilpstream.test.support.strategies import forAll
from txilpstream.transport.moneyoffers import MoneyOffers

REJECT = RejectSeen("T00", "Internal Error", "test.hop", "on purpose", 5, 2)


class OffersTests(SynchronousTestCase):
    """Which offer settled money belongs to."""

    def test_oldestFirst(self) -> None:
        """Settled money fills the oldest offers, and splits what was delivered in proportion."""
        offers = MoneyOffers()
        first, second = offers.add(30, None), offers.add(70, None)
        self.assertEqual(offers.settle(20, 10, 12, False), [])
        self.assertEqual(offers.settle(40, 20, 24, False), [first])
        self.assertEqual((first.sent, first.deliveredMinimum, first.deliveredClaimed), (30, 15, 18))
        self.assertEqual((second.sent, second.remaining), (30, 40))
        self.assertEqual(offers.settle(40, 20, 24, False), [second])
        self.assertEqual(offers.waiting, [])

    def test_doubt(self) -> None:
        """Money without an answer is in doubt, not sent."""
        offers = MoneyOffers()
        offer = offers.add(30, None)
        self.assertEqual(offers.settle(30, 0, 0, True), [offer])
        self.assertEqual((offer.sent, offer.inDoubt), (0, 30))

    def test_lateAnswers(self) -> None:
        """A late answer is of the oldest doubt: of what was told first, then of what waits."""
        offers = MoneyOffers()
        told, waiting = offers.add(10, None), offers.add(100, None)
        self.assertEqual(offers.settle(10, 0, 0, True), [told])
        offers.settle(60, 0, 0, True)
        self.assertEqual(offers.resolve(20, 10, 12, True), 0)
        self.assertEqual((told.sent, told.inDoubt), (0, 10))
        self.assertEqual((waiting.sent, waiting.inDoubt, waiting.remaining), (10, 50, 40))
        self.assertEqual((waiting.deliveredMinimum, waiting.deliveredClaimed), (5, 6))
        self.assertEqual(offers.resolve(30, 0, 0, False), 30)
        self.assertEqual((waiting.sent, waiting.inDoubt, waiting.remaining), (10, 20, 70))
        self.assertEqual(offers.settle(70, 70, 70, False), [waiting])
        self.assertEqual(offers.resolve(20, 20, 20, True), 0)
        self.assertEqual((waiting.sent, waiting.inDoubt), (80, 20), "it was told as it was")

    def test_givenUp(self) -> None:
        """What was in doubt of an offer that is given up is told doubt: no other gets it back."""
        offers = MoneyOffers()
        given, other = offers.add(100, None), offers.add(100, None)
        offers.settle(40, 0, 0, True)
        offers.giveUp(given)
        offers.settle(40, 0, 0, True)
        self.assertEqual(offers.resolve(40, 0, 0, False), 0)
        self.assertEqual((other.remaining, other.inDoubt), (60, 40))
        # Of what is in doubt after all that others wait for, too.
        self.assertEqual(offers.settle(90, 0, 0, True), [other])
        self.assertEqual(offers.resolve(130, 0, 0, False), 0)

    def test_nobodys(self) -> None:
        """Money that nobody offered here belongs to nobody."""
        self.assertEqual(MoneyOffers().settle(10, 10, 10, False), [])
        self.assertEqual(MoneyOffers().takeBack(10, "gone"), [])

    def test_takeBack(self) -> None:
        """The youngest lose first."""
        offers = MoneyOffers()
        first, second, third = (offers.add(10, None) for _ in range(3))
        self.assertEqual(offers.takeBack(25, "too little", 7), [second, third])
        self.assertEqual(
            (first.remaining, first.failure, first.smallestAmount), (5, "too little", 7)
        )
        self.assertEqual(offers.takeBack(5, None), [first])
        self.assertEqual(first.failure, "withdrawn")

    def test_abandon(self) -> None:
        """At the end, what is on its way is in doubt and the rest is not sent."""
        offers = MoneyOffers()
        first, second = offers.add(10, None), offers.add(10, None)
        self.assertEqual(offers.abandon(15, "over"), [first, second])
        self.assertEqual((first.inDoubt, second.inDoubt), (10, 5))
        self.assertEqual(offers.waiting, [])

    @forAll(
        st.lists(st.integers(1, 100), min_size=1, max_size=6),
        st.lists(st.tuples(st.integers(1, 100), st.integers(0, 200), st.booleans()), max_size=12),
    )
    def test_sums(self, amounts: list[int], packets: list[tuple[int, int, bool]]) -> None:
        """The sum over all offers is what was settled."""
        offers = MoneyOffers()
        every = [offers.add(amount, None) for amount in amounts]
        left, sent, doubt, claimed = sum(amounts), 0, 0, 0
        for size, delivered, isInDoubt in packets:
            size = min(size, left)
            if not size:
                break
            left -= size
            delivered = 0 if isInDoubt else delivered
            offers.settle(size, delivered // 2, delivered, isInDoubt)
            sent += 0 if isInDoubt else size
            doubt += size if isInDoubt else 0
            claimed += delivered
        self.assertEqual(sum(offer.sent for offer in every), sent)
        self.assertEqual(sum(offer.inDoubt for offer in every), doubt)
        self.assertEqual(sum(offer.remaining for offer in every), left)
        self.assertEqual(sum(offer.deliveredClaimed for offer in every), claimed)


class FireTests(SynchronousTestCase):
    """What the application is told."""

    def test_complete(self) -> None:
        """The whole offer was sent."""
        offers, deferred = MoneyOffers(), Deferred[PaymentResult]()
        offers.add(10, deferred)
        for offer in offers.settle(10, 9, 10, False):
            offer.tell((REJECT,))
            offer.tell((REJECT,))
        result = self.successResultOf(deferred)
        self.assertEqual(result, PaymentResult(10, 10, 9, 10, 0, (REJECT,)))

    def test_nobodyAsked(self) -> None:
        """An offer without a Deferred tells nobody."""
        MoneyOffers().add(10, None).tell(())

    def test_failed(self) -> None:
        """Part of it was taken back."""
        offers, deferred = MoneyOffers(), Deferred[PaymentResult]()
        offers.add(10, deferred)
        offers.settle(4, 4, 4, False)
        for offer in offers.takeBack(6, "the rate is too low", 8):
            offer.tell(())
        error = self.failureResultOf(deferred, PaymentError).value
        self.assertEqual((error.message, error.smallestAmount), ("the rate is too low", 8))
        self.assertEqual(error.result.sent, 4)

    def test_inDoubt(self) -> None:
        """Some of it may be gone."""
        offers, deferred = MoneyOffers(), Deferred[PaymentResult]()
        offers.add(10, deferred)
        for offer in offers.settle(10, 0, 0, True):
            offer.tell(())
        error = self.failureResultOf(deferred, PaymentError).value
        self.assertIn("10 units were not answered", error.message)
