"""
What a payment may cost and must deliver: amounts, and the rate below which nothing leaves.

The rate is given, follows from prices or from both sides' assets, or is measured; the floor is that
less the slippage (decided once, when the payment starts). A floor that is given as such is taken as
it is. Whatever is wrong is found when the terms are made, before anything leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from txilpstream.amounts import U64_MAX, Asset, Ratio, checkAmount, rateBetween
from txilpstream.errors import LocalError, checkKind

__all__ = ["MOST_DATA", "ONE_PERCENT", "Terms"]

MOST_DATA: Final = 1 << 14
"""Bytes that a receiver takes on a stream before it says so."""

ONE_PERCENT: Final = Ratio(1, 100)
"""The slippage that is allowed if nothing else is said: what the peers take, too."""


@dataclass(slots=True, frozen=True)
class Terms:
    """
    The terms of one payment or quote, checked.

    @ivar sourceAmount: what is to be sent; None if the delivery is fixed.
    @ivar destinationAmount: what is to be delivered; None if the sending is fixed.
    @ivar maxSourceAmount: what may leave at most, in doubt counted as gone.
    @ivar rate: the rate that is expected, as given.
    @ivar prices: of assets, by code.
    @ivar minimumRate: the floor as given.
    @ivar slippage: how much of a rate that is no floor may be lost.
    @ivar acceptAnyRate: whether there is to be no floor at all.
    @ivar data: goes with the first money.
    """

    sourceAmount: int | None = None
    destinationAmount: int | None = None
    maxSourceAmount: int = U64_MAX
    rate: Ratio | None = None
    prices: Mapping[str, Ratio] | None = None
    minimumRate: Ratio | None = None
    slippage: Ratio = ONE_PERCENT
    acceptAnyRate: bool = False
    data: bytes = b""

    def __post_init__(self) -> None:
        """
        @raise LocalError: if an amount or a rate is not valid, or they do not go together.
        """
        if (self.sourceAmount is None) == (self.destinationAmount is None):
            raise LocalError("either sourceAmount or destinationAmount must be given, and not both")
        for name in ("sourceAmount", "destinationAmount", "maxSourceAmount"):
            amount = getattr(self, name)
            if amount is not None or name == "maxSourceAmount":
                checkAmount(name, amount, minimum=1)
        if self.sourceAmount is not None and self.sourceAmount > self.maxSourceAmount:
            raise LocalError(
                f"sourceAmount is {self.sourceAmount}: it must be at most maxSourceAmount, which "
                f"is {self.maxSourceAmount}"
            )
        for name in ("rate", "minimumRate", "slippage"):
            ratio = getattr(self, name)
            if ratio is not None or name == "slippage":
                checkKind(name, ratio, Ratio, "a Ratio, such as Ratio(9, 10)")
        if self.prices is not None:
            checkKind("prices", self.prices, Mapping, "a mapping such as {'EUR': Ratio(1)}")
        checkKind("acceptAnyRate", self.acceptAnyRate, bool, "True or False")
        if self.rate is not None and not self.rate.numerator:
            raise LocalError("rate is 0: nothing would arrive; acceptAnyRate takes any rate")
        if Ratio(1) < self.slippage:
            raise LocalError(f"the slippage {self.slippage} must be from 0 to 1")
        checkKind("data", self.data, bytes, "bytes")
        if len(self.data) > MOST_DATA:
            raise LocalError(
                f"data has {len(self.data)} bytes: at most {MOST_DATA} go with the first money"
            )
        floors = [self.rate is not None, self.prices is not None, self.minimumRate is not None]
        if self.acceptAnyRate and any(floors):
            raise LocalError("acceptAnyRate does not go with a rate, prices or a minimumRate")
        if sum(floors) > 1 and not (self.minimumRate is not None and sum(floors) == 2):
            raise LocalError("give a rate or prices, not both")

    @property
    def most(self) -> int:
        """Source units that may leave at most."""
        return self.maxSourceAmount if self.sourceAmount is None else self.sourceAmount

    def needsAssets(self) -> bool:
        """Whether the peer's asset must be known before the rate is."""
        return self.prices is not None and self.rate is None

    def expected(self, source: Asset | None, destination: Asset | None) -> Ratio | None:
        """
        The rate that is expected, None if it is to be measured.

        @raise LocalError: if there are prices, and not for both assets.
        """
        if self.rate is not None or self.acceptAnyRate:
            return self.rate
        if source is None or destination is None:
            if self.prices is not None:
                raise LocalError("prices were given and an asset is not known: give a rate")
            return None
        rate = rateBetween(source, destination, self.prices or {})
        if rate is None and self.prices is not None:
            raise LocalError(f"there is no price for {source[0]} or for {destination[0]}")
        return rate

    def options(self, expected: Ratio | None) -> dict[str, Any]:
        """The fields of a session's configuration that say so."""
        floor, fixed = self.minimumRate, self.destinationAmount
        if floor is None and expected is not None:
            floor = expected.less(self.slippage)
        return {
            "minimumRate": floor,
            "expectedRate": expected,
            "slippage": self.slippage,
            "acceptAnyRate": self.acceptAnyRate,
            "probePrecision": 1000 if fixed is None else max(1, min(1000, fixed // 2)),
        }
