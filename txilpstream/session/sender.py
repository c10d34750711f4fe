"""
The next Prepare: when it may leave, and whose turn it is.

The controls say how fast, how much at once and how large; the streams take turns. Data travels in
packets of amount 0, money in packets of one stream, and control frames in whatever leaves next. How
much money a packet carries is written in C{offers}, what an answer changes in C{settlement}.
"""

from __future__ import annotations

from typing import Final

from txilpstream.amounts import U64_MAX
from txilpstream.session.events import MoneyFailed, ReserveNeeded
from txilpstream.session.exchangerate import ExchangeRate
from txilpstream.session.packetbuilder import Outgoing, PacketBuilder
from txilpstream.session.path import NEVER, Path, SentPacket
from txilpstream.session.rateprobe import RateProbe
from txilpstream.session.state import SessionState
from txilpstream.session.streams.money import MoneySender
from txilpstream.session.streams.streams import SessionStream
from txilpstream.wire.frames import (
    ConnectionClose,
    ConnectionDataBlocked,
    ConnectionStreamIDBlocked,
    Frame,
    StreamData,
    StreamDataBlocked,
    StreamMoney,
    StreamMoneyBlocked,
)

__all__ = ["Offers", "Outgoing", "Sender", "offerWithin", "takeData"]


def offerWithin(money: MoneySender, rate: ExchangeRate, offered: int, most: int) -> int:
    """
    How much of what is offered may leave, where a fixed delivery bounds it.

    @param most: what one packet may carry.
    @return: source units; 0 if nothing may leave now, which is not a failure.
    """
    missing = money.deliverMax - money.deliveredClaimed
    underway = money.held + money.unanswered
    if missing <= 0:
        return 0
    if not underway:
        wanted = rate.sourceFor(missing)
        return 0 if wanted is None else min(offered, wanted)
    high = rate.high
    if high is None or not high.numerator:
        return 0
    rest = missing - high.ceil(underway)
    if rest <= 0:
        return 0
    safe = rest * high.denominator // high.numerator
    if money.held and safe < min(most, offered):
        return 0
    return min(offered, safe)


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


class Offers:
    """
    Plans the packets that carry money.

    @ivar probing: asks for the rate.
    @ivar readyAt: when L{next}, having given None, may give a packet without anything having
        happened in between.
    @ivar stalled: streams whose money fits no packet that the peer would take now.
    """

    __slots__ = (
        "_packetBuilder",
        "_path",
        "_state",
        "rateProbe",
        "readyAt",
        "stalled",
    )

    def __init__(self, state: SessionState, path: Path, packetBuilder: PacketBuilder) -> None:
        self._state = state
        self._path = path
        self._packetBuilder = packetBuilder
        self.rateProbe = RateProbe(state, path, packetBuilder)
        self.readyAt = NEVER
        self.stalled: set[int] = set()

    # --- Planning -------------------------------------------------------------------------

    def next(self, now: float) -> Outgoing | None:
        """The next packet with money, None if none may leave now; some stream must be ready."""
        path, rate = self._path, self._path.rate
        self.readyAt = NEVER
        ready = self._state.streams.moneyReady
        if rate.floor is None or self.rateProbe.isNeeded or not ready:
            return self._probe(now)
        if self.rateProbe.wanted and (packet := self._probe(now)) is not None:
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
            fragments = takeData(stream, self._state, frames) if stream.sendsDataWithMoney else ()
            if money.unsent and money.peerRoom and not fragments:
                ready.move_to_end(streamID)
            else:
                del ready[streamID]
            return self._packetBuilder.pack(
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
        if rate.isHopeless and self.rateProbe.total and not money.held:
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
        rateProbe = self.rateProbe
        if rateProbe.isWaiting(now):
            self.readyAt = rateProbe.readyAt
            return None
        path = self._path
        most = path.control.mostNow(path.rate.smallest, path.inFlight.money, now)
        most = most or self._mostBesideLost(now)
        return rateProbe.next(most, now) if most else None

    def probed(self, sent: SentPacket, delivered: int) -> None:
        """A probe came through."""
        reason = self.rateProbe.probed(sent, delivered)
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


UNVALIDATED_IN_FLIGHT: Final = 4
"""Packets in flight to an address that has not proved to be the peer's (RFC 29 4.3.2)."""

FRAME_OVERHEAD: Final = 25
"""Octets that a frame of data takes besides its data, at most: type, lengths, id and offset."""

FIRST_POLL: Final = 0.1
"""Seconds before a blocked sender asks, where the round trip is not known."""

LONGEST_POLL: Final = 5.0


class Sender:
    """
    Builds Prepares.

    @ivar wakeAt: when L{build}, having given None, may give a packet without anything having
        happened in between.
    """

    __slots__ = (
        "_control",
        "_inFlight",
        "_isDataTurn",
        "_offers",
        "_packetBuilder",
        "_path",
        "_pollAt",
        "_pollDelay",
        "_rateProbe",
        "_retryPolicy",
        "_state",
        "_stuckAt",
        "wakeAt",
    )

    def __init__(
        self, state: SessionState, path: Path, packetBuilder: PacketBuilder, offers: Offers
    ) -> None:
        self._state = state
        self._path = path
        self._packetBuilder = packetBuilder
        self._offers = offers
        self._rateProbe = offers.rateProbe
        self._inFlight = path.inFlight
        self._control = path.control
        self._retryPolicy = path.retryPolicy
        self._isDataTurn = False
        self._pollAt = NEVER
        self._pollDelay = 0.0
        self._stuckAt = -1
        self.wakeAt = NEVER

    @property
    def hasWork(self) -> bool:
        """Whether something waits to leave, whatever holds it up."""
        state = self._state
        streams = state.streams
        return bool(
            streams.moneyReady
            or streams.dataReady
            or state.controlFrames.pending
            or state.owesClose
            or self._rateProbe.wanted
        )

    def build(self, now: float) -> Outgoing | None:
        """Give the next Prepare, or None if nothing may leave now."""
        state = self._state
        self.wakeAt = NEVER
        packets = self._inFlight.packets
        if not state.destination:
            return None
        if state.isClosed:
            mayClose = state.owesClose and not packets
            isReserved = self._packetBuilder.sequence < self._packetBuilder.reserved
            return self._close(now) if mayClose and isReserved else None
        if state.validatesFrom is None:  # the first packet that goes to a new address
            state.validatesFrom = self._packetBuilder.sequence
        most = state.configuration.maximumInFlight if state.isValidated else UNVALIDATED_IN_FLIGHT
        if len(packets) >= most:
            return None
        packetBuilder = self._packetBuilder
        if packetBuilder.sequence >= packetBuilder.reserved:
            state.events.append(ReserveNeeded(0))
            return None
        streams = state.streams
        isAsked = self._rateProbe.wanted
        if streams.moneyReady or streams.dataReady or state.controlFrames.pending or isAsked:
            if not self._isTime(now):
                return None
            packet = self._choose(now)
            if packet is not None:
                return packet
        if self._isPollDue(now):
            self._askForLimits()
            if self._isTime(now):
                return self._packetBuilder.pack(now, 0, [])
        return None

    def _isTime(self, now: float) -> bool:
        """Whether one more packet of any kind may leave now."""
        if now < self._retryPolicy.waitUntil:
            self.wakeAt = self._retryPolicy.waitUntil
            return False
        if not self._control.isAllowed(now):
            self.wakeAt = self._control.readyAt()
            return False
        return True

    def _choose(self, now: float) -> Outgoing | None:
        """Let money and data take turns; what can wait for neither goes alone."""
        state = self._state
        streams = state.streams
        packet = None
        if state.controlFrames.isCrowded and state.controlFrames.pending:
            return self._packetBuilder.pack(now, 0, [])
        if streams.dataReady and (self._isDataTurn or not streams.moneyReady):
            packet = self._data(now)
        if packet is None and (streams.moneyReady or self._rateProbe.wanted):
            packet = self._offers.next(now)
            if packet is None:
                self.wakeAt = self._offers.readyAt
                if streams.dataReady:
                    packet = self._data(now)
        if packet is not None:
            self._isDataTurn = not self._isDataTurn
        elif state.controlFrames.pending:
            packet = self._packetBuilder.pack(now, 0, [])
        return packet

    # --- Data -----------------------------------------------------------------------------

    def _data(self, now: float) -> Outgoing | None:
        """Fill a packet with fragments of the streams whose turn it is."""
        ready, credit = self._state.streams.dataReady, self._state.streams.sendCredit
        if not credit.room and self._stuckAt == self._path.losses:
            return None
        configuration = self._state.configuration
        room = configuration.fragmentSize
        # Where answers are padded too, the limits of so many streams fit into one.
        most = configuration.padTo // 64 or len(ready)
        frames: list[Frame] = []
        fragments = []
        for _ in range(len(ready)):
            streamID = next(iter(ready))
            stream = ready[streamID]
            queue = stream.queue
            if queue.hasLost:
                offset, data = queue.peekLost()
                if len(data) > room and frames:
                    break
                queue.resend(offset)
            else:
                size = min(room, stream.sendCredit.room, credit.room)
                if size <= 0:  # it is the connection that is blocked; another may have lost some
                    ready.move_to_end(streamID)
                    continue
                offset, data = queue.nextNew(size)
                self._use(stream, len(data))
            stream.hasOpened = True
            frames.append(StreamData(streamID, offset, data))
            fragments.append((streamID, offset, len(data) if queue.isSure(offset) else 0))
            room -= len(data) + FRAME_OVERHEAD
            if queue.hasLost or (queue.unsent and stream.sendCredit.room):
                ready.move_to_end(streamID)
            else:
                del ready[streamID]
            if room <= 0 or len(frames) == most:
                break
        if not frames:
            self._stuckAt = self._path.losses
            return None
        return self._packetBuilder.pack(now, 0, frames, fragments=tuple(fragments))

    def _use(self, stream: SessionStream, size: int) -> None:
        """New bytes leave: use credit, and say so when it is used up."""
        state = self._state
        state.useCredit(stream, size)
        credit, unsent = state.streams.sendCredit, stream.queue.unsent
        if unsent and not stream.sendCredit.room:
            state.controlFrames.add(StreamDataBlocked.type, stream.streamID)
        if unsent and not credit.room:
            state.controlFrames.add(ConnectionDataBlocked.type)

    # --- What else leaves -------------------------------------------------------------------

    def _isPollDue(self, now: float) -> bool:
        """
        Whether to ask for the peer's limits: after one round trip in which nothing was on its way,
        then twice as late each time.
        """
        state = self._state
        if state.wasUnblocked:
            state.wasUnblocked = False
            self._offers.stalled.clear()
            self._pollDelay = 0.0
        # What is on its way will be answered, and the answer says the limits.
        if self._inFlight.packets or not (self._offers.stalled or state.streams.isBlocked()):
            self._pollAt = NEVER
            return False
        if self._pollAt == NEVER:
            first = max(FIRST_POLL, self._path.roundTrip)
            self._pollDelay = min(LONGEST_POLL, 2 * self._pollDelay or first)
            self._pollAt = now + self._pollDelay
        if now < self._pollAt:
            self.wakeAt = min(self.wakeAt, self._pollAt)
            return False
        self._pollAt = NEVER
        return True

    def _askForLimits(self) -> None:
        """Say what is blocked; the answer carries the peer's limits of this moment."""
        state = self._state
        self._offers.stalled.clear()
        for stream in state.streams.open.values():
            if not stream.hasOpened and stream.streamID > state.streams.peerMaxStreamID:
                state.controlFrames.add(ConnectionStreamIDBlocked.type)
            elif stream.queue.unsent:
                state.controlFrames.add(StreamDataBlocked.type, stream.streamID)
                if not state.streams.sendCredit.room:
                    state.controlFrames.add(ConnectionDataBlocked.type)
            elif stream.moneyOut.unsent:
                state.controlFrames.add(StreamMoneyBlocked.type, stream.streamID)

    def _close(self, now: float) -> Outgoing:
        """The last packet of a connection; it is not repeated."""
        state = self._state
        state.owesClose = False
        state.controlFrames.pending.clear()
        return self._packetBuilder.pack(
            now, 0, [ConnectionClose(state.closeCode, state.closeMessage)]
        )
