"""
The two parties of a payment or a quote: the account that money leaves from, and whom it is for.

Who is paid is known by credentials, or by a payment pointer or URL that is asked for them; who pays
is an account, a plugin, or a connection that is open already. What was made or opened for one
payment is given back with it, and nothing else is touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from txilpstream.crypto.credentials import Credentials
from txilpstream.errors import LocalError, wrongType
from txilpstream.interfaces import AnyPlugin, AnyReactor
from txilpstream.spsp.client import TIMEOUT, WebAgent, checkPointer, resolve
from txilpstream.transport.account import Account, accountFor
from txilpstream.transport.connection import StreamConnection

__all__ = ["Destination", "Parties", "Source"]

if TYPE_CHECKING:
    Source: TypeAlias = Account | AnyPlugin | StreamConnection
    Destination: TypeAlias = Credentials | str | None
else:
    Source = Destination = Any

_log = Logger()

CLOSE_TIMEOUT: Final = 1.0
"""Seconds that the end of a connection is waited for where a plugin is to be given back."""


class Parties:
    """
    Payer and receiver.

    @ivar account: the payer's.
    @ivar connection: between both, where the payer gave an open one; else None.
    """

    def __init__(
        self,
        source: Source,
        destination: Destination,
        reactor: AnyReactor | None,
        agent: WebAgent | None,
    ) -> None:
        """
        @raise LocalError: if one of them is not what it should be.
        """
        self._isOpening = False
        self.connection: StreamConnection | None = None
        if isinstance(source, StreamConnection):
            if destination is not None:
                raise LocalError("an open connection has its credentials already: give none")
            self.connection = source
            self.account: Account = source.account
        else:
            self.account = accountFor(source, reactor)
            self._destination = _checkDestination(destination)
            self._agent = _checkAgent(agent, self._destination, self.account)
        self._isOwner = self.account is not source and self.connection is None

    def open(self, timeout: float | None = None) -> Deferred[Credentials]:
        """
        Find out who is paid, then open the account.

        @param timeout: seconds for the question, if they are less than it takes at most.
        @return: fails as L{resolve} and L{Account.whenOpen} do, and then nothing has left.
            Cancelling it asks no more.
        """
        destination, account = self._destination, self.account
        if isinstance(destination, Credentials):
            found = succeed(destination)
        else:
            found = maybeDeferred(
                resolve,
                account.reactor if self._agent is None else self._agent,
                destination,
                timeout=TIMEOUT if timeout is None else min(timeout, TIMEOUT),
                clock=account.reactor,
            )

        def openAccount(credentials: Credentials) -> Deferred[Credentials]:
            self._isOpening = True
            return account.whenOpen().addCallback(lambda _: credentials)

        return found.addCallback(openAccount)

    def close(self, connection: StreamConnection | None) -> Deferred[None] | None:
        """
        Close the connection that the payment made, and give a plugin back that it was given; an
        account, or a connection, that it was given stays open.

        @return: what must be waited for before the plugin can be used again; None for nothing.
        """
        if self.connection is not None:
            return None
        closed = succeed(None) if connection is None else connection.close(CLOSE_TIMEOUT)
        if not self._isOwner or not self._isOpening:
            return None
        # Whatever the plugin does, this fires soon.
        released = closed.addCallback(lambda _: maybeDeferred(self.account.close))
        released.addTimeout(2 * CLOSE_TIMEOUT, self.account.reactor)
        return released.addErrback(_ebReleased)


def _ebReleased(failure: Failure) -> None:
    _log.failure("a plugin could not be given back in good order", failure)


def _checkDestination(destination: object) -> Credentials | str:
    if isinstance(destination, Credentials):
        return destination
    wanted = (
        "it takes Credentials (Credentials.fromJSON reads them), a payment pointer such as "
        "'$shop.example/alice', or the https:// URL of an SPSP server"
    )
    if not isinstance(destination, str):
        raise wrongType("destination", destination, wanted)
    if destination.lstrip().startswith("{"):
        # It is not shown: a secret may stand in it.
        raise LocalError(f"destination is a JSON text: {wanted}")
    checkPointer(destination)
    return destination


def _checkAgent(agent: object, destination: Credentials | str, account: Account) -> WebAgent | None:
    if agent is not None and not callable(getattr(agent, "request", None)):
        raise wrongType("agent", agent, "it takes an IAgent, such as twisted.web.client.Agent")
    mustConnect = agent is None and isinstance(destination, str)
    if mustConnect and not callable(getattr(account.reactor, "connectTCP", None)):
        wanted = "it connects to nobody, so give an agent that asks, or Credentials"
        raise wrongType("the account's reactor", account.reactor, wanted)
    return cast("WebAgent | None", agent)
