"""
The exchange rate of the path, as bounds, and the least delivery that every packet demands.

A packet of C{s} source units of which C{d} arrive proves that the rate is at least C{d/s} and, as
nodes round down, less than C{(d+1)/s}. The floor below which no money leaves is fixed once: given,
or measured less the slippage. What is measured later moves the bounds and never the floor. What
was rejected: a float, and a rate that is the last packet's quotient, which takes 1 of 1 for a
rate of exactly 1 (ilp-protocol-stream#46).
"""

from __future__ import annotations

from typing import Final

from txilpstream.amounts import U64_MAX, Ratio

__all__ = ["ExchangeRate"]

_MOST_STEPS: Final = 100
"""Destination amounts that are tried for the largest useful packet: so many do at 1 % slippage."""


def _simplestDenominator(least: Ratio, most: Ratio) -> int:
    """
    The smallest denominator of any fraction from C{least}, more than 0, to C{most}.

    The two continued fractions are followed as long as they agree.
    """
    before, denominator = 1, 0
    a, b, c, d = least.numerator, least.denominator, most.numerator, most.denominator
    while True:
        term = -(-a // b)
        if term * d <= c:
            return term * denominator + before
        term -= 1
        before, denominator = denominator, term * denominator + before
        a, b, c, d = d, c - term * d, b, a - term * b


class ExchangeRate:
    """
    What one direction of a path makes of an amount.

    @ivar low: the rate is at least this, in destination per source units; None until measured.
    @ivar high: the rate is less than this, or equal where nothing is rounded away.
    @ivar floor: the least rate at which money leaves; None until it is fixed.
    @ivar isFree: whether any rate is taken, even 0.
    @ivar mostPerPacket: the largest amount whose minimum a packet can carry, in source units.
    @ivar smallest: the least amount that delivers at least one unit and meets its minimum, at the
        lowest rate that was measured above the floor; 1 while that is not known.
    """

    __slots__ = (
        "_expected",
        "_expectedOf",
        "_given",
        "_isUseful",
        "_lowest",
        "_slippage",
        "floor",
        "high",
        "isFree",
        "low",
        "mostPerPacket",
        "smallest",
    )

    def __init__(
        self,
        minimumRate: Ratio | None,
        slippage: Ratio,
        acceptAnyRate: bool,
        expected: Ratio | None = None,
    ) -> None:
        """
        @param expected: what the rate is thought to be before it is measured.
        """
        self._given = expected
        self._slippage = slippage
        self._lowest: Ratio | None = None
        self.isFree = acceptAnyRate
        self.floor: Ratio | None = None
        self.mostPerPacket = U64_MAX
        self.low: Ratio | None = None
        self.high: Ratio | None = None
        self.smallest = 1
        self._expectedOf = -1
        self._expected = (0, 0)
        self._isUseful = True
        floor = Ratio(0) if acceptAnyRate else minimumRate
        if floor is not None:
            self._setFloor(floor)

    def _setFloor(self, floor: Ratio) -> None:
        self.floor = floor
        self._expectedOf = -1
        if floor.numerator > floor.denominator:
            self.mostPerPacket = U64_MAX * floor.denominator // floor.numerator
        self._lower()

    def observe(self, sourceAmount: int, delivered: int) -> None:
        """
        A packet of C{sourceAmount}, more than 0, arrived as C{delivered}.

        Bounds that contradict the new ones are dropped: the rate has moved.
        """
        low, high = self.low, self.high
        if (
            low is not None
            and high is not None
            and delivered * low.denominator <= low.numerator * sourceAmount
            and (delivered + 1) * high.denominator >= high.numerator * sourceAmount
            and (delivered + 1) * low.denominator > low.numerator * sourceAmount
            and delivered * high.denominator <= high.numerator * sourceAmount
        ):
            return
        newLow, newHigh = Ratio(delivered, sourceAmount), Ratio(delivered + 1, sourceAmount)
        if low is not None and high is not None and low < newHigh and newLow <= high:
            newLow, newHigh = max(low, newLow), min(high, newHigh)
        self.low, self.high = newLow, newHigh
        self._expectedOf = -1
        self._lower()

    def fix(self) -> None:
        """Set the floor from what was measured, less the slippage; it never changes again."""
        if self.floor is None and self.low is not None:
            self._setFloor(self.low.less(self._slippage))

    def minimumDelivery(self, sourceAmount: int) -> int:
        """The least that a packet must deliver, in destination units; the floor must be fixed."""
        floor = self.floor
        assert floor is not None, "no money leaves before the floor is fixed"
        return -(-sourceAmount * floor.numerator // floor.denominator)

    def expect(self, sourceAmount: int) -> tuple[int, int]:
        """
        What a packet demands, and what it will deliver as far as is known, never less than that.

        Most packets carry the same amount as the last one, so the last answer is remembered.
        """
        if sourceAmount != self._expectedOf:
            low = self.low
            delivery = 0 if low is None else sourceAmount * low.numerator // low.denominator
            minimum = self.minimumDelivery(sourceAmount)
            self._isUseful = low is None or delivery >= minimum or self._isWorthATry(sourceAmount)
            self._expected = minimum, max(minimum, delivery)
            self._expectedOf = sourceAmount
        return self._expected

    def sourceFor(self, delivered: int) -> int | None:
        """The source amount that delivers so much or a little more; None if it is not known."""
        for low in (self.low, self._given, self.floor):
            if low is not None and low.numerator:
                return -(-delivered * low.denominator // low.numerator)
        return None

    @property
    def isKnown(self) -> bool:
        """Whether the rate was measured, or is thought to be known."""
        return self.low is not None or self._given is not None

    def isUseful(self, sourceAmount: int) -> bool:
        """Whether a packet of this amount can meet its minimum at the rate that was measured."""
        if sourceAmount == self._expectedOf:
            return self._isUseful
        low = self.low
        if low is None:
            return True
        delivery = sourceAmount * low.numerator // low.denominator
        return delivery >= self.minimumDelivery(sourceAmount) or self._isWorthATry(sourceAmount)

    def _isWorthATry(self, sourceAmount: int) -> bool:
        """Whether no rate that was proved meets the floor, and this amount may show one."""
        low, floor = self.low, self.floor
        if low is None or floor is None or floor <= low:
            return False
        return self.isHopeless or self._mayMeetMinimum(sourceAmount)

    @property
    def isHopeless(self) -> bool:
        """Whether the measured rate is below the floor: only a better rate would help."""
        return self.high is not None and self.floor is not None and self.high <= self.floor

    def plan(self, offered: int, most: int) -> int:
        """
        How much of what is offered goes into the next packet.

        What is left behind must be enough for a packet that meets its minimum, so the last two
        packets are planned together.

        @param most: what one packet may carry.
        @return: 0 if nothing useful can be sent.
        """
        amount = min(offered, most, self.mostPerPacket)
        smallest = self.smallest
        rest = offered - amount
        if 0 < rest < smallest and not self.isUseful(rest) and offered >= 2 * smallest:
            amount = offered - smallest
        if self.isUseful(amount) or (amount == offered and self._mayMeetMinimum(amount)):
            return amount
        return self._usefulBelow(amount)

    def _mayMeetMinimum(self, sourceAmount: int) -> bool:
        """
        Whether a packet meets its minimum if the rate is at the upper end of what is possible.

        It is tried where all that is left depends on it: if it is refused, that says more of the
        rate than all arithmetic, and the bounds are closer then.
        """
        high = self.high
        assert high is not None, "an amount is useless at measured rates only"
        most = -(-sourceAmount * high.numerator // high.denominator) - 1
        return most >= max(1, self.minimumDelivery(sourceAmount))

    def _usefulBelow(self, amount: int) -> int:
        """
        The largest useful amount that is smaller, 0 if there is none.

        If none is near, it is the largest multiple of the smallest one.
        """
        low, floor = self.low, self.floor
        assert low is not None and floor is not None, "an amount is useless at measured rates only"
        if low < floor:
            return self._possibleBelow(amount)
        delivered = low.floor(amount)
        for target in range(delivered, max(0, delivered - _MOST_STEPS), -1):
            candidate = min(amount, target * floor.denominator // floor.numerator)
            if low.floor(candidate) >= target:
                return candidate
        return amount - amount % _simplestDenominator(floor, low)

    def _possibleBelow(self, amount: int) -> int:
        """
        The largest smaller amount that meets its minimum at the upper end of what is possible, 0
        if there is none near: as long as no proved rate meets the floor, that is all to go by.
        """
        floor, high = self.floor, self.high
        assert floor is not None and high is not None, "an amount is useless at measured rates only"
        delivered = high.ceil(amount) - 1
        for target in range(delivered, max(0, delivered - _MOST_STEPS), -1):
            candidate = min(amount, target * floor.denominator // floor.numerator)
            if self._mayMeetMinimum(candidate):
                return candidate
        return 0

    def _lower(self) -> None:
        """Find the smallest amount again if the rate is the lowest above the floor so far."""
        low, floor = self.low, self.floor
        if low is None or floor is None or low < floor or not low.numerator:
            return
        if self._lowest is None or low < self._lowest:
            self._lowest = low
            self.smallest = (
                _simplestDenominator(floor, low)
                if floor.numerator
                else -(-low.denominator // low.numerator)
            )
