"""Tests of C{txilpstream.testing.rates}: the hop that exchanges one asset for another."""

from __future__ import annotations

from txilpstream.amounts import U64_MAX, Ratio
from txilpstream.errors import LocalError
from txilpstream.test.support.paths import HopTestCase
from txilpstream.testing import Rate, linearDrift


class RateTests(HopTestCase):
    """Exchange."""

    def test_floor(self) -> None:
        path = self.connect(Rate(Ratio(2, 3)))
        self.codes(0, 1, 2, 300)
        self.assertEqual(self.amounts(), [0, 0, 1, 200])
        self.ask(3, end=path.right)
        self.assertEqual(self.amounts("left"), [4])

    def test_inverse(self) -> None:
        path = self.connect(Rate(Ratio(0), inverse=Ratio(3)))
        self.ask(5)
        self.ask(5, end=path.right)
        self.assertEqual((self.amounts(), self.amounts("left")), ([0], [15]))

    def test_noInverse(self) -> None:
        self.assertRaises(LocalError, Rate, Ratio(0))

    def test_overflow(self) -> None:
        self.connect(Rate(Ratio(2)))
        self.assertEqual(self.codes(U64_MAX // 2, U64_MAX // 2 + 1), ["", "F08"])
        self.assertEqual(self.amounts(), [U64_MAX - 1])

    def test_drift(self) -> None:
        """The ratio is multiplied and the inverse divided; time counts from the path's start."""
        self.clock.advance(1000)
        path = self.connect(Rate(Ratio(2), drift=linearDrift(Ratio(1, 10))))
        self.ask()
        self.clock.advance(5)
        self.ask()
        self.ask(300, end=path.right)
        self.clock.advance(0.0001)
        self.ask()
        self.assertEqual((self.amounts(), self.amounts("left")), ([200, 300, 300], [100]))

    def test_linearDrift(self) -> None:
        rising = linearDrift(Ratio(1, 100))
        self.assertEqual(
            [rising(seconds) for seconds in (0, 0.5, 10, 100, 1e6)],
            [Ratio(1), Ratio(201, 200), Ratio(11, 10), Ratio(2), Ratio(2)],
        )
        falling = linearDrift(Ratio(1, 100), isFalling=True)
        self.assertEqual(
            [falling(seconds) for seconds in (0, 10, 1e6)], [Ratio(1), Ratio(9, 10), Ratio(1, 2)]
        )
        self.assertEqual(linearDrift(Ratio(1), limit=Ratio(5))(10), Ratio(5))

    def test_badDrift(self) -> None:
        for limit, isFalling in ((Ratio(0), True), (Ratio(2), True), (Ratio(1, 2), False)):
            error = self.assertRaises(
                LocalError, linearDrift, Ratio(1), isFalling=isFalling, limit=limit
            )
            self.assertIn(str(limit), str(error))
