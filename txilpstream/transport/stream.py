"""
The transport that a protocol is given: one stream of a connection.

Nothing that the application calls here calls the application back before it returns: what happens
is told in the connection's next turn.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txilpstream.amounts import U64_MAX
from txilpstream.errors import ConnectionEnded, StreamError
from txilpstream.interfaces import IMoneyReceiver, IMoneyTransport
from txilpstream.producerside import ProducerSide
from txilpstream.transport.protocol import StreamAddress, lostBecause

if TYPE_CHECKING:
    from txilpstream.transport.connection import StreamConnection

__all__ = ["Stream"]

_log = Logger()

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

    def __init__(self, connection: StreamConnection, streamID: int) -> None:
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
