"""
What this end knows of the path, what controls how it is used, and what is on its way.

This file joins them and decides nothing: who sends asks them, who settles tells them.
"""

from __future__ import annotations

from typing import Final

from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.congestion.combined import JointControl
from txilpstream.session.congestion.interface import ICongestionControl
from txilpstream.session.exchangerate import ExchangeRate
from txilpstream.session.inflight import InFlight, SentPacket
from txilpstream.session.retry import Patience

__all__ = ["NEVER", "Path"]

NEVER: Final = float("inf")

LEAST_RESEND: Final = 1.0
"""Seconds after which what has no answer is sent again; four round trips, if that is more."""


class Path:
    """
    One direction of a connection.

    @ivar rate: what the path makes of an amount.
    @ivar control: how fast, how much at once and how large.
    @ivar patience: which rejects were met, and how long to wait.
    @ivar inFlight: what has no answer yet.
    @ivar losses: how many fragments were given up as lost.
    """

    __slots__ = (
        "_unheard",
        "control",
        "inFlight",
        "losses",
        "patience",
        "rate",
    )

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
        self.patience = Patience()
        self.inFlight = InFlight()
        self.losses = 0
        self._unheard: dict[int, SentPacket] = {}

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
        if packet.fragments or packet.controls:
            self._unheard[packet.sequence] = packet

    def resendAt(self) -> float:
        """When the oldest packet with something to be said again has waited long enough."""
        unheard, packets = self._unheard, self.inFlight.packets
        while unheard:
            oldest = next(iter(unheard))
            if oldest in packets:
                return unheard[oldest].sentAt + self.resendAfter
            del unheard[oldest]
        return NEVER

    def takeOverdue(self, now: float) -> list[SentPacket]:
        """The packets that have waited so long, each once; they still may be answered."""
        overdue = []
        while self.resendAt() <= now:
            packet = self._unheard.pop(next(iter(self._unheard)))
            packet.isResent = True
            overdue.append(packet)
        return overdue
