"""
The one timer of a connection.

Moments come and go with each packet; the timer is moved only to an earlier one, and looks again
when it fires, which costs less than to move it each time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IDelayedCall

from txilpstream.transport.account import Account

__all__ = ["Timer"]

SHORTEST_WAIT: Final = 0.0005
"""Seconds: a timer that is due at once would starve the reactor if nothing came of it."""


class Timer:
    """Calls a function at the earliest of the moments that it was told since it last did."""

    __slots__ = ("_account", "_call", "_function", "_moment")

    def __init__(self, account: Account, function: Callable[[], None]) -> None:
        """
        @param account: whose clock the moments are of.
        """
        self._account = account
        self._function = function
        self._call: IDelayedCall | None = None
        self._moment = 0.0

    def moveTo(self, moment: float | None) -> None:
        """Call at this moment, None for never, or earlier if that was told before."""
        if moment is None:
            self.stop()
            return
        if self._call is not None:
            if self._moment <= moment:
                return
            self._call.cancel()
        delay = max(SHORTEST_WAIT, moment - self._account.now())
        self._moment = moment
        self._call = self._account.reactor.callLater(delay, self._fire)

    def stop(self) -> None:
        """Call no more."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _fire(self) -> None:
        self._call = None
        self._function()
