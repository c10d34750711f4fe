"""
A Prepare of the peer's that waits for its answer, and what this end would take of it.

Nothing here changes anything: it is asked before the application is, and again when it has said
yes. What is not taken has a reason that is a value; what no honest peer sends raises PeerError.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from txilpstream.amounts import splitShares
from txilpstream.errors import ErrorCode, PeerError
from txilpstream.session.state import SessionState
from txilpstream.session.stream import SessionStream
from txilpstream.session.streams.flowcontrol import INITIAL_CONNECTION_CREDIT, INITIAL_STREAM_CREDIT
from txilpstream.wire.frames import Frame, StreamClose, StreamData, StreamMoney
from txilpstream.wire.ilp import Prepare
from txilpstream.wire.packet import StreamPacket

__all__ = ["Incoming", "isOldData", "lateFrames", "splitAmount", "takesData"]


@dataclass(slots=True)
class Incoming:
    """
    A Prepare of the peer's that waits to be answered.

    @ivar prepare: the ILP packet.
    @ivar packet: what was in it; None if it is not the peer's.
    @ivar money: the streams that share its amount, with the shares of each.
    @ivar data: its frames of application data.
    @ivar hasOpened: whether it opened a stream, of which the application is to hear first.
    @ivar refusal: why it is refused, for people, or empty.
    @ivar fulfillment: what fulfills it; empty if nothing can.
    """

    prepare: Prepare
    packet: StreamPacket | None = None
    money: list[StreamMoney] = field(default_factory=list)
    data: list[StreamData] = field(default_factory=list)
    fulfillment: bytes = b""
    hasOpened: bool = False
    refusal: str = ""


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
        if stream is None or stream.isDeaf or not stream.moneyIn.takes(amount, tolerance):
            return None
        return [(stream, amount)]
    if not any([frame.shares for frame in frames]):
        return None if amount else []
    amounts, rest = splitShares(amount, [frame.shares for frame in frames])
    totals: dict[int, int] = {}
    for frame, part in zip(frames, amounts, strict=True):
        totals[frame.streamID] = totals.get(frame.streamID, 0) + part
    if rest:
        lowest = min(
            (
                streamID
                for streamID, stream in streams.items()
                if not stream.isDeaf
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
            if target is None or target.isDeaf or not target.moneyIn.takes(part, tolerance):
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
        limit = max(stream.grant.limit, INITIAL_STREAM_CREDIT)
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
    limit = max(streams.grant.limit, INITIAL_CONNECTION_CREDIT)
    if streams.grant.received + more > limit:
        raise PeerError(
            ErrorCode.FLOW_CONTROL_ERROR,
            f"all streams were sent {streams.grant.received + more} bytes of {limit}",
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


def lateFrames(state: SessionState, incoming: Incoming) -> list[Frame]:
    """What is said of money for streams that are closed."""
    streams = state.streams.open
    late: dict[int, Frame] = {}
    for frame in incoming.money:
        streamID = frame.streamID
        stream = streams.get(streamID)
        if (stream is None or stream.isDeaf) and streamID not in late:
            message = "the stream is closed"
            late[streamID] = StreamClose(streamID, ErrorCode.STREAM_STATE_ERROR, message)
    return list(late.values())
