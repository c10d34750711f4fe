"""
The side that was given credentials: it opens connections.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory, IReactorTime

from txilpstream.crypto.credentials import Credentials
from txilpstream.crypto.keys import SessionKeys
from txilpstream.crypto.tokens import RANDOM_TOKEN_LENGTH
from txilpstream.errors import LocalError
from txilpstream.session.configuration import configure
from txilpstream.transport.account import Account, accountFor
from txilpstream.transport.connection import StreamConnection

__all__ = ["CONNECT_TIMEOUT", "StreamClient"]

CONNECT_TIMEOUT: Final = 30.0
"""Seconds within which the peer must have answered."""


class StreamClient:
    """Opens connections from one account."""

    def __init__(self, account: Any, *, reactor: IReactorTime | None = None) -> None:
        """
        @param account: an L{Account}, or a plugin, of which one is made and opened by L{connect}.
        @param reactor: for the account of a plugin; Twisted's own by default.
        """
        self.account: Account = accountFor(account, reactor)

    def connect(
        self,
        credentials: Credentials,
        *,
        factory: IProtocolFactory | None = None,
        policy: Any = None,
        timeout: float = CONNECT_TIMEOUT,
        isReachable: bool = True,
        **options: Any,
    ) -> Deferred[StreamConnection]:
        """
        Open a connection and wait until the server has proved that it knows the secret.

        @param factory: builds protocols for streams that the server opens.
        @param policy: asked before money of the server's is accepted.
        @param timeout: seconds.
        @param isReachable: whether the server is told where this side is, so that it can send of
            its own accord; otherwise it only answers.
        @param options: fields of L{SessionConfiguration}.
        @return: fires with the connection; fails with ConnectionEnded, which lists every reject.
            Cancelling it gives the connection up.
        @raise LocalError: if credentials or an option are not valid.
        """
        _check(credentials, options)
        opened = self.account.whenOpen()

        def start(_: Account) -> Deferred[StreamConnection]:
            connection = self.start(
                credentials, factory=factory, policy=policy, isReachable=isReachable, **options
            )
            return self.whenConnected(connection, timeout)

        return opened.addCallback(start)

    def whenConnected(
        self, connection: StreamConnection, timeout: float = CONNECT_TIMEOUT
    ) -> Deferred[StreamConnection]:
        """
        Wait until the server has answered on a connection that L{start} gave.

        @param timeout: seconds after which the connection is given up.
        @return: as of L{connect}.
        """
        opened = connection.whenOpen()
        message = f"the server did not answer within {timeout} s"
        timer = self.account.reactor.callLater(timeout, connection.abort, message)
        result: Deferred[StreamConnection] = Deferred(lambda _: giveUp())

        def giveUp() -> None:
            """Wait no more; the connection ends with the last that waited for it."""
            if timer.active():
                timer.cancel()
            if opened in connection.opening:
                connection.opening.remove(opened)
            if not connection.opening and not connection.session.hasPeer:
                connection.abort()

        def done(value: Any) -> None:
            if timer.active():
                timer.cancel()
            if not result.called:
                (result.callback if value is connection else result.errback)(value)

        opened.addBoth(done)
        return result

    def start(
        self,
        credentials: Credentials,
        *,
        factory: IProtocolFactory | None = None,
        policy: Any = None,
        isReachable: bool = True,
        **options: Any,
    ) -> StreamConnection:
        """
        Open a connection without waiting for the server; the account must be open.

        @param isReachable: as of L{connect}.
        @raise LocalError: if credentials or an option are not valid.
        """
        _check(credentials, options)
        account = self.account
        keys = SessionKeys(credentials.sharedSecret)
        route: list[StreamConnection] = []
        source = segment = ""
        if account.address and (isReachable or mustBeReachable(credentials)):
            segment = account.attach(
                lambda local, prepare: route[0].receivePrepare(local, prepare)  # noqa: PLW0108
            )
            source = account.ownAddress(segment)
        options.setdefault("sourceAssetCode", account.assetCode)
        options.setdefault("sourceAssetScale", account.assetScale)
        configuration = configure(
            options, destinationAddress=credentials.destinationAddress, sourceAddress=source
        )
        connection = StreamConnection(account, configuration, keys, factory=factory, policy=policy)
        route.append(connection)
        if segment:
            connection.onEnd = lambda _: account.release(segment)
        connection.wake()
        return connection


def mustBeReachable(credentials: Credentials) -> bool:
    """
    Whether a server may not read a packet with an empty address: those of interledger-rs and of
    Quilt do not, and are known by the length of their tokens.
    """
    return len(credentials.destinationAddress.rpartition(".")[2]) == RANDOM_TOKEN_LENGTH


def _check(credentials: Credentials, options: dict[str, Any]) -> None:
    """
    @raise LocalError: if credentials are none or an option is not valid.
    """
    if not isinstance(credentials, Credentials):
        raise LocalError(f"connect takes Credentials, not {type(credentials).__name__}")
    configure(options, destinationAddress=credentials.destinationAddress)
