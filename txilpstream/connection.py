"""
One STREAM connection on an account: one session, one pump, one timer.

Everything that the application is told, it is told in a turn of the reactor of its own, never from
within a call that it made itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IProtocolFactory
from twisted.logger import Logger
from twisted.python.failure import Failure

from txilpstream.account import Account
from txilpstream.asking import ask
from txilpstream.crypto import SessionKeys
from txilpstream.errors import ConnectionEnded, ErrorCode
from txilpstream.interfaces import NotSent
from txilpstream.moneyrate import MoneyRate
from txilpstream.moneyside import MoneySide
from txilpstream.protocol import StreamAddress
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.receiver import Incoming
from txilpstream.session.session import Session
from txilpstream.session.windows import ByteBudget
from txilpstream.stream import Stream
from txilpstream.telling import TOLD
from txilpstream.timer import Timer
from txilpstream.wire.ilp import Prepare

__all__ = ["StreamConnection"]

_log = Logger()

PACKETS_PER_TURN: Final = 64
"""Packets that leave in one turn of the reactor: others want their turn too."""


class StreamConnection:
    """
    A connection that is open, or is being opened or closed.

    @ivar session: its state, for reading.
    @ivar account: the account that it uses.
    @ivar streams: the streams that are open, by number.
    @ivar sourceAddress: where this end is reached; empty if it is not.
    @ivar connectionTag: what the server's owner wrote into the credentials, or empty.
    @ivar packetsSent: Prepares that left.
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
        self.onEnd: Callable[[StreamConnection], None] | None = None
        self._policy = policy
        self._timer = Timer(account, self._timeout)
        self.rates: dict[int, MoneyRate] | None = None
        self.opening: list[Deferred[StreamConnection]] = []
        self.closing: list[Deferred[None]] = []
        self._isCollecting = False

    __slots__ = (
        "__weakref__",
        "_isCollecting",
        "_policy",
        "_timer",
        "account",
        "closing",
        "connectionTag",
        "factory",
        "onEnd",
        "opening",
        "packetsSent",
        "pulling",
        "rates",
        "reading",
        "session",
        "sourceAddress",
        "streams",
    )

    def whenOpen(self) -> Deferred[StreamConnection]:
        """Fires when the peer has answered; fails if the connection ends before."""
        deferred: Deferred[StreamConnection] = Deferred()
        self.opening.append(deferred)
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
        protocol = self.startStream(stream, factory)
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
        self.closing.append(deferred)
        return deferred

    def abort(self, message: str = "", code: int = ErrorCode.APPLICATION_ERROR) -> None:
        """Close the connection now; what was not sent never will be."""
        reason = message or "the connection was aborted by this side"
        self.session.abort(ConnectionEnded(reason, self.session.rejects), code, message)
        self.wake()

    def wake(self) -> None:
        """Take a turn soon."""
        self.account.wake(self)

    def setSendRate(self, stream: MoneySide, sourceAmount: int, perSeconds: int) -> None:
        """Offer money on a stream as time passes; see L{Stream.setSendRate}."""
        if self.rates is None:
            self.rates = {}
        old = self.rates.pop(stream.streamID, None)
        if old is not None:
            old.stop()
        if sourceAmount:
            rate = MoneyRate(self.account.reactor, stream, sourceAmount, perSeconds)
            self.rates[stream.streamID] = rate
            rate.start()

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
        self._timer.moveTo(self.session.nextTimeout())

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

    def _timeout(self) -> None:
        self.session.receiveTimeout(now=self.account.now())
        self.turn()

    def receivePrepare(self, segment: str, prepare: Prepare) -> bytes | Deferred[bytes]:
        """Answer a Prepare of the peer's."""
        session = self.session
        now = self.account.now()
        incoming = session.receivePrepare(prepare, now=now)
        self._collect()
        mustAsk = self._policy is not None and prepare.amount > 0
        if mustAsk and session.wouldAccept(incoming, now=now):
            return ask(self, self._policy, incoming)
        reply = session.answer(incoming, True, now=now)
        self.account.wake(self)
        return reply

    def answer(self, incoming: Incoming, accept: bool) -> bytes:
        """Give the reply to a packet that the policy has judged."""
        reply = self.session.answer(incoming, accept, now=self.account.now())
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
                    TOLD[type(event)](self, event)
        finally:
            self._isCollecting = False

    def startStream(self, stream: Stream, factory: IProtocolFactory) -> Any:
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

    def forget(self, stream: Stream) -> None:
        """A stream is over."""
        self.streams.pop(stream.streamID, None)
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
        return session.isClosed or (
            session.isIdle and not self.streams and not session.hasReceivedMoney
        )

    def letGo(self) -> None:
        """Forget the connection; its next packet makes it anew."""
        self._timer.stop()
