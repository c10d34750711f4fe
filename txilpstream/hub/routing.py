"""
The accounts of a hub, and which of them an address leads to.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from txilpstream.errors import LocalError
from txilpstream.hub.accounts import AccountOptions, HubAccount
from txilpstream.wire.address import MAX_ADDRESS_LENGTH, checkAddress, isSegment, join

__all__ = ["Directory", "Routes"]

T = TypeVar("T")


class Routes(Generic[T]):
    """Prefixes of whole segments, with what each leads to."""

    __slots__ = ("_known", "_longest")

    def __init__(self) -> None:
        self._known: dict[str, T] = {}
        self._longest = 0

    def add(self, prefix: str, target: T) -> None:
        """
        Say where addresses with a prefix go.

        @param prefix: whole segments, such as C{"g.bank"}; an empty one is the default.
        @raise LocalError: if it is no prefix, or leads elsewhere already.
        """
        isPrefix = not prefix or all(isSegment(part) for part in prefix.split("."))
        if not isPrefix or len(prefix) > MAX_ADDRESS_LENGTH:
            raise LocalError(
                f"{prefix[:80]!r} is no prefix of addresses: it must be of segments with dots "
                "between them, such as 'g.bank', or empty for all that no other prefix is for"
            )
        if self._known.setdefault(prefix, target) is not target:
            raise LocalError(f"the prefix {prefix[:80]!r} leads to another account already")
        self._longest = max(self._longest, prefix.count(".") + 1)

    def remove(self, target: T) -> None:
        """Forget all that leads there."""
        for prefix in [prefix for prefix, to in self._known.items() if to is target]:
            del self._known[prefix]

    def find(self, address: str) -> T | None:
        """Where an address leads, None for nowhere."""
        known = self._known
        prefix = ".".join(address.split(".", self._longest)[: self._longest])
        while prefix:
            target = known.get(prefix)
            if target is not None:
                return target
            prefix = prefix.rpartition(".")[0]
        return known.get("")


class Directory:
    """
    Accounts by name and by address.

    @ivar address: the hub's own ILP address; those of its accounts begin with it.
    @ivar accounts: by name.
    """

    def __init__(self, address: str) -> None:
        """
        @raise LocalError: if the address is none.
        """
        self.address = checkAddress(address)
        self.accounts: dict[str, HubAccount] = {}
        self._routes: Routes[HubAccount] = Routes()

    def find(self, address: str) -> HubAccount | None:
        """Which account is next on the way to an address; None if there is none."""
        return self._routes.find(address)

    def addAccount(
        self,
        name: str,
        options: AccountOptions | None = None,
        *,
        routes: tuple[str, ...] = (),
        isMade: bool = False,
    ) -> HubAccount:
        """
        Make an account; C{Hub.attach} gives it a way in and out.

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
        if account.balance or account.held or account.promised:
            raise LocalError(
                f"the account {account.name!r} has a balance of {account.balance}, or packets "
                "under way: settle it first"
            )
        for outlet in account.outlets:
            outlet.close()
        account.outlets.clear()
        self._routes.remove(account)
        del self.accounts[account.name]
