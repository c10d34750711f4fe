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

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txilpstream.amounts import Ratio, checkAmount
from txilpstream.errors import LocalError
from txilpstream.interfaces import PaymentResult
from txilpstream.transport.stream import wake

if TYPE_CHECKING:
    from txilpstream.session.session import Session
    from txilpstream.transport.stream import Stream

    Save = Callable[["PaymentState"], Deferred[None] | None]

__all__ = ["PaymentState", "Reserve", "remember"]

_log = Logger()

SLICES: Final = 20
"""A slice is this part of the whole: a crash leaves two of them in doubt at most."""

SEQUENCES: Final = 1000
"""Sequences that are reserved at once."""

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

    def toJSON(self) -> str:
        """One line of JSON; nothing in it is secret."""
        return json.dumps(asdict(self))

    @classmethod
    def fromJSON(cls, source: str | bytes) -> PaymentState:
        """
        Read what L{toJSON} wrote.

        @raise LocalError: if it is something else.
        """
        try:
            plain = json.loads(source)
        except (TypeError, ValueError, RecursionError):
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


class Reserve:
    """Keeps the state of one payment ahead of what leaves."""

    def __init__(
        self,
        state: PaymentState,
        stream: Stream,
        total: int,
        save: Save,
        stop: Callable[[str], None],
    ) -> None:
        """
        @param total: what is to be offered, in source units.
        @param stop: is called with a reason if the state cannot be saved.
        """
        self._state = state
        self._stream = stream
        self._save = save
        self._stop = stop
        self._base = state.sent, state.deliveredMinimum, state.deliveredClaimed
        self._reserved = state.reserved
        self._slice = -(-total // SLICES)
        self._isSaving = False
        self._isOver = False
        session = stream.connection.session
        session.setReserve(stream.streamID, 0)
        session.reserveSequences(session.nextSequence)
        state.nextStreamID = stream.streamID + 2

    def grow(self) -> None:
        """A slice is too small to be of use."""
        if self._slice < self._stream.connection.session.exchangeRate.smallest:
            self._slice *= 2

    def keep(self) -> None:
        """Reserve more, and write it down, if what is reserved is half used."""
        if self._isSaving or self._isOver:
            return
        stream, state = self._stream, self._state
        session = stream.connection.session
        left = stream.totalSent + stream.totalInDoubt
        rest = state.reserved - self._reserved - left
        isMoneyDue = rest <= self._slice // 2 and stream.unsentMoney > rest
        isSequenceDue = session.nextSequence + SEQUENCES // 2 >= state.nextSequence
        if not (isMoneyDue or isSequenceDue):
            return
        if isMoneyDue:
            state.reserved = min(state.sourceAmount, state.reserved + self._slice)
        if isSequenceDue:
            state.nextSequence = session.nextSequence + SEQUENCES
        self._isSaving = True
        self._write(self._cbSaved, self._ebSaved)

    def _write(self, saved: Callable[[object], None], failed: Callable[[Failure], None]) -> None:
        stream, state = self._stream, self._state
        sent, minimum, claimed = self._base
        state.sent = sent + stream.totalSent
        state.deliveredMinimum = minimum + stream.totalDelivered
        state.deliveredClaimed = claimed + stream.totalDeliveredClaimed
        high = stream.connection.session.exchangeRate.high
        if high is not None:
            state.highestRate = str(high)
        try:
            done: object = self._save(state)
        except Exception:
            failed(Failure())  # type: ignore[no-untyped-call]
            return
        if isinstance(done, Deferred):
            done.addCallbacks(saved, failed)
        elif done is None:
            saved(None)
        else:
            kind = type(done).__name__
            failed(Failure(LocalError(f"save gave a {kind}, not None or a Deferred")))  # type: ignore[no-untyped-call]

    def _cbSaved(self, _: object) -> None:
        self._isSaving = False
        if self._isOver:
            return
        stream, state = self._stream, self._state
        session = stream.connection.session
        session.setReserve(stream.streamID, state.reserved - self._reserved)
        session.reserveSequences(state.nextSequence)
        wake(stream.connection)

    def _ebSaved(self, failure: Failure) -> None:
        self._isSaving = False
        _log.failure("the state of a payment could not be saved; it stops", failure)
        if not self._isOver:
            self._stop(f"its state could not be saved: {failure.getErrorMessage()}")

    def end(self, result: PaymentResult) -> None:
        """Write down how it ended; what is on its way stays reserved."""
        self._isOver = True
        self._state.reserved = result.sent + result.inDoubt
        self._write(lambda _: None, self._ebSaved)


def remember(
    state: PaymentState, result: PaymentResult, session: Session | None, stream: Stream | None
) -> None:
    """
    Write into the state what a run came to, and what it has used.

    @param session: of the run's connection, None if it had none.
    @param stream: the run's, None if it had none.
    """
    state.sent, state.reserved = result.sent, result.sent + result.inDoubt
    state.deliveredMinimum = result.deliveredMinimum
    state.deliveredClaimed = result.deliveredClaimed
    if session is not None:
        state.nextSequence = max(state.nextSequence, session.nextSequence + SPARE)
        if session.exchangeRate.high is not None:
            state.highestRate = str(session.exchangeRate.high)
    if stream is not None:
        state.nextStreamID = stream.streamID + 2
