"""
The next Prepare: when it may leave, whose turn it is, and what it carries.

The controls say how fast, how much at once and how large; the streams take turns. Data travels in
packets of amount 0, money in packets of one stream, and control frames in whatever leaves next.
Whatever builds gives a packet, the moment to L{Wait} for, or None: then nothing is to be sent, or
only the peer's word lets it go. A packet that is built has left, as far as its money is concerned:
it is held from then on until an answer settles it.
"""

from __future__ import annotations

from typing import Final

from txilpstream.amounts import U64_MAX
from txilpstream.session.events import MoneyFailed, ReserveNeeded
from txilpstream.session.packetbuilder import Outgoing, PacketBuilder, Wait
from txilpstream.session.path import NEVER, Path
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

__all__ = ["LimitPoll", "Sender"]

UNVALIDATED_IN_FLIGHT: Final = 4
"""Packets in flight to an address that has not proved to be the peer's (RFC 29 4.3.2)."""

FRAME_OVERHEAD: Final = 25
"""Octets that a frame of data takes besides its data, at most: type, lengths, id and offset."""

FIRST_POLL: Final = 0.1
"""Seconds before a blocked sender asks, where the round trip is not known."""

LONGEST_POLL: Final = 5.0
"""Seconds between two polls at most."""


class LimitPoll:
    """
    When a sender that is blocked asks for the peer's limits: after one round trip in which nothing
    was on its way, then twice as late each time.

    @ivar dueAt: seconds; infinity while it is stopped.
    """

    __slots__ = ("_delay", "dueAt")

    def __init__(self) -> None:
        self._delay = 0.0
        self.dueAt = NEVER

    def start(self, roundTrip: float, now: float) -> None:
        """Wait for the moment to ask, if that has not begun."""
        if self.dueAt == NEVER:
            first = max(FIRST_POLL, roundTrip)
            self._delay = min(LONGEST_POLL, 2 * self._delay or first)
            self.dueAt = now + self._delay

    def stop(self) -> None:
        """There is nothing to ask for, or it was asked."""
        self.dueAt = NEVER

    def reset(self) -> None:
        """The peer has raised a limit: the next wait is a short one again."""
        self._delay = 0.0


class Sender:
    """Builds Prepares."""

    __slots__ = (
        "_control",
        "_inFlight",
        "_isDataTurn",
        "_packetBuilder",
        "_path",
        "_poll",
        "_rateProbe",
        "_retryPolicy",
        "_stalled",
        "_state",
        "_stuckAt",
    )

    def __init__(
        self, state: SessionState, path: Path, packetBuilder: PacketBuilder, rateProbe: RateProbe
    ) -> None:
        self._state = state
        self._path = path
        self._packetBuilder = packetBuilder
        self._rateProbe = rateProbe
        self._inFlight = path.inFlight
        self._control = path.control
        self._retryPolicy = path.retryPolicy
        self._poll = LimitPoll()
        self._isDataTurn = False
        self._stuckAt = -1
        # Streams whose money fits no packet that the peer takes now.
        self._stalled: set[int] = set()

    def build(self, now: float) -> Outgoing | Wait | None:
        """Make the next Prepare, if one may leave."""
        state = self._state
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
        wait = None
        streams, isAsked = state.streams, state.amountToMeasure
        if streams.moneyReady or streams.dataReady or state.controlFrames.pending or isAsked:
            wait = self._tooEarly(now)
            if wait is not None:
                return wait
            built = self._choose(now)
            if isinstance(built, Outgoing):
                return built
            wait = built
        return self._pollLimits(wait, now)

    def _tooEarly(self, now: float) -> Wait | None:
        """Until when no packet of any kind may leave; None if one may."""
        if now < self._retryPolicy.waitUntil:
            return Wait(self._retryPolicy.waitUntil)
        if not self._control.isAllowed(now):
            return Wait(self._control.readyAt())
        return None

    def _choose(self, now: float) -> Outgoing | Wait | None:
        """Let money and data take turns; what can wait for neither goes alone."""
        state = self._state
        streams = state.streams
        packet: Outgoing | None = None
        wait: Wait | None = None
        if state.controlFrames.isCrowded and state.controlFrames.pending:
            return self._packetBuilder.pack(now, 0, [])
        if streams.dataReady and (self._isDataTurn or not streams.moneyReady):
            packet = self._buildData(now)
        if packet is None and (streams.moneyReady or state.amountToMeasure):
            built = self._buildMoney(now)
            if isinstance(built, Outgoing):
                packet = built
            else:
                wait = built
                if streams.dataReady:
                    packet = self._buildData(now)
        if packet is not None:
            self._isDataTurn = not self._isDataTurn
            return packet
        if state.controlFrames.pending:
            return self._packetBuilder.pack(now, 0, [])
        return wait

    # --- Data -----------------------------------------------------------------------------

    def _buildData(self, now: float) -> Outgoing | None:
        """Fill a packet with fragments of the streams whose turn it is."""
        ready, window = self._state.streams.dataReady, self._state.streams.sendWindow
        if not window.room and self._stuckAt == self._path.losses:
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
                size = min(room, stream.sendWindow.room, window.room)
                if size <= 0:  # it is the connection that is blocked; another may have lost some
                    ready.move_to_end(streamID)
                    continue
                offset, data = queue.nextNew(size)
                self._use(stream, len(data))
            stream.hasOpened = True
            frames.append(StreamData(streamID, offset, data))
            fragments.append((streamID, offset, len(data) if queue.isSure(offset) else 0))
            room -= len(data) + FRAME_OVERHEAD
            if queue.hasLost or (queue.unsent and stream.sendWindow.room):
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
        """New bytes leave: use the windows, and say so where one is used up."""
        state = self._state
        state.useWindow(stream, size)
        window, unsent = state.streams.sendWindow, stream.queue.unsent
        if unsent and not stream.sendWindow.room:
            state.controlFrames.add(StreamDataBlocked.type, stream.streamID)
        if unsent and not window.room:
            state.controlFrames.add(ConnectionDataBlocked.type)

    # --- Money ----------------------------------------------------------------------------

    def _buildMoney(self, now: float) -> Outgoing | Wait | None:
        """Fill a packet with money of the stream whose turn it is, or ask for the rate."""
        rate = self._path.rate
        ready = self._state.streams.moneyReady
        if rate.floor is None or self._rateProbe.isNeeded or not ready:
            return self._probe(now)
        if self._state.amountToMeasure and isinstance(probe := self._probe(now), Outgoing):
            return probe
        most = self._control.mostNow(rate.smallest, self._inFlight.money, now)
        if not most:
            beside = self._mostBesideLost(now)
            if isinstance(beside, Wait):
                return beside
            most = beside
        while ready:
            streamID = next(iter(ready))
            stream = ready[streamID]
            amount = self._planAmount(stream, most, now)
            if amount == 0:
                ready.pop(streamID, None)
                continue
            money = stream.moneyOut
            minimum, expected = rate.expect(amount)
            money.hold(amount, expected)
            stream.hasOpened = True
            frames: list[Frame] = [StreamMoney(streamID, 1)]
            fragments = self._takeData(stream, frames) if stream.sendsDataWithMoney else ()
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

    def _probe(self, now: float) -> Outgoing | Wait:
        """Ask for the rate; if there is no answer soon, ask again."""
        if now < (until := self._rateProbe.answerDueAt):
            return Wait(until)
        most = self._control.mostNow(self._path.rate.smallest, self._inFlight.money, now)
        beside = most or self._mostBesideLost(now)
        return beside if isinstance(beside, Wait) else self._rateProbe.build(beside, now)

    def _mostBesideLost(self, now: float) -> int | Wait:
        """
        What a packet may carry, in source units, if those that have waited long for an answer hold
        no liquidity any more.
        """
        path, control, inFlight = self._path, self._control, self._inFlight
        smallest, money = path.rate.smallest, inFlight.money
        lost, moreLostAt = inFlight.moneyOverdue(now, path.resendAfter)
        most = control.mostNow(smallest, money - lost, now) if lost else 0
        return most or Wait(min(control.moneyReadyAt(smallest, money - lost), moreLostAt))

    def _planAmount(self, stream: SessionStream, most: int, now: float) -> int:
        """
        Decide what the stream's next packet carries.

        What can never leave is withdrawn, and what the peer leaves too little room for waits.

        @param most: what the path takes at this moment.
        @return: 0 if nothing of use can leave.
        """
        path, money, rate = self._path, stream.moneyOut, self._path.rate
        offered = unsent = money.unsent
        room = money.peerRoom
        if room < U64_MAX:
            wanted = rate.sourceFor(room)
            if wanted is not None:
                offered = min(offered, wanted)
        if rate.isHopeless and self._rateProbe.total and not money.held:
            self._withdraw(stream, f"the rate is {rate.low}, the least is {rate.floor}")
            return 0
        pathMost = most
        if money.isBounded:
            offered, most = self._boundOffer(stream, offered, most)
            if not offered:
                return 0
        if offered > most == pathMost:  # a larger packet is tried beyond the path's limit, no other
            larger = path.control.larger(now)
            if larger is not None and larger < offered and rate.plan(offered, larger) == larger:
                return larger
        amount = rate.plan(offered, most)
        if amount == 0 and not money.held:
            if offered == unsent or money.deliverMax != U64_MAX:
                self._withdraw(stream, self._whyTooFew(unsent))
            else:
                self._stalled.add(stream.streamID)
        return amount

    def _boundOffer(self, stream: SessionStream, offered: int, most: int) -> tuple[int, int]:
        """
        Let a fixed delivery and a reserve bound an offer and the largest packet; ask for more
        reserve where that is what is missing.

        @return: no offer if nothing may leave now.
        """
        money = stream.moneyOut
        if money.deliverMax != U64_MAX:
            offered = self._offerWithin(money, offered, most)
        room = money.reserved - money.left
        if room < min(offered, most):
            self._state.events.append(ReserveNeeded(stream.streamID))
            if room < self._path.rate.smallest:
                return 0, most
            most = room
        return offered, most

    def _offerWithin(self, money: MoneySender, offered: int, most: int) -> int:
        """
        How much of what is offered may leave, where a fixed delivery bounds it: what is on its way
        or in doubt counts as delivered at the highest rate, so that the last packet leaves alone,
        and a payment with money in doubt ends short rather than paid twice.

        @param most: what one packet may carry.
        @return: source units; 0 if nothing may leave now, which is not a failure.
        """
        rate = self._path.rate
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

    def _whyTooFew(self, unsent: int) -> str:
        rate, most = self._path.rate, self._path.mostPerPacket
        if not rate.mostPerPacket:
            return f"at the rate floor of {rate.floor} a single unit would not fit into 64 bits"
        return (
            f"{min(unsent, most)} of {unsent} units are the most that a packet may carry and too "
            f"few to deliver anything at the rate floor of {rate.floor}; the smallest amount is "
            f"{rate.smallest}"
        )

    def _takeData(
        self, stream: SessionStream, frames: list[Frame]
    ) -> tuple[tuple[int, int, int], ...]:
        """
        Put data that goes with its stream's money into a packet of it, the only one on its way; to
        do so with all data would wedge a stream of ilp-protocol-stream that refuses the packet.

        @param frames: of the packet; those of the data are appended.
        @return: the fragments, as a record of a packet has them.
        """
        state, queue = self._state, stream.queue
        fragments = []
        while queue.hasLost:
            offset, data = queue.peekLost()
            queue.resend(offset)
            frames.append(StreamData(stream.streamID, offset, data))
            fragments.append((stream.streamID, offset, len(data) if queue.isSure(offset) else 0))
        window = state.streams.sendWindow
        room = min(stream.sendWindow.room, window.room)
        if queue.unsent and room:
            offset, data = queue.nextNew(room)
            state.useWindow(stream, len(data))
            frames.append(StreamData(stream.streamID, offset, data))
            fragments.append((stream.streamID, offset, len(data)))
        return tuple(fragments)

    def withdraw(self, reason: str) -> None:
        """Take back all money that was offered and has not left, on every stream."""
        for stream in list(self._state.streams.open.values()):
            if stream.moneyOut.unsent:
                self._withdraw(stream, reason, isRate=False)

    def _withdraw(self, stream: SessionStream, reason: str, *, isRate: bool = True) -> None:
        state = self._state
        unsent = stream.moneyOut.withdraw()
        smallest = self._path.rate.smallest if isRate else None
        state.streams.refresh(stream)
        offered = stream.moneyOut.offered
        if state.tracer is not None:
            state.tracer.moneyFailed(stream.streamID, unsent, reason)
        state.events.append(MoneyFailed(stream.streamID, unsent, reason, smallest, offered))
        state.settleStream(stream)

    # --- What else leaves -----------------------------------------------------------------

    def _pollLimits(self, wait: Wait | None, now: float) -> Outgoing | Wait | None:
        """
        Ask for the peer's limits if that is due, and if nothing else can go on without them.

        @param wait: what is waited for besides.
        """
        state, poll = self._state, self._poll
        if state.wasUnblocked:
            state.wasUnblocked = False
            self._stalled.clear()
            poll.reset()
        # What is on its way will be answered, and the answer says the limits.
        if self._inFlight.packets or not (self._stalled or state.streams.findBlocked()):
            poll.stop()
            return wait
        poll.start(self._path.roundTrip, now)
        if now < poll.dueAt:
            return Wait(poll.dueAt if wait is None else min(wait.until, poll.dueAt))
        poll.stop()
        self._askForLimits()
        return self._tooEarly(now) or self._packetBuilder.pack(now, 0, [])

    def _askForLimits(self) -> None:
        """Say what is blocked; the answer carries the peer's limits of this moment."""
        state = self._state
        self._stalled.clear()
        for stream in state.streams.open.values():
            if not stream.hasOpened and stream.streamID > state.streams.peerMaxStreamID:
                state.controlFrames.add(ConnectionStreamIDBlocked.type)
            elif stream.queue.unsent:
                state.controlFrames.add(StreamDataBlocked.type, stream.streamID)
                if not state.streams.sendWindow.room:
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
