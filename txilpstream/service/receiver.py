"""
What a service receives: whose it is, how much in all, and what is said of it in the log.

What streams were credited is counted by account; accounts are told apart by the connection tags of
their credentials. An account never accepts more than its limit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from zope.interface import implementer

from txilpstream.errors import LocalError
from txilpstream.interfaces import IPaymentPolicy, PaymentRequest, Refusal
from txilpstream.spsp.server import accountOf
from txilpstream.transport.protocol import StreamProtocol
from txilpstream.transport.stream import StreamAddress

__all__ = ["Accounts", "Received", "ReceivingFactory", "nameOf"]

MOST_ACCOUNTS: Final = 10_000
"""Accounts that are counted each for itself ..."""

OTHERS: Final = "(others)"
"""... and what all that come later are counted as."""

TELL_INTERVAL: Final = 1.0
"""Seconds between two entries in the log about one account."""

DEFAULT_ACCOUNT: Final = "default"
"""What the account without a name is called."""

_log = Logger()


def nameOf(tag: str) -> str:
    """The account that a connection tag stands for."""
    try:
        return accountOf(tag) or DEFAULT_ACCOUNT
    except LocalError:
        return tag  # it was made by somebody else


@dataclass(slots=True)
class Received:
    """
    What one account has received.

    @ivar accepted: money of packets that were accepted, in base units.
    @ivar total: money that was credited, in base units.
    @ivar size: bytes.
    @ivar told: the total that was told last.
    @ivar toldSize: the bytes that were told last.
    """

    accepted: int = 0
    total: int = 0
    size: int = 0
    told: int = 0
    toldSize: int = 0


@implementer(IPaymentPolicy)
class Accounts:
    """
    Everything that was received, by account; it refuses what is over an account's limit.

    @ivar accounts: by name.
    @ivar told: called with an account's name when there is something new; None for nobody.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        *,
        limits: Mapping[str, int | None] | None = None,
        limit: int | None = None,
        told: Callable[[str, Received], None] | None = None,
    ) -> None:
        """
        @param limits: what each account takes in all, in base units; None for the common limit.
        @param limit: what an account takes without a limit of its own; None for anything.
        @param told: called with an account's name when there is something new, at most once a
            second each.
        """
        self.accounts: dict[str, Received] = {}
        self._reactor = reactor
        self._limits = limits or {}
        self._limit = limit
        self.told = told
        self._changed: dict[str, None] = {}
        self._call: IDelayedCall | None = None

    @property
    def total(self) -> int:
        """What all accounts have received, in base units."""
        return sum(received.total for received in self.accounts.values())

    @property
    def size(self) -> int:
        """The bytes that all accounts have received."""
        return sum(received.size for received in self.accounts.values())

    def _of(self, account: str) -> Received:
        received = self.accounts.get(account)
        if received is None:
            if len(self.accounts) >= MOST_ACCOUNTS:
                account = OTHERS
            received = self.accounts.setdefault(account, Received())
        return received

    def left(self, account: str) -> int | None:
        """What an account still takes; None for anything."""
        limit = self.limitOf(account)
        return None if limit is None else limit - self._of(account).accepted

    def limitOf(self, account: str) -> int | None:
        """What an account takes in all; None for anything."""
        limit = self._limits.get(account)
        return self._limit if limit is None else limit

    def judgePayment(self, request: PaymentRequest) -> bool | Refusal:
        """Accept what is within the account's limit."""
        account = nameOf(request.connectionTag)
        limit = self.limitOf(account)
        if limit is None:
            return True
        received = self._of(account)
        if received.accepted + request.amount > limit:
            return Refusal(f"this account takes {limit} units in all")
        received.accepted += request.amount
        return True

    def credit(self, account: str, amount: int) -> None:
        """Money was credited."""
        self._of(account).total += amount
        self._note(account)

    def take(self, account: str, size: int) -> None:
        """Bytes came."""
        self._of(account).size += size
        self._note(account)

    def _note(self, account: str) -> None:
        self._changed[account if account in self.accounts else OTHERS] = None
        if self._call is None:
            self._call = self._reactor.callLater(TELL_INTERVAL, self.tell)

    def tell(self) -> None:
        """Tell what is new."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None
        changed, self._changed = self._changed, {}
        for account in changed:
            received = self.accounts[account]
            _log.info(
                "{account} received {amount} units and {size} bytes, {total} units in all",
                account=account,
                amount=received.total - received.told,
                total=received.total,
                size=received.size - received.toldSize,
                totalSize=received.size,
            )
            received.told, received.toldSize = received.total, received.size
            if self.told is not None:
                self.told(account, received)


class _Receiving(StreamProtocol):
    """Takes everything, and keeps nothing but the count."""

    def __init__(
        self, accounts: Accounts, account: str, tap: Callable[[bytes], None] | None
    ) -> None:
        self._accounts = accounts
        self._account = account
        self._tap = tap

    def connectionMade(self) -> None:
        """Take what the account still takes; what is over is refused with a reason."""
        left = self._accounts.left(self._account)
        if left:
            self.transport.setReceiveMax(left)

    def moneyReceived(self, amount: int) -> None:
        """Count money; whoever has more to give than the account takes need not wait."""
        self._accounts.credit(self._account, amount)
        if self._accounts.left(self._account) == 0:
            self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        """Count bytes."""
        self._accounts.take(self._account, len(data))
        if self._tap is not None:
            self._tap(data)


class ReceivingFactory(Factory):
    """Builds a protocol for each stream."""

    noisy = False

    def __init__(self, accounts: Accounts, tap: Callable[[bytes], None] | None = None) -> None:
        """
        @param tap: called with all data that comes.
        """
        self._accounts = accounts
        self._tap = tap

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """Make a protocol for a stream of an account's."""
        tag = addr.connectionTag if isinstance(addr, StreamAddress) else ""
        return _Receiving(self._accounts, nameOf(tag), self._tap)
