"""Tests of C{txilpstream.amounts}."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txilpstream.amounts import U64_MAX, Ratio, checkAmount, clamp, splitShares
from txilpstream.errors import LocalError
from txilpstream.test.support.strategies import forAll, uint64

ratios = st.builds(Ratio, uint64, st.integers(1, U64_MAX))


class CheckAmountTests(SynchronousTestCase):
    """What is an amount."""

    def test_amounts(self) -> None:
        """Whole numbers of 64 bits are."""
        for value in (0, 1, U64_MAX):
            self.assertEqual(checkAmount("it", value), value)

    def test_otherTypes(self) -> None:
        """
        Nothing else than an int is one, whatever its value; the error says what was given, and
        shows no text: it may be a secret that was passed in the wrong place.
        """
        given = [
            (1.0, "1.0"),
            (True, "True"),
            ("1", "a string of 1 characters"),
            (None, "None"),
            (Decimal(1), "of type Decimal"),
            (b"1", "1 octets"),
        ]
        for value, shown in given:
            error = self.assertRaises(LocalError, checkAmount, "the amount", value)
            self.assertIn(f"the amount is {shown}: it takes an int", str(error))

    def test_limits(self) -> None:
        """The error names the value and the limits."""
        self.assertEqual(checkAmount("it", 5, minimum=5, maximum=5), 5)
        for value in (4, 6):
            error = self.assertRaises(LocalError, checkAmount, "it", value, minimum=5, maximum=5)
            self.assertEqual(str(error), f"it is {value}: it must be from 5 to 5")
        self.assertRaises(LocalError, checkAmount, "it", -1)
        self.assertRaises(LocalError, checkAmount, "it", U64_MAX + 1)

    def test_huge(self) -> None:
        """
        Python refuses to write out a number of thousands of digits. The error for such an amount
        was Python's, which named neither the amount nor the limit.
        """
        error = self.assertRaises(LocalError, checkAmount, "the amount", 10**5000)
        self.assertIn("the amount is an integer of 16610 bits", str(error))
        self.assertIn(str(U64_MAX), str(error))
        error = self.assertRaises(LocalError, checkAmount, "the amount", "9" * 5000)
        self.assertLess(len(str(error)), 200)


class ClampTests(SynchronousTestCase):
    """RFC 29 section 5.3.9."""

    def test_clamp(self) -> None:
        """What fits stays, what does not becomes the nearest that does."""
        for value, expected in ((-1, 0), (0, 0), (7, 7), (U64_MAX, U64_MAX), (2**64, U64_MAX)):
            self.assertEqual(clamp(value), expected)


class RatioTests(SynchronousTestCase):
    """Exact ratios."""

    def test_lowestTerms(self) -> None:
        """Equal ratios are equal in all respects."""
        ratio = Ratio(10, 8)
        self.assertEqual((ratio.numerator, ratio.denominator), (5, 4))
        self.assertEqual(ratio, Ratio(5, 4))
        self.assertEqual(hash(ratio), hash(Ratio(5, 4)))
        self.assertNotEqual(ratio, Ratio(4, 5))
        self.assertNotEqual(ratio, Fraction(5, 4))
        self.assertEqual((str(ratio), repr(ratio), float(ratio)), ("5/4", "Ratio(5, 4)", 1.25))
        self.assertEqual(Ratio(3), Ratio(3, 1))

    def test_refused(self) -> None:
        """Floats, bools, negative numbers and a denominator of 0 are none."""
        numbers: list[tuple[Any, Any]] = [(1.5, 1), (1, 1.5), (True, 1), (1, True), ("1", 2)]
        numbers += [(-1, 1), (1, 0), (1, -1), (-(10**5000), 1)]
        for numerator, denominator in numbers:
            self.assertRaises(LocalError, Ratio, numerator, denominator)

    def test_fromString(self) -> None:
        """Decimals and fractions are read without rounding."""
        for text, expected in (
            ("1.25", Ratio(5, 4)),
            ("5/4", Ratio(5, 4)),
            ("3", Ratio(3)),
            (".5", Ratio(1, 2)),
            ("0", Ratio(0)),
            ("0.1", Ratio(1, 10)),
        ):
            self.assertEqual(Ratio.fromString(text), expected)

    def test_fromStringRefused(self) -> None:
        """Everything else is refused, with an error that shows how to write it."""
        wrong = ["", ".", "1.", "/", "1/", "/2", "1/0", "-1", "+1", " 1", "1e3", "1.5/2", "1/2/3"]
        for text in [*wrong, "1.2.3", "1_000", "\u0663", "nan", "9" * 101]:
            self.assertRaises(LocalError, Ratio.fromString, text)
        error = self.assertRaises(LocalError, Ratio.fromString, "1e3")
        self.assertIn("'1e3' is not a ratio: write it as '1.25' or as '5/4'", str(error))

    @forAll(ratios, uint64)
    def test_rounding(self, ratio: Ratio, amount: int) -> None:
        """Each rounding goes the way that its name says, by less than one unit."""
        exact = Fraction(ratio.numerator, ratio.denominator) * amount
        self.assertEqual(ratio.floor(amount), exact.__floor__())
        self.assertEqual(ratio.ceil(amount), exact.__ceil__())

    @forAll(ratios, ratios)
    def test_arithmetic(self, one: Ratio, other: Ratio) -> None:
        """Products and comparisons are exact."""
        left = Fraction(one.numerator, one.denominator)
        right = Fraction(other.numerator, other.denominator)
        product = one * other
        self.assertEqual(Fraction(product.numerator, product.denominator), left * right)
        self.assertEqual(one < other, left < right)
        self.assertEqual(one <= other, left <= right)
        self.assertEqual(one > other, left > right)
        self.assertEqual(one >= other, left >= right)

    def test_productOfOtherTypes(self) -> None:
        """A ratio times a number has no rounding that its name says, so there is none."""
        ratio: Any = Ratio(1, 2)
        self.assertRaises(TypeError, lambda: ratio * 2)

    def test_inverse(self) -> None:
        """A ratio turned round; that of 0 is none."""
        self.assertEqual(Ratio(5, 4).inverse(), Ratio(4, 5))
        self.assertRaises(LocalError, Ratio(0).inverse)

    def test_less(self) -> None:
        """A part is taken off, at most the whole."""
        self.assertEqual(Ratio(5, 4).less(Ratio(1, 100)), Ratio(99, 80))
        self.assertEqual(Ratio(5, 4).less(Ratio(0)), Ratio(5, 4))
        self.assertEqual(Ratio(5, 4).less(Ratio(1)), Ratio(0))
        self.assertRaises(LocalError, Ratio(5, 4).less, Ratio(101, 100))


class SplitSharesTests(SynchronousTestCase):
    """RFC 29 section 5.3.8."""

    def test_roundDown(self) -> None:
        """Parts are rounded down; what is left over is told."""
        self.assertEqual(splitShares(100, [1, 2]), ([33, 66], 1))
        self.assertEqual(splitShares(100, [1]), ([100], 0))

    def test_noShares(self) -> None:
        """Where nobody has a share nothing is split, and nothing divided by 0."""
        self.assertEqual(splitShares(100, [0, 0]), ([0, 0], 100))
        self.assertEqual(splitShares(100, []), ([], 100))

    @forAll(uint64, st.lists(uint64, max_size=10))
    def test_nothingIsLost(self, amount: int, shares: list[int]) -> None:
        """Parts and remainder are the amount; the remainder is less than a unit for each."""
        parts, remainder = splitShares(amount, shares)
        self.assertEqual(len(parts), len(shares))
        self.assertEqual(sum(parts) + remainder, amount)
        self.assertTrue(all(part >= 0 for part in parts))
        if any(shares):
            self.assertLess(remainder, len(shares))
