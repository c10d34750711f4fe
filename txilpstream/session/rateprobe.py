"""
The rate of the path, measured before money leaves.

A probe is a packet of money that nobody can fulfill: its condition is random, so the peer can only
refuse it, and says in its refusal what arrived (RFC 29 section 3.4). It is polite: it starts near
the amount that is to be sent, randomised so that nobody on the path tells it from a payment, and
grows only where the answer is too coarse. What was rejected: probing with 10**12 at once, which
connectors recognise (ilp-protocol-stream#112).
"""

from __future__ import annotations

from typing import Final

from txilpstream.amounts import U64_MAX, Ratio
from txilpstream.session.events import RateLearned
from txilpstream.session.packetbuilder import Outgoing, PacketBuilder
from txilpstream.session.path import Path, SentPacket
from txilpstream.session.state import SessionState

__all__ = ["MOST_PROBES", "RateProbe"]

MOST_PROBES: Final = 6
"""Packets that ask for the rate before money leaves at what is known."""


class RateProbe:
    """
    Measures the rate of a path.

    @ivar isNeeded: whether no money may leave before the rate is measured, for another reason than
        that there is no floor.
    @ivar total: all that will ever be sent, 0 if not known; a probe of as much is as precise
        as anybody needs it.
    """

    __slots__ = (
        "_amount",
        "_count",
        "_packetBuilder",
        "_path",
        "_sentAt",
        "_sequence",
        "_state",
        "isNeeded",
        "total",
    )

    def __init__(self, state: SessionState, path: Path, packetBuilder: PacketBuilder) -> None:
        self._state = state
        self._path = path
        self._packetBuilder = packetBuilder
        self._sequence = 0
        self._count = 0
        self._amount = 0
        self._sentAt = 0.0
        self.total = 0
        self.isNeeded = False

    def ask(self, sourceAmount: int) -> None:
        """Measure the rate for about this amount, though no money is offered."""
        self._state.amountToMeasure = sourceAmount
        self._amount = self._count = 0

    def forget(self) -> None:
        """Nobody asks for the rate any more."""
        self._state.amountToMeasure = 0

    @property
    def answerDueAt(self) -> float:
        """Until when the probe that is on its way may well be answered; 0 if there is none."""
        return self._sentAt + self._path.resendAfter if self._sequence else 0.0

    def build(self, most: int, now: float) -> Outgoing:
        """
        Ask.

        @param most: what a packet may carry now, at least 1.
        """
        amount = self._amount
        if not amount:
            offered = (
                self._state.amountToMeasure
                or next(iter(self._state.streams.moneyReady.values())).moneyOut.probeable
            )
            amount = offered - offered * self._packetBuilder.randomBytes(1)[0] // 256 // 16
        amount = max(1, min(amount, most))
        self._count += 1
        self._amount = amount
        self._sentAt = now
        packet = self._packetBuilder.pack(now, amount, [], isProbe=True)
        self._sequence = packet.sequence
        return packet

    def ended(self, sequence: int) -> None:
        """A probe was answered, or its time is over."""
        if sequence == self._sequence:
            self._sequence = 0

    def probed(self, sent: SentPacket, delivered: int) -> str:
        """
        A probe came through: fix the floor, or ask with more for a rate that is precise.

        @return: why no money can leave, or an empty string.
        """
        rate = self._path.rate
        if not (rate.floor is None or self.isNeeded or self._state.amountToMeasure):
            return ""
        precision = self._state.configuration.probePrecision
        isPrecise = delivered >= precision or sent.amount >= self._path.mostPerPacket
        if delivered and 16 * sent.amount >= 15 * self.total > 0:
            isPrecise = True
        if not isPrecise and self._count < MOST_PROBES:
            factor = precision // delivered + 1 if delivered else max(1000, precision) + 1
            self._amount = min(U64_MAX, sent.amount * factor)
            return ""
        self._state.amountToMeasure = self._count = self._amount = 0
        if not delivered and (rate.floor is None or self.isNeeded):
            self._tell(None, None, None)
            return f"a packet of {sent.amount} units delivers nothing at all"
        self.isNeeded = False
        rate.fix()
        self._tell(rate.low, rate.high, rate.floor)
        return ""

    def _tell(self, low: Ratio | None, high: Ratio | None, floor: Ratio | None) -> None:
        state = self._state
        state.events.append(RateLearned(low, high, floor))
        if state.tracer is not None:
            state.tracer.rateLearned(low, high, floor)
