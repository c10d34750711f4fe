"""
One connection: sender, receiver and keys joined, and its life in time.

It does no input or output, and has no clock. A driver tells it what happened and collects what is to
be done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from txilpstream.amounts import U64_MAX, checkAmount
from txilpstream.crypto import SessionKeys
from txilpstream.errors import (
    ConnectionEnded,
    ErrorCode,
    LocalError,
    RejectSeen,
    StreamError,
)
from txilpstream.session.configuration import ANSWER_MARGIN, SessionConfiguration
from txilpstream.session.events import Event
from txilpstream.session.receiver import Incoming, Receiver
from txilpstream.session.sender import NEVER, Outgoing, Sender
from txilpstream.session.settlement import Settlement
from txilpstream.session.state import SessionState
from txilpstream.session.stream import OPEN, SessionStream
from txilpstream.session.windows import ByteBudget
from txilpstream.wire.frames import (
    ConnectionMaxData,
    ConnectionStreamIDBlocked,
    StreamClose,
    StreamData,
    StreamMaxData,
    StreamMaxMoney,
)
from txilpstream.wire.ilp import Prepare

__all__ = ["Session"]

UNLIMITED: Final = 1 << 62


class Session:
    """
    The state of one STREAM connection.

    The caller's duty: after each call of C{receive...} or of a command, collect L{nextEvents};
    then L{nextPacket} until it gives None or a bound of its own is reached; then L{nextTimeout},
    and call L{receiveTimeout} at that moment. C{now} is in seconds since the epoch and never goes
    back.
    """

    __slots__ = ("_configuration", "_receiver", "_sender", "_settlement", "_state")

    def __init__(
        self,
        configuration: SessionConfiguration,
        keys: SessionKeys,
        randomBytes: Callable[[int], bytes],
        budget: ByteBudget | None = None,
    ) -> None:
        """
        @param randomBytes: gives so many random octets, fit for cryptography.
        @param budget: bytes that this and other sessions may hold together.
        """
        self._configuration = configuration
        self._state = SessionState(configuration, budget or ByteBudget(UNLIMITED))
        self._sender = Sender(self._state, keys, randomBytes)
        self._settlement = Settlement(self._sender)
        self._receiver = Receiver(self._state, keys, randomBytes)

    # --- Ask ------------------------------------------------------------------------------

    @property
    def isClosed(self) -> bool:
        """Whether the connection is over."""
        return self._state.isClosed

    @property
    def isIdle(self) -> bool:
        """Whether nothing is in flight, held or waiting to be sent or read."""
        return (
            not self._sender.inFlight.packets
            and not self._sender.hasWork
            and self._state.streams.isQuiet()
            and not any(stream.data.held for stream in self._state.streams.open.values())
        )

    @property
    def inFlight(self) -> int:
        """How many packets wait for an answer."""
        return len(self._sender.inFlight.packets)

    @property
    def packetRate(self) -> float:
        """How many packets per second may leave."""
        return self._sender.pacing.rate.rate

    @property
    def rejects(self) -> tuple[RejectSeen, ...]:
        """Every kind of reject that was met."""
        return self._sender.patience.rejects

    @property
    def peerAddress(self) -> str:
        """Where packets go; empty while that is not known."""
        return self._state.destination

    @property
    def peerAsset(self) -> tuple[str, int] | None:
        """The peer's asset code and scale, None until it tells them."""
        return self._state.assetDetails

    def stream(self, streamID: int) -> SessionStream:
        """
        The state of a stream, for reading its totals.

        @raise LocalError: if it is not open.
        """
        return self._state.streams.get(streamID)

    # --- Tell -----------------------------------------------------------------------------

    def receivePrepare(self, prepare: Prepare, *, now: float) -> Incoming:
        """The peer's Prepare came; collect events, then answer it with L{answer}."""
        return self._receiver.receive(prepare, now)

    def receiveReply(self, sequence: int, data: bytes, *, now: float) -> None:
        """The bytes of an answer came."""
        self._settlement.receive(sequence, data, now)
        self._afterSettling()

    def receiveNotSent(self, sequence: int, *, now: float) -> None:
        """A packet certainly never left this machine."""
        self._settlement.notSent(sequence, now)
        self._afterSettling()

    def receiveNoReply(self, sequence: int, *, now: float) -> None:
        """No answer will come, and nobody knows whether the packet arrived."""
        self._settlement.unanswered(sequence, now)
        self._afterSettling()

    def receiveReconnect(self, *, now: float) -> None:
        """The way to the peer was lost and is there again."""
        self._sender.patience.reconnected(now)
        self._sender.packetAmount.pathChanged(now)

    def receiveTimeout(self, *, now: float) -> None:
        """The moment of L{nextTimeout} has come, or any other."""
        self._settlement.expire(now)
        self._checkDeadlines(now)
        self._afterSettling()

    # --- Command --------------------------------------------------------------------------

    def openStream(self) -> int:
        """
        Open a stream and give its id; it waits if the peer takes no more for now.

        @raise LocalError: if the connection is closed or closing.
        """
        self._checkOpen()
        streams, controls = self._state.streams, self._state.controls
        stream = streams.openLocal()
        controls.add(StreamData.type, stream.streamID)
        if stream.streamID > streams.peerMaxStreamID:
            controls.add(ConnectionStreamIDBlocked.type)
        return stream.streamID

    def startStream(self, streamID: int, receiveMax: int | None) -> None:
        """
        The application has seen a stream: tell the peer what it takes.

        @param receiveMax: in this end's units, unless it was set already.
        """
        stream = self._state.streams.open.get(streamID)
        if stream is None:
            return
        if receiveMax is not None and not stream.moneyIn.receiveMax:
            stream.moneyIn.receiveMax = receiveMax
        if self._state.destination and (
            self._configuration.isServer or self._configuration.sourceAddress
        ):
            self._state.controls.add(StreamMaxMoney.type, streamID)
            self._state.controls.add(StreamMaxData.type, streamID)

    def sendData(self, streamID: int, data: bytes) -> None:
        """
        Offer bytes on a stream.

        @raise LocalError: if its sending half is closed.
        """
        stream = self._sendable(streamID)
        stream.queue.write(data)
        self._state.streams.refresh(stream)

    def sendMoney(self, streamID: int, sourceAmount: int) -> None:
        """
        Offer more money on a stream.

        @raise LocalError: if it is not an amount of at least 1, or the sending half is closed.
        """
        checkAmount("the amount to send", sourceAmount, minimum=1)
        stream = self._sendable(streamID)
        self.setSendMax(streamID, stream.moneyOut.sendMax + sourceAmount)

    def setSendMax(self, streamID: int, sourceAmount: int) -> None:
        """
        Offer so much money in all on a stream.

        @raise LocalError: if it is less than has left, or not an amount.
        """
        stream = self._sendable(streamID)
        checkAmount(
            "the total to send", sourceAmount, minimum=stream.moneyOut.left, maximum=U64_MAX
        )
        stream.moneyOut.sendMax = sourceAmount
        self._state.streams.refresh(stream)

    def withdrawMoney(self, streamID: int, sourceAmount: int) -> int:
        """Take back what was offered and has not left, at most so much; gives how much it was."""
        stream = self._state.streams.open.get(streamID)
        if stream is None:
            return 0
        taken = min(sourceAmount, stream.moneyOut.unsent)
        stream.moneyOut.sendMax -= taken
        self._state.streams.refresh(stream)
        self._state.settleStream(stream)
        return taken

    def setReceiveMax(self, streamID: int, amount: int) -> None:
        """
        Accept so much money in all on a stream, in this end's units.

        @raise LocalError: if it is not an amount, or less than the peer was told before.
        """
        money = self._state.streams.get(streamID).moneyIn
        checkAmount("the total to receive", amount)
        if money.isTold and amount < money.receiveMax:
            raise LocalError(
                f"the total to receive cannot fall from {money.receiveMax} to {amount}: the peer "
                "relies on it (RFC 29 section 4.4.4)"
            )
        money.receiveMax = amount
        if self._state.destination:
            self._state.controls.add(StreamMaxMoney.type, streamID)

    def consumeData(self, streamID: int, count: int = U64_MAX) -> bytes:
        """Take bytes that arrived, in order, at most so many; that lets the peer send more."""
        state = self._state
        stream = state.streams.open.get(streamID)
        if stream is None or not stream.data.waiting:
            return b""
        data = stream.data.take(count)
        size = len(data)
        streams = state.streams
        streams.budget.give(size)
        stream.grant.consumed += size
        streams.grant.consumed += size
        if state.destination:
            if stream.grant.isDue() and not stream.isEnded:
                state.controls.add(StreamMaxData.type, streamID)
            if streams.grant.isDue():
                state.controls.add(ConnectionMaxData.type)
        return data

    def closeStream(self, streamID: int) -> None:
        """Close the sending half when all is delivered and settled; twice does no harm."""
        stream = self._state.streams.open.get(streamID)
        if stream is not None and stream.advance("close"):
            self._state.settleStream(stream)

    def abortStream(
        self, streamID: int, error: StreamError | None, code: int, message: str = ""
    ) -> None:
        """End both halves of a stream now and tell the peer why."""
        stream = self._state.streams.open.get(streamID)
        if stream is not None and not stream.isAborted:
            stream.closeCode, stream.closeMessage = code, message
            self._state.abortStream(stream, error)
            self._state.controls.add(StreamClose.type, streamID)

    def close(self) -> None:
        """Close the connection when all is sent; no streams are opened any more."""
        self._state.isDraining = True
        for streamID in list(self._state.streams.open):
            self.closeStream(streamID)
        self._afterSettling()

    def abort(
        self,
        error: StreamError | None,
        code: int = ErrorCode.APPLICATION_ERROR,
        message: str = "",
    ) -> None:
        """Close the connection now; what was not sent never will be."""
        state = self._state
        if not state.isClosed:
            state.closeCode, state.closeMessage = code, message
            state.owesClose = True
            state.end(error)

    def wouldAccept(self, incoming: Incoming, *, now: float) -> bool:
        """Whether it makes sense to ask the application about a packet of money."""
        try:
            return self._receiver.wouldAccept(incoming, now)
        except StreamError:
            return False

    def streamAmounts(self, incoming: Incoming) -> tuple[tuple[int, int], ...]:
        """How a packet of money would be split: stream ids and amounts."""
        parts = self._receiver.split(incoming) or []
        return tuple((stream.streamID, amount) for stream, amount in parts)

    def answer(self, incoming: Incoming, accept: bool, *, now: float) -> bytes:
        """Give the bytes that answer a Prepare; money and data are taken only here."""
        return self._receiver.answer(incoming, accept, now)

    # --- Collect --------------------------------------------------------------------------

    def nextPacket(self, *, now: float) -> Outgoing | None:
        """The next Prepare to be sent, None if nothing may leave now."""
        settlement = self._settlement
        if settlement.fulfilledAt is None:
            self._noteWork(now)
        if self._state.encrypted >= self._configuration.maximumPacketCount - 1:
            self._state.end(ConnectionEnded("the most packets that one key may encrypt were sent"))
        return self._sender.build(now)

    def nextTimeout(self) -> float | None:
        """When L{receiveTimeout} is to be called, in seconds; None for never."""
        sender, state = self._sender, self._state
        moment = sender.wakeAt
        oldest = sender.inFlight.oldest
        if oldest is not None:
            moment = min(moment, oldest.expiresAt + ANSWER_MARGIN)
            if oldest.fragments or oldest.controls or len(sender.inFlight.packets) > 1:
                resend = self._settlement.resendAfter
                moment = min(moment, max(oldest.sentAt, state.heardAt or 0.0) + resend)
        if not state.isClosed:
            moment = min(moment, sender.pollAt)
            deadline = self._configuration.deadlineSinceFulfill
            for since in (self._settlement.fulfilledAt, self._settlement.moneyAt):
                if since is not None:
                    moment = min(moment, since + deadline)
            if state.heardAt is not None:
                moment = min(moment, state.heardAt + self._configuration.idleTimeout)
        return None if moment == NEVER else moment

    def nextEvents(self) -> list[Event]:
        """What happened since the last call, in order."""
        state = self._state
        events = state.events
        if events:
            state.events = []
        return events

    # --- In time --------------------------------------------------------------------------

    def _checkOpen(self) -> None:
        if self._state.isClosed or self._state.isDraining:
            raise LocalError("the connection is closed: open another one")

    def _sendable(self, streamID: int) -> SessionStream:
        stream = self._state.streams.get(streamID)
        if stream.state != OPEN:
            raise LocalError(f"the sending half of stream {streamID} is closed")
        return stream

    def _noteWork(self, now: float) -> None:
        """Remember since when something waits to be fulfilled."""
        sender, settlement, state = self._sender, self._settlement, self._state
        if state.heardAt is None:
            state.heardAt = now
        if not state.destination:
            return
        isBusy = sender.hasWork or bool(sender.inFlight.packets)
        if not isBusy:
            settlement.fulfilledAt = None
        elif settlement.fulfilledAt is None:
            settlement.fulfilledAt = now
        hasMoney = bool(state.streams.moneyReady) or sender.inFlight.withMoney
        if not hasMoney:
            settlement.moneyAt = None
        elif settlement.moneyAt is None:
            settlement.moneyAt = now

    def _checkDeadlines(self, now: float) -> None:
        state, settlement = self._state, self._settlement
        self._noteWork(now)
        if state.isClosed:
            return
        deadline = self._configuration.deadlineSinceFulfill
        if settlement.fulfilledAt is not None and now >= settlement.fulfilledAt + deadline:
            state.end(ConnectionEnded(f"nothing was fulfilled for {deadline} s", self.rejects))
        elif settlement.moneyAt is not None and now >= settlement.moneyAt + deadline:
            settlement.moneyAt = None
            settlement.failMoney(f"no money was fulfilled for {deadline} s")
        elif (
            state.heardAt is not None
            and now >= state.heardAt + self._configuration.idleTimeout
            and not self._sender.inFlight.packets
        ):
            state.end(ConnectionEnded("nothing was heard of the peer for too long"))

    def _afterSettling(self) -> None:
        """Close a draining connection when all is sent."""
        state = self._state
        if (
            state.isDraining
            and not state.isClosed
            and not self._sender.inFlight.packets
            and state.streams.isQuiet()
        ):
            state.owesClose = True
            state.end(None)
