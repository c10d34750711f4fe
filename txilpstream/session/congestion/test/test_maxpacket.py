"""Tests of C{txilpstream.session.congestion.maxpacket}: the largest packet of a path."""

from __future__ import annotations

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txilpstream.amounts import U64_MAX
from txilpstream.session.congestion.maxpacket import RAISE_INTERVAL, MaxPacket
from txilpstream.test.support.strategies import forAll
from txilpstream.wire.ilp import encodeAmountTooLarge


class WithAmountsTests(SynchronousTestCase):
    """The limit is computed."""

    def test_computed(self) -> None:
        """The reject's amounts are in the units of the node that made it."""
        limit = MaxPacket(1000)
        self.assertIs(limit.refused(1000, encodeAmountTooLarge(2000, 600), now=5.0), True)
        self.assertEqual((limit.limit, limit.raiseAt), (300, 5.0 + RAISE_INTERVAL))

    def test_roundedDownToOne(self) -> None:
        limit = MaxPacket(1000)
        self.assertIs(limit.refused(1000, encodeAmountTooLarge(U64_MAX, 1), now=0.0), True)
        self.assertEqual(limit.limit, 1)
        self.assertIs(limit.refused(1, encodeAmountTooLarge(2, 1), now=0.0), False)
        self.assertEqual(limit.limit, 1)

    def test_senseless(self) -> None:
        """A received amount of 0, or a maximum that is not exceeded, are no amounts."""
        for received, maximum in [(0, 0), (0, 5), (10, 0), (10, 10), (10, 11)]:
            limit = MaxPacket(1000)
            self.assertIs(
                limit.refused(1000, encodeAmountTooLarge(received, maximum), now=0.0), True
            )
            self.assertEqual(limit.limit, 500)

    def test_neverRaises(self) -> None:
        limit = MaxPacket(1000)
        limit.refused(1000, encodeAmountTooLarge(10, 3), now=0.0)
        limit.passed(300)
        self.assertIs(limit.refused(375, encodeAmountTooLarge(375, 311), now=30.0), True)
        self.assertEqual(limit.limit, 300)
        self.assertIs(limit.refused(305, b"", now=30.0), True)
        self.assertEqual(limit.limit, 300, "no search above the limit")

    def test_endsASearch(self) -> None:
        limit = MaxPacket(1000)
        limit.refused(1000, b"", now=0.0)
        limit.refused(500, encodeAmountTooLarge(50, 20), now=0.0)
        self.assertEqual(limit.limit, 200)
        limit.passed(200)
        self.assertEqual(limit.limit, 200)
        limit = MaxPacket(1000)
        for amount in (1000, 100):
            limit.refused(amount, b"", now=0.0)
        limit.refused(1000, encodeAmountTooLarge(10, 5), now=0.0)
        self.assertEqual(limit.limit, 99, "what was refused is not tried again")


class WithoutAmountsTests(SynchronousTestCase):
    """The limit is searched."""

    def test_halves(self) -> None:
        limit = MaxPacket(1000)
        limit.refused(1000, b"", now=0.0)
        limit.passed(500)
        self.assertEqual(limit.limit, 750)
        limit.refused(750, b"", now=0.0)
        self.assertEqual(limit.limit, 625)

    def test_largerOnesInFlight(self) -> None:
        """A larger packet than one that was refused already teaches nothing."""
        limit = MaxPacket(1000)
        limit.refused(800, b"", now=0.0)
        self.assertIs(limit.refused(1000, b"", now=0.0), True)
        self.assertEqual(limit.limit, 400)
        self.assertIs(limit.refused(900, b"data of another kind", now=0.0), True)
        self.assertEqual(limit.limit, 400)

    def test_smallerOnesInFlight(self) -> None:
        limit = MaxPacket(1000)
        limit.refused(1000, b"", now=0.0)
        limit.passed(500)
        limit.passed(100)
        self.assertEqual(limit.limit, 750)

    def test_narrowed(self) -> None:
        """What passed once may be refused later."""
        limit = MaxPacket(1000)
        limit.passed(1000)
        self.assertEqual(limit.limit, 1000)
        limit.refused(1000, b"", now=0.0)
        self.assertEqual(limit.limit, 500)

    def test_one(self) -> None:
        limit = MaxPacket(1000)
        self.assertIs(limit.refused(2, b"", now=0.0), True)
        self.assertEqual(limit.limit, 1)
        self.assertIs(limit.refused(1, b"", now=0.0), False)
        self.assertEqual(limit.limit, 1)

    @forAll(st.integers(1, 10**12), st.integers(1, 10**12))
    def test_finds(self, most: int, largest: int) -> None:
        """In logarithmic time, the largest packet is found but for one part in 64."""
        limit = MaxPacket(most)
        for _ in range(100):
            if limit.limit > largest:
                limit.refused(limit.limit, b"", now=0.0)
            else:
                limit.passed(limit.limit)
        self.assertLessEqual(limit.limit, min(most, largest))
        self.assertGreaterEqual(limit.limit * 65 + 65, min(most, largest) * 64)

    @forAll(
        st.lists(
            st.tuples(
                st.integers(1, 2000),
                st.sampled_from(["passed", "refused", "amounts", "sent", "untried"]),
                st.integers(0, 2000),
                st.integers(0, 2000),
            ),
            max_size=30,
        )
    )
    def test_anything(self, steps: list[tuple[int, str, int, int]]) -> None:
        """What was refused is never tried again, and what the caller allows is never exceeded."""
        limit = MaxPacket(1000)
        refused = 2000
        for amount, kind, received, maximum in steps:
            if kind == "passed":
                limit.passed(min(amount, 1000))
                refused = max(refused, min(amount, 1000) + 1)
            elif kind == "sent":
                limit.sent(limit.limit)
            elif kind == "untried":
                limit.untried(amount)
            else:
                data = encodeAmountTooLarge(received, maximum) if kind == "amounts" else b""
                isLower = limit.refused(min(amount, 1000), data, now=0.0)
                self.assertEqual(isLower, limit.limit < min(amount, 1000))
                refused = min(refused, max(2, min(amount, 1000)))
            self.assertLess(limit.limit, refused)
            self.assertTrue(1 <= limit.limit <= 1000, limit.limit)
            larger = limit.larger(100.0)
            self.assertTrue(larger is None or limit.limit < larger <= 1000)


class ParallelTests(SynchronousTestCase):
    """Packets that leave during a search try different amounts."""

    def setUp(self) -> None:
        self.limit = MaxPacket(1000)
        self.limit.refused(1000, b"", now=0.0)

    def leave(self, count: int) -> list[int]:
        """The amounts of so many packets that leave at once."""
        amounts = []
        for _ in range(count):
            amounts.append(self.limit.limit)
            self.limit.sent(self.limit.limit)
        return amounts

    def test_halves(self) -> None:
        """Each is half as large as the one before, down to one unit."""
        self.assertEqual(self.leave(11), [500, 250, 125, 62, 31, 15, 7, 3, 1, 1, 1])

    def test_eighths(self) -> None:
        """Between bounds they are at equal distances; then those leave that pass for certain."""
        self.leave(4)
        for amount in (500, 250):
            self.limit.refused(amount, b"", now=0.0)
        self.limit.passed(125)
        self.assertEqual(self.leave(9), [187, 156, 218, 140, 171, 203, 234, 125, 125])
        for amount in (187, 156, 218, 140, 171, 203, 234):
            if amount > 150:
                self.limit.refused(amount, b"", now=0.0)
            else:
                self.limit.passed(amount)
        self.assertEqual(self.leave(1), [148])

    def test_untried(self) -> None:
        """What was answered with something else is tried again."""
        self.assertEqual(self.leave(2), [500, 250])
        self.limit.untried(250)
        self.assertEqual(self.limit.limit, 250)
        self.limit.untried(999)
        self.assertEqual(self.limit.limit, 250)
        MaxPacket(5).untried(5)

    def test_told(self) -> None:
        """Only what is between the bounds counts as tried."""
        self.limit.sent(2000)
        self.assertEqual(self.limit.limit, 500)
        MaxPacket(5).sent(5)


class RaiseTests(SynchronousTestCase):
    """A path may have become wider."""

    def setUp(self) -> None:
        self.limit = MaxPacket(1000)
        self.limit.refused(1000, encodeAmountTooLarge(10, 4), now=0.0)

    def test_unlimited(self) -> None:
        limit = MaxPacket(1000)
        limit.pathChanged(0.0)
        self.assertIsNone(limit.raiseAt)
        self.assertIsNone(limit.larger(1e9))

    def test_waits(self) -> None:
        self.assertIsNone(self.limit.larger(RAISE_INTERVAL - 0.1))
        self.assertEqual(self.limit.larger(RAISE_INTERVAL), 500)
        self.limit.tried(RAISE_INTERVAL)
        self.assertIsNone(self.limit.larger(2 * RAISE_INTERVAL - 0.1))
        self.assertEqual(self.limit.larger(2 * RAISE_INTERVAL), 500)
        self.assertEqual(self.limit.limit, 400)

    def test_pathChanged(self) -> None:
        self.limit.pathChanged(1.0)
        self.assertEqual(self.limit.larger(1.0), 500)

    def test_answersAreLost(self) -> None:
        """What was being tried when the path was lost is tried again."""
        limit = MaxPacket(1000)
        limit.refused(1000, b"", now=0.0)
        tried = []
        for _ in range(3):
            tried.append(limit.limit)
            limit.sent(limit.limit)
        limit.pathChanged(1.0)
        self.assertEqual(limit.limit, tried[0])
        self.assertEqual(len(set(tried)), 3)

    def test_success(self) -> None:
        """A larger packet that passed is followed by a larger one at once, up to the most."""
        tried = []
        now = RAISE_INTERVAL
        while (amount := self.limit.larger(now)) is not None:
            self.limit.tried(now)
            self.limit.passed(amount)
            tried.append(amount)
        self.assertEqual(tried, [500, 625, 781, 976, 1000])
        self.assertEqual(self.limit.limit, 1000)

    def test_failure(self) -> None:
        self.limit.refused(500, b"", now=RAISE_INTERVAL)
        self.assertEqual(self.limit.limit, 400)
        self.assertIsNone(self.limit.larger(RAISE_INTERVAL))

    def test_byOne(self) -> None:
        limit = MaxPacket(1000)
        limit.refused(2, b"", now=0.0)
        self.assertEqual(limit.larger(RAISE_INTERVAL), 2)

    def test_duringASearch(self) -> None:
        limit = MaxPacket(1000)
        limit.refused(1000, b"", now=0.0)
        limit.passed(1000)
        self.assertEqual(limit.limit, 1000)
