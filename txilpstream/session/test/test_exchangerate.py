"""Tests of C{txilpstream.session.exchangerate}: the rate and its floor."""

from __future__ import annotations

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txilpstream.amounts import Ratio
from txilpstream.session.exchangerate import ExchangeRate
from txilpstream.test.support.strategies import forAll

ONE_PERCENT = Ratio(1, 100)


def measured(*observed: tuple[int, int], slippage: Ratio = ONE_PERCENT) -> ExchangeRate:
    """A rate with a floor fixed from packets of these source amounts and deliveries."""
    rate = ExchangeRate(None, slippage, False)
    for sourceAmount, delivered in observed:
        rate.observe(sourceAmount, delivered)
    rate.fix()
    return rate


small = st.integers(1, 300)


class BoundsTests(SynchronousTestCase):
    """What packets prove."""

    def test_unknown(self) -> None:
        rate = ExchangeRate(None, ONE_PERCENT, False)
        rate.fix()
        self.assertEqual((rate.low, rate.high, rate.floor, rate.smallest), (None, None, None, 1))
        self.assertIs(rate.isHopeless, False)
        self.assertIs(rate.isUseful(1), True)
        self.assertIsNone(rate.sourceFor(1))
        self.assertRaises(AssertionError, rate.minimumDelivery, 1)

    def test_oneOfOneIsNotARateOfOne(self) -> None:
        rate = measured((1, 1))
        self.assertEqual((rate.low, rate.high), (Ratio(1), Ratio(2)))

    def test_narrows(self) -> None:
        rate = measured((1, 1), (10, 15), (1000, 1555))
        self.assertEqual((rate.low, rate.high), (Ratio(1555, 1000), Ratio(1556, 1000)))

    def test_saysNothingNew(self) -> None:
        rate = measured((1000, 1555), (10, 15))
        self.assertEqual((rate.low, rate.high), (Ratio(1555, 1000), Ratio(1556, 1000)))

    def test_overlaps(self) -> None:
        rate = measured((10, 15), (3, 4))
        self.assertEqual((rate.low, rate.high), (Ratio(15, 10), Ratio(16, 10)))
        rate.observe(7, 11)
        self.assertEqual((rate.low, rate.high), (Ratio(11, 7), Ratio(16, 10)))

    def test_moved(self) -> None:
        """Contradicted bounds are dropped, in both directions."""
        rate = measured((1000, 1555))
        rate.observe(1000, 1200)
        self.assertEqual((rate.low, rate.high), (Ratio(1200, 1000), Ratio(1201, 1000)))
        rate.observe(1000, 1900)
        self.assertEqual((rate.low, rate.high), (Ratio(1900, 1000), Ratio(1901, 1000)))

    @forAll(small, small, st.lists(st.integers(1, 10**6), min_size=1, max_size=10))
    def test_holdTheTruth(self, above: int, below: int, amounts: list[int]) -> None:
        """A path that rounds down once is never contradicted."""
        truth = Ratio(above, below)
        rate = measured(*((amount, truth.floor(amount)) for amount in amounts))
        assert rate.low is not None and rate.high is not None
        self.assertTrue(rate.low <= truth < rate.high)
        for amount in amounts:
            self.assertLessEqual(Ratio(truth.floor(amount), amount), rate.low)


class FloorTests(SynchronousTestCase):
    """The rate below which no money leaves."""

    def test_given(self) -> None:
        rate = ExchangeRate(Ratio(3, 2), ONE_PERCENT, False)
        rate.observe(100, 200)
        rate.fix()
        self.assertEqual(rate.floor, Ratio(3, 2))
        self.assertEqual([rate.minimumDelivery(amount) for amount in (0, 1, 2, 3)], [0, 2, 3, 5])

    def test_measured(self) -> None:
        rate = measured((100, 200))
        self.assertEqual(rate.floor, Ratio(198, 100))
        rate.observe(100, 100)
        rate.fix()
        self.assertEqual(rate.floor, Ratio(198, 100), "it never changes again")
        self.assertIs(rate.isHopeless, True)

    def test_anyRate(self) -> None:
        rate = ExchangeRate(None, ONE_PERCENT, True)
        self.assertIs(rate.isFree, True)
        rate.observe(100, 0)
        self.assertEqual((rate.floor, rate.smallest), (Ratio(0), 1))
        self.assertEqual((rate.isHopeless, rate.plan(1, 10)), (False, 1))
        self.assertIsNone(rate.sourceFor(1))
        rate.observe(1000, 2)
        self.assertEqual(rate.smallest, 500)

    def test_estimate(self) -> None:
        rate = ExchangeRate(Ratio(1, 2), ONE_PERCENT, False)
        self.assertEqual(rate.expect(101)[1], 51)
        self.assertEqual(rate.sourceFor(51), 102)
        rate.observe(100, 75)
        self.assertEqual(rate.expect(101)[1], 75)
        self.assertEqual(rate.sourceFor(51), 68)
        rate.observe(100, 25)
        self.assertEqual(rate.expect(101)[1], 51, "never less than the minimum")

    @forAll(small, small, small)
    def test_sourceForDelivers(self, above: int, below: int, delivered: int) -> None:
        rate = measured((below, above))
        source = rate.sourceFor(delivered)
        assert source is not None
        self.assertGreaterEqual(rate.expect(source)[1], delivered)
        self.assertLess(Ratio(above, below).floor(source - 1), delivered)


class PlanTests(SynchronousTestCase):
    """How much goes into a packet."""

    def test_unmeasured(self) -> None:
        rate = ExchangeRate(Ratio(1, 2), ONE_PERCENT, False)
        self.assertEqual((rate.plan(0, 10), rate.plan(7, 10), rate.plan(17, 10)), (0, 7, 10))

    def test_hopeless(self) -> None:
        """Below the floor only a better rate helps, and only a packet shows it."""
        rate = measured((100, 200))
        rate.observe(100, 100)
        self.assertEqual((rate.isUseful(1), rate.plan(1, 10), rate.plan(11, 10)), (True, 1, 10))

    def test_unproved(self) -> None:
        """Where rounding hides whether the rate meets the floor, amounts that may are tried."""
        rate = ExchangeRate(Ratio(9108, 100_000), ONE_PERCENT, False)
        rate.observe(99, 9)
        self.assertIs(rate.isHopeless, False)
        self.assertEqual(
            [rate.isUseful(amount) for amount in (99, 98, 88, 87)], [False, True, False, True]
        )
        self.assertEqual(rate.plan(1000, 99), 98)
        self.assertEqual(rate.plan(1000, 5), 0)
        self.assertEqual(rate.expect(98)[0], 9)
        self.assertIs(rate.isUseful(98), True)
        rate.observe(98, 8)
        self.assertIs(rate.isUseful(98), False, "it was refused")
        rate.observe(99, 8)
        self.assertIs(rate.isHopeless, True)

    def test_smallest(self) -> None:
        rate = measured((1000, 123))
        self.assertEqual(rate.smallest, 41, "5/41 is the simplest between 0.12177 and 0.123")
        self.assertEqual((rate.plan(40, 1000), rate.plan(41, 1000)), (0, 41))

    def test_lastTwoTogether(self) -> None:
        """Nothing useless is left behind."""
        rate = measured((1000, 123))
        self.assertEqual(rate.plan(1010, 1000), 1010 - 41)
        self.assertEqual(rate.plan(41, 1000), 41)

    def test_restIsUseful(self) -> None:
        """A rest of more than the smallest amount, or of nothing, changes nothing."""
        rate = measured((1000, 123))
        self.assertEqual(rate.plan(2000, 1000), 1000)
        self.assertEqual(rate.plan(1000, 1000), 1000)

    def test_notEnoughForTwo(self) -> None:
        """Money for one packet is sent in one, though something useless stays behind."""
        rate = measured((1000, 123))
        self.assertEqual(rate.plan(44, 41), 41)

    def test_oddRate(self) -> None:
        """At a floor of exactly the rate only multiples of the denominator are of use."""
        below = 10**9 + 7
        rate = measured((below, 10**9), slippage=Ratio(0))
        self.assertEqual(rate.smallest, below)
        self.assertEqual(rate.plan(6 * below, 5 * below - 1), 4 * below)
        self.assertEqual(rate.plan(below, below - 1), 0)

    def test_allThatIsLeft(self) -> None:
        """All that is left is tried if it may arrive; once it was refused, it is not."""
        rate = measured((47, 42))
        self.assertFalse(rate.isUseful(49))
        self.assertEqual(rate.plan(49, 1000), 49)
        self.assertNotEqual(rate.plan(50, 49), 49)
        rate.observe(49, 43)
        self.assertNotEqual(rate.plan(49, 1000), 49)

    def test_fixedAfterABetterRate(self) -> None:
        """A low rate from before the floor was fixed does not hide a later one above it."""
        rate = measured((1000, 500), (1000, 1000))
        self.assertEqual(rate.smallest, 1)
        rate.observe(1000, 995)
        self.assertEqual(rate.smallest, 100, "0.99 of 100")
        self.assertEqual(rate.plan(1010, 1000), 910)

    def test_backAboveTheFloor(self) -> None:
        rate = ExchangeRate(Ratio(1, 2), ONE_PERCENT, False)
        rate.observe(1000, 400)
        self.assertIs(rate.isHopeless, True)
        rate.observe(1000, 501)
        self.assertEqual(rate.smallest, 2)
        rate.observe(1000, 900)
        self.assertEqual(rate.smallest, 2, "the rate may fall back")

    @forAll(small, small, small, small, st.integers(0, 2000), st.integers(1, 2000), examples=300)
    def test_alwaysMeetsItsMinimum(
        self, above: int, below: int, less: int, more: int, offered: int, most: int
    ) -> None:
        """As long as the rate is at the floor or above, whatever is planned can arrive."""
        low = Ratio(above, below)
        floor = low.less(Ratio(less - 1, less + more))
        rate = ExchangeRate(floor, ONE_PERCENT, False)
        rate.observe(below, above)
        useful = [
            amount for amount in range(1, 2001) if low.floor(amount) >= rate.minimumDelivery(amount)
        ]
        if useful:
            self.assertEqual(rate.smallest, useful[0])
        else:
            self.assertGreater(rate.smallest, 2000)
        amount = rate.plan(offered, most)
        self.assertLessEqual(amount, min(offered, most))
        if amount and amount == offered and amount not in useful:
            # All that is left: it is tried, as the rate may be as good as that.
            self.assertGreaterEqual(
                Ratio(above + 1, below).ceil(amount), 1 + rate.minimumDelivery(amount)
            )
            return
        self.assertEqual(amount > 0, min(offered, most) >= rate.smallest)
        if amount:
            self.assertIn(amount, useful)
        if offered <= most:
            near = [candidate for candidate in useful if candidate <= offered]
            self.assertIn(amount, [max(near, default=0), offered - offered % rate.smallest])
