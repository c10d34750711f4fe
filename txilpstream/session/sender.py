"""
The next Prepare: what it carries, and when it may leave.

The controls say how fast, how much at once and how large; the streams take turns; the exchange rate
gives the least delivery. Data travels in packets of amount 0, money in packets of one stream, and
control frames in whatever leaves next. What an answer changes is written in C{settlement}.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from txilpstream.amounts import U64_MAX
from txilpstream.crypto import IV_LENGTH, SessionKeys, conditionOf
from txilpstream.session.events import DataDrained, MoneyFailed
from txilpstream.session.exchangerate import ExchangeRate
from txilpstream.session.inflight import InFlight, SentPacket
from txilpstream.session.liquidity import Liquidity
from txilpstream.session.pacing import Pacing
from txilpstream.session.packetamount import PacketAmount
from txilpstream.session.retry import Patience
from txilpstream.session.state import SessionState
from txilpstream.session.stream import SessionStream
from txilpstream.wire.frames import (
    ConnectionClose,
    ConnectionDataBlocked,
    Frame,
    StreamData,
    StreamDataBlocked,
    StreamMoney,
)
from txilpstream.wire.ilp import encodePrepare, encodeTimestamp
from txilpstream.wire.packet import PREPARE, encodePacket

__all__ = ["LOW_WATER", "NEVER", "Outgoing", "Sender"]

NEVER: Final = float("inf")

LOW_WATER: Final = 1 << 16
"""Bytes waiting to leave under which the application is asked for more: a few packets."""

UNVALIDATED_IN_FLIGHT: Final = 4
"""Packets in flight to an address that has not proved to be the peer's (RFC 29 4.3.2)."""

PROBE_PRECISION: Final = 1000
"""Units that a probe should deliver: three digits of the rate."""

MOST_PROBES: Final = 6
"""Packets that ask for the rate before money leaves at what is known."""

FIRST_POLL: Final = 0.1
"""Seconds before a blocked sender asks, where the round trip is not known."""

LONGEST_POLL: Final = 5.0


@dataclass(slots=True)
class Outgoing:
    """
    A Prepare to be sent.

    @ivar sequence: hand it back with the answer.
    @ivar data: the bytes of the ILP packet.
    @ivar expiresAt: seconds; after it and a margin no answer is waited for.
    """

    sequence: int
    data: bytes
    expiresAt: float


class Sender:
    """
    Builds Prepares.

    @ivar wakeAt: when L{build}, having given None, may give a packet without anything having
        happened in between.
    """

    def __init__(
        self, state: SessionState, keys: SessionKeys, randomBytes: Callable[[int], bytes]
    ) -> None:
        configuration = state.configuration
        self.state = state
        self.keys = keys
        self.randomBytes = randomBytes
        self.rate = ExchangeRate(
            configuration.minimumRate, configuration.slippage, configuration.acceptAnyRate
        )
        self.packetAmount = PacketAmount(configuration.maximumPacketAmount)
        self.liquidity = Liquidity()
        self.pacing = Pacing(configuration.maximumPacketsPerSecond)
        self.inFlight = InFlight()
        self.patience = Patience()
        self.wakeAt = NEVER
        self.probing = 0
        self.probes = 0
        self.probeAmount = 0
        self.pollAt = NEVER
        self.pollDelay = 0.0
        self._sequence = 1
        self._isDataTurn = False

    __slots__ = (
        "_isDataTurn",
        "_sequence",
        "inFlight",
        "keys",
        "liquidity",
        "pacing",
        "packetAmount",
        "patience",
        "pollAt",
        "pollDelay",
        "probeAmount",
        "probes",
        "probing",
        "randomBytes",
        "rate",
        "state",
        "wakeAt",
    )

    @property
    def hasWork(self) -> bool:
        """Whether something waits to leave, whatever holds it up."""
        state = self.state
        streams = state.streams
        return bool(
            streams.moneyReady or streams.dataReady or state.controls.pending or state.owesClose
        )

    def build(self, now: float) -> Outgoing | None:
        """Give the next Prepare, or None if nothing may leave now."""
        state = self.state
        self.wakeAt = NEVER
        packets = self.inFlight.packets
        if not state.destination:
            return None
        if state.isClosed:
            return self._close(now) if state.owesClose and not packets else None
        most = state.configuration.maximumInFlight if state.isValidated else UNVALIDATED_IN_FLIGHT
        if len(packets) >= most:
            return None
        streams = state.streams
        if not (streams.moneyReady or streams.dataReady or state.controls.pending):
            self._schedulePoll(now)
            if now < self.pollAt:
                return None
            self._poll(now)
        if now < self.patience.waitUntil:
            self.wakeAt = self.patience.waitUntil
            return None
        if not self.pacing.isAllowed(now):
            self.wakeAt = self.pacing.readyAt()
            return None
        return self._choose(now)

    def _choose(self, now: float) -> Outgoing | None:
        """Let money and data take turns; what can wait for neither goes alone."""
        streams = self.state.streams
        packet = None
        if streams.dataReady and (self._isDataTurn or not streams.moneyReady):
            packet = self._data(now)
        if packet is None and streams.moneyReady:
            packet = self._money(now)
            if packet is None and streams.dataReady:
                packet = self._data(now)
        if packet is not None:
            self._isDataTurn = not self._isDataTurn
        elif self.state.controls.pending:
            packet = self._pack(now, 0, [])
        return packet

    # --- Money ----------------------------------------------------------------------------

    def _money(self, now: float) -> Outgoing | None:
        rate = self.rate
        if rate.floor is None:
            return self._probe(now)
        ready = self.state.streams.moneyReady
        while ready:
            streamID = next(iter(ready))
            stream = ready[streamID]
            amount = self._amountFor(stream, now)
            if amount == 0:
                del ready[streamID]
                continue
            if not self.liquidity.isAllowed(amount, now):
                self.wakeAt = min(self.wakeAt, self.liquidity.readyAt(amount))
                return None
            expected = rate.estimate(amount)
            stream.moneyOut.hold(amount, expected)
            stream.hasOpened = True
            if stream.moneyOut.unsent and stream.moneyOut.peerRoom:
                ready.move_to_end(streamID)
            else:
                del ready[streamID]
            self.liquidity.sent(amount, now)
            return self._pack(
                now,
                amount,
                [StreamMoney(streamID, 1)],
                minimum=rate.minimumDelivery(amount),
                expected=expected,
                streamID=streamID,
            )
        return None

    def _amountFor(self, stream: SessionStream, now: float) -> int:
        """What the stream's next packet carries; 0 if nothing of use can leave."""
        money, rate = stream.moneyOut, self.rate
        offered = unsent = money.unsent
        room = money.peerRoom
        if room < U64_MAX:
            wanted = rate.sourceFor(room)
            if wanted is not None:
                offered = min(offered, wanted)
        if self.packetAmount.raiseAt is not None:
            larger = self.packetAmount.larger(now)
            if larger is not None and larger < offered and larger <= self.liquidity.cap:
                self.packetAmount.tried(now)
                return larger
        amount = rate.plan(offered, min(self.packetAmount.limit, self.liquidity.cap))
        if amount == 0 and offered == unsent and not money.held:
            money.withdraw()
            self.state.events.append(
                MoneyFailed(
                    stream.streamID,
                    unsent,
                    f"{unsent} units are too few to deliver anything at the rate floor of "
                    f"{rate.floor}; the smallest amount is {rate.smallest}",
                    rate.smallest,
                )
            )
            self.state.settleStream(stream)
        return amount

    def _probe(self, now: float) -> Outgoing | None:
        """Ask for the rate with a packet that nobody can fulfill (RFC 29 section 3.4)."""
        if self.probing:
            return None
        amount = self.probeAmount
        if not amount:
            offered = next(iter(self.state.streams.moneyReady.values())).moneyOut.unsent
            amount = offered - offered * self.randomBytes(1)[0] // 256 // 16
        amount = max(1, min(amount, self.packetAmount.limit, self.liquidity.cap))
        if not self.liquidity.isAllowed(amount, now):
            self.wakeAt = min(self.wakeAt, self.liquidity.readyAt(amount))
            return None
        self.probing += 1
        self.probes += 1
        self.probeAmount = amount
        self.liquidity.sent(amount, now)
        return self._pack(now, amount, [], isProbe=True)

    # --- Data -----------------------------------------------------------------------------

    def _data(self, now: float) -> Outgoing | None:
        """Fill a packet with fragments of the streams whose turn it is."""
        state = self.state
        ready, credit = state.streams.dataReady, state.streams.sendCredit
        room = state.configuration.fragmentSize
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
                if size <= 0:
                    break
                before = queue.unsent
                offset, data = queue.nextNew(size)
                self._use(stream, len(data), before)
            stream.hasOpened = True
            frames.append(StreamData(streamID, offset, data))
            fragments.append((streamID, offset))
            room -= len(data)
            if queue.hasLost or (queue.unsent and stream.sendCredit.room):
                ready.move_to_end(streamID)
            else:
                del ready[streamID]
            if room <= 0:
                break
        if not frames:
            return None
        return self._pack(now, 0, frames, fragments=tuple(fragments))

    def _use(self, stream: SessionStream, size: int, before: int) -> None:
        """New bytes leave: use credit, and say so when it is used up."""
        credit = self.state.streams.sendCredit
        stream.sendCredit.used += size
        credit.used += size
        unsent = stream.queue.unsent
        if before >= LOW_WATER > unsent:
            self.state.events.append(DataDrained(stream.streamID))
        if unsent and not stream.sendCredit.room:
            self.state.controls.add(StreamDataBlocked.type, stream.streamID)
        if unsent and not credit.room:
            self.state.controls.add(ConnectionDataBlocked.type)

    # --- What else leaves -------------------------------------------------------------------

    def _schedulePoll(self, now: float) -> None:
        """A blocked sender asks after one round trip, then twice as late each time."""
        state = self.state
        if state.wasUnblocked:
            state.wasUnblocked = False
            self.pollAt, self.pollDelay = NEVER, 0.0
        if not state.streams.isBlocked():
            self.pollAt = NEVER
        elif self.pollAt == NEVER:
            first = max(FIRST_POLL, self.pacing.roundTrip or 0.0)
            self.pollDelay = min(LONGEST_POLL, 2 * self.pollDelay or first)
            self.pollAt = now + self.pollDelay

    def _poll(self, now: float) -> None:
        """Say what is blocked; the answer carries the peer's limits of this moment."""
        self.pollAt = NEVER
        state = self.state
        for stream in state.streams.open.values():
            if stream.moneyOut.unsent or stream.queue.unsent:
                kind = StreamDataBlocked.type if stream.queue.unsent else 0x13
                state.controls.add(kind, stream.streamID)
        if not state.controls.pending:
            state.controls.add(0x06)

    def _close(self, now: float) -> Outgoing | None:
        """The last packet of a connection; it is not repeated."""
        state = self.state
        state.owesClose = False
        state.controls.pending.clear()
        frame = ConnectionClose(state.closeCode, state.closeMessage)
        return self._pack(now, 0, [frame])

    def _pack(
        self,
        now: float,
        amount: int,
        frames: list[Frame],
        *,
        minimum: int = 0,
        expected: int = 0,
        streamID: int = 0,
        fragments: tuple[tuple[int, int], ...] = (),
        isProbe: bool = False,
    ) -> Outgoing:
        """Write the packet and its record."""
        state, keys = self.state, self.keys
        controls: tuple[tuple[tuple[int, int], int], ...] = ()
        if state.controls.pending:
            first, controls = state.controls.take()
            frames = first + frames
        sequence = self._sequence
        self._sequence += 1
        state.encrypted += 1
        plain = encodePacket(sequence, PREPARE, minimum, frames, state.configuration.padTo)
        data = keys.seal(plain, self.randomBytes(IV_LENGTH))
        if isProbe:
            fulfillment, condition = b"", self.randomBytes(32)
        else:
            fulfillment = keys.fulfillment(data)
            condition = conditionOf(fulfillment)
        expiresAt = now + state.configuration.packetExpiry
        self.inFlight.add(
            SentPacket(
                sequence,
                now,
                expiresAt,
                fulfillment,
                amount,
                minimum,
                expected,
                streamID,
                fragments,
                controls,
                isProbe,
            )
        )
        self.pacing.sent(now)
        packet = encodePrepare(
            amount, encodeTimestamp(expiresAt), condition, state.destination, data
        )
        return Outgoing(sequence, packet, expiresAt)
