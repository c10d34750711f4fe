"""
The side that hands out credentials: it knows a client again by the address it gave it.

Nothing is kept of a client before its first packet authenticates. Connections are bounded in number
and in the bytes they hold together. One that is idle and was not used yet is let go when room is
needed, and made anew by its next packet; one that was used stays until it is over, for its
streams, limits and totals would be lost.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.interfaces import IDelayedCall, IListeningPort
from twisted.python.failure import Failure
from zope.interface import implementer

from txilpstream.amounts import checkAmount
from txilpstream.crypto.keys import SECRET_LENGTH, SessionKeys
from txilpstream.crypto.tokens import ILP_PROTOCOL_STREAM
from txilpstream.errors import ErrorCode
from txilpstream.interfaces import AnyFactory, AnyPlugin, AnyReactor, PaymentPolicy, ProtocolFactory
from txilpstream.session.configuration import SessionOptions, configure
from txilpstream.session.streams.flowcontrol import ByteBudget
from txilpstream.transport.account import Account, CredentialsMaker, accountFor
from txilpstream.transport.connection import StreamConnection
from txilpstream.transport.protocol import checkFactory, checkPolicy
from txilpstream.transport.stream import StreamAddress
from txilpstream.waiters import Waiters
from txilpstream.wire.ilp import Prepare, rejectWith

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["StreamPort", "StreamServer"]

_UNEXPECTED: Final = rejectWith("F06")
_BUSY: Final = rejectWith("T03")

LINGER: Final = 30.0
"""Seconds for which a closed connection still answers: late packets live so long."""

MOST_ENDED: Final = 100_000
"""Addresses, some 100 bytes each, whose connections are over: a client that comes back to one of
them and goes on where it was is told that nobody is there any more."""

MAXIMUM_CONNECTIONS: Final = 10_000
"""Some 12 kB each while they are idle."""

BYTE_BUDGET: Final = 256 << 20
"""Bytes that all connections together may hold for applications that do not read."""

MOST_LOOKED_AT: Final = 16
"""Connections that are looked at, the longest unused first, to find one that can go."""


class StreamServer(CredentialsMaker):
    """
    Accepts connections on one account.

    @ivar account: the account.
    @ivar connections: by the address segment that was given to each client.
    """

    def __init__(
        self,
        account: Account | AnyPlugin,
        secret: bytes | None = None,
        *,
        reactor: AnyReactor | None = None,
        policy: PaymentPolicy | None = None,
        maximumConnections: int = MAXIMUM_CONNECTIONS,
        byteBudget: int = BYTE_BUDGET,
        tokenFormats: Iterable[str] = (ILP_PROTOCOL_STREAM,),
        closesAccount: bool = False,
        **options: Unpack[SessionOptions],
    ) -> None:
        """
        @param account: an L{Account <txilpstream.transport.account.Account>}, or a plugin, of which
            one is made and opened by L{listen}.
        @param reactor: for the account of a plugin; Twisted's own by default.
        @param secret: 32 octets that every address is made with; without it they are random, and
            addresses end with the process.
        @param policy: an L{IPaymentPolicy <txilpstream.interfaces.IPaymentPolicy>}.
        @param maximumConnections: 1 or more; whoever comes to a full table gets T03.
        @param byteBudget: bytes that all connections may hold for the application.
        @param tokenFormats: whose credentials are good besides our own, see L{TokenFormats
            <txilpstream.crypto.tokens.TokenFormats>}.
        @param closesAccount: whether to close the account when the server stops.
        @param options: see L{SessionOptions <txilpstream.session.configuration.SessionOptions>}.
        @raise LocalError: if the secret or an option is not valid.
        """
        account = accountFor(account, reactor)
        if secret is None:
            secret = account.randomBytes(SECRET_LENGTH)
        super().__init__(account, secret, tokenFormats)
        checkPolicy(policy)
        self._policy = policy
        self._maximumConnections = checkAmount("maximumConnections", maximumConnections, minimum=1)
        self._budget = ByteBudget(checkAmount("byteBudget", byteBudget))
        self._configuration = configure(options, isServer=True)
        self._factory: ProtocolFactory | None = None
        self._listening: Deferred[Account] | None = None
        self._closesAccount = closesAccount
        self._isStopping = False
        self._stopped: Waiters[None] = Waiters()
        self.connections: OrderedDict[str, StreamConnection] = OrderedDict()
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._encrypted: OrderedDict[str, int] = OrderedDict()
        self._lingering: dict[StreamConnection, IDelayedCall] = {}

    def listen(self, factory: AnyFactory) -> Deferred[StreamPort]:
        """
        Accept connections; each stream that a client opens gets a protocol of the factory's.

        @return: fires with a port, whose C{stopListening} closes all connections; fails if the
            account cannot be opened.
        @raise LocalError: if the account has a server already, or the factory is none.
        """
        checkFactory(factory)
        self.account._setServer(self._receivePrepare)
        self._factory = factory
        listening = self._listening = self.account.whenOpen()
        return listening.addCallbacks(self._cbOpen, self._ebOpen)

    def _cbOpen(self, account: Account) -> StreamPort:
        self._listening = None
        if self._configuration.sourceAssetCode is None:
            self._configuration = replace(
                self._configuration,
                sourceAssetCode=account.assetCode,
                sourceAssetScale=account.assetScale,
            )
        if self._factory is not None:
            self._factory.doStart()
        return StreamPort(self)

    def _ebOpen(self, failure: Failure) -> Failure:
        self._factory = self._listening = None
        self.account._setServer(None)
        return failure

    def stopListening(self) -> Deferred[None]:
        """
        Accept no connections more, and close those there are in good order, which takes as long
        as their clients take what was written and offered.

        @return: fires when they are closed; at once if it does not listen, or not yet: L{listen}
            is cancelled then.
        """
        if self._listening is not None:
            self._listening.cancel()
            return self.account.close() if self._closesAccount else succeed(None)
        if self._factory is None:
            return succeed(None)
        stopped = self._stopped.add()  # who cancels it waits no more; it stops all the same
        if not self._isStopping:
            self._isStopping = True
            for connection in list(self.connections.values()):
                connection.close()
            closing = [connection.whenClosed() for connection in self.connections.values()]
            ended: Deferred[Any] = gatherResults(closing).addCallback(self._cbStopped)
            ended.addCallbacks(self._stopped.fire, self._stopped.fail)
        return stopped

    def _cbStopped(self, _: object) -> Deferred[None] | None:
        factory, self._factory = self._factory, None
        self.account._setServer(None)
        self._isStopping = False
        for call in self._lingering.values():
            call.cancel()
        self._lingering.clear()
        self.connections.clear()
        if factory is not None:
            factory.doStop()
        return self.account.close() if self._closesAccount else None

    def _receivePrepare(self, segment: str, prepare: Prepare) -> bytes | Deferred[bytes]:
        """Answer a Prepare for one of the addresses that were given out."""
        connection = self.connections.get(segment)
        if connection is None or connection.session.isClosed:
            return self._receiveFirst(segment, prepare, connection)
        if len(self.connections) > 1:
            self.connections.move_to_end(segment)
        return connection._receivePrepare(segment, prepare)

    def _receiveFirst(
        self, segment: str, prepare: Prepare, known: StreamConnection | None
    ) -> bytes | Deferred[bytes]:
        """Answer a packet of which no open connection is known."""
        if known is not None and not known.session.restartsConnection(prepare):
            return known._receivePrepare(segment, prepare)
        if known is not None:
            self._remember(segment, known)
        connection = self._recognise(segment, prepare)
        if connection is None:
            return _UNEXPECTED
        if self._isStopping:
            connection._letGo()
            return _BUSY if known is None else known._receivePrepare(segment, prepare)
        if known is not None:
            del self.connections[segment]
        if not self._makeRoom():
            connection._letGo()
            return _BUSY
        self.connections[segment] = connection
        if segment in self._ended:
            if known is None and not connection.session.restartsConnection(prepare):
                # Its limits and offsets are forgotten: the client is told that it is over.
                connection.abort("the connection was forgotten", ErrorCode.NO_ERROR)
            else:
                del self._ended[segment]
        return connection._receivePrepare(segment, prepare)

    def _recognise(self, segment: str, prepare: Prepare) -> StreamConnection | None:
        """Make a connection if its first packet authenticates; the way is the same if not."""
        token, secret = self._tokens.read(segment)
        keys = SessionKeys(secret)
        if keys.open(prepare.data) is None or token is None:
            return None
        if token.isExpired(self.account.now()):
            return None
        configuration = replace(
            self._configuration,
            sourceAddress=self.account._ownAddress(segment),
            connectionTag=token.connectionTag,
            receiptNonce=token.receiptNonce,
            receiptSecret=token.receiptSecret,
            encryptedBefore=self._encrypted.get(segment, 0),
        )
        return StreamConnection(
            self.account,
            configuration,
            keys,
            factory=self._factory,
            policy=self._policy,
            budget=self._budget,
            onEnd=lambda ended: self._linger(segment, ended),
        )

    def _makeRoom(self) -> bool:
        """Let an idle connection go if the table is full; False if none can."""
        if len(self.connections) < self._maximumConnections:
            return True
        for segment in list(self.connections)[:MOST_LOOKED_AT]:
            connection = self.connections[segment]
            if connection._mayBeLetGo:
                connection._letGo()
                self._remember(segment, connection)
                del self.connections[segment]
                return True
        return False

    def _remember(self, segment: str, connection: StreamConnection) -> None:
        """Whoever comes back to an address encrypts under the same key (RFC 29 section 5.1.3)."""
        self._encrypted[segment] = connection.session.packetsEncrypted
        if len(self._encrypted) > MOST_ENDED:
            self._encrypted.popitem(last=False)

    def _linger(self, segment: str, connection: StreamConnection) -> None:
        """Answer late packets of a closed connection for a while; no server, no packets."""
        self._remember(segment, connection)
        if connection.session.isUsed:
            self._ended[segment] = None
            if len(self._ended) > MOST_ENDED:
                self._ended.popitem(last=False)
        if self._factory is not None:
            reactor = self.account.reactor
            call = reactor.callLater(LINGER, self._forget, segment, connection)
            self._lingering[connection] = call

    def _forget(self, segment: str, connection: StreamConnection) -> None:
        del self._lingering[connection]
        if self.connections.get(segment) is connection:
            self._remember(segment, connection)
            del self.connections[segment]


@implementer(IListeningPort)
class StreamPort:
    """
    A server that listens.

    @ivar server: the server itself, which gives credentials to clients.
    """

    def __init__(self, server: StreamServer) -> None:
        self.server = server

    def startListening(self) -> None:
        """It listens already."""

    def stopListening(self) -> Deferred[None]:
        """As of L{StreamServer.stopListening}."""
        return self.server.stopListening()

    def getHost(self) -> StreamAddress:
        """The account's address."""
        return StreamAddress(self.server.account.address, 0)
