"""
What an answer says of the path, told to what controls how it is used, and to patience.

Nothing here touches streams: money and data are settled in C{settlement}. A packet that came
through with its money proves something even if the peer refused it; a node's reject is judged by
its code alone; no answer at all is for the control to judge.
"""

from __future__ import annotations

from txilpstream.errors import ConnectionEnded
from txilpstream.session.inflight import SentPacket
from txilpstream.session.packetbuilder import Packer
from txilpstream.session.path import Path
from txilpstream.session.state import SessionState
from txilpstream.wire.ilp import Reject

__all__ = ["Evidence"]


class Evidence:
    """Tells the controls of a path."""

    __slots__ = ("_packer", "_passedAt", "_passedInRound", "_path", "_state")

    def __init__(self, state: SessionState, path: Path, packer: Packer) -> None:
        self._state = state
        self._path = path
        self._packer = packer
        self._passedInRound = 0
        self._passedAt = 0.0

    def pathTook(self, sent: SentPacket, delivered: int | None, now: float) -> None:
        """
        A packet came through the whole path with its money.

        @param delivered: what the peer says arrived, None if it did not say.
        """
        path = self._path
        if delivered is not None:
            path.rate.observe(sent.amount, delivered)
        path.control.took(sent.amount, sent.sentAt, now)

    def passed(self, sent: SentPacket, now: float) -> None:
        """The peer itself answered in time: the path is well."""
        self._passedInRound += 1
        self._passedAt = now
        if self._path.control.answered(sent.sentAt, now):
            self._passedInRound = 0

    def rejected(self, sent: SentPacket, reject: Reject, now: float) -> None:
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
                path.patience.sleep(now, 1.0)
        elif code[0] == "T":
            if code == "T01" and sent.sentAt > self._passedAt:
                self.sleep(now)  # it lowers no rate, and so no round would ever end
            elif not isHopeful:
                self.sleepAfterRound(now)
        elif path.patience.isFinal(code, sentAt=sent.sentAt, now=now):
            self._state.end(ConnectionEnded(f"the path rejects with {code}", path.patience.rejects))

    def unanswered(self, sent: SentPacket, now: float, isLinkDown: bool) -> None:
        """Nobody answered a packet, or with what is no answer."""
        if not isLinkDown:
            self._path.control.lost(sent.amount, sent.sentAt, now)
        self.sleepAfterRound(now)

    def sleepAfterRound(self, now: float) -> None:
        """Wait if nothing at all came through while something was in flight."""
        if not self._path.inFlight.packets:
            if not self._passedInRound:
                self.sleep(now)
            self._passedInRound = 0

    def sleep(self, now: float) -> None:
        """Wait before anything leaves, twice as long each time until a packet is fulfilled."""
        patience, tracer = self._path.patience, self._state.tracer
        before = patience.waitUntil
        patience.sleep(now, self._packer.randomBytes(1)[0] / 256)
        if tracer is not None and patience.waitUntil != before:
            tracer.slept(patience.waitUntil, "nothing came through in a whole round", now)
