"""
How many packets per second leave.

The evidence is T05 and T03, which say so, and T00, other temporary codes and packets without an
answer, which may. The second kind counts only as far as lowering the rate lowers its share: a path
that drops one packet in twenty at any rate is not congested, one that answers T00 above its
capacity is. That is found by keeping its share at each level of the rate, levels being twice as
large as the one below, and comparing. What was rejected: halving on every loss, which left 3 % of
the throughput on a path that drops 1 % (tried).
"""

from __future__ import annotations

from typing import Final

from txilpstream.session.rounds import AdaptiveRate

__all__ = ["INITIAL_RATE", "Pacing"]

INITIAL_RATE: Final = 40.0
"""Packets per second to begin with."""

INITIAL_BURST: Final = 10.0
"""Packets that may leave at once in the beginning: a small payment needs no more."""

SMOOTHING: Final = 0.125
"""The part of a new round-trip time in the smoothed one."""

LEAST_SAMPLE: Final = 20.0
"""Answers at one level of the rate before its share of losses means anything."""

FORGETTING: Final = 0.995
"""What is left of old answers when a new one comes in: some 200 count."""


class _Level:
    """Answers at one level of the rate; older ones count less."""

    __slots__ = ("answers", "lost")

    def __init__(self) -> None:
        self.answers = 0.0
        self.lost = 0.0

    def add(self, isLost: bool) -> None:
        self.answers = self.answers * FORGETTING + 1
        self.lost = self.lost * FORGETTING + isLost

    @property
    def share(self) -> float:
        return self.lost / self.answers if self.answers else 0.0


class Pacing:
    """
    The packet rate of one direction of a connection.

    @ivar rate: the rule's state, in packets per second.
    @ivar roundTrip: smoothed, in seconds; None until measured.
    """

    __slots__ = ("_levels", "rate", "roundTrip")

    def __init__(self, most: float) -> None:
        """
        @param most: the caller's limit in packets per second.
        """
        self.rate = AdaptiveRate(INITIAL_RATE, least=1.0, most=most, tokens=INITIAL_BURST)
        self.roundTrip: float | None = None
        self._levels: dict[int, _Level] = {}

    def isAllowed(self, now: float) -> bool:
        """Whether one more packet may leave now."""
        return self.rate.available(now, 1.0) >= 1.0

    def readyAt(self) -> float:
        """When the next packet may leave."""
        return self.rate.readyAt(1.0)

    def sent(self, now: float) -> None:
        """A packet leaves."""
        self.rate.use(1.0, now)

    def measured(self, seconds: float) -> None:
        """A packet was answered by the peer itself after so many seconds."""
        old = self.roundTrip
        self.roundTrip = seconds if old is None else old + SMOOTHING * (seconds - old)

    def answered(self, *, now: float, isLimited: bool = False, isLost: bool = False) -> bool:
        """
        A packet was answered, or will not be.

        @param isLimited: whether with T05 or T03.
        @param isLost: whether with another temporary code, or not at all.
        @return: whether a round has ended.
        """
        if self._levels or isLost:
            isReject = self._weigh(isLost) or isLimited
        else:
            isReject = isLimited
        return self.rate.answered(1.0, isReject=isReject, now=now, roundTrip=self.roundTrip or 0.0)

    def _weigh(self, isLost: bool) -> bool:
        """Whether a loss is a sign that the rate is too high."""
        index = int(self.rate.rate).bit_length()
        level = self._levels.get(index)
        if level is None:
            level = self._levels[index] = _Level()
        level.add(isLost)
        if not isLost:
            return False
        below = self._levels.get(index - 1)
        if below is None or below.answers < LEAST_SAMPLE:
            return level.answers >= LEAST_SAMPLE and level.share > 0.25
        return level.share > 2 * below.share + 0.02
