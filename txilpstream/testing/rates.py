"""
The hop that exchanges one asset for another.

Every amount is rounded down, as connectors do.
"""

from __future__ import annotations

from collections.abc import Callable

from txilpstream.amounts import U64_MAX, Ratio
from txilpstream.errors import LocalError
from txilpstream.testing.hop import Direction, Hop, Transit
from txilpstream.wire.ilp import Reject

__all__ = ["Rate", "linearDrift"]

_DRIFT_EVERY = 0.001
"""Seconds: a drifting rate stays the same for so long, which spares arithmetic per packet."""


def linearDrift(
    perSecond: Ratio, *, isFalling: bool = False, limit: Ratio | None = None
) -> Callable[[float], Ratio]:
    """
    Make a drift for L{Rate}: a factor that is 1 at first and moves evenly, in whole milliseconds.

    @param perSecond: by how much it moves; C{Ratio(1, 1000)} is 0.1 percent a second.
    @param isFalling: whether it falls; otherwise it rises.
    @param limit: where it stops, more than 0; by default at 2, or at a half if it falls.
    @raise LocalError: if the limit is on the wrong side of 1, or 0.
    """
    one = Ratio(1)
    if limit is None:
        limit = Ratio(1, 2) if isFalling else Ratio(2)
    if limit == Ratio(0) or (one < limit if isFalling else limit < one):
        raise LocalError(f"limit is {limit}: it must be more than 0 and on the drift's side of 1")
    stop = limit
    below = perSecond.denominator * 1000

    def factor(seconds: float) -> Ratio:
        moved = perSecond.numerator * int(seconds * 1000)
        if isFalling:
            return max(stop, Ratio(max(0, below - moved), below))
        return min(stop, Ratio(below + moved, below))

    return factor


class Rate(Hop):
    """A connector with an account in each of two assets."""

    def __init__(
        self,
        ratio: Ratio,
        *,
        inverse: Ratio | None = None,
        drift: Callable[[float], Ratio] | None = None,
        direction: Direction = "both",
    ) -> None:
        """
        @param ratio: units on the right per unit on the left.
        @param inverse: units on the left per unit on the right; None for 1 by the ratio.
        @param drift: from seconds since the path was made to a factor more than 0, by which the
            ratio is multiplied and the inverse divided; see L{linearDrift}.
        @raise LocalError: if the ratio is 0 and no inverse is given.
        """
        super().__init__(direction=direction)
        self._ratio = ratio
        self._inverse = ratio.inverse() if inverse is None else inverse
        self._drift = drift
        self._toRight = self._ratio
        self._toLeft = self._inverse
        self._driftAt = float("-inf")

    def receivePrepare(self, packet: Transit) -> Reject | None:
        """Exchange the amount; F08 if 64 bits cannot hold what comes out."""
        if self._drift is not None and self.path.now >= self._driftAt:
            factor = self._drift(self.path.now - self.path.startedAt)
            self._toRight = self._ratio * factor
            self._toLeft = self._inverse * factor.inverse()
            self._driftAt = self.path.now + _DRIFT_EVERY
        ratio = self._toRight if packet.side == "left" else self._toLeft
        amount = packet.prepare.amount * ratio.numerator // ratio.denominator
        if amount > U64_MAX:
            return self.reject("F08")
        packet.prepare.amount = amount
        return None
