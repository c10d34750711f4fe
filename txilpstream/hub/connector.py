"""
The connector: what becomes of a packet between one account and another.

Money is held when a packet comes, and moves only with a fulfillment whose hash is the packet's
condition; what moves is written in C{books}. Each packet is settled once, with an answer or without
one. A hub answers for its own address space, and has no routes but those that it was told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Final

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txilpstream.amounts import U64_MAX, Asset, Ratio, rateBetween
from txilpstream.errors import DecodeError, LocalError
from txilpstream.hub.accounts import AccountOptions, HubAccount
from txilpstream.hub.books import Books, Hold
from txilpstream.hub.outlet import Full, Outlet
from txilpstream.hub.routing import Routes
from txilpstream.interfaces import AnyPlugin, NotSent
from txilpstream.waiters import Waiters
from txilpstream.wire.address import checkAddress, join
from txilpstream.wire.ildcp import DESTINATION
from txilpstream.wire.ilp import (
    ERROR_NAMES,
    FULFILL,
    Prepare,
    decodePrepare,
    decodeReply,
    encodeAmountTooLarge,
    encodePrepare,
    encodeTimestamp,
    rejectWith,
)

__all__ = ["Hub", "RateSource"]

_log = Logger()

RateSource = Callable[[Asset, Asset], Ratio | None]
"""Gives the rate from one asset to another, in base units; None if there is none."""

EXPIRY_STEP: Final = 1.0
"""Seconds by which a packet's time is shortened, so that a late fulfillment is not too late."""

LONGEST_HOLD: Final = 30.0
"""Seconds that money is held at most, whatever a packet asks for."""

SWEEP: Final = 0.1
"""Seconds between two looks for packets whose time is over."""


class Hub:
    """
    A connector between accounts.

    @ivar address: its own ILP address; those of its accounts begin with it.
    @ivar accounts: by name.
    @ivar books: what is under way, and what the hub itself has gained or lost.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        address: str = "test.hub",
        *,
        prices: Mapping[str, Ratio] | None = None,
        rates: RateSource | None = None,
        wallClock: Callable[[], float] = time.time,
    ) -> None:
        """
        @param prices: of one whole unit of each asset, by code, all in the same currency; between
            assets of one code none is needed.
        @param rates: gives rates instead of the prices.
        @raise LocalError: if the address is none, or both prices and rates are given.
        """
        if prices is not None and rates is not None:
            raise LocalError("give prices or rates, not both")
        self.address = checkAddress(address)
        self.accounts: dict[str, HubAccount] = {}
        self.books = Books()
        self._routes: Routes[HubAccount] = Routes()
        self._reactor = reactor
        self._wallClock = wallClock
        known = dict(prices or {})
        self._rates = rates or (lambda source, to: rateBetween(source, to, known))
        self._call: IDelayedCall | None = None
        self._isStopping = False
        self._drained: Waiters[None] = Waiters()
        self._rejects = {code: rejectWith(code, self.address) for code in ERROR_NAMES}

    # --- Accounts -----------------------------------------------------------------------------

    def addAccount(
        self,
        name: str,
        options: AccountOptions | None = None,
        *,
        routes: tuple[str, ...] = (),
        isMade: bool = False,
    ) -> HubAccount:
        """
        Make an account; L{attach} gives it a way in and out.

        @param routes: prefixes of addresses beyond it; its own address leads to it anyway.
        @param isMade: whether it was made on first use.
        @raise LocalError: if there is one of this name, or something is not valid.
        """
        if name in self.accounts:
            raise LocalError(f"there is an account {name!r} already")
        address = join(self.address, name)
        account = HubAccount(name, address, options or AccountOptions(), isMade)
        try:
            for prefix in (address, *routes):
                self._routes.add(prefix, account)
        except LocalError:
            self._routes.remove(account)
            raise
        self.accounts[name] = account
        return account

    def removeAccount(self, account: HubAccount) -> None:
        """
        Forget an account.

        @raise LocalError: if something would be lost with it.
        """
        if account.balance or account.held or account.heldFor:
            raise LocalError(
                f"the account {account.name!r} has a balance of {account.balance}, or packets "
                "under way: settle it first"
            )
        for outlet in account.outlets:
            outlet.close()
        account.outlets.clear()
        self._routes.remove(account)
        del self.accounts[account.name]

    def find(self, address: str) -> HubAccount | None:
        """Which account is next on the path to an address; None if there is none."""
        return self._routes.find(address)

    def attach(self, account: HubAccount, plugin: AnyPlugin) -> Outlet:
        """
        Give an account a plugin: the first that is connected carries what is for it.

        @raise LocalError: if the plugin is none, or has a data handler or a producer already.
        """

        def receive(data: bytes) -> bytes | Deferred[bytes]:
            return self.receivePrepare(account, data)

        outlet = Outlet(plugin, receive)
        account.outlets.append(outlet)
        return outlet

    # --- A packet comes -----------------------------------------------------------------------

    def receivePrepare(self, account: HubAccount, data: bytes) -> bytes | Deferred[bytes]:
        """Answer the bytes of a Prepare of an account's."""
        if self._isStopping:
            return self._rejects["T99"]
        try:
            prepare = decodePrepare(data)
        except DecodeError:
            return self._rejects["F01"]
        if not account.takePacket(self._reactor.seconds()):
            return self._rejects["T05"]
        if prepare.destination == DESTINATION:
            return account.configuration
        if prepare.amount > account.options.maximumPacketAmount:
            limit = account.options.maximumPacketAmount
            return self._tooLarge(prepare.amount, limit)
        destination = self.find(prepare.destination)
        if destination is None or destination is account:
            return self._rejects["F02"]
        outAmount = self._convert(account, destination, prepare.amount)
        if outAmount is None:
            return self._rejects["F02"]
        if outAmount > U64_MAX:
            limit = prepare.amount * U64_MAX // outAmount
            return self._tooLarge(prepare.amount, limit)
        return self._forward(account, destination, prepare, outAmount)

    def _tooLarge(self, amount: int, limit: int) -> bytes:
        return rejectWith("F08", self.address, encodeAmountTooLarge(amount, limit))

    def _convert(self, source: HubAccount, destination: HubAccount, amount: int) -> int | None:
        """The amount in the units of the next account, rounded down; None without a rate."""
        asset, other = source.options.asset, destination.options.asset
        if asset == other:
            return amount
        try:
            rate = self._rates(asset, other)
            return None if rate is None else rate.floor(amount)
        except Exception:
            _log.failure("a source of rates raised, or gave no Ratio: its packet is rejected")
            return None

    def _forward(
        self, source: HubAccount, destination: HubAccount, prepare: Prepare, outAmount: int
    ) -> bytes | Deferred[bytes]:
        now = self._wallClock()
        remaining = min(prepare.expiresAt - now - EXPIRY_STEP, LONGEST_HOLD)
        if remaining < EXPIRY_STEP:
            return self._rejects["R02"]
        outlet = next((outlet for outlet in destination.outlets if outlet.isConnected), None)
        if outlet is None:
            return self._rejects["T01"]
        # The answer may be on its way when the packet's time at the next one is over.
        deadline = self._reactor.seconds() + remaining + EXPIRY_STEP / 2
        condition = prepare.executionCondition
        hold = Hold(source, prepare.amount, destination, outAmount, condition, deadline)
        if not self.books.hold(hold):
            return self._rejects["T04"]
        if self._call is None:
            self._call = self._reactor.callLater(SWEEP, self._sweep)
        packet = encodePrepare(
            outAmount,
            encodeTimestamp(now + remaining),
            condition,
            prepare.destination,
            prepare.data,
        )
        try:
            answered = hold.answered = outlet.send(packet)
        except Exception:
            _log.failure("sendData of a plugin raised: its packet is rejected with T00")
            self._settle(hold, False)
            return self._rejects["T00"]
        arguments = (hold,)
        return answered.addCallbacks(
            self._cbReply, self._ebReply, callbackArgs=arguments, errbackArgs=arguments
        )

    # --- Its answer comes ---------------------------------------------------------------------

    def _cbReply(self, data: bytes, hold: Hold) -> bytes:
        """Settle a packet by the bytes of its answer, and hand them on."""
        reply = self._rejects["T00"]
        isFulfilled = False
        try:
            answer = decodeReply(data)
        except DecodeError:
            pass
        else:
            reply = data
            if data[0] == FULFILL:
                isFulfilled = sha256(answer.fulfillment).digest() == hold.condition  # type: ignore[union-attr]
                if not isFulfilled:
                    reply = self._rejects["F05"]
        self._settle(hold, isFulfilled)
        return reply

    def _ebReply(self, failure: Failure, hold: Hold) -> bytes:
        """No answer will come: nothing was fulfilled as far as the hub is concerned."""
        self._settle(hold, False)
        if failure.check(CancelledError) or self._reactor.seconds() >= hold.deadline:  # type: ignore[no-untyped-call]
            return self._rejects["R00"]
        code = "T03" if failure.check(Full) else "T01"  # type: ignore[no-untyped-call]
        if not failure.check(Full, NotSent):  # type: ignore[no-untyped-call]
            code = "T00"
        return self._rejects[code]

    def _settle(self, hold: Hold, isFulfilled: bool) -> None:
        self.books.settle(hold, isFulfilled)
        if self._drained and not self.books.holds:
            self._drained.fire(None)

    def _sweep(self) -> None:
        """Give up the packets whose time is over."""
        self._call = None
        self._giveUp(self.books.overdue(self._reactor.seconds()))
        if self.books.holds and self._call is None:
            self._call = self._reactor.callLater(SWEEP, self._sweep)

    def _giveUp(self, holds: list[Hold]) -> None:
        for hold in holds:
            if hold in self.books.holds and hold.answered is not None:
                hold.answered.cancel()

    # --- The end ------------------------------------------------------------------------------

    def drain(self) -> Deferred[None]:
        """
        Refuse packets with T99 from now on.

        @return: fires when all that were sent on are answered, which takes 31 s at most.
        """
        self._isStopping = True
        if not self.books.holds:
            return succeed(None)
        return self._drained.add()

    def close(self) -> None:
        """Give all plugins back; what still waits for an answer is given up."""
        self._isStopping = True
        self._giveUp(list(self.books.holds))
        if self._call is not None:
            self._call.cancel()
            self._call = None
        for account in self.accounts.values():
            for outlet in account.outlets:
                outlet.close()
            account.outlets.clear()

    def checkInvariants(self) -> None:
        """
        @raise AssertionError: if the books do not add up.
        """
        self.books.checkInvariants(self.accounts.values())
