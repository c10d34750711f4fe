"""
What an answer to a Prepare changes, in a fixed order.

There are three outcomes. Fulfilled: everything in the packet arrived. Refused by the peer: the
answer is authentic, so the peer has seen the control frames and taken neither money nor data. Lost
on the path: a node between rejected it, or nobody answered. Only a reject gives money back; money
without an answer is in doubt for good, unless a late answer settles it. The order is: rate, packet
amount, liquidity, pacing, money, data, control frames.
"""

from __future__ import annotations

from txilpstream.crypto.keys import SessionKeys
from txilpstream.errors import ConnectionEnded, DecodeError, ErrorCode, PeerError
from txilpstream.session.configuration import ANSWER_MARGIN
from txilpstream.session.deadlines import Deadlines
from txilpstream.session.events import DoubtResolved, MoneySettled
from txilpstream.session.framehandlers import FRAME_HANDLERS, LONGEST_KEPT_MESSAGE
from txilpstream.session.packetbuilder import PacketBuilder
from txilpstream.session.path import Path, SentPacket
from txilpstream.session.rateprobe import RateProbe
from txilpstream.session.sender import Sender
from txilpstream.session.state import SessionState
from txilpstream.wire.frames import ConnectionMaxData, StreamClose, StreamData
from txilpstream.wire.ilp import FULFILL, REJECT, Reject, decodeReply, isTemporary
from txilpstream.wire.packet import StreamPacket, decodePacket

__all__ = ["Acknowledgements"]


class Acknowledgements:
    """
    Settles what was sent.

    An answer is taken apart by what it is: fulfilled, rejected, or none at all. Each of these tells
    the controls of the path, then lets money and data arrive or go back.
    """

    __slots__ = (
        "_deadlines",
        "_keys",
        "_packetBuilder",
        "_passedAt",
        "_passedInRound",
        "_path",
        "_rateProbe",
        "_sender",
        "_state",
    )

    def __init__(
        self,
        state: SessionState,
        path: Path,
        keys: SessionKeys,
        packetBuilder: PacketBuilder,
        sender: Sender,
        rateProbe: RateProbe,
        deadlines: Deadlines,
    ) -> None:
        self._state = state
        self._path = path
        self._keys = keys
        self._packetBuilder = packetBuilder
        self._sender = sender
        self._rateProbe = rateProbe
        self._deadlines = deadlines
        self._passedInRound = 0
        self._passedAt = 0.0

    def receive(self, sequence: int, data: bytes, now: float) -> None:
        """Take the bytes of an answer; one that nobody waits for is ignored."""
        inFlight = self._path.inFlight
        sent = inFlight.pop(sequence)
        isLate = sent is None
        if sent is None:
            sent = inFlight.doubtful.pop(sequence, None)
            if sent is None:
                return
        try:
            reply = decodeReply(data)
        except DecodeError:
            self._doubted(sent, isLate, now)
            return
        if isinstance(reply, Reject):
            packet = self._open(reply.data, REJECT, sent)
            self._rejected(sent, reply, packet, isLate, now)
        elif reply.fulfillment == sent.fulfillment:
            packet = self._open(reply.data, FULFILL, sent)
            self._fulfilled(sent, packet, isLate, now)
        else:
            self._doubted(sent, isLate, now)

    def _open(self, data: bytes, kind: int, sent: SentPacket) -> StreamPacket | None:
        """The peer's packet in an answer; None unless it is authentic and meant for this one."""
        plain = self._keys.open(data)
        if plain is None:
            return None
        try:
            packet = decodePacket(plain)
        except DecodeError:
            return None
        return packet if packet.packetType == kind and packet.sequence == sent.sequence else None

    # --- Fulfilled ------------------------------------------------------------------------

    def _fulfilled(
        self, sent: SentPacket, packet: StreamPacket | None, isLate: bool, now: float
    ) -> None:
        amount = sent.amount
        claimed = sent.minimum if packet is None else packet.prepareAmount
        if self._state.tracer is not None:
            self._state.tracer.fulfilled(sent, claimed, isLate, now)
        self._deadlines.fulfilled(amount, bool(sent.fragments), now)
        self._path.retryPolicy.fulfilled()
        if amount:
            self._notePassedPath(sent, None if packet is None else packet.prepareAmount, now)
        if not isLate:
            self._noteAnswered(sent, now)
        if amount:
            self._state.refusal = None
            self._settleMoney(sent, claimed, isLate)
        for streamID, offset, _ in sent.fragments:
            stream = self._state.streams.open.get(streamID)
            if stream is not None:
                stream.queue.acknowledge(offset)
                if stream.sendsDataWithMoney and stream.queue.isEmpty:
                    stream.sendsDataWithMoney = False
                    self._state.streams.refresh(stream)
                if stream.state:
                    self._state.settleStream(stream)
        if packet is None:
            self._state.controlFrames.lost(sent.controlFrames)
            return
        self._hear(sent, packet, now)
        if packet.prepareAmount < sent.minimum and not self._state.isClosed:
            self._state.fail(
                PeerError(
                    ErrorCode.PROTOCOL_VIOLATION,
                    f"a packet that demands {sent.minimum} was fulfilled at {packet.prepareAmount}",
                )
            )

    def _settleMoney(self, sent: SentPacket, claimed: int, isLate: bool) -> None:
        """The money of a packet has arrived."""
        state, stream = self._state, sent.stream
        streamID, money = stream.streamID, stream.moneyOut
        if isLate:
            money.settleDoubt(sent.amount, sent.expected, sent.minimum, claimed)
            resolved = DoubtResolved(streamID, sent.amount, sent.minimum, claimed, True)
            state.events.append(resolved)
        else:
            money.settle(sent.amount, sent.expected, sent.minimum, claimed)
            events = state.events
            last = events[-1] if events else None
            if isinstance(last, MoneySettled) and last.streamID == streamID and not last.isInDoubt:
                last.sourceAmount += sent.amount
                last.deliveredMinimum += sent.minimum
                last.deliveredClaimed += claimed
            else:
                events.append(MoneySettled(streamID, sent.amount, sent.minimum, claimed, False))
        if money.unsent and streamID not in state.streams.moneyReady:
            state.streams.refresh(stream)
        if stream.state:
            state.settleStream(stream)

    def _hear(self, sent: SentPacket, packet: StreamPacket, now: float) -> None:
        """Apply the frames of an authentic answer, and what it says by being one."""
        state = self._state
        streams = state.streams
        state.authentic(now)
        if state.validatesFrom is not None and sent.sequence >= state.validatesFrom:
            state.isValidated = True
        if sent.controlFrames:
            for kind, streamID in state.controlFrames.heard(sent.controlFrames):
                if kind == StreamClose.type:
                    state.acknowledgeClose(state.streams.open[streamID])
        try:
            for frame in packet.frames:
                handler = FRAME_HANDLERS.get(type(frame))
                if handler is None or (
                    isinstance(frame, StreamClose) and state.deferClose(frame, now)
                ):
                    continue
                if state.isClosed:
                    return
                handler(state, frame)
                if isinstance(frame, ConnectionMaxData) and sent.sequence > streams.lastData:
                    state.wasUnblocked |= streams.recount(frame.maxOffset)
        except PeerError as error:
            state.fail(error)

    # --- Rejected -------------------------------------------------------------------------

    def _rejected(
        self,
        sent: SentPacket,
        reject: Reject,
        packet: StreamPacket | None,
        isLate: bool,
        now: float,
    ) -> None:
        tracer = self._state.tracer
        if tracer is not None:
            isByPeer = packet is not None
            tracer.rejected(sent, reject.code, reject.triggeredBy, isByPeer, isLate, now)
        if not sent.isProbe or (packet is None and reject.code != "F08"):  # a probe expects these
            self._path.retryPolicy.remember(reject, sent.amount)
        if sent.isProbe:
            self._rateProbe.ended(sent.sequence)
        if packet is not None:
            if sent.amount:
                self._notePassedPath(sent, packet.prepareAmount, now)
            if not isLate:
                self._noteAnswered(sent, now)
        elif not isLate:
            self._noteRejected(sent, reject, now)
        self._giveBack(sent, isLate)
        self._resend(sent, isUnheard=packet is None, isBack=True)
        if packet is not None:
            state = self._state
            if state.refusal is None and not state.isClosed:
                state.refusal = _reasonOf(packet)
            self._hear(sent, packet, now)
            if sent.isProbe:
                self._probed(sent, packet.prepareAmount)
            elif sent.amount or sent.fragments:
                self._sleep(now)

    def _probed(self, sent: SentPacket, delivered: int) -> None:
        """A probe came through."""
        reason = self._rateProbe.probed(sent, delivered)
        if reason:
            self._sender.withdraw(reason)

    # --- No answer ------------------------------------------------------------------------

    def _doubted(
        self, sent: SentPacket, isLate: bool, now: float, *, isLinkDown: bool = False
    ) -> None:
        """Nobody knows what became of a packet."""
        state = self._state
        self._path.inFlight.doubt(sent)
        if isLate:
            return
        if state.tracer is not None:
            state.tracer.doubted(sent, now)
        self._noteLost(sent, now, isLinkDown)
        if sent.isProbe:
            self._rateProbe.ended(sent.sequence)
        elif sent.amount:
            stream = sent.stream
            stream.moneyOut.doubt(sent.amount, sent.expected)
            state.streams.refresh(stream)
            state.events.append(MoneySettled(stream.streamID, sent.amount, 0, 0, True))
            state.settleStream(stream)
        self._resend(sent, isUnheard=True)

    def notSent(self, sequence: int, now: float) -> None:
        """A packet certainly never left this machine: everything in it goes back."""
        sent = self._path.inFlight.pop(sequence)
        if sent is not None:
            if self._state.tracer is not None:
                self._state.tracer.notSent(sent, now)
            if sent.isProbe:
                self._rateProbe.ended(sent.sequence)
            self._giveBack(sent, False)
            self._resend(sent, isUnheard=True, isBack=True)
            self._sleepAfterRound(now)

    def unanswered(self, sequence: int, now: float, isLinkDown: bool) -> None:
        """No answer will come to a packet that may have left."""
        sent = self._path.inFlight.pop(sequence)
        if sent is not None:
            self._doubted(sent, False, now, isLinkDown=isLinkDown)

    def expire(self, now: float) -> None:
        """Give up packets whose time is over, and send data again that has waited long."""
        for sent in self._path.inFlight.takeExpired(now, ANSWER_MARGIN):
            self._doubted(sent, False, now)
        for sent in self._path.takeOverdue(now):
            self._resend(sent, isUnheard=True)

    # --- What goes back -----------------------------------------------------------------------

    def _giveBack(self, sent: SentPacket, isLate: bool) -> None:
        """
        Money of a refused packet is offered again.

        @param isLate: whether it was given up before; then it goes back to whoever offered it.
        """
        state, stream = self._state, sent.stream
        if stream is None:
            return
        money = stream.moneyOut
        if isLate:
            money.releaseDoubt(sent.amount, sent.expected)
            money.sendMax -= sent.amount
            event = DoubtResolved(stream.streamID, sent.amount, 0, 0, False)
            state.events.append(event)
        else:
            money.release(sent.amount, sent.expected)
        if stream.isAborted or money.isStopped:
            money.withdraw()
        if money.isStopped and not isLate:
            state.events.append(MoneySettled(stream.streamID, 0, 0, 0, False))
        state.streams.refresh(stream)
        if stream.state:
            state.settleStream(stream)

    def _resend(self, sent: SentPacket, *, isUnheard: bool, isBack: bool = False) -> None:
        """
        Data and, if nobody heard them, control frames go again.

        @param isBack: whether it is certain that the peer has not taken the data; then bytes of a
            stream that is over are credit of the connection again, unless a second copy of them
            was on its way.
        """
        state, streams = self._state, self._state.streams
        for streamID, offset, size in sent.fragments:
            stream = streams.open.get(streamID)
            if stream is not None and not stream.isAborted:
                if stream.queue.lose(offset, isSure=isBack):
                    self._path.losses += 1
                    streams.refresh(stream)
            elif isBack and not sent.isResent:
                streams.sendWindow.used -= size
        if isUnheard and sent.controlFrames:
            state.controlFrames.lost(sent.controlFrames)

    # --- What the controls of the path are told ------------------------------------------------

    def _notePassedPath(self, sent: SentPacket, delivered: int | None, now: float) -> None:
        """
        A packet came through the whole path with its money.

        @param delivered: what the peer says arrived, None if it did not say.
        """
        path = self._path
        if delivered is not None:
            path.rate.observe(sent.amount, delivered)
        path.control.took(sent.amount, sent.sentAt, now)

    def _noteAnswered(self, sent: SentPacket, now: float) -> None:
        """The peer itself answered in time: the path is well."""
        self._passedInRound += 1
        self._passedAt = now
        if self._path.control.answered(sent.sentAt, now):
            self._passedInRound = 0

    def _noteRejected(self, sent: SentPacket, reject: Reject, now: float) -> None:
        """A node on the path rejected a packet in time."""
        path, code = self._path, reject.code
        isHopeful = path.control.rejected(
            sent.amount,
            code,
            reject.data,
            smallest=path.rate.smallest,
            inFlight=path.inFlight.money,
            sentAt=sent.sentAt,
            now=now,
        )
        if code == "F08" and sent.amount:
            if not isHopeful:
                path.retryPolicy.sleep(now, 1.0)
        elif isTemporary(code):
            if code == "T01" and sent.sentAt > self._passedAt:
                self._sleep(now)  # it lowers no rate, and so no round would ever end
            elif not isHopeful:
                self._sleepAfterRound(now)
        elif path.retryPolicy.countReject(code, sentAt=sent.sentAt, now=now):
            self._state.end(
                ConnectionEnded(f"the path rejects with {code}", path.retryPolicy.rejects)
            )

    def _noteLost(self, sent: SentPacket, now: float, isLinkDown: bool) -> None:
        """Nobody answered a packet, or with what is no answer."""
        if not isLinkDown:
            self._path.control.lost(sent.amount, sent.sentAt, now)
        self._sleepAfterRound(now)

    def _sleepAfterRound(self, now: float) -> None:
        """Wait if nothing at all came through while something was in flight."""
        if not self._path.inFlight.packets:
            if not self._passedInRound:
                self._sleep(now)
            self._passedInRound = 0

    def _sleep(self, now: float) -> None:
        """Wait before anything leaves, twice as long each time until a packet is fulfilled."""
        retryPolicy, tracer = self._path.retryPolicy, self._state.tracer
        before = retryPolicy.waitUntil
        retryPolicy.sleep(now, self._packetBuilder.randomBytes(1)[0] / 256)
        if tracer is not None and retryPolicy.waitUntil != before:
            tracer.slept(retryPolicy.waitUntil, "nothing came through in a whole round", now)


def _reasonOf(packet: StreamPacket) -> str | None:
    """What a refusal says to people: the data beside its close (Rafiki's receiver does so)."""
    parts = [frame.data for frame in packet.frames if isinstance(frame, StreamData)]
    return b"".join(parts)[:LONGEST_KEPT_MESSAGE].decode("utf-8", "replace") if parts else None
