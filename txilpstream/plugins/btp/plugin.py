"""
BTP plugins from descriptions: one that calls its peer by a URL, or one that listens for it.

A token stands in no error.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from txilpstream.errors import LocalError
from txilpstream.interfaces import IPluginFactory
from txilpstream.plugins.btp.client import BTPClientPlugin
from txilpstream.plugins.btp.link import BTPLink
from txilpstream.plugins.btp.server import BTPServerPlugin
from txilpstream.plugins.registry import callWithParts, listeningEndpoint, readYesNo

__all__ = ["BTPPluginFactory"]


@implementer(IPluginFactory)
class BTPPluginFactory:
    """
    Makes plugins from a URL, or from C{listen=} and an endpoint to wait at.

    Either C{btp:URL} or C{btp:url=URL}, colons escaped, with C{account=}, C{token=} and
    C{insecure=yes}; a plain URL of L{BTPClientPlugin}'s is taken as it is. Or C{btp:listen=} and
    an endpoint to listen at, with C{token=}: the peer calls, with that token and any account.
    Both take C{timeout=}, the seconds that C{connect} waits.
    """

    prefix = "btp"

    def fromString(self, reactor: IReactorTime, *args: str, **kwargs: str) -> BTPLink:
        """
        Make a plugin.

        @raise LocalError: if the parts are not as above, or the URL is not possible or not safe.
        """
        if "listen" in kwargs:
            return callWithParts(self._makeListening, self.prefix, reactor, args, kwargs)
        return callWithParts(self._makeClient, self.prefix, reactor, args, kwargs)

    def _makeClient(
        self,
        reactor: IReactorTime,
        url: str,
        *,
        account: str = "",
        token: str | None = None,
        insecure: str = "no",
        timeout: str = "30",
    ) -> BTPLink:
        return BTPClientPlugin(
            reactor,
            url,
            account=account,
            token=token,
            isInsecure=readYesNo("insecure", insecure),
            connectTimeout=_readSeconds(timeout),
        )

    def _makeListening(
        self, reactor: IReactorTime, *, listen: str, token: str, timeout: str = "30"
    ) -> BTPLink:
        endpoint = listeningEndpoint(reactor, listen)
        return BTPServerPlugin(reactor, endpoint, token, connectTimeout=_readSeconds(timeout))


def _readSeconds(text: str) -> float:
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text)):
        raise LocalError(f"timeout is {text[:20]!r}: it must be a number of seconds from 1")
    return float(text)
