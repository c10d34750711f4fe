"""
One STREAM connection on an account: one session, one pump, one timer.

Everything that the application is told, it is told in a turn of the reactor of its own, never from
within a call that it made itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IProtocolFactory
from twisted.logger import Logger
from twisted.python.failure import Failure

from txilpstream.account import Account
from txilpstream.crypto import SessionKeys
from txilpstream.errors import ConnectionEnded, ErrorCode, StreamError
from txilpstream.interfaces import NotSent, PaymentRequest
from txilpstream.moneyrate import MoneyRate
from txilpstream.protocol import StreamAddress
from txilpstream.session import events
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.receiver import Incoming
from txilpstream.session.session import Session
from txilpstream.session.windows import ByteBudget
from txilpstream.stream import Stream
from txilpstream.wire.ilp import Prepare

__all__ = ["StreamConnection"]

_log = Logger()

PACKETS_PER_TURN: Final = 64
"""Packets that leave in one turn of the reactor: others want their turn too."""

SHORTEST_WAIT: Final = 0.0005
"""Seconds: a timer that is due at once would starve the reactor if nothing came of it."""


class StreamConnection:
    """
    A connection that is open, or is being opened or closed.

    @ivar session: its state, for reading.
    @ivar account: the account that it uses.
    @ivar streams: the streams that are open, by number.
    @ivar sourceAddress: where this end is reached; empty if it is not.
    @ivar connectionTag: what the server's owner wrote into the credentials, or empty.
    @ivar packetsSent: Prepares that left.
    @ivar closesWithLastStream: whether it is closed when no stream is open any more.
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
        self.account = account
        self.session = Session(configuration, keys, account.randomBytes, budget)
        self.factory = factory
        self.sourceAddress = configuration.sourceAddress
        self.connectionTag = configuration.connectionTag
        self.streams: dict[int, Stream] = {}
        self.pulling: dict[int, Stream] = {}
        self.reading: dict[int, Stream] = {}
        self.packetsSent = 0
        self.closesWithLastStream = False
        self.onEnd: Callable[[StreamConnection], None] | None = None
        self._policy = policy
        self._timer: IDelayedCall | None = None
        self._timerAt = 0.0
        self._rates: dict[int, MoneyRate] | None = None
        self._opened: list[Deferred[StreamConnection]] = []
        self._closed: list[Deferred[None]] = []
        self._isCollecting = False

    __slots__ = (
        "__weakref__",
        "_closed",
        "_isCollecting",
        "_opened",
        "_policy",
        "_rates",
        "_timer",
        "_timerAt",
        "account",
        "closesWithLastStream",
        "connectionTag",
        "factory",
        "onEnd",
        "packetsSent",
        "pulling",
        "reading",
        "session",
        "sourceAddress",
        "streams",
    )

    # --- What the application calls -----------------------------------------------------------

    def whenOpen(self) -> Deferred[StreamConnection]:
        """Fires when the peer has answered; fails if the connection ends before."""
        deferred: Deferred[StreamConnection] = Deferred()
        self._opened.append(deferred)
        self.wake()
        return deferred

    def openStream(self, factory: IProtocolFactory) -> Deferred[Any]:
        """
        Open a stream and connect a protocol to it.

        @return: fires with the protocol, at once; it is a Deferred as with any endpoint.
        @raise LocalError: if the connection is closed.
        """
        streamID = self.session.openStream()
        stream = self.streams[streamID] = Stream(self, streamID)
        protocol = self._start(stream, factory)
        self.wake()
        return succeed(protocol)

    def close(self) -> Deferred[None]:
        """
        Close the connection when all that was written and offered is delivered.

        @return: fires when it is over, in good order or not.
        """
        deferred = self.whenClosed()
        self.session.close()
        self.wake()
        return deferred

    def whenClosed(self) -> Deferred[None]:
        """Fires when the connection is over."""
        if self.session.isClosed:
            self.wake()
            return succeed(None)
        deferred: Deferred[None] = Deferred()
        self._closed.append(deferred)
        return deferred

    def abort(self, message: str = "", code: int = ErrorCode.APPLICATION_ERROR) -> None:
        """Close the connection now; what was not sent never will be."""
        reason = message or "the connection was aborted by this side"
        self.session.abort(ConnectionEnded(reason, self.session.rejects), code, message)
        self.wake()

    def wake(self) -> None:
        """Take a turn soon."""
        self.account.wake(self)

    def setSendRate(self, stream: Stream, sourceAmount: int, perSeconds: int) -> None:
        """Offer money on a stream as time passes; see L{Stream.setSendRate}."""
        if self._rates is None:
            self._rates = {}
        old = self._rates.pop(stream.streamID, None)
        if old is not None:
            old.stop()
        if sourceAmount:
            rate = MoneyRate(self.account.reactor, stream, sourceAmount, perSeconds)
            self._rates[stream.streamID] = rate
            rate.start()

    # --- Sending ------------------------------------------------------------------------------

    def turn(self) -> None:
        """Tell what happened, read, ask producers, and send what may leave."""
        self._collect()
        if self.reading:
            reading, self.reading = self.reading, {}
            for stream in reading.values():
                stream.read()
        if self.pulling:
            for stream in list(self.pulling.values()):
                stream.pull()
        self._pump()
        self._collect()
        self._schedule()

    def _pump(self) -> None:
        account, session = self.account, self.session
        sendData = account.plugin.sendData
        now = account.now()
        for _ in range(PACKETS_PER_TURN):
            if account.isPaused:
                account.waitForPlugin(self)
                return
            packet = session.nextPacket(now=now)
            if packet is None:
                return
            self.packetsSent += 1
            arguments = (packet.sequence,)
            sendData(packet.data).addCallbacks(
                self._cbReply, self._ebReply, callbackArgs=arguments, errbackArgs=arguments
            )
        account.wake(self)

    def _cbReply(self, data: bytes, sequence: int) -> None:
        self.session.receiveReply(sequence, data, now=self.account.now())
        self.account.wake(self)

    def _ebReply(self, failure: Failure, sequence: int) -> None:
        now = self.account.now()
        if failure.check(NotSent):  # type: ignore[no-untyped-call]
            self.session.receiveNotSent(sequence, now=now)
        else:
            self.session.receiveNoReply(sequence, now=now)
        self.account.wake(self)

    def _schedule(self) -> None:
        """Keep one timer, and move it only to an earlier moment."""
        moment = self.session.nextTimeout()
        timer = self._timer
        if moment is None:
            if timer is not None:
                self._timer = None
                timer.cancel()
            return
        if timer is not None:
            if self._timerAt <= moment:
                return
            timer.cancel()
        delay = max(SHORTEST_WAIT, moment - self.account.now())
        self._timerAt = moment
        self._timer = self.account.reactor.callLater(delay, self._timeout)

    def _timeout(self) -> None:
        self._timer = None
        self.session.receiveTimeout(now=self.account.now())
        self.turn()

    # --- Receiving ----------------------------------------------------------------------------

    def receivePrepare(self, segment: str, prepare: Prepare) -> bytes | Deferred[bytes]:
        """Answer a Prepare of the peer's."""
        session = self.session
        now = self.account.now()
        incoming = session.receivePrepare(prepare, now=now)
        self._collect()
        mustAsk = self._policy is not None and prepare.amount > 0
        if mustAsk and session.wouldAccept(incoming, now=now):
            return self._ask(incoming)
        reply = session.answer(incoming, True, now=now)
        self.account.wake(self)
        return reply

    def _ask(self, incoming: Incoming) -> bytes | Deferred[bytes]:
        """Let the policy judge a packet of money."""
        prepare = incoming.prepare
        request = PaymentRequest(
            prepare.executionCondition,
            self.connectionTag,
            prepare.amount,
            self.session.streamAmounts(incoming),
            prepare.expiresAt,
            self.session.peerAddress,
        )
        try:
            verdict = self._policy.judgePayment(request)
        except Exception:
            _log.failure("a payment policy raised; its packet is refused")
            verdict = False
        if not isinstance(verdict, Deferred):
            return self._answer(verdict is True, incoming)
        asked: Deferred[bool] = verdict
        return asked.addCallbacks(
            lambda accept: self._answer(accept is True, incoming),
            lambda failure: self._ebJudged(failure, incoming),
        )

    def _ebJudged(self, failure: Failure, incoming: Incoming) -> bytes:
        _log.failure("a payment policy failed; its packet is refused", failure)
        return self._answer(False, incoming)

    def _answer(self, accept: bool, incoming: Incoming) -> bytes:
        reply = self.session.answer(incoming, accept, now=self.account.now())
        self.account.wake(self)
        return reply

    # --- Events -------------------------------------------------------------------------------

    def _collect(self) -> None:
        """Tell everybody what happened, until nothing more happens."""
        if self._isCollecting:
            return
        self._isCollecting = True
        try:
            while happened := self.session.nextEvents():
                for event in happened:
                    _TOLD[type(event)](self, event)
        finally:
            self._isCollecting = False

    def _start(self, stream: Stream, factory: IProtocolFactory) -> Any:
        address = StreamAddress(self.session.peerAddress, stream.streamID, self.connectionTag)
        protocol = factory.buildProtocol(address)
        if protocol is None:
            stream.abortConnection()
            return None
        try:
            stream.start(protocol)
        except Exception:
            _log.failure("connectionMade of a protocol raised; its stream is closed")
            stream.abortConnection()
        return protocol

    def _toldAnswered(self, event: events.PeerAnswered) -> None:
        if self.session.isClosed:
            return  # the first answer was that it is over: L{_toldClosed} tells why
        waiting, self._opened = self._opened, []
        for deferred in waiting:
            if not deferred.called:
                deferred.callback(self)

    def _toldNothing(self, event: events.Event) -> None:
        """What can be read from the session at any time."""

    def _toldOpened(self, event: events.StreamOpened) -> None:
        stream = self.streams[event.streamID] = Stream(self, event.streamID)
        if self.factory is None:
            stream.abortConnection()
        else:
            self._start(stream, self.factory)

    def _toldData(self, event: events.DataArrived) -> None:
        stream = self.streams.get(event.streamID)
        if stream is not None:
            stream.read()

    def _toldDrained(self, event: events.DataDrained) -> None:
        stream = self.streams.get(event.streamID)
        if stream is not None:
            stream.drained()

    def _toldReceived(self, event: events.MoneyReceived) -> None:
        stream = self.streams.get(event.streamID)
        if stream is not None:
            stream.credited(event.amount)

    def _toldSettled(self, event: events.MoneySettled) -> None:
        stream = self.streams.get(event.streamID)
        if stream is not None:
            stream.settled(event)

    def _toldFailed(self, event: events.MoneyFailed) -> None:
        rate = self._rates and self._rates.get(event.streamID)
        if rate and event.smallestAmount is not None:
            rate.giveBack(event.sourceAmount, event.smallestAmount)
        stream = self.streams.get(event.streamID)
        if stream is not None:
            stream.moneyFailed(event)

    def _toldEnded(self, event: events.StreamEnded) -> None:
        stream = self.streams.get(event.streamID)
        if stream is not None:
            stream.ended()

    def _toldStreamClosed(self, event: events.StreamClosed) -> None:
        stream = self.streams.get(event.streamID)
        if stream is not None:
            stream.closed(event.error)

    def forget(self, stream: Stream) -> None:
        """A stream is over."""
        self.streams.pop(stream.streamID, None)
        self.pulling.pop(stream.streamID, None)
        self.reading.pop(stream.streamID, None)
        if self._rates is not None:
            rate = self._rates.pop(stream.streamID, None)
            if rate is not None:
                rate.stop()
        if self.closesWithLastStream and not self.streams:
            self.session.close()
            self.wake()

    @property
    def mayBeLetGo(self) -> bool:
        """Whether nothing would be lost if the connection were forgotten now."""
        session = self.session
        return session.isClosed or (
            session.isIdle and not self.streams and not session.hasReceivedMoney
        )

    def letGo(self) -> None:
        """Forget the connection; its next packet makes it anew."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _toldClosed(self, event: events.ConnectionClosed) -> None:
        for stream in list(self.streams.values()):
            stream.closed(event.error)
        waiting, self._opened = self._opened, []
        reason: StreamError = event.error or ConnectionEnded("the peer closed the connection")
        for opened in waiting:
            if not opened.called:
                opened.errback(reason)
        closing, self._closed = self._closed, []
        for closed in closing:
            if not closed.called:
                closed.callback(None)
        if self.onEnd is not None:
            self.onEnd(self)


_TOLD: Final[Mapping[type, Callable[..., None]]] = {
    events.PeerAnswered: StreamConnection._toldAnswered,
    events.PeerAddressChanged: StreamConnection._toldNothing,
    events.AssetDetailsLearned: StreamConnection._toldNothing,
    events.ReceiptArrived: StreamConnection._toldNothing,
    events.StreamOpened: StreamConnection._toldOpened,
    events.DataArrived: StreamConnection._toldData,
    events.DataDrained: StreamConnection._toldDrained,
    events.MoneyReceived: StreamConnection._toldReceived,
    events.MoneySettled: StreamConnection._toldSettled,
    events.MoneyFailed: StreamConnection._toldFailed,
    events.StreamEnded: StreamConnection._toldEnded,
    events.StreamClosed: StreamConnection._toldStreamClosed,
    events.ConnectionClosed: StreamConnection._toldClosed,
}
