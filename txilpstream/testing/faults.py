"""
Hops that do wrong: they lose, reject, repeat, change and mix up.

One fault is one class; which packet is hit is left to the path's own chance.
"""

from __future__ import annotations

from collections.abc import Callable

from txilpstream.amounts import clamp
from txilpstream.errors import checkSeconds
from txilpstream.testing.hop import Direction, Gone, Hop, Side, Transit, checkProbability
from txilpstream.wire.ilp import Fulfill, Reject, encodeReject

__all__ = ["Duplicate", "Loss", "RejectWith", "SwapReplies", "TamperAmount", "TamperData"]


class _BothWays(Hop):
    """A fault of Prepares and of replies."""

    def __init__(
        self, probability: float, replies: float | None = None, *, direction: Direction = "both"
    ) -> None:
        """
        @param probability: of the fault in a Prepare, 0 to 1.
        @param replies: the same in a reply; None for as much.
        @raise LocalError: if one is no probability.
        """
        super().__init__(direction=direction)
        self._prepares = checkProbability("probability", probability)
        self._replies = self._prepares if replies is None else checkProbability("replies", replies)


class Loss(_BothWays):
    """Prepares and replies vanish: the sender never hears, unless an L{Expiry} tells it."""

    def receivePrepare(self, packet: Transit) -> Gone | None:
        """Lose some Prepares."""
        return Gone.LOST if self.path.random.random() < self._prepares else None

    def receiveReply(self, packet: Transit) -> Gone | None:
        """Lose some replies."""
        return Gone.LOST if self.path.random.random() < self._replies else None


class RejectWith(Hop):
    """Some packets are rejected for no reason."""

    def __init__(
        self,
        code: str,
        probability: float,
        message: str = "",
        data: bytes = b"",
        *,
        direction: Direction = "both",
    ) -> None:
        """
        @param code: three letters or digits, such as C{"T00"}.
        @param probability: of a Prepare to be rejected, 0 to 1.
        @param message: of the Reject; its code's name in RFC 27 if it is empty.
        @param data: of the Reject.
        @raise LocalError: if one is out of its limits.
        """
        super().__init__(direction=direction)
        encodeReject(code, "", message, data)
        self._code = code
        self._probability = checkProbability("probability", probability)
        self._message = message
        self._data = data

    def receivePrepare(self, packet: Transit) -> Reject | None:
        """Reject some."""
        if self.path.random.random() < self._probability:
            return self.reject(self._code, self._message, self._data)
        return None


class Duplicate(Hop):
    """
    Some Prepares go on twice; the sender gets the first of the two replies.

    The receiver is given both, and the path pays for each.
    """

    def __init__(self, probability: float, *, direction: Direction = "both") -> None:
        """
        @param probability: of a Prepare to be doubled, 0 to 1.
        @raise LocalError: if it is no probability.
        """
        super().__init__(direction=direction)
        self._probability = checkProbability("probability", probability)

    def receivePrepare(self, packet: Transit) -> None:
        """Double some."""
        if self.path.random.random() < self._probability:
            # What both of the pair hold: whether a reply to either has come by.
            packet.notes[self] = [False]
            self.path.sendOn(self, packet.copy())

    def receiveReply(self, packet: Transit) -> Gone | None:
        """Drop the second reply of a pair."""
        seen = packet.notes.get(self)
        if seen is None:
            return None
        if seen[0]:
            return Gone.DROPPED
        seen[0] = True
        return None


class TamperAmount(Hop):
    """Some Prepares are forwarded with another amount than they should be."""

    def __init__(
        self, probability: float, change: Callable[[int], int], *, direction: Direction = "both"
    ) -> None:
        """
        @param probability: of a Prepare to be changed, 0 to 1.
        @param change: from the amount to another, such as C{Ratio(1, 2).floor}; the result is
            brought into 64 bits.
        @raise LocalError: if the first is no probability.
        """
        super().__init__(direction=direction)
        self._probability = checkProbability("probability", probability)
        self._change = change

    def receivePrepare(self, packet: Transit) -> None:
        """Change some amounts."""
        if self.path.random.random() < self._probability:
            packet.prepare.amount = clamp(self._change(packet.prepare.amount))


class TamperData(_BothWays):
    """In some packets one byte of data is not what it was; those without data pass."""

    def receivePrepare(self, packet: Transit) -> None:
        """Change the data of some Prepares."""
        if self.path.random.random() < self._prepares:
            packet.prepare.data = self._flip(packet.prepare.data)

    def receiveReply(self, packet: Transit) -> None:
        """Change the data of some replies."""
        if self.path.random.random() < self._replies:
            reply = packet.reply
            data = self._flip(reply.data)
            if isinstance(reply, Fulfill):
                packet.reply = Fulfill(reply.fulfillment, data)
            else:
                packet.reply = Reject(reply.code, reply.triggeredBy, reply.message, data)

    def _flip(self, data: bytes) -> bytes:
        if not data:
            return data
        at = self.path.random.randrange(len(data))
        flipped = data[at] ^ self.path.random.randrange(1, 256)
        return b"%b%c%b" % (data[:at], flipped, data[at + 1 :])


class SwapReplies(Hop):
    """
    Some replies are exchanged with the next one that goes the same way.

    The first of the two is held for a while, and then goes on with the reply of the second that
    came by meanwhile, or with its own if none did.
    """

    def __init__(
        self, probability: float, seconds: float = 0.1, *, direction: Direction = "both"
    ) -> None:
        """
        @param probability: of a reply to be held for a swap, 0 to 1.
        @param seconds: for how long.
        @raise LocalError: if one is out of its limits.
        """
        super().__init__(direction=direction)
        self._probability = checkProbability("probability", probability)
        self._seconds = checkSeconds("seconds", seconds)
        self._held: dict[Side, tuple[float, Transit]] = {}

    def receiveReply(self, packet: Transit) -> float | None:
        """Swap with the reply that is held, or hold this one for the next."""
        until, held = self._held.pop(packet.side, (float("-inf"), packet))
        if self.path.now < until:
            packet.reply, held.reply = held.reply, packet.reply
            return None
        if self.path.random.random() < self._probability:
            self._held[packet.side] = self.path.now + self._seconds, packet
            return self._seconds
        return None

    def reset(self) -> None:
        """Hold nothing."""
        self._held.clear()
