"""
What is waited for on a connection: its beginning, its end, its rate, and the end of its key.

Whoever asks gets a Deferred of his own; C{telling} fires them. Nothing is sent from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed

from txilpstream.session.events import RateLearned
from txilpstream.session.session import Session

if TYPE_CHECKING:
    from txilpstream.transport.connection import StreamConnection

__all__ = ["Awaited"]


class Awaited:
    """
    The half of a connection that others wait on.

    @ivar session: its state, for reading.
    @ivar opening: who waits for the peer's first answer.
    @ivar closing: who waits for the end.
    @ivar measuring: who waits for the rate.
    @ivar wearing: who waits for the end of the key.
    """

    __slots__ = ("closing", "measuring", "opening", "session", "wearing")

    def __init__(self, session: Session) -> None:
        self.session = session
        self.opening: list[Deferred[StreamConnection]] = []
        self.closing: list[Deferred[None]] = []
        self.measuring: list[Deferred[RateLearned]] = []
        self.wearing: list[Deferred[int]] = []

    def wake(self) -> None:
        """Take a turn soon."""
        raise NotImplementedError("a connection takes turns")

    def whenOpen(self) -> Deferred[StreamConnection]:
        """Fires when the peer has answered; fails if the connection ends before."""
        deferred: Deferred[StreamConnection] = Deferred()
        self.opening.append(deferred)
        self.wake()
        return deferred

    def whenClosed(self) -> Deferred[None]:
        """Fires when the connection is over."""
        if self.session.isClosed:
            self.wake()
            return succeed(None)
        deferred: Deferred[None] = Deferred()
        self.closing.append(deferred)
        return deferred

    def whenWorn(self) -> Deferred[int]:
        """
        Fires when this end has encrypted nine tenths of the packets that the key may encrypt,
        answers included (RFC 29 section 5.1.3: 2^31). It is time for another connection, with new
        credentials: this one opens no more streams, ends when those that it has are over, and
        closes them when a hundredth is left.

        @return: fires with the number of packets that are left; never if the connection ends
            before.
        """
        if self.session.isWorn:
            return succeed(self.session.packetsLeft)
        deferred: Deferred[int] = Deferred()
        self.wearing.append(deferred)
        return deferred
