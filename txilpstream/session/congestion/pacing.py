"""
How many packets per second leave.

The evidence is T05 and T03, which say so, and T00, other temporary codes and packets without an
answer, which may. The first kind goes to the rule of C{adaptiverate} as it is.

The second kind counts only as far as lowering the rate lowers its share: a path that drops one
packet in twenty at any rate is not congested, one that answers T00 above its capacity is. So the
share is watched in stretches of answers; what it is when the rate makes no difference is the base.
A stretch with clearly more than the base lowers the rate to what came through, and the next stretch
says whether that helped. If the share is still more than half of what it was, that is done once
more, for the first stretch may have seen several rates; and if it has not helped then, the share is
the base from now on, and the rate is what it was. Where a whole stretch is lost the path is down,
and no share can be told: it begins again as at the start, so that it is soon as fast as it was.

What was rejected: halving on every loss, which left 3 % of the throughput on a path that drops 1 %
(tried); and a share for each level of the rate, which says nothing about a level that is visited
for the first time.
"""

from __future__ import annotations

from math import sqrt
from typing import Final

from txilpstream.session.congestion.adaptiverate import AdaptiveRate, Rule

__all__ = ["INITIAL_RATE", "Pacing"]

INITIAL_RATE: Final = 100.0
"""Packets per second to begin with."""

INITIAL_BURST: Final = 10.0
"""Packets that may leave at once in the beginning: a small payment needs no more."""

BURST: Final = 0.01
"""Seconds of the rate that may leave at once: timers are no finer on a busy machine."""

UNEVEN: Final = 0.125
"""
The part by which the time between two packets is shorter or longer by chance. Where two senders
are perfectly even, it is always the same one whose packets come when the path is full (tried: at
equal rates one of them was pushed to a third).
"""

SMOOTHING: Final = 0.125
"""The part of a new round-trip time in the smoothed one."""

STEP: Final = 0.4
"""
The rate rises by this times its root, in packets per second and second: 5 at 167 packets per
second, which is Rafiki's limit.
"""

CUT: Final = 0.8
"""
The rate falls by this times its root, in packets per second: 10 at 167. So it takes two seconds to
make up for a cut, and a few hundred packets pass between two rejects. A smaller part of a larger
rate would be better for one sender alone, but then shares come together too slowly (tried: two
connections wandered between half and three fifths).
"""

HIGH_CUT: Final = 2.83
"""
It falls by no more than this times its fourth root, which is less beyond 157 packets per second: a
bucket of ten packets (cut * cut / step / 2) then loses nothing while a cut is made up for.
"""

LARGEST_CUT: Final = 0.1
"""
The part of the rate that a cut takes away at most. It holds below 64 packets per second, where
several connections share little, and larger cuts would keep their shares far apart by chance.
"""

PACING_RULE: Final = Rule(
    step=lambda rate: STEP * sqrt(rate),
    cut=lambda rate: min(LARGEST_CUT * rate, CUT * sqrt(rate), HIGH_CUT * sqrt(sqrt(rate))),
)

STRETCH: Final = 40
"""Answers in a stretch, at least."""

LONG_STRETCH: Final = 100
"""The same where many are lost at any rate: the more, the less a few of them mean."""

ENOUGH_LOSSES: Final = 6
"""Losses that end a stretch: fewer may be chance ..."""

LONGEST_STRETCH: Final = 200
"""... unless so many answers came with them."""

MARGIN: Final = 0.03
"""The part of losses beyond the base that is put up with."""

STARTING_MARGIN: Final = 0.25
"""
The same while the rate doubles: a path that answers T00 above its capacity comes to more in the
second round above it, and a stretch is short then.
"""

HELPFUL: Final = 0.5
"""If the share falls to less than this part of what it was, lowering the rate has helped."""

HARMFUL: Final = 1.5
"""If it rises to more than this part, what was lost at first was not known well: lower again."""

OUTAGE: Final = 10
"""So many losses in a row at the beginning of a stretch say nothing of what comes after."""

LARGEST_BASE: Final = 0.5
"""A path that loses more than this part is taken as congested whatever helps."""

EXPERIMENT: Final = 0.98
"""The rate becomes this part of what came through, when it is lowered to see whether it helps."""

RECHECK: Final = 30.0
"""Seconds after which a base above the margin is doubted."""


class _Losses:
    """
    The share of losses, watched in stretches.

    @ivar base: the share that does not depend on the rate, as far as is known.
    """

    __slots__ = (
        "_answers",
        "_isConfirmed",
        "_lost",
        "_rateBefore",
        "_shareBefore",
        "_since",
        "_triedAt",
        "base",
    )

    def __init__(self) -> None:
        self.base = 0.0
        self._answers = 0
        self._lost = 0
        self._since = 0.0
        self._rateBefore = 0.0
        self._shareBefore = 0.0
        self._triedAt = 0.0
        self._isConfirmed = False

    def add(self, rate: AdaptiveRate, isLost: bool, now: float, roundTrip: float) -> None:
        """A packet that left since the last fall was answered, or was not."""
        if not isLost and self._lost == self._answers >= OUTAGE:
            self._answers = self._lost = 0  # the path was down, and is not any more
        if not self._answers:
            self._since = now
        self._answers = answers = self._answers + 1
        self._lost += isLost
        least = LONG_STRETCH if self.base > MARGIN else STRETCH
        if (
            answers >= least
            and (answers >= LONGEST_STRETCH or self._lost >= ENOUGH_LOSSES)
            and now - self._since >= roundTrip
        ):
            self._end(rate, self._lost / answers, answers, now)

    def _end(self, rate: AdaptiveRate, share: float, answers: int, now: float) -> None:
        self._answers = self._lost = 0
        if share == 1.0:
            self._rateBefore = 0.0
            rate.restart(min(INITIAL_RATE, rate.rate / 2), now)
            return
        before = self._rateBefore
        if before:
            self._rateBefore = 0.0
            least, most = HELPFUL * self._shareBefore, HARMFUL * self._shareBefore
            if share <= least:
                return
            if share <= min(LARGEST_BASE, most):
                if self._isConfirmed:
                    self.base = share
                    rate.restore(before)
                    return
                self._isConfirmed = True
                self._lower(rate, before, share, now)
                return
        base = self.base
        if rate.isStarting:
            if share <= base + STARTING_MARGIN:
                self.base = share if not base else (base + share) / 2
                return
        else:
            spread = sqrt(base * (1 - base) / answers)
            isDoubtful = base > MARGIN and now - self._triedAt > RECHECK
            if share <= base + MARGIN + 2 * spread and not isDoubtful:
                if share > base + MARGIN / 3 + spread:
                    rate.disturb(now)
                elif share < base:
                    self.base = (base + share) / 2
                return
        self._isConfirmed = False
        self._lower(rate, rate.rate, share, now)

    def _lower(self, rate: AdaptiveRate, before: float, share: float, now: float) -> None:
        """Lower the rate to what came through, and remember where to go back to."""
        self._rateBefore, self._shareBefore, self._triedAt = before, share, now
        rate.lower(EXPERIMENT * rate.rate * (1 - share), now)


class Pacing:
    """
    The packet rate of one direction of a connection.

    @ivar rate: the rule's state, in packets per second.
    @ivar roundTrip: smoothed, in seconds; None until measured.
    """

    __slots__ = ("_losses", "_noise", "rate", "roundTrip")

    def __init__(self, most: float) -> None:
        """
        @param most: the caller's limit in packets per second.
        """
        self.rate = AdaptiveRate(
            INITIAL_RATE, PACING_RULE, least=1.0, most=most, tokens=INITIAL_BURST, burst=BURST
        )
        self.roundTrip: float | None = None
        self._losses: _Losses | None = None
        self._noise = 0

    def isAllowed(self, now: float) -> bool:
        """Whether one more packet may leave now."""
        return self.rate.has(1.0, now)

    def readyAt(self) -> float:
        """When the next packet may leave."""
        return self.rate.readyAt(1.0)

    def sent(self, now: float) -> None:
        """A packet leaves."""
        rate = self.rate
        if rate.isStarting:
            rate.use(1.0, now, 1.0)
            return
        # A linear congruential generator; whatever moment it begins with will do.
        noise = self._noise or int(now * 1e6)
        self._noise = noise = (noise * 1103515245 + 12345) & 0x7FFFFFFF
        rate.use(1.0 + UNEVEN * (noise / 0x40000000 - 1.0), now, 1.0)

    def measured(self, seconds: float) -> None:
        """A packet was answered by the peer itself after so many seconds."""
        old = self.roundTrip
        self.roundTrip = seconds if old is None else old + SMOOTHING * (seconds - old)

    def answered(
        self, *, sentAt: float, now: float, isLimited: bool = False, isLost: bool = False
    ) -> bool:
        """
        A packet was answered, or will not be.

        @param sentAt: when it left.
        @param isLimited: whether with T05 or T03.
        @param isLost: whether with another temporary code, or not at all.
        @return: whether a round has ended.
        """
        rate, roundTrip = self.rate, self.roundTrip or 0.0
        losses = self._losses
        if isLost and losses is None:
            losses = self._losses = _Losses()
        # A node half way rejects sooner than the peer answers: rejects come alone after a fall.
        if (
            losses is not None
            and not isLimited
            and sentAt >= rate.fellAt
            and now >= rate.fellAt + roundTrip
        ):
            losses.add(rate, isLost, now, roundTrip)
        came = 0.0 if isLost else 1.0
        return rate.answered(came, isReject=isLimited, sentAt=sentAt, now=now, roundTrip=roundTrip)
