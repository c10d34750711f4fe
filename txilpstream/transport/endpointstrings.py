"""
Endpoint strings, for C{serverFromString} and C{clientFromString}.

A server is C{ilpstream:plugin=PLUGIN} with C{secret=} or C{secretFile=}; a client is
C{ilpstream:plugin=PLUGIN} with C{address=} and C{secret=}. PLUGIN is a description as
C{pluginFromString} takes it, quoted with C{twisted.internet.endpoints.quoteStringArgument}; without
it, the plugin is that of the environment variable C{ILP_PLUGIN}. Secrets are 32 octets in base64url
or hex. This module is imported whenever Twisted looks for plugins, so it imports what it
needs only when it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import (
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamClientEndpointStringParserWithReactor,
    IStreamServerEndpoint,
    IStreamServerEndpointStringParser,
)
from twisted.plugin import IPlugin
from zope.interface import implementer

from txilpstream.crypto.credentials import readSecret

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from txilpstream.crypto.credentials import Credentials
    from txilpstream.interfaces import AnyPlugin, AnyReactor, Plugin

__all__ = ["ClientParser", "ServerParser"]


def _makePlugin(reactor: Any, description: str) -> Plugin:
    import os

    from txilpstream.plugins.registry import pluginFromEnvironment, pluginFromString

    if description:
        return pluginFromString(reactor, description)
    return pluginFromEnvironment(reactor, os.environ)


@implementer(IStreamServerEndpoint)
class _Server:
    """Opens the plugin's account when it is asked to listen."""

    def __init__(self, reactor: AnyReactor, plugin: AnyPlugin, secret: bytes | None) -> None:
        self._reactor = reactor
        self._plugin = plugin
        self._secret = secret

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """
        @return: fires with a port, whose C{server} gives credentials to clients.
        """
        from txilpstream.transport.account import Account
        from txilpstream.transport.server import StreamServer

        account = Account(self._reactor, self._plugin)
        server = StreamServer(account, self._secret, closesAccount=True)
        return server.listen(protocolFactory)


@implementer(IStreamClientEndpoint)
class _Client:
    """Opens the plugin's account when it is first asked to connect."""

    def __init__(self, reactor: AnyReactor, plugin: AnyPlugin, credentials: Credentials) -> None:
        self._reactor = reactor
        self._plugin = plugin
        self._credentials = credentials
        self._endpoint: IStreamClientEndpoint | None = None

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """
        @return: fires with the protocol, connected.
        """
        from txilpstream.transport.account import Account
        from txilpstream.transport.client import StreamClient
        from txilpstream.transport.endpoints import StreamClientEndpoint

        if self._endpoint is None:
            client = StreamClient(Account(self._reactor, self._plugin))
            self._endpoint = StreamClientEndpoint(client, self._credentials)
        return self._endpoint.connect(protocolFactory)


@implementer(IPlugin, IStreamServerEndpointStringParser)
class ServerParser:
    """C{ilpstream:plugin=PLUGIN:secretFile=PATH}."""

    prefix = "ilpstream"

    def parseStreamServer(self, reactor: Any, *args: Any, **kwargs: Any) -> IStreamServerEndpoint:
        """
        Make the endpoint from PLUGIN, C{secret} and C{secretFile}, each of which may be missing.

        @raise LocalError: if there are other parts, or the plugin or the secret is not valid.
        """
        from txilpstream.plugins.registry import callWithParts

        return callWithParts(self._make, self.prefix, reactor, args, kwargs)

    def _make(
        self, reactor: Any, plugin: str = "", secret: str = "", secretFile: str = ""
    ) -> IStreamServerEndpoint:
        if secretFile:
            with open(secretFile, encoding="ascii") as file:
                secret = file.read().strip()
        octets = readSecret(secret) if secret else None
        return _Server(reactor, _makePlugin(reactor, plugin), octets)


@implementer(IPlugin, IStreamClientEndpointStringParserWithReactor)
class ClientParser:
    """C{ilpstream:plugin=PLUGIN:address=ADDRESS:secret=SECRET}."""

    prefix = "ilpstream"

    def parseStreamClient(self, reactor: Any, *args: Any, **kwargs: Any) -> IStreamClientEndpoint:
        """
        Make the endpoint from PLUGIN, which may be missing, C{address} and C{secret}.

        @raise LocalError: if there are other parts, or one is not valid.
        """
        from txilpstream.plugins.registry import callWithParts

        return callWithParts(self._make, self.prefix, reactor, args, kwargs)

    def _make(
        self, reactor: Any, plugin: str = "", address: str = "", secret: str = ""
    ) -> IStreamClientEndpoint:
        from txilpstream.crypto.credentials import Credentials

        credentials = Credentials(address, readSecret(secret))
        return _Client(reactor, _makePlugin(reactor, plugin), credentials)
