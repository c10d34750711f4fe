"""
Amounts and rates: whole numbers of units, and ratios of whole numbers.

Arithmetic here never loses a unit unsaid: every rounding is named by the method that does it, and
no float passes through it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import gcd
from typing import final

from txilpstream.errors import LocalError, checkKind, wrongType

__all__ = ["U64_MAX", "Asset", "Ratio", "checkAmount", "clamp", "rateBetween", "splitShares"]

U64_MAX = 2**64 - 1
"""The largest amount that an ILP packet or a STREAM frame can carry (RFC 27, RFC 29 5.2)."""


def _shown(value: int) -> str:
    """A number for an error's text: Python refuses to write out one of thousands of digits."""
    bits = value.bit_length()
    return str(value) if bits <= 256 else f"an integer of {bits} bits"


def checkAmount(name: str, value: object, *, minimum: int = 0, maximum: int = U64_MAX) -> int:
    """
    Give back C{value} if it is a whole number within the limits.

    @param name: what the value is called in the error's text.
    @raise LocalError: if it is not an int (a bool or a float is none), or out of the limits.
    """
    if type(value) is not int:
        raise wrongType(name, value, "it takes an int; amounts are in base units")
    if not minimum <= value <= maximum:
        raise LocalError(f"{name} is {_shown(value)}: it must be from {minimum} to {maximum}")
    return value


def clamp(value: int) -> int:
    """Bring a whole number into the range of an unsigned 64-bit integer (RFC 29 section 5.3.9)."""
    return 0 if value < 0 else min(value, U64_MAX)


@final
class Ratio:
    """
    An exact ratio of two whole numbers, such as an exchange rate in destination per source units.

    @ivar numerator: 0 or more, in lowest terms with the denominator.
    @ivar denominator: 1 or more.
    """

    __slots__ = ("denominator", "numerator")

    def __init__(self, numerator: int, denominator: int = 1) -> None:
        """
        @raise LocalError: if one is not an int, the numerator is negative or the denominator is
            not positive.
        """
        if type(numerator) is not int or type(denominator) is not int:
            wrong = denominator if type(numerator) is int else numerator
            raise wrongType("a ratio's part", wrong, "it takes two int; fromString takes decimals")
        if numerator < 0 or denominator <= 0:
            raise LocalError(
                f"the ratio {_shown(numerator)}/{_shown(denominator)} must have a numerator of at "
                "least 0 and a denominator of at least 1"
            )
        divisor = gcd(numerator, denominator)
        self.numerator = numerator // divisor
        self.denominator = denominator // divisor

    @classmethod
    def fromString(cls, text: str) -> Ratio:
        """
        Read C{"1.25"} or C{"5/4"} without rounding.

        @raise LocalError: if the text is neither a decimal number nor a fraction.
        """
        checkKind("a ratio", text, str, "a text such as '1.25' or '5/4'")
        number, slash, below = text.partition("/")
        whole, point, digits = number.partition(".")
        if slash:
            parts = [number, below]
        else:
            parts = [whole + digits, "1" + "0" * len(digits)]
            if point and not digits:
                parts = [""]
        if len(text) > 100 or not all(part.isascii() and part.isdigit() for part in parts):
            raise LocalError(f"{text[:100]!r} is not a ratio: write it as '1.25' or as '5/4'")
        return cls(int(parts[0]), int(parts[1]))

    def floor(self, amount: int) -> int:
        """Multiply by the ratio and round down."""
        return amount * self.numerator // self.denominator

    def ceil(self, amount: int) -> int:
        """Multiply by the ratio and round up."""
        return -(-amount * self.numerator // self.denominator)

    def inverse(self) -> Ratio:
        """
        The ratio turned round.

        @raise LocalError: if the ratio is 0.
        """
        return Ratio(self.denominator, self.numerator)

    def __mul__(self, other: Ratio) -> Ratio:
        if not isinstance(other, Ratio):
            return NotImplemented
        return Ratio(self.numerator * other.numerator, self.denominator * other.denominator)

    def less(self, part: Ratio) -> Ratio:
        """
        The ratio lowered by a part of itself, such as a slippage.

        @param part: from 0 to 1; C{Ratio(1, 100)} takes one percent off.
        @raise LocalError: if the part is more than 1.
        """
        return self * Ratio(part.denominator - part.numerator, part.denominator)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Ratio):
            return NotImplemented
        return (self.numerator, self.denominator) == (other.numerator, other.denominator)

    def __lt__(self, other: Ratio) -> bool:
        return self.numerator * other.denominator < other.numerator * self.denominator

    def __le__(self, other: Ratio) -> bool:
        return self.numerator * other.denominator <= other.numerator * self.denominator

    def __hash__(self) -> int:
        return hash((self.numerator, self.denominator))

    def __float__(self) -> float:
        """The nearest float, for display only."""
        return self.numerator / self.denominator

    def __repr__(self) -> str:
        return f"Ratio({self.numerator}, {self.denominator})"

    def __str__(self) -> str:
        return f"{self.numerator}/{self.denominator}"


def splitShares(amount: int, shares: Sequence[int]) -> tuple[list[int], int]:
    """
    Split an amount by shares, each part rounded down (RFC 29 section 5.3.8).

    @param shares: one number per part; with a sum of 0 nothing can be split.
    @return: the parts in the order of the shares, and the remainder that rounding left over
        (the whole amount if the shares sum up to 0).
    """
    total = sum(shares)
    if total == 0:
        return [0] * len(shares), amount
    parts = [amount * share // total for share in shares]
    return parts, amount - sum(parts)


Asset = tuple[str, int]
"""Code and number of decimals."""


def rateBetween(source: Asset, destination: Asset, prices: Mapping[str, Ratio]) -> Ratio | None:
    """
    The rate in destination per source base units.

    @param prices: of one whole unit of each asset, by code, all in the same currency; two assets of
        the same code need none.
    @return: None if a price is missing.
    @raise LocalError: if a price is 0 or no ratio.
    """
    (code, scale), (otherCode, otherScale) = source, destination
    shift = otherScale - scale
    decimals = Ratio(10**shift) if shift >= 0 else Ratio(1, 10**-shift)
    if code == otherCode and code not in prices:
        return decimals
    price, otherPrice = prices.get(code), prices.get(otherCode)
    if price is None or otherPrice is None:
        return None
    for name, ratio in ((code, price), (otherCode, otherPrice)):
        if not isinstance(ratio, Ratio) or not ratio.numerator:
            wanted = "it takes a Ratio of more than 0, such as Ratio.fromString('1.08')"
            raise wrongType(f"the price of {name}", ratio, wanted)
    return price * otherPrice.inverse() * decimals
