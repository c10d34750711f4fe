"""
Hops that say no: to packets too large, too much money, too many packets and too little time.

One limit is one class. Amounts are in the units of the place where the hop stands:
after a rate on the way there, they are what the rate made of them.
"""

from __future__ import annotations

from itertools import count

from txilpstream.amounts import checkAmount
from txilpstream.errors import LocalError, checkSeconds
from txilpstream.testing.hop import Direction, Gone, Hop, Transit
from txilpstream.wire.ilp import Reject, encodeAmountTooLarge

__all__ = ["Expiry", "LiquidityBucket", "MaximumPacketAmount", "MoneyInFlight", "PacketRate"]

_SOON = 0.001
"""Seconds: a packet that expires so soon is taken as expired; times are in milliseconds."""


class MaximumPacketAmount(Hop):
    """The largest packet: F08 for more."""

    def __init__(
        self, amount: int, withAmounts: bool = True, *, direction: Direction = "both"
    ) -> None:
        """
        @param amount: units per packet that still pass.
        @param withAmounts: whether the Reject says what was received and what passes.
        @raise LocalError: if the amount is none.
        """
        super().__init__(direction=direction)
        self.amount = checkAmount("amount", amount)
        self.withAmounts = withAmounts

    def receivePrepare(self, packet: Transit) -> Reject | None:
        """Reject what is too large."""
        amount = packet.prepare.amount
        if amount <= self.amount:
            return None
        return self.reject(
            "F08", "", encodeAmountTooLarge(amount, self.amount) if self.withAmounts else b""
        )


class _Bucket:
    """A token bucket, full at first."""

    def __init__(self, capacity: float, perSecond: float) -> None:
        if not (capacity > 0 and perSecond >= 0):
            raise LocalError(
                f"a bucket of {capacity!r} with {perSecond!r} more per second is not possible: "
                "the first must be more than 0, the second not less"
            )
        self.capacity = capacity
        self.perSecond = perSecond
        self._tokens = capacity
        self._filledAt = float("inf")

    def take(self, tokens: float, now: float) -> bool:
        """Take tokens if there are enough."""
        elapsed = now - self._filledAt
        if elapsed > 0:
            self._tokens = min(self.capacity, self._tokens + elapsed * self.perSecond)
        self._filledAt = now
        if tokens > self._tokens:
            return False
        self._tokens -= tokens
        return True

    def putBack(self, tokens: float) -> None:
        """Give tokens back, as far as they fit."""
        self._tokens = min(self.capacity, self._tokens + tokens)


class LiquidityBucket(Hop):
    """Money per time: T04 while the bucket does not hold the packet's amount."""

    def __init__(self, capacity: int, perSecond: int, *, direction: Direction = "both") -> None:
        """
        @param capacity: units in the full bucket, which it is at first; no larger packet passes.
        @param perSecond: units that it gains per second.
        @raise LocalError: if the capacity is not more than 0, or the other less.
        """
        super().__init__(direction=direction)
        self._bucket = _Bucket(capacity, perSecond)

    def receivePrepare(self, packet: Transit) -> Reject | None:
        """Take the amount from the bucket."""
        amount = packet.prepare.amount
        if not self._bucket.take(amount, self.path.now):
            return self.reject("T04")
        packet.notes[self] = amount
        return None

    def receiveReply(self, packet: Transit) -> None:
        """Give back what was rejected further on."""
        if isinstance(packet.reply, Reject):
            self._bucket.putBack(packet.notes[self])


class MoneyInFlight(Hop):
    """
    Money that is held and not settled: T04 beyond the limit.

    It is free again when the reply comes by, or once the packet has expired.
    """

    def __init__(self, limit: int, *, direction: Direction = "both") -> None:
        """
        @param limit: units in flight, of both sides together unless the direction is one.
        @raise LocalError: if the limit is no amount.
        """
        super().__init__(direction=direction)
        self.limit = checkAmount("limit", limit)
        self._inFlight = 0
        self._held: dict[int, tuple[int, Transit]] = {}
        self._keys = count()

    def receivePrepare(self, packet: Transit) -> Reject | None:
        """Hold the amount."""
        amount = packet.prepare.amount
        if amount == 0:
            return None
        if self._inFlight + amount > self.limit:
            self._releaseExpired()
            if self._inFlight + amount > self.limit:
                return self.reject("T04")
        self._inFlight += amount
        key = next(self._keys)
        packet.notes[self] = key
        self._held[key] = amount, packet
        return None

    def receiveReply(self, packet: Transit) -> None:
        """Release the amount."""
        self._release(packet.notes.get(self, -1))

    def reset(self) -> None:
        """Release everything."""
        self._held.clear()
        self._inFlight = 0

    def _release(self, key: int) -> None:
        held = self._held.pop(key, None)
        if held is not None:
            self._inFlight -= held[0]

    def _releaseExpired(self) -> None:
        now = self.path.wallTime()
        for key, (_, packet) in list(self._held.items()):
            if packet.prepare.expiresAt <= now:
                self._release(key)


class PacketRate(Hop):
    """Packets per time: a Reject, T05 unless told otherwise, for those beyond."""

    def __init__(
        self,
        perSecond: float,
        burst: float = 1,
        code: str = "T05",
        *,
        direction: Direction = "both",
    ) -> None:
        """
        @param perSecond: packets per second in the long run.
        @param burst: packets that pass at once after a pause, and at first; 1 or more.
        @param code: of the Reject.
        @raise LocalError: if one is out of its limits.
        """
        super().__init__(direction=direction)
        if burst < 1:
            raise LocalError(f"burst is {burst!r}: it must be 1 packet or more")
        self._bucket = _Bucket(burst, perSecond)
        self._code = code

    def receivePrepare(self, packet: Transit) -> Reject | None:
        """Count a packet."""
        return None if self._bucket.take(1, self.path.now) else self.reject(self._code)


class Expiry(Hop):
    """
    A connector that keeps to the time a packet has, by the wall clock.

    R02 for a packet with too little of it left, R00 when it has expired without an answer; an
    answer that comes later is dropped here.
    """

    def __init__(self, minimumSeconds: float = 1.0, *, direction: Direction = "both") -> None:
        """
        @param minimumSeconds: what a packet must have left to pass.
        @raise LocalError: if it is negative.
        """
        super().__init__(direction=direction)
        self._minimum = checkSeconds("minimumSeconds", minimumSeconds)
        self._waiting: dict[int, tuple[float, Transit]] = {}
        self._keys = count()
        self._sweepAt = float("inf")

    def receivePrepare(self, packet: Transit) -> Reject | None:
        """Note when the packet expires."""
        expiresAt = packet.prepare.expiresAt
        remaining = expiresAt - self.path.wallTime()
        if remaining < self._minimum or remaining <= _SOON:
            return self.reject("R02")
        key = next(self._keys)
        packet.notes[self] = key
        self._waiting[key] = expiresAt, packet
        if expiresAt < self._sweepAt:
            self._sweepAt = expiresAt
            self.path.schedule(remaining, self._sweep, expiresAt)
        return None

    def receiveReply(self, packet: Transit) -> Gone | None:
        """Let a reply pass that comes in time."""
        return Gone.DROPPED if self._waiting.pop(packet.notes[self], None) is None else None

    def reset(self) -> None:
        """Wait for nothing."""
        self._waiting.clear()
        self._sweepAt = float("inf")

    def _sweep(self, sweepAt: float) -> None:
        """Reject what has expired; the next of these is when the next packet may expire."""
        if sweepAt != self._sweepAt:
            return
        now = self.path.wallTime()
        expired = [key for key, entry in self._waiting.items() if entry[0] <= now + _SOON]
        for key in expired:
            _, packet = self._waiting.pop(key)
            self.path.sendBack(self, packet, self.reject("R00"))
        self._sweepAt = min((entry[0] for entry in self._waiting.values()), default=float("inf"))
        if self._waiting:
            self.path.schedule(self._sweepAt - now, self._sweep, self._sweepAt)
