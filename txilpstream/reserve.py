"""
The reserve of a payment: what is written down before anything leaves that it does not cover.

Money and sequences are reserved in slices; the next slice is written down when half of the last is
used, so that a payment hardly ever waits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txilpstream.errors import LocalError, PaymentResult

if TYPE_CHECKING:
    from txilpstream.payments.state import PaymentState, Save
    from txilpstream.transport.stream import Stream

__all__ = ["Reserve"]

_log = Logger()

SLICES: Final = 20
"""A slice is this part of the whole: a crash leaves two of them in doubt at most."""

SEQUENCES: Final = 1000
"""Sequences that are reserved at once."""


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
        stream.connection.wake()

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
