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
from txilpstream.errors import DecodeError, ErrorCode, PeerError
from txilpstream.session.configuration import ANSWER_MARGIN
from txilpstream.session.deadlines import Deadlines
from txilpstream.session.events import DoubtResolved, MoneySettled
from txilpstream.session.evidence import Evidence
from txilpstream.session.framehandlers import HEARD, LONGEST_MESSAGE
from txilpstream.session.givingback import giveBack, resend
from txilpstream.session.inflight import SentPacket
from txilpstream.session.offers import Offers
from txilpstream.session.path import Path
from txilpstream.session.state import SessionState
from txilpstream.wire.frames import ConnectionMaxData, StreamClose, StreamData
from txilpstream.wire.ilp import FULFILL, REJECT, Reject, decodeReply
from txilpstream.wire.packet import StreamPacket, decodePacket

__all__ = ["Settlement"]


class Settlement:
    """Settles what was sent."""

    __slots__ = ("_deadlines", "_evidence", "_keys", "_offers", "_path", "_state")

    def __init__(
        self,
        state: SessionState,
        path: Path,
        keys: SessionKeys,
        offers: Offers,
        evidence: Evidence,
        deadlines: Deadlines,
    ) -> None:
        self._state = state
        self._path = path
        self._keys = keys
        self._offers = offers
        self._evidence = evidence
        self._deadlines = deadlines

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
        tracer = self._state.tracer
        if tracer is not None:
            claim = sent.minimum if packet is None else packet.prepareAmount
            tracer.fulfilled(sent, claim, isLate, now)
        self._deadlines.fulfilled(amount, bool(sent.fragments), now)
        self._path.patience.fulfilled()
        if amount:
            self._evidence.pathTook(sent, None if packet is None else packet.prepareAmount, now)
        if not isLate:
            self._evidence.passed(sent, now)
        if amount:
            self._state.refusal = None
            claimed = sent.minimum if packet is None else packet.prepareAmount
            self._settleMoney(sent, claimed, isLate)
        for streamID, offset, _ in sent.fragments:
            stream = self._state.streams.open.get(streamID)
            if stream is not None:
                stream.queue.acknowledge(offset)
                if stream.isTogether and stream.queue.isEmpty:
                    stream.isTogether = False
                    self._state.streams.refresh(stream)
                if stream.state:
                    self._state.settleStream(stream)
        if packet is None:
            self._state.controls.lost(sent.controls)
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
        if sent.controls:
            for kind, streamID in state.controls.heard(sent.controls):
                if kind == StreamClose.type:
                    state.acknowledgeClose(state.streams.open[streamID])
        try:
            for frame in packet.frames:
                handler = HEARD.get(type(frame))
                if handler is None or (isinstance(frame, StreamClose) and state.hold(frame, now)):
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
        evidence, tracer = self._evidence, self._state.tracer
        if tracer is not None:
            isByPeer = packet is not None
            tracer.rejected(sent, reject.code, reject.triggeredBy, isByPeer, isLate, now)
        if not sent.isProbe or (packet is None and reject.code != "F08"):  # a probe expects these
            self._path.patience.remember(reject, sent.amount)
        if sent.isProbe:
            self._offers.probing.ended(sent.sequence)
        if packet is not None:
            if sent.amount:
                evidence.pathTook(sent, packet.prepareAmount, now)
            if not isLate:
                evidence.passed(sent, now)
        elif not isLate:
            evidence.rejected(sent, reject, now)
        giveBack(self._state, sent, isLate)
        resend(self._state, self._path, sent, isUnheard=packet is None, isBack=True)
        if packet is not None:
            state = self._state
            if state.refusal is None and not state.isClosed:
                state.refusal = _reasonOf(packet)
            self._hear(sent, packet, now)
            if sent.isProbe:
                self._offers.probed(sent, packet.prepareAmount)
            elif sent.amount or sent.fragments:
                evidence.sleep(now)

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
        self._evidence.unanswered(sent, now, isLinkDown)
        if sent.isProbe:
            self._offers.probing.ended(sent.sequence)
        elif sent.amount:
            stream = sent.stream
            stream.moneyOut.doubt(sent.amount, sent.expected)
            state.streams.refresh(stream)
            state.events.append(MoneySettled(stream.streamID, sent.amount, 0, 0, True))
            state.settleStream(stream)
        resend(self._state, self._path, sent, isUnheard=True)

    def notSent(self, sequence: int, now: float) -> None:
        """A packet certainly never left this machine: everything in it goes back."""
        sent = self._path.inFlight.pop(sequence)
        if sent is not None:
            if self._state.tracer is not None:
                self._state.tracer.notSent(sent, now)
            if sent.isProbe:
                self._offers.probing.ended(sent.sequence)
            giveBack(self._state, sent, False)
            resend(self._state, self._path, sent, isUnheard=True, isBack=True)
            self._evidence.sleepAfterRound(now)

    def unanswered(self, sequence: int, now: float, isLinkDown: bool) -> None:
        """No answer will come to a packet that may have left."""
        sent = self._path.inFlight.pop(sequence)
        if sent is not None:
            self._doubted(sent, False, now, isLinkDown=isLinkDown)

    def expire(self, now: float) -> None:
        """Give up packets whose time is over, and send data again that has waited long."""
        for sent in self._path.inFlight.expired(now, ANSWER_MARGIN):
            self._doubted(sent, False, now)
        for sent in self._path.takeOverdue(now):
            resend(self._state, self._path, sent, isUnheard=True)


def _reasonOf(packet: StreamPacket) -> str | None:
    """What a refusal says to people: the data beside its close (Rafiki's receiver does so)."""
    parts = [frame.data for frame in packet.frames if isinstance(frame, StreamData)]
    return b"".join(parts)[:LONGEST_MESSAGE].decode("utf-8", "replace") if parts else None
