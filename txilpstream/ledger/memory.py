"""
Totals of what a receiver without state has been paid, in the memory of one process.

L{ITotals} is for stores that several processes share; this one is for tests, and for a receiver
that is one process and may forget everything at its end. A total must never fall but by C{revoke}:
receipts are signed over it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from zope.interface import implementer

from txilpstream.amounts import U64_MAX, checkAmount
from txilpstream.errors import LocalError
from txilpstream.interfaces import ITotals

__all__ = ["MemoryTotals"]

MAXIMUM_STREAMS: Final = 100_000
"""Totals, some 300 bytes each."""

PACKETS_REMEMBERED: Final = 100_000
"""Packets, some 500 bytes each, of which a copy is known for one: many more than can be on their
way at a time."""


@implementer(ITotals)
class MemoryTotals:
    """
    Totals in memory, bounded in number.

    A total is never forgotten by itself, as receipts would go backwards: when there is no room, a
    new stream is not credited. Of packets the oldest are forgotten, and a copy that comes later
    still is credited anew: its path has paid for it.
    """

    def __init__(
        self, *, maximumStreams: int = MAXIMUM_STREAMS, packetsRemembered: int = PACKETS_REMEMBERED
    ) -> None:
        """
        @param maximumStreams: of how many streams there are totals, those of all connections
            counted together.
        @param packetsRemembered: of how many packets a copy is known for one.
        @raise LocalError: if one is not a whole number of at least 1.
        """
        self._maximumStreams = checkAmount("maximumStreams", maximumStreams, minimum=1)
        self._remembered = checkAmount("packetsRemembered", packetsRemembered, minimum=1)
        self._totals: dict[str, dict[int, int]] = {}
        self._streams = 0
        # How much each packet brought to a stream, and how many of its copies were credited.
        self._packets: OrderedDict[tuple[str, int, bytes], tuple[int, int]] = OrderedDict()

    def total(self, connectionID: str, streamID: int = 1) -> int:
        """All that a stream has received so far, in the receiver's units."""
        return self._totals.get(connectionID, {}).get(streamID, 0)

    def credit(self, connectionID: str, streamID: int, amount: int, packetID: bytes) -> int:
        """
        See L{ITotals}.

        @raise LocalError: if the amount is none, the total would not fit in 64 bits, or there is
            no room for one more stream.
        """
        checkAmount("the amount", amount)
        key = connectionID, streamID, packetID
        total = self.total(connectionID, streamID)
        brought, copies = self._packets.get(key, (amount, 0))
        if not copies or streamID not in self._totals.get(connectionID, ()):
            if total + amount > U64_MAX:
                raise LocalError(f"{amount} on top of {total} does not fit in 64 bits")
            total = self._add(connectionID, streamID, total + amount)
            brought, copies = amount, 0
        self._packets[key] = brought, copies + 1
        if len(self._packets) > self._remembered:
            self._packets.popitem(last=False)
        return total

    def _add(self, connectionID: str, streamID: int, total: int) -> int:
        if streamID not in self._totals.get(connectionID, ()):
            if self._streams >= self._maximumStreams:
                raise LocalError(
                    f"there are {self._streams} totals, as many as there may be: forget the "
                    "connections that are over, or have more with maximumStreams"
                )
            self._streams += 1
        self._totals.setdefault(connectionID, {})[streamID] = total
        return total

    def revoke(self, connectionID: str, streamID: int, packetID: bytes) -> None:
        """See L{ITotals}; what is not known of is not taken back."""
        key = connectionID, streamID, packetID
        amount, copies = self._packets.pop(key, (0, 0))
        if copies > 1:
            self._packets[key] = amount, copies - 1
        elif streamID in self._totals.get(connectionID, ()):
            self._totals[connectionID][streamID] -= amount

    def forget(self, connectionID: str) -> None:
        """Forget a connection that is over, and make room; what still comes counts from 0."""
        self._streams -= len(self._totals.pop(connectionID, ()))
