"""
Where a BTP client calls, and as whom, read from a URL.

This module knows the form of such URLs and which of them are safe, and dials none. No error that
is raised here repeats a URL: it may hold a token.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final
from urllib.parse import unquote, urlsplit

from txilpstream.errors import LocalError

__all__ = ["BTPAddress", "parseURL"]

_SECURE: Final = {"ws": False, "btp+ws": False, "wss": True, "btp+wss": True}

_PORTS: Final = {False: 80, True: 443}

_PATH: Final = re.compile("[!-~]*", re.ASCII)
"""Visible ASCII characters, which need no quotation in a request."""

_HOST: Final = re.compile("[a-z0-9._:-]+", re.ASCII)


@dataclass(slots=True, frozen=True)
class BTPAddress:
    """
    What a URL says.

    @ivar host: a name or an IP address, without brackets.
    @ivar port: 1 to 65535.
    @ivar path: with the query; never empty.
    @ivar isSecure: whether TLS is used.
    @ivar account: the user name, or an empty string.
    @ivar token: the password, or None; not shown.
    """

    host: str
    port: int
    path: str
    isSecure: bool
    account: str = ""
    token: str | None = field(default=None, repr=False)

    @property
    def hostHeader(self) -> str:
        """The value of the C{Host} header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.isSecure] else f"{host}:{self.port}"

    @property
    def isLoopback(self) -> bool:
        """Whether what is sent there never leaves this machine."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


def parseURL(url: str) -> BTPAddress:
    """
    Read a URL such as C{btp+wss://account:token@host:port/path}.

    The scheme is C{btp+ws}, C{btp+wss}, C{ws} or C{wss}. Account and token are percent-decoded.

    @raise LocalError: if it is no such URL.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise LocalError("the URL of a BTP peer is wrong in its host or port") from None
    isSecure = _SECURE.get(parts.scheme)
    if isSecure is None:
        raise LocalError("the URL of a BTP peer begins with btp+wss://, btp+ws://, wss:// or ws://")
    if not host or port == 0 or len(host) > 253 or "//" in parts.netloc:
        raise LocalError("the URL of a BTP peer names no host, or the port 0")
    try:
        host = host.encode("idna").decode("ascii")
    except UnicodeError:
        host = ""
    if not _HOST.fullmatch(host):
        raise LocalError("the host in the URL of a BTP peer is not possible")
    path = parts.path or "/"
    if parts.query:
        path = f"{path}?{parts.query}"
    if not _PATH.fullmatch(path) or parts.fragment:
        raise LocalError(
            "the path in the URL of a BTP peer must be of visible ASCII characters, without a "
            "fragment: quote others with %"
        )
    token = None if parts.password is None else unquote(parts.password)
    account = unquote(parts.username or "")
    return BTPAddress(host, port or _PORTS[isSecure], path, isSecure, account, token)
