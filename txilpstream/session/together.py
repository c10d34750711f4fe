"""
Data that travels beside money, knowingly.

Data goes in packets of amount 0, with one exception: what a payer says with the first money that
it sends, so that the receiver judges both together. It is repeated with the next packet of money
while it is refused; until it has arrived, only one packet of that stream is on its way. What was
rejected: doing so for all data, which wedges a stream of ilp-protocol-stream if its packet is
refused.
"""

from __future__ import annotations

from txilpstream.session.state import SessionState
from txilpstream.session.stream import SessionStream
from txilpstream.wire.frames import Frame, StreamData

__all__ = ["takeData"]


def takeData(
    stream: SessionStream, state: SessionState, frames: list[Frame]
) -> tuple[tuple[int, int, int], ...]:
    """
    Put what such a stream has to say into a packet of its money.

    @param frames: of the packet; those of the data are appended.
    @return: the fragments, as a record of a packet has them.
    """
    queue = stream.queue
    fragments = []
    while queue.hasLost:
        offset, data = queue.peekLost()
        queue.resend(offset)
        frames.append(StreamData(stream.streamID, offset, data))
        fragments.append((stream.streamID, offset, len(data) if queue.isSure(offset) else 0))
    credit = state.streams.sendCredit
    room = min(stream.sendCredit.room, credit.room)
    if queue.unsent and room:
        offset, data = queue.nextNew(room)
        state.useCredit(stream, len(data))
        frames.append(StreamData(stream.streamID, offset, data))
        fragments.append((stream.streamID, offset, len(data)))
    return tuple(fragments)
