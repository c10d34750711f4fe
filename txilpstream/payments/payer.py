"""
The sending of one payment on one connection, from the first packet to its result.

It offers all at once and lets the session plan. What it adds is the end, which comes when nothing
more can leave and what left is settled, or when nothing is fulfilled for too long.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from txilpstream.amounts import Ratio
from txilpstream.errors import LocalError
from txilpstream.interfaces import PaymentError, PaymentResult
from txilpstream.payments.state import Reserve, remember
from txilpstream.payments.terms import Terms
from txilpstream.session import events
from txilpstream.transport.account import Account
from txilpstream.transport.protocol import StreamProtocol
from txilpstream.transport.stream import wake, watch
from txilpstream.waiters import Waiters

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from txilpstream.payments.state import PaymentState, Save
    from txilpstream.transport.connection import StreamConnection
    from txilpstream.transport.stream import Stream

__all__ = ["LAST_ANSWERS", "Payer"]

LAST_ANSWERS: Final = 2.0
"""Seconds that answers are waited for when the stream or the time is over with money on its way."""

_log = Logger()


class Payer:
    """Sends one payment, and tells how it ended."""

    def __init__(
        self,
        terms: Terms,
        state: PaymentState,
        account: Account,
        timeout: float | None,
        progress: Callable[[PaymentResult], None] | None,
        save: Save | None,
        deadline: float,
        close: Callable[[], Deferred[None] | None],
    ) -> None:
        """
        @param timeout: seconds from L{limit} on, None for no limit.
        @param deadline: seconds without any money fulfilled after which it ends.
        @param close: is called when it is over; what it gives is waited for before that is told.
        """
        self._deadline = deadline
        self._waitsUntil = 0.0
        self._terms = terms
        self._state = state
        self._account = account
        self._timeout = timeout
        self._progress = progress
        self._save = save
        self._close = close
        self._connection: StreamConnection | None = None
        self._stream: Stream | None = None
        self._outcome: PaymentResult | PaymentError | Failure | None = None
        self._waiting: Deferred[PaymentResult] | None = None
        self._stopping: Waiters[None] = Waiters()
        self._isTold = self._isCancelled = self._isEnding = False
        self._calls: dict[str, IDelayedCall] = {}
        self._failure = ""
        self._smallest: int | None = None
        self._base = (state.sent, state.deliveredMinimum, state.deliveredClaimed)
        self._baseDoubt = state.inDoubt
        self._reserve: Reserve | None = None

    # --- Start ----------------------------------------------------------------------------

    def start(self, connection: StreamConnection, expected: Ratio | None = None) -> None:
        """
        Pay on a connection that is open or being opened.

        @param expected: the rate that is expected.
        """
        self._connection = connection
        if not self.isOver:
            opened = connection.openStream(_Factory(self))
            opened.addCallback(self._cbStream, expected).addErrback(self._ebStream)

    def _ebStream(self, failure: Failure) -> None:
        self.end(failure.getErrorMessage())

    def _cbStream(self, protocol: _Protocol, expected: Ratio | None) -> None:
        stream = self._stream = protocol.transport
        connection, terms, state = stream.connection, self._terms, self._state
        session = connection.session
        watch(stream, self._told)
        total = state.rest
        if terms.destinationAmount is not None:
            session.setDeliverMax(stream.streamID, state.missing(expected))
            session.requireRate()
        if terms.data:
            session.sendWithMoney(stream.streamID, terms.data)
        if self._save is not None:
            self._reserve = Reserve(state, stream, total, self._save, self.stop)
        session.sendMoney(stream.streamID, total)
        if self._reserve is not None:
            self._reserve.keep()
        self._waitsUntil = self._account.reactor.seconds() + self._deadline
        self._later("deadline", self._deadline, self._look)
        wake(connection)

    def limit(self) -> None:
        """The time that the payment may take begins."""
        if self._timeout is not None:
            message = f"the payment was not over within {self._timeout:.3g} s"
            self._later("timeout", self._timeout, self._outOfTime, message)

    def _outOfTime(self, message: str) -> None:
        """Let nothing more leave, and wait a moment for what is on its way."""
        self._later("answers", LAST_ANSWERS, self.end, message)
        self.stop(message)

    def _later(self, name: str, seconds: float, function: Callable[..., Any], *with_: Any) -> None:
        """Call something later, unless the payment is over by then, or it will be called anyway."""
        before = self._calls.get(name)
        if not self.isOver and not (before and before.active()):
            self._calls[name] = self._account.reactor.callLater(seconds, function, *with_)

    def failed(self, failure: Failure) -> None:
        """It could not even begin."""
        reason = getattr(failure.value, "message", "") or failure.getErrorMessage()
        self.end(reason, failure)

    def _look(self) -> None:
        """End if no money was fulfilled for too long: the peer may take no more of it."""
        left = self._waitsUntil - self._account.reactor.seconds()
        if left > 0:
            self._later("deadline", left, self._look)
        else:
            self.end(f"no money was fulfilled for {self._deadline} s")

    # --- What happens ---------------------------------------------------------------------

    def _told(self, event: events.Event) -> None:
        if self.isOver:
            return
        if isinstance(event, events.MoneyFailed):
            self._failure = self._failure or event.reason
            self._smallest = event.smallestAmount
        elif isinstance(event, events.ReserveNeeded) and event.streamID and self._reserve:
            self._reserve.grow()
        elif isinstance(event, events.DoubtResolved) and not event.isSent:
            self._offerAgain(event.sourceAmount)
        elif isinstance(event, events.MoneySettled) and not event.isInDoubt:
            self._waitsUntil = self._account.reactor.seconds() + self._deadline
        if self._reserve is not None:
            self._reserve.keep()
        if self._progress is not None and isinstance(event, events.MoneySettled):
            try:
                self._progress(self.result())
            except Exception:
                _log.failure("the progress callback of a payment raised")
        self._check()

    def _offerAgain(self, sourceAmount: int) -> None:
        """What was in doubt came back."""
        stream = self._stream
        if stream is not None and not self._failure:
            try:
                stream.connection.session.sendMoney(stream.streamID, sourceAmount)
            except LocalError:
                self._failure = "money came back after the stream was closed"

    def _check(self) -> None:
        """End if nothing is on its way and nothing more can leave."""
        stream = self._stream
        if stream is None or self.isOver:
            return
        wanted = self._terms.destinationAmount
        if wanted is not None and self._base[2] + stream.totalDeliveredClaimed >= wanted:
            stream.connection.session.withdrawMoney(stream.streamID, stream.unsentMoney)
        if not stream.moneyInFlight and not stream.unsentMoney:
            self.end(self._failure)

    def lost(self, reason: Failure) -> None:
        """The stream is over; the answers to what is on its way come all the same."""
        message = getattr(reason.value, "message", "") or reason.getErrorMessage()
        self._failure = self._failure or message
        self._later("answers", LAST_ANSWERS, self.end, self._failure)
        self._poll()

    def _poll(self) -> None:
        """Look whether what was on its way when the stream ended is answered."""
        if self._stream is not None and self._stream.moneyInFlight:
            self._later("poll", 0.05, self._poll)
        else:
            self.end(self._failure)

    def stop(self, reason: str) -> None:
        """Let nothing more leave."""
        stream = self._stream
        self._failure = self._failure or reason
        if stream is None:
            self.end(reason)
            return
        session = stream.connection.session
        session.withdrawMoney(stream.streamID, stream.unsentMoney)
        session.stopMoney(stream.streamID)
        self._later("check", 0, self._check)

    # --- End ------------------------------------------------------------------------------

    @property
    def isOver(self) -> bool:
        """Whether its fate is known."""
        return self._outcome is not None

    def whenOver(self) -> Deferred[PaymentResult]:
        """
        Wait for its fate; to be called once.

        @return: who cancels it ends the payment at once.
        """
        waiting = self._waiting = Deferred(self._cancelled)
        if self._isTold:
            self._tell()
        return waiting

    def whenStopped(self) -> Deferred[None]:
        """Fires when its fate is told."""
        if self._isTold:
            return succeed(None)
        return self._stopping.add()

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

    def end(self, reason: str, failure: Failure | None = None) -> None:
        """
        It is over, whatever is on its way; only the first time counts.

        @param reason: why, where it is not complete.
        @param failure: what it comes from; a L{LocalError} is told as it is.
        """
        if self.isOver or self._isEnding:
            return
        self._isEnding = True
        for call in self._calls.values():
            if call.active():
                call.cancel()
        result = self.result()
        stream = self._stream
        if stream is not None:
            self._forget(stream)
        session = None if self._connection is None else self._connection.session
        remember(self._state, result, session, stream)
        if self._reserve is not None:
            self._reserve.end(result)
        if failure is not None and failure.check(LocalError):  # type: ignore[no-untyped-call]
            self._settle(failure)
        elif result.isComplete:
            self._settle(result)
        else:
            if not reason:
                reason = f"{result.inDoubt} units were not answered and may be gone"
            if session is not None and session.refusal and session.refusal not in reason:
                reason = f"{reason}; the receiver says: {session.refusal}"
            error = PaymentError(reason, result, smallestAmount=self._smallest)
            error.__cause__ = None if failure is None else failure.value
            self._settle(error)

    def _settle(self, outcome: PaymentResult | PaymentError | Failure) -> None:
        self._outcome = outcome
        closed = self._close()
        if closed is None or self._isCancelled:
            self._tell()
        else:
            closed.addBoth(self._tell)

    def _tell(self, _: object = None) -> None:
        """Tell the outcome to who waits for it, once."""
        self._isTold = True
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            outcome = self._outcome
            if isinstance(outcome, PaymentResult):
                waiting.callback(outcome)
            else:
                waiting.errback(outcome)
        self._stopping.fire(None)

    def _cancelled(self, _: object) -> None:
        self._isCancelled = True
        self.stop("the payment was cancelled")
        self.end("the payment was cancelled")
        if self._outcome is not None:
            self._tell()
        else:  # its end is just being written down, and knows no Deferred any more
            self._waiting = None

    def _forget(self, stream: Stream) -> None:
        """
        Take back what has not left, and close the stream, at once if data waits to go with money
        that will never leave.
        """
        session = stream.connection.session
        session.withdrawMoney(stream.streamID, stream.unsentMoney)
        session.stopMoney(stream.streamID)
        if self._terms.data and not stream.totalSent and not stream.moneyInFlight:
            stream.abortConnection()
        else:
            stream.loseConnection()


class _Protocol(StreamProtocol):
    """The payment's end of its stream."""

    def __init__(self, payer: Payer) -> None:
        self._payer = payer

    def connectionMade(self) -> None:
        self.transport.setReceiveMax(0)

    def connectionLost(self, reason: Any = None) -> None:
        self._payer.lost(reason)


class _Factory(Factory):
    """Makes the one protocol of a payment."""

    noisy = False

    def __init__(self, payer: Payer) -> None:
        self._payer = payer

    def buildProtocol(self, addr: Any) -> _Protocol:
        return _Protocol(self._payer)
