"""
Answers of SPSP servers that may be used again.

This module knows what C{Cache-Control} says; it is told the time.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import Final

from twisted.web.http_headers import Headers

from txilpstream.amounts import checkAmount
from txilpstream.crypto.credentials import Credentials
from txilpstream.http.client import textsOf

__all__ = ["SPSPCache", "lifetimeOf"]


class SPSPCache:
    """
    Answers that may be used again, for as long as their servers say (RFC 9).

    A second connection with the same credentials takes the place of the first at the server: use
    a cache only where no two payments run to one receiver at a time.
    """

    LONGEST: Final = 86400.0
    """Seconds that an answer is kept at most, whatever its server says."""

    def __init__(self, maximumEntries: int = 1000) -> None:
        """
        @param maximumEntries: 1 or more; when there are more, the oldest is forgotten.
        @raise LocalError: if it is something else.
        """
        self._maximumEntries = checkAmount("maximumEntries", maximumEntries, minimum=1)
        self._entries: OrderedDict[tuple[str, bool], tuple[float, Credentials]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, url: str, isInsecure: bool = False, *, now: float) -> Credentials | None:
        """What was answered, if it is still good; if it is not, it is forgotten."""
        entry = self._entries.get((url, isInsecure))
        if entry is None:
            return None
        expiresAt, credentials = entry
        if now < expiresAt:
            return credentials
        del self._entries[url, isInsecure]
        return None

    def put(
        self,
        url: str,
        credentials: Credentials,
        lifetime: float,
        isInsecure: bool = False,
        *,
        now: float,
    ) -> None:
        """
        Keep an answer in the place of an older one.

        @param lifetime: seconds; nothing is kept for 0.
        @param isInsecure: whether it may have come over plain http: it is none for whoever does
            not want that.
        """
        key = url, isInsecure
        self._entries.pop(key, None)
        if lifetime <= 0:
            return
        self._entries[key] = now + min(lifetime, self.LONGEST), credentials
        if len(self._entries) > self._maximumEntries:
            self._entries.popitem(last=False)

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()


def lifetimeOf(headers: Headers) -> float:
    """Seconds for which an answer may be used again: 0 unless its server says more."""
    ages = []
    for line in textsOf(headers, b"Cache-Control"):
        for directive in line.lower().split(","):
            name, _, value = directive.strip().partition("=")
            if name in ("no-store", "no-cache"):
                return 0.0
            if name == "max-age":
                ages.append(_secondsOf(value))
    spent = [_secondsOf(value) for value in textsOf(headers, b"Age")]
    return max(0.0, min(ages, default=0.0) - max(spent, default=0.0))


def _secondsOf(text: str) -> float:
    return float(text) if re.fullmatch("[0-9]{1,9}", text, re.ASCII) else 0.0
