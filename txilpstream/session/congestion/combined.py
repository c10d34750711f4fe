"""
The controls that are used unless others are given: packet amount, liquidity and pacing, joined.

A packet leaves when pacing allows one more packet and liquidity allows its amount, which is the
least of what the packet limit and the liquidity of this moment allow. Each of the three hears only
what is evidence of its own limit: F08 goes to the largest packet, T04 to liquidity; T05, T03 and
what may be a sign of too many packets go to pacing. For pacing, a reject that is evidence of
another limit is a packet that came back in good time. What was rejected: one control for everything
that goes wrong, as TCP has; it makes packets few because they are too large, and small because they
are many.
"""

from __future__ import annotations

from collections.abc import Callable

from txilpstream.session.congestion.liquidity import Liquidity
from txilpstream.session.congestion.maxpacket import MaxPacket
from txilpstream.session.congestion.pacing import Pacing
from txilpstream.wire.ilp import isTemporary

__all__ = ["JointControl"]


class JointControl:
    """
    The default congestion control, see L{ICongestionControl
    <txilpstream.session.congestion.interface.ICongestionControl>}.

    @ivar maxPacket: the path's largest packet.
    @ivar liquidity: how much money it takes.
    @ivar pacing: how many packets per second, and its round-trip time.
    @ivar isAllowed: pacing's own answer, without a call in between.
    @ivar readyAt: the same.
    """

    __slots__ = ("isAllowed", "liquidity", "maxPacket", "pacing", "readyAt")

    def __init__(self, maximumPacketAmount: int, maximumPacketsPerSecond: float) -> None:
        """
        @param maximumPacketAmount: source units in one packet.
        @param maximumPacketsPerSecond: of any kind.
        """
        self.maxPacket = MaxPacket(maximumPacketAmount)
        self.liquidity = Liquidity()
        self.pacing = Pacing(maximumPacketsPerSecond)
        self.isAllowed: Callable[[float], bool] = self.pacing.isAllowed
        self.readyAt: Callable[[], float] = self.pacing.readyAt

    @property
    def roundTrip(self) -> float | None:
        """Smoothed, in seconds; None until measured."""
        return self.pacing.roundTrip

    @property
    def packetRate(self) -> float:
        """Packets per second that may leave."""
        return self.pacing.rate.rate

    @property
    def moneyRate(self) -> float | None:
        """Source units that may be in flight, None if there is no limit."""
        level = self.liquidity.level
        return None if level is None else level.rate

    # --- Asked before a packet leaves -----------------------------------------------------

    def mostPerPacket(self, smallest: int) -> int:
        """What a packet may carry for now."""
        return self.liquidity.part(self.maxPacket.limit, smallest)

    def mostNow(self, smallest: int, inFlight: int, now: float) -> int:
        """What a packet may carry at this moment, 0 for nothing."""
        limit = self.maxPacket.limit
        liquidity = self.liquidity
        return liquidity.most(limit, smallest, inFlight, now) if liquidity.level else limit

    def moneyReadyAt(self, smallest: int, inFlight: int) -> float:
        """When more may leave, if that depends on time alone."""
        return self.liquidity.readyAt(self.maxPacket.limit, smallest, inFlight)

    def larger(self, now: float) -> int | None:
        """An amount beyond the packet limit to try once, if liquidity has so much in one part."""
        maxPacket = self.maxPacket
        if maxPacket.raiseAt is None or now < maxPacket.raiseAt:
            return None
        amount = maxPacket.larger(now)
        return amount if amount is not None and self.liquidity.part(amount, 1) == amount else None

    # --- Told what happened ---------------------------------------------------------------

    def sent(self, amount: int, now: float) -> None:
        """A packet leaves."""
        self.pacing.sent(now)
        if amount:
            if self.liquidity.level is not None:
                self.liquidity.sent(amount, self.maxPacket.limit, now)
            maxPacket = self.maxPacket
            if maxPacket.isSearching:
                maxPacket.sent(amount)
            elif amount > maxPacket.limit:
                maxPacket.tried(now)

    def took(self, amount: int, sentAt: float, now: float) -> None:
        """The whole path took a packet's money."""
        self.maxPacket.passed(amount)
        if self.liquidity.level is not None:
            pacing = self.pacing
            self.liquidity.passed(
                amount,
                sentAt=sentAt,
                now=now,
                roundTrip=pacing.roundTrip or 0.0,
                packetRate=pacing.rate.rate,
            )

    def answered(self, sentAt: float, now: float) -> bool:
        """The peer itself answered in time."""
        pacing = self.pacing
        pacing.measured(now - sentAt)
        return pacing.answered(sentAt=sentAt, now=now)

    def rejected(
        self,
        amount: int,
        code: str,
        data: bytes,
        *,
        smallest: int,
        inFlight: int,
        sentAt: float,
        now: float,
    ) -> bool:
        """A node on the path rejected a packet in time."""
        pacing = self.pacing
        if amount and code == "F08":
            pacing.answered(sentAt=sentAt, now=now)
            return self.maxPacket.refused(amount, data, now=now)
        self.maxPacket.untried(amount)
        if amount and code == "T04":
            pacing.answered(sentAt=sentAt, now=now)
            liquidity = self.liquidity
            liquidity.refused(
                amount, inFlight=inFlight, sentAt=sentAt, now=now, roundTrip=pacing.roundTrip or 0.0
            )
            return liquidity.hasMoreThan(smallest)
        if code == "T01":  # who is to take it cannot be reached, at any rate
            return False
        isLimited = code in ("T05", "T03")
        isLost = isTemporary(code) and not isLimited
        pacing.answered(sentAt=sentAt, now=now, isLimited=isLimited, isLost=isLost)
        return False

    def lost(self, amount: int, sentAt: float, now: float) -> None:
        """Nobody answered a packet in time."""
        self.maxPacket.untried(amount)
        self.pacing.answered(sentAt=sentAt, now=now, isLost=True)

    def pathChanged(self, now: float) -> None:
        """The path may be another: try a larger packet at once."""
        self.maxPacket.pathChanged(now)
