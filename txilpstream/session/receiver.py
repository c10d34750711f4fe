"""
What becomes of the peer's Prepare: fulfilled, asked about, or refused.

Money and data are taken only with a fulfill, all of a packet or nothing of it. A refusal carries an
encrypted packet with the amount that arrived and our limits, under one code that tells
implementations not apart (F99). Bytes that are not the peer's get F06, whatever is wrong with them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from txilpstream.crypto.keys import IV_LENGTH, SessionKeys, conditionOf
from txilpstream.errors import DecodeError, ErrorCode, PeerError
from txilpstream.session.events import DataArrived, MoneyReceived, StreamOpened
from txilpstream.session.framehandlers import HEARD
from txilpstream.session.incoming import Incoming, isOldData, lateFrames, splitAmount, takesData
from txilpstream.session.replyframes import addLimits, addReceipts, fit
from txilpstream.session.state import SessionState
from txilpstream.session.stream import SessionStream
from txilpstream.wire.frames import (
    ConnectionClose,
    ConnectionNewAddress,
    Frame,
    StreamClose,
    StreamData,
    StreamMaxData,
    StreamMaxMoney,
    StreamMoney,
)
from txilpstream.wire.ilp import ERROR_NAMES, Prepare, encodeFulfill, encodeReject, isExpired
from txilpstream.wire.packet import (
    FULFILL,
    PREPARE,
    REJECT,
    StreamPacket,
    decodeHeader,
    decodePacket,
    encodePacket,
)

__all__ = ["Receiver"]

OVER_LIMIT_PATIENCE: Final = 10.0
"""Seconds of packets over the money limit: a hundred may be in flight when it is met."""

FIRST_SEQUENCES: Final = 16
"""A packet of a lower number that tells an address begins a connection."""

_UNEXPECTED: Final = encodeReject("F06", "", ERROR_NAMES["F06"])

_OPENING: Final = (StreamMoney, StreamData, StreamMaxMoney, StreamMaxData)
_CLOSING: Final = (StreamClose, ConnectionClose)


class Receiver:
    """Answers Prepares."""

    __slots__ = ("_first", "_keys", "_overLimitAt", "_overLimitSince", "_randomBytes", "_state")

    def __init__(
        self, state: SessionState, keys: SessionKeys, randomBytes: Callable[[int], bytes]
    ) -> None:
        self._state = state
        self._keys = keys
        self._randomBytes = randomBytes
        self._overLimitSince: float | None = None
        self._overLimitAt = 0.0
        self._first = b""

    def isAnew(self, prepare: Prepare) -> bool:
        """Whether a Prepare for a connection that is over starts another one."""
        plain = self._keys.open(prepare.data)
        if plain is None or prepare.data[:IV_LENGTH] == self._first:
            return False
        try:
            packet = decodePacket(plain)
        except DecodeError:
            return False
        state = self._state
        if prepare.amount and state.error is None and not state.isDraining:
            return packet.packetType == PREPARE
        return (
            packet.packetType == PREPARE
            and packet.sequence <= FIRST_SEQUENCES
            and any(isinstance(frame, ConnectionNewAddress) for frame in packet.frames)
        )

    # --- First step: what is it? -----------------------------------------------------------

    def receive(self, prepare: Prepare, now: float) -> Incoming:
        """Decrypt a Prepare, apply its control frames and open the streams that it names."""
        plain = self._keys.open(prepare.data)
        if plain is None:
            return Incoming(prepare)
        try:
            packet = decodePacket(plain)
        except DecodeError:
            return self._malformed(prepare, plain, now)
        if packet.packetType != PREPARE:
            return Incoming(prepare)
        incoming = Incoming(prepare, packet)
        state = self._state
        if not state.hasAnswered:
            self._first = prepare.data[:IV_LENGTH]
        state.authentic(now)
        fulfillment = self._keys.fulfillment(prepare.data)
        if conditionOf(fulfillment) == prepare.executionCondition:
            incoming.fulfillment = fulfillment
        if state.isClosed:
            incoming.data = [frame for frame in packet.frames if isinstance(frame, StreamData)]
        else:
            try:
                self._hear(incoming, packet)
            except PeerError as error:
                incoming.fulfillment = b""
                state.fail(error)
        return incoming

    def _malformed(self, prepare: Prepare, plain: bytes, now: float) -> Incoming:
        """The peer's own bytes, but no packet: its frames are broken, or it is of the future."""
        try:
            header = decodeHeader(plain)
        except DecodeError:
            return Incoming(prepare)
        if header.packetType != PREPARE:
            return Incoming(prepare)
        self._state.authentic(now)
        self._state.fail(PeerError(ErrorCode.FRAME_FORMAT_ERROR, "a frame is not valid"))
        return Incoming(prepare, header)

    def _hear(self, incoming: Incoming, packet: StreamPacket) -> None:
        state = self._state
        streams = state.streams.open
        for frame in packet.frames:
            if isinstance(frame, _OPENING) and frame.streamID not in streams:
                self._open(incoming, frame.streamID)
            if isinstance(frame, StreamMoney):
                incoming.money.append(frame)
            elif isinstance(frame, StreamData):
                incoming.data.append(frame)
            elif not isinstance(frame, _CLOSING):
                HEARD[type(frame)](state, frame)

    def _open(self, incoming: Incoming, streamID: int) -> None:
        """Open a stream that the peer names for the first time; nothing happens to closed ones."""
        state = self._state
        stream = state.streams.accept(streamID)
        if stream is None:
            return
        if state.isLeaving:
            stream.isReported = True
            stream.closeCode = ErrorCode.STREAM_STATE_ERROR
            stream.closeMessage = "the connection is closing"
            state.abortStream(stream, None)
            state.controls.add(StreamClose.type, streamID)
            return
        incoming.hasOpened = True
        state.events.append(StreamOpened(streamID))

    # --- Second step: do we take it? ---------------------------------------------------------

    def split(self, incoming: Incoming) -> list[tuple[SessionStream, int]] | None:
        """How the amount would be split; None if not every unit finds a stream that takes it."""
        return splitAmount(self._state, incoming)

    def wouldAccept(self, incoming: Incoming, now: float) -> bool:
        """
        Whether a packet of money would be fulfilled if the application said yes now.

        @raise PeerError: if it breaks the protocol.
        """
        packet, prepare = incoming.packet, incoming.prepare
        return (
            packet is not None
            and bool(incoming.fulfillment)
            and not self._state.isClosed
            and prepare.amount >= packet.prepareAmount
            and prepare.expiresAt > now
            and takesData(self._state, incoming)
            and splitAmount(self._state, incoming) is not None
        )

    def answer(self, incoming: Incoming, accept: bool, now: float) -> bytes:
        """Fulfill a Prepare, and take what is in it, or refuse it."""
        packet, state = incoming.packet, self._state
        if packet is None or state.encrypted >= state.configuration.maximumPacketCount:
            return _UNEXPECTED
        parts = None
        if accept and incoming.fulfillment and incoming.prepare.amount >= packet.prepareAmount:
            try:
                parts = self._judge(incoming, now)
            except PeerError as error:
                state.fail(error)
        frames: list[Frame | bytes] = []
        if not state.isClosed:
            if parts is None:
                if incoming.money and incoming.prepare.amount:
                    frames.extend(lateFrames(state, incoming))
            else:
                self._take(incoming, parts)
                if state.tracer is not None:
                    for stream, part in parts:
                        state.tracer.moneyReceived(stream.streamID, part, now)
                if parts and state.configuration.receiptNonce:
                    addReceipts(state.configuration, parts, frames)
            if len(packet.frames) != len(incoming.money):
                self._hearCloses(packet)
        if incoming.refusal:
            streamID = incoming.money[0].streamID if incoming.money else 1
            frames.append(StreamData(streamID, 0, incoming.refusal.encode("utf-8", "replace")))
        if state.isClosed:
            frames.append(ConnectionClose(state.closeCode, state.closeMessage))
        else:
            addLimits(state, packet, frames)
        return self._reply(incoming, packet, parts is not None, frames)

    def _judge(self, incoming: Incoming, now: float) -> list[tuple[SessionStream, int]] | None:
        """
        Decide on a packet that can be fulfilled.

        @return: which stream gets how much, None if the packet is refused.
        @raise PeerError: if it exceeds what it may.
        """
        state, amount = self._state, incoming.prepare.amount
        if state.isClosed:
            return None if amount or not isOldData(state, incoming) else []
        if incoming.data and not takesData(state, incoming):
            return None
        if not amount:
            self._overLimitSince = None
            return []
        if isExpired(incoming.prepare.timestamp, now):
            return None
        parts = splitAmount(state, incoming)
        if parts is not None:
            self._overLimitSince = None
        elif not lateFrames(state, incoming):
            self._watchLimit(now)
        return parts

    def _watchLimit(self, now: float) -> None:
        """Close on a peer that sends nothing but money that it must not send (S29)."""
        if self._overLimitSince is None or now - self._overLimitAt > OVER_LIMIT_PATIENCE:
            self._overLimitSince = now
        self._overLimitAt = now
        if now - self._overLimitSince > OVER_LIMIT_PATIENCE:
            raise PeerError(
                ErrorCode.FLOW_CONTROL_ERROR, "for 10 s every packet was over the money limit"
            )

    def _take(self, incoming: Incoming, parts: list[tuple[SessionStream, int]]) -> None:
        """Credit the money and keep the data."""
        state = self._state
        streams = state.streams
        for stream, part in parts:
            stream.moneyIn.credit(part)
            state.events.append(MoneyReceived(stream.streamID, part))
        for frame in incoming.data:
            target = streams.open.get(frame.streamID)
            if target is None or target.isEnded:
                # It counted for the sender; nobody keeps it, so it counts as consumed at once.
                streams.grant.received += len(frame.data)
                streams.grant.consumed += len(frame.data)
                continue
            data = target.data
            held, waiting, highest = data.held, data.waiting, data.highest
            data.receive(frame.offset, frame.data)
            streams.budget.used += data.held - held
            target.grant.received += data.highest - highest
            streams.grant.received += data.highest - highest
            if data.waiting > waiting:
                state.events.append(DataArrived(frame.streamID))

    def _hearCloses(self, packet: StreamPacket) -> None:
        """Closes come last: what is in the packet came before. Only in answers are they final."""
        for frame in packet.frames:
            isHalf = isinstance(frame, ConnectionClose) and self._state.halfClose(frame.errorCode)
            if isinstance(frame, _CLOSING) and not isHalf:
                HEARD[type(frame)](self._state, frame)
        if self._state.overtaking:
            self._state.hearHeld()

    # --- The answer --------------------------------------------------------------------------

    def _reply(
        self,
        incoming: Incoming,
        packet: StreamPacket,
        isTaken: bool,
        frames: list[Frame | bytes],
    ) -> bytes:
        state = self._state
        plain = encodePacket(
            packet.sequence,
            FULFILL if isTaken else REJECT,
            incoming.prepare.amount,
            fit(frames),
            state.configuration.padTo,
        )
        state.encrypted += 1
        data = self._keys.seal(plain, self._randomBytes(IV_LENGTH))
        if isTaken:
            return encodeFulfill(incoming.fulfillment, data)
        return encodeReject("F99", "", ERROR_NAMES["F99"], data)
