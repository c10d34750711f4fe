"""
A rate that rises while all goes well and falls when it does not, judged round by round.

Pacing uses it in packets per second, liquidity in source units per second. A round lasts one
round-trip time and at least ten answers. At its end, at start-up and without rejects, the rate
doubles. With at most one reject in ten answers it falls by a twentieth. With more, the path has
become narrower, and the rate becomes nine tenths of what came through. Without any, the rate rises
by a fixed step per second, and after two seconds without any reject the step doubles every second,
so that a path that has become wider is found in seconds.

The step is absolute: with a step relative to the rate, senders that share a path never come to
equal shares (tried: two stayed at 0.53 on Jain's index). A round in which less than four fifths of
what was allowed was sent raises nothing. After ten idle seconds half the old rate is left.

This file knows numbers and moments; it is told what happened and never asks why.
"""

from __future__ import annotations

from math import inf, nextafter
from typing import Final

__all__ = ["AdaptiveRate"]

MINIMUM_ANSWERS: Final = 10
"""Answers in a round: fewer say too little."""

SHORTEST_ROUND: Final = 0.005
"""Seconds: in a process without latency a round would be over before it began."""

STEP_PER_SECOND: Final = 5.0
"""By how many packets per second the rate rises in a second without rejects."""

CALM: Final = 2.0
"""Seconds without a reject after which the step begins to double."""

MOST_DOUBLINGS: Final = 12
"""The step stays within 4096 times of where it began."""

BURST: Final = 0.01
"""Seconds of the rate that may leave at once: timers are no finer on a busy machine."""

IDLE: Final = 10.0
"""Seconds after which half the rate is forgotten."""


class AdaptiveRate:
    """
    One rate, in any unit.

    @ivar rate: units per second.
    @ivar isStarting: whether no reject was met yet.
    """

    __slots__ = (
        "_answers",
        "_calmSince",
        "_lastUsed",
        "_least",
        "_most",
        "_passed",
        "_rejects",
        "_roundStart",
        "_tokens",
        "_tokensAt",
        "_used",
        "isStarting",
        "rate",
    )

    def __init__(self, rate: float, *, least: float, most: float, tokens: float) -> None:
        """
        @param rate: to begin with, in units per second.
        @param least: it never falls below.
        @param most: it never rises above.
        @param tokens: units that may leave at once in the beginning.
        """
        self._least = least
        self._most = most
        self.rate = self._bounded(rate)
        self.isStarting = True
        self._tokens = tokens
        self._tokensAt: float | None = None
        self._roundStart: float | None = None
        self._lastUsed: float | None = None
        self._calmSince = 0.0
        self._answers = 0
        self._rejects = 0
        self._used = 0.0
        self._passed = 0.0

    def available(self, now: float, unit: float) -> float:
        """
        How many units may leave now.

        @param unit: the size of one packet; so much may always gather.
        """
        then = self._tokensAt
        if then is None:
            then = self._tokensAt = self._roundStart = self._calmSince = self._lastUsed = now
        if now > then:
            burst = max(unit, self.rate * BURST)
            if self._tokens < burst:
                self._tokens = min(burst, self._tokens + self.rate * (now - then))
            self._tokensAt = now
        return self._tokens

    def readyAt(self, amount: float) -> float:
        """When so many units may leave; L{available} must have been asked before."""
        then, tokens, rate = self._tokensAt or 0.0, self._tokens, self.rate
        if tokens >= amount:
            return then
        moment = then + (amount - tokens) / rate
        # A rounded moment may be too early, and whoever waits for it would ask in circles.
        while tokens + rate * (moment - then) < amount:
            moment = nextafter(moment, inf)
        return moment

    def use(self, amount: float, now: float) -> None:
        """Units leave."""
        if self._lastUsed is not None and now - self._lastUsed > IDLE and not self.isStarting:
            self.rate = self._bounded(self.rate / 2)
        self._lastUsed = now
        self._tokens -= amount
        self._used += amount

    def giveBack(self, amount: float) -> None:
        """Units that were used never left."""
        self._tokens += amount
        self._used = max(0.0, self._used - amount)

    def answered(self, amount: float, *, isReject: bool, now: float, roundTrip: float) -> bool:
        """
        A packet was answered.

        @param isReject: whether by the limit that this rate is to find.
        @param roundTrip: seconds, smoothed.
        @return: whether a round has ended.
        """
        self._answers += 1
        if isReject:
            self._rejects += 1
        else:
            self._passed += amount
        start = self._roundStart
        if start is None or self._answers < MINIMUM_ANSWERS:
            return False
        elapsed = now - start
        if elapsed < roundTrip or elapsed < SHORTEST_ROUND:
            return False
        self._endRound(elapsed, now)
        return True

    def _endRound(self, elapsed: float, now: float) -> None:
        rejects, answers = self._rejects, self._answers
        if not rejects:
            if self._used >= 0.8 * self.rate * elapsed:
                self._rise(elapsed, now)
        else:
            self.isStarting = False
            self._calmSince = now
            if rejects * 10 <= answers:
                self.rate *= 0.95
            else:
                self.rate = min(self.rate, 0.9 * self._passed / elapsed)
        self.rate = self._bounded(self.rate)
        self._roundStart = now
        self._answers = self._rejects = 0
        self._used = self._passed = 0.0

    def _bounded(self, rate: float) -> float:
        return min(self._most, max(self._least, rate))

    def _rise(self, elapsed: float, now: float) -> None:
        if self.isStarting:
            self.rate *= 2
            return
        doublings = min(MOST_DOUBLINGS, max(0, int(now - self._calmSince - CALM)))
        self.rate += STEP_PER_SECOND * self._least * (1 << doublings) * elapsed
