"""
One account of a hub: whose it is, what it is owed, and what it may do.

The balance is what the hub owes the account, in the account's units. What is in packets
that wait for an answer is held: a balance less what is held never falls below its minimum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from txilpstream.amounts import U64_MAX, checkAmount
from txilpstream.errors import LocalError
from txilpstream.hub.outlet import Outlet
from txilpstream.wire.address import isSegment
from txilpstream.wire.ildcp import AccountDetails, encodeResponse

__all__ = ["AccountOptions", "HubAccount"]

LONGEST_NAME: Final = 100
LONGEST_CODE: Final = 100

MOST_PER_MINUTE: Final = 10**9


@dataclass(slots=True, frozen=True)
class AccountOptions:
    """
    What the owner of a hub says of an account.

    @ivar assetCode: such as C{"USD"}.
    @ivar assetScale: the number of decimals, 0 to 255.
    @ivar minimumBalance: what the balance never falls below, in the account's units, at most 0 for
        one that begins with 0; None for no limit: its owner is trusted.
    @ivar maximumPacketAmount: of one packet that the account sends; more gets F08.
    @ivar packetsPerMinute: that the account may send, as many at once; more get T05. None for no
        limit.
    """

    assetCode: str = "USD"
    assetScale: int = 9
    minimumBalance: int | None = None
    maximumPacketAmount: int = U64_MAX
    packetsPerMinute: int | None = None

    def __post_init__(self) -> None:
        """
        @raise LocalError: if one is not possible.
        """
        code = self.assetCode
        if not isinstance(code, str) or not 0 < len(code) <= LONGEST_CODE or not code.isprintable():
            raise LocalError(
                f"assetCode is {str(code)[:40]!r}: it must be of 1 to {LONGEST_CODE} printable "
                "characters, such as 'USD'"
            )
        checkAmount("assetScale", self.assetScale, maximum=255)
        checkAmount("maximumPacketAmount", self.maximumPacketAmount, minimum=1)
        if self.minimumBalance is not None:
            checkAmount("minimumBalance", self.minimumBalance, minimum=-(2**127), maximum=0)
        if self.packetsPerMinute is not None:
            name = "packetsPerMinute"
            checkAmount(name, self.packetsPerMinute, minimum=1, maximum=MOST_PER_MINUTE)

    @property
    def asset(self) -> tuple[str, int]:
        """Code and scale."""
        return self.assetCode, self.assetScale


class HubAccount:
    """
    One account.

    @ivar name: the segment of its address.
    @ivar address: its ILP address.
    @ivar options: its L{AccountOptions}.
    @ivar balance: what the hub owes it, in its units; negative if it owes the hub.
    @ivar held: in its packets that wait for an answer.
    @ivar heldFor: in packets to it that wait for an answer.
    @ivar totalSent: in its packets that were fulfilled.
    @ivar totalReceived: in packets to it that it fulfilled.
    @ivar outlets: the ways to it, the best first.
    @ivar isMade: whether it was made on first use.
    @ivar configuration: the answer to its IL-DCP requests.
    """

    def __init__(
        self, name: str, address: str, options: AccountOptions, isMade: bool = False
    ) -> None:
        """
        @raise LocalError: if the name cannot stand in an address.
        """
        if not isSegment(name) or len(name) > LONGEST_NAME:
            raise LocalError(
                f"{name[:40]!r} is no name of an account: it must be of 1 to {LONGEST_NAME} "
                "letters, digits and the characters _ ~ -"
            )
        self.name = name
        self.address = address
        self.options = options
        self.balance = 0
        self.held = 0
        self.heldFor = 0
        self.totalSent = 0
        self.totalReceived = 0
        self.outlets: list[Outlet] = []
        self.isMade = isMade
        details = AccountDetails(address, options.assetScale, options.assetCode)
        self.configuration = encodeResponse(details)
        self._tokens = float(options.packetsPerMinute or 0)
        self._filledAt: float | None = None

    __slots__ = (
        "_filledAt",
        "_tokens",
        "address",
        "balance",
        "configuration",
        "held",
        "heldFor",
        "isMade",
        "name",
        "options",
        "outlets",
        "totalReceived",
        "totalSent",
    )

    @property
    def isConnected(self) -> bool:
        """Whether a packet can be sent to it now."""
        return any(outlet.isConnected for outlet in self.outlets)

    @property
    def isIdle(self) -> bool:
        """Whether nothing would be lost if it were forgotten."""
        return not (self.balance or self.held or self.heldFor or self.isConnected)

    def takePacket(self, now: float) -> bool:
        """
        Count a packet that the account sends.

        @param now: seconds, of any clock that only goes forward.
        @return: whether its rate allows it.
        """
        limit = self.options.packetsPerMinute
        if limit is None:
            return True
        if self._filledAt is not None and now > self._filledAt:
            self._tokens = min(limit, self._tokens + (now - self._filledAt) * limit / 60)
        self._filledAt = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def hold(self, amount: int) -> bool:
        """Set money aside that the account sends; False, and nothing is held, if it has not it."""
        minimum = self.options.minimumBalance
        if minimum is not None and self.balance - self.held - amount < minimum:
            return False
        self.held += amount
        return True

    def release(self, amount: int) -> None:
        """A packet of the account's was not fulfilled."""
        self.held -= amount

    def debit(self, amount: int) -> None:
        """A packet of the account's was fulfilled."""
        self.held -= amount
        self.balance -= amount
        self.totalSent += amount

    def credit(self, amount: int) -> None:
        """The account fulfilled a packet."""
        self.balance += amount
        self.totalReceived += amount
