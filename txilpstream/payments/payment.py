"""
Whole payments, from the first question to the result.

A payment owns its stream, and the connection too unless it was given one. It never lets more leave
than it was told, counts money in doubt as gone, and says at its end what was sent, what arrived at
least, what arrived as the receiver says, and what is in doubt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from txilpstream.amounts import U64_MAX, Asset, Ratio
from txilpstream.crypto.credentials import Credentials
from txilpstream.errors import LocalError, checkKind, checkSeconds
from txilpstream.interfaces import AnyReactor, PaymentResult
from txilpstream.payments.parties import CLOSE_TIMEOUT, Destination, Parties, Source
from txilpstream.payments.payer import Payer
from txilpstream.payments.state import SPARE, PaymentState
from txilpstream.payments.terms import ONE_PERCENT, Terms
from txilpstream.session.configuration import configure
from txilpstream.spsp.client import WebAgent
from txilpstream.transport.client import StreamClient
from txilpstream.transport.connection import StreamConnection

if TYPE_CHECKING:
    from txilpstream.payments.state import Save
    from txilpstream.session.configuration import SessionOptions

__all__ = ["Payment", "pay"]


def pay(
    source: Source,
    destination: Destination = None,
    *,
    sourceAmount: int | None = None,
    destinationAmount: int | None = None,
    maxSourceAmount: int = U64_MAX,
    rate: Ratio | None = None,
    prices: Mapping[str, Ratio] | None = None,
    minimumRate: Ratio | None = None,
    slippage: Ratio = ONE_PERCENT,
    acceptAnyRate: bool = False,
    data: bytes = b"",
    timeout: float | None = None,
    deadlineSinceFulfill: float = 45.0,
    progress: Callable[[PaymentResult], None] | None = None,
    state: PaymentState | None = None,
    save: Save | None = None,
    options: SessionOptions | None = None,
    agent: WebAgent | None = None,
    reactor: AnyReactor | None = None,
) -> Deferred[PaymentResult]:
    """
    Make a payment. The arguments are those of L{Payment}.

    @return: fires with the result if it is complete; fails with PaymentError, which carries it,
        otherwise, also if a pointer leads to nobody. Cancelling it stops the payment and fails at
        once, with what is on its way counted in doubt.
    @raise LocalError: if something is not valid, or does not go together.
    """
    payment = Payment(
        source,
        destination,
        sourceAmount=sourceAmount,
        destinationAmount=destinationAmount,
        maxSourceAmount=maxSourceAmount,
        rate=rate,
        prices=prices,
        minimumRate=minimumRate,
        slippage=slippage,
        acceptAnyRate=acceptAnyRate,
        data=data,
        timeout=timeout,
        deadlineSinceFulfill=deadlineSinceFulfill,
        progress=progress,
        state=state,
        save=save,
        options=options,
        agent=agent,
        reactor=reactor,
    )
    return payment.start()


class Payment:
    """
    One payment, for those who want to stop it, or to know its state; L{pay} is shorter.

    @param source: an L{Account <txilpstream.transport.account.Account>}, a plugin, or an open
        L{StreamConnection <txilpstream.transport.connection.StreamConnection>}; with the latter
        there is no destination, and the rate's floor is that of the connection.
    @param destination: L{Credentials <txilpstream.crypto.credentials.Credentials>}; or a payment
        pointer such as C{"$shop.example/alice"}, or the URL of an SPSP server, which are asked for
        them as L{resolve <txilpstream.spsp.client.resolve>} does.
    @param sourceAmount: what is to be sent, in source units; or instead
    @param destinationAmount: what is to be delivered, in the receiver's units.
    @param maxSourceAmount: what may leave at most, in doubt counted as gone.
    @param rate: what is expected, in destination per source base units.
    @param prices: of whole units, by the asset's code, from which the rate follows.
    @param minimumRate: the floor, as it is.
    @param slippage: how much of a rate that is no floor may be lost.
    @param acceptAnyRate: whether there is to be no floor at all.
    @param data: goes with the first money; 16 KiB at most.
    @param timeout: seconds for all of it, the question for credentials included; None for no limit
        but the deadline.
    @param deadlineSinceFulfill: seconds without any money fulfilled after which it ends.
    @param progress: called with a result so far as money settles.
    @param state: where another process ended, see L{PaymentState}.
    @param save: called with the state before anything leaves that it does not cover.
    @param options: of the connection, see L{SessionConfiguration
        <txilpstream.session.configuration.SessionConfiguration>}.
    @param agent: asks for the credentials, where they are asked for; by default a web client of the
        account's reactor that takes no endless answers.
    @param reactor: for the account of a plugin; Twisted's own by default.
    @ivar terms: what was asked for.
    @ivar state: what must be remembered to go on with it elsewhere.
    @ivar connection: the one that it uses, None before there is one.
    """

    def __init__(
        self,
        source: Source,
        destination: Destination = None,
        *,
        sourceAmount: int | None = None,
        destinationAmount: int | None = None,
        maxSourceAmount: int = U64_MAX,
        rate: Ratio | None = None,
        prices: Mapping[str, Ratio] | None = None,
        minimumRate: Ratio | None = None,
        slippage: Ratio = ONE_PERCENT,
        acceptAnyRate: bool = False,
        data: bytes = b"",
        timeout: float | None = None,
        deadlineSinceFulfill: float = 45.0,
        progress: Callable[[PaymentResult], None] | None = None,
        state: PaymentState | None = None,
        save: Save | None = None,
        options: SessionOptions | None = None,
        agent: WebAgent | None = None,
        reactor: AnyReactor | None = None,
    ) -> None:
        """
        @raise LocalError: if something is not valid, or does not go together.
        """
        self.terms = terms = Terms(
            sourceAmount,
            destinationAmount,
            maxSourceAmount,
            rate,
            prices,
            minimumRate,
            slippage,
            acceptAnyRate,
            data,
        )
        if timeout is not None:
            checkSeconds("timeout", timeout)
        _checkCalls(progress=progress, save=save)
        self._options = _configured(options, deadlineSinceFulfill)
        self._parties = Parties(source, destination, reactor, agent)
        self.connection = self._parties.connection
        if self.connection is None:
            configure(self._options)  # what is wrong is said before anybody is asked
        else:
            _checkOnConnection(terms, options, state or save)
        self.state = _checkState(state, terms)
        self._isStarted, self._isKept = False, save is not None or state is not None
        self._opening: Deferred[Any] | None = None
        self._payer = Payer(
            terms,
            self.state,
            self._parties.account,
            timeout,
            progress,
            save,
            deadlineSinceFulfill,
            self._close,
        )

    @property
    def result(self) -> PaymentResult:
        """What became of it so far."""
        return self._payer.result()

    @property
    def isOver(self) -> bool:
        """Whether its fate is known."""
        return self._payer.isOver

    def start(self) -> Deferred[PaymentResult]:
        """
        Pay.

        @return: as of L{pay}.
        @raise LocalError: if it was started before.
        """
        if self._isStarted:
            raise LocalError("this payment was started before: make another one")
        self._isStarted = True
        payer = self._payer
        result = payer.whenOver()
        if self.connection is not None:
            payer.start(self.connection)
            payer.limit()
        elif not payer.isOver:
            payer.limit()
            self._opening = self._parties.open()
            self._opening.addCallback(self._cbOpen).addErrback(payer.failed)
        return result

    def stop(self) -> Deferred[None]:
        """
        Let nothing more leave.

        @return: fires when the payment is over, which it is when what is on its way is answered.
        """
        self._payer.stop("the payment was stopped")
        return self._payer.whenStopped()

    def _cbOpen(self, credentials: Credentials) -> Any:
        if self._payer.isOver:
            return None
        account = self._parties.account
        asset = None
        if credentials.assetCode is not None and credentials.assetScale is not None:
            asset = credentials.assetCode, credentials.assetScale
        client = StreamClient(account)
        expected = self.terms.expected(account.asset, asset) if asset is not None else None
        if not self.state.canGoOn(expected or self.terms.rate):
            self._payer.end("nothing is left to be sent: what is in doubt may have arrived")
            return None
        if asset is None and self.terms.needsAssets():
            if self._isKept:
                raise LocalError(
                    "prices with a saved state need the receiver's asset in the credentials: give "
                    "a rate"
                )
            options = self._options | {"minimumRate": Ratio(1), "slippage": self.terms.slippage}
            connected = client.connect(credentials, isReachable=False, **options)
            return connected.addCallback(self._cbAsset, client, credentials)
        self._pay(client, credentials, asset)
        return None

    def _cbAsset(
        self, connection: StreamConnection, client: StreamClient, credentials: Credentials
    ) -> Any:
        """The receiver's asset is known now; the floor is that of a session from its start."""
        asset = connection.session.peerAsset
        self.state.nextSequence = connection.session.nextSequence + SPARE
        closed = connection.close(CLOSE_TIMEOUT)
        return closed.addCallback(lambda _: self._pay(client, credentials, asset))

    def _pay(self, client: StreamClient, credentials: Credentials, asset: Asset | None) -> None:
        if self._payer.isOver:
            return
        terms, state = self.terms, self.state
        expected = terms.expected(client.account.asset, asset)
        options = {
            **terms.options(expected),
            "firstSequence": state.nextSequence,
            "firstStreamID": state.nextStreamID,
            **self._options,
        }
        self.connection = client.openConnection(credentials, isReachable=False, **options)
        self.connection.session.setTotal(terms.most)
        self._payer.start(self.connection, expected)

    def _close(self) -> Deferred[None] | None:
        """The payment is over: what must be waited for, None for nothing."""
        if self._opening is not None:
            self._opening.cancel()
        return self._parties.close(self.connection)


def _checkCalls(**calls: object) -> None:
    for name, call in calls.items():
        if call is not None:
            checkKind(name, call, Callable, "a function")


def _configured(options: SessionOptions | None, deadlineSinceFulfill: float) -> dict[str, Any]:
    checkSeconds("deadlineSinceFulfill", deadlineSinceFulfill)
    if options is not None:
        checkKind("options", options, Mapping, "a mapping such as {'maximumPacketAmount': 1000}")
    return {
        "deadlineSinceFulfill": deadlineSinceFulfill,
        "packetExpiry": max(1.0, min(30.0, deadlineSinceFulfill - 6)),
        **(options or {}),
    }


def _checkOnConnection(terms: Terms, options: object, state: object) -> None:
    isPlain = terms.rate is None and terms.prices is None and terms.minimumRate is None
    if not isPlain or terms.acceptAnyRate or options or state:
        raise LocalError(
            "rates, options and a saved state are for a connection of the payment's own: give "
            "them to connect, or pay with an account and credentials"
        )


def _checkState(state: PaymentState | None, terms: Terms) -> PaymentState:
    if state is None:
        return PaymentState(terms.most, terms.destinationAmount)
    checkKind("state", state, PaymentState, "a PaymentState (PaymentState.fromJSON reads them)")
    state.check()
    saved = state.sourceAmount, state.destinationAmount
    if saved != (terms.most, terms.destinationAmount):
        raise LocalError(
            f"the saved state is of {saved[0]} units at most, to deliver {saved[1]}: go on with "
            f"the same terms, not {terms.most} and {terms.destinationAmount}"
        )
    return state
