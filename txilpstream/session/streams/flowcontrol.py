"""
How many bytes may come: a window that who receives grants and who sends uses up.

The same two classes serve a stream and a whole connection (RFC 29 sections 4.4.4 and 4.5). What was
granted is never taken back. What was rejected: granting more with every byte, which would put a
frame into every packet; a limit is told when half of the window has been consumed since the last.
"""

from __future__ import annotations

from typing import Final

from txilpstream.amounts import U64_MAX

__all__ = [
    "INITIAL_CONNECTION_CREDIT",
    "INITIAL_STREAM_CREDIT",
    "ByteBudget",
    "ReceiveWindow",
    "SendWindow",
]

INITIAL_STREAM_CREDIT: Final = 1 << 14
"""Bytes that a peer takes on a stream before it says so: what ilp-protocol-stream takes."""

INITIAL_CONNECTION_CREDIT: Final = 1 << 16
"""Bytes that a peer takes on all streams before it says so."""


class SendWindow:
    """
    How far the peer lets us send.

    @ivar limit: the peer's last word, as an offset.
    @ivar used: how much was sent, each byte counted once however often it was sent again.
    """

    __slots__ = ("_isTold", "limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._isTold = False

    def hear(self, limit: int) -> bool:
        """
        Take the peer's word; one that does not raise the limit is ignored (RFC 29 4.4.4).

        The first word counts even if it is small: what went before was an assumption.

        @return: whether the limit has changed.
        """
        if self._isTold and limit <= self.limit:
            return False
        isNew = limit != self.limit
        self.limit = limit
        self._isTold = True
        return isNew

    def renew(self, room: int) -> bool:
        """
        The peer counts otherwise than we do: it takes so many bytes more than were sent.

        @return: whether there is room now where there was none.
        """
        if room <= self.room:
            return False
        self.limit = self.used + room
        return True

    @property
    def room(self) -> int:
        """Bytes that may still be sent; never negative."""
        return max(0, self.limit - self.used)


class ReceiveWindow:
    """
    How far we let the peer send.

    @ivar received: the sum of the highest offsets that the peer has reached.
    @ivar consumed: bytes that the application has taken.
    @ivar told: the limit that was told last.
    @ivar encoded: the frame that tells it, as octets: most answers repeat it.
    """

    __slots__ = ("_window", "consumed", "encoded", "received", "told")

    def __init__(self, window: int) -> None:
        self._window = window
        self.received = 0
        self.consumed = 0
        self.told = 0
        self.encoded = b""

    @property
    def limit(self) -> int:
        """The offset that the peer may reach now."""
        return min(self.consumed + self._window, U64_MAX)

    def isDue(self) -> bool:
        """Whether the peer should be told without being asked."""
        return self.limit - self.told >= max(1, self._window // 2)

    def tell(self) -> int:
        """The limit, to be put into a frame."""
        limit = min(self.consumed + self._window, U64_MAX)
        if limit != self.told:
            self.told = limit
            self.encoded = b""
        return limit


class ByteBudget:
    """
    Bytes that all connections of a server together may hold for their applications.

    @ivar limit: how many in all.
    @ivar used: how many are held now.
    """

    __slots__ = ("limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def take(self, count: int) -> bool:
        """Hold so many more; False, and nothing is held, if that would exceed the limit."""
        if self.used + count > self.limit:
            return False
        self.used += count
        return True

    def give(self, count: int) -> None:
        """Hold so many less."""
        self.used -= count
