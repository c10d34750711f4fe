"""
Endpoints, so that any Twisted factory can listen on a STREAM account or connect over one.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint
from zope.interface import implementer

from txilpstream.crypto.credentials import Credentials
from txilpstream.errors import ConnectionEnded, wrongType
from txilpstream.interfaces import AnyFactory, PaymentPolicy
from txilpstream.session.configuration import SessionOptions
from txilpstream.transport.account import Account
from txilpstream.transport.client import CONNECT_TIMEOUT, StreamClient, checkArguments
from txilpstream.transport.connection import StreamConnection
from txilpstream.transport.server import StreamPort, StreamServer

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["StreamClientEndpoint", "StreamServerEndpoint"]


@implementer(IStreamServerEndpoint)
class StreamServerEndpoint:
    """Listens with a L{StreamServer}."""

    def __init__(self, server: StreamServer) -> None:
        """
        @raise LocalError: if it is no server.
        """
        if not isinstance(server, StreamServer):
            raise wrongType("server", server, "it takes a StreamServer")
        self._server = server

    # A StreamPort is an IListeningPort, but a Deferred of one is no Deferred of the other.
    def listen(  # type: ignore[override]
        self, protocolFactory: AnyFactory
    ) -> Deferred[StreamPort]:
        """Give each stream that a client opens a protocol of the factory's."""
        return self._server.listen(protocolFactory)


@implementer(IStreamClientEndpoint)
class StreamClientEndpoint:
    """
    Opens a stream each time, all on one connection: credentials are good for one at a time.

    The connection is opened by the first, ends when it has been idle for long, and is opened
    anew by the next, which waits for the end of one that is being closed.
    """

    def __init__(
        self,
        client: StreamClient,
        credentials: Credentials,
        *,
        factory: AnyFactory | None = None,
        policy: PaymentPolicy | None = None,
        timeout: float = CONNECT_TIMEOUT,
        isReachable: bool = True,
        **options: Unpack[SessionOptions],
    ) -> None:
        """
        All is as of L{StreamClient.connect}.

        @raise LocalError: if it is no client, or another argument is not valid.
        """
        if not isinstance(client, StreamClient):
            raise wrongType("client", client, "it takes a StreamClient")
        checkArguments(credentials, factory, policy, options)
        self._client = client
        self._timeout = timeout
        self._open = partial(
            client.openConnection,
            credentials,
            factory=factory,
            policy=policy,
            isReachable=isReachable,
            **options,
        )
        self._connection: StreamConnection | None = None

    def connect(self, protocolFactory: AnyFactory) -> Deferred[Any]:
        """
        @return: fires with the protocol, connected; fails with ConnectionEnded.
        """
        return self._client.account.whenOpen().addCallback(self._cbOpen, protocolFactory)

    def _cbOpen(self, account: Account, protocolFactory: AnyFactory) -> Deferred[Any]:
        connection = self._connection
        if connection is not None and connection.session.isKeyExhausted:
            return connection.openStream(protocolFactory)  # which says that its key is used up
        if connection is not None and connection.session.isClosing:
            if not connection.session.isClosed:
                closed = connection.whenClosed()
                closed.addTimeout(self._timeout, account.reactor, self._onTimeout)
                return closed.addCallback(lambda _: self._cbOpen(account, protocolFactory))
            connection = None
        if connection is None:
            connection = self._connection = self._open()
        if connection.session.hasPeer:
            return connection.openStream(protocolFactory)
        connected = self._client.whenConnected(connection, self._timeout)
        return connected.addCallback(self._cbConnected, protocolFactory)

    def _onTimeout(self, result: object, timeout: float) -> None:
        raise ConnectionEnded(f"the connection before this one did not end within {timeout} s")

    def _cbConnected(
        self, connection: StreamConnection, protocolFactory: AnyFactory
    ) -> Deferred[Any]:
        return connection.openStream(protocolFactory)
