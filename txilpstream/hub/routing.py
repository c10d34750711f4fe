"""
Which account of a hub an address leads to: the longest prefix of whole segments decides.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from txilpstream.errors import LocalError
from txilpstream.wire.address import MAX_ADDRESS_LENGTH, isSegment

__all__ = ["Routes"]

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
