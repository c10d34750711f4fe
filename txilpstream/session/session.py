"""
One connection: sender, receiver and keys joined, and its life in time.

It does no input or output, and has no clock. A driver tells it what happened and collects what is
to be done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from txilpstream.amounts import U64_MAX, checkAmount
from txilpstream.crypto.keys import SessionKeys
from txilpstream.errors import ConnectionEnded, ErrorCode, LocalError, RejectSeen, StreamError
from txilpstream.session.acknowledgements import Acknowledgements
from txilpstream.session.configuration import ANSWER_MARGIN, SessionConfiguration
from txilpstream.session.deadlines import Deadlines
from txilpstream.session.events import Event, KeyExhausted
from txilpstream.session.exchangerate import ExchangeRate
from txilpstream.session.packetbuilder import Outgoing, PacketBuilder
from txilpstream.session.path import NEVER, Path
from txilpstream.session.rateprobe import RateProbe
from txilpstream.session.receiver import LONGEST_REASON, Askable, Incoming, Receiver, Refused
from txilpstream.session.sender import Sender
from txilpstream.session.state import LONGEST_MESSAGE, SessionState
from txilpstream.session.streams.flowcontrol import ByteBudget
from txilpstream.session.streams.streams import OPEN, SessionStream
from txilpstream.session.tracing import Tracer
from txilpstream.wire.frames import (
    ConnectionClose,
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
"""Bytes that a session may hold which shares no budget: its windows are what limits it."""

EXHAUSTED_PART: Final = 10
CLOSING_PART: Final = 100
"""With this part of a key's packets left no streams are opened, or all are closed: what is still
to be sent must find room."""


class Session:
    """
    The state of one STREAM connection.

    There are four kinds of call, in this order below. B{Tell} it what happened: C{receive...}.
    B{Collect} what is to be done: C{next...}. B{Command} it: verbs. B{Ask} it: nouns, C{is...} and
    C{has...}, which change nothing, however often they are asked.

    The caller's duty: after each call of C{receive...} or of a command, collect L{nextEvents};
    then L{nextPacket} until it gives None or a bound of its own is reached; then L{nextTimeout},
    and call L{receiveTimeout} at that moment, which is at once if making packets made events.
    C{now} is in seconds since the epoch and never goes back.
    """

    __slots__ = (
        "_acknowledgements",
        "_configuration",
        "_deadlines",
        "_exhaustedAt",
        "_packetBuilder",
        "_path",
        "_rateProbe",
        "_receiver",
        "_sender",
        "_state",
        "_wakeAt",
    )

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
        state = self._state = SessionState(configuration, budget or ByteBudget(UNLIMITED))
        path = self._path = Path(configuration)
        if configuration.trace is not None:
            state.tracer = Tracer(configuration.trace, path)
        builder = self._packetBuilder = PacketBuilder(state, path, keys, randomBytes)
        probe = self._rateProbe = RateProbe(state, path, builder)
        sender = self._sender = Sender(state, path, builder, probe)
        deadlines = self._deadlines = Deadlines(configuration, state, path)
        self._acknowledgements = Acknowledgements(
            state, path, keys, builder, sender, probe, deadlines
        )
        self._receiver = Receiver(state, keys, randomBytes)
        self._configuration = configuration
        most = configuration.maximumPacketCount
        self._exhaustedAt = min(most - most // EXHAUSTED_PART, most - 1)
        self._wakeAt = NEVER

    # --- Tell -----------------------------------------------------------------------------

    def receivePrepare(self, prepare: Prepare, *, now: float) -> Incoming:
        """
        The peer's Prepare came; collect events, then answer it with L{answer}.

        Whoever has a policy asks L{judge} in between.
        """
        return self._receiver.receive(prepare, now)

    def receiveReply(self, sequence: int, data: bytes, *, now: float) -> None:
        """The bytes of an answer came."""
        self._acknowledgements.receive(sequence, data, now)
        self._afterSettling(now)

    def receiveNotSent(self, sequence: int, *, now: float) -> None:
        """A packet certainly never left this machine."""
        self._acknowledgements.notSent(sequence, now)
        self._afterSettling(now)

    def receiveNoReply(self, sequence: int, *, now: float, isLinkDown: bool = False) -> None:
        """
        No answer will come, and nobody knows whether the packet arrived.

        @param isLinkDown: whether that is since the way to the next node was lost, and so says
            nothing of how much the path takes.
        """
        self._acknowledgements.unanswered(sequence, now, isLinkDown)
        self._afterSettling(now)

    def receiveReconnect(self, *, now: float) -> None:
        """The way to the peer was lost and is there again."""
        self._path.retryPolicy.reconnected(now)
        self._path.control.pathChanged(now)

    def receiveTimeout(self, *, now: float) -> None:
        """The moment of L{nextTimeout} has come, or any other."""
        if self._wakeAt <= now:
            self._wakeAt = NEVER  # nextPacket finds the next, if it is asked
        self._acknowledgements.expire(now)
        self._giveUp(now)
        self._endIfDrained()

    # --- Collect --------------------------------------------------------------------------

    def nextEvents(self) -> list[Event]:
        """What happened since the last call, in order."""
        state = self._state
        events = state.events
        if events:
            state.events = []
        return events

    def nextPacket(self, *, now: float) -> Outgoing | None:
        """The next Prepare to be sent, None if nothing may leave now."""
        state, deadlines = self._state, self._deadlines
        if deadlines.fulfilledAt is None or (
            deadlines.moneyAt is None and state.streams.moneyReady
        ):
            deadlines.note(now)
        if state.encrypted >= self._exhaustedAt and not self._spareKey():
            return None
        built = self._sender.build(now)
        if state.isLeaving and not isinstance(built, Outgoing):
            self._endIfDrained()  # offers that came to nothing may have been the last
            built = self._sender.build(now)
        if isinstance(built, Outgoing):
            self._wakeAt = NEVER
            return built
        self._wakeAt = NEVER if built is None else built.until
        return None

    def nextTimeout(self) -> float | None:
        """When L{receiveTimeout} is to be called, in seconds; None for never."""
        if self._state.events:
            return 0.0
        moment = min(self._wakeAt, self._deadlines.next(), self._path.resendAt())
        oldest = self._path.inFlight.oldest
        if oldest is not None:
            moment = min(moment, oldest.expiresAt + ANSWER_MARGIN)
        return None if moment == NEVER else moment

    # --- Command: answer a Prepare --------------------------------------------------------

    def judge(self, incoming: Incoming, *, now: float) -> Askable | Refused:
        """
        Whether it makes sense to ask the application about a packet of money, and what it is asked.

        What is refused here need not be looked at again by L{answer}; what may be taken is, as time
        passes while the application thinks.
        """
        return self._receiver.judge(incoming, now)

    def refuse(self, incoming: Incoming, reason: str, *, isFinal: bool) -> None:
        """
        Say why a packet of money will be refused; L{answer} carries it.

        @param isFinal: whether the connection is closed with it.
        """
        self._receiver.refuse(incoming, reason)
        if isFinal and not self._state.isClosed:
            state = self._state
            state.closeCode = ErrorCode.APPLICATION_ERROR
            state.closeMessage = reason[:LONGEST_MESSAGE]
            state.end(ConnectionEnded(f"a payment was refused: {reason[:LONGEST_REASON]}"))

    def answer(self, incoming: Incoming, accept: bool, *, now: float) -> bytes:
        """Give the bytes that answer a Prepare; money and data are taken only here."""
        return self._receiver.answer(incoming, accept, now)

    def restartsConnection(self, prepare: Prepare) -> bool:
        """
        Whether a Prepare for a connection that is over can only be the start of another one under
        the same secret: its sequence has begun again, or it brings money after the peer's close.
        """
        return self._receiver.restartsConnection(prepare)

    # --- Command: the connection ----------------------------------------------------------

    def close(self) -> None:
        """Close the connection when all is sent; no streams are opened any more."""
        self._state.isLeaving = self._state.isDraining = True
        for streamID in list(self._state.streams.open):
            self.closeStream(streamID)
        self._endIfDrained()

    def abort(
        self, error: StreamError | None, code: int = ErrorCode.APPLICATION_ERROR, message: str = ""
    ) -> None:
        """Close the connection now; what was not sent never will be."""
        state = self._state
        if not state.isClosed:
            state.closeCode, state.closeMessage = code, message[:LONGEST_MESSAGE]
            state.owesClose = True
            state.end(error)

    def ping(self) -> None:
        """Say something, so that the connection is not taken for idle at either end."""
        if self._state.destination:
            self._state.controlFrames.add(ConnectionMaxData.type)

    def wait(self, *, now: float) -> None:
        """Nothing can be sent for now; remember since when something waits."""
        self._deadlines.note(now)

    def measureRate(self, sourceAmount: int) -> None:
        """
        Ask for the rate of about this amount, though no money is offered; an event tells it.

        @raise LocalError: if it is not an amount of at least 1.
        """
        self._rateProbe.ask(checkAmount("the amount to measure", sourceAmount, minimum=1))

    def forgetRate(self) -> None:
        """Nobody waits for the rate any more that L{measureRate} asked for."""
        self._rateProbe.forget()

    def requireRate(self) -> None:
        """Let no money leave before the rate is measured, if it is not known."""
        self._rateProbe.isNeeded = not self._path.rate.isKnown

    def setTotal(self, sourceAmount: int) -> None:
        """Say that so much and no more will ever be offered: the rate is needed for that only."""
        self._rateProbe.total = sourceAmount

    def reserveSequences(self, first: int) -> None:
        """Use no sequence from this one on, until more are reserved."""
        self._packetBuilder.reserved = first

    # --- Command: streams -----------------------------------------------------------------

    def openStream(self) -> int:
        """
        Open a stream and give its id; it waits if the peer takes no more for now.

        @raise LocalError: if the connection is closed or closing.
        """
        self._checkOpen()
        streams, controlFrames = self._state.streams, self._state.controlFrames
        stream = streams.openLocal()
        controlFrames.add(StreamData.type, stream.streamID)
        if stream.streamID > streams.peerMaxStreamID:
            controlFrames.add(ConnectionStreamIDBlocked.type)
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
            stream.moneyIn.receiveMax = checkAmount("the total to receive", receiveMax)
        stream.isStarted = True
        if self._state.isReachable:
            self._tell(stream, StreamMaxMoney.type, StreamMaxData.type)

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
            stream.closeCode, stream.closeMessage = code, message[:LONGEST_MESSAGE]
            self._state.abortStream(stream, error)
            self._state.controlFrames.add(StreamClose.type, streamID)

    def ignoreStream(self, streamID: int) -> None:
        """
        Nobody is there any more to be told of money: what still comes is refused.

        The peer's half is over with ours: ilp-protocol-stream does not say that it closes after
        we have, and would never get its place back.
        """
        stream = self._state.streams.open.get(streamID)
        if stream is not None:
            stream.refusesMoney = stream.isEnded = True
            self._state.streams.forgetData(stream)
            self._state.report(stream, None)  # after all that was credited until now
            self._state.finishStream(stream)

    # --- Command: the data of a stream ----------------------------------------------------

    def sendData(self, streamID: int, data: bytes) -> None:
        """
        Offer bytes on a stream.

        @raise LocalError: if its sending half is closed.
        """
        stream = self._sendable(streamID)
        stream.queue.write(data)
        self._state.streams.unsent += len(data)
        self._state.streams.refresh(stream)

    def sendWithMoney(self, streamID: int, data: bytes) -> None:
        """
        Offer bytes that go with the first money of the stream, and again while it is refused.

        @raise LocalError: if they do not fit into a packet, or data or money left already.
        """
        stream = self._sendable(streamID)
        most = min(self._configuration.fragmentSize, stream.sendWindow.room)
        if len(data) > most:
            raise LocalError(
                f"{len(data)} bytes do not fit beside money: at most {most} do; write the rest "
                "to the stream"
            )
        if not stream.queue.isEmpty or stream.queue.offset or stream.moneyOut.left:
            raise LocalError(f"stream {streamID} was used before: use a new one")
        stream.queue.write(data)
        self._state.streams.unsent += len(data)
        stream.sendsDataWithMoney = bool(data)
        self._state.streams.refresh(stream)

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
        stream.receiveWindow.consumed += size
        streams.receiveWindow.consumed += size
        if state.destination:
            if stream.receiveWindow.isDue() and not stream.isEnded:
                state.controlFrames.add(StreamMaxData.type, streamID)
            if streams.receiveWindow.isDue():
                state.controlFrames.add(ConnectionMaxData.type)
        if stream.isEnded:
            state.finishStream(stream)
        return data

    # --- Command: the money of a stream ---------------------------------------------------

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
        money = stream.moneyOut
        money.offered += max(0, sourceAmount - money.sendMax)
        money.sendMax = sourceAmount
        self._state.streams.refresh(stream)

    def withdrawMoney(self, streamID: int, sourceAmount: int) -> int:
        """
        Take back so much of what was offered: what has not left, and the rest if it comes back.

        @return: how much had not left.
        @raise LocalError: if it is not an amount.
        """
        checkAmount("the amount to withdraw", sourceAmount)
        stream = self._state.streams.open.get(streamID)
        if stream is None:
            return 0
        taken = stream.moneyOut.recall(sourceAmount)
        self._state.streams.refresh(stream)
        self._state.settleStream(stream)
        return taken

    def stopMoney(self, streamID: int) -> None:
        """Let no money leave on a stream any more, that which comes back with a reject included."""
        stream = self._state.streams.open.get(streamID)
        if stream is not None:
            stream.moneyOut.isStopped = True

    def setDeliverMax(self, streamID: int, destinationAmount: int) -> None:
        """
        Deliver so much in all on a stream, in the peer's units, for at most what is offered.

        @raise LocalError: if it is not an amount of at least 1, or the sending half is closed.
        """
        checkAmount("the total to deliver", destinationAmount, minimum=1)
        money = self._sendable(streamID).moneyOut
        money.deliverMax, money.isBounded = destinationAmount, True

    def setReserve(self, streamID: int, sourceAmount: int) -> None:
        """Let no more than so much money leave on a stream in all, until more is reserved."""
        checkAmount("the reserve", sourceAmount)
        stream = self._state.streams.open.get(streamID)
        if stream is not None:
            stream.moneyOut.reserved, stream.moneyOut.isBounded = sourceAmount, True
            self._state.streams.refresh(stream)

    def setReceiveMax(self, streamID: int, amount: int) -> None:
        """
        Accept so much money in all on a stream, in this end's units.

        @raise LocalError: if it is not an amount, or less than the peer was told before.
        """
        stream = self._state.streams.get(streamID)
        money = stream.moneyIn
        checkAmount("the total to receive", amount)
        if money.isTold and amount < money.receiveMax:
            raise LocalError(
                f"the total to receive cannot fall from {money.receiveMax} to {amount}: the peer "
                "relies on it (RFC 29 section 4.4.4)"
            )
        money.receiveMax = amount
        self._tell(stream, StreamMaxMoney.type)

    # --- Ask ------------------------------------------------------------------------------

    def stream(self, streamID: int) -> SessionStream:
        """
        The state of a stream, for reading its totals.

        @raise LocalError: if it is not open.
        """
        return self._state.streams.get(streamID)

    @property
    def isClosed(self) -> bool:
        """Whether the connection is over."""
        return self._state.isClosed

    @property
    def isClosing(self) -> bool:
        """Whether no streams can be opened any more."""
        return self._state.isClosed or self._state.isLeaving

    @property
    def peerClosed(self) -> bool:
        """Whether the connection is over because the peer closed it in good order."""
        state = self._state
        return state.isClosed and state.error is None and not state.isDraining

    @property
    def hasPeer(self) -> bool:
        """Whether the peer has proved that it knows the secret."""
        return self._state.hasAnswered

    @property
    def isIdle(self) -> bool:
        """Whether nothing is in flight, held or waiting to be sent or read."""
        streams = self._state.streams
        return (
            not self._path.inFlight.packets
            and not self._state.hasWork
            and streams.isQuiet()
            and not any(stream.data.held for stream in streams.open.values())
        )

    @property
    def isUsed(self) -> bool:
        """
        Whether the peer was told, or has sent, what a session that takes this one's place would
        have to know: limits that were raised, data, money, streams.
        """
        streams = self._state.streams
        return bool(
            streams.open
            or streams.receiveWindow.received
            or streams.maxStreamID != self._configuration.maximumStreamID
        )

    def isFull(self, stream: SessionStream) -> bool:
        """Whether so much waits to leave, on a stream or on all, that its producer is to pause."""
        return (
            stream.queue.unsent >= self._configuration.streamHighWater
            or self._state.streams.unsent >= self._configuration.connectionHighWater
        )

    @property
    def isLow(self) -> bool:
        """Whether what waits to leave does not fill a packet."""
        return self._state.streams.unsent < self._configuration.fragmentSize

    @property
    def inFlight(self) -> int:
        """How many packets wait for an answer."""
        return len(self._path.inFlight.packets)

    @property
    def packetRate(self) -> float:
        """How many packets per second may leave."""
        return self._path.control.packetRate

    @property
    def mostPerPacket(self) -> int:
        """The most that one packet carries for now, in source units, as far as it is known."""
        return self._path.mostPerPacket

    @property
    def exchangeRate(self) -> ExchangeRate:
        """What is known of the rate, for reading."""
        return self._path.rate

    @property
    def nextSequence(self) -> int:
        """The number of the next packet."""
        return self._packetBuilder.sequence

    @property
    def rejects(self) -> tuple[RejectSeen, ...]:
        """Every kind of reject that was met."""
        return self._path.retryPolicy.rejects

    @property
    def refusal(self) -> str | None:
        """What the peer said beside a refusal, None if nothing."""
        return self._state.refusal

    @property
    def peerAddress(self) -> str:
        """Where packets go; empty while that is not known."""
        return self._state.destination

    @property
    def peerAsset(self) -> tuple[str, int] | None:
        """The peer's asset code and scale, None until it tells them."""
        return self._state.assetDetails

    @property
    def isKeyExhausted(self) -> bool:
        """Whether its key has encrypted almost all that it may: new credentials are needed."""
        return self._state.isKeyExhausted

    @property
    def packetsEncrypted(self) -> int:
        """How many packets, answers included, this end has encrypted under its key."""
        return self._state.encrypted

    @property
    def packetsLeft(self) -> int:
        """How many packets, answers included, this end may still encrypt under its key."""
        return max(0, self._configuration.maximumPacketCount - self._state.encrypted)

    # --- In time --------------------------------------------------------------------------

    def _giveUp(self, now: float) -> None:
        """End what has waited for too long."""
        state, deadlines = self._state, self._deadlines
        deadlines.note(now)
        if state.isClosed:
            return
        if state.earlyCloses:
            state.endEarlyClosed(now)
        over = deadlines.check(now)
        if over is None:
            return
        if over.isMoneyOnly:
            deadlines.moneyAt = None
            self._sender.withdraw(over.reason)
            return
        if over.message:
            state.closeMessage = over.message
        state.owesClose |= over.isPeerTold
        state.end(ConnectionEnded(over.reason, over.rejects))

    def _spareKey(self) -> bool:
        """
        Keep the packets that are left under a key for an end in good order (RFC 29 section 5.1.3).

        @return: whether there are any.
        """
        state, most = self._state, self._configuration.maximumPacketCount
        if not state.isKeyExhausted:
            state.isKeyExhausted = state.isLeaving = True
            if not state.isClosed:
                state.events.append(KeyExhausted(most - state.encrypted))
        self._exhaustedAt = min(most - most // CLOSING_PART, most - 1)
        if state.encrypted >= self._exhaustedAt:
            self._exhaustedAt = most - 1
            if not state.isDraining:
                self.close()
        if state.encrypted >= most - 1 and not state.isClosed:
            error = ConnectionEnded("the most packets that one key may encrypt were sent")
            self.abort(error, ErrorCode.NO_ERROR)
        if state.encrypted < most:
            return True
        state.owesClose = False  # not even for the last word: answers may have used up all
        return False

    def _afterSettling(self, now: float) -> None:
        """Let the deadlines rest if nothing waits any more; end if that was all."""
        inFlight = self._path.inFlight
        if not inFlight.withMoney or not inFlight.packets:
            self._deadlines.note(now)
        if self._state.isLeaving:
            self._endIfDrained()

    def _endIfDrained(self) -> None:
        """Close a draining connection when all is sent, and one that is left when it is empty."""
        state = self._state
        if state.isLeaving and not state.streams.open:
            state.isDraining = True
        if (
            not state.isDraining
            or state.isClosed
            or self._path.inFlight.packets
            or not state.streams.isQuiet()
        ):
            return
        if not state.configuration.halfOpen or state.isPeerDone or not state.destination:
            state.owesClose = True
            state.end(None)
        elif not state.hasSaidClose:
            state.hasSaidClose = True
            state.controlFrames.add(ConnectionClose.type)

    # --- On streams -----------------------------------------------------------------------

    def _checkOpen(self) -> None:
        state = self._state
        if state.isKeyExhausted:
            raise LocalError(
                f"the key of this connection has encrypted {state.encrypted} of the "
                f"{self._configuration.maximumPacketCount} packets that it may: open another "
                "connection with new credentials"
            )
        if state.isClosed or state.isLeaving:
            raise LocalError("the connection is closed: open another one")

    def _sendable(self, streamID: int) -> SessionStream:
        stream = self._state.streams.get(streamID)
        if stream.state != OPEN:
            raise LocalError(f"the sending half of stream {streamID} is closed")
        return stream

    def _tell(self, stream: SessionStream, *kinds: int) -> None:
        """Say limits of a stream, unless the peer may not yet hear of it or cannot be reached."""
        state = self._state
        if state.destination and (
            stream.hasOpened or stream.streamID <= state.streams.peerMaxStreamID
        ):
            for kind in kinds:
                state.controlFrames.add(kind, stream.streamID)
