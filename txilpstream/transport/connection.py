"""
One STREAM connection on an account: one session, one pump, one timer.

What the application is told, it is told in a turn of the connection, or while a packet is answered
that opens a stream or asks for its yes; never from within a call that it made itself. A packet
costs one Deferred, that of the plugin, and no timer: the connection has one, which is moved to the
earliest moment at which its session wants to be called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import NoProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from txilpstream.amounts import checkAmount
from txilpstream.crypto.keys import SessionKeys
from txilpstream.errors import ConnectionEnded, ErrorCode, StreamError, checkKind, checkSeconds
from txilpstream.interfaces import AnyFactory, NotSent, PaymentPolicy, PaymentRequest, Refusal
from txilpstream.session import events
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.events import RateLearned
from txilpstream.session.receiver import Askable, Incoming
from txilpstream.session.session import Session
from txilpstream.session.streams.flowcontrol import ByteBudget
from txilpstream.transport.account import Account
from txilpstream.transport.protocol import checkFactory
from txilpstream.transport.stream import Stream, StreamAddress, StreamQueues
from txilpstream.waiters import Timer, Waiters
from txilpstream.wire.ilp import Prepare

__all__ = ["EVENT_HANDLERS", "StreamConnection"]

_log = Logger()

PACKETS_PER_TURN: Final = 64
"""Packets that leave in one turn of the reactor: others want their turn too. One with data counts
as one more for each 8 KiB, and to ask sixteen pull producers as one."""


class StreamConnection:
    """
    A connection that is open, or is being opened or closed.

    @ivar account: the account that it uses.
    @ivar session: its state, for reading.
    @ivar streams: the streams that are open, by number.
    @ivar sourceAddress: where this end is reached; empty if it is not.
    @ivar connectionTag: what the server's owner wrote into the credentials, or empty.
    @ivar packetsSent: Prepares that left.
    """

    __slots__ = (
        *("__weakref__", "_closing", "_exhausting", "_factory", "_isCollecting", "_isLetGo"),
        *("_measuring", "_onEnd", "_opening", "_policy", "_queues", "_timer", "account"),
        *("connectionTag", "packetsSent", "session", "sourceAddress", "streams"),
    )

    def __init__(
        self,
        account: Account,
        configuration: SessionConfiguration,
        keys: SessionKeys,
        *,
        factory: AnyFactory | None = None,
        policy: PaymentPolicy | None = None,
        budget: ByteBudget | None = None,
        onEnd: Callable[[StreamConnection], None] | None = None,
    ) -> None:
        """
        L{StreamClient <txilpstream.transport.client.StreamClient>} and L{StreamServer
        <txilpstream.transport.server.StreamServer>} make connections.

        @param factory: builds the protocols of streams that the peer opens; without it they are
            refused.
        @param policy: an L{IPaymentPolicy <txilpstream.interfaces.IPaymentPolicy>}, None to
            accept what the streams accept.
        @param onEnd: is called when the connection is over and everybody has been told.
        """
        self.account = account
        self.session = Session(configuration, keys, account.randomBytes, budget)
        self.sourceAddress = configuration.sourceAddress
        self.connectionTag = configuration.connectionTag
        self.streams: dict[int, Stream] = {}
        self.packetsSent = 0
        self._factory = factory
        self._policy = policy
        self._onEnd = onEnd
        self._queues = StreamQueues()
        self._timer = Timer(account.reactor, self._timeout)
        self._isCollecting = self._isLetGo = False
        self._opening: Waiters[StreamConnection] = Waiters()
        self._closing: Waiters[None] = Waiters()
        self._measuring: Waiters[RateLearned] = Waiters()
        self._exhausting: Waiters[int] = Waiters()
        account.connections.add(self)

    # --- For applications -----------------------------------------------------------------

    def openStream(self, factory: AnyFactory) -> Deferred[Any]:
        """
        Open a stream and connect a protocol to it.

        @return: fires with the protocol, at once; it is a Deferred as with any endpoint. It fails
            with what C{buildProtocol} raised, and with C{NoProtocol} if it gave None.
        @raise LocalError: if the connection is closed, or the factory is none.
        """
        checkFactory(factory)
        streamID = self.session.openStream()
        stream = self.streams[streamID] = Stream(self, streamID)
        self._wake()
        try:
            protocol = self._buildProtocol(stream, factory)
        except Exception:
            stream.abortConnection()
            return fail()
        if protocol is None:
            stream.abortConnection()
            return fail(NoProtocol())
        self._start(stream, protocol)
        return succeed(protocol)

    def whenOpen(self) -> Deferred[StreamConnection]:
        """Fires when the peer has answered; fails if the connection ends before, or has ended."""
        if self.session.isClosed:
            return fail(ConnectionEnded("the connection is over", self.session.rejects))
        if self.session.hasPeer:
            return succeed(self)
        opened = self._opening.add()
        self._wake()
        return opened

    def whenClosed(self) -> Deferred[None]:
        """Fires when the connection is over."""
        if self.session.isClosed:
            self._wake()
            return succeed(None)
        return self._closing.add()

    def whenKeyExhausted(self) -> Deferred[int]:
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
        return self._exhausting.add()

    def measureRate(self, sourceAmount: int) -> Deferred[RateLearned]:
        """
        Ask what the rate is, with packets that nobody can fulfill; no money moves.

        @param sourceAmount: for how much it is to be known, in source units.
        @return: fires when it is known; fails if the connection ends before. Cancelling it gives
            up; whoever else asks has its answer by the same packets.
        """
        if self.session.isClosed:
            return fail(ConnectionEnded("the connection is over", self.session.rejects))
        self.session.measureRate(sourceAmount)
        measured = self._measuring.add()
        self._wake()
        return measured.addBoth(self._measured)

    def _measured(self, outcome: Any) -> Any:
        if not self._measuring:
            self.session.forgetRate()
        return outcome

    def close(self, timeout: float | None = None) -> Deferred[None]:
        """
        Close the connection when all that was written and offered is delivered.

        It waits as long as the peer takes anything of that, and ends by itself if the peer takes
        nothing for C{deadlineSinceFulfill} seconds.

        @param timeout: seconds after which it is aborted; None for no such limit.
        @return: fires when it is over, in good order or not.
        """
        if timeout is not None:
            checkSeconds("timeout", timeout)
        deferred = self.whenClosed()
        self.session.close()
        self._wake()
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
        checkKind("the message", message, str, "a text")
        checkAmount("the error code", code, maximum=255)
        reason = message or "the connection was aborted by this side"
        self.session.abort(ConnectionEnded(reason, self.session.rejects), code, message)
        self._wake()

    # --- Turns ----------------------------------------------------------------------------

    def _wake(self) -> None:
        """Take a turn soon."""
        self.account._wake(self)

    def _turn(self) -> None:
        """Tell what happened, read, ask producers, and send what may leave."""
        if self._isLetGo:
            return
        queues = self._queues
        self._collect()
        if queues.reading:
            queues.read()
        left = PACKETS_PER_TURN
        while left > 0:
            before, queues.goesOn = self.packetsSent, False
            if queues.pulling:
                queues.pull()
            left = self._pump(left) - len(queues.pulling) // 16
            self._collect()
            if self.packetsSent == before or (left > 0 and not queues.goesOn):
                break
        else:
            self.account._wake(self)
        self._timer.moveTo(self.session.nextTimeout(), self.account.now)

    def _pump(self, most: int) -> int:
        """
        Send what may leave, at most so many packets; gives how many more there may be.

        It stops where a producer may go on, so that packets of data are full if they can be.
        """
        account, session, queues = self.account, self.session, self._queues
        sendData = account.plugin.sendData
        now = account.now()
        left = most
        while left > 0:
            if account.isPaused:
                session.wait(now=now)
                account._waitForPlugin(self)
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
            if more and (queues.paused or queues.pulling) and session.isLow:
                queues.goesOn = True
                break
        return left

    def _cbReply(self, data: bytes, sequence: int) -> None:
        self.session.receiveReply(sequence, data, now=self.account.now())
        self.account._wake(self)

    def _ebReply(self, failure: Failure, sequence: int) -> None:
        now = self.account.now()
        if failure.check(NotSent):  # type: ignore[no-untyped-call]
            self.session.receiveNotSent(sequence, now=now)
        else:
            isLinkDown = not self.account.plugin.isConnected()
            self.session.receiveNoReply(sequence, now=now, isLinkDown=isLinkDown)
        self.account._wake(self)

    def _timeout(self) -> None:
        self.session.receiveTimeout(now=self.account.now())
        self._turn()

    # --- What the peer sends ----------------------------------------------------------------

    def _receivePrepare(self, segment: str, prepare: Prepare) -> bytes | Deferred[bytes]:
        """Answer a Prepare of the peer's."""
        session = self.session
        now = self.account.now()
        incoming = session.receivePrepare(prepare, now=now)
        if incoming.hasOpened:
            self._collect()
        policy = self._policy
        if policy is not None and prepare.amount > 0:
            judged = session.judge(incoming, now=now)
            if isinstance(judged, Askable):
                return self._ask(policy, incoming, judged)
        reply = session.answer(incoming, True, now=now)
        self.account._wake(self)
        return reply

    def _ask(
        self, policy: PaymentPolicy, incoming: Incoming, asked: Askable
    ) -> bytes | Deferred[bytes]:
        """Let a policy judge a packet of money, and answer it so."""
        prepare = incoming.prepare
        request = PaymentRequest(
            prepare.executionCondition,
            self.connectionTag,
            prepare.amount,
            asked.parts,
            prepare.expiresAt,
            self.session.peerAddress,
            asked.data,
        )
        try:
            verdict: Any = policy.judgePayment(request)
        except Exception:
            _log.failure("a payment policy raised; its packet is refused")
            verdict = False
        if not isinstance(verdict, Deferred):
            return self._cbJudged(verdict, incoming)
        arguments = (incoming,)
        return verdict.addCallbacks(
            self._cbJudged, self._ebJudged, callbackArgs=arguments, errbackArgs=arguments
        )

    def _cbJudged(self, verdict: Any, incoming: Incoming) -> bytes:
        """Give the reply to a packet that the policy has judged; only True is a yes."""
        session = self.session
        if isinstance(verdict, Refusal):
            session.refuse(incoming, verdict.text, isFinal=verdict.isFinal)
        reply = session.answer(incoming, verdict is True, now=self.account.now())
        self.account._wake(self)
        return reply

    def _ebJudged(self, failure: Failure, incoming: Incoming) -> bytes:
        _log.failure("a payment policy failed; its packet is refused", failure)
        return self._cbJudged(False, incoming)

    # --- Life -----------------------------------------------------------------------------

    def _reconnected(self) -> None:
        """The plugin lost its peer and has found it again."""
        self.session.receiveReconnect(now=self.account.now())
        self._wake()

    def _forget(self, stream: Stream) -> None:
        """A stream is over."""
        self.streams.pop(stream.streamID, None)
        self._queues.forget(stream.streamID)

    @property
    def _mayBeLetGo(self) -> bool:
        """Whether nothing would be lost if the connection were forgotten now."""
        session = self.session
        return session.isClosed or (session.isIdle and not session.isUsed)

    def _letGo(self) -> None:
        """Forget the connection; its next packet makes it anew."""
        self._isLetGo = True
        self._timer.stop()
        self.account._forget(self)

    def _buildProtocol(self, stream: Stream, factory: AnyFactory) -> Any:
        address = StreamAddress(self.session.peerAddress, stream.streamID, self.connectionTag)
        return factory.buildProtocol(address)

    def _start(self, stream: Stream, protocol: Any) -> None:
        try:
            stream._start(protocol)
        except Exception:
            _log.failure("connectionMade of a protocol raised; its stream is closed")
            stream.abortConnection()

    # --- What the session tells -------------------------------------------------------------

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

    def _peerAnswered(self, event: events.PeerAnswered) -> None:
        # If the first answer was that it is over, L{_connectionClosed} tells why.
        if not self.session.isClosed:
            self._opening.fire(self)

    def _rateLearned(self, event: events.RateLearned) -> None:
        self._measuring.fire(event)

    def _keyExhausted(self, event: events.KeyExhausted) -> None:
        _log.warn(
            "a connection's key may encrypt {left} more packets; it opens no more streams",
            left=event.left,
        )
        self._exhausting.fire(event.left)

    def _reserveNeeded(self, event: events.ReserveNeeded) -> None:
        for stream in list(self.streams.values()):
            if event.streamID in (0, stream.streamID):
                stream._watched(event)

    def _streamOpened(self, event: events.StreamOpened) -> None:
        """Connect a protocol to a stream that the peer opened, or refuse it."""
        if self.session.isClosed:
            return  # the packet that named the stream broke the protocol besides
        stream = self.streams[event.streamID] = Stream(self, event.streamID)
        protocol = None
        if self._factory is not None:
            try:
                protocol = self._buildProtocol(stream, self._factory)
            except Exception:
                _log.failure("buildProtocol of a factory raised; its stream is refused")
        if protocol is None:
            stream.abortConnection()
        else:
            self._start(stream, protocol)

    def _dataArrived(self, event: events.DataArrived) -> None:
        stream = self.streams.get(event.streamID)
        if stream is not None:
            stream._read()
        else:
            # The application closed it: what still comes is dropped, so that the peer can end.
            self.session.consumeData(event.streamID)

    def _dataDrained(self, event: events.DataDrained) -> None:
        if not event.streamID:
            self._queues.drained()
            return
        stream = self.streams.get(event.streamID)
        if stream is not None:
            stream._drained()

    def _connectionClosed(self, event: events.ConnectionClosed) -> None:
        for stream in list(self.streams.values()):
            stream._closed(event.error, stream.moneyInFlight)
        reason: StreamError = event.error or ConnectionEnded("the peer closed the connection")
        self._opening.fail(reason)
        self._measuring.fail(reason)
        self._closing.fire(None)
        self.account._forget(self)
        if self._onEnd is not None:
            self._onEnd(self)


def _nothing(connection: StreamConnection, event: events.Event) -> None:
    """What can be read from the session at any time."""


def _toStream(tell: Callable[[Stream, Any], None]) -> Callable[[StreamConnection, Any], None]:
    """What concerns one stream; what concerns one that is gone concerns nobody."""

    def handle(connection: StreamConnection, event: Any) -> None:
        stream = connection.streams.get(event.streamID)
        if stream is not None:
            tell(stream, event)

    return handle


EVENT_HANDLERS: Final[Mapping[type, Callable[[StreamConnection, Any], None]]] = {
    events.PeerAnswered: StreamConnection._peerAnswered,
    events.PeerAddressChanged: _nothing,
    events.AssetDetailsLearned: _nothing,
    events.ReceiptArrived: _nothing,
    events.RateLearned: StreamConnection._rateLearned,
    events.KeyExhausted: StreamConnection._keyExhausted,
    events.ReserveNeeded: StreamConnection._reserveNeeded,
    events.StreamOpened: StreamConnection._streamOpened,
    events.DataArrived: StreamConnection._dataArrived,
    events.DataDrained: StreamConnection._dataDrained,
    events.MoneyReceived: _toStream(Stream._credited),
    events.MoneySettled: _toStream(Stream._settled),
    events.DoubtResolved: _toStream(Stream._resolved),
    events.MoneyFailed: _toStream(Stream._moneyFailed),
    events.StreamEnded: _toStream(Stream._ended),
    events.SendingEnded: _toStream(Stream._sendingEnded),
    events.StreamClosed: _toStream(lambda stream, event: stream._closed(event.error, event.held)),
    events.ConnectionClosed: StreamConnection._connectionClosed,
}
