"""
One STREAM connection on an account: one session, one pump, one timer.

Everything that the application is told, it is told in a turn of the reactor of its own, never from
within a call that it made itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import NoProtocol
from twisted.internet.interfaces import IDelayedCall, IProtocolFactory
from twisted.logger import Logger
from twisted.python.failure import Failure

from txilpstream.amounts import checkAmount
from txilpstream.crypto.keys import SessionKeys
from txilpstream.errors import ConnectionEnded, ErrorCode, LocalError, StreamError
from txilpstream.interfaces import NotSent, PaymentRequest, Refusal
from txilpstream.session import events
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.events import RateLearned
from txilpstream.session.receiver import Askable, Incoming
from txilpstream.session.session import Session
from txilpstream.session.streams.flowcontrol import ByteBudget
from txilpstream.transport.account import Account
from txilpstream.transport.sendrate import MoneyRate
from txilpstream.transport.stream import Stream, StreamAddress, pullAll
from txilpstream.wire.ilp import Prepare

__all__ = [
    "EVENT_HANDLERS",
    "Awaited",
    "StreamConnection",
    "Timer",
    "acceptStream",
    "ask",
    "openStream",
]

_log = Logger()


def ask(
    connection: StreamConnection, policy: Any, incoming: Incoming, asked: Askable
) -> bytes | Deferred[bytes]:
    """
    Let a policy judge a packet of money, and answer it so.

    @param policy: an L{IPaymentPolicy <txilpstream.interfaces.IPaymentPolicy>}.
    """
    prepare = incoming.prepare
    request = PaymentRequest(
        prepare.executionCondition,
        connection.connectionTag,
        prepare.amount,
        asked.parts,
        prepare.expiresAt,
        connection.session.peerAddress,
        asked.data,
    )
    try:
        verdict = policy.judgePayment(request)
    except Exception:
        _log.failure("a payment policy raised; its packet is refused")
        verdict = False
    if not isinstance(verdict, Deferred):
        return _answer(verdict, connection, incoming)
    judging: Deferred[bool | Refusal] = verdict
    return judging.addCallbacks(
        lambda judged: _answer(judged, connection, incoming),
        lambda failure: _ebJudged(failure, connection, incoming),
    )


def _answer(verdict: Any, connection: StreamConnection, incoming: Incoming) -> bytes:
    refusal = verdict if isinstance(verdict, Refusal) else None
    return connection.answer(incoming, verdict is True, refusal)


def _ebJudged(failure: Failure, connection: StreamConnection, incoming: Incoming) -> bytes:
    _log.failure("a payment policy failed; its packet is refused", failure)
    return connection.answer(incoming, False)


class Awaited:
    """
    The half of a connection that others wait on.

    @ivar session: its state, for reading.
    @ivar opening: who waits for the peer's first answer.
    @ivar closing: who waits for the end.
    @ivar measuring: who waits for the rate.
    @ivar wearing: who waits for the end of the key.
    """

    __slots__ = ("closing", "measuring", "opening", "session", "wearing")

    def __init__(self, session: Session) -> None:
        self.session = session
        self.opening: list[Deferred[StreamConnection]] = []
        self.closing: list[Deferred[None]] = []
        self.measuring: list[Deferred[RateLearned]] = []
        self.wearing: list[Deferred[int]] = []

    def wake(self) -> None:
        """Take a turn soon."""
        raise NotImplementedError("a connection takes turns")

    def whenOpen(self) -> Deferred[StreamConnection]:
        """Fires when the peer has answered; fails if the connection ends before."""
        deferred: Deferred[StreamConnection] = Deferred()
        self.opening.append(deferred)
        self.wake()
        return deferred

    def whenClosed(self) -> Deferred[None]:
        """Fires when the connection is over."""
        if self.session.isClosed:
            self.wake()
            return succeed(None)
        deferred: Deferred[None] = Deferred()
        self.closing.append(deferred)
        return deferred

    def whenWorn(self) -> Deferred[int]:
        """
        Fires when this end has encrypted nine tenths of the packets that the key may encrypt,
        answers included (RFC 29 section 5.1.3: 2^31). It is time for another connection, with new
        credentials: this one opens no more streams, ends when those that it has are over, and
        closes them when a hundredth is left.

        @return: fires with the number of packets that are left; never if the connection ends
            before.
        """
        if self.session.isKeyExhausted:
            return succeed(self.session.packetsLeft)
        deferred: Deferred[int] = Deferred()
        self.wearing.append(deferred)
        return deferred


def openStream(connection: StreamConnection, factory: IProtocolFactory) -> Deferred[Any]:
    """
    Open a stream and connect a protocol to it.

    @return: as of C{StreamConnection.openStream}.
    @raise LocalError: if the connection is closed.
    """
    streamID = connection.session.openStream()
    stream = connection.streams[streamID] = Stream(connection, streamID)
    connection.wake()
    try:
        protocol = _build(connection, stream, factory)
    except Exception:
        stream.abortConnection()
        return fail()
    if protocol is None:
        stream.abortConnection()
        return fail(NoProtocol())
    _start(stream, protocol)
    return succeed(protocol)


def acceptStream(connection: StreamConnection, streamID: int) -> None:
    """Connect a protocol to a stream that the peer opened, or refuse it."""
    if connection.session.isClosed:
        return  # the packet that named the stream broke the protocol besides
    stream = connection.streams[streamID] = Stream(connection, streamID)
    protocol = None
    if connection.factory is not None:
        try:
            protocol = _build(connection, stream, connection.factory)
        except Exception:
            _log.failure("buildProtocol of a factory raised; its stream is refused")
    if protocol is None:
        stream.abortConnection()
    else:
        _start(stream, protocol)


def _build(connection: StreamConnection, stream: Stream, factory: IProtocolFactory) -> Any:
    session, tag = connection.session, connection.connectionTag
    return factory.buildProtocol(StreamAddress(session.peerAddress, stream.streamID, tag))


def _start(stream: Stream, protocol: Any) -> None:
    try:
        stream.start(protocol)
    except Exception:
        _log.failure("connectionMade of a protocol raised; its stream is closed")
        stream.abortConnection()


def _toldAnswered(connection: StreamConnection, event: events.PeerAnswered) -> None:
    if connection.session.isClosed:
        return  # the first answer was that it is over: L{_toldClosed} tells why
    waiting, connection.opening = connection.opening, []
    for deferred in waiting:
        if not deferred.called:
            deferred.callback(connection)


def _toldRate(connection: StreamConnection, event: events.RateLearned) -> None:
    waiting, connection.measuring = connection.measuring, []
    for deferred in waiting:
        if not deferred.called:
            deferred.callback(event)


def _toldReserve(connection: StreamConnection, event: events.ReserveNeeded) -> None:
    for stream in list(connection.streams.values()):
        if event.streamID in (0, stream.streamID):
            stream.watched(event)


def _toldNothing(connection: StreamConnection, event: events.Event) -> None:
    """What can be read from the session at any time."""


def _toldWorn(connection: StreamConnection, event: events.KeyExhausted) -> None:
    _log.warn(
        "a connection's key may encrypt {left} more packets; it opens no more streams",
        left=event.left,
    )
    waiting, connection.wearing = connection.wearing, []
    for deferred in waiting:
        if not deferred.called:
            deferred.callback(event.left)


def _toldOpened(connection: StreamConnection, event: events.StreamOpened) -> None:
    acceptStream(connection, event.streamID)


def _toldData(connection: StreamConnection, event: events.DataArrived) -> None:
    stream = connection.streams.get(event.streamID)
    if stream is not None:
        stream.read()
    else:
        # The application closed it: what still comes is dropped, so that the peer can end.
        connection.session.consumeData(event.streamID)


def _toldDrained(connection: StreamConnection, event: events.DataDrained) -> None:
    if not event.streamID:
        for paused in list(connection.paused.values()):  # who has waited longest is first
            paused.drained()
        return
    stream = connection.streams.get(event.streamID)
    if stream is not None:
        stream.drained()


def _toldReceived(connection: StreamConnection, event: events.MoneyReceived) -> None:
    stream = connection.streams.get(event.streamID)
    if stream is not None:
        stream.credited(event.amount)


def _toldSettled(connection: StreamConnection, event: events.MoneySettled) -> None:
    stream = connection.streams.get(event.streamID)
    if stream is not None:
        stream.settled(event)


def _toldResolved(connection: StreamConnection, event: events.DoubtResolved) -> None:
    stream = connection.streams.get(event.streamID)
    if stream is not None:
        stream.resolved(event)


def _toldFailed(connection: StreamConnection, event: events.MoneyFailed) -> None:
    stream = connection.streams.get(event.streamID)
    if stream is None:
        return
    taken = stream.moneyFailed(event)
    rate = connection.rates and connection.rates.get(event.streamID)
    if rate and taken and event.smallestAmount is not None:
        rate.giveBack(taken, event.smallestAmount)


def _toldEnded(connection: StreamConnection, event: events.StreamEnded) -> None:
    stream = connection.streams.get(event.streamID)
    if stream is not None:
        stream.ended()


def _toldSendingEnded(connection: StreamConnection, event: events.SendingEnded) -> None:
    stream = connection.streams.get(event.streamID)
    if stream is not None:
        stream.sendingEnded()


def _toldStreamClosed(connection: StreamConnection, event: events.StreamClosed) -> None:
    stream = connection.streams.get(event.streamID)
    if stream is not None:
        stream.closed(event.error, event.held)


def _toldClosed(connection: StreamConnection, event: events.ConnectionClosed) -> None:
    for stream in list(connection.streams.values()):
        stream.closed(event.error, stream.moneyInFlight)
    waiting, connection.opening = connection.opening, []
    reason: StreamError = event.error or ConnectionEnded("the peer closed the connection")
    for opened in waiting:
        if not opened.called:
            opened.errback(reason)
    measuring, connection.measuring = connection.measuring, []
    for measured in measuring:
        if not measured.called:
            measured.errback(reason)
    closing, connection.closing = connection.closing, []
    for closed in closing:
        if not closed.called:
            closed.callback(None)
    connection.account.forget(connection)
    if connection.onEnd is not None:
        connection.onEnd(connection)


EVENT_HANDLERS: Final[Mapping[type, Callable[..., None]]] = {
    events.PeerAnswered: _toldAnswered,
    events.PeerAddressChanged: _toldNothing,
    events.AssetDetailsLearned: _toldNothing,
    events.ReceiptArrived: _toldNothing,
    events.RateLearned: _toldRate,
    events.KeyExhausted: _toldWorn,
    events.ReserveNeeded: _toldReserve,
    events.StreamOpened: _toldOpened,
    events.DataArrived: _toldData,
    events.DataDrained: _toldDrained,
    events.MoneyReceived: _toldReceived,
    events.MoneySettled: _toldSettled,
    events.DoubtResolved: _toldResolved,
    events.MoneyFailed: _toldFailed,
    events.StreamEnded: _toldEnded,
    events.SendingEnded: _toldSendingEnded,
    events.StreamClosed: _toldStreamClosed,
    events.ConnectionClosed: _toldClosed,
}

SHORTEST_WAIT: Final = 0.0005
"""Seconds: a timer that is due at once would starve the reactor if nothing came of it."""


class Timer:
    """Calls a function at the earliest of the moments that it was told since it last did."""

    __slots__ = ("_account", "_call", "_function", "_moment")

    def __init__(self, account: Account, function: Callable[[], None]) -> None:
        """
        @param account: whose clock the moments are of.
        """
        self._account = account
        self._function = function
        self._call: IDelayedCall | None = None
        self._moment = 0.0

    def moveTo(self, moment: float | None) -> None:
        """Call at this moment, None for never, or earlier if that was told before."""
        if moment is None:
            self.stop()
            return
        if self._call is not None:
            if self._moment <= moment:
                return
            self._call.cancel()
        delay = max(SHORTEST_WAIT, moment - self._account.now())
        self._moment = moment
        self._call = self._account.reactor.callLater(delay, self._fire)

    def stop(self) -> None:
        """Call no more."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _fire(self) -> None:
        self._call = None
        self._function()


PACKETS_PER_TURN: Final = 64
"""Packets that leave in one turn of the reactor: others want their turn too. One with data counts
as one more for each 8 KiB, and to ask sixteen pull producers as one."""


class StreamConnection(Awaited):
    """
    A connection that is open, or is being opened or closed.

    @ivar account: the account that it uses.
    @ivar streams: the streams that are open, by number.
    @ivar sourceAddress: where this end is reached; empty if it is not.
    @ivar connectionTag: what the server's owner wrote into the credentials, or empty.
    @ivar packetsSent: Prepares that left.
    @ivar goesOn: whether this turn sends more: a producer was asked, or is to be asked.
    """

    def __init__(
        self,
        account: Account,
        configuration: SessionConfiguration,
        keys: SessionKeys,
        *,
        factory: IProtocolFactory | None = None,
        policy: Any = None,
        budget: ByteBudget | None = None,
    ) -> None:
        """
        @param factory: builds the protocols of streams that the peer opens; without it they are
            refused.
        @param policy: an L{IPaymentPolicy <txilpstream.interfaces.IPaymentPolicy>}, None to
            accept what the streams accept.
        """
        super().__init__(Session(configuration, keys, account.randomBytes, budget))
        self.account = account
        self.factory = factory
        self.sourceAddress = configuration.sourceAddress
        self.connectionTag = configuration.connectionTag
        self.streams: dict[int, Stream] = {}
        self.paused: dict[int, Stream] = {}
        self.pulling: dict[int, Stream] = {}
        self.reading: dict[int, Stream] = {}
        self.packetsSent = 0
        self.onEnd: Callable[[StreamConnection], None] | None = None
        self._policy = policy
        self._timer = Timer(account, self._timeout)
        self.rates: dict[int, MoneyRate] | None = None
        self.goesOn = False
        self._isCollecting = False
        account.connections.add(self)

    __slots__ = (
        "__weakref__",
        "_isCollecting",
        "_policy",
        "_timer",
        "account",
        "connectionTag",
        "factory",
        "goesOn",
        "onEnd",
        "packetsSent",
        "paused",
        "pulling",
        "rates",
        "reading",
        "sourceAddress",
        "streams",
    )

    def openStream(self, factory: IProtocolFactory) -> Deferred[Any]:
        """
        Open a stream and connect a protocol to it.

        @return: fires with the protocol, at once; it is a Deferred as with any endpoint. It fails
            with what C{buildProtocol} raised, and with C{NoProtocol} if it gave None.
        @raise LocalError: if the connection is closed.
        """
        return openStream(self, factory)

    def close(self, timeout: float | None = None) -> Deferred[None]:
        """
        Close the connection when all that was written and offered is delivered.

        It waits as long as the peer takes anything of that, and ends by itself if the peer takes
        nothing for C{deadlineSinceFulfill} seconds.

        @param timeout: seconds after which it is aborted; None for no such limit.
        @return: fires when it is over, in good order or not.
        """
        deferred = self.whenClosed()
        self.session.close()
        self.wake()
        if timeout is not None and not self.session.isClosed:
            message = f"the connection did not close within {timeout} s"
            call = self.account.reactor.callLater(timeout, self.abort, message)
            deferred.addBoth(lambda _: call.cancel() if call.active() else None)
        return deferred

    def abort(self, message: str = "", code: int = ErrorCode.APPLICATION_ERROR) -> None:
        """
        Close the connection now; what was not sent never will be.

        @param message: why, for people; the peer is told.
        @param code: one of L{ErrorCode}.
        @raise LocalError: if it is not a number from 0 to 255.
        """
        if not isinstance(message, str):
            raise LocalError(f"the message must be str, not {type(message).__name__}")
        checkAmount("the error code", code, maximum=255)
        reason = message or "the connection was aborted by this side"
        self.session.abort(ConnectionEnded(reason, self.session.rejects), code, message)
        self.wake()

    def wake(self) -> None:
        """Take a turn soon."""
        self.account.wake(self)

    def turn(self) -> None:
        """Tell what happened, read, ask producers, and send what may leave."""
        self._collect()
        if self.reading:
            reading, self.reading = self.reading, {}
            for stream in reading.values():
                stream.read()
        left = PACKETS_PER_TURN
        while left > 0:
            before, self.goesOn = self.packetsSent, False
            pullAll(self.pulling)
            left = self._pump(left) - len(self.pulling) // 16
            self._collect()
            if self.packetsSent == before or (left > 0 and not self.goesOn):
                break
        else:
            self.account.wake(self)
        self._timer.moveTo(self.session.nextTimeout())

    def reconnected(self) -> None:
        """The plugin lost its peer and has found it again."""
        self.session.receiveReconnect(now=self.account.now())
        self.wake()

    def _pump(self, most: int) -> int:
        """
        Send what may leave, at most so many packets; gives how many more there may be.

        It stops where a producer may go on, so that packets of data are full if they can be.
        """
        account, session = self.account, self.session
        sendData = account.plugin.sendData
        now = account.now()
        left = most
        while left > 0:
            if account.isPaused:
                session.wait(now=now)
                account.waitForPlugin(self)
                return left
            packet = session.nextPacket(now=now)
            if packet is None:
                return left
            more = len(packet.data) >> 13
            left -= 1 + more
            self.packetsSent += 1
            arguments = (packet.sequence,)
            try:
                answered = sendData(packet.data)
            except Exception:
                _log.failure("sendData of a plugin raised: nobody knows what became of a packet")
                session.receiveNoReply(packet.sequence, now=now)
                continue
            answered.addCallbacks(
                self._cbReply, self._ebReply, callbackArgs=arguments, errbackArgs=arguments
            )
            if more and (self.paused or self.pulling) and session.isLow:
                self.goesOn = True
                break
        return left

    def _cbReply(self, data: bytes, sequence: int) -> None:
        self.session.receiveReply(sequence, data, now=self.account.now())
        self.account.wake(self)

    def _ebReply(self, failure: Failure, sequence: int) -> None:
        now = self.account.now()
        if failure.check(NotSent):  # type: ignore[no-untyped-call]
            self.session.receiveNotSent(sequence, now=now)
        else:
            isLinkDown = not self.account.plugin.isConnected()
            self.session.receiveNoReply(sequence, now=now, isLinkDown=isLinkDown)
        self.account.wake(self)

    def _timeout(self) -> None:
        self.session.receiveTimeout(now=self.account.now())
        self.turn()

    def receivePrepare(self, segment: str, prepare: Prepare) -> bytes | Deferred[bytes]:
        """Answer a Prepare of the peer's."""
        session = self.session
        now = self.account.now()
        incoming = session.receivePrepare(prepare, now=now)
        if incoming.hasOpened:
            self._collect()
        if self._policy is not None and prepare.amount > 0:
            judged = session.judge(incoming, now=now)
            if isinstance(judged, Askable):
                return ask(self, self._policy, incoming, judged)
        reply = session.answer(incoming, True, now=now)
        self.account.wake(self)
        return reply

    def answer(self, incoming: Incoming, accept: bool, refusal: Refusal | None = None) -> bytes:
        """Give the reply to a packet that the policy has judged."""
        session = self.session
        if refusal is not None:
            session.refuse(incoming, refusal.text, isFinal=refusal.isFinal)
        reply = session.answer(incoming, accept, now=self.account.now())
        self.account.wake(self)
        return reply

    def _collect(self) -> None:
        """Tell everybody what happened, until nothing more happens."""
        if self._isCollecting:
            return
        self._isCollecting = True
        try:
            while happened := self.session.nextEvents():
                for event in happened:
                    try:
                        EVENT_HANDLERS[type(event)](self, event)
                    except Exception:
                        _log.failure("an application raised when it was told of an event")
        finally:
            self._isCollecting = False

    def forget(self, stream: Stream) -> None:
        """A stream is over."""
        self.streams.pop(stream.streamID, None)
        self.paused.pop(stream.streamID, None)
        self.pulling.pop(stream.streamID, None)
        self.reading.pop(stream.streamID, None)
        if self.rates is not None:
            rate = self.rates.pop(stream.streamID, None)
            if rate is not None:
                rate.stop()

    @property
    def mayBeLetGo(self) -> bool:
        """Whether nothing would be lost if the connection were forgotten now."""
        session = self.session
        return session.isClosed or (session.isIdle and not session.isUsed)

    def letGo(self) -> None:
        """Forget the connection; its next packet makes it anew."""
        self._timer.stop()
        self.account.forget(self)
