"""
How much money is in flight, and leaves per second.

The evidence is T04 alone. Until the first one there is no limit. Then there is a window: source
units in flight, which move by the rule of C{adaptiverate}; and units leave hardly faster than one
window per round trip. So one level finds both kinds of path that answer T04: those that take so
much money per second, and those that hold no more than so much at once. A rate without a window was
rejected: where the limit is on money in flight, two packets that leave a moment too early are one
reject.

A window is made of equal parts, as many as the packet limit asks for, and some at least. So a
packet that is too large for the moment becomes smaller with the window, and larger with it again;
no remainder of the window is left unused; and what is free of a window is sent if it is at least
half a part. What was rejected: shrinking packets on every T04, which ends at packets of a few units
(ilp-protocol-stream#42), and halving the packet that is alone in flight, which leaves a third of a
path unused that holds one packet and a half.

Money has no natural unit as packets have, so cut and step are in proportion to the window.
"""

from __future__ import annotations

from math import ceil, inf
from typing import Final

from txilpstream.session.congestion.adaptiverate import AdaptiveRate, Rule

__all__ = ["Liquidity"]

CUT: Final = 0.01
"""The part of the window that a reject takes away: what a path cannot store is lost meanwhile."""

STEP: Final = 0.008
"""The part of the window that is added per second: a second and a quarter make up for a cut."""

LIQUIDITY_RULE: Final = Rule(step=lambda window: STEP * window, cut=lambda window: CUT * window)

LEAST_PARTS: Final = 4
"""Packets that a window is made of at least: one reject then says little of all the others."""

PARTS: Final = 50.0
"""
Packets that it is made of if the next constant allows it: a node half way holds some of them, and
what is left of its limit beside whole packets is unused.
"""

PARTS_PER_SECOND: Final = 500.0
"""Packets per second that smaller parts lead to at most, where packets are not large anyway."""

PACKET_SHARE: Final = 0.8
"""
The part of the packet rate that parts may need: smaller packets must not be too many for the path.
"""

GAIN: Final = 1.01
"""Windows per round trip that leave at most: a little more than one, so that it is the answers
that set the pace, yet what was sent in a burst does not stay one."""

SHORTEST: Final = 0.005
"""Seconds that count as a round trip at least."""


class Liquidity:
    """
    The money window of one direction of a connection.

    @ivar level: the window in source units and its rule; None while there is no limit.
    """

    __slots__ = ("_parts", "level")

    def __init__(self) -> None:
        self.level: AdaptiveRate | None = None
        self._parts = LEAST_PARTS

    def part(self, limit: int, smallest: int) -> int:
        """
        What one packet may carry for now, in source units.

        @param limit: the path's largest packet.
        @param smallest: the smallest amount that is of use.
        """
        level = self.level
        if level is None:
            return limit
        window = level.rate
        return min(limit, max(smallest, int(window / max(self._parts, ceil(window / limit)))))

    def most(self, limit: int, smallest: int, inFlight: int, now: float) -> int:
        """
        What one packet may carry at this moment, in source units; 0 if none may leave.

        @param inFlight: source units that are under way.
        """
        level = self.level
        if level is None:
            return limit
        part = self._free(level, limit, smallest, inFlight)
        return part if part and level.has(part, now) else 0

    def readyAt(self, limit: int, smallest: int, inFlight: int) -> float:
        """When L{most} gives more than 0 by itself; infinity if it takes an answer."""
        level = self.level
        if level is None:
            return -inf
        part = self._free(level, limit, smallest, inFlight)
        return level.readyAt(part) if part else inf

    def _free(self, level: AdaptiveRate, limit: int, smallest: int, inFlight: int) -> int:
        """What one packet may carry as far as the window goes; 0 if it is full."""
        part = self.part(limit, smallest)
        if inFlight:
            room = int(level.rate) - inFlight
            if room < part:
                return 0 if 2 * room < part or room < smallest else room
        return part

    def hasMoreThan(self, amount: int) -> bool:
        """Whether the window is larger than so much: there is something left to take away."""
        return self.level is None or self.level.rate > amount

    def sent(self, amount: int, limit: int, now: float) -> None:
        """
        Money leaves.

        @param limit: as of L{part}.
        """
        if self.level is not None:
            self.level.use(amount, now, self.part(limit, amount))

    def passed(
        self, amount: int, *, sentAt: float, now: float, roundTrip: float, packetRate: float
    ) -> None:
        """
        So much came through the path.

        @param packetRate: packets per second that may leave.
        """
        level = self.level
        if level is not None:
            parts = min(PARTS, roundTrip * min(PARTS_PER_SECOND, PACKET_SHARE * packetRate))
            self._parts = max(LEAST_PARTS, int(parts))
            level.speed = GAIN / max(SHORTEST, roundTrip)
            level.answered(amount, isReject=False, sentAt=sentAt, now=now, roundTrip=roundTrip)

    def refused(
        self, amount: int, *, inFlight: int, sentAt: float, now: float, roundTrip: float
    ) -> None:
        """
        A packet of this amount was answered T04.

        @param inFlight: source units that are under way, without it.
        """
        level = self.level
        if level is None:
            level = self.level = AdaptiveRate(
                inFlight + amount, LIQUIDITY_RULE, least=1.0, most=2.0**64, tokens=amount
            )
            level.speed = GAIN / max(SHORTEST, roundTrip)
            level.start(now)
        level.answered(amount, isReject=True, sentAt=sentAt, now=now, roundTrip=roundTrip)
