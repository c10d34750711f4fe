"""
What becomes of the peer's Prepare: fulfilled, asked about, or refused.

Money and data are taken only with a fulfill, all of a packet or nothing of it. A refusal carries an
encrypted packet with the amount that arrived and our limits, under one code that tells
implementations not apart (F99). Bytes that are not the peer's get F06, whatever is wrong with them.

A packet is looked at in steps. When it is received, the streams that it names are opened, so that
the application may set their limits. Whether it is taken is decided after that: before a policy is
asked, and once more with the answer, since time has passed and limits have moved. What opens a
packet, proves that it can be fulfilled, and splits its amount, serves receivers without state too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from txilpstream.amounts import U64_MAX, splitShares
from txilpstream.crypto.keys import IV_LENGTH, SessionKeys, conditionOf
from txilpstream.crypto.receipts import MAX_STREAM_ID, signReceipt
from txilpstream.errors import DecodeError, ErrorCode, PeerError
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.events import DataArrived, MoneyReceived, StreamOpened
from txilpstream.session.framehandlers import FRAME_HANDLERS
from txilpstream.session.state import SessionState
from txilpstream.session.streams.flowcontrol import INITIAL_CONNECTION_CREDIT, INITIAL_STREAM_CREDIT
from txilpstream.session.streams.streams import CLOSING, PEER_MAX_STREAM_ID, SessionStream
from txilpstream.wire.frames import (
    STREAM_FRAME_TYPES,
    ConnectionClose,
    ConnectionNewAddress,
    Frame,
    StreamClose,
    StreamData,
    StreamDataBlocked,
    StreamMaxData,
    StreamMaxMoney,
    StreamMoney,
    StreamMoneyBlocked,
    StreamReceipt,
)
from txilpstream.wire.ilp import Prepare, encodeFulfill, isExpired, rejectWith
from txilpstream.wire.packet import (
    FULFILL,
    PREPARE,
    REJECT,
    StreamPacket,
    decodeHeader,
    decodePacket,
    encodePacket,
    fit,
)

__all__ = [
    "UNEXPECTED",
    "Askable",
    "BrokenFrames",
    "Incoming",
    "Receiver",
    "Refused",
    "addLimits",
    "addReceipts",
    "fulfillmentOf",
    "isOldData",
    "lateFrames",
    "openPrepare",
    "shareOut",
    "splitAmount",
    "takesData",
]

UNEXPECTED: Final = rejectWith("F06")
"""The answer to all that is not the peer's, whatever is wrong with it."""

LONGEST_REASON: Final = 500
"""Characters of the reason of a refusal that reach the payer."""

OVER_LIMIT_TIMEOUT: Final = 10.0
"""Seconds of packets over the money limit: a hundred may be in flight when it is met."""

FIRST_SEQUENCES: Final = 16
"""A packet of a lower number that tells an address begins a connection."""

OPENING: Final = (StreamMoney, StreamData, StreamMaxMoney, StreamMaxData)
"""Frames with which a peer opens a stream."""

_CLOSING: Final = (StreamClose, ConnectionClose)

_TOUCHING: Final = STREAM_FRAME_TYPES - {StreamReceipt.type}
"""Frames that name a stream; a receipt asks for no answer about it."""


# --- What a packet is, for every kind of receiver -------------------------------------------------


class BrokenFrames(Exception):
    """
    A packet of the peer's own has a frame that is not valid, or is of a future version.

    @ivar header: the packet without its frames.
    @ivar error: what the connection is closed with.
    """

    def __init__(self, header: StreamPacket) -> None:
        super().__init__(header)
        self.header = header
        self.error = PeerError(ErrorCode.FRAME_FORMAT_ERROR, "a frame is not valid")


def openPrepare(prepare: Prepare, keys: SessionKeys) -> StreamPacket | None:
    """
    Decrypt what is in a Prepare.

    @return: None if it was not made with these keys, or is no Prepare inside.
    @raise BrokenFrames: if it was, and cannot be read (RFC 29 section 5.4).
    """
    plain = keys.open(prepare.data)
    if plain is None:
        return None
    try:
        packet = decodePacket(plain)
    except DecodeError:
        try:
            packet = decodeHeader(plain)
        except DecodeError:
            return None
        if packet.packetType == PREPARE:
            raise BrokenFrames(packet) from None
    return packet if packet.packetType == PREPARE else None


def fulfillmentOf(prepare: Prepare, packet: StreamPacket, keys: SessionKeys) -> bytes:
    """What fulfills a Prepare; empty if nothing can, or if less came than its sender demands."""
    if prepare.amount < packet.prepareAmount:
        return b""
    fulfillment = keys.fulfillment(prepare.data)
    return fulfillment if conditionOf(fulfillment) == prepare.executionCondition else b""


def shareOut(amount: int, money: list[StreamMoney]) -> tuple[dict[int, int], int]:
    """
    Split an amount by shares (RFC 29 section 5.3.8).

    @param money: at least one of them has shares.
    @return: the part of each stream by its id, and what rounding has left over.
    """
    parts, rest = splitShares(amount, [frame.shares for frame in money])
    totals: dict[int, int] = {}
    for frame, part in zip(money, parts, strict=True):
        totals[frame.streamID] = totals.get(frame.streamID, 0) + part
    return totals, rest


# --- A packet of a connection ---------------------------------------------------------------------


@dataclass(slots=True)
class Refused:
    """
    A packet that is not taken, as it cannot be or since the application does not want it.

    @ivar frames: what the answer says of it.
    @ivar reason: why the application refuses it, for people, or empty.
    """

    frames: list[StreamClose]
    reason: str = ""


@dataclass(slots=True)
class Askable:
    """
    A packet that can be taken if the application wants it.

    @ivar parts: stream id and amount, as it would be split.
    @ivar data: the bytes in it.
    """

    parts: tuple[tuple[int, int], ...]
    data: bytes


@dataclass(slots=True)
class Incoming:
    """
    A Prepare of the peer's that waits to be answered.

    @ivar prepare: the ILP packet.
    @ivar packet: what was in it; None if it is not the peer's.
    @ivar money: the streams that share its amount, with the shares of each.
    @ivar data: its frames of application data.
    @ivar fulfillment: what fulfills it; empty if nothing can.
    @ivar hasOpened: whether it opened a stream, of which the application is to hear first.
    @ivar refused: why it is refused, if that is decided; else it is decided with the answer.
    """

    prepare: Prepare
    packet: StreamPacket | None = None
    money: list[StreamMoney] = field(default_factory=list)
    data: list[StreamData] = field(default_factory=list)
    fulfillment: bytes = b""
    hasOpened: bool = False
    refused: Refused | None = None


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

    # --- First: what is it? ----------------------------------------------------------------

    def receive(self, prepare: Prepare, now: float) -> Incoming:
        """Decrypt a Prepare, apply its control frames and open the streams that it names."""
        state = self._state
        try:
            packet = openPrepare(prepare, self._keys)
        except BrokenFrames as broken:
            state.authentic(now)
            state.fail(broken.error)
            return Incoming(prepare, broken.header)
        incoming = Incoming(prepare, packet)
        if packet is None:
            return incoming
        if state.hasAnswered:
            state.heardAt = now
        else:
            self._first = prepare.data[:IV_LENGTH]
            state.authentic(now)
        incoming.fulfillment = fulfillmentOf(prepare, packet, self._keys)
        if state.isClosed:
            incoming.data = [frame for frame in packet.frames if isinstance(frame, StreamData)]
        else:
            try:
                self._hear(incoming, packet)
            except PeerError as error:
                incoming.fulfillment = b""
                state.fail(error)
        return incoming

    def _hear(self, incoming: Incoming, packet: StreamPacket) -> None:
        state = self._state
        streams = state.streams.open
        for frame in packet.frames:
            if isinstance(frame, OPENING) and frame.streamID not in streams:
                self._open(incoming, frame.streamID)
            if isinstance(frame, StreamMoney):
                incoming.money.append(frame)
            elif isinstance(frame, StreamData):
                incoming.data.append(frame)
            elif not isinstance(frame, _CLOSING):
                FRAME_HANDLERS[type(frame)](state, frame)

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
            state.controlFrames.add(StreamClose.type, streamID)
            return
        incoming.hasOpened = True
        state.events.append(StreamOpened(streamID))

    def restartsConnection(self, prepare: Prepare) -> bool:
        """Whether a Prepare for a connection that is over starts another one."""
        if prepare.data[:IV_LENGTH] == self._first:
            return False
        try:
            packet = openPrepare(prepare, self._keys)
        except BrokenFrames:
            return False
        state = self._state
        if packet is None:
            return False
        if prepare.amount and state.error is None and not state.isDraining:
            return True
        return packet.sequence <= FIRST_SEQUENCES and any(
            isinstance(frame, ConnectionNewAddress) for frame in packet.frames
        )

    # --- Then: is it taken? ----------------------------------------------------------------

    def judge(self, incoming: Incoming, now: float) -> Askable | Refused:
        """Whether to ask the application about a packet, and what it is asked."""
        parts = self._decide(incoming, now)
        if parts is None:
            incoming.refused = Refused(lateFrames(self._state, incoming))
            return incoming.refused
        amounts = tuple((stream.streamID, amount) for stream, amount in parts)
        return Askable(amounts, b"".join([frame.data for frame in incoming.data]))

    def refuse(self, incoming: Incoming, reason: str) -> None:
        """The application does not want a packet; the answer says why."""
        incoming.refused = Refused(lateFrames(self._state, incoming), reason[:LONGEST_REASON])

    def _decide(self, incoming: Incoming, now: float) -> list[tuple[SessionStream, int]] | None:
        """
        Decide on a packet as things are now; a peer that exceeds what it may ends the connection.

        @return: which stream gets how much; None if it cannot be taken.
        """
        state, amount = self._state, incoming.prepare.amount
        if not incoming.fulfillment:
            return None
        if state.isClosed:
            return None if amount or not isOldData(state, incoming) else []
        try:
            if incoming.data and not takesData(state, incoming):
                return None
            if not amount:
                return []
            if isExpired(incoming.prepare.timestamp, now):
                return None
            parts = splitAmount(state, incoming)
            if parts is None and not lateFrames(state, incoming):
                self._watchLimit(now)
            return parts
        except PeerError as error:
            state.fail(error)
            return None

    def _watchLimit(self, now: float) -> None:
        """Close on a peer that sends nothing but money that it must not send (S29)."""
        if self._overLimitSince is None or now - self._overLimitAt > OVER_LIMIT_TIMEOUT:
            self._overLimitSince = now
        self._overLimitAt = now
        if now - self._overLimitSince > OVER_LIMIT_TIMEOUT:
            raise PeerError(
                ErrorCode.FLOW_CONTROL_ERROR, "for 10 s every packet was over the money limit"
            )

    # --- At last: its answer -----------------------------------------------------------------

    def answer(self, incoming: Incoming, accept: bool, now: float) -> bytes:
        """Fulfill a Prepare, and take what is in it, or refuse it."""
        packet, state = incoming.packet, self._state
        if packet is None or state.encrypted >= state.configuration.maximumPacketCount:
            return UNEXPECTED
        refused = incoming.refused
        parts = self._decide(incoming, now) if accept and refused is None else None
        frames: list[Frame | bytes] = []
        if not state.isClosed:
            if parts is not None:
                self._take(incoming, parts, now)
                if parts and state.configuration.receiptNonce:
                    addReceipts(state.configuration, parts, frames)
            elif refused is not None:
                frames.extend(refused.frames)
            elif incoming.money:
                frames.extend(lateFrames(state, incoming))
            if len(packet.frames) != len(incoming.money):
                self._hearCloses(packet)
        if refused is not None and refused.reason:
            streamID = incoming.money[0].streamID if incoming.money else 1
            frames.append(StreamData(streamID, 0, refused.reason.encode("utf-8", "replace")))
        if state.isClosed:
            frames.append(ConnectionClose(state.closeCode, state.closeMessage))
        else:
            addLimits(state, packet, frames)
        plain = encodePacket(
            packet.sequence,
            REJECT if parts is None else FULFILL,
            incoming.prepare.amount,
            fit(frames),
            state.configuration.padTo,
        )
        state.encrypted += 1
        data = self._keys.seal(plain, self._randomBytes(IV_LENGTH))
        if parts is None:
            return rejectWith("F99", data=data)
        return encodeFulfill(incoming.fulfillment, data)

    def _take(self, incoming: Incoming, parts: list[tuple[SessionStream, int]], now: float) -> None:
        """Credit the money and keep the data."""
        state = self._state
        streams = state.streams
        self._overLimitSince = None
        for stream, part in parts:
            stream.moneyIn.credit(part)
            state.events.append(MoneyReceived(stream.streamID, part))
            if state.tracer is not None:
                state.tracer.moneyReceived(stream.streamID, part, now)
        for frame in incoming.data:
            target = streams.open.get(frame.streamID)
            if target is None or target.isEnded:
                # It counted for the sender; nobody keeps it, so it counts as consumed at once.
                streams.receiveWindow.received += len(frame.data)
                streams.receiveWindow.consumed += len(frame.data)
                continue
            data = target.data
            held, waiting, highest = data.held, data.waiting, data.highest
            data.receive(frame.offset, frame.data)
            streams.budget.used += data.held - held
            target.receiveWindow.received += data.highest - highest
            streams.receiveWindow.received += data.highest - highest
            if data.waiting > waiting:
                state.events.append(DataArrived(frame.streamID))

    def _hearCloses(self, packet: StreamPacket) -> None:
        """Closes come last: what is in the packet came before. Only in answers are they final."""
        for frame in packet.frames:
            isHalf = isinstance(frame, ConnectionClose) and self._state.halfClose(frame.errorCode)
            if isinstance(frame, _CLOSING) and not isHalf:
                FRAME_HANDLERS[type(frame)](self._state, frame)
        if self._state.earlyCloses:
            self._state.endEarlyClosed()


# --- What a packet may ----------------------------------------------------------------------------


def splitAmount(state: SessionState, incoming: Incoming) -> list[tuple[SessionStream, int]] | None:
    """
    Split the amount among the streams, the remainder to the lowest that is below its limit
    (RFC 29 section 5.3.8).

    @return: None if not every unit finds a stream that takes it.
    """
    amount = incoming.prepare.amount
    frames = incoming.money
    streams = state.streams.open
    tolerance = state.configuration.receiveTolerance
    if len(frames) == 1 and frames[0].shares:
        stream = streams.get(frames[0].streamID)
        if stream is None or stream.refusesMoney or not stream.moneyIn.takes(amount, tolerance):
            return None
        return [(stream, amount)]
    if not any([frame.shares for frame in frames]):
        return None if amount else []
    totals, rest = shareOut(amount, frames)
    if rest:
        lowest = min(
            (
                streamID
                for streamID, stream in streams.items()
                if not stream.refusesMoney
                and stream.moneyIn.receiveMax - stream.moneyIn.totalReceived
                >= totals.get(streamID, 0) + rest
            ),
            default=None,
        )
        if lowest is None:
            return None
        totals[lowest] = totals.get(lowest, 0) + rest
    parts = []
    for streamID, part in totals.items():
        if part:
            target = streams.get(streamID)
            if target is None or target.refusesMoney or not target.moneyIn.takes(part, tolerance):
                return None
            parts.append((target, part))
    return parts


def takesData(state: SessionState, incoming: Incoming) -> bool:
    """
    Whether the data keeps to its limits and there is room for it.

    What a peer may send before it was told a limit is never held against it.

    @raise PeerError: FlowControlError if it exceeds what was granted (RFC 29 4.4.4, 4.5).
    """
    streams = state.streams
    reached: dict[int, int] = {}
    more = size = 0
    for frame in incoming.data:
        stream = streams.open.get(frame.streamID)
        if stream is None or stream.isEnded:
            continue
        end = frame.offset + len(frame.data)
        limit = max(stream.receiveWindow.limit, INITIAL_STREAM_CREDIT)
        if end > limit:
            raise PeerError(
                ErrorCode.FLOW_CONTROL_ERROR,
                f"stream {frame.streamID} was sent {end} bytes of {limit}",
            )
        before = reached.get(frame.streamID, stream.data.highest)
        if end > before:
            more += end - before
            reached[frame.streamID] = end
        if stream.data.isCrowded and frame.offset > stream.data.offset:
            return False
        size += len(frame.data)
    limit = max(streams.receiveWindow.limit, INITIAL_CONNECTION_CREDIT)
    if streams.receiveWindow.received + more > limit:
        raise PeerError(
            ErrorCode.FLOW_CONTROL_ERROR,
            f"all streams were sent {streams.receiveWindow.received + more} bytes of {limit}",
        )
    return streams.budget.used + size <= streams.budget.limit


def isOldData(state: SessionState, incoming: Incoming) -> bool:
    """Whether all data was taken before, so that a closed connection may say so once more."""
    streams = state.streams
    for frame in incoming.data:
        stream = streams.open.get(frame.streamID)
        if stream is None:
            if not streams.wasOpened(frame.streamID):
                return False
        elif frame.offset + len(frame.data) > stream.data.offset:
            return False
    return True


def lateFrames(state: SessionState, incoming: Incoming) -> list[StreamClose]:
    """What is said of money for streams that are closed."""
    streams = state.streams.open
    if not incoming.prepare.amount:
        return []
    late: dict[int, StreamClose] = {}
    for frame in incoming.money:
        streamID = frame.streamID
        stream = streams.get(streamID)
        if (stream is None or stream.refusesMoney) and streamID not in late:
            message = "the stream is closed"
            late[streamID] = StreamClose(streamID, ErrorCode.STREAM_STATE_ERROR, message)
    return list(late.values())


# --- What an answer says --------------------------------------------------------------------------


def addLimits(state: SessionState, packet: StreamPacket, frames: list[Frame | bytes]) -> None:
    """Say the limits of the streams that the packet touches, and of the connection."""
    streams, ours = state.streams, state.controlFrames
    touched: dict[int, None] = {}
    isAsked = False
    for frame in packet.frames:
        kind = frame.type
        if kind in _TOUCHING:
            touched[frame.streamID] = None  # type: ignore[union-attr]
            if kind == StreamMoneyBlocked.type:
                _addRefusal(state, frame.streamID, frames)  # type: ignore[union-attr]
        elif kind == ConnectionNewAddress.type:
            isAsked = True
    asset = ours.asset() if isAsked else None
    if asset is not None:
        frames.append(asset)
    for streamID in touched:
        stream = streams.open.get(streamID)
        if stream is not None:
            frames.append(ours.tellMaxMoney(stream))
            frames.append(ours.tellMaxData(stream))
        elif streams.wasOpened(streamID):
            _addUnread(state.configuration.streamWindow, streamID, packet, frames)
    if not state.destination:
        _addCloses(state, touched, frames)
    frames.append(ours.tellConnectionMaxData())
    if streams.maxStreamID != PEER_MAX_STREAM_ID:
        frames.append(ours.tellMaxStreamID())


def _addUnread(
    window: int, streamID: int, packet: StreamPacket, frames: list[Frame | bytes]
) -> None:
    """
    What is sent on a stream that is over here is dropped, and its sender goes on to its end.

    @param window: bytes that it may send beyond what it has.
    """
    for frame in packet.frames:
        if isinstance(frame, StreamData) and frame.streamID == streamID:
            end = frame.offset + len(frame.data)
        elif isinstance(frame, StreamDataBlocked) and frame.streamID == streamID:
            end = frame.maxOffset
        else:
            continue
        frames.append(StreamMaxData(streamID, min(end + window, U64_MAX)))


def _addRefusal(state: SessionState, streamID: int, frames: list[Frame | bytes]) -> None:
    """A peer waits to send money on a stream that will never take it: end the wait."""
    stream = state.streams.open.get(streamID)
    if stream is None or stream.refusesMoney:
        message = "the stream is closed"
        frames.append(StreamClose(streamID, ErrorCode.STREAM_STATE_ERROR, message))


def _addCloses(state: SessionState, touched: dict[int, None], frames: list[Frame | bytes]) -> None:
    """
    Tell a peer that no packet of ours reaches which streams are closed: in every answer while
    the stream is not over, since nobody acknowledges that.
    """
    for kind, streamID in state.controlFrames.pending:
        if kind == StreamClose.type:
            touched[streamID] = None
    for streamID in touched:
        stream = state.streams.open.get(streamID)
        if stream is not None and stream.state >= CLOSING:
            frames.append(StreamClose(streamID, stream.closeCode, stream.closeMessage))
            state.acknowledgeClose(stream)


def addReceipts(
    configuration: SessionConfiguration,
    parts: list[tuple[SessionStream, int]],
    frames: list[Frame | bytes],
) -> None:
    """Sign what each stream that got money has received in all (RFC 39)."""
    for stream, _ in parts:
        streamID = stream.streamID
        if streamID <= MAX_STREAM_ID:
            receipt = signReceipt(
                configuration.receiptNonce,
                streamID,
                stream.moneyIn.totalReceived,
                configuration.receiptSecret,
            )
            frames.append(StreamReceipt(streamID, receipt))
