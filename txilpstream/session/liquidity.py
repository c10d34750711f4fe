"""
How much money per second leaves, and at once.

The evidence is T04 alone. Until the first one there is no limit. Then the rule of C{rounds} finds
what the path takes per second, in source units; if even a packet that is alone in flight is
refused, the packet itself is too large for the moment: its amount is halved and grows again.
What was rejected: shrinking packets on every T04, which ends at packets of a few units
(ilp-protocol-stream#42).
"""

from __future__ import annotations

from typing import Final

from txilpstream.amounts import U64_MAX
from txilpstream.session.rounds import AdaptiveRate

__all__ = ["Liquidity"]

_GROWTH: Final = 16
"""A packet that was halved grows by one part in so many with each that passes."""


class Liquidity:
    """
    The money rate of one direction of a connection.

    @ivar cap: the most that one packet may carry for now, in source units.
    """

    __slots__ = ("_passed", "_rate", "_since", "cap")

    def __init__(self) -> None:
        self.cap = U64_MAX
        self._rate: AdaptiveRate | None = None
        self._passed = 0
        self._since: float | None = None

    def isAllowed(self, amount: int, now: float) -> bool:
        """Whether so many source units may leave now."""
        return self._rate is None or self._rate.available(now, amount) >= amount

    def readyAt(self, amount: int) -> float:
        """When so many may leave."""
        return 0.0 if self._rate is None else self._rate.readyAt(amount)

    def sent(self, amount: int, now: float) -> None:
        """Money leaves."""
        if self._since is None:
            self._since = now
        if self._rate is not None:
            self._rate.use(amount, now)

    def passed(self, amount: int, *, now: float, roundTrip: float) -> None:
        """So much came through the path."""
        self._passed += amount
        if self.cap < U64_MAX:
            self.cap += max(1, self.cap // _GROWTH)
            if self.cap > 4 * amount:
                self.cap = U64_MAX
        if self._rate is not None:
            self._rate.answered(amount, isReject=False, now=now, roundTrip=roundTrip)

    def refused(
        self, amount: int, *, isAlone: bool, smallest: int, now: float, roundTrip: float
    ) -> None:
        """
        A packet of this amount was answered T04.

        @param isAlone: whether no other packet with money was in flight.
        @param smallest: the smallest amount that is still of use.
        """
        if isAlone:
            self.cap = max(smallest, min(self.cap, amount) // 2)
        rate = self._rate
        if rate is None:
            since = now if self._since is None else self._since
            elapsed = max(now - since, roundTrip, 0.001)
            start = max(0.9 * self._passed / elapsed, amount / max(roundTrip, 0.05) / 2)
            rate = AdaptiveRate(start, least=max(1.0, amount / 16), most=2.0**64, tokens=amount)
            rate.isStarting = False
            self._rate = rate
            return
        rate.answered(amount, isReject=True, now=now, roundTrip=roundTrip)
