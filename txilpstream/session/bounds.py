"""
What bounds the money of a stream besides its total: a fixed delivery, and a reserve.

A fixed delivery is reached and hardly exceeded: while packets are on their way, what they may
deliver at most counts as delivered, so the last packet leaves alone and is computed to the unit.
Money in doubt counts as delivered too; so a payment with money in doubt ends short rather than
paid twice. A reserve is what its owner has written down durably; beyond it nothing leaves.
"""

from __future__ import annotations

from txilpstream.session.exchangerate import ExchangeRate
from txilpstream.session.streams.money import MoneySender

__all__ = ["offerWithin"]


def offerWithin(money: MoneySender, rate: ExchangeRate, offered: int, most: int) -> int:
    """
    How much of what is offered may leave, where a fixed delivery bounds it.

    @param most: what one packet may carry.
    @return: source units; 0 if nothing may leave now, which is not a failure.
    """
    missing = money.deliverMax - money.deliveredClaimed
    underway = money.held + money.unanswered
    if missing <= 0:
        return 0
    if not underway:
        wanted = rate.sourceFor(missing)
        return 0 if wanted is None else min(offered, wanted)
    high = rate.high
    if high is None or not high.numerator:
        return 0
    rest = missing - high.ceil(underway)
    if rest <= 0:
        return 0
    safe = rest * high.denominator // high.numerator
    if money.held and safe < min(most, offered):
        return 0
    return min(offered, safe)
