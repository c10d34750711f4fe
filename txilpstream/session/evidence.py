"""
What an answer says of the path, told to the control whose limit it is.

Nothing here touches streams: money and data are settled in C{settlement}. A packet that came
through with its money proves something even if the peer refused it; a node's reject is judged by
its code alone; no answer at all counts for pacing.
"""

from __future__ import annotations

from txilpstream.errors import ConnectionEnded
from txilpstream.session.inflight import SentPacket
from txilpstream.session.packing import Packer
from txilpstream.session.path import Path
from txilpstream.session.state import SessionState
from txilpstream.wire.ilp import Reject

__all__ = ["Evidence"]


class Evidence:
    """Tells the controls of a path."""

    __slots__ = ("_packer", "_passedInRound", "_path", "_state")

    def __init__(self, state: SessionState, path: Path, packer: Packer) -> None:
        self._state = state
        self._path = path
        self._packer = packer
        self._passedInRound = 0

    def pathTook(self, sent: SentPacket, delivered: int | None, now: float) -> None:
        """
        A packet came through the whole path with its money.

        @param delivered: what the peer says arrived, None if it did not say.
        """
        path = self._path
        if delivered is not None:
            path.rate.observe(sent.amount, delivered)
        path.packetAmount.passed(sent.amount)
        path.liquidity.passed(sent.amount, now=now, roundTrip=path.roundTrip)

    def passed(self, sent: SentPacket, now: float) -> None:
        """The peer itself answered in time: the path is well."""
        pacing = self._path.pacing
        pacing.measured(now - sent.sentAt)
        self._passedInRound += 1
        if pacing.answered(now=now):
            self._passedInRound = 0

    def rejected(self, sent: SentPacket, reject: Reject, now: float) -> None:
        """A node on the path rejected a packet in time."""
        path, code = self._path, reject.code
        pacing = path.pacing
        if code == "F08" and sent.amount:
            if path.packetAmount.refused(sent.amount, reject.data, now=now):
                pacing.answered(now=now)
            else:
                path.patience.sleep(now, 1.0)
        elif code == "T04" and sent.amount:
            path.liquidity.refused(
                sent.amount,
                isAlone=path.inFlight.withMoney == 0,
                smallest=path.rate.smallest,
                now=now,
                roundTrip=path.roundTrip,
            )
            pacing.answered(now=now)
            self.sleepAfterRound(now)
        elif code[0] == "T":
            isLimited = code in ("T05", "T03")
            pacing.answered(now=now, isLimited=isLimited, isLost=not isLimited)
            self.sleepAfterRound(now)
        else:
            pacing.answered(now=now)
            if path.patience.isFinal(code, sentAt=sent.sentAt, now=now):
                self._state.end(
                    ConnectionEnded(f"the path rejects with {code}", path.patience.rejects)
                )

    def unanswered(self, now: float) -> None:
        """Nobody answered a packet, or with what is no answer."""
        self._path.pacing.answered(now=now, isLost=True)
        self.sleepAfterRound(now)

    def sleepAfterRound(self, now: float) -> None:
        """Wait if nothing at all came through while something was in flight."""
        if not self._path.inFlight.packets:
            if not self._passedInRound:
                self.sleep(now)
            self._passedInRound = 0

    def sleep(self, now: float) -> None:
        """Wait before anything leaves, twice as long each time until a packet is fulfilled."""
        self._path.patience.sleep(now, self._packer.randomBytes(1)[0] / 256)
