"""
Which offer of money a settled packet belongs to.

A stream sends money as one heap; the application offered it in parts and wants to know what became
of each. Settled money fills the offers in their order, whole units only, so that the sum over all
offers is what the stream says. A late answer is that of the oldest money in doubt, which may be of
an offer whose fate was told already.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from twisted.internet.defer import Deferred

from txilpstream.errors import RejectSeen
from txilpstream.interfaces import PaymentError, PaymentResult

__all__ = ["MoneyOffers", "Offer"]


@dataclass(slots=True)
class Offer:
    """
    Money that was offered in one call; amounts as in L{PaymentResult}.

    @ivar remaining: source units whose fate is not known.
    @ivar failure: why some of it was taken back, if it was.
    @ivar offered: all that was ever offered on the stream, this included.
    """

    sourceAmount: int
    deferred: Deferred[PaymentResult] | None
    remaining: int
    sent: int = 0
    deliveredMinimum: int = 0
    deliveredClaimed: int = 0
    inDoubt: int = 0
    failure: str | None = None
    smallestAmount: int | None = None
    offered: int = 0

    def tell(self, rejects: tuple[RejectSeen, ...], receipt: bytes = b"") -> None:
        """
        Tell the application what became of it, if it asked and has not given up.

        @param rejects: every kind of reject that was met.
        @param receipt: the greatest that the peer gave for the stream, or empty.
        """
        deferred = self.deferred
        if deferred is None or deferred.called:
            return
        result = PaymentResult(
            self.sourceAmount,
            self.sent,
            self.deliveredMinimum,
            self.deliveredClaimed,
            self.inDoubt,
            rejects,
            receipt=receipt,
        )
        if self.failure is None and not result.inDoubt:
            deferred.callback(result)
            return
        reason = self.failure or f"{result.inDoubt} units were not answered and may be gone"
        deferred.errback(PaymentError(reason, result, smallestAmount=self.smallestAmount))


@dataclass(slots=True)
class MoneyOffers:
    """
    The offers of one stream, the oldest first.

    @ivar waiting: those whose fate is not known in full.
    @ivar toldDoubt: source units that are in doubt in offers whose fate was told.
    """

    waiting: list[Offer] = field(default_factory=list)
    toldDoubt: int = 0

    @property
    def anonymous(self) -> int:
        """What waits in offers of which nobody asks what becomes of them, in source units."""
        return sum(offer.remaining for offer in self.waiting if offer.deferred is None)

    def add(
        self, sourceAmount: int, deferred: Deferred[PaymentResult] | None, offered: int = 0
    ) -> Offer:
        """Money is offered."""
        offer = Offer(sourceAmount, deferred, sourceAmount, offered=offered)
        self.waiting.append(offer)
        return offer

    def settle(self, sourceAmount: int, minimum: int, claimed: int, isInDoubt: bool) -> list[Offer]:
        """
        Fill the oldest offers with what was settled.

        @return: the offers whose fate is known now.
        """
        done = []
        waiting = self.waiting
        while sourceAmount and waiting:
            offer = waiting[0]
            part = min(sourceAmount, offer.remaining)
            partMinimum = minimum * part // sourceAmount
            partClaimed = claimed * part // sourceAmount
            offer.remaining -= part
            if isInDoubt:
                offer.inDoubt += part
            else:
                offer.sent += part
            offer.deliveredMinimum += partMinimum
            offer.deliveredClaimed += partClaimed
            sourceAmount -= part
            minimum -= partMinimum
            claimed -= partClaimed
            if offer.remaining:
                break
            self.toldDoubt += offer.inDoubt
            done.append(waiting.pop(0))
        if isInDoubt:  # what is left was that of offers that were given up
            self.toldDoubt += sourceAmount
        return done

    def giveUp(self, offer: Offer) -> None:
        """Nobody asks for an offer any more: what others wait for is settled before it."""
        self.waiting.remove(offer)
        self.toldDoubt += offer.inDoubt

    def resolve(self, sourceAmount: int, minimum: int, claimed: int, isSent: bool) -> int:
        """
        A late answer came to money in doubt.

        @return: how much of it came back to offers that still wait, to be offered again.
        """
        told = min(sourceAmount, self.toldDoubt)
        self.toldDoubt -= told
        rest = sourceAmount - told
        returned = 0
        for offer in self.waiting:
            part = min(rest, offer.inDoubt)
            rest -= part
            offer.inDoubt -= part
            if isSent:
                offer.sent += part
                offer.deliveredMinimum += minimum * part // sourceAmount
                offer.deliveredClaimed += claimed * part // sourceAmount
            else:
                offer.remaining += part
                returned += part
        return returned

    def takeBack(
        self,
        sourceAmount: int,
        reason: str | None,
        smallestAmount: int | None = None,
        offered: int | None = None,
    ) -> list[Offer]:
        """
        Money that had not left was withdrawn: the youngest offers lose it.

        @param offered: what had been offered by then; later offers lose nothing.
        @return: the offers whose fate is known now.
        """
        done = []
        for offer in reversed(list(self.waiting)):
            if not sourceAmount:
                break
            if offered is not None and offer.offered > offered:
                continue
            part = min(sourceAmount, offer.remaining)
            offer.remaining -= part
            sourceAmount -= part
            offer.failure, offer.smallestAmount = reason or "withdrawn", smallestAmount
            if not offer.remaining:
                self.toldDoubt += offer.inDoubt
                self.waiting.remove(offer)
                done.append(offer)
        return done[::-1]

    def abandon(self, held: int, reason: str) -> list[Offer]:
        """The stream is over: C{held} source units are on their way and in doubt."""
        done = []
        for offer in self.waiting:
            part = min(held, offer.remaining)
            offer.inDoubt += part
            offer.remaining = 0
            offer.failure = reason
            held -= part
            done.append(offer)
        self.waiting = []
        return done
