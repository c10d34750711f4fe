"""
Money that the application offers: how much of it goes into the next packet.

Before the first money leaves, packets that nobody can fulfill ask for the rate (RFC 29 section
3.4), unless a least rate was given. Then the streams take turns; each packet carries the money of
one stream. What no packet can carry any more is taken back and the application is told.
"""

from __future__ import annotations

from typing import Final

from txilpstream.amounts import U64_MAX
from txilpstream.session.events import MoneyFailed
from txilpstream.session.inflight import SentPacket
from txilpstream.session.packing import Outgoing, Packer
from txilpstream.session.path import NEVER, Path
from txilpstream.session.state import SessionState
from txilpstream.session.stream import SessionStream
from txilpstream.wire.frames import StreamMoney

__all__ = ["MOST_PROBES", "PROBE_PRECISION", "Offers"]

PROBE_PRECISION: Final = 1000
"""Units that a probe should deliver: three digits of the rate."""

MOST_PROBES: Final = 6
"""Packets that ask for the rate before money leaves at what is known."""


class Offers:
    """
    Plans the packets that carry money.

    @ivar readyAt: when L{next}, having given None, may give a packet without anything having
        happened in between.
    @ivar stalled: streams whose money fits no packet that the peer would take now.
    """

    __slots__ = (
        "_packer",
        "_path",
        "_probeAmount",
        "_probedAt",
        "_probes",
        "_probing",
        "_state",
        "readyAt",
        "stalled",
    )

    def __init__(self, state: SessionState, path: Path, packer: Packer) -> None:
        self._state = state
        self._path = path
        self._packer = packer
        self._probing = 0
        self._probes = 0
        self._probeAmount = 0
        self._probedAt = 0.0
        self.readyAt = NEVER
        self.stalled: set[int] = set()

    # --- Planning -------------------------------------------------------------------------

    def next(self, now: float) -> Outgoing | None:
        """The next packet with money, None if none may leave now; some stream must be ready."""
        path, rate = self._path, self._path.rate
        self.readyAt = NEVER
        if rate.floor is None:
            return self._probe(now)
        most = path.control.mostNow(rate.smallest, path.inFlight.money, now)
        if not most:
            most = self._mostBesideLost(now)
            if not most:
                return None
        ready = self._state.streams.moneyReady
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
            if money.unsent and money.peerRoom:
                ready.move_to_end(streamID)
            else:
                del ready[streamID]
            return self._packer.pack(
                now,
                amount,
                [StreamMoney(streamID, 1)],
                minimum=minimum,
                expected=expected,
                stream=stream,
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
        if offered > most:
            larger = path.control.larger(now)
            if larger is not None and larger < offered and rate.plan(offered, larger) == larger:
                return larger
        amount = rate.plan(offered, most)
        if amount == 0 and not money.held:
            if offered == unsent:
                self._takeBack(stream, self._whyTooFew(unsent))
            else:
                self.stalled.add(stream.streamID)
        return amount

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
        path, rate = self._path, self._path.rate
        if self._probing:
            self.readyAt = self._probedAt + path.resendAfter
            if now < self.readyAt:
                return None
        amount = self._probeAmount
        if not amount:
            offered = next(iter(self._state.streams.moneyReady.values())).moneyOut.unsent
            amount = offered - offered * self._packer.randomBytes(1)[0] // 256 // 16
        most = path.control.mostNow(rate.smallest, path.inFlight.money, now)
        if not most:
            most = self._mostBesideLost(now)
            if not most:
                return None
        amount = max(1, min(amount, most))
        self._probes += 1
        self._probeAmount = amount
        self._probedAt = now
        packet = self._packer.pack(now, amount, [], isProbe=True)
        self._probing = packet.sequence
        return packet

    def probeEnded(self, sequence: int) -> None:
        """A probe was answered, or its time is over."""
        if sequence == self._probing:
            self._probing = 0

    def probed(self, sent: SentPacket, delivered: int) -> None:
        """A probe came through: fix the floor, or ask with more for a rate that is precise."""
        rate = self._path.rate
        if rate.floor is not None:
            return
        isPrecise = delivered >= PROBE_PRECISION or sent.amount >= self._path.mostPerPacket
        if not isPrecise and self._probes < MOST_PROBES:
            self._probeAmount = sent.amount * (PROBE_PRECISION // max(1, delivered) + 1)
        elif delivered:
            rate.fix()
        else:
            self._probes = 0
            self.fail(f"a packet of {sent.amount} units delivers nothing at all")

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
        state.events.append(MoneyFailed(stream.streamID, unsent, reason, smallest, offered))
        state.settleStream(stream)
