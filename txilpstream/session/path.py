"""
One direction of a connection: what is known of the path, what controls it, what is on its way.

Every packet without an answer is in flight or in doubt, and in doubt it stays until an answer comes
after all. Of those in flight, the ones with something to be said again are remembered apart,
so that neither finding the oldest nor giving one up depends on how many there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from typing import Any, Final

from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.congestion.combined import JointControl
from txilpstream.session.congestion.interface import ICongestionControl
from txilpstream.session.exchangerate import ExchangeRate
from txilpstream.session.retry import RetryPolicy

__all__ = ["MAX_DOUBTFUL", "NEVER", "InFlight", "Path", "SentPacket"]

NEVER: Final = inf
"""The moment that does not come."""

LEAST_RESEND: Final = 1.0
"""Seconds after which what has no answer is sent again; four round trips, if that is more."""

MAX_DOUBTFUL: Final = 10_000
"""Doubtful packets that are remembered; an answer to an older one changes nothing any more."""


@dataclass(slots=True)
class SentPacket:
    """
    One Prepare on its way.

    @ivar sequence: its number.
    @ivar sentAt: seconds.
    @ivar expiresAt: seconds.
    @ivar fulfillment: the only octets that fulfill it; empty if nothing can.
    @ivar amount: source units; 0 for packets without money.
    @ivar minimum: destination units that it demands.
    @ivar expected: destination units that it was expected to deliver.
    @ivar stream: the stream whose money it carries, None if none; it is kept as long as money of it
        may still be settled, even if nothing else knows it any more.
    @ivar fragments: stream id, offset and size of each fragment of data it carries; the size is 0
        if another copy may have been delivered.
    @ivar controlFrames: the keys of the control frames it carries, with their versions.
    @ivar isProbe: whether it only asks for the rate.
    @ivar isResent: whether its data was given up as lost and is on its way again.
    """

    sequence: int
    sentAt: float
    expiresAt: float
    fulfillment: bytes
    amount: int = 0
    minimum: int = 0
    expected: int = 0
    stream: Any = None
    fragments: tuple[tuple[int, int, int], ...] = ()
    controlFrames: tuple[tuple[tuple[int, int], int], ...] = ()
    isProbe: bool = False
    isResent: bool = False


class InFlight:
    """
    All packets without an answer.

    @ivar packets: by sequence, the oldest first.
    @ivar doubtful: those whose time is over, by sequence, the oldest first.
    @ivar repeatable: those of C{packets} with data or control frames that are sent again if no
        answer comes for a while, by sequence, the oldest first.
    @ivar withMoney: how many of C{packets} carry money.
    @ivar money: what they carry together, in source units.
    """

    __slots__ = ("doubtful", "money", "packets", "repeatable", "withMoney")

    def __init__(self) -> None:
        self.packets: dict[int, SentPacket] = {}
        self.doubtful: dict[int, SentPacket] = {}
        self.repeatable: dict[int, SentPacket] = {}
        self.withMoney = 0
        self.money = 0

    def add(self, packet: SentPacket) -> None:
        """A packet leaves."""
        self.packets[packet.sequence] = packet
        if packet.amount:
            self.withMoney += 1
            self.money += packet.amount
        if packet.fragments or packet.controlFrames:
            self.repeatable[packet.sequence] = packet

    def pop(self, sequence: int) -> SentPacket | None:
        """An answer came; None if nothing waits for one under this number."""
        packet = self.packets.pop(sequence, None)
        if packet is not None:
            if packet.amount:
                self.withMoney -= 1
                self.money -= packet.amount
            if packet.fragments or packet.controlFrames:
                self.repeatable.pop(sequence, None)
        return packet

    def doubt(self, packet: SentPacket) -> None:
        """Remember a packet whose time is over."""
        doubtful = self.doubtful
        doubtful[packet.sequence] = packet
        if len(doubtful) > MAX_DOUBTFUL:
            del doubtful[next(iter(doubtful))]

    def takeExpired(self, now: float, margin: float = 0.0) -> Iterator[SentPacket]:
        """Take out the packets that expired by now and a margin ago, the oldest first."""
        packets = self.packets
        while packets:
            oldest = packets[next(iter(packets))]
            if oldest.expiresAt + margin > now:
                return
            self.pop(oldest.sequence)
            yield oldest

    def moneyOverdue(self, now: float, waited: float) -> tuple[int, float]:
        """
        What left so long ago that it is hardly under way any more.

        @param waited: seconds that an answer is waited for.
        @return: that money, in source units; and the moment when it is more.
        """
        money = 0
        for packet in self.packets.values():
            overdueAt = packet.sentAt + waited
            if overdueAt > now:
                return money, overdueAt
            money += packet.amount
        return money, NEVER

    @property
    def oldest(self) -> SentPacket | None:
        """The packet that expires first."""
        packets = self.packets
        return packets[next(iter(packets))] if packets else None


class Path:
    """
    One direction of a connection.

    @ivar rate: what the path makes of an amount.
    @ivar control: how fast, how much at once and how large.
    @ivar retryPolicy: which rejects were met, and how long to wait.
    @ivar inFlight: what has no answer yet.
    @ivar losses: how many fragments were given up as lost.
    """

    __slots__ = ("control", "inFlight", "losses", "rate", "retryPolicy")

    def __init__(self, configuration: SessionConfiguration) -> None:
        self.rate = ExchangeRate(
            configuration.minimumRate,
            configuration.slippage,
            configuration.acceptAnyRate,
            configuration.expectedRate,
        )
        make = configuration.congestionControl
        self.control: ICongestionControl = (
            JointControl(configuration.maximumPacketAmount, configuration.maximumPacketsPerSecond)
            if make is None
            else make(configuration)
        )
        self.retryPolicy = RetryPolicy()
        self.inFlight = InFlight()
        self.losses = 0

    @property
    def roundTrip(self) -> float:
        """Smoothed, in seconds; 0 until it is measured."""
        return self.control.roundTrip or 0.0

    @property
    def mostPerPacket(self) -> int:
        """What one packet may carry for now, in source units."""
        return self.control.mostPerPacket(self.rate.smallest)

    @property
    def resendAfter(self) -> float:
        """Seconds after which data and control frames without an answer are sent again."""
        return max(LEAST_RESEND, 4 * (self.control.roundTrip or 0.0))

    def sent(self, packet: SentPacket, now: float) -> None:
        """A packet leaves."""
        self.inFlight.add(packet)
        self.control.sent(packet.amount, now)

    def resendAt(self) -> float:
        """When the oldest packet with something to be said again has waited long enough."""
        repeatable = self.inFlight.repeatable
        if not repeatable:
            return NEVER
        return repeatable[next(iter(repeatable))].sentAt + self.resendAfter

    def takeOverdue(self, now: float) -> list[SentPacket]:
        """The packets that have waited so long, each once; they still may be answered."""
        overdue, repeatable = [], self.inFlight.repeatable
        while self.resendAt() <= now:
            packet = repeatable.pop(next(iter(repeatable)))
            packet.isResent = True
            overdue.append(packet)
        return overdue
