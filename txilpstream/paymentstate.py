"""
What must be remembered of a payment so that another process can go on with it.

Before anything leaves that is not covered, money and sequences are reserved: they are written down
as if they had left. So whatever happens, at most what is written has left, and no sequence is used
twice. What was reserved and is not known to have been settled is in doubt for good.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from txilpstream.amounts import Ratio, checkAmount
from txilpstream.errors import LocalError

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    Save = Callable[["PaymentState"], Deferred[None] | None]

__all__ = ["PaymentState"]


@dataclass(slots=True)
class PaymentState:
    """
    A payment, as its owner keeps it. All source amounts are of all runs together.

    @ivar sourceAmount: what is to be sent at most.
    @ivar destinationAmount: what is to be delivered, None if the sending is fixed.
    @ivar sent: what was fulfilled, as far as is known.
    @ivar deliveredMinimum: what of it arrived at least, in the receiver's units.
    @ivar deliveredClaimed: what of it arrived as the receiver says.
    @ivar reserved: what may have left, that which was fulfilled included.
    @ivar nextSequence: the first sequence that was not reserved.
    @ivar nextStreamID: the first stream that was not used.
    @ivar highestRate: the rate is less than this, as far as is known; empty if it is not.
    """

    sourceAmount: int
    destinationAmount: int | None = None
    sent: int = 0
    deliveredMinimum: int = 0
    deliveredClaimed: int = 0
    reserved: int = 0
    nextSequence: int = 1
    nextStreamID: int = 1
    highestRate: str = ""

    @property
    def inDoubt(self) -> int:
        """What was reserved and is not known to have been settled, in source units."""
        return self.reserved - self.sent

    @property
    def rest(self) -> int:
        """What may still be offered, in source units."""
        return max(0, self.sourceAmount - self.reserved)

    def missing(self, expected: Ratio | None) -> int:
        """
        What is still to be delivered, money in doubt counted as delivered at the best rate.

        @param expected: the rate that is expected; without any rate all counts as delivered.
        """
        amount = self.destinationAmount
        if amount is None:
            return 0
        high = Ratio.fromString(self.highestRate) if self.highestRate else expected
        if self.inDoubt and high is None:
            return 0
        doubtful = high.ceil(self.inDoubt) if self.inDoubt and high is not None else 0
        return max(0, amount - self.deliveredClaimed - doubtful)

    def canGoOn(self, expected: Ratio | None) -> bool:
        """Whether anything is left to be sent."""
        isShort = self.destinationAmount is None or self.missing(expected) > 0
        return self.rest > 0 and isShort

    def toJSON(self) -> str:
        """One line of JSON; nothing in it is secret."""
        return json.dumps(asdict(self))

    @classmethod
    def fromJSON(cls, text: str) -> PaymentState:
        """
        Read what L{toJSON} wrote.

        @raise LocalError: if it is something else.
        """
        try:
            plain = json.loads(text)
        except ValueError:
            plain = None
        names = {item.name for item in fields(cls)}
        if not isinstance(plain, dict) or set(plain) != names:
            raise LocalError(
                f"the state of a payment is a JSON object of {', '.join(sorted(names))}"
            )
        for name, value in plain.items():
            if name == "highestRate":
                if not isinstance(value, str):
                    raise LocalError("highestRate must be a string")
                if value:
                    Ratio.fromString(value)
            elif value is not None or name != "destinationAmount":
                checkAmount(name, value)
        if plain["sent"] > plain["reserved"]:
            raise LocalError(f"sent is {plain['sent']}, more than the {plain['reserved']} reserved")
        return cls(**plain)
