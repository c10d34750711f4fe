"""
Money that a store counts, or is about to, for packets that may still be refused.

A store that answers late has counted a packet before anybody knows whether it is fulfilled; if it
is not, that is taken back. Until then nobody may be given proof of it, so what others have received
is the store's total without what is undecided. This module knows the packets of one process; those
of other processes that share the store are as undecided as their stores are slow.
"""

from __future__ import annotations

__all__ = ["Undecided", "UndecidedCredit"]


class UndecidedCredit:
    """
    What one packet brings to one stream.

    @ivar amount: in the receiver's units.
    """

    __slots__ = ("_highest", "_others", "_revoked", "amount")

    def __init__(self, amount: int, others: list[UndecidedCredit]) -> None:
        self.amount = amount
        self._highest = 0
        self._revoked = 0
        self._others = others

    def counted(self, total: int) -> None:
        """The store has counted it, and gives this total."""
        for each in self._others:
            each._highest = max(each._highest, total - self._revoked)

    def proved(self) -> int:
        """What the stream has received with this packet, and without what is undecided besides."""
        others = sum(each.amount for each in self._others if each is not self)
        return max(self.amount, self._highest - others)

    def revoked(self) -> None:
        """It was taken back."""
        for each in self._others:
            each._highest = max(0, each._highest - self.amount)
            each._revoked += self.amount


class Undecided:
    """All undecided credits of a receiver, by connection and stream."""

    def __init__(self) -> None:
        self._credits: dict[tuple[str, int], list[UndecidedCredit]] = {}

    def begin(self, connectionID: str, streamID: int, amount: int) -> UndecidedCredit:
        """A store is asked to count money."""
        others = self._credits.setdefault((connectionID, streamID), [])
        credit = UndecidedCredit(amount, others)
        others.append(credit)
        return credit

    def end(self, connectionID: str, streamID: int, credit: UndecidedCredit) -> None:
        """It is fulfilled, or refused and taken back."""
        others = self._credits[connectionID, streamID]
        others.remove(credit)
        if not others:
            del self._credits[connectionID, streamID]
