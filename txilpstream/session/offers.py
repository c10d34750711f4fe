"""
Money that the application offers: how much of it goes into the next packet.

Before the first money leaves the rate is asked for, as C{probing} says, unless a least rate was
given. Then the streams take turns; each packet carries the money of one stream. What no packet can
carry any more is taken back and the application is told.
"""

from __future__ import annotations

from txilpstream.amounts import U64_MAX
from txilpstream.session.bounds import offerWithin
from txilpstream.session.events import MoneyFailed, ReserveNeeded
from txilpstream.session.inflight import SentPacket
from txilpstream.session.packetbuilder import Outgoing, Packer
from txilpstream.session.path import NEVER, Path
from txilpstream.session.rateprobe import Probing
from txilpstream.session.state import SessionState
from txilpstream.session.stream import SessionStream
from txilpstream.session.together import takeData
from txilpstream.wire.frames import Frame, StreamMoney

__all__ = ["Offers"]


class Offers:
    """
    Plans the packets that carry money.

    @ivar probing: asks for the rate.
    @ivar readyAt: when L{next}, having given None, may give a packet without anything having
        happened in between.
    @ivar stalled: streams whose money fits no packet that the peer would take now.
    """

    __slots__ = (
        "_packer",
        "_path",
        "_state",
        "probing",
        "readyAt",
        "stalled",
    )

    def __init__(self, state: SessionState, path: Path, packer: Packer) -> None:
        self._state = state
        self._path = path
        self._packer = packer
        self.probing = Probing(state, path, packer)
        self.readyAt = NEVER
        self.stalled: set[int] = set()

    # --- Planning -------------------------------------------------------------------------

    def next(self, now: float) -> Outgoing | None:
        """The next packet with money, None if none may leave now; some stream must be ready."""
        path, rate = self._path, self._path.rate
        self.readyAt = NEVER
        ready = self._state.streams.moneyReady
        if rate.floor is None or self.probing.isNeeded or not ready:
            return self._probe(now)
        if self.probing.wanted and (packet := self._probe(now)) is not None:
            return packet
        self.readyAt = NEVER
        most = path.control.mostNow(rate.smallest, path.inFlight.money, now)
        if not (most or (most := self._mostBesideLost(now))):
            return None
        while ready:
            streamID = next(iter(ready))
            stream = ready[streamID]
            amount = self._amountFor(stream, most, now)
            if amount == 0:
                ready.pop(streamID, None)
                continue
            money = stream.moneyOut
            minimum, expected = rate.expect(amount)
            money.hold(amount, expected)
            stream.hasOpened = True
            frames: list[Frame] = [StreamMoney(streamID, 1)]
            fragments = takeData(stream, self._state, frames) if stream.isTogether else ()
            if money.unsent and money.peerRoom and not fragments:
                ready.move_to_end(streamID)
            else:
                del ready[streamID]
            return self._packer.pack(
                now,
                amount,
                frames,
                minimum=minimum,
                expected=expected,
                stream=stream,
                fragments=fragments,
            )
        return None

    def _mostBesideLost(self, now: float) -> int:
        """
        What a packet may carry if those that have waited long for an answer hold no liquidity any
        more; 0 if none may leave.
        """
        path = self._path
        lost, moreLostAt = path.inFlight.moneyOverdue(now, path.resendAfter)
        most = 0
        if lost:
            most = path.control.mostNow(path.rate.smallest, path.inFlight.money - lost, now)
        if not most:
            self.readyAt = min(path.control.moneyReadyAt(), moreLostAt)
        return most

    def _amountFor(self, stream: SessionStream, most: int, now: float) -> int:
        """
        What the stream's next packet carries; 0 if nothing of use can leave.

        @param most: what the path takes at this moment.
        """
        path, money, rate = self._path, stream.moneyOut, self._path.rate
        offered = unsent = money.unsent
        room = money.peerRoom
        if room < U64_MAX:
            wanted = rate.sourceFor(room)
            if wanted is not None:
                offered = min(offered, wanted)
        if rate.isHopeless and self.probing.total and not money.held:
            self._takeBack(stream, f"the rate is {rate.low}, the least is {rate.floor}")
            return 0
        pathMost = most
        if money.isBounded:
            offered, most = self._bounded(stream, offered, most)
            if not offered:
                return 0
        if offered > most == pathMost:  # a larger packet is tried beyond the path's limit, no other
            larger = path.control.larger(now)
            if larger is not None and larger < offered and rate.plan(offered, larger) == larger:
                return larger
        amount = rate.plan(offered, most)
        if amount == 0 and not money.held:
            if offered == unsent or money.deliverMax != U64_MAX:
                self._takeBack(stream, self._whyTooFew(unsent))
            else:
                self.stalled.add(stream.streamID)
        return amount

    def _bounded(self, stream: SessionStream, offered: int, most: int) -> tuple[int, int]:
        """
        What a fixed delivery and a reserve leave of an offer, and of the largest packet.

        @return: no offer if nothing may leave now.
        """
        money = stream.moneyOut
        if money.deliverMax != U64_MAX:
            offered = offerWithin(money, self._path.rate, offered, most)
        room = money.reserved - money.left
        if room < min(offered, most):
            self._state.events.append(ReserveNeeded(stream.streamID))
            if room < self._path.rate.smallest:
                return 0, most
            most = room
        return offered, most

    def _whyTooFew(self, unsent: int) -> str:
        rate, most = self._path.rate, self._path.mostPerPacket
        if not rate.mostPerPacket:
            return f"at the rate floor of {rate.floor} a single unit would not fit into 64 bits"
        return (
            f"{min(unsent, most)} of {unsent} units are the most that a packet may carry and too "
            f"few to deliver anything at the rate floor of {rate.floor}; the smallest amount is "
            f"{rate.smallest}"
        )

    # --- Asking for the rate --------------------------------------------------------------

    def _probe(self, now: float) -> Outgoing | None:
        """Ask for the rate; if there is no answer soon, ask again."""
        probing = self.probing
        if probing.isWaiting(now):
            self.readyAt = probing.readyAt
            return None
        path = self._path
        most = path.control.mostNow(path.rate.smallest, path.inFlight.money, now)
        most = most or self._mostBesideLost(now)
        return probing.next(most, now) if most else None

    def probed(self, sent: SentPacket, delivered: int) -> None:
        """A probe came through."""
        reason = self.probing.probed(sent, delivered)
        if reason:
            self.fail(reason)

    # --- Taking back ----------------------------------------------------------------------

    def fail(self, reason: str) -> None:
        """Take back all money that was offered and has not left, on every stream."""
        for stream in list(self._state.streams.open.values()):
            if stream.moneyOut.unsent:
                self._takeBack(stream, reason, isRate=False)

    def _takeBack(self, stream: SessionStream, reason: str, *, isRate: bool = True) -> None:
        state = self._state
        unsent = stream.moneyOut.withdraw()
        smallest = self._path.rate.smallest if isRate else None
        state.streams.refresh(stream)
        offered = stream.moneyOut.offered
        if state.tracer is not None:
            state.tracer.moneyFailed(stream.streamID, unsent, reason)
        state.events.append(MoneyFailed(stream.streamID, unsent, reason, smallest, offered))
        state.settleStream(stream)
