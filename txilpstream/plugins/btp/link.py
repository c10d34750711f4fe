"""
BTP (RFC 23) after the login, which is the same for both ends: requests, and their answers by id.

A plugin outlives its connections. Whatever a peer asks is answered once or its connection is
dropped, and it cannot make this end hold more than so many requests and octets. A request without
an answer is in doubt when its connection is lost or its time is over.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txilpstream.errors import ConnectionEnded, DecodeError
from txilpstream.interfaces import IPlugin, NotSent
from txilpstream.logs import RareLog
from txilpstream.plugins.base import PluginBase
from txilpstream.plugins.btp.websocket import OVERHANG, PROTOCOL_ERROR, WebSocket
from txilpstream.wire.btp import (
    RESPONSE,
    BTPError,
    BTPMessage,
    BTPResponse,
    BTPTransfer,
    ProtocolData,
    decode,
    decodeILP,
    encode,
    encodeGeneralizedTime,
    encodeILPMessage,
    encodeILPResponse,
    findEntry,
)
from txilpstream.wire.ilp import rejectWith

__all__ = [
    "MAXIMUM_ANSWERING",
    "REQUEST_TIME",
    "BTPConnection",
    "BTPLink",
    "Correlation",
    "encodeRefusal",
]

REQUEST_TIME: Final = 35.0
"""Seconds that a request waits for its answer: the 30 s that a packet lives, and a margin."""

MAXIMUM_ANSWERING: Final = 2000
"""Requests of a peer's that may wait for this end's answer at a time; more are rejected."""

ANSWERING_TIME: Final = 60.0
"""Seconds after which a request that was never answered counts no more: its peer has given up."""

SHORTEST_SWEEP: Final = 1.0
"""Seconds between two looks for requests whose time is over: they end up to so much late."""

_BUSY: Final = rejectWith("T03")

_T = TypeVar("_T")

_log = Logger()


@implementer(IPlugin)
class BTPLink(PluginBase):
    """
    A plugin whose way to the peer is one connection at a time; a subclass brings connections.

    Without a connection a packet certainly does not leave, so it fails with L{NotSent}, and the
    producer is paused. A connection that is lost leaves the packets without an answer in doubt.

    @ivar transferReceived: what takes the peer's Transfers: called with an amount and protocol
        data, it returns None or a Deferred, and fails to refuse. Without it all are refused.
    @ivar unexpectedAnswers: how many answers came that nobody waited for.
    @ivar malformedPackets: how many packets were none; each cost its connection.
    """

    transferReceived: Callable[[int, list[ProtocolData]], Deferred[None] | None] | None = None

    def __init__(
        self,
        reactor: IReactorTime,
        *,
        randomBytes: Callable[[int], bytes] = os.urandom,
        wallClock: Callable[[], float] = time.time,
    ) -> None:
        """
        @param randomBytes: gives so many unpredictable octets.
        @param wallClock: gives seconds since the epoch.
        """
        super().__init__()
        self.reactor = reactor
        self.randomBytes = randomBytes
        self.wallClock = wallClock
        self.rareLog = RareLog(reactor, _log)
        self.unexpectedAnswers = 0
        self.malformedPackets = 0
        self._connection: BTPConnection | None = None

    def connect(self) -> Deferred[None]:
        """Make the way ready; see the subclass."""
        raise NotImplementedError

    def disconnect(self) -> Deferred[None]:
        """Give the way up; see the subclass."""
        raise NotImplementedError

    def isConnected(self) -> bool:
        """Whether the peer is there, and logged in."""
        connection = self._connection
        return connection is not None and connection.socket.isOpen

    def isFull(self) -> bool:
        """Whether there is no connection, or its socket is full."""
        connection = self._connection
        return connection is None or connection.socket.isFull

    def sendData(self, data: bytes) -> Deferred[bytes]:
        """
        Send a Prepare as soon as the socket takes it.

        The Deferred fails with L{NotSent} if there is no connection, or if the socket is so full
        that the peer cannot be reading; with L{ConnectionEnded} if the connection is lost before
        the answer, none comes within L{REQUEST_TIME}, or it carries no ILP packet.
        """
        connection = self._connection
        if connection is None:
            return fail(NotSent("there is no connection to the peer"))
        return connection.sendData(data)

    def attach(self, socket: WebSocket) -> None:
        """Use a socket from now on on which the login is over; let go of another one."""
        self.detach()
        connection = BTPConnection(self, socket)
        self._connection = socket.owner = connection
        if not socket.isFull:
            self.resumeProducer()

    def detach(self) -> WebSocket | None:
        """
        Use the connection no more; its requests fail when its socket is lost.

        @return: its socket, for the caller to close.
        """
        connection, self._connection = self._connection, None
        # A producer that was paused because the socket was full learns here that it is lost.
        self._isPaused = False
        self.pauseProducer()
        return None if connection is None else connection.socket

    def connectionLost(self, connection: BTPConnection, reason: str) -> None:
        """A connection is gone; it may be one that was let go before."""
        if connection is self._connection:
            self.detach()


class BTPConnection:
    """
    One connection, from the login until it is lost.

    Requests of the peer's are answered as their answers come, in any order. Those that come while
    the socket is full are held until it is drained: each asks for more octets to be written.
    """

    def __init__(self, link: BTPLink, socket: WebSocket) -> None:
        """
        @param link: the plugin that it belongs to.
        """
        self.socket = socket
        self._link = link
        firstId = int.from_bytes(link.randomBytes(4), "big")
        self._requests: Correlation[bytes] = Correlation(
            link.reactor, REQUEST_TIME, firstId, f"the peer did not answer within {REQUEST_TIME} s"
        )
        self._answering: dict[int, float] = {}
        self._held: deque[tuple[int, bytes]] = deque()
        self._heldSize = 0

    def sendData(self, data: bytes) -> Deferred[bytes]:
        """Send a Prepare; see L{BTPLink.sendData}."""
        requestId, waiting = self._requests.begin()
        if self.socket.sendMessage(encodeILPMessage(requestId, data)):
            return waiting
        self._requests.end(requestId)
        return fail(NotSent("the connection to the peer takes no more packets"))

    def messageReceived(self, data: bytes) -> None:
        """Take a packet of the peer's."""
        found = decodeILP(data)
        if found is None:
            self._otherReceived(data)
            return
        kind, requestId, packet = found
        if kind == RESPONSE:
            waiting = self._requests.end(requestId)
            if waiting is None:
                self._link.unexpectedAnswers += 1
            else:
                waiting.callback(packet)
        else:
            self._answer(requestId, packet)

    def socketOpened(self, socket: WebSocket) -> None:
        """It was open before the login."""

    def socketFull(self) -> None:
        """Pause who sends."""
        if self._link._connection is self:
            self._link.pauseProducer()

    def socketDrained(self) -> None:
        """Take what was held, and then let go on who sends."""
        held, socket = self._held, self.socket
        while held and not socket.isFull:
            requestId, packet = held.popleft()
            self._heldSize -= len(packet)
            if self._answering.pop(requestId, None) is not None and socket.isOpen:
                self._answerNow(requestId, packet)
        if self._link._connection is self and not socket.isFull:
            self._link.resumeProducer()

    def socketLost(self, reason: str) -> None:
        """Tell the link first, so that nobody sends while the requests fail."""
        self._link.connectionLost(self, reason)
        self._held.clear()
        self._requests.failAll(
            ConnectionEnded(f"the connection was lost before the answer came: {reason}")
        )

    def _otherReceived(self, data: bytes) -> None:
        """Take what is not a Message or Response with nothing but an ILP packet."""
        link = self._link
        try:
            packet = decode(data)
        except DecodeError:
            link.malformedPackets += 1
            link.rareLog.warn("a peer sent what is no BTP packet; its connection was closed")
            self.socket.close(PROTOCOL_ERROR)
            return
        if isinstance(packet, BTPMessage):
            data = findEntry(packet.protocolData, "ilp") or b""
            if data:
                self._answer(packet.requestId, data)
            else:
                self._refuse(packet.requestId, "no known sub-protocol")
        elif isinstance(packet, BTPTransfer):
            self._transferReceived(packet)
        else:
            self._answerReceived(packet)

    def _answerReceived(self, packet: BTPResponse | BTPError) -> None:
        waiting = self._requests.end(packet.requestId)
        if waiting is None:
            self._link.unexpectedAnswers += 1
        elif isinstance(packet, BTPError):
            # Whether the peer passed the packet on before it refused it, it does not say.
            refusal = f"{packet.code} {packet.name[:80]}"
            waiting.errback(ConnectionEnded(f"the peer refused the request: {refusal!r}"))
        else:
            reply = findEntry(packet.protocolData, "ilp")
            if reply is None:
                waiting.errback(ConnectionEnded("the peer answered without an ILP packet"))
            else:
                waiting.callback(reply)

    def _answer(self, requestId: int, packet: bytes) -> None:
        if not self.socket.isOpen or self._isAnswering(requestId):
            return
        if self._isBusy() or self._heldSize > OVERHANG:
            self._send(encodeILPResponse(requestId, _BUSY))
        elif self.socket.isFull:
            self._answering[requestId] = self._link.reactor.seconds()
            self._held.append((requestId, packet))
            self._heldSize += len(packet)
        else:
            self._answerNow(requestId, packet)

    def _answerNow(self, requestId: int, packet: bytes) -> None:
        reply = self._link.answerPrepare(packet)
        if isinstance(reply, bytes):
            self._send(encodeILPResponse(requestId, reply))
        else:
            begun = self._answering[requestId] = self._link.reactor.seconds()
            reply.addCallback(self._cbAnswer, requestId, begun)

    def _cbAnswer(self, reply: bytes, requestId: int, begun: float) -> None:
        if self._answering.get(requestId) == begun:
            del self._answering[requestId]
            self._send(encodeILPResponse(requestId, reply))

    def _transferReceived(self, packet: BTPTransfer) -> None:
        requestId = packet.requestId
        if not self.socket.isOpen or self._isAnswering(requestId):
            return
        take = self._link.transferReceived
        if take is None or self._isBusy():
            self._refuse(requestId, "no transfers" if take is None else "busy")
            return
        begun = self._answering[requestId] = self._link.reactor.seconds()
        try:
            taken = take(packet.amount, packet.protocolData)
        except Exception as error:
            taken = fail(error)
        if taken is None:
            self._transferTaken(None, requestId, begun)
        else:
            taken.addBoth(self._transferTaken, requestId, begun)

    def _transferTaken(self, outcome: object, requestId: int, begun: float) -> None:
        """Answer a Transfer: with an Error if the application failed, which is how it refuses."""
        if isinstance(outcome, Failure):
            kind = outcome.type.__name__ if outcome.type else ""
            self._link.rareLog.warn("a transfer was refused with {kind}", kind=kind)
        if self._answering.get(requestId) != begun:
            return
        del self._answering[requestId]
        if isinstance(outcome, Failure):
            self._refuse(requestId, "transfer not taken")
        else:
            self._send(encode(BTPResponse(requestId, [])))

    def _isAnswering(self, requestId: int) -> bool:
        """Whether an earlier request with the same id has no answer yet; refuse the later then."""
        if requestId not in self._answering:
            return False
        self._refuse(requestId, "this request id is being answered")
        return True

    def _isBusy(self) -> bool:
        """Whether too many requests have no answer; those that are too old count no more."""
        answering = self._answering
        if len(answering) < MAXIMUM_ANSWERING:
            return False
        latest = self._link.reactor.seconds() - ANSWERING_TIME
        while answering and answering[oldest := next(iter(answering))] <= latest:
            del answering[oldest]
        return len(answering) >= MAXIMUM_ANSWERING

    def _refuse(self, requestId: int, text: str) -> None:
        self._send(encodeRefusal(requestId, self._link.wallClock(), text))

    def _send(self, data: bytes) -> None:
        """Send an answer; a peer that leaves so many unread is dropped."""
        if not self.socket.sendMessage(data) and self.socket.isOpen:
            self.socket.abort("the peer does not read its answers")


class Correlation(Generic[_T]):
    """
    Requests by id, each a Deferred with a deadline.

    Ids follow upon each other from a random one, and none is given out while a
    request with it waits. All deadlines are equally far away, so the oldest request is the first
    to end, and one timer serves all.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        timeLimit: float,
        firstId: int,
        message: str,
        *,
        idBits: int = 32,
    ) -> None:
        """
        @param timeLimit: seconds that a request waits for its answer.
        @param firstId: random, so that a late answer to an earlier connection meets nobody.
        @param idBits: of an id; there must be far more ids than requests.
        @param message: of the L{ConnectionEnded} with which a request fails whose time is over.
        """
        self._reactor = reactor
        self._timeLimit = timeLimit
        self._mask = (1 << idBits) - 1
        self._nextId = firstId & self._mask
        self._message = message
        self._waiting: dict[int, _Request[_T]] = {}
        self._call: IDelayedCall | None = None

    def __len__(self) -> int:
        """How many requests wait."""
        return len(self._waiting)

    def begin(self) -> tuple[int, Deferred[_T]]:
        """
        Begin a request.

        @return: its id, and a Deferred that fires with its answer. It fails with
            L{ConnectionEnded} when its time is over; cancelling it gives up waiting.
        """
        waiting = self._waiting
        requestId = self._nextId
        while requestId in waiting:
            requestId = (requestId + 1) & self._mask
        self._nextId = (requestId + 1) & self._mask
        request: _Request[_T] = _Request(self._giveUp)
        request.requestId = requestId
        request.deadline = self._reactor.seconds() + self._timeLimit
        waiting[requestId] = request
        if self._call is None:
            self._call = self._reactor.callLater(self._timeLimit, self._sweep)
        return requestId, request

    def end(self, requestId: int) -> Deferred[_T] | None:
        """
        Take out the request that an answer came for.

        @return: its Deferred, for the caller to fire; None if nobody waits.
        """
        return self._waiting.pop(requestId, None)

    def failAll(self, error: Exception) -> None:
        """Fail all that wait now, oldest first, and leave no call behind in the reactor."""
        waiting, self._waiting = self._waiting, {}
        if self._call is not None:
            self._call.cancel()
            self._call = None
        for request in waiting.values():
            if not request.called:
                request.errback(error)

    def _giveUp(self, request: Deferred[_T]) -> None:
        assert isinstance(request, _Request)
        if self._waiting.get(request.requestId) is request:
            del self._waiting[request.requestId]

    def _sweep(self) -> None:
        """Fail the requests whose time is over, and look again when the next one's is."""
        self._call = None
        now = self._reactor.seconds()
        late: list[_Request[_T]] = []
        for request in self._waiting.values():
            if request.deadline > now:
                delay = max(SHORTEST_SWEEP, request.deadline - now)
                self._call = self._reactor.callLater(delay, self._sweep)
                break
            late.append(request)
        for request in late:
            del self._waiting[request.requestId]
        for request in late:
            if not request.called:
                request.errback(ConnectionEnded(self._message))


class _Request(Deferred[_T]):
    """A request that waits; it is its own record, since there is one for each packet."""

    requestId = 0
    deadline = 0.0


def encodeRefusal(requestId: int, now: float, text: str) -> bytes:
    """
    Write the Error of a request that is not taken.

    @param now: seconds since the epoch.
    @param text: for people.
    """
    moment = encodeGeneralizedTime(now)
    return encode(BTPError(requestId, "F00", "NotAcceptedError", moment, text.encode("utf-8")))
