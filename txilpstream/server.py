"""
The side that hands out credentials: it knows a client again by the address it gave it.

Nothing is kept of a client before its first packet authenticates. Connections are bounded in number
and in the bytes they hold together; an idle one is let go when room is needed, and made anew by
its next packet, unless something of it would be lost.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.interfaces import IDelayedCall, IListeningPort, IProtocolFactory
from zope.interface import implementer

from txilpstream.account import Account
from txilpstream.connection import StreamConnection
from txilpstream.credentials import Credentials, TokenReader
from txilpstream.crypto import SECRET_LENGTH, SessionKeys
from txilpstream.errors import LocalError
from txilpstream.protocol import StreamAddress
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.windows import ByteBudget
from txilpstream.wire.ilp import ERROR_NAMES, Prepare, encodeReject

__all__ = ["StreamServer"]

_UNEXPECTED: Final = encodeReject("F06", "", ERROR_NAMES["F06"])
_BUSY: Final = encodeReject("T03", "", ERROR_NAMES["T03"])

LINGER: Final = 30.0
"""Seconds for which a closed connection still answers: late packets live so long."""

MAXIMUM_CONNECTIONS: Final = 10_000
BYTE_BUDGET: Final = 256 << 20

MOST_LOOKED_AT: Final = 16
"""Connections that are looked at, the longest unused first, to find one that can go."""


class StreamServer:
    """
    Accepts connections on one account.

    @ivar connections: by the address segment that was given to each client.
    """

    def __init__(
        self,
        account: Account,
        secret: bytes | None = None,
        *,
        policy: Any = None,
        maximumConnections: int = MAXIMUM_CONNECTIONS,
        byteBudget: int = BYTE_BUDGET,
        **options: Any,
    ) -> None:
        """
        @param secret: 32 octets that every address is made with; without it they are random, and
            addresses end with the process.
        @param policy: an L{IPaymentPolicy <txilpstream.interfaces.IPaymentPolicy>}.
        @param byteBudget: bytes that all connections may hold for the application.
        @param options: fields of L{SessionConfiguration}.
        @raise LocalError: if the secret or an option is not valid.
        """
        self.account = account
        self._reader = TokenReader(
            account.randomBytes(SECRET_LENGTH) if secret is None else secret, account.randomBytes
        )
        self._policy = policy
        self._maximumConnections = maximumConnections
        self._budget = ByteBudget(byteBudget)
        options.setdefault("sourceAssetCode", account.assetCode)
        options.setdefault("sourceAssetScale", account.assetScale)
        try:
            self._configuration = SessionConfiguration(isServer=True, **options)
        except TypeError as error:
            raise LocalError(f"an option is not known: {error}") from None
        self._factory: IProtocolFactory | None = None
        self.connections: OrderedDict[str, StreamConnection] = OrderedDict()
        self._lingering: dict[StreamConnection, IDelayedCall] = {}

    def generateCredentials(
        self, *, connectionTag: str = "", receiptNonce: bytes = b"", receiptSecret: bytes = b""
    ) -> Credentials:
        """
        Make an address and a secret for one client.

        @param connectionTag: comes back with every packet of the connection.
        @raise LocalError: if the tag or the receipt's parts are not valid.
        """
        account = self.account
        return self._reader.generateCredentials(
            checkOpen(account),
            connectionTag=connectionTag,
            receiptNonce=receiptNonce,
            receiptSecret=receiptSecret,
            assetCode=account.assetCode,
            assetScale=account.assetScale,
        )

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        Accept connections; each stream that a client opens gets a protocol of the factory's.

        @return: fires with a port, whose C{stopListening} closes all connections.
        @raise LocalError: if the account has a server already, or no address.
        """
        checkOpen(self.account)
        self.account.setServer(self.receivePrepare)
        self._factory = factory
        factory.doStart()
        return succeed(_Port(self))

    def stop(self) -> Deferred[None]:
        """
        Accept no more, close all connections in good order.

        @return: fires when they are closed.
        """
        self.account.setServer(None)
        factory, self._factory = self._factory, None
        if factory is not None:
            factory.doStop()
        for connection, call in list(self._lingering.items()):
            call.cancel()
            del self._lingering[connection]
        closing = [connection.close() for connection in self.connections.values()]
        return gatherResults(closing).addCallback(lambda _: self.connections.clear())

    def receivePrepare(self, segment: str, prepare: Prepare) -> bytes | Deferred[bytes]:
        """Answer a Prepare for one of the addresses that were given out."""
        connection = self.connections.get(segment)
        if connection is None or (
            connection.session.isClosed and prepare.amount and connection.session.peerClosed
        ):
            known = connection
            connection = self._recognise(segment, prepare)
            if connection is None:
                return _UNEXPECTED if known is None else known.receivePrepare(segment, prepare)
            if not self._makeRoom():
                return _BUSY
            self.connections[segment] = connection
        elif len(self.connections) > 1:
            self.connections.move_to_end(segment)
        return connection.receivePrepare(segment, prepare)

    def _recognise(self, segment: str, prepare: Prepare) -> StreamConnection | None:
        """Make a connection if its first packet authenticates; the way is the same if not."""
        token, secret = self._reader.read(segment)
        keys = SessionKeys(secret)
        if keys.open(prepare.data) is None or token is None:
            return None
        configuration = replace(
            self._configuration,
            sourceAddress=self.account.ownAddress(segment),
            connectionTag=token.connectionTag,
            receiptNonce=token.receiptNonce,
            receiptSecret=token.receiptSecret,
        )
        connection = StreamConnection(
            self.account,
            configuration,
            keys,
            factory=self._factory,
            policy=self._policy,
            budget=self._budget,
        )
        connection.onEnd = lambda ended: self._linger(segment, ended)
        return connection

    def _makeRoom(self) -> bool:
        """Let an idle connection go if the table is full; False if none can."""
        if len(self.connections) < self._maximumConnections:
            return True
        for segment in list(self.connections)[:MOST_LOOKED_AT]:
            connection = self.connections[segment]
            if connection.mayBeLetGo:
                connection.letGo()
                del self.connections[segment]
                return True
        return False

    def _linger(self, segment: str, connection: StreamConnection) -> None:
        """Answer late packets of a closed connection for a while; no server, no packets."""
        if self._factory is not None:
            reactor = self.account.reactor
            call = reactor.callLater(LINGER, self._forget, segment, connection)
            self._lingering[connection] = call

    def _forget(self, segment: str, connection: StreamConnection) -> None:
        del self._lingering[connection]
        if self.connections.get(segment) is connection:
            del self.connections[segment]


def checkOpen(account: Account) -> str:
    """
    The address of an account that can receive.

    @raise LocalError: if it has none.
    """
    if not account.address:
        raise LocalError("the account has no address: open it with Account.open before listening")
    return account.address


@implementer(IListeningPort)
class _Port:
    """
    A server that listens, as endpoints see it.

    @ivar server: the server itself, which gives credentials to clients.
    """

    def __init__(self, server: StreamServer) -> None:
        self.server = server

    def startListening(self) -> None:
        """It listens already."""

    def stopListening(self) -> Deferred[None]:
        """Close all connections in good order."""
        return self.server.stop()

    def getHost(self) -> StreamAddress:
        """The account's address."""
        return StreamAddress(self.server.account.address, 0)
