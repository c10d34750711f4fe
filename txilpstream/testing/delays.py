"""
Hops that take time, and change no packet.
"""

from __future__ import annotations

from txilpstream.errors import checkSeconds
from txilpstream.testing.hop import Direction, Hop, Transit, checkProbability

__all__ = ["Latency", "Reorder"]


class Latency(Hop):
    """Every packet and every reply takes its time; half a round trip."""

    def __init__(
        self, seconds: float, jitter: float = 0.0, *, direction: Direction = "both"
    ) -> None:
        """
        @param seconds: each way.
        @param jitter: seconds; so much more at most, evenly spread. It changes the order of
            packets that are less than this apart.
        @raise LocalError: if one is negative.
        """
        super().__init__(direction=direction)
        self._seconds = checkSeconds("seconds", seconds)
        self._jitter = checkSeconds("jitter", jitter)

    def receivePrepare(self, packet: Transit) -> float | None:
        """Delay a Prepare."""
        return self.receiveReply(packet)

    def receiveReply(self, packet: Transit) -> float | None:
        """Delay a reply."""
        if self._jitter:
            return self._seconds + self.path.random.random() * self._jitter
        return self._seconds or None


class Reorder(Hop):
    """Some are delayed, so that others overtake them."""

    def __init__(
        self,
        probability: float,
        seconds: float,
        *,
        replies: float | None = None,
        direction: Direction = "both",
    ) -> None:
        """
        @param probability: of a Prepare to be delayed, 0 to 1.
        @param seconds: by how much.
        @param replies: the same of a reply; None for as much.
        @raise LocalError: if one is out of its limits.
        """
        super().__init__(direction=direction)
        self._prepares = checkProbability("probability", probability)
        self._replies = self._prepares if replies is None else checkProbability("replies", replies)
        self._seconds = checkSeconds("seconds", seconds)

    def receivePrepare(self, packet: Transit) -> float | None:
        """Delay some Prepares."""
        return self._seconds if self.path.random.random() < self._prepares else None

    def receiveReply(self, packet: Transit) -> float | None:
        """Delay some replies."""
        return self._seconds if self.path.random.random() < self._replies else None
