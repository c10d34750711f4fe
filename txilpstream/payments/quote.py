"""
Quotes: what a payment would cost and deliver, asked with packets that nobody can fulfill.

What is quoted is what happens on an unchanged path; both refuse the same amounts in the same words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.defer import Deferred

from txilpstream.amounts import U64_MAX, Asset, Ratio
from txilpstream.errors import ConnectionEnded, LocalError, checkSeconds
from txilpstream.interfaces import AnyReactor, PaymentError, PaymentResult
from txilpstream.payments.parties import Destination, Parties, Source
from txilpstream.payments.terms import ONE_PERCENT, Terms
from txilpstream.session.events import RateLearned
from txilpstream.spsp.client import WebAgent
from txilpstream.transport.client import StreamClient
from txilpstream.transport.connection import StreamConnection

__all__ = ["QUOTE_TIMEOUT", "Quote", "quote"]

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
    source: Source,
    destination: Destination = None,
    *,
    sourceAmount: int | None = None,
    destinationAmount: int | None = None,
    maxSourceAmount: int = U64_MAX,
    rate: Ratio | None = None,
    prices: Mapping[str, Ratio] | None = None,
    minimumRate: Ratio | None = None,
    slippage: Ratio = ONE_PERCENT,
    acceptAnyRate: bool = False,
    data: bytes = b"",
    timeout: float = QUOTE_TIMEOUT,
    agent: WebAgent | None = None,
    reactor: AnyReactor | None = None,
) -> Deferred[Quote]:
    """
    Ask what a payment would cost, with packets that nobody can fulfill; no money moves.

    Every argument means what it means to L{Payment <txilpstream.payments.payment.Payment>}.

    @param timeout: seconds for all of it, the question for credentials included.
    @return: fails with ConnectionEnded if nobody is reached, with DecodeError if a pointer leads to
        what is no SPSP server, and with PaymentError if nothing would arrive at all. Cancelling it
        gives up.
    @raise LocalError: if something is not valid, or does not go together.
    """
    terms = Terms(
        sourceAmount,
        destinationAmount,
        maxSourceAmount,
        rate,
        prices,
        minimumRate,
        slippage,
        acceptAnyRate,
        data,
    )
    checkSeconds("timeout", timeout)
    parties = Parties(source, destination, reactor, agent)
    if parties.connection is not None:
        return _ask(parties.connection, terms, timeout, 0.0)
    return Deferred.fromCoroutine(_open(parties, terms, timeout))


async def _open(parties: Parties, terms: Terms, timeout: float) -> Quote:
    """Ask on a connection that is opened for it."""
    reactor = parties.account.reactor
    began = reactor.seconds()
    connection = None
    try:
        opening = parties.open(timeout)
        opening.addTimeout(timeout, reactor, onTimeoutCancel=_late)
        credentials = await opening
        connection = await StreamClient(parties.account).connect(
            credentials,
            timeout=max(0.0, timeout - (reactor.seconds() - began)),
            isReachable=False,
            **terms.options(None),
        )
        return await _ask(connection, terms, timeout, reactor.seconds() - began)
    finally:
        closed = parties.close(connection)
        if closed is not None:
            await closed


def _ask(
    connection: StreamConnection, terms: Terms, timeout: float, spent: float
) -> Deferred[Quote]:
    """
    Ask on a connection that is open.

    @param spent: seconds of the timeout that are over.
    """
    session = connection.session
    if session.isClosing:
        raise LocalError("the connection is closed: open another one")
    wanted = terms.sourceAmount or min(terms.destinationAmount or 1, terms.maxSourceAmount)
    measured = connection.measureRate(wanted)
    left = max(0.0, timeout - spent)
    measured.addTimeout(left, connection.account.reactor, lambda _, __: _late(_, timeout))

    return measured.addCallback(_judge, connection, terms)


def _late(_: object, timeout: float) -> Any:
    raise ConnectionEnded(f"the rate was not known within {timeout:g} s")


def _judge(learned: RateLearned, connection: StreamConnection, terms: Terms) -> Quote:
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
