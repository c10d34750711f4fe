"""
ILP addresses (RFC 15): what is one, and how segments are put together.

Each check takes what RFC 15 allows and nothing else: an address that another node refuses would
lose every packet that bears it. Where packets go is decided in C{hub.routing}.
"""

from __future__ import annotations

import re
from typing import Final, cast

from txilpstream.errors import LocalError, checkKind

__all__ = ["MAX_ADDRESS_LENGTH", "checkAddress", "isAddress", "isSegment", "join", "localPart"]

MAX_ADDRESS_LENGTH: Final = 1023
"""The most characters that an address may have (RFC 15)."""

_ADDRESS: Final = re.compile(
    r"(?:g|private|example|peer|self|test[1-3]?|local)(?:\.[A-Za-z0-9_~-]+)+", re.ASCII
)
_SEGMENT: Final = re.compile(r"[A-Za-z0-9_~-]+", re.ASCII)


def isAddress(text: str) -> bool:
    """Whether a text is a whole ILP address: a known scheme and one segment or more."""
    return len(text) <= MAX_ADDRESS_LENGTH and _ADDRESS.fullmatch(text) is not None


def isSegment(text: str) -> bool:
    """Whether a text can stand between two dots of an address."""
    return _SEGMENT.fullmatch(text) is not None


def checkAddress(text: object) -> str:
    """
    Give back an address that is one.

    @raise LocalError: if it is none.
    """
    checkKind("the address", text, str, "an ILP address such as 'example.alice.1'")
    address = cast("str", text)
    if not isAddress(address):
        mayBeSecret = ":" in address or ("." not in address and len(address) > 15)  # or base64
        raise LocalError(
            f"{'this text' if mayBeSecret else repr(address)[:80]} is not an ILP address: it must "
            f"be like 'example.alice.1', of at most {MAX_ADDRESS_LENGTH} characters"
        )
    return address


def join(address: str, *segments: str) -> str:
    """
    Append segments to an address.

    @raise LocalError: if the whole is not an address.
    """
    return checkAddress(".".join((address, *segments)))


def localPart(address: str, prefix: str) -> str | None:
    """
    What follows C{prefix} and a dot in an address.

    @return: the rest, an empty string if the two are equal, None if the address is elsewhere.
    """
    if address.startswith(prefix):
        rest = address[len(prefix) :]
        if not rest:
            return ""
        if rest[0] == ".":
            return rest[1:]
    return None
