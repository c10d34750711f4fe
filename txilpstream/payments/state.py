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
from typing import TYPE_CHECKING, Final

from txilpstream.amounts import Ratio, checkAmount
from txilpstream.errors import LocalError

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from txilpstream.errors import PaymentResult
    from txilpstream.session.session import Session
    from txilpstream.transport.stream import Stream

__all__ = ["PaymentState"]
if TYPE_CHECKING:
    Save = Callable[["PaymentState"], Deferred[None] | None]

SPARE: Final = 100
"""Sequences that the end of a connection may still use."""


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

    def end(self, result: PaymentResult, session: Session | None, stream: Stream | None) -> None:
        """A run is over: remember what it came to, and what it has used."""
        self.sent, self.reserved = result.sent, result.sent + result.inDoubt
        self.deliveredMinimum = result.deliveredMinimum
        self.deliveredClaimed = result.deliveredClaimed
        if session is not None:
            self.nextSequence = max(self.nextSequence, session.nextSequence + SPARE)
            if session.exchangeRate.high is not None:
                self.highestRate = str(session.exchangeRate.high)
        if stream is not None:
            self.nextStreamID = stream.streamID + 2

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
        except (ValueError, RecursionError):
            plain = None
        names = {item.name for item in fields(cls)}
        if not isinstance(plain, dict) or set(plain) != names:
            raise LocalError(
                f"the state of a payment is a JSON object of {', '.join(sorted(names))}"
            )
        state = cls(**plain)
        state.check()
        return state

    def check(self) -> None:
        """
        @raise LocalError: if it cannot be the state of a payment.
        """
        for item in fields(self):
            name, value = item.name, getattr(self, item.name)
            if name == "highestRate":
                if not isinstance(value, str):
                    raise LocalError("highestRate must be a string")
                if value:
                    Ratio.fromString(value)
            elif name.startswith("next"):
                checkAmount(name, value, minimum=1, maximum=1 << 53)
            elif value is not None or name != "destinationAmount":
                checkAmount(name, value)
        if not self.nextStreamID % 2:
            raise LocalError(f"nextStreamID is {self.nextStreamID}: a payer's streams are odd")
        if self.sent > self.reserved:
            raise LocalError(f"sent is {self.sent}, more than the {self.reserved} reserved")
