"""
The transport that a protocol is given: one stream of a connection.

Nothing that the application calls here calls the application back before it returns: what happens
is told in the connection's next turn.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from twisted.internet import error
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IProtocol,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txilpstream.amounts import U64_MAX, checkAmount
from txilpstream.errors import ConnectionEnded, ErrorCode, LocalError, PaymentResult, StreamError
from txilpstream.interfaces import IMoneyReceiver, IMoneyTransport
from txilpstream.offers import Offer, Offers, fire
from txilpstream.protocol import StreamAddress
from txilpstream.session.sender import LOW_WATER

if TYPE_CHECKING:
    from txilpstream.connection import StreamConnection
    from txilpstream.session.events import MoneyFailed, MoneySettled

__all__ = ["Stream"]

_log = Logger()

READ_SIZE: Final = 1 << 16
"""Bytes that a protocol gets at once, so that it can pause in good time."""

PULLS: Final = 8
"""How often a pull producer is asked in one turn."""


@implementer(IMoneyTransport)
class Stream:
    """
    One stream as its protocol sees it.

    @ivar streamID: its number.
    @ivar connection: the connection that it belongs to.
    @ivar protocol: what it was given to.
    @ivar disconnecting: whether it is to be closed when all is sent.
    """

    __slots__ = (
        "__weakref__",
        "_hasLimit",
        "_isEnded",
        "_isOver",
        "_isPaused",
        "_isPulling",
        "_offers",
        "_producer",
        "_producerIsPaused",
        "_totals",
        "connection",
        "disconnecting",
        "protocol",
        "streamID",
    )

    def __init__(self, connection: StreamConnection, streamID: int) -> None:
        self.connection = connection
        self.streamID = streamID
        self.protocol: Any = None
        self.disconnecting = False
        self._isPaused = False
        self._isEnded = False
        self._isOver = False
        self._hasLimit = False
        self._producer: Any = None
        self._isPulling = False
        self._producerIsPaused = False
        self._offers: Offers | None = None
        self._totals = connection.session.stream(streamID)

    def start(self, protocol: IProtocol) -> None:
        """Give the stream to a protocol and tell the peer what it takes."""
        self.protocol = protocol
        protocol.makeConnection(self)
        if not self._hasLimit:
            unlimited = U64_MAX if IMoneyReceiver.providedBy(protocol) else None
            self.connection.session.startStream(self.streamID, unlimited)
        else:
            self.connection.session.startStream(self.streamID, None)

    # --- Totals ---------------------------------------------------------------------------

    @property
    def totalSent(self) -> int:
        """What left for good, in source units."""
        return self._totals.moneyOut.sent

    @property
    def totalDelivered(self) -> int:
        """What arrived at the peer at least, in its units."""
        return self._totals.moneyOut.deliveredMinimum

    @property
    def totalDeliveredClaimed(self) -> int:
        """What arrived as the peer says, in its units."""
        return self._totals.moneyOut.deliveredClaimed

    @property
    def totalReceived(self) -> int:
        """What was credited, in this side's units."""
        return self._totals.moneyIn.totalReceived

    @property
    def totalInDoubt(self) -> int:
        """What left and has no answer, in source units; it may have been taken."""
        return self._totals.moneyOut.held + self._totals.moneyOut.unanswered

    # --- ITransport -----------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send bytes; after the stream is closed they are dropped, as with any transport."""
        if not isinstance(data, bytes):
            raise TypeError(f"data must be bytes, not {type(data).__name__}")
        if self._isOver or self._totals.state or not data:
            return
        self.connection.session.sendData(self.streamID, data)
        isPushing = self._producer is not None and not self._isPulling
        if isPushing and not self._producerIsPaused and self._totals.queue.unsent >= LOW_WATER:
            self._producerIsPaused = True
            self._producer.pauseProducing()
        self.connection.wake()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send many pieces of bytes."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Close the stream when all that was written and offered is delivered."""
        self.disconnecting = True
        if self._producer is None:
            self.loseWriteConnection()
        self._readIsOver()

    def loseWriteConnection(self) -> None:
        """Close the sending half when all that was written and offered is delivered."""
        if not self._isOver:
            self.connection.session.closeStream(self.streamID)
            self.connection.wake()

    def abortConnection(self) -> None:
        """Close the stream at once; what was not sent never will be."""
        self._abort(ConnectionEnded("the stream was aborted by this side"))

    def _abort(self, reason: StreamError) -> None:
        if not self._isOver:
            self.connection.session.abortStream(
                self.streamID, reason, ErrorCode.APPLICATION_ERROR, "aborted"
            )
            self.connection.wake()

    def getPeer(self) -> StreamAddress:
        """The other end."""
        connection = self.connection
        return StreamAddress(
            connection.session.peerAddress, self.streamID, connection.connectionTag
        )

    def getHost(self) -> StreamAddress:
        """This end."""
        return StreamAddress(
            self.connection.sourceAddress, self.streamID, self.connection.connectionTag
        )

    # --- IConsumer and IPushProducer ------------------------------------------------------

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        Let a producer write as fast as the peer takes it.

        @raise RuntimeError: if there is one already.
        """
        if self._producer is not None:
            raise RuntimeError("a producer is registered already: unregister that one first")
        if self._isOver:
            producer.stopProducing()
            return
        self._producer = producer
        self._isPulling = not streaming
        self._producerIsPaused = False
        if self._isPulling:
            self.connection.pulling[self.streamID] = self
            self.connection.wake()

    def unregisterProducer(self) -> None:
        """The producer writes no more."""
        self._producer = None
        self.connection.pulling.pop(self.streamID, None)
        if self.disconnecting:
            self.loseWriteConnection()

    def pull(self) -> None:
        """Ask a pull producer for more while little waits to leave."""
        for _ in range(PULLS):
            if self._producer is None or self._totals.queue.unsent >= LOW_WATER:
                return
            self._producer.resumeProducing()

    def drained(self) -> None:
        """Little waits to leave: the producer may go on."""
        if self._producer is not None and self._producerIsPaused:
            self._producerIsPaused = False
            self._producer.resumeProducing()

    def pauseProducing(self) -> None:
        """Deliver no more bytes; the peer is stopped by its window."""
        self._isPaused = True

    def resumeProducing(self) -> None:
        """Deliver bytes again."""
        if self._isPaused:
            self._isPaused = False
            self.connection.reading[self.streamID] = self
            self.connection.wake()

    def stopProducing(self) -> None:
        """Close the stream."""
        self.loseConnection()

    def _readIsOver(self) -> None:
        """Nobody reads any more: what comes is dropped."""
        self._isPaused = False
        self.connection.reading[self.streamID] = self
        self.connection.wake()

    # --- IMoneyTransport ------------------------------------------------------------------

    def _offer(self, sourceAmount: int, deferred: Deferred[PaymentResult] | None) -> Offer:
        if self._offers is None:
            self._offers = Offers()
        return self._offers.add(sourceAmount, deferred)

    def sendMoney(self, sourceAmount: int) -> Deferred[PaymentResult]:
        """
        Offer money to the peer, beyond what was offered before.

        @return: fires when its fate is known; fails with PaymentError.
        @raise LocalError: if it is not an amount of at least 1, or the stream is closed.
        """
        if self._isOver:
            raise LocalError(f"stream {self.streamID} is closed: open another one")
        self.connection.session.sendMoney(self.streamID, sourceAmount)
        deferred: Deferred[PaymentResult] = Deferred(lambda _: self._cancel(offer))
        offer = self._offer(sourceAmount, deferred)
        self.connection.wake()
        return deferred

    def _cancel(self, offer: Offer) -> None:
        """Take back what has not left of an offer."""
        taken = self.connection.session.withdrawMoney(self.streamID, offer.remaining)
        if self._offers is not None and taken:
            offer.remaining -= taken
            if not offer.remaining and offer in self._offers.waiting:
                self._offers.waiting.remove(offer)

    @property
    def unsentMoney(self) -> int:
        """What was offered and has not left, in source units."""
        return self._totals.moneyOut.unsent

    def offerMoney(self, sourceAmount: int) -> None:
        """
        Offer more money without asking what becomes of it.

        @raise LocalError: if it is not an amount of at least 1, or the stream is closed.
        """
        self.connection.session.sendMoney(self.streamID, sourceAmount)
        self._offer(sourceAmount, None)
        self.connection.wake()

    def setSendMax(self, sourceAmount: int) -> None:
        """
        Say how much is offered in all.

        @raise LocalError: if it is less than has left, or the stream is closed.
        """
        before = self._totals.moneyOut.sendMax
        self.connection.session.setSendMax(self.streamID, sourceAmount)
        if sourceAmount > before:
            self._offer(sourceAmount - before, None)
        elif self._offers is not None:
            self._fire(self._offers.takeBack(before - sourceAmount, "setSendMax took it back"))
        self.connection.wake()

    def setReceiveMax(self, amount: int) -> None:
        """
        Say how much this side accepts in all, in its own units.

        @raise LocalError: if it is less than was said before.
        """
        self.connection.session.setReceiveMax(self.streamID, amount)
        self._hasLimit = True
        self.connection.wake()

    def setSendRate(self, sourceAmount: int, perSeconds: int = 1) -> None:
        """
        Offer so much money every so many seconds; 0 stops it.

        @raise LocalError: if one is not a whole number within its limits.
        """
        checkAmount("the amount per time", sourceAmount)
        checkAmount("the time in seconds", perSeconds, minimum=1, maximum=10**9)
        self.connection.setSendRate(self, sourceAmount, perSeconds)

    # --- What the connection tells ----------------------------------------------------------

    def settled(self, event: MoneySettled) -> None:
        """A packet's money was settled."""
        if self._offers is not None:
            self._fire(
                self._offers.settle(
                    event.sourceAmount,
                    event.deliveredMinimum,
                    event.deliveredClaimed,
                    event.isInDoubt,
                )
            )

    def moneyFailed(self, event: MoneyFailed) -> None:
        """Money that was offered was taken back by the session."""
        if self._offers is not None:
            self._fire(
                self._offers.takeBack(event.sourceAmount, event.reason, event.smallestAmount)
            )

    def _fire(self, offers: list[Offer]) -> None:
        for offer in offers:
            fire(offer, self.connection.session.rejects)

    def credited(self, amount: int) -> None:
        """Money arrived and the peer has been told."""
        if IMoneyReceiver.providedBy(self.protocol):
            try:
                self.protocol.moneyReceived(amount)
            except Exception:
                self._failed("moneyReceived")

    def read(self) -> None:
        """Give the protocol what has arrived."""
        session = self.connection.session
        while not self._isPaused and not self._isOver:
            data = session.consumeData(self.streamID, READ_SIZE)
            if not data:
                break
            if not self.disconnecting and self.protocol is not None:
                try:
                    self.protocol.dataReceived(data)
                except Exception:
                    self._failed("dataReceived")
                    return
        if self._isEnded and not self._isPaused:
            self._tellEnd()

    def ended(self) -> None:
        """The peer sends no more."""
        self._isEnded = True
        if not self._totals.data.waiting:
            self._tellEnd()

    def _tellEnd(self) -> None:
        if not self._isEnded or self._isOver:
            return
        self._isEnded = False
        if IHalfCloseableProtocol.providedBy(self.protocol):
            try:
                self.protocol.readConnectionLost()
            except Exception:
                self._failed("readConnectionLost")
        else:
            self.loseConnection()

    def _failed(self, method: str) -> None:
        """The protocol raised: its stream ends, no other does."""
        _log.failure("{method} of a protocol raised; its stream is closed", method=method)
        self._abort(ConnectionEnded(f"{method} of the protocol raised"))

    def closed(self, reason: StreamError | None) -> None:
        """Both halves are over."""
        if self._isOver:
            return
        self._isOver = True
        producer, self._producer = self._producer, None
        self.connection.forget(self)
        if producer is not None:
            producer.stopProducing()
        if self._offers is not None:
            message = str(reason or "the stream was closed before all money was sent")
            self._fire(self._offers.abandon(self._totals.moneyOut.held, message))
        protocol, self.protocol = self.protocol, None
        if protocol is None:
            return
        why = Failure(  # type: ignore[no-untyped-call]
            error.ConnectionDone() if reason is None else reason
        )
        try:
            protocol.connectionLost(why)
        except Exception:
            _log.failure("connectionLost of a protocol raised")
