"""
What becomes of the peer's Prepare: fulfilled, asked about, or refused.

Money and data are taken only with a fulfill, all of a packet or nothing of it. A refusal carries an
encrypted packet with the amount that arrived and our limits, under one code that tells
implementations not apart (F99). Bytes that are not the peer's get F06, whatever is wrong with them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from txilpstream.amounts import splitShares
from txilpstream.crypto import IV_LENGTH, SessionKeys, conditionOf
from txilpstream.errors import DecodeError, ErrorCode, PeerError
from txilpstream.receipts import MAX_STREAM_ID, signReceipt
from txilpstream.session.events import DataArrived, MoneyReceived, StreamOpened
from txilpstream.session.state import SessionState
from txilpstream.session.stream import CLOSED, CLOSING, SessionStream
from txilpstream.wire.frames import (
    ConnectionClose,
    ConnectionMaxData,
    ConnectionMaxStreamID,
    ConnectionNewAddress,
    Frame,
    StreamClose,
    StreamData,
    StreamMaxData,
    StreamMoney,
    StreamReceipt,
)
from txilpstream.wire.ilp import ERROR_NAMES, Prepare, encodeFulfill, encodeReject
from txilpstream.wire.packet import (
    FULFILL,
    PREPARE,
    REJECT,
    StreamPacket,
    decodeHeader,
    decodePacket,
    encodePacket,
)

__all__ = ["Incoming", "Receiver"]

OVER_LIMIT_PATIENCE: Final = 10.0
"""Seconds of nothing but packets over the money limit: a hundred may be in flight when it is met."""

_UNEXPECTED: Final = encodeReject("F06", "", ERROR_NAMES["F06"])

_OPENING: Final = frozenset((0x11, 0x12, 0x14, 0x15))

_TOUCHING: Final = frozenset(range(0x10, 0x17))


@dataclass(slots=True)
class Incoming:
    """
    A Prepare of the peer's that waits to be answered.

    @ivar prepare: the ILP packet.
    @ivar packet: what was in it; None if it is not the peer's.
    @ivar money: the streams that share its amount, with the shares of each.
    @ivar data: its frames of application data.
    @ivar fulfillment: what fulfills it; empty if nothing can.
    """

    prepare: Prepare
    packet: StreamPacket | None = None
    money: list[StreamMoney] = field(default_factory=list)
    data: list[StreamData] = field(default_factory=list)
    fulfillment: bytes = b""


class Receiver:
    """Answers Prepares."""

    __slots__ = ("_keys", "_overLimitSince", "_randomBytes", "_state")

    def __init__(
        self, state: SessionState, keys: SessionKeys, randomBytes: Callable[[int], bytes]
    ) -> None:
        self._state = state
        self._keys = keys
        self._randomBytes = randomBytes
        self._overLimitSince: float | None = None

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
        state.authentic(now)
        fulfillment = self._keys.fulfillment(prepare.data)
        if conditionOf(fulfillment) == prepare.executionCondition:
            incoming.fulfillment = fulfillment
        if not state.isClosed:
            try:
                self._hear(incoming, packet)
            except PeerError as error:
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
        for frame in packet.frames:
            kind = frame.type
            if kind in _OPENING:
                streams = state.streams
                if frame.streamID not in streams.open:  # type: ignore[union-attr]
                    self._open(frame.streamID)  # type: ignore[union-attr]
            if isinstance(frame, StreamMoney):
                incoming.money.append(frame)
            elif isinstance(frame, StreamData):
                incoming.data.append(frame)
            elif not isinstance(frame, StreamClose | ConnectionClose):
                state.hear(frame)

    def _open(self, streamID: int) -> None:
        """Open a stream that the peer names for the first time; nothing happens to closed ones."""
        state = self._state
        stream = state.streams.accept(streamID)
        if stream is None:
            return
        if state.isDraining:
            state.abortStream(stream, None)
            stream.isReported = True
            return
        state.events.append(StreamOpened(streamID))

    # --- Second step: do we take it? ---------------------------------------------------------

    def split(self, incoming: Incoming) -> list[tuple[SessionStream, int]] | None:
        """
        Split the amount among the streams, the remainder to the lowest that is below its limit
        (RFC 29 section 5.3.8).

        @return: None if not every unit finds a stream that takes it.
        """
        amount = incoming.prepare.amount
        frames = incoming.money
        streams = self._state.streams.open
        tolerance = self._state.configuration.receiveTolerance
        if len(frames) == 1 and frames[0].shares:
            stream = streams.get(frames[0].streamID)
            if stream is None or stream.isEnded or not stream.moneyIn.takes(amount, tolerance):
                return None
            return [(stream, amount)]
        amounts, rest = splitShares(amount, [frame.shares for frame in frames])
        totals: dict[int, int] = {}
        for frame, part in zip(frames, amounts, strict=True):
            totals[frame.streamID] = totals.get(frame.streamID, 0) + part
        if rest:
            if not any(frame.shares for frame in frames):
                return None
            for streamID in sorted(streams):
                stream = streams[streamID]
                room = stream.moneyIn.receiveMax - stream.moneyIn.totalReceived
                if not stream.isEnded and room - totals.get(streamID, 0) >= rest:
                    totals[streamID] = totals.get(streamID, 0) + rest
                    rest = 0
                    break
        parts = []
        for streamID, part in totals.items():
            target = streams.get(streamID)
            if part:
                if target is None or target.isEnded or not target.moneyIn.takes(part, tolerance):
                    return None
                parts.append((target, part))
        return None if rest else parts

    def wouldAccept(self, incoming: Incoming, now: float) -> bool:
        """Whether a packet of money would be fulfilled if the application said yes now."""
        packet, prepare = incoming.packet, incoming.prepare
        return (
            packet is not None
            and bool(incoming.fulfillment)
            and not self._state.isClosed
            and prepare.amount >= packet.prepareAmount
            and self._takesData(incoming)
            and self.split(incoming) is not None
        )

    def _takesData(self, incoming: Incoming) -> bool:
        """
        Whether the data keeps to its limits and there is room for it.

        @raise PeerError: FlowControlError if it exceeds what was granted (RFC 29 4.4.4, 4.5).
        """
        streams = self._state.streams
        more = 0
        for frame in incoming.data:
            stream = streams.open.get(frame.streamID)
            if stream is None or stream.isEnded:
                continue
            end = frame.offset + len(frame.data)
            if end > stream.grant.limit:
                raise PeerError(
                    ErrorCode.FLOW_CONTROL_ERROR,
                    f"stream {frame.streamID} was sent {end} bytes of {stream.grant.limit}",
                )
            more += max(0, end - stream.data.highest)
            if stream.data.isCrowded and frame.offset > stream.data.offset:
                return False
        if streams.grant.received + more > streams.grant.limit:
            raise PeerError(
                ErrorCode.FLOW_CONTROL_ERROR,
                f"all streams were sent {streams.grant.received + more} bytes of "
                f"{streams.grant.limit}",
            )
        size = sum([len(frame.data) for frame in incoming.data])
        return streams.budget.used + size <= streams.budget.limit

    def answer(self, incoming: Incoming, accept: bool, now: float) -> bytes:
        """Fulfill a Prepare, and take what is in it, or refuse it."""
        packet, prepare, state = incoming.packet, incoming.prepare, self._state
        if packet is None:
            return _UNEXPECTED
        parts: list[tuple[SessionStream, int]] | None = None
        isTaken = False
        try:
            if (
                accept
                and incoming.fulfillment
                and prepare.amount >= packet.prepareAmount
                and not (state.isClosed and prepare.amount)
                and (not prepare.amount or prepare.expiresAt > now)
                and (state.isClosed or self._takesData(incoming))
            ):
                parts = self.split(incoming) if prepare.amount else []
                isTaken = parts is not None
                if prepare.amount:
                    self._watchLimit(isTaken, now)
        except PeerError as error:
            state.fail(error)
        closed = self._lateFrames(incoming)
        if isTaken and parts is not None and not state.isClosed:
            self._take(incoming, parts)
        if not state.isClosed:
            self._hearCloses(packet)
        return self._reply(incoming, packet, isTaken, closed)

    def _watchLimit(self, isTaken: bool, now: float) -> None:
        """Close on a peer that sends nothing but money that it must not send (S29)."""
        if isTaken:
            self._overLimitSince = None
        elif self._overLimitSince is None:
            self._overLimitSince = now
        elif now - self._overLimitSince > OVER_LIMIT_PATIENCE:
            raise PeerError(
                ErrorCode.FLOW_CONTROL_ERROR, "for 10 s every packet was over the money limit"
            )

    def _lateFrames(self, incoming: Incoming) -> list[Frame]:
        """What is said of money for streams that are closed."""
        streams = self._state.streams.open
        late: list[Frame] = []
        for frame in incoming.money:
            stream = streams.get(frame.streamID)
            if stream is None or (stream.isEnded and incoming.prepare.amount):
                message = "the stream is closed"
                late.append(StreamClose(frame.streamID, ErrorCode.STREAM_STATE_ERROR, message))
        return late

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
        """Closes come last: what is in the same packet came before."""
        for frame in packet.frames:
            if isinstance(frame, StreamClose | ConnectionClose):
                self._state.hear(frame)

    # --- The answer --------------------------------------------------------------------------

    def _reply(
        self, incoming: Incoming, packet: StreamPacket, isTaken: bool, frames: list[Frame]
    ) -> bytes:
        state = self._state
        if state.isClosed:
            frames.append(ConnectionClose(state.closeCode, state.closeMessage))
        else:
            self._addLimits(incoming, packet, isTaken, frames)
        plain = encodePacket(
            packet.sequence,
            FULFILL if isTaken else REJECT,
            incoming.prepare.amount,
            frames,
            state.configuration.padTo,
        )
        state.encrypted += 1
        data = self._keys.seal(plain, self._randomBytes(IV_LENGTH))
        if isTaken:
            return encodeFulfill(incoming.fulfillment, data)
        return encodeReject("F99", "", ERROR_NAMES["F99"], data)

    def _addLimits(
        self, incoming: Incoming, packet: StreamPacket, isTaken: bool, frames: list[Frame]
    ) -> None:
        """Say the limits of the streams that the packet touches, and of the connection."""
        state = self._state
        streams = state.streams
        touched = {
            frame.streamID: None  # type: ignore[union-attr]
            for frame in packet.frames
            if frame.type in _TOUCHING
        }
        for streamID in touched:
            stream = streams.open.get(streamID)
            if stream is None:
                continue
            frames.append(state.maxMoneyFrame(stream))
            frames.append(StreamMaxData(streamID, stream.grant.tell()))
            if stream.state >= CLOSING and not state.destination:
                frames.append(StreamClose(streamID, stream.closeCode, stream.closeMessage))
                stream.state = CLOSED
                state.finishStream(stream)
        frames.append(ConnectionMaxData(streams.grant.tell()))
        if streams.maxStreamID != state.configuration.maximumStreamID:
            frames.append(ConnectionMaxStreamID(streams.maxStreamID))
        if isTaken and state.configuration.receiptNonce:
            self._addReceipts(incoming, frames)
        for frame in packet.frames:
            if isinstance(frame, ConnectionNewAddress):
                asset = state.assetFrame()
                if asset is not None:
                    frames.append(asset)

    def _addReceipts(self, incoming: Incoming, frames: list[Frame]) -> None:
        """Sign what each stream that got money has received in all (RFC 39)."""
        configuration = self._state.configuration
        for money in incoming.money:
            stream = self._state.streams.open.get(money.streamID)
            if stream is not None and money.streamID <= MAX_STREAM_ID:
                receipt = signReceipt(
                    configuration.receiptNonce,
                    money.streamID,
                    stream.moneyIn.totalReceived,
                    configuration.receiptSecret,
                )
                frames.append(StreamReceipt(money.streamID, receipt))
