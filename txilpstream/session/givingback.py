"""
What goes back to its stream when a packet was not fulfilled.

Money of a reject is offered again, data is sent again as it was, and control frames that nobody
heard are said again.
"""

from __future__ import annotations

from txilpstream.session.events import DoubtResolved, MoneySettled
from txilpstream.session.inflight import SentPacket
from txilpstream.session.path import Path
from txilpstream.session.state import SessionState

__all__ = ["giveBack", "resend"]


def giveBack(state: SessionState, sent: SentPacket, isLate: bool) -> None:
    """
    Money of a refused packet is offered again.

    @param isLate: whether it was given up before; then it goes back to whoever offered it.
    """
    stream = sent.stream
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


def resend(
    state: SessionState, path: Path, sent: SentPacket, *, isUnheard: bool, isBack: bool = False
) -> None:
    """
    Data and, if nobody heard them, control frames go again.

    @param isBack: whether it is certain that the peer has not taken the data; then bytes of a
        stream that is over are credit of the connection again, unless a second copy of them
        was on its way.
    """
    streams = state.streams
    for streamID, offset, size in sent.fragments:
        stream = streams.open.get(streamID)
        if stream is not None and not stream.isAborted:
            if stream.queue.lose(offset, isSure=isBack):
                path.losses += 1
                streams.refresh(stream)
        elif isBack and not sent.isResent:
            streams.sendCredit.used -= size
    if isUnheard and sent.controls:
        state.controls.lost(sent.controls)
