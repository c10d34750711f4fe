"""
The transport that a protocol is given: one stream of a connection.

Nothing that the application calls here calls the application back before it returns: what happens
is told in the connection's next turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from twisted.internet import error
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol, IProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txilpstream.amounts import U64_MAX, checkAmount
from txilpstream.errors import ConnectionEnded, ErrorCode, LocalError, PeerError, StreamError
from txilpstream.interfaces import IMoneyReceiver, IMoneyTransport, PaymentResult
from txilpstream.transport.moneyoffers import Offer, Offers, fire
from txilpstream.transport.sendrate import MoneyRate

if TYPE_CHECKING:
    from txilpstream.session.events import DoubtResolved, Event, MoneyFailed, MoneySettled
    from txilpstream.session.session import Session
    from txilpstream.session.streams.streams import SessionStream
    from txilpstream.transport.account import Account

__all__ = [
    "MoneySide",
    "ProducerSide",
    "Stream",
    "StreamAddress",
    "StreamLost",
    "StreamRefused",
    "lostBecause",
    "pullAll",
]


class StreamOwner(Protocol):
    """What a stream needs of its connection."""

    session: Session
    account: Account
    connectionTag: str
    sourceAddress: str
    goesOn: bool
    paused: dict[int, Stream]
    pulling: dict[int, Stream]
    reading: dict[int, Stream]
    rates: dict[int, MoneyRate] | None

    def wake(self) -> None:
        """Take a turn soon."""

    def forget(self, stream: Stream) -> None:
        """A stream is over."""

    def close(self, timeout: float | None = None) -> Deferred[None]:
        """Close in good order."""


class MoneySide:
    """
    The half of a stream's transport that moves money.

    @ivar streamID: its number.
    @ivar connection: the connection that it belongs to.
    """

    __slots__ = (
        "_hasLimit",
        "_isOver",
        "_offers",
        "_totals",
        "_watcher",
        "connection",
        "streamID",
    )

    def __init__(self, connection: StreamOwner, streamID: int) -> None:
        self.connection = connection
        self.streamID = streamID
        self._hasLimit = False
        self._isOver = False
        self._offers: Offers | None = None
        self._watcher: Callable[[Event], None] | None = None
        self._totals: SessionStream = connection.session.stream(streamID)

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
        """What left and has no answer yet or never will, in source units; it may be taken."""
        return self._totals.moneyOut.held + self._totals.moneyOut.unanswered

    @property
    def moneyInFlight(self) -> int:
        """What left and may still be answered in time, in source units."""
        return self._totals.moneyOut.held

    @property
    def receipt(self) -> bytes:
        """
        The receipt of the greatest total that the peer has signed (RFC 39), 58 octets; empty if
        there is none.
        """
        return self._totals.receipt

    # --- IMoneyTransport ------------------------------------------------------------------

    def _offer(self, sourceAmount: int, deferred: Deferred[PaymentResult] | None) -> Offer:
        if self._offers is None:
            self._offers = Offers()
        return self._offers.add(sourceAmount, deferred, self._totals.moneyOut.offered)

    def sendMoney(self, sourceAmount: int) -> Deferred[PaymentResult]:
        """
        Offer money to the peer, beyond what was offered before.

        It waits for the peer to accept it, for as long as the connection lasts: set a time-out
        with C{addTimeout} where that may be too long.

        @return: fires when its fate is known; fails with PaymentError.
        @raise LocalError: if it is not an amount of at least 1, or the stream is closed.
        """
        self._checkOpen()
        self.connection.session.sendMoney(self.streamID, sourceAmount)
        deferred: Deferred[PaymentResult] = Deferred(lambda _: self._cancel(offer))
        offer = self._offer(sourceAmount, deferred)
        self.connection.wake()
        return deferred

    def _checkOpen(self) -> None:
        if self._isOver:
            raise LocalError(f"stream {self.streamID} is closed: open another one")

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
        self._checkOpen()
        checkAmount("the amount per time", sourceAmount)
        checkAmount("the time in seconds", perSeconds, minimum=1, maximum=10**9)
        connection = self.connection
        if connection.rates is None:
            connection.rates = {}
        rate = connection.rates.get(self.streamID)
        if rate is None:
            rate = connection.rates[self.streamID] = MoneyRate(connection.account.reactor, self)
        rate.change(sourceAmount, perSeconds)

    def ping(self) -> None:
        """Send a packet, so that neither end takes the connection for idle."""
        self.connection.session.ping()
        self.connection.wake()

    # --- What the connection tells ----------------------------------------------------------

    def watch(self, watcher: Callable[[Event], None] | None) -> None:
        """Tell all that happens to this stream's money, event by event, to this too."""
        self._watcher = watcher

    def watched(self, event: Event) -> None:
        """Something happened to this stream's money."""
        if self._watcher is not None:
            self._watcher(event)

    def settled(self, event: MoneySettled) -> None:
        """Money was settled."""
        self.watched(event)
        if self._offers is not None:
            self._fire(
                self._offers.settle(
                    event.sourceAmount,
                    event.deliveredMinimum,
                    event.deliveredClaimed,
                    event.isInDoubt,
                )
            )

    def resolved(self, event: DoubtResolved) -> None:
        """
        A late answer came. What came back is offered again if its offer still waits; if not, its
        owner was told that it is in doubt, and finds it in the totals.
        """
        self.watched(event)
        if self._offers is None:
            return
        returned = self._offers.resolve(
            event.sourceAmount, event.deliveredMinimum, event.deliveredClaimed, event.isSent
        )
        if returned:
            try:
                self.connection.session.sendMoney(self.streamID, returned)
            except LocalError:
                self._fire(self._offers.takeBack(returned, "it came back after the stream closed"))

    def moneyFailed(self, event: MoneyFailed) -> int:
        """
        Money that was offered was taken back by the session.

        @return: how much of it nobody waits for, such as that of a rate.
        """
        self.watched(event)
        offers = self._offers
        if offers is None:
            return 0
        before = offers.anonymous
        done = offers.takeBack(
            event.sourceAmount, event.reason, event.smallestAmount, event.offered
        )
        taken = before - offers.anonymous
        self._fire(done)
        return taken

    def _fire(self, offers: list[Offer]) -> None:
        for offer in offers:
            fire(offer, self.connection.session.rejects, self.receipt)


_log = Logger()

PULLS: Final = 8
"""How often a pull producer is asked in one turn."""


class ProducerSide(MoneySide):
    """
    One producer at most, of either kind.

    @ivar disconnecting: whether the stream is to be closed when all is sent.
    """

    __slots__ = ("_isPulling", "_producer", "_producerIsPaused", "disconnecting")

    def __init__(self, connection: StreamOwner, streamID: int) -> None:
        super().__init__(connection, streamID)
        self.disconnecting = False
        self._producer: Any = None
        self._isPulling = False
        self._producerIsPaused = False

    def loseWriteConnection(self) -> None:
        """Close the sending half when all that was written and offered is delivered."""
        if not self._isOver:
            self.connection.session.closeStream(self.streamID)
            self.connection.wake()

    def _abort(self, reason: StreamError) -> None:
        if not self._isOver:
            self.connection.session.abortStream(
                self.streamID, reason, ErrorCode.APPLICATION_ERROR, "aborted"
            )
            self.connection.wake()

    def _failed(self, method: str) -> None:
        """The protocol or the producer raised: its stream ends, no other does."""
        _log.failure("{method} of an application raised; its stream is closed", method=method)
        self._abort(ConnectionEnded(f"{method} of the application raised"))

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
            self.connection.pulling[self.streamID] = self  # type: ignore[assignment]
            self.connection.wake()

    def unregisterProducer(self) -> None:
        """The producer writes no more."""
        self._producer = None
        self._producerIsPaused = False
        self.connection.pulling.pop(self.streamID, None)
        self.connection.paused.pop(self.streamID, None)
        if self.disconnecting:
            self.loseWriteConnection()

    def pull(self) -> None:
        """Ask a pull producer for more while little waits to leave."""
        for _ in range(PULLS):
            isOver = self._producer is None or not self._isPulling
            if isOver or self.connection.session.isFull(self._totals):
                return
            if not self._resumeProducer():
                return

    def drained(self) -> None:
        """Less waits to leave: the producer may go on, unless something else holds it up."""
        if self._producerIsPaused and not self.connection.session.isFull(self._totals):
            self._producerIsPaused = False
            del self.connection.paused[self.streamID]
            self._resumeProducer()

    def _resumeProducer(self) -> bool:
        """Ask for more; False if that failed, and it will not be asked again."""
        self.connection.goesOn = True
        try:
            self._producer.resumeProducing()
        except Exception:
            self.connection.pulling.pop(self.streamID, None)
            self._failed("resumeProducing")
            return False
        return True

    def _pauseProducer(self) -> None:
        """Much waits to leave: a push producer is paused."""
        if self._producer is None or self._isPulling or self._producerIsPaused:
            return
        if self.connection.session.isFull(self._totals):
            self._producerIsPaused = True
            self.connection.paused[self.streamID] = self  # type: ignore[assignment]
            self._producer.pauseProducing()

    def _stopProducer(self) -> None:
        """The stream is over."""
        producer, self._producer = self._producer, None
        self._producerIsPaused = False
        if producer is not None:
            try:
                producer.stopProducing()
            except Exception:
                _log.failure("stopProducing of a producer raised")


def pullAll(pulling: dict[int, Stream]) -> None:
    """Ask all pull producers of a connection for more; another of them is first the next time."""
    for stream in list(pulling.values()):
        stream.pull()
    first = next(iter(pulling), None)
    if first is not None:
        pulling[first] = pulling.pop(first)


READ_SIZE: Final = 1 << 16
"""Bytes that a protocol gets at once, so that it can pause in good time."""


@implementer(IMoneyTransport)
class Stream(ProducerSide):
    """
    One stream as its protocol sees it.

    @ivar streamID: its number.
    @ivar connection: the connection that it belongs to.
    @ivar protocol: what it was given to.
    @ivar disconnecting: whether it is to be closed when all is sent.
    """

    __slots__ = (
        "__weakref__",
        "_isEnded",
        "_isPaused",
        "_takesMoney",
        "protocol",
    )

    def __init__(self, connection: StreamOwner, streamID: int) -> None:
        super().__init__(connection, streamID)
        self.protocol: Any = None
        self._isPaused = False
        self._isEnded = False
        self._takesMoney = False

    def start(self, protocol: IProtocol) -> None:
        """Give the stream to a protocol and tell the peer what it takes."""
        self.protocol = protocol
        self._takesMoney = IMoneyReceiver.providedBy(protocol)
        protocol.makeConnection(self)
        if not self._hasLimit:
            unlimited = U64_MAX if self._takesMoney else None
            self.connection.session.startStream(self.streamID, unlimited)
        else:
            self.connection.session.startStream(self.streamID, None)

    # --- ITransport -----------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send bytes; after the stream is closed they are dropped, as with any transport."""
        if not isinstance(data, bytes):
            raise TypeError(f"data must be bytes, not {type(data).__name__}")
        if self._isOver or self._totals.state or not data:
            return
        self.connection.session.sendData(self.streamID, data)
        self.connection.wake()
        self._pauseProducer()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send many pieces of bytes."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Close the stream when all that was written and offered is delivered."""
        self.disconnecting = True
        if self._producer is None:
            self.loseWriteConnection()
        self._readIsOver()

    def abortConnection(self) -> None:
        """Close the stream at once; what was not sent never will be."""
        self._abort(ConnectionEnded("the stream was aborted by this side"))

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

    # --- What the connection tells ----------------------------------------------------------

    def credited(self, amount: int) -> None:
        """Money arrived and the peer has been told."""
        if self._takesMoney:
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

    def sendingEnded(self) -> None:
        """The peer has all that was sent: a half closed protocol is told, others are done."""
        if self.disconnecting:
            self.connection.session.ignoreStream(self.streamID)
            self.closed(None)
        elif IHalfCloseableProtocol.providedBy(self.protocol):
            try:
                self.protocol.writeConnectionLost()
            except Exception:
                self._failed("writeConnectionLost")

    def closed(self, reason: StreamError | None, held: int = 0) -> None:
        """
        Both halves are over.

        @param held: source units on their way, of which nothing more will be told here.
        """
        if self._isOver:
            return
        self._isOver = True
        self.connection.forget(self)
        self._stopProducer()
        if self._offers is not None:
            message = "the stream was closed before all money was sent"
            if reason is not None:
                message = getattr(reason, "message", "") or str(reason)
            self._fire(self._offers.abandon(held, message))
        protocol, self.protocol = self.protocol, None
        if protocol is None:
            return
        why = Failure(lostBecause(reason))  # type: ignore[no-untyped-call]
        try:
            protocol.connectionLost(why)
        except Exception:
            _log.failure("connectionLost of a protocol raised")


@implementer(IAddress)
@dataclass(frozen=True, slots=True)
class StreamAddress:
    """
    One end of a stream.

    @ivar address: the ILP address of that end; empty where the peer has told none.
    @ivar streamID: the number of the stream.
    @ivar connectionTag: what the server's owner wrote into the credentials, or empty.
    """

    address: str
    streamID: int
    connectionTag: str = ""


class StreamLost(ConnectionEnded, error.ConnectionLost):
    """A stream ended before its time; for protocols that know Twisted's errors only."""

    __str__ = Exception.__str__


class StreamRefused(PeerError, error.ConnectionLost):
    """The peer ended a stream with an error, C{code}; the same for Twisted's protocols."""

    __str__ = Exception.__str__


def lostBecause(reason: StreamError | None) -> Exception:
    """
    What C{connectionLost} is told.

    @return: C{ConnectionDone} for an end in good order, else an error that is both one of this
        package's and C{twisted.internet.error.ConnectionLost}.
    """
    if reason is None:
        return error.ConnectionDone()
    if isinstance(reason, PeerError):
        return StreamRefused(reason.code, reason.message)
    if isinstance(reason, ConnectionEnded):
        return StreamLost(reason.message, reason.rejects)
    return StreamLost(str(reason))
