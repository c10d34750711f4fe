"""
What a question of SPSP (RFC 9) says: which account, what kind of answer, and which receipts.

This module reads requests and decides nothing. How a path becomes a connection tag stands here too,
for the tag has to say which account was asked for when the money comes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from twisted.web.http_headers import Headers

from txilpstream.crypto.credentials import readOctets
from txilpstream.errors import LocalError
from txilpstream.http.client import textsOf
from txilpstream.spsp.client import CONTENT_TYPE

__all__ = ["accepts", "accountOf", "pathOf", "receiptsOf", "tagOf"]

_PLAIN: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
_TAG: Final = re.compile("(?:[A-Za-z0-9_-]|~[0-9a-f]{2})*", re.ASCII)
_EXCLUDED: Final = re.compile(r"0(?:\.0*)?", re.ASCII)
_KINDS: Final = ("*/*", "application/*", CONTENT_TYPE)


def tagOf(path: str) -> str:
    """
    The connection tag that stands for a path: no two paths have the same.

    Letters, digits, C{_} and C{-} stand for themselves, and each octet of the others, in UTF-8, is
    a tilde and two hex digits: C{bob/invoice-7} is C{bob~2finvoice-7}.
    """
    return "".join(chr(o) if o in _PLAIN else f"~{o:02x}" for o in path.encode("utf-8"))


def accountOf(tag: str) -> str:
    """
    The path that a tag of L{tagOf} stands for.

    @raise LocalError: if it stands for none.
    """
    if _TAG.fullmatch(tag) is not None:
        octets = re.sub("~(..)", lambda found: chr(int(found[1], 16)), tag).encode("latin-1")
        try:
            path = octets.decode("utf-8")
        except UnicodeDecodeError:
            path = ""
        if tagOf(path) == tag:
            return path
    raise LocalError(f"the tag {tag[:80]!r} was not made of an account's path")


def accepts(headers: Headers) -> bool:
    """Whether the C{Accept} header leaves room for our content type (RFC 9110 section 12.5.1)."""
    values = textsOf(headers, b"Accept")
    wishes = [wish for wish in ",".join(values).split(",") if wish.strip()]
    best, isWanted = -1, not wishes
    for wish in wishes:
        kind, *parameters = (part.strip().lower() for part in wish.split(";"))
        rank = _KINDS.index(kind) if kind in _KINDS else -1
        if rank < 0 or rank < best:
            continue
        names = (parameter.partition("=") for parameter in parameters)
        weights = [value.strip() for name, _, value in names if name.strip() == "q"]
        isExcluded = any(_EXCLUDED.fullmatch(weight) for weight in weights)
        isWanted = not isExcluded or (rank == best and isWanted)
        best = rank
    return isWanted


def pathOf(postpath: Sequence[bytes]) -> str | None:
    """Which account is asked for, an empty text for the default one; None if it can be none."""
    segments = list(postpath)
    if segments and not segments[-1]:
        segments.pop()
    if segments == [b".well-known", b"pay"]:
        return ""
    try:
        names = [segment.decode("utf-8") for segment in segments]
    except UnicodeDecodeError:
        return None
    for name in names:
        if name in ("", ".", "..") or "/" in name or not name.isprintable():
            return None
    return "/".join(names)


def receiptsOf(headers: Headers) -> tuple[bytes, bytes] | None:
    """Nonce and secret of the receipts that are wanted, both empty for none; None if bad."""
    nonces = textsOf(headers, b"Receipt-Nonce")
    secrets = textsOf(headers, b"Receipt-Secret")
    if not nonces and not secrets:
        return b"", b""
    if len(nonces) != 1 or len(secrets) != 1:
        return None
    nonce, secret = readOctets(nonces[0], 16), readOctets(secrets[0], 32)
    return None if nonce is None or secret is None else (nonce, secret)
