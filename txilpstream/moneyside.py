"""
The money of one stream as the application sees it: totals, offers and limits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from txilpstream.amounts import checkAmount
from txilpstream.errors import LocalError, PaymentResult
from txilpstream.transport.moneyoffers import Offer, Offers, fire
from txilpstream.transport.sendrate import MoneyRate

if TYPE_CHECKING:
    from txilpstream.session.events import DoubtResolved, Event, MoneyFailed, MoneySettled
    from txilpstream.session.stream import SessionStream
    from txilpstream.transport.connection import StreamConnection

__all__ = ["MoneySide"]


class MoneySide:
    """
    The half of a stream's transport that moves money.

    @ivar streamID: its number.
    @ivar connection: the connection that it belongs to.
    """

    __slots__ = (
        "_hasLimit",
        "_isOver",
        "_offers",
        "_totals",
        "_watcher",
        "connection",
        "streamID",
    )

    def __init__(self, connection: StreamConnection, streamID: int) -> None:
        self.connection = connection
        self.streamID = streamID
        self._hasLimit = False
        self._isOver = False
        self._offers: Offers | None = None
        self._watcher: Callable[[Event], None] | None = None
        self._totals: SessionStream = connection.session.stream(streamID)

    # --- Totals ---------------------------------------------------------------------------

    @property
    def totalSent(self) -> int:
        """What left for good, in source units."""
        return self._totals.moneyOut.sent

    @property
    def totalDelivered(self) -> int:
        """What arrived at the peer at least, in its units."""
        return self._totals.moneyOut.deliveredMinimum

    @property
    def totalDeliveredClaimed(self) -> int:
        """What arrived as the peer says, in its units."""
        return self._totals.moneyOut.deliveredClaimed

    @property
    def totalReceived(self) -> int:
        """What was credited, in this side's units."""
        return self._totals.moneyIn.totalReceived

    @property
    def totalInDoubt(self) -> int:
        """What left and has no answer yet or never will, in source units; it may be taken."""
        return self._totals.moneyOut.held + self._totals.moneyOut.unanswered

    @property
    def moneyInFlight(self) -> int:
        """What left and may still be answered in time, in source units."""
        return self._totals.moneyOut.held

    @property
    def receipt(self) -> bytes:
        """
        The receipt of the greatest total that the peer has signed (RFC 39), 58 octets; empty if
        there is none.
        """
        return self._totals.receipt

    # --- IMoneyTransport ------------------------------------------------------------------

    def _offer(self, sourceAmount: int, deferred: Deferred[PaymentResult] | None) -> Offer:
        if self._offers is None:
            self._offers = Offers()
        return self._offers.add(sourceAmount, deferred, self._totals.moneyOut.offered)

    def sendMoney(self, sourceAmount: int) -> Deferred[PaymentResult]:
        """
        Offer money to the peer, beyond what was offered before.

        It waits for the peer to accept it, for as long as the connection lasts: set a time-out
        with C{addTimeout} where that may be too long.

        @return: fires when its fate is known; fails with PaymentError.
        @raise LocalError: if it is not an amount of at least 1, or the stream is closed.
        """
        self._checkOpen()
        self.connection.session.sendMoney(self.streamID, sourceAmount)
        deferred: Deferred[PaymentResult] = Deferred(lambda _: self._cancel(offer))
        offer = self._offer(sourceAmount, deferred)
        self.connection.wake()
        return deferred

    def _checkOpen(self) -> None:
        if self._isOver:
            raise LocalError(f"stream {self.streamID} is closed: open another one")

    def _cancel(self, offer: Offer) -> None:
        """Take back what has not left of an offer."""
        taken = self.connection.session.withdrawMoney(self.streamID, offer.remaining)
        if self._offers is not None and taken:
            offer.remaining -= taken
            if not offer.remaining and offer in self._offers.waiting:
                self._offers.waiting.remove(offer)

    @property
    def unsentMoney(self) -> int:
        """What was offered and has not left, in source units."""
        return self._totals.moneyOut.unsent

    def offerMoney(self, sourceAmount: int) -> None:
        """
        Offer more money without asking what becomes of it.

        @raise LocalError: if it is not an amount of at least 1, or the stream is closed.
        """
        self.connection.session.sendMoney(self.streamID, sourceAmount)
        self._offer(sourceAmount, None)
        self.connection.wake()

    def setSendMax(self, sourceAmount: int) -> None:
        """
        Say how much is offered in all.

        @raise LocalError: if it is less than has left, or the stream is closed.
        """
        before = self._totals.moneyOut.sendMax
        self.connection.session.setSendMax(self.streamID, sourceAmount)
        if sourceAmount > before:
            self._offer(sourceAmount - before, None)
        elif self._offers is not None:
            self._fire(self._offers.takeBack(before - sourceAmount, "setSendMax took it back"))
        self.connection.wake()

    def setReceiveMax(self, amount: int) -> None:
        """
        Say how much this side accepts in all, in its own units.

        @raise LocalError: if it is less than was said before.
        """
        self.connection.session.setReceiveMax(self.streamID, amount)
        self._hasLimit = True
        self.connection.wake()

    def setSendRate(self, sourceAmount: int, perSeconds: int = 1) -> None:
        """
        Offer so much money every so many seconds; 0 stops it.

        @raise LocalError: if one is not a whole number within its limits.
        """
        self._checkOpen()
        checkAmount("the amount per time", sourceAmount)
        checkAmount("the time in seconds", perSeconds, minimum=1, maximum=10**9)
        connection = self.connection
        if connection.rates is None:
            connection.rates = {}
        rate = connection.rates.get(self.streamID)
        if rate is None:
            rate = connection.rates[self.streamID] = MoneyRate(connection.account.reactor, self)
        rate.change(sourceAmount, perSeconds)

    def ping(self) -> None:
        """Send a packet, so that neither end takes the connection for idle."""
        self.connection.session.ping()
        self.connection.wake()

    # --- What the connection tells ----------------------------------------------------------

    def watch(self, watcher: Callable[[Event], None] | None) -> None:
        """Tell all that happens to this stream's money, event by event, to this too."""
        self._watcher = watcher

    def watched(self, event: Event) -> None:
        """Something happened to this stream's money."""
        if self._watcher is not None:
            self._watcher(event)

    def settled(self, event: MoneySettled) -> None:
        """Money was settled."""
        self.watched(event)
        if self._offers is not None:
            self._fire(
                self._offers.settle(
                    event.sourceAmount,
                    event.deliveredMinimum,
                    event.deliveredClaimed,
                    event.isInDoubt,
                )
            )

    def resolved(self, event: DoubtResolved) -> None:
        """
        A late answer came. What came back is offered again if its offer still waits; if not, its
        owner was told that it is in doubt, and finds it in the totals.
        """
        self.watched(event)
        if self._offers is None:
            return
        returned = self._offers.resolve(
            event.sourceAmount, event.deliveredMinimum, event.deliveredClaimed, event.isSent
        )
        if returned:
            try:
                self.connection.session.sendMoney(self.streamID, returned)
            except LocalError:
                self._fire(self._offers.takeBack(returned, "it came back after the stream closed"))

    def moneyFailed(self, event: MoneyFailed) -> int:
        """
        Money that was offered was taken back by the session.

        @return: how much of it nobody waits for, such as that of a rate.
        """
        self.watched(event)
        offers = self._offers
        if offers is None:
            return 0
        before = offers.anonymous
        done = offers.takeBack(
            event.sourceAmount, event.reason, event.smallestAmount, event.offered
        )
        taken = before - offers.anonymous
        self._fire(done)
        return taken

    def _fire(self, offers: list[Offer]) -> None:
        for offer in offers:
            fire(offer, self.connection.session.rejects, self.receipt)
