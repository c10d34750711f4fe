"""Carried out of another file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from txilpstream.amounts import Asset, Ratio
from txilpstream.crypto.credentials import Credentials
from txilpstream.errors import ConnectionEnded, LocalError
from txilpstream.interfaces import PaymentError, PaymentResult
from txilpstream.payments.payment import CLOSE_TIMEOUT, _checked, _giveBack
from txilpstream.payments.terms import Terms, _known, _noCredentials
from txilpstream.session.events import RateLearned
from txilpstream.transport.account import accountFor
from txilpstream.transport.client import StreamClient
from txilpstream.transport.connection import StreamConnection

__all__ = ["QUOTE_TIMEOUT", "Quote", "_late", "_quoteFrom", "_quoteOn", "quote"]

QUOTE_TIMEOUT: Final = 15.0
"""Seconds within which the rate must be known."""


@dataclass(slots=True, frozen=True)
class Quote:
    """
    What a payment would cost and deliver; nothing has moved.

    @ivar sourceAmount: what leaves at most, in source units.
    @ivar destinationAmount: what arrives at least, in destination units.
    @ivar expectedSource: what leaves if the rate stays as measured.
    @ivar expectedDelivery: what arrives if the rate stays as measured.
    @ivar low: the rate is at least this, in destination per source units.
    @ivar high: the rate is less than this, or equal.
    @ivar minimumRate: the floor below which nothing would leave.
    @ivar smallestAmount: the smallest amount that can be sent, in source units.
    @ivar maximumPacketAmount: what one packet carries, in source units, as far as it is known.
    @ivar destinationAsset: code and scale of the receiver's asset; None if it does not say.
    """

    sourceAmount: int
    destinationAmount: int
    expectedSource: int
    expectedDelivery: int
    low: Ratio
    high: Ratio
    minimumRate: Ratio
    smallestAmount: int
    maximumPacketAmount: int
    destinationAsset: Asset | None


def quote(
    source: Any,
    credentials: Credentials | None = None,
    *,
    timeout: float = QUOTE_TIMEOUT,
    reactor: IReactorTime | None = None,
    **terms: Any,
) -> Deferred[Quote]:
    """
    Ask what a payment would cost, with packets that nobody can fulfill; no money moves.

    @param source: an L{Account}, a plugin, or an open L{StreamConnection}; with the latter there
        are no credentials.
    @param timeout: seconds.
    @param terms: fields of L{Terms}.
    @return: fails with ConnectionEnded, or with PaymentError if nothing would arrive at all.
        Cancelling it gives up.
    @raise LocalError: if terms or credentials are not valid.
    """
    checked = Terms(**_known(terms))
    if isinstance(source, StreamConnection):
        _noCredentials(credentials)
        return _quoteOn(source, checked, timeout)
    account = accountFor(source, reactor)
    made: list[StreamConnection] = []

    def ask(connection: StreamConnection) -> Deferred[Quote]:
        made.append(connection)
        return _quoteOn(connection, checked, timeout)

    def done(outcome: Any) -> Any:
        closed = made[0].close(CLOSE_TIMEOUT) if made else succeed(None)
        return _giveBack(source, account, closed, outcome)

    opened = StreamClient(account).connect(
        _checked(credentials), timeout=timeout, isReachable=False, **checked.options(None)
    )
    return opened.addCallback(ask).addBoth(done)


def _quoteOn(connection: StreamConnection, terms: Terms, timeout: float) -> Deferred[Quote]:
    session = connection.session
    if session.isClosing:
        raise LocalError("the connection is closed: open another one")
    wanted = terms.sourceAmount or min(terms.destinationAmount or 1, terms.maxSourceAmount)
    session.measureRate(wanted)
    measured: Deferred[RateLearned] = Deferred()
    connection.measuring.append(measured)
    connection.wake()
    measured.addTimeout(timeout, connection.account.reactor, onTimeoutCancel=_late)

    def forget(outcome: Any) -> Any:
        """Whoever else asks has its answer by the same packets."""
        if measured in connection.measuring:
            connection.measuring.remove(measured)
        if not connection.measuring:
            session.forgetRate()
        return outcome

    return measured.addBoth(forget).addCallback(_quoteFrom, connection, terms)


def _late(_: object, timeout: float) -> Any:
    raise ConnectionEnded(f"the rate was not known within {timeout} s")


def _quoteFrom(learned: RateLearned, connection: StreamConnection, terms: Terms) -> Quote:
    session = connection.session
    low, high = learned.low, learned.high
    nothing = PaymentResult(terms.most, 0, 0, 0, 0, session.rejects, terms.destinationAmount)
    if low is None or high is None or not low.numerator:
        raise PaymentError("nothing arrives at all", nothing)
    floor = terms.minimumRate
    if floor is None:
        asset = connection.account.asset
        expected = terms.expected(asset, session.peerAsset) or low
        floor = Ratio(0) if terms.acceptAnyRate else expected.less(terms.slippage)
    if terms.sourceAmount is not None:
        amount = expectedSource = terms.sourceAmount
        expectedDelivery = low.floor(amount)
        least = min(floor.ceil(amount), expectedDelivery)
        if not expectedDelivery:
            text = f"{amount} units are too few: at the rate of {low} nothing would arrive"
            smallest = session.exchangeRate.smallest
            raise PaymentError(text, nothing, smallestAmount=smallest, rate=floor)
    else:
        least = expectedDelivery = terms.destinationAmount or 0
        expectedSource = low.inverse().ceil(least)
        amount = floor.inverse().ceil(least) if floor.numerator else terms.maxSourceAmount
        amount = min(amount, terms.maxSourceAmount)
        if expectedSource > terms.maxSourceAmount:
            text = f"it would take {expectedSource} units, more than {terms.maxSourceAmount}"
            raise PaymentError(text, nothing, rate=floor)
    if high <= floor:
        text = f"the rate is less than {high}, the least is {floor}"
        raise PaymentError(text, nothing, rate=floor)
    return Quote(
        amount,
        least,
        expectedSource,
        expectedDelivery,
        low,
        high,
        floor,
        session.exchangeRate.smallest,
        session.mostPerPacket,
        session.peerAsset,
    )
