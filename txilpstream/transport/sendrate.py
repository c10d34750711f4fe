"""
Money that is offered as time passes, exact over time.

What is due is computed from the start, never summed up from parts, so that rates below one unit
per second are exact too. What the path cannot take is offered later, but not more than ten seconds'
worth of it.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from txilpstream.errors import StreamError

__all__ = ["SendRate"]

INTERVAL: Final = 0.2
"""Seconds between two offers: five packets per second are enough for a steady flow."""

QUIET: Final = 20
"""Seconds without an offer after which a packet is sent, lest an end takes the connection for
idle."""

CATCH_UP: Final = 10
"""Seconds of the rate that are made good after a stall."""


class SendRate:
    """Offers money on one stream at a steady rate, which may be changed at any time."""

    def __init__(
        self,
        reactor: IReactorTime,
        offer: Callable[[int], None],
        unsent: Callable[[], int],
        ping: Callable[[], None],
    ) -> None:
        """
        @param offer: offers so many source units; fails with StreamError when there is nobody to
            offer to any more, which ends the rate.
        @param unsent: gives how many source units were offered and have not left.
        @param ping: sends a packet without money.
        """
        self._reactor = reactor
        self._offerMoney = offer
        self._unsent = unsent
        self._ping = ping
        self._amount = 0
        self._perSeconds = 1
        self._startedAt = reactor.seconds()
        self._before = Fraction(0)
        self._offered = 0
        self._least = 1
        self._call: IDelayedCall | None = None
        self._saidAt = self._startedAt

    def change(self, sourceAmount: int, perSeconds: int = 1) -> None:
        """
        Go on at another rate from now on; what was due at the old one is offered, and fractions of
        a unit are kept.

        @param sourceAmount: 0 stops it until the next change.
        """
        if self._amount:
            self._offer()
        self._before, self._startedAt = self._due(), self._reactor.seconds()
        self._amount, self._perSeconds = sourceAmount, perSeconds
        if not sourceAmount:
            self.stop()
        elif self._call is None:
            self._call = self._reactor.callLater(INTERVAL, self._tick)

    def _due(self) -> Fraction:
        """What is due by now in all, in source units."""
        microseconds = round((self._reactor.seconds() - self._startedAt) * 1_000_000)
        return self._before + Fraction(microseconds * self._amount, self._perSeconds * 1_000_000)

    def stop(self) -> None:
        """Offer no more."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def giveBack(self, sourceAmount: int, least: int) -> None:
        """So much was too little to be sent: it is offered again when enough is due."""
        self._offered -= sourceAmount
        self._least = max(self._least, least)

    def _keepAlive(self) -> None:
        """A connection that money is to flow on is not idle, however long a unit takes."""
        now = self._reactor.seconds()
        if now - self._saidAt > QUIET:
            self._saidAt = now
            self._ping()

    def _tick(self) -> None:
        self._call = self._reactor.callLater(INTERVAL, self._tick)
        self._keepAlive()
        self._offer()

    def _offer(self) -> None:
        """Offer what is due, as far as it may wait."""
        due = int(self._due()) - self._offered
        most = max(self._least, CATCH_UP * self._amount // self._perSeconds)
        unsent = self._unsent()
        if due > most - unsent:
            self._offered += due - max(0, most - unsent)
            due = max(0, most - unsent)
        if due >= self._least:
            self._offered += due
            self._saidAt = self._reactor.seconds()
            try:
                self._offerMoney(due)
            except StreamError:
                self.stop()
