"""
What this end knows of the path, one control for each limit, and what is on its way.

This file joins the controls and decides nothing: who sends asks them, who settles tells them.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.exchangerate import ExchangeRate
from txilpstream.session.inflight import InFlight, SentPacket
from txilpstream.session.liquidity import Liquidity
from txilpstream.session.pacing import Pacing
from txilpstream.session.packetamount import PacketAmount
from txilpstream.session.retry import Patience

__all__ = ["NEVER", "Path"]

NEVER: Final = float("inf")

LEAST_RESEND: Final = 1.0
"""Seconds after which what has no answer is sent again; four round trips, if that is more."""


class Path:
    """
    One direction of a connection.

    @ivar rate: what the path makes of an amount.
    @ivar packetAmount: its largest packet.
    @ivar liquidity: how much money per second it takes.
    @ivar pacing: how many packets per second, and its round-trip time.
    @ivar patience: which rejects were met, and how long to wait.
    @ivar inFlight: what has no answer yet.
    @ivar losses: how many fragments were given up as lost.
    """

    __slots__ = (
        "_unheard",
        "inFlight",
        "liquidity",
        "losses",
        "pacing",
        "packetAmount",
        "patience",
        "rate",
    )

    def __init__(self, configuration: SessionConfiguration) -> None:
        self.rate = ExchangeRate(
            configuration.minimumRate, configuration.slippage, configuration.acceptAnyRate
        )
        self.packetAmount = PacketAmount(configuration.maximumPacketAmount)
        self.liquidity = Liquidity()
        self.pacing = Pacing(configuration.maximumPacketsPerSecond)
        self.patience = Patience()
        self.inFlight = InFlight()
        self.losses = 0
        self._unheard: deque[SentPacket] = deque()

    @property
    def roundTrip(self) -> float:
        """Smoothed, in seconds; 0 until it is measured."""
        return self.pacing.roundTrip or 0.0

    @property
    def mostPerPacket(self) -> int:
        """What one packet may carry for now, in source units."""
        return min(self.packetAmount.limit, self.liquidity.cap)

    @property
    def resendAfter(self) -> float:
        """Seconds after which data and control frames without an answer are sent again."""
        return max(LEAST_RESEND, 4 * (self.pacing.roundTrip or 0.0))

    def sent(self, packet: SentPacket, now: float) -> None:
        """A packet leaves."""
        self.inFlight.add(packet)
        self.pacing.sent(now)
        if packet.fragments or packet.controls:
            self._unheard.append(packet)

    def resendAt(self) -> float:
        """When the oldest packet with something to be said again has waited long enough."""
        unheard, packets = self._unheard, self.inFlight.packets
        while unheard:
            if unheard[0].sequence in packets:
                return unheard[0].sentAt + self.resendAfter
            unheard.popleft()
        return NEVER

    def takeOverdue(self, now: float) -> list[SentPacket]:
        """The packets that have waited so long, each once; they still may be answered."""
        overdue = []
        while self.resendAt() <= now:
            packet = self._unheard.popleft()
            packet.isResent = True
            overdue.append(packet)
        return overdue
