"""
The side that was given credentials: it opens connections.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txilpstream.crypto.credentials import Credentials
from txilpstream.crypto.keys import SessionKeys
from txilpstream.crypto.tokens import RANDOM_TOKEN_LENGTH
from txilpstream.errors import ConnectionEnded, checkSeconds, wrongType
from txilpstream.interfaces import AnyFactory, AnyPlugin, AnyReactor, PaymentPolicy
from txilpstream.session.configuration import SessionOptions, configure
from txilpstream.transport.account import Account, accountFor
from txilpstream.transport.connection import StreamConnection
from txilpstream.transport.protocol import checkFactory, checkPolicy

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["CONNECT_TIMEOUT", "StreamClient", "checkArguments"]

CONNECT_TIMEOUT: Final = 30.0
"""Seconds within which the peer must have answered."""


class StreamClient:
    """
    Opens connections from one account.

    @ivar account: the account.
    """

    def __init__(self, account: Account | AnyPlugin, *, reactor: AnyReactor | None = None) -> None:
        """
        @param account: an L{Account}, or a plugin, of which one is made and opened by L{connect}.
        @param reactor: for the account of a plugin; Twisted's own by default.
        @raise LocalError: if it is neither.
        """
        self.account: Account = accountFor(account, reactor)

    def connect(
        self,
        credentials: Credentials,
        *,
        factory: AnyFactory | None = None,
        policy: PaymentPolicy | None = None,
        timeout: float = CONNECT_TIMEOUT,
        isReachable: bool = True,
        **options: Unpack[SessionOptions],
    ) -> Deferred[StreamConnection]:
        """
        Open a connection and wait until the server has proved that it knows the secret.

        @param factory: builds protocols for streams that the server opens.
        @param policy: asked before money of the server's is accepted.
        @param timeout: seconds for all, the opening of the account too.
        @param isReachable: whether the server is told where this side is, so that it can send of
            its own accord; otherwise it only answers.
        @param options: see L{SessionOptions <txilpstream.session.configuration.SessionOptions>}.
        @return: fires with the connection; fails with ConnectionEnded, which lists every reject.
            Cancelling it gives the connection up.
        @raise LocalError: if credentials or an option are not valid.
        """
        checkArguments(credentials, factory, policy, options)
        checkSeconds("timeout", timeout)

        def opened(_: Account) -> Deferred[StreamConnection]:
            connection = self.openConnection(
                credentials, factory=factory, policy=policy, isReachable=isReachable, **options
            )
            return self.whenConnected(connection, max(0.0, round(end - reactor.seconds(), 3)))

        def tooLate(_: object, seconds: float) -> Account:
            raise ConnectionEnded(f"the account did not open within {seconds:g} s")

        reactor = self.account.reactor
        end = reactor.seconds() + timeout
        opening = self.account.whenOpen().addTimeout(timeout, reactor, tooLate)
        return opening.addCallback(opened)

    def whenConnected(
        self, connection: StreamConnection, timeout: float = CONNECT_TIMEOUT
    ) -> Deferred[StreamConnection]:
        """
        Wait until the server has answered on a connection that L{openConnection} gave.

        @param timeout: seconds after which the connection is given up.
        @return: as of L{connect}; the connection ends with the last that waited for it.
        """
        message = f"the server did not answer within {timeout:g} s"
        timer = self.account.reactor.callLater(timeout, connection.abort, message)

        def done(outcome: Any) -> Any:
            if timer.active():
                timer.cancel()
            isCancelled = isinstance(outcome, Failure) and outcome.check(CancelledError)  # type: ignore[no-untyped-call]
            if isCancelled and not connection._opening and not connection.session.hasPeer:
                connection.abort()
            return outcome

        return connection.whenOpen().addBoth(done)

    def openConnection(
        self,
        credentials: Credentials,
        *,
        factory: AnyFactory | None = None,
        policy: PaymentPolicy | None = None,
        isReachable: bool = True,
        **options: Unpack[SessionOptions],
    ) -> StreamConnection:
        """
        Open a connection without waiting for the server; the account must be open.

        What is written and offered leaves as soon as it can. All is as of L{connect}.

        @raise LocalError: if credentials or an option are not valid.
        """
        checkArguments(credentials, factory, policy, options)
        account = self.account
        source = segment = ""
        if account.address and (isReachable or mustBeReachable(credentials)):
            segment = account._reserve()
            source = account._ownAddress(segment)
        options.setdefault("sourceAssetCode", account.assetCode)
        options.setdefault("sourceAssetScale", account.assetScale)
        connection = StreamConnection(
            account,
            configure(
                options, destinationAddress=credentials.destinationAddress, sourceAddress=source
            ),
            SessionKeys(credentials.sharedSecret),
            factory=factory,
            policy=policy,
            onEnd=(lambda _: account._release(segment)) if segment else None,
        )
        if segment:
            account._route(segment, connection._receivePrepare)
        connection._wake()
        return connection


def mustBeReachable(credentials: Credentials) -> bool:
    """
    Whether a server may not read a packet with an empty address: those of interledger-rs and of
    Quilt do not, and are known by the length of their tokens.
    """
    return len(credentials.destinationAddress.rpartition(".")[2]) == RANDOM_TOKEN_LENGTH


def checkArguments(
    credentials: object,
    factory: AnyFactory | None,
    policy: PaymentPolicy | None,
    options: Mapping[str, Any],
) -> None:
    """
    @raise LocalError: if credentials are none or an option is not valid.
    """
    if not isinstance(credentials, Credentials):
        wanted = "it takes Credentials: Credentials.fromJSON reads them, resolve asks for them"
        raise wrongType("credentials", credentials, wanted)
    if factory is not None:
        checkFactory(factory)
    checkPolicy(policy)
    configure(options, destinationAddress=credentials.destinationAddress)
