"""
Where an HTTP peer is and how it is reached: URLs, tokens and TLS.

This module knows what may stand in a URL and which of it is secret: errors name hosts and never
more of a URL. It opens no connection.
"""

# (Parts of twisted.internet.endpoints have no annotations.)
# mypy: allow-untyped-calls

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    wrapClientTLS,
)
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import PrivateCertificate, optionsForClientTLS
from twisted.web.client import BrowserLikePolicyForHTTPS
from twisted.web.iweb import IPolicyForHTTPS

from txilpstream.errors import LocalError

__all__ = [
    "BTPAddress",
    "Target",
    "checkToken",
    "makeBTPEndpoint",
    "makeEndpoint",
    "parseTarget",
    "parseURL",
]

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


CONNECT_TIME: Final = 10.0
"""Seconds that the network may take to connect; TLS has the rest of the packet's time."""

_VISIBLE: Final = re.compile(r"[\x21-\x7e]*")
_HOST_httptarget: Final = re.compile(r"[A-Za-z0-9._:-]+")


@dataclass(slots=True, frozen=True)
class Target:
    """
    Where requests go.

    @ivar host: a name in ASCII or an IP address.
    @ivar isSecure: whether TLS is spoken.
    @ivar uri: the URL without its userinfo; a path may be as secret as a token.
    @ivar token: what the peer knows this side by, or empty.
    """

    host: str
    port: int
    isSecure: bool
    uri: bytes = field(repr=False)
    token: bytes = field(repr=False)

    @property
    def authority(self) -> bytes:
        """What stands in the C{Host} header, and in errors: the host, and a port if need be."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        if self.port != (443 if self.isSecure else 80):
            host = f"{host}:{self.port}"
        return host.encode("ascii")


def checkToken(name: str, token: str) -> str:
    """
    Give back a token that can stand in a header.

    @param name: what it is called in the error's text, where it does not stand itself.
    @raise LocalError: if it has spaces, or other than visible ASCII characters.
    """
    if _VISIBLE.fullmatch(token) is None:
        raise LocalError(f"the {name} has other than visible ASCII characters")
    return token


def _splitURL(url: str) -> tuple[SplitResult, str, int | None]:
    """Take a URL apart, and give its host and port besides."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        if not host.isascii():
            host = host.encode("idna").decode("ascii")
    except ValueError:
        raise LocalError("the url cannot be read: write it as https://host:port/path") from None
    if parts.scheme not in ("http", "https") or _HOST_httptarget.fullmatch(host) is None:
        raise LocalError("the url must be of the form https://host:port/path, or http: for tests")
    return parts, host, port


def _ipAddress(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def parseTarget(url: str, token: str, isInsecure: bool) -> Target:
    """
    Read a URL.

    @param token: if it is empty, the password in the URL is the token, if there is one.
    @param isInsecure: whether C{http:} may go to other hosts than this one.
    @raise LocalError: if the URL is none, or has a user's name, or goes where it must not.
    """
    parts, host, port = _splitURL(url)
    if parts.username:
        raise LocalError("the url has a user's name: write a token as https://:TOKEN@host/path")
    isSecure = parts.scheme == "https"
    address = _ipAddress(host)
    isLoopback = host == "localhost" if address is None else address.is_loopback
    if not (isSecure or isInsecure or isLoopback):
        raise LocalError(
            f"http: to {host[:80]} would show the token and all packets to anybody on the way: use "
            "https:, or say that this is wanted (--insecure, insecure=yes or isInsecure=True)"
        )
    path = parts.path or "/"
    if parts.query:
        path = f"{path}?{parts.query}"
    if _VISIBLE.fullmatch(path) is None:
        raise LocalError("the path of the url has other than visible ASCII characters: encode them")
    target = Target(
        host,
        port or (443 if isSecure else 80),
        isSecure,
        b"",
        checkToken("token", token or unquote(parts.password or "")).encode("ascii"),
    )
    uri = b"%b://%b%b" % (parts.scheme.encode("ascii"), target.authority, path.encode("ascii"))
    return Target(target.host, target.port, isSecure, uri, target.token)


def makeEndpoint(
    reactor: Any,
    target: Target,
    policy: IPolicyForHTTPS | None,
    certificate: PrivateCertificate | None,
) -> IStreamClientEndpoint:
    """
    Make what connects to a target, with TLS about it if it is secure.

    @param policy: whom to trust; those that the platform trusts if it is None.
    @param certificate: what to show the peer, or None.
    @raise LocalError: if both are given: a policy shows what it wants.
    """
    if policy is not None and certificate is not None:
        raise LocalError("a clientCertificate goes with no contextFactory, which decides itself")
    address = _ipAddress(target.host)
    endpoint: IStreamClientEndpoint
    if address is None:
        endpoint = HostnameEndpoint(reactor, target.host, target.port, timeout=CONNECT_TIME)
    elif address.version == 4:
        endpoint = TCP4ClientEndpoint(reactor, target.host, target.port, timeout=CONNECT_TIME)
    else:
        endpoint = TCP6ClientEndpoint(reactor, target.host, target.port, timeout=CONNECT_TIME)
    if not target.isSecure:
        return endpoint
    creator: Any
    if certificate is not None:
        creator = optionsForClientTLS(target.host, clientCertificate=certificate)
    else:
        policy = policy or BrowserLikePolicyForHTTPS()
        creator = policy.creatorForNetloc(target.host.encode("ascii"), target.port)
    wrapped: IStreamClientEndpoint = wrapClientTLS(creator, endpoint)
    return wrapped


def makeBTPEndpoint(reactor: Any, address: BTPAddress) -> IStreamClientEndpoint:
    """Dial the address's host, with TLS and a check of its certificate if it is to be secure."""
    from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS

    endpoint = HostnameEndpoint(reactor, address.host, address.port)
    if not address.isSecure:
        return endpoint
    from twisted.internet.ssl import optionsForClientTLS

    wrapped: IStreamClientEndpoint = wrapClientTLS(optionsForClientTLS(address.host), endpoint)
    return wrapped
