"""
The largest packet that the path takes, learned from F08.

With amounts in the reject, the limit is computed; without, it is searched between the largest
amount that passed and the smallest that did not. A round trip is long and packets are cheap, so
those that leave meanwhile ask for different amounts: first each half as large as the one before,
until one passes, then some at equal distances. Every F08 lowers the limit. It is raised again by
trying: a path may have become wider. What was rejected: taking the received amount for the limit as
it stands (it is in the rejecting node's units), believing an F08 that would raise it, and a search
by one packet per round trip, which took twenty of them.
"""

from __future__ import annotations

from typing import Final

from txilpstream.wire.ilp import decodeAmountTooLarge

__all__ = ["MaxPacket"]

RAISE_INTERVAL: Final = 30.0
"""Seconds between two tries of a larger packet: each may cost a reject."""

_PRECISION: Final = 64
"""The search ends when the bounds are closer than one part in so many of the lower."""

_EIGHTHS: Final = (4, 2, 6, 1, 3, 5, 7)
"""Where between the bounds packets are tried at the same time, in eighths of the distance."""


class MaxPacket:
    """
    One path's largest packet, in source units.

    @ivar limit: the most that the next packet may carry.
    @ivar raiseAt: when a larger packet is tried next; None while no limit is known.
    @ivar isSearching: whether L{sent} and L{untried} want to be told.
    """

    __slots__ = ("_most", "_passed", "_refused", "_trying", "isSearching", "limit", "raiseAt")

    def __init__(self, most: int) -> None:
        """
        @param most: what the caller allows; never exceeded.
        """
        self._most = most
        self._passed = 0
        self._refused: int | None = None
        self._trying: set[int] = set()
        self.isSearching = False
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
        if self.isSearching:
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
            if self.isSearching:
                self.isSearching = False
                self._trying.clear()
                exact = min(exact, max(1, (self._refused or amount) - 1))
                self.limit = self._most
            self.limit = min(self.limit, exact)
            self._passed = min(self._passed, self.limit)
            self._refused = self.limit + 1
        elif self._refused is None or amount < self._refused:
            self._refused = amount
            if self._passed >= amount:
                self._passed = 0
            self._search(amount)
        return self.limit < amount

    def _search(self, refused: int) -> None:
        """Find what to try next between what passed and what did not, while they are far apart."""
        passed = self._passed
        self.isSearching = refused - passed > max(1, passed // _PRECISION)
        if not self.isSearching:
            self._trying.clear()
            self.limit = max(1, passed)
            return
        trying = self._trying = {amount for amount in self._trying if passed < amount < refused}
        if passed:
            distance = refused - passed
            tries = (passed + max(1, distance * part // 8) for part in _EIGHTHS)
            self.limit = next((amount for amount in tries if amount not in trying), passed)
        else:
            self.limit = max(1, min(trying, default=refused) // 2)

    def sent(self, amount: int) -> None:
        """A packet leaves during a search: the next one tries another amount."""
        if self._refused is not None and self._passed < amount < self._refused:
            self._trying.add(amount)
            self._search(self._refused)

    def untried(self, amount: int) -> None:
        """A packet's answer says nothing of its amount: it may be tried again."""
        if self._refused is not None and amount in self._trying:
            self._trying.discard(amount)
            self._search(self._refused)

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
        if self._refused is not None and self._trying:  # no answer may come to any of them
            self._trying.clear()
            self._search(self._refused)
