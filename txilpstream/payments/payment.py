"""
Whole payments: asking what one costs, and making it.

A payment owns a stream, and the connection too if it opened one. It never lets more leave than it
was told, counts money in doubt as gone, and says at its end what was sent, what arrived at least,
what arrived as the receiver says, and what is in doubt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txilpstream.amounts import Asset, Ratio
from txilpstream.crypto.credentials import Credentials
from txilpstream.errors import LocalError
from txilpstream.interfaces import PaymentResult
from txilpstream.payments.payer import Payer
from txilpstream.payments.state import SPARE, PaymentState
from txilpstream.payments.terms import Terms, _known, _noCredentials, _onConnection
from txilpstream.transport.account import Account, accountFor
from txilpstream.transport.client import StreamClient
from txilpstream.transport.connection import StreamConnection

if TYPE_CHECKING:
    from txilpstream.payments.state import Save

__all__ = ["Payment", "pay"]

_log = Logger()

CLOSE_TIMEOUT: Final = 1.0
"""Seconds that the end of a connection is waited for where a plugin is to be given back."""


class Payment:
    """
    One payment; L{pay} makes it and starts it.

    @ivar terms: what was asked for.
    @ivar state: what must be remembered to go on with it elsewhere.
    @ivar connection: the one that it uses, None before it is started.
    """

    def __init__(
        self,
        source: Any,
        credentials: Credentials | None = None,
        *,
        timeout: float | None = None,
        deadlineSinceFulfill: float = 45.0,
        progress: Callable[[PaymentResult], None] | None = None,
        state: PaymentState | None = None,
        save: Save | None = None,
        reactor: IReactorTime | None = None,
        options: dict[str, Any] | None = None,
        **terms: Any,
    ) -> None:
        """
        @raise LocalError: if something is not valid, or does not go together.
        """
        self.terms = Terms(**_known(terms))
        self._source = source
        self.connection = source if isinstance(source, StreamConnection) else None
        if self.connection is not None:
            _noCredentials(credentials)
            _onConnection(self.terms, options, state or save)
            self._account: Account = self.connection.account
        else:
            self._credentials = _checked(credentials)
            self._account = accountFor(source, reactor)
        self.state = state or PaymentState(self.terms.most, self.terms.destinationAmount)
        _checkState(self.state, self.terms)
        if timeout is not None and not 0 <= timeout < 1e9:
            raise LocalError(f"the timeout is {timeout}: it must be from 0 to 1e9 seconds")
        self._isStarted = False
        self._isKept = save is not None or state is not None
        self._options = dict(options or {})
        self._options.setdefault("deadlineSinceFulfill", deadlineSinceFulfill)
        self._options.setdefault("packetExpiry", max(1.0, min(30.0, deadlineSinceFulfill - 6)))
        self.payer = Payer(
            self.terms, self.state, self._account, timeout, progress, save, deadlineSinceFulfill
        )

    def start(self) -> Deferred[PaymentResult]:
        """
        Pay.

        @return: fires when its fate is known; fails with PaymentError, which carries the result.
            Cancelling it stops it and fails at once, with what is on its way counted in doubt.
        """
        if self._isStarted:
            raise LocalError("this payment was started before: make another one")
        self._isStarted = True
        if self.connection is not None:
            result = self.payer.start(self.connection)
            self.payer.limit()
            return result
        self.payer.limit()
        opening = self._account.whenOpen().addCallback(self._cbOpen)
        opening.addErrback(self.payer.failed)
        return self.payer.outcome.whenOver(self._close)

    def stop(self) -> None:
        """Let nothing more leave; the payment ends when what is on its way is answered."""
        self.payer.stop("the payment was stopped")

    def _cbOpen(self, account: Account) -> Any:
        if self.payer.isOver:
            return None
        credentials = self._credentials
        asset = None
        if credentials.assetCode is not None and credentials.assetScale is not None:
            asset = credentials.assetCode, credentials.assetScale
        client = StreamClient(account)
        expected = self.terms.expected(account.asset, asset) if asset is not None else None
        if not self.state.canGoOn(expected or self.terms.rate):
            self.payer.refuse("nothing is left to be sent: what is in doubt may have arrived")
            return None
        if asset is None and self.terms.needsAssets():
            if self._isKept:
                raise LocalError(
                    "prices with a saved state need the receiver's asset in the credentials: give "
                    "a rate"
                )
            options = self._options | {"minimumRate": Ratio(1), "slippage": self.terms.slippage}
            connected = client.connect(credentials, isReachable=False, **options)
            return connected.addCallback(self._cbAsset, client)
        self._pay(client, asset)
        return None

    def _cbAsset(self, connection: StreamConnection, client: StreamClient) -> Any:
        """The receiver's asset is known now; the floor is that of a session from its start."""
        asset = connection.session.peerAsset
        self.state.nextSequence = connection.session.nextSequence + SPARE
        closed = connection.close(CLOSE_TIMEOUT)
        return closed.addCallback(lambda _: self._pay(client, asset))

    def _pay(self, client: StreamClient, asset: Asset | None) -> None:
        if self.payer.isOver:
            return
        terms, state = self.terms, self.state
        expected = terms.expected(client.account.asset, asset)
        options = {
            **terms.options(expected),
            "firstSequence": state.nextSequence,
            "firstStreamID": state.nextStreamID,
            **self._options,
        }
        self.connection = client.start(self._credentials, isReachable=False, **options)
        self.connection.session.setTotal(terms.most)
        self.payer.start(self.connection, expected)

    def _close(self) -> Deferred[None] | None:
        """The payment is over: what must be waited for, None for nothing."""
        connection = self.connection
        closed = succeed(None) if connection is None else connection.close(CLOSE_TIMEOUT)
        if self._source is self._account:
            return None
        return _release(self._account, closed)


def pay(
    source: Any, credentials: Credentials | None = None, **arguments: Any
) -> Deferred[PaymentResult]:
    """
    Make a payment.

    @param source: an L{Account}, a plugin, or an open L{StreamConnection}; with the latter there
        are no credentials, and the rate's floor is that of the connection.
    @param arguments: fields of L{Terms}: C{sourceAmount} or C{destinationAmount},
        C{maxSourceAmount}, C{rate}, C{prices}, C{minimumRate}, C{slippage}, C{acceptAnyRate},
        C{data}; and C{timeout} (seconds; None for no limit but the deadline),
        C{deadlineSinceFulfill} (seconds), C{progress} (called with a L{PaymentResult} so far),
        C{save} and C{state} (see L{PaymentState}), C{options} (fields of the session's
        configuration), C{reactor} (for a plugin).
    @return: fires with the result if it is complete; fails with PaymentError, which carries it
        otherwise. Cancelling it stops the payment and fails at once, with what is on its way
        counted in doubt.
    @raise LocalError: if something is not valid.
    """
    return Payment(source, credentials, **arguments).start()


def _checked(credentials: Credentials | None) -> Credentials:
    if not isinstance(credentials, Credentials):
        raise LocalError(f"Credentials are wanted, not {type(credentials).__name__}")
    return credentials


def _checkState(state: PaymentState, terms: Terms) -> None:
    state.check()
    saved = state.sourceAmount, state.destinationAmount
    if saved != (terms.most, terms.destinationAmount):
        raise LocalError(
            f"the saved state is of {saved[0]} units at most, to deliver {saved[1]}: go on with "
            f"the same terms, not {terms.most} and {terms.destinationAmount}"
        )


def _giveBack(source: Any, account: Account, closed: Deferred[None], outcome: Any) -> Any:
    """Give a plugin back that an account was made for; an account stays open."""
    if source is account:
        return outcome
    return _release(account, closed).addCallback(lambda _: outcome)


def _release(account: Account, closed: Deferred[None]) -> Deferred[None]:
    """Close an account when its connection is over; whatever its plugin does, this fires soon."""
    released: Deferred[None] = closed.addCallback(lambda _: account.close())
    released.addTimeout(2 * CLOSE_TIMEOUT, account.reactor)

    def failed(failure: Failure) -> None:
        _log.failure("a plugin could not be given back in good order", failure)

    return released.addErrback(failed)
