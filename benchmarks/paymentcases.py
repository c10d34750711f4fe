"""
The cases of C{paths} that are about whole payments: their round trips, and their guarantees.
"""

from __future__ import annotations

from typing import Any

from measure import Figure, Options

from txilpstream.amounts import Ratio
from txilpstream.crypto.credentials import Credentials
from txilpstream.payments.payment import pay
from txilpstream.test.support.randompayments import InterruptedPayment, RandomPayment, World
from txilpstream.testing import Hop, Latency, Rate
from txilpstream.transport.account import Account

ROUND_TRIP = 0.05

RATE = Ratio(92, 100_000)

PRICES = {"USD": Ratio(92, 100), "EUR": Ratio(1)}


def trips(hops: list[Hop], *, isAssetKnown: bool = True, **terms: Any) -> float:
    """Round trips from calling C{pay} to its result."""
    world = World(0, [Latency(ROUND_TRIP / 2), *hops])
    world.ends.session = _Unasked()
    account: Account = world.open(world.path.left)
    credentials = world.server.generateCredentials()
    if not isAssetKnown:
        credentials = Credentials(credentials.destinationAddress, credentials.sharedSecret)
    began = world.clock.seconds()
    ended: list[float] = []
    paid = pay(account, credentials, **terms)
    paid.addCallback(lambda result: ended.append(world.clock.seconds() if result.isComplete else 0))
    while not ended:
        moment = min(call.getTime() for call in world.clock.getDelayedCalls())
        world.clock.advance(max(0.0, moment - world.clock.seconds()) + 1e-6)
    return round((ended[0] - began) / ROUND_TRIP, 2)


class _Unasked:
    """Stands for a session of which nothing is asked."""

    class exchangeRate:
        low = high = None


def measureRoundTrips(options: Options) -> list[Figure]:
    """One unit at 1:1, a small amount at a known rate, and at an unknown one."""
    cases: list[tuple[str, float, list[Hop], dict[str, Any]]] = [
        ("one unit at 1:1, rate given", 1, [], {"sourceAmount": 1, "rate": Ratio(1)}),
        ("small amount, rate given", 1, [Rate(RATE)], {"sourceAmount": 10**7, "rate": RATE}),
        ("small amount, prices given", 1, [Rate(RATE)], {"sourceAmount": 10**7, "prices": PRICES}),
        ("small delivery, rate given", 1, [Rate(RATE)], {"destinationAmount": 920, "rate": RATE}),
        ("small amount, rate unknown", 2, [Rate(RATE)], {"sourceAmount": 10**7}),
        ("one unit at 1:1, rate unknown", 2, [], {"sourceAmount": 1, "isAssetKnown": False}),
    ]
    figures = []
    for name, goal, hops, terms in cases:
        took = trips(hops, **terms)
        figures.append(Figure(f"pay: {name}", took, "round trips", goal))
    return figures


def broken(kind: type[RandomPayment] | type[InterruptedPayment], count: int) -> list[float]:
    """How many payments broke a guarantee, and the share of those that were paid in full."""
    failures = complete = 0
    for seed in range(count):
        try:
            complete += kind(seed).check_().isComplete
        except AssertionError as error:
            failures += 1
            print(error)
    return [failures, 100 * complete / count]


def measurePayments(options: Options) -> list[Figure]:
    """Random payments on random paths."""
    count = options.count(10_000, 100)
    failures, complete = broken(RandomPayment, count)
    return [
        Figure(f"{count:,} random payments: guarantees broken", failures, "payments", 0),
        Figure("random payments, paid in full", complete, "%"),
    ]


def measureInterrupted(options: Options) -> list[Figure]:
    """Payments that are killed at a random packet and resumed from saved state."""
    count = options.count(500, 50)
    failures, complete = broken(InterruptedPayment, count)
    return [
        Figure(f"{count} interrupted payments: guarantees broken", failures, "payments", 0),
        Figure("interrupted payments, paid in full", complete, "%"),
    ]
