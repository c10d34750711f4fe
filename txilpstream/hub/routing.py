"""
The accounts of a hub, and which of them an address leads to.
"""

from __future__ import annotations

from txilpstream.errors import LocalError
from txilpstream.hub.accounts import AccountOptions, HubAccount
from txilpstream.hub.routes import Routes
from txilpstream.wire.address import checkAddress, join

__all__ = ["Directory"]


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
