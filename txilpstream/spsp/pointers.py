"""
Payment pointers (RFC 26) and URLs: which may be asked, and over which way.

Both are taken in one spelling only, in ASCII: nobody is to be paid because a letter of another
script, or a number that a resolver takes for an address, looks like somebody else.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import Final

from txilpstream.errors import LocalError
from txilpstream.http.url import HTTP_SCHEMES, URL, addressOf, readURL
from txilpstream.logs import withoutSecrets

__all__ = ["placeOf", "pointerToURL", "shown"]

_LONGEST_URL: Final = 2048
_HOST: Final = r"(?P<host>\[[0-9a-f:.]+\]|[a-z0-9.-]+)"
_URL: Final = re.compile(
    rf"(?:https?)://{_HOST}(?::[0-9]{{1,5}})?"
    r"(?:[/?#](?:[a-z0-9._~!$&'()*+,;=:@/?#-]|%[0-9a-f]{2})*)?",
    re.ASCII | re.IGNORECASE,
)
_POINTER: Final = re.compile(
    rf"\${_HOST}(?P<path>(?:/(?:[a-z0-9._~!$&'()*+,;=:@-]|%[0-9a-f]{{2}})*)*)",
    re.ASCII | re.IGNORECASE,
)
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII | re.IGNORECASE)
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII | re.IGNORECASE)


def _isHost(host: str) -> bool:
    """Whether a host is an IP address, or a name that no resolver takes for one, as C{127.1}."""
    address = addressOf(host[1:-1] if host.startswith("[") else host)
    if address is not None or host.startswith("["):
        return isinstance(address, IPv6Address) == host.startswith("[")
    labels = host.split(".")
    if len(host) > 253 or _NUMBER.fullmatch(labels[-1]) is not None:
        return False
    return all(_LABEL.fullmatch(label) is not None for label in labels)


def placeOf(url: str) -> URL | None:
    """Where a URL leads; None if it is no whole http or https URL, or has a login."""
    found = _URL.fullmatch(url) if len(url) <= _LONGEST_URL else None
    if found is None or not _isHost(found["host"]):
        return None
    try:
        return readURL(url, HTTP_SCHEMES)
    except LocalError:
        return None


def shown(url: str) -> str:
    """A URL as it may stand in an error: what follows a question mark may be a secret."""
    return re.split("[?#]", url, maxsplit=1)[0][:200]


def pointerToURL(text: str) -> str:
    """
    Say which URL a payment pointer stands for (RFC 26).

    C{$example.com/bob} is C{https://example.com/bob}, and C{$example.com} is
    C{https://example.com/.well-known/pay}. A pointer has ASCII characters only: nobody is to be
    paid because a letter of another script looks alike.

    @param text: a payment pointer, or the URL of an SPSP server, which is returned as it is.
    @raise LocalError: if it is neither. Logins are refused, and not shown.
    """
    given: object = text
    if isinstance(given, str):
        found = _POINTER.fullmatch(text) if len(text) <= _LONGEST_URL else None
        if found is not None and _isHost(found["host"]):
            path = "/.well-known/pay" if found["path"] in ("", "/") else found["path"]
            return f"https://{found['host'].lower()}{path}"
        if placeOf(text) is not None:
            return text
        # A text that does not even begin as one may be anything, a secret too.
        isMeant = text.startswith("$") or "://" in text
        said = shown(text)[:80] if isMeant else withoutSecrets(text)[:80]
        what = "this text with an '@' in it" if "@" in text else repr(said)
    else:
        what = f"an object of type {type(text).__name__}"
    raise LocalError(
        f"{what} is not a payment pointer: write '$example.com/name' with a host, no port, login "
        "or query, in ASCII (hosts as 'xn--', paths with '%'), or an 'https://' URL without login"
    )
