"""
What an answer to a Prepare changes, in a fixed order.

There are three outcomes. Fulfilled: everything in the packet arrived. Refused by the peer: the
answer is authentic, so the peer has seen the control frames and taken neither money nor data. Lost
on the path: a node between rejected it, or nobody answered. Only a reject gives money back; money
without an answer is in doubt for good, unless a late answer settles it. The order is: rate, packet
amount, liquidity, pacing, money, data, control frames.
"""

from __future__ import annotations

from typing import Final

from txilpstream.errors import ConnectionEnded, DecodeError, ErrorCode, PeerError
from txilpstream.session.configuration import ANSWER_MARGIN
from txilpstream.session.events import MoneyFailed, MoneySettled
from txilpstream.session.inflight import SentPacket
from txilpstream.session.sender import MOST_PROBES, PROBE_PRECISION, Sender
from txilpstream.wire.frames import StreamClose
from txilpstream.wire.ilp import FULFILL, REJECT, Fulfill, Reject, decodeReply
from txilpstream.wire.packet import StreamPacket, decodePacket

__all__ = ["Settlement"]

LEAST_RESEND: Final = 1.0
"""Seconds after which data without an answer is sent again; four round trips, if that is more."""


class Settlement:
    """
    Settles what a L{Sender} has sent.

    @ivar fulfilledAt: when a packet was fulfilled last, or when there was first something to
        send; None while there is nothing.
    @ivar moneyAt: the same for money that the peer would take.
    """

    __slots__ = ("_passedInRound", "_sender", "_state", "fulfilledAt", "moneyAt")

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._state = sender.state
        self._passedInRound = 0
        self.fulfilledAt: float | None = None
        self.moneyAt: float | None = None

    def receive(self, sequence: int, data: bytes, now: float) -> None:
        """Take the bytes of an answer; one that nobody waits for is ignored."""
        inFlight = self._sender.inFlight
        sent = inFlight.pop(sequence)
        isLate = sent is None
        if sent is None:
            sent = inFlight.doubtful.pop(sequence, None)
            if sent is None:
                return
        try:
            reply = decodeReply(data)
        except DecodeError:
            reply = None
        if isinstance(reply, Fulfill):
            if reply.fulfillment == sent.fulfillment:
                packet = self._open(reply.data, FULFILL, sent)
                self._fulfilled(sent, packet, isLate, now)
                return
            reply = None
        if reply is None:
            self._doubted(sent, isLate, now)
            return
        packet = self._open(reply.data, REJECT, sent)
        self._rejected(sent, reply, packet, isLate, now)

    def _open(self, data: bytes, kind: int, sent: SentPacket) -> StreamPacket | None:
        """The peer's packet in an answer; None unless it is authentic and meant for this one."""
        plain = self._sender.keys.open(data)
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
        sender, amount = self._sender, sent.amount
        claimed = sent.minimum if packet is None else packet.prepareAmount
        self.fulfilledAt = now
        sender.patience.fulfilled()
        if amount:
            self.moneyAt = now
            self._pathTook(sent, claimed, now, isKnown=packet is not None)
        if not isLate:
            self._passed(sent, now)
        if amount:
            stream = self._state.streams.open.get(sent.streamID)
            if stream is not None:
                settle = stream.moneyOut.settleDoubt if isLate else stream.moneyOut.settle
                settle(amount, sent.expected, sent.minimum, claimed)
                if stream.moneyOut.unsent:
                    self._state.streams.refresh(stream)
            self._state.events.append(
                MoneySettled(sent.streamID, amount, sent.minimum, claimed, False)
            )
            if stream is not None and (stream.state or self._state.isClosed):
                self._state.settleStream(stream)
        for streamID, offset in sent.fragments:
            stream = self._state.streams.open.get(streamID)
            if stream is not None:
                stream.queue.acknowledge(offset)
                if stream.state:
                    self._state.settleStream(stream)
        if packet is None:
            self._state.controls.lost(sent.controls)
        else:
            self._hear(sent, packet, now)
            if claimed < sent.minimum:
                self._state.fail(
                    PeerError(
                        ErrorCode.PROTOCOL_VIOLATION,
                        f"a packet of at least {sent.minimum} was fulfilled at {claimed}",
                    )
                )

    def _pathTook(self, sent: SentPacket, delivered: int, now: float, *, isKnown: bool) -> None:
        """A packet came through the whole path with its money."""
        sender = self._sender
        if isKnown:
            sender.rate.observe(sent.amount, delivered)
        sender.packetAmount.passed(sent.amount)
        sender.liquidity.passed(sent.amount, now=now, roundTrip=sender.pacing.roundTrip or 0.0)

    def _passed(self, sent: SentPacket, now: float) -> None:
        """The peer itself answered: the path is well."""
        pacing = self._sender.pacing
        pacing.measured(now - sent.sentAt)
        self._passedInRound += 1
        if pacing.answered(now=now):
            self._passedInRound = 0

    def _hear(self, sent: SentPacket, packet: StreamPacket, now: float) -> None:
        """Apply the frames of an authentic answer, and what it says by being one."""
        state = self._state
        state.authentic(now)
        state.isValidated = True
        if sent.controls:
            for kind, streamID in state.controls.heard(sent.controls):
                if kind == StreamClose.type:
                    stream = state.streams.open.get(streamID)
                    if stream is not None:
                        state.acknowledgeClose(stream)
        try:
            for frame in packet.frames:
                if frame.type != 0x11 and frame.type != 0x14:
                    state.hear(frame)
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
        sender = self._sender
        if sent.isProbe:
            sender.probing -= 1
        else:
            sender.patience.remember(reject, sent.amount)
        if packet is not None:
            if sent.amount:
                self._pathTook(sent, packet.prepareAmount, now, isKnown=True)
            if not isLate:
                self._passed(sent, now)
        elif not isLate:
            self._judge(sent, reject, now)
        self._giveBack(sent, isLate)
        self._resend(sent, isControl=packet is None)
        if packet is not None:
            self._hear(sent, packet, now)
            if sent.isProbe:
                self._probed(sent, packet.prepareAmount)
            elif not self._state.isClosed and sent.amount:
                sender.patience.sleep(now, sender.randomBytes(1)[0] / 256)

    def _judge(self, sent: SentPacket, reject: Reject, now: float) -> None:
        """A node on the path rejected: tell the control whose limit it is."""
        sender, code = self._sender, reject.code
        pacing = sender.pacing
        roundTrip = pacing.roundTrip or 0.0
        if code == "F08":
            if sender.packetAmount.refused(sent.amount, reject.data, now=now):
                pacing.answered(now=now)
            else:
                sender.patience.sleep(now, 1.0)
            return
        if code == "T04":
            sender.liquidity.refused(
                sent.amount,
                isAlone=sender.inFlight.withMoney == 0,
                smallest=sender.rate.smallest,
                now=now,
                roundTrip=roundTrip,
            )
            pacing.answered(now=now)
            self._sleepAfterRound(now)
            return
        if code[0] == "T":
            isLimited = code in ("T05", "T03")
            pacing.answered(now=now, isLimited=isLimited, isLost=not isLimited)
            self._sleepAfterRound(now)
            return
        pacing.answered(now=now)
        if sender.patience.isFinal(code, sentAt=sent.sentAt, now=now):
            self._state.end(
                ConnectionEnded(f"the path rejects with {code}", sender.patience.rejects)
            )

    def _sleepAfterRound(self, now: float) -> None:
        """Wait if nothing at all came through while something was in flight."""
        sender = self._sender
        if not sender.inFlight.packets:
            if not self._passedInRound:
                sender.patience.sleep(now, sender.randomBytes(1)[0] / 256)
            self._passedInRound = 0

    def _probed(self, sent: SentPacket, delivered: int) -> None:
        """A probe came through: fix the floor, or ask with more for a rate that is precise."""
        sender = self._sender
        limit = min(sender.packetAmount.limit, sender.liquidity.cap)
        isPrecise = delivered >= PROBE_PRECISION or sent.amount >= limit
        if isPrecise or sender.probes >= MOST_PROBES:
            if delivered:
                sender.rate.fix()
                return
            self.failMoney(f"a packet of {sent.amount} units delivers nothing at all")
            sender.probes = 0
            return
        factor = PROBE_PRECISION // max(1, delivered) + 1
        sender.probeAmount = sent.amount * factor

    # --- No answer ------------------------------------------------------------------------

    def _doubted(self, sent: SentPacket, isLate: bool, now: float) -> None:
        """Nobody knows what became of a packet."""
        sender = self._sender
        if sent.isProbe and not isLate:
            sender.probing -= 1
        if not isLate:
            sender.pacing.answered(now=now, isLost=True)
            self._sleepAfterRound(now)
        sender.inFlight.doubt(sent)
        if sent.amount and not sent.isProbe and not isLate:
            stream = self._state.streams.open.get(sent.streamID)
            if stream is not None:
                stream.moneyOut.doubt(sent.amount, sent.expected)
            self._state.events.append(MoneySettled(sent.streamID, sent.amount, 0, 0, True))
            if stream is not None:
                self._state.settleStream(stream)
        self._resend(sent, isControl=True)

    def notSent(self, sequence: int, now: float) -> None:
        """A packet certainly never left this machine: everything in it goes back."""
        sent = self._sender.inFlight.pop(sequence)
        if sent is not None:
            if sent.isProbe:
                self._sender.probing -= 1
            self._giveBack(sent, False)
            self._resend(sent, isControl=True)
            self._sleepAfterRound(now)

    def unanswered(self, sequence: int, now: float) -> None:
        """No answer will come to a packet that may have left."""
        sent = self._sender.inFlight.pop(sequence)
        if sent is not None:
            self._doubted(sent, False, now)

    def expire(self, now: float) -> None:
        """Give up packets whose time is over, and send data again that has waited long."""
        inFlight = self._sender.inFlight
        for sent in inFlight.expired(now - ANSWER_MARGIN):
            self._doubted(sent, False, now)
        before = now - self.resendAfter
        for sent in inFlight.packets.values():
            if sent.sentAt > before:
                break
            if not sent.isResent and (sent.fragments or sent.controls):
                sent.isResent = True
                self._resend(sent, isControl=True)

    @property
    def resendAfter(self) -> float:
        """Seconds after which data and control frames without an answer are sent again."""
        return max(LEAST_RESEND, 4 * (self._sender.pacing.roundTrip or 0.0))

    # --- Giving back ----------------------------------------------------------------------

    def _giveBack(self, sent: SentPacket, isLate: bool) -> None:
        """Money of a refused packet is offered again."""
        if not sent.amount or sent.isProbe:
            return
        state = self._state
        stream = state.streams.open.get(sent.streamID)
        if stream is None:
            return
        release = stream.moneyOut.releaseDoubt if isLate else stream.moneyOut.release
        release(sent.amount, sent.expected)
        if stream.isAborted or state.isClosed or isLate:
            stream.moneyOut.withdraw()
        state.streams.refresh(stream)
        if stream.state or state.isClosed:
            state.settleStream(stream)

    def _resend(self, sent: SentPacket, *, isControl: bool) -> None:
        """Data and, if nobody heard them, control frames go again."""
        streams = self._state.streams
        for streamID, offset in sent.fragments:
            stream = streams.open.get(streamID)
            if stream is not None:
                stream.queue.lose(offset)
                streams.refresh(stream)
        if isControl and sent.controls:
            self._state.controls.lost(sent.controls)

    def failMoney(self, reason: str) -> None:
        """Take back all money that was offered and has not left, on every stream."""
        state = self._state
        for stream in list(state.streams.open.values()):
            unsent = stream.moneyOut.withdraw()
            if unsent:
                streamID = stream.streamID
                state.streams.refresh(stream)
                state.events.append(MoneyFailed(streamID, unsent, reason, None))
                state.settleStream(stream)
