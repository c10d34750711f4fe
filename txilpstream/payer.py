"""
The sending of one payment on one connection, from the first packet to its result.

It offers all at once and lets the session plan; what it adds is the reserve, which is written down
before anything leaves that it does not cover, and the end, which comes when nothing more can leave
and what left is settled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from txilpstream.account import Account
from txilpstream.amounts import Ratio
from txilpstream.errors import PaymentError, PaymentResult
from txilpstream.protocol import StreamProtocol
from txilpstream.session import events
from txilpstream.terms import Terms

if TYPE_CHECKING:
    from txilpstream.connection import StreamConnection
    from txilpstream.paymentstate import PaymentState, Save
    from txilpstream.stream import Stream

__all__ = ["Payer"]

_log = Logger()

SLICES: Final = 20
"""A reserve is this part of the whole: what a crash leaves in doubt is two of them at most."""

SEQUENCES: Final = 1000
"""Sequences that are reserved at once."""


class _Protocol(StreamProtocol):
    """The payment's end of its stream."""

    def __init__(self, payer: Payer) -> None:
        self._payer = payer

    def connectionMade(self) -> None:
        self.transport.setReceiveMax(0)

    def connectionLost(self, reason: Any = None) -> None:
        self._payer.lost(reason)


class Payer:
    """Sends one payment."""

    def __init__(
        self,
        terms: Terms,
        state: PaymentState,
        account: Account,
        timeout: float | None,
        progress: Callable[[PaymentResult], None] | None,
        save: Save | None,
    ) -> None:
        self._terms = terms
        self._state = state
        self._account = account
        self._timeout = timeout
        self._progress = progress
        self._save = save
        self._connection: StreamConnection | None = None
        self._stream: Stream | None = None
        self._result: Deferred[PaymentResult] = Deferred(lambda _: self._cancel())
        self._timer: Any = None
        self._failure = ""
        self._smallest: int | None = None
        self._base = (state.sent, state.deliveredMinimum, state.deliveredClaimed)
        self._baseReserved = state.reserved
        self._baseDoubt = state.inDoubt
        self._slice = 0
        self._isSaving = False

    # --- Start ----------------------------------------------------------------------------

    def start(
        self, connection: StreamConnection, expected: Ratio | None = None
    ) -> Deferred[PaymentResult]:
        """
        Pay on a connection that is open or being opened.

        @param expected: the rate that is expected.
        """
        self._connection = connection
        if self._timeout is not None:
            message = f"the payment was not over within {self._timeout} s"
            self._timer = self._account.reactor.callLater(self._timeout, self._end, message)
        opened = connection.openStream(_Factory(self))
        opened.addCallbacks(self._cbStream, self._ebStream, callbackArgs=(expected,))
        return self._result

    def _ebStream(self, failure: Failure) -> None:
        self._end(failure.getErrorMessage())

    def _cbStream(self, protocol: _Protocol, expected: Ratio | None) -> None:
        stream = self._stream = protocol.transport
        connection, terms, state = stream.connection, self._terms, self._state
        session = connection.session
        stream.watch(self._told)
        total = state.rest
        if terms.destinationAmount is not None:
            missing = state.missing(expected)
            if not missing:
                total = 0
            else:
                session.setDeliverMax(stream.streamID, missing)
                session.requireRate()
        if not total:
            reason = "nothing is left to be sent: what is in doubt may have arrived"
            self._account.reactor.callLater(0, self._end, reason)
            return
        if terms.data:
            session.sendWithMoney(stream.streamID, terms.data)
        if self._save is not None:
            state.nextStreamID = stream.streamID + 2
            session.setReserve(stream.streamID, 0)
            session.reserveSequences(session.nextSequence)
            self._slice = -(-total // SLICES)
        session.sendMoney(stream.streamID, total)
        self._keep()
        connection.wake()

    # --- Reserve --------------------------------------------------------------------------

    def _keep(self) -> None:
        """Reserve more, and write it down, if what is reserved is half used."""
        stream, save = self._stream, self._save
        if stream is None or save is None or self._isSaving or self._result.called:
            return
        session, state = stream.connection.session, self._state
        reserved = state.reserved - self._baseReserved
        money = stream.totalSent + stream.totalInDoubt
        isMoneyDue = reserved - money <= self._slice // 2 and stream.unsentMoney
        isSequenceDue = session.nextSequence + SEQUENCES // 2 >= state.nextSequence
        if not (isMoneyDue or isSequenceDue):
            return
        if isMoneyDue:
            state.reserved = min(state.sourceAmount, state.reserved + self._slice)
        if isSequenceDue:
            state.nextSequence = session.nextSequence + SEQUENCES
        self._update()
        self._isSaving = True
        try:
            done = save(state)
        except Exception:
            self._ebSaved(Failure())  # type: ignore[no-untyped-call]
            return
        if isinstance(done, Deferred):
            done.addCallbacks(self._cbSaved, self._ebSaved)
        else:
            self._cbSaved(None)

    def _cbSaved(self, _: object) -> None:
        self._isSaving = False
        stream = self._stream
        if stream is None or self._result.called:
            return
        session = stream.connection.session
        session.setReserve(stream.streamID, self._state.reserved - self._baseReserved)
        session.reserveSequences(self._state.nextSequence)
        stream.connection.wake()

    def _ebSaved(self, failure: Failure) -> None:
        self._isSaving = False
        _log.failure("the state of a payment could not be saved; it stops", failure)
        self.stop(f"its state could not be saved: {failure.getErrorMessage()}")

    def _update(self) -> None:
        """Bring the state up to what is known."""
        stream, state = self._stream, self._state
        if stream is None:
            return
        sent, minimum, claimed = self._base
        state.sent = sent + stream.totalSent
        state.deliveredMinimum = minimum + stream.totalDelivered
        state.deliveredClaimed = claimed + stream.totalDeliveredClaimed
        high = stream.connection.session.exchangeRate.high
        if high is not None:
            state.highestRate = str(high)

    # --- What happens ---------------------------------------------------------------------

    def _told(self, event: events.Event) -> None:
        if self._result.called:
            return
        if isinstance(event, events.MoneyFailed):
            self._failure = self._failure or event.reason
            self._smallest = event.smallestAmount
        elif isinstance(event, events.ReserveNeeded) and event.streamID:
            self._slice *= 2
        self._keep()
        if self._progress is not None and isinstance(event, events.MoneySettled):
            try:
                self._progress(self.result())
            except Exception:
                _log.failure("the progress callback of a payment raised")
        self._check()

    def _check(self) -> None:
        """End if nothing is on its way and nothing more can leave."""
        stream = self._stream
        if stream is None or self._result.called:
            return
        wanted = self._terms.destinationAmount
        if wanted is not None and self._base[2] + stream.totalDeliveredClaimed >= wanted:
            stream.connection.session.withdrawMoney(stream.streamID, stream.unsentMoney)
        if not stream.moneyInFlight and not stream.unsentMoney:
            self._end(self._failure)

    def lost(self, reason: Failure) -> None:
        """The stream is over."""
        error = reason.value
        message = getattr(error, "message", "") or reason.getErrorMessage()
        self._end(self._failure or message)

    def stop(self, reason: str) -> None:
        """Let nothing more leave."""
        stream = self._stream
        self._failure = self._failure or reason
        if stream is None:
            self._end(reason)
            return
        stream.connection.session.withdrawMoney(stream.streamID, stream.unsentMoney)
        self._account.reactor.callLater(0, self._check)

    def _cancel(self) -> None:
        self.stop("the payment was cancelled")
        self._end("the payment was cancelled")

    # --- End ------------------------------------------------------------------------------

    def result(self) -> PaymentResult:
        """What became of the payment so far."""
        stream, terms = self._stream, self._terms
        sent, minimum, claimed = self._base
        inDoubt, receipt = self._baseDoubt, b""
        if stream is not None:
            sent += stream.totalSent
            minimum += stream.totalDelivered
            claimed += stream.totalDeliveredClaimed
            inDoubt += stream.totalInDoubt
            receipt = stream.receipt
        return PaymentResult(
            terms.most,
            sent,
            minimum,
            claimed,
            inDoubt,
            () if self._connection is None else self._connection.session.rejects,
            terms.destinationAmount,
            receipt,
        )

    def _end(self, reason: str) -> None:
        if self._result.called:
            return
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        result = self.result()
        stream = self._stream
        if stream is not None:
            self._forget(stream)
        self._writeEnd(result)
        if result.isComplete:
            self._result.callback(result)
            return
        if not reason:
            reason = f"{result.inDoubt} units were not answered and may be gone"
        self._result.errback(PaymentError(reason, result, smallestAmount=self._smallest))

    def _forget(self, stream: Stream) -> None:
        """Take back what has not left, and close the stream."""
        stream.connection.session.withdrawMoney(stream.streamID, stream.unsentMoney)
        stream.loseConnection()

    def _writeEnd(self, result: PaymentResult) -> None:
        """Write down how it ended; what is on its way stays reserved."""
        state, save = self._state, self._save
        self._update()
        state.reserved = result.sent + result.inDoubt
        if save is not None and self._stream is not None:
            try:
                done = save(state)
            except Exception:
                _log.failure("the end of a payment could not be saved")
                return
            if isinstance(done, Deferred):
                done.addErrback(lambda failure: _log.failure("the end was not saved", failure))


class _Factory(Factory):
    """Makes the one protocol of a payment."""

    noisy = False

    def __init__(self, payer: Payer) -> None:
        self._payer = payer

    def buildProtocol(self, addr: Any) -> _Protocol:
        return _Protocol(self._payer)
