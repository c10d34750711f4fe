"""
How long a connection waits: for a fulfill, for one with money, and for any word of the peer.

A connection that is to close waits for the peer to take what was written and offered, as long as
the peer takes anything of it. What is over is said here and ended by the session.
"""

from __future__ import annotations

from dataclasses import dataclass

from txilpstream.errors import RejectSeen
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.path import NEVER, Path
from txilpstream.session.state import SessionState

__all__ = ["Deadlines", "Overdue"]


@dataclass(slots=True)
class Overdue:
    """
    What has waited for too long.

    @ivar reason: of the error that says so.
    @ivar rejects: met while it waited.
    @ivar isMoneyOnly: whether it is the money that was offered, and not the connection.
    @ivar isPeerTold: whether the peer is told that the connection is over.
    @ivar message: what it is told for people.
    """

    reason: str
    rejects: tuple[RejectSeen, ...] = ()
    isMoneyOnly: bool = False
    isPeerTold: bool = True
    message: str = ""


class Deadlines:
    """
    The deadlines of one connection.

    @ivar fulfilledAt: when a packet was fulfilled last, or when there was first something to
        send; None while there is nothing.
    @ivar moneyAt: the same for money that the peer would take.
    """

    __slots__ = (
        "_configuration",
        "_drainedAt",
        "_got",
        "_gotAt",
        "_path",
        "_state",
        "fulfilledAt",
        "moneyAt",
    )

    def __init__(
        self, configuration: SessionConfiguration, state: SessionState, path: Path
    ) -> None:
        self._configuration = configuration
        self._state = state
        self._path = path
        self.fulfilledAt: float | None = None
        self.moneyAt: float | None = None
        self._drainedAt: float | None = None
        self._got = (-1, -1)
        self._gotAt = NEVER

    def fulfilled(self, amount: int, hasData: bool, now: float) -> None:
        """A packet was fulfilled: what still waits has as long again."""
        self.fulfilledAt = now
        if amount:
            self.moneyAt = now
        if self._drainedAt is not None and (amount or hasData):
            self._drainedAt = now

    def _noteHalf(self, now: float) -> None:
        """Our half is closed: remember when the peer has sent something in its own."""
        self._drainedAt = None
        streams = self._state.streams
        money = sum(stream.moneyIn.totalReceived for stream in streams.open.values())
        if (got := (streams.receiveWindow.received, money)) != self._got:
            self._got, self._gotAt = got, now

    def note(self, now: float) -> None:
        """Remember since when something waits to be fulfilled, and forget it if nothing does."""
        state, inFlight = self._state, self._path.inFlight
        if state.heardAt is None:
            state.heardAt = now
        if state.hasSaidClose:
            self._noteHalf(now)
        elif state.isDraining and self._drainedAt is None:
            self._drainedAt = now
        if not state.destination:
            return
        if not (inFlight.packets or state.hasWork):
            self.fulfilledAt = None
        elif self.fulfilledAt is None:
            self.fulfilledAt = now
        if not (inFlight.withMoney or state.streams.moneyReady):
            self.moneyAt = None
        elif self.moneyAt is None:
            self.moneyAt = now

    def check(self, now: float) -> Overdue | None:
        """What has waited too long, as far as L{note} knows; None if nothing has."""
        deadline, rejects = self._configuration.deadlineSinceFulfill, self._path.retryPolicy.rejects
        if self.fulfilledAt is not None and now >= self.fulfilledAt + deadline:
            return Overdue(f"nothing was fulfilled for {deadline} s", rejects, isPeerTold=False)
        if self._drainedAt is not None and now >= self._drainedAt + deadline:
            message = "the peer took no more for too long"
            return Overdue(f"the peer took nothing for {deadline} s", rejects, message=message)
        if self.moneyAt is not None and now >= self.moneyAt + deadline:
            return Overdue(f"no money was fulfilled for {deadline} s", isMoneyOnly=True)
        if now >= self._gotAt + self._configuration.idleTimeout:
            return Overdue("the peer neither closed the connection nor sent anything")
        if now >= self._idleAt:  # the peer is told: it may wait longer, and would find nobody
            return Overdue("nothing was heard of the peer for too long")
        return None

    def next(self) -> float:
        """The first moment at which something is over."""
        state = self._state
        if state.isClosed:
            return NEVER
        moment = self._idleAt
        deadline = self._configuration.deadlineSinceFulfill
        if self.fulfilledAt is not None:
            moment = min(moment, self.fulfilledAt + deadline)
        if self.moneyAt is not None:
            moment = min(moment, self.moneyAt + deadline)
        if self._drainedAt is not None:
            moment = min(moment, self._drainedAt + deadline)
        moment = min(moment, self._gotAt + self._configuration.idleTimeout)
        if state.earlyCloses:
            moment = min(moment, *state.earlyCloses.values())
        return moment

    @property
    def _idleAt(self) -> float:
        """When the peer has been silent for too long; while packets are under way it is not."""
        heardAt = self._state.heardAt
        if heardAt is None or self._path.inFlight.packets:
            return NEVER
        return heardAt + self._configuration.idleTimeout
