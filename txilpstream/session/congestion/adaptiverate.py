"""
A level that rises while all goes well and falls when it does not.

Pacing has one in packets per second, liquidity one in source units in flight. This is the rule:

  - At start the level doubles each round, which is one round trip and at least ten answers,
    until the first reject.
  - The first reject of a packet that left since the last fall lets the level fall by a small
    cut, at once. What left before a fall is no evidence against what the level is since; without
    that rule each cut is made twice, for a round trip's worth of packets is always under way.
  - What left after that cut is then judged for a round: if more than one in ten was a reject,
    the path has become narrower, and the level becomes what came through. At the end of the
    start it is what left before the cut that is judged, and the level becomes what came through
    in any case.
  - Without rejects the level rises by a step per second. After a calm that is longer than
    rejects are usually apart the step doubles twice a second, so that a path that has become
    wider is found in seconds.

Cut and step are what a L{Rule} says, in the unit of the level. What they have to do: a cut must
drain slowly enough that rejects are rare, and be made up for fast enough that little is left
unused. They grow more slowly than the level; that is what makes senders that share a path converge
to equal shares, as the larger of two is also the one that more rejects hit. What was rejected: a
step in proportion to the level (two senders stayed at 0.53 on Jain's index), a fixed step and a cut
in proportion (rejects at small levels are too many, and at large ones too much is left unused), and
waiting for the end of a round before the cut.

A round in which less than four fifths of what was allowed was sent raises nothing. After ten idle
seconds half the old level is left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, nextafter
from typing import Final

__all__ = ["AdaptiveRate", "Rule"]

MINIMUM_ANSWERS: Final = 10
"""Answers in a round: fewer say too little."""

SHORTEST_ROUND: Final = 0.005
"""Seconds: in a process without latency a round would be over before it began."""

MANY: Final = 0.1
"""The part of rejects above which a path has become narrower, rather than just full."""

CAUTION: Final = 0.97
"""The part of what came through that is kept then: how exact a measurement of a round is."""

HOPELESS: Final = 3
"""Answers in a row without one that passed, of which more are not waited for."""

CALM: Final = 1.5
"""A calm is so many times what it takes to make up for a cut; rejects are hardly further apart."""

DOUBLINGS_PER_SECOND: Final = 2.0
"""How often the step doubles in a long calm."""

FASTEST: Final = 1.0
"""The level at most doubles in a second, however long the calm."""

IDLE: Final = 10.0
"""Seconds after which half the level is forgotten."""


@dataclass(frozen=True)
class Rule:
    """
    How a level moves.

    @ivar step: by how much it rises per second, from the level.
    @ivar cut: by how much it falls at a reject, from the level.
    """

    step: Callable[[float], float]
    cut: Callable[[float], float]


class AdaptiveRate:
    """
    One level, in any unit, and the rate that follows from it.

    @ivar rate: the level; units per second unless C{speed} makes something else of it.
    @ivar speed: the units that leave per second are the level times this.
    @ivar isStarting: whether no reject was met yet.
    @ivar fellAt: when the level fell last: what left before is no evidence any more.
    """

    __slots__ = (
        *("_answers", "_burst", "_calmSince", "_isJudging", "_isWaiting", "_lastUsed"),
        *("_least", "_most", "_passed", "_rejects", "_roundStart", "_rule", "_staleAt"),
        *("_tokens", "_tokensAt", "_used", "_wasAt", "fellAt", "isStarting", "rate", "speed"),
    )

    def __init__(
        self,
        rate: float,
        rule: Rule,
        *,
        least: float,
        most: float,
        tokens: float,
        burst: float = 0.0,
    ) -> None:
        """
        @param rate: the level to begin with.
        @param least: it never falls below.
        @param most: it never rises above.
        @param tokens: units that may leave at once in the beginning.
        @param burst: seconds of the rate that may leave at once later; one packet always may.
        """
        self._rule = rule
        self._least = least
        self._most = most
        self._burst = burst
        self.rate = self._bounded(rate)
        self.speed = 1.0
        self.isStarting = True
        self.fellAt = -inf
        self._tokens = tokens
        self._tokensAt: float | None = None
        self._roundStart: float | None = None
        self._lastUsed: float | None = None
        self._calmSince = 0.0
        self._answers = 0
        self._rejects = 0
        self._used = 0.0
        self._passed = 0.0
        self._isJudging = False
        self._isWaiting = False
        self._staleAt = 0.0
        self._wasAt = 0.0

    # --- What may leave -------------------------------------------------------------------

    def has(self, amount: float, now: float) -> bool:
        """Whether so many units, of one packet, may leave now."""
        tokens, then = self._tokens, self._tokensAt
        if tokens >= amount or then is None:
            return tokens >= amount
        return tokens + self.rate * self.speed * (now - then) >= amount

    def readyAt(self, amount: float) -> float:
        """When so many units, of one packet, may leave."""
        then, tokens, rate = self._tokensAt or 0.0, self._tokens, self.rate * self.speed
        if tokens >= amount:
            return then
        moment = then + (amount - tokens) / rate
        # A rounded moment may be too early, and whoever waits for it would ask in circles.
        while tokens + rate * (moment - then) < amount:
            moment = nextafter(moment, inf)
        return moment

    def start(self, now: float) -> None:
        """Count time from now on, unless that has begun; L{use} does it with the first packet."""
        if self._tokensAt is None:
            self._tokensAt = self._roundStart = self._calmSince = self._lastUsed = now

    def available(self, now: float, unit: float) -> float:
        """
        How many units may leave now.

        @param unit: the size of one packet; so much may always gather.
        """
        tokens, then = self._tokens, self._tokensAt
        if then is None or now <= then:
            return tokens
        rate = self.rate * self.speed
        burst = max(unit, rate * self._burst)
        return tokens if tokens >= burst else min(burst, tokens + rate * (now - then))

    def use(self, amount: float, now: float, unit: float) -> None:
        """
        Units leave.

        @param unit: as of L{available}.
        """
        if self._tokensAt is None:
            self.start(now)
        self._tokens = self.available(now, unit) - amount
        self._tokensAt = now
        if self._lastUsed is not None and now - self._lastUsed > IDLE and not self.isStarting:
            self.rate = self._bounded(self.rate / 2)
        self._lastUsed = now
        self._used += amount

    # --- What came of it ------------------------------------------------------------------

    def answered(
        self, amount: float, *, isReject: bool, sentAt: float, now: float, roundTrip: float
    ) -> bool:
        """
        A packet was answered.

        @param amount: how much of it came through, or would have but for the limit.
        @param isReject: whether by the limit that this level is to find.
        @param roundTrip: seconds, smoothed.
        @return: whether a round has ended.
        """
        start = self._roundStart
        if start is None:
            return False
        isFresh = sentAt >= self.fellAt
        if self._isWaiting:
            # A node half way rejects sooner than the peer answers: at first rejects come alone.
            if not isFresh or now < self.fellAt + roundTrip:
                return False
            self._isWaiting = False
            self._startRound(now)
        if isReject:
            if isFresh and not self._isJudging:
                self._fall(now)
                return True
            self._rejects += 1
        else:
            self._passed += amount
        if not isFresh:
            self._staleAt = now
        self._answers = answers = self._answers + 1
        isHopeless = self._isJudging and not self._passed and answers >= HOPELESS
        if answers < MINIMUM_ANSWERS and not isHopeless:
            return False
        elapsed = now - start
        if elapsed < roundTrip or elapsed < SHORTEST_ROUND:
            return False
        if self._isJudging:
            if isFresh:
                if self.isStarting:  # what left after the fall was held back for a while
                    elapsed = max(self._staleAt - start, roundTrip / 2, SHORTEST_ROUND)
                self._judge(elapsed, now)
            return isFresh
        self._endRound(elapsed, now)
        return True

    def _endRound(self, elapsed: float, now: float) -> None:
        """A round is over in which no cut was made."""
        isUsed = self._used >= 0.8 * self.rate * self.speed * elapsed
        if isUsed and self._passed and not self._rejects:
            self._rise(elapsed, now)
        self._startRound(now)

    def lower(self, rate: float, now: float) -> None:
        """Fall to a level for a reason of the caller's own."""
        self.isStarting = False
        self.rate = self._bounded(rate)
        self.fellAt = self._calmSince = now
        self._isJudging = self._isWaiting = False
        self._startRound(now)

    def restart(self, rate: float, now: float) -> None:
        """Begin again from a level, as at the start: nobody knows what the path is now."""
        self.lower(rate, now)
        self.isStarting = True

    def restore(self, rate: float) -> None:
        """Go back to a level: falling below it was a mistake."""
        self.rate = self._bounded(rate)

    def disturb(self, now: float) -> None:
        """There is a reason not to rise faster, though none to fall."""
        self._calmSince = max(now, self._calmSince)

    def _fall(self, now: float) -> None:
        """Make a small cut at once, and begin to look what else comes."""
        self._wasAt = self.rate
        if self.isStarting:
            self.rate = self._bounded(self.rate / 2)
        else:
            self.rate = self._bounded(self.rate - self._rule.cut(self.rate))
        self.fellAt = self._calmSince = now
        self._isJudging = True
        self._isWaiting = not self.isStarting
        self._startRound(now)

    def _judge(self, elapsed: float, now: float) -> None:
        """A round of answers after a fall is in."""
        self._isJudging = False
        if self._rejects > MANY * self._answers or self.isStarting:
            if self._passed:
                self.isStarting = False
                came = CAUTION * self._passed / elapsed / self.speed
                self.rate = self._bounded(min(self._wasAt, came))
            else:
                # Nothing at all came through: look for what does, from far below.
                self.isStarting = True
                self.rate = self._bounded(self.rate / 2)
            self.fellAt = self._calmSince = now
        self._startRound(now)

    def _startRound(self, now: float) -> None:
        self._roundStart = now
        self._answers = self._rejects = 0
        self._used = self._passed = 0.0

    def _bounded(self, rate: float) -> float:
        return min(self._most, max(self._least, rate))

    def _rise(self, elapsed: float, now: float) -> None:
        rate = self.rate
        if self.isStarting:
            self.rate = self._bounded(rate * 2)
            return
        step = self._rule.step(rate)
        calm = now - self._calmSince - CALM * self._rule.cut(rate) / step
        if calm > 0:
            step = min(FASTEST * rate, step * 2.0 ** min(60.0, DOUBLINGS_PER_SECOND * calm))
        self.rate = self._bounded(rate + step * elapsed)
