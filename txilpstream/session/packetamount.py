"""
The largest packet that the path takes, learned from F08.

With amounts in the reject, the limit is computed; without, it is found by halves between the
largest amount that passed and the smallest that did not. Every F08 lowers the limit. It is raised
again by trying: a path may have become wider. What was rejected: taking the received amount for the
limit as it stands (it is in the rejecting node's units), and believing an F08 that would raise it.
"""

from __future__ import annotations

from typing import Final

from txilpstream.wire.ilp import decodeAmountTooLarge

__all__ = ["PacketAmount"]

RAISE_INTERVAL: Final = 30.0
"""Seconds between two tries of a larger packet: each may cost a reject."""

_PRECISION: Final = 64
"""The search ends when the bounds are closer than one part in so many of the lower."""


class PacketAmount:
    """
    One path's largest packet, in source units.

    @ivar limit: the most that the next packet may carry.
    @ivar raiseAt: when a larger packet is tried next; None while no limit is known.
    """

    __slots__ = ("_isSearching", "_most", "_passed", "_refused", "limit", "raiseAt")

    def __init__(self, most: int) -> None:
        """
        @param most: what the caller allows; never exceeded.
        """
        self._most = most
        self._passed = 0
        self._refused: int | None = None
        self._isSearching = False
        self.limit = most
        self.raiseAt: float | None = None

    def passed(self, amount: int) -> None:
        """A packet of this amount came through the whole path."""
        if amount <= self._passed:
            return
        self._passed = amount
        if self._refused is None:
            return
        if amount > self.limit:
            self.limit = amount
            self.raiseAt = 0.0
        if amount >= self._refused:
            self._refused = amount + 1
        if self._isSearching:
            self._search(self._refused)

    def refused(self, amount: int, data: bytes, *, now: float) -> bool:
        """
        A packet of this amount was answered F08.

        @param data: the reject's data, with amounts or without.
        @return: whether the limit is below this amount now, so that trying again makes sense.
        """
        self.raiseAt = now + RAISE_INTERVAL
        amounts = decodeAmountTooLarge(data)
        if amounts is not None and 0 < amounts.maximumAmount < amounts.receivedAmount:
            exact = max(1, amount * amounts.maximumAmount // amounts.receivedAmount)
            self.limit = min(self.limit, exact)
            self._passed = min(self._passed, self.limit)
            self._refused = self.limit + 1
            self._isSearching = False
        elif self._refused is None or amount < self._refused:
            self._refused = amount
            if self._passed >= amount:
                self._passed = 0
            self._search(amount)
        return self.limit < amount

    def _search(self, refused: int) -> None:
        """Try the middle between what passed and what did not, while they are far apart."""
        self._isSearching = refused - self._passed > max(1, self._passed // _PRECISION)
        if self._isSearching:
            self.limit = max(1, (self._passed + refused) // 2)
        else:
            self.limit = max(1, self._passed)

    def larger(self, now: float) -> int | None:
        """The amount to try now beyond the limit, None if it is not yet time."""
        if self.raiseAt is None or now < self.raiseAt or self.limit >= self._most:
            return None
        return min(self._most, max(self.limit + 1, self.limit * 5 // 4))

    def tried(self, now: float) -> None:
        """A packet beyond the limit is on its way: the next try waits."""
        self.raiseAt = now + RAISE_INTERVAL

    def pathChanged(self, now: float) -> None:
        """The path may be another: try a larger packet at once."""
        if self.raiseAt is not None:
            self.raiseAt = now
