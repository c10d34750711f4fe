"""
URLs of peers and servers: one reader for all of them, and what connects to where they lead.

What may stand in a URL is decided here once: a scheme of those that are asked for, a host, a port,
a path of visible ASCII characters, and a login. A login, a path and a query may be secret: errors
and C{repr} name a scheme and a host and never more. Plain connections go no further than this
machine, unless somebody says that they shall.
"""

# (Parts of twisted.internet.endpoints have no annotations.)
# mypy: allow-untyped-calls

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    wrapClientTLS,
)
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import PrivateCertificate, optionsForClientTLS

from txilpstream.errors import LocalError, wrongType

if TYPE_CHECKING:
    from twisted.web.iweb import IPolicyForHTTPS

__all__ = [
    "URL",
    "addressOf",
    "checkToken",
    "isInside",
    "isLoopback",
    "makeEndpoint",
    "readBTPURL",
    "readHTTPURL",
    "readURL",
]

CONNECT_TIME: Final = 10.0
"""Seconds that the network may take to connect; TLS has the rest of the packet's time."""

HTTP_SCHEMES: Final[Mapping[str, bool]] = {"https": True, "http": False}
"""Each scheme, and whether it is over TLS."""

BTP_SCHEMES: Final[Mapping[str, bool]] = {
    "btp+wss": True,
    "btp+ws": False,
    "wss": True,
    "ws": False,
}

_PORTS: Final = {False: 80, True: 443}

_LONGEST_HOST: Final = 253

_VISIBLE: Final = re.compile(r"[\x21-\x7e]*")
"""What needs no quotation in a request or a header."""

_HOST: Final = re.compile(r"[a-z0-9._:-]+", re.ASCII)


def addressOf(host: str) -> IPv4Address | IPv6Address | None:
    """The IP address that a host is, without brackets; None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def isLoopback(host: str) -> bool:
    """Whether what is sent to a host never leaves this machine, as far as its name tells."""
    address = addressOf(host)
    if address is None:
        return host.rstrip(".") == "localhost"
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def isInside(host: str) -> bool:
    """Whether only this machine, or its own network, can be meant by a host that is an address."""
    address = addressOf(host)
    return isLoopback(host) or (address is not None and not address.is_global)


@dataclass(slots=True, frozen=True)
class URL:
    """
    A URL, taken apart.

    @ivar scheme: in lower case.
    @ivar host: a name in ASCII or an IP address, in lower case and without brackets.
    @ivar port: 1 to 65535.
    @ivar path: with the query; never empty. It is not shown, for it may be as secret as a token.
    @ivar isSecure: whether TLS is spoken.
    @ivar username: percent-decoded, or an empty string.
    @ivar password: percent-decoded, or None; not shown.
    """

    scheme: str
    host: str
    port: int
    path: str = field(repr=False)
    isSecure: bool
    username: str = ""
    password: str | None = field(default=None, repr=False)

    @property
    def authority(self) -> str:
        """What stands in the C{Host} header, and in errors: the host, and a port if need be."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.isSecure] else f"{host}:{self.port}"

    @property
    def uri(self) -> str:
        """The URL without its login."""
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def isPrivate(self) -> bool:
        """Whether nobody on the way can read or change what is said."""
        return self.isSecure or isLoopback(self.host)


def readURL(url: str, schemes: Mapping[str, bool]) -> URL:
    """
    Take a URL apart; its fragment, which is for whoever has it only, is left out.

    @param schemes: those that are taken, each with whether it is over TLS; the first is named in
        errors.
    @raise LocalError: if it is no such URL.
    """
    form = f"{next(iter(schemes))}://host:port/path"
    given: object = url
    if not isinstance(given, str):
        raise wrongType("the url", url, f"it takes a str like {form}")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        # Each label has at most 63 characters, and none is empty.
        host = host.encode("idna").decode("ascii") if ":" not in host else host
    except ValueError:
        raise LocalError(f"the url cannot be read: write it as {form}") from None
    isSecure = schemes.get(parts.scheme)
    if isSecure is None:
        raise LocalError(
            f"the url must be of the form {form}, beginning with one of "
            f"{', '.join(f'{scheme}://' for scheme in schemes)}"
        )
    # Two slashes amid the authority are a URL within a URL.
    if port == 0 or len(host) > _LONGEST_HOST or not _HOST.fullmatch(host) or "//" in parts.netloc:
        raise LocalError(f"the url names no possible host, or the port 0: write it as {form}")
    path = parts.path or "/"
    if parts.query:
        path = f"{path}?{parts.query}"
    if _VISIBLE.fullmatch(path) is None:
        raise LocalError(
            "the path of the url has other than visible ASCII characters: encode them with %"
        )
    password = None if parts.password is None else unquote(parts.password)
    return URL(
        parts.scheme,
        host,
        port or _PORTS[isSecure],
        path,
        isSecure,
        unquote(parts.username or ""),
        password,
    )


def _checkPrivate(url: URL, isInsecure: bool) -> URL:
    if not (url.isPrivate or isInsecure):
        raise LocalError(
            f"{url.scheme}:// to {url.host[:80]} would show the token and all packets to anybody "
            f"on the way: use {url.scheme}s://, or say that this is wanted (--insecure, "
            "insecure=yes or isInsecure=True)"
        )
    return url


def readHTTPURL(url: str, isInsecure: bool) -> URL:
    """
    Read where an ILP over HTTP peer is; a token may stand as a password in it.

    @param isInsecure: whether C{http:} may go to other hosts than this one.
    @raise LocalError: if the URL is none, or has a user's name, or goes where it must not.
    """
    read = readURL(url, HTTP_SCHEMES)
    if read.username:
        raise LocalError("the url has a user's name: write a token as https://:TOKEN@host/path")
    return _checkPrivate(read, isInsecure)


def readBTPURL(url: str, isInsecure: bool) -> URL:
    """
    Read where a BTP server is: C{btp+wss://account:token@host:port/path}.

    @param isInsecure: whether C{ws:} may go to other hosts than this one.
    @raise LocalError: if the URL is none, or has a fragment (RFC 6455 section 3), or goes where it
        must not.
    """
    read = readURL(url, BTP_SCHEMES)
    if "#" in url:
        raise LocalError("the url of a BTP server has no fragment: write # in its path as %23")
    return _checkPrivate(read, isInsecure)


def checkToken(name: str, token: str) -> str:
    """
    Give back a token that can stand in a header.

    @param name: what it is called in the error's text, where it does not stand itself.
    @raise LocalError: if it has spaces, or other than visible ASCII characters.
    """
    if _VISIBLE.fullmatch(token) is None:
        raise LocalError(f"the {name} has other than visible ASCII characters")
    return token


def makeEndpoint(
    reactor: Any,
    url: URL,
    policy: IPolicyForHTTPS | None = None,
    certificate: PrivateCertificate | None = None,
    *,
    timeout: float = CONNECT_TIME,
) -> IStreamClientEndpoint:
    """
    Make what connects to where a URL leads, with TLS about it if it is secure.

    @param policy: whom to trust; those that the platform trusts if it is None.
    @param certificate: what to show the peer, or None.
    @param timeout: seconds that the network may take to connect.
    @raise LocalError: if both are given: a policy shows what it wants.
    """
    if policy is not None and certificate is not None:
        raise LocalError("a clientCertificate goes with no contextFactory, which decides itself")
    address = addressOf(url.host)
    kind: Any = HostnameEndpoint
    if address is not None:
        kind = TCP4ClientEndpoint if address.version == 4 else TCP6ClientEndpoint
    endpoint: IStreamClientEndpoint = kind(reactor, url.host, url.port, timeout=timeout)
    if not url.isSecure:
        return endpoint
    creator: Any
    if policy is None:
        creator = optionsForClientTLS(url.host, clientCertificate=certificate)
    else:
        creator = policy.creatorForNetloc(url.host.encode("ascii"), url.port)
    wrapped: IStreamClientEndpoint = wrapClientTLS(creator, endpoint)
    return wrapped
