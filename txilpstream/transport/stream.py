"""
The transport that a protocol is given: one stream of a connection.

What happens is told in the connection's next turn, not before a call here returns; only a producer
that writes too much is paused at once, and offers that C{setSendMax} takes back are told so. What
the connection tells comes last in L{Stream}; none of it may let an application's error reach it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from twisted.internet import error
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txilpstream.amounts import U64_MAX, checkAmount
from txilpstream.errors import ConnectionEnded, ErrorCode, LocalError, PeerError, StreamError
from txilpstream.interfaces import IMoneyReceiver, IMoneyTransport, PaymentResult
from txilpstream.transport.moneyoffers import MoneyOffers, Offer
from txilpstream.transport.sendrate import SendRate

if TYPE_CHECKING:
    from txilpstream.session.events import (
        DoubtResolved,
        Event,
        MoneyFailed,
        MoneyReceived,
        MoneySettled,
    )
    from txilpstream.session.session import Session
    from txilpstream.session.streams.streams import SessionStream
    from txilpstream.transport.account import Account

__all__ = [
    "Stream",
    "StreamAddress",
    "StreamLost",
    "StreamOwner",
    "StreamQueues",
    "StreamRefused",
    "lostBecause",
    "wake",
    "watch",
]

_log = Logger()

PULLS: Final = 8
"""How often a pull producer is asked in one turn."""

READ_SIZE: Final = 1 << 16
"""Bytes that a protocol gets at once, so that it can pause in good time."""


class StreamOwner(Protocol):
    """What a stream needs of its connection."""

    session: Session
    account: Account
    connectionTag: str
    sourceAddress: str
    _queues: StreamQueues

    def close(self, timeout: float | None = None) -> Deferred[None]:
        """Close in good order."""

    def _wake(self) -> None:
        """Take a turn soon."""

    def _forget(self, stream: Stream) -> None:
        """A stream is over."""


class StreamQueues:
    """
    Which streams of a connection wait for what, by their numbers; who has waited longest is first.

    @ivar paused: their push producers are paused, as too much waits to leave.
    @ivar pulling: their pull producers are asked in each turn.
    @ivar reading: they are given what has arrived in the next turn.
    @ivar goesOn: whether this turn sends more: a producer was asked, or is to be asked.
    """

    __slots__ = ("goesOn", "paused", "pulling", "reading")

    def __init__(self) -> None:
        self.paused: dict[int, Stream] = {}
        self.pulling: dict[int, Stream] = {}
        self.reading: dict[int, Stream] = {}
        self.goesOn = False

    def forget(self, streamID: int) -> None:
        """A stream waits for nothing more."""
        self.paused.pop(streamID, None)
        self.pulling.pop(streamID, None)
        self.reading.pop(streamID, None)

    def read(self) -> None:
        """Give protocols what has arrived."""
        reading, self.reading = self.reading, {}
        for stream in reading.values():
            stream._read()

    def pull(self) -> None:
        """Ask all pull producers for more; another of them is first the next time."""
        pulling = self.pulling
        for stream in list(pulling.values()):
            stream._pull()
        first = next(iter(pulling), None)
        if first is not None:
            pulling[first] = pulling.pop(first)

    def drained(self) -> None:
        """Less waits to leave in all: push producers may go on."""
        for stream in list(self.paused.values()):
            stream._drained()


class _Producer:
    """
    What an application has registered, of either kind.

    @ivar isPaused: whether it was told to wait; only a push producer is.
    """

    __slots__ = ("isPaused", "isPulled", "producer")

    def __init__(self, producer: Any, streaming: bool) -> None:
        self.producer = producer
        self.isPulled = not streaming
        self.isPaused = False


@implementer(IMoneyTransport)
class Stream:
    """
    One stream as its protocol sees it.

    @ivar streamID: its number.
    @ivar connection: the connection that it belongs to.
    @ivar protocol: what it was given to; None before and after.
    @ivar disconnecting: whether it is to be closed when all is sent.
    """

    __slots__ = (
        *("__weakref__", "_hasLimit", "_isDone", "_isEnded", "_isOver", "_isPaused", "_offers"),
        *("_producer", "_rate", "_takesMoney", "_totals", "_watcher", "connection"),
        *("disconnecting", "protocol", "streamID"),
    )

    def __init__(self, connection: StreamOwner, streamID: int) -> None:
        self.connection = connection
        self.streamID = streamID
        self.protocol: Any = None
        self.disconnecting = False
        self._totals: SessionStream = connection.session.stream(streamID)
        self._offers: MoneyOffers | None = None
        self._rate: SendRate | None = None
        self._producer: _Producer | None = None
        self._watcher: Callable[[Event], None] | None = None
        self._takesMoney = False
        self._isDone = False
        self._hasLimit = False
        self._isPaused = False
        self._isEnded = False
        self._isOver = False

    # --- ITransport -----------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send bytes; after the stream is closed they are dropped, as with any transport."""
        if not isinstance(data, bytes):
            raise TypeError(f"data must be bytes, not {type(data).__name__}")
        if self._isOver or self._totals.state or not data:
            return
        self.connection.session.sendData(self.streamID, data)
        self.connection._wake()
        if self._producer is not None:
            self._pauseProducer(self._producer)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send many pieces of bytes."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Close the stream when all that was written and offered is delivered."""
        self.disconnecting = True
        if self._producer is None:
            self.loseWriteConnection()
        # Nobody reads any more: what comes is dropped.
        self._isPaused = False
        self._readSoon()

    def loseWriteConnection(self) -> None:
        """Close the sending half when all that was written and offered is delivered."""
        if not self._isOver:
            self.connection.session.closeStream(self.streamID)
            self.connection._wake()

    def abortConnection(self) -> None:
        """Close the stream at once; what was not sent never will be."""
        self._abort("the stream was aborted by this side")

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

    # --- IMoneyTransport ------------------------------------------------------------------

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
    def unsentMoney(self) -> int:
        """What was offered and has not left, in source units."""
        return self._totals.moneyOut.unsent

    @property
    def receipt(self) -> bytes:
        """
        The receipt of the greatest total that the peer has signed (RFC 39), 58 octets; empty if
        there is none.
        """
        return self._totals.receipt

    def sendMoney(self, sourceAmount: int) -> Deferred[PaymentResult]:
        """
        Offer money to the peer, beyond what was offered before.

        It waits for the peer to accept it, for as long as the connection lasts: set a time-out
        with C{addTimeout} where that may be too long.

        @return: fires when its fate is known; fails with PaymentError. Cancelling it takes back
            what has not left.
        @raise LocalError: if it is not an amount of at least 1, or the stream is closed.
        """
        self._checkOpen()
        self.connection.session.sendMoney(self.streamID, sourceAmount)
        deferred: Deferred[PaymentResult] = Deferred(lambda _: self._withdraw(offer))
        offer = self._offer(sourceAmount, deferred)
        self.connection._wake()
        return deferred

    def offerMoney(self, sourceAmount: int) -> None:
        """
        Offer more money without asking what becomes of it.

        @raise LocalError: if it is not an amount of at least 1, or the stream is closed.
        """
        self.connection.session.sendMoney(self.streamID, sourceAmount)
        self._offer(sourceAmount, None)
        self.connection._wake()

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
            self._tell(self._offers.takeBack(before - sourceAmount, "setSendMax took it back"))
        self.connection._wake()

    def setReceiveMax(self, amount: int) -> None:
        """
        Say how much this side accepts in all, in its own units.

        @raise LocalError: if it is less than was said before.
        """
        self.connection.session.setReceiveMax(self.streamID, amount)
        self._hasLimit = True
        self.connection._wake()

    def setSendRate(self, sourceAmount: int, perSeconds: int = 1) -> None:
        """
        Offer so much money every so many seconds; 0 stops it.

        @raise LocalError: if one is not a whole number within its limits.
        """
        self._checkOpen()
        checkAmount("the amount per time", sourceAmount)
        checkAmount("the time in seconds", perSeconds, minimum=1, maximum=10**9)
        if self._rate is None:
            reactor, money = self.connection.account.reactor, self._totals.moneyOut
            self._rate = SendRate(reactor, self.offerMoney, lambda: money.unsent, self.ping)
        self._rate.change(sourceAmount, perSeconds)

    def ping(self) -> None:
        """Send a packet, so that neither end takes the connection for idle."""
        self.connection.session.ping()
        self.connection._wake()

    def _checkOpen(self) -> None:
        if self._isOver:
            raise LocalError(f"stream {self.streamID} is closed: open another one")

    def _offer(self, sourceAmount: int, deferred: Deferred[PaymentResult] | None) -> Offer:
        if self._offers is None:
            self._offers = MoneyOffers()
        return self._offers.add(sourceAmount, deferred, self._totals.moneyOut.offered)

    def _withdraw(self, offer: Offer) -> None:
        """Take back what has not left of an offer whose owner has given up, or comes back."""
        if self._offers is not None and offer in self._offers.waiting:
            self._offers.giveUp(offer)
            self.connection.session.withdrawMoney(self.streamID, offer.remaining)

    def _tell(self, offers: list[Offer]) -> None:
        for offer in offers:
            offer.tell(self.connection.session.rejects, self.receipt)

    # --- IPushProducer: what arrives --------------------------------------------------------

    def pauseProducing(self) -> None:
        """Deliver no more bytes; the peer is stopped by its window."""
        self._isPaused = True

    def resumeProducing(self) -> None:
        """Deliver bytes again."""
        if self._isPaused:
            self._isPaused = False
            self._readSoon()

    def stopProducing(self) -> None:
        """Close the stream."""
        self.loseConnection()

    def _readSoon(self) -> None:
        self.connection._queues.reading[self.streamID] = self
        self.connection._wake()

    # --- IConsumer: what is to be sent ------------------------------------------------------

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
        self._producer = _Producer(producer, streaming)
        if not streaming:
            self.connection._queues.pulling[self.streamID] = self
            self.connection._wake()

    def unregisterProducer(self) -> None:
        """The producer writes no more."""
        self._producer = None
        queues = self.connection._queues
        queues.pulling.pop(self.streamID, None)
        queues.paused.pop(self.streamID, None)
        if self.disconnecting:
            self.loseWriteConnection()

    def _pauseProducer(self, registered: _Producer) -> None:
        """Pause a push producer if much waits to leave."""
        if registered.isPulled or registered.isPaused:
            return
        if self.connection.session.isFull(self._totals):
            registered.isPaused = True
            self.connection._queues.paused[self.streamID] = self
            registered.producer.pauseProducing()

    def _resumeProducer(self, registered: _Producer) -> bool:
        """Ask for more; False if that failed, and it will not be asked again."""
        queues = self.connection._queues
        queues.goesOn = True
        try:
            registered.producer.resumeProducing()
        except Exception:
            queues.pulling.pop(self.streamID, None)
            self._failed("resumeProducing")
            return False
        return True

    def _stopProducer(self) -> None:
        """The stream is over."""
        registered, self._producer = self._producer, None
        if registered is not None:
            try:
                registered.producer.stopProducing()
            except Exception:
                _log.failure("stopProducing of a producer raised")

    # --- What the connection tells ----------------------------------------------------------

    def _start(self, protocol: Any) -> None:
        """Give the stream to a protocol and tell the peer what it takes."""
        self.protocol = protocol
        self._takesMoney = IMoneyReceiver.providedBy(protocol)
        protocol.makeConnection(self)
        isUnlimited = self._takesMoney and not self._hasLimit
        self.connection.session.startStream(self.streamID, U64_MAX if isUnlimited else None)

    def _pull(self) -> None:
        """Ask a pull producer for more while little waits to leave."""
        for _ in range(PULLS):
            registered = self._producer
            if registered is None or not registered.isPulled:
                return
            if self.connection.session.isFull(self._totals):
                return
            if not self._resumeProducer(registered):
                return

    def _drained(self, _: Event | None = None) -> None:
        """Less waits to leave: the producer may go on, unless something else holds it up."""
        registered = self._producer
        if registered is None or not registered.isPaused:
            return
        if not self.connection.session.isFull(self._totals):
            registered.isPaused = False
            del self.connection._queues.paused[self.streamID]
            self._resumeProducer(registered)

    def _read(self, _: Event | None = None) -> None:
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

    def _credited(self, event: MoneyReceived) -> None:
        """Money arrived and the peer has been told."""
        if self._takesMoney:
            try:
                self.protocol.moneyReceived(event.amount)
            except Exception:
                self._failed("moneyReceived")

    def _watched(self, event: Event) -> None:
        """Something happened to this stream's money."""
        if self._watcher is not None:
            self._watcher(event)

    def _settled(self, event: MoneySettled) -> None:
        """Money was settled."""
        if self._watcher is not None:
            self._watcher(event)
        if self._offers is not None:
            done = self._offers.settle(
                event.sourceAmount, event.deliveredMinimum, event.deliveredClaimed, event.isInDoubt
            )
            if done:
                self._tell(done)

    def _resolved(self, event: DoubtResolved) -> None:
        """
        A late answer came. What came back is offered again if its offer still waits; if not, its
        owner was told that it is in doubt, and finds it in the totals.
        """
        self._watched(event)
        if self._offers is None:
            return
        returned = self._offers.resolve(
            event.sourceAmount, event.deliveredMinimum, event.deliveredClaimed, event.isSent
        )
        if returned:
            try:
                self.connection.session.sendMoney(self.streamID, returned)
            except LocalError:
                self._tell(self._offers.takeBack(returned, "it came back after the stream closed"))

    def _moneyFailed(self, event: MoneyFailed) -> None:
        """
        Money that was offered was taken back by the session. What nobody waits for is a rate's:
        it is offered again when enough is due.
        """
        self._watched(event)
        offers = self._offers
        if offers is None:
            return
        before = offers.anonymous
        done = offers.takeBack(
            event.sourceAmount, event.reason, event.smallestAmount, event.offered
        )
        taken = before - offers.anonymous
        self._tell(done)
        if self._rate is not None and taken and event.smallestAmount is not None:
            self._rate.giveBack(taken, event.smallestAmount)

    def _ended(self, _: Event | None = None) -> None:
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

    def _sendingEnded(self, _: Event | None = None) -> None:
        """The peer has all that was sent: a half closed protocol is told, others are done."""
        if self.disconnecting:
            self._isDone = True
            self.connection.session.ignoreStream(self.streamID)
        elif IHalfCloseableProtocol.providedBy(self.protocol):
            try:
                self.protocol.writeConnectionLost()
            except Exception:
                self._failed("writeConnectionLost")

    def _closed(self, reason: StreamError | None, held: int = 0) -> None:
        """
        Both halves are over.

        @param held: source units on their way, of which nothing more will be told here.
        """
        if self._isOver:
            return
        self._isOver = True
        if self._isDone:  # what ended the connection meanwhile is no matter to it
            reason = None
        self.connection._forget(self)
        if self._rate is not None:
            self._rate.stop()
        self._stopProducer()
        if self._offers is not None:
            message = "the stream was closed before all money was sent"
            if reason is not None:
                message = getattr(reason, "message", "") or str(reason)
            self._tell(self._offers.abandon(held, message))
        protocol, self.protocol = self.protocol, None
        if protocol is None:
            return
        why = Failure(lostBecause(reason))  # type: ignore[no-untyped-call]
        try:
            protocol.connectionLost(why)
        except Exception:
            _log.failure("connectionLost of a protocol raised")

    def _failed(self, method: str) -> None:
        """The protocol or the producer raised: its stream ends, no other does."""
        _log.failure("{method} of an application raised; its stream is closed", method=method)
        self._abort(f"{method} of the application raised")

    def _abort(self, reason: str) -> None:
        if not self._isOver:
            self.connection.session.abortStream(
                self.streamID, ConnectionEnded(reason), ErrorCode.APPLICATION_ERROR, "aborted"
            )
            self.connection._wake()


def watch(stream: Stream, watcher: Callable[[Event], None]) -> None:
    """Tell all that happens to a stream's money, event by event, to this too: for payments."""
    stream._watcher = watcher


def wake(connection: StreamOwner) -> None:
    """Let a connection send what its session was told to send: for payments."""
    connection._wake()


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
