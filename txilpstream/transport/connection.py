"""
One STREAM connection on an account: one session, one pump, one timer.

Everything that the application is told, it is told in a turn of the reactor of its own, never from
within a call that it made itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory
from twisted.logger import Logger
from twisted.python.failure import Failure

from txilpstream.amounts import checkAmount
from txilpstream.asking import ask
from txilpstream.awaited import Awaited
from txilpstream.crypto.keys import SessionKeys
from txilpstream.errors import ConnectionEnded, ErrorCode, LocalError
from txilpstream.interfaces import NotSent, Refusal
from txilpstream.opening import openStream
from txilpstream.producerside import pullAll
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.incoming import Incoming
from txilpstream.session.session import Session
from txilpstream.session.streams.flowcontrol import ByteBudget
from txilpstream.telling import TOLD
from txilpstream.timer import Timer
from txilpstream.transport.account import Account
from txilpstream.transport.sendrate import MoneyRate
from txilpstream.transport.stream import Stream
from txilpstream.wire.ilp import Prepare

__all__ = ["StreamConnection"]

_log = Logger()

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
        mustAsk = self._policy is not None and prepare.amount > 0
        if mustAsk and session.wouldAccept(incoming, now=now):
            return ask(self, self._policy, incoming)
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
                        TOLD[type(event)](self, event)
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
