"""
What a path did with the packets of one side.

This module counts, and decides nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

__all__ = ["Ledger"]


@dataclass(slots=True)
class Ledger:
    """
    The books of one direction. IL-DCP requests, which the path answers itself, are not in them.

    @ivar packets: Prepares that entered the path.
    @ivar delivered: Prepares that the other end's handler was given, duplicates each for itself.
    @ivar fulfilled: answers that were Fulfills with the right preimage.
    @ivar wrong: answers that were Fulfills with a wrong preimage.
    @ivar rejects: answers that were Rejects, by code.
    @ivar taken: the amounts, as the sender sent them, of packets whose Fulfill with the right
        preimage came back through all hops, counted just before the sender's Deferred fires; and
        of those whose Fulfill was lost in the hop nearest to the sender, who never hears of it.
    @ivar given: the amounts of the Prepares that the other end's handler fulfilled with the right
        preimage, in its units, counted when its reply comes; duplicates each for itself.
    """

    packets: int = 0
    delivered: int = 0
    fulfilled: int = 0
    wrong: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    taken: int = 0
    given: int = 0

    @property
    def unanswered(self) -> int:
        """Packets that are underway or have vanished."""
        return self.packets - self.fulfilled - self.wrong - self.rejects.total()
