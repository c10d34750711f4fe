"""
The outcome of a payment, told once, after what has to be closed is closed.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txilpstream.errors import PaymentError, PaymentResult

__all__ = ["Outcome"]

Closing = Callable[[], "Deferred[None] | None"]
"""Closes something; gives what is to be waited for, None for nothing."""


class Outcome:
    """
    Tells a payment's Deferred.

    @ivar deferred: the payment's; cancelling it tells the outcome at once.
    @ivar value: the outcome, None before it is known.
    @ivar error: what is told instead, where the payment was asked for wrongly.
    """

    def __init__(self, cancel: Callable[[], None]) -> None:
        """
        @param cancel: is called when the Deferred is cancelled; it must L{settle} the outcome.
        """
        self.value: PaymentResult | PaymentError | None = None
        self.error: Failure | None = None
        self._closing: Closing = lambda: None
        self._isTelling = False
        self._isCancelled = False
        self._cancel = cancel
        self.deferred: Deferred[PaymentResult] = Deferred(self._cancelled)

    def _cancelled(self, _: object) -> None:
        self._isCancelled = True
        self._cancel()
        self._fire()

    def whenOver(self, closing: Closing) -> Deferred[PaymentResult]:
        """
        The payment's result.

        @param closing: is called when it is over.
        """
        self._closing = closing
        if self.value is not None and not self.deferred.called:
            self._tell()
        return self.deferred

    def settle(self, value: PaymentResult | PaymentError) -> None:
        """This is the outcome; only the first counts."""
        if self.value is None:
            self.value = value
            self._tell()

    def _tell(self) -> None:
        if self._isTelling:
            return
        self._isTelling = True
        waiting = self._closing()
        if waiting is None or self._isCancelled:
            self._fire()
        else:
            waiting.addBoth(self._fire)

    def _fire(self, _: object = None) -> None:
        if self.deferred.called:
            return
        if self.error is not None:
            self.deferred.errback(self.error)
        elif isinstance(self.value, PaymentResult):
            self.deferred.callback(self.value)
        elif self.value is not None:
            self.deferred.errback(self.value)
