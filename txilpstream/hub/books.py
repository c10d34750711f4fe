"""
The books of a hub: what is held for packets under way, and what moves when one is fulfilled.

The accounts' balances and the hub's own position add
up to nothing, in each asset, at every moment.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from txilpstream.amounts import Asset
from txilpstream.hub.accounts import HubAccount

__all__ = ["Books", "Hold"]


class Hold:
    """
    A packet that was sent on and has no answer yet.

    @ivar source: whose money it is.
    @ivar amount: in the units of the source.
    @ivar destination: who gets it.
    @ivar outAmount: in the units of the destination.
    @ivar condition: the hash of what fulfills it.
    @ivar deadline: when it is given up, in the reactor's seconds.
    @ivar answered: the Deferred of its answer.
    """

    __slots__ = (
        "amount",
        "answered",
        "condition",
        "deadline",
        "destination",
        "outAmount",
        "source",
    )

    def __init__(
        self,
        source: HubAccount,
        amount: int,
        destination: HubAccount,
        outAmount: int,
        condition: bytes,
        deadline: float,
    ) -> None:
        self.source = source
        self.amount = amount
        self.destination = destination
        self.outAmount = outAmount
        self.condition = condition
        self.deadline = deadline
        self.answered: Any = None


class Books:
    """
    All holds, and what the hub has gained and lost.

    @ivar holds: those that are not settled.
    @ivar position: what the hub itself has gained or lost, by asset, in its units.
    """

    __slots__ = ("holds", "position")

    def __init__(self) -> None:
        self.holds: dict[Hold, None] = {}
        self.position: dict[Asset, int] = {}

    def hold(self, hold: Hold) -> bool:
        """Set a packet's money aside; False, and nothing is changed, if there is not so much."""
        if not hold.source.hold(hold.amount):
            return False
        hold.destination.heldFor += hold.outAmount
        self.holds[hold] = None
        return True

    def settle(self, hold: Hold, isFulfilled: bool) -> None:
        """A packet was answered, or will not be."""
        del self.holds[hold]
        source, destination = hold.source, hold.destination
        amount, outAmount = hold.amount, hold.outAmount
        destination.heldFor -= outAmount
        if not isFulfilled:
            source.release(amount)
        elif amount:
            source.debit(amount)
            destination.credit(outAmount)
            position, asset, other = self.position, source.options.asset, destination.options.asset
            position[asset] = position.get(asset, 0) + amount
            position[other] = position.get(other, 0) - outAmount

    def overdue(self, now: float) -> list[Hold]:
        """
        Those whose time is over.

        @param now: the reactor's seconds.
        """
        return [hold for hold in self.holds if hold.deadline <= now]

    def checkInvariants(self, accounts: Iterable[HubAccount]) -> None:
        """
        @raise AssertionError: if the books do not add up.
        """
        totals = dict(self.position)
        for account in accounts:
            asset, minimum = account.options.asset, account.options.minimumBalance
            totals[asset] = totals.get(asset, 0) + account.balance
            sent = sum(hold.amount for hold in self.holds if hold.source is account)
            to = sum(each.outAmount for each in self.holds if each.destination is account)
            assert (account.held, account.heldFor) == (sent, to), account.name
            assert minimum is None or account.balance - account.held >= minimum, account.name
            assert account.balance == account.totalReceived - account.totalSent, account.name
        assert not any(totals.values()), totals
