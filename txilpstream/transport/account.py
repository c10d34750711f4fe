"""
One ILP account: the plugin's data handler, its turns, its address and its clock.

A plugin has one data handler and one producer, and both are the account's: it decodes each incoming
Prepare once, finds whose it is, and gives the connections that send over the plugin their turns.
Every connection on a plugin must go through one account, or they would take packets from each
other.
"""

from __future__ import annotations

import os
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol, cast

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txilpstream.crypto.credentials import Credentials
from txilpstream.crypto.tokens import TokenFormats
from txilpstream.errors import (
    ConnectionEnded,
    DecodeError,
    LocalError,
    StreamError,
    checkKind,
    wrongType,
)
from txilpstream.interfaces import AnyPlugin, AnyReactor, Reactor, checkPlugin
from txilpstream.waiters import Waiters
from txilpstream.wire import ildcp
from txilpstream.wire.address import checkAddress, join, localPart
from txilpstream.wire.ilp import Prepare, decodePrepare, rejectWith

__all__ = ["Account", "CredentialsMaker", "accountFor"]

_log = Logger()


_INVALID: Final = rejectWith("F01")
_UNREACHABLE: Final = rejectWith("F02")
_CLOSING: Final = rejectWith("T99")

_CLOSED: Final = "the account was closed while it was opening"

_SEGMENT_OCTETS: Final = 12

MOST_RELEASED: Final = 16
"""Connections that are over and still answer, some 12 kB each."""

CLOCK_JUMP: Final = 5.0
"""Seconds by which the wall clock may run ahead of the reactor's before it is believed: a machine
that slept."""


IL_DCP_TIMEOUT: Final = 30.0
"""Seconds within which the parent must have said who we are."""


Answerer = Callable[[str, Prepare], bytes | Deferred[bytes]]
"""Takes the segment after our address, and the packet."""


class _Sends(Protocol):
    """A connection, as its account sees it."""

    def _turn(self) -> None:
        """Send what may be sent now."""

    def _reconnected(self) -> None:
        """The plugin lost its peer and has found it again."""

    def abort(self, message: str) -> None:
        """End now."""


@implementer(IPushProducer)
class Account:
    """
    One ILP account.

    @ivar reactor: where its time comes from.
    @ivar plugin: what carries its packets.
    @ivar address: its ILP address; empty if it has none and can only send.
    @ivar assetCode: its asset, None if that is not known.
    @ivar assetScale: the asset's number of decimals.
    @ivar connections: those that are not over.
    @ivar isPaused: whether the plugin's way out is full.
    @ivar invalidPackets: how many came that were no Prepare.
    @ivar randomBytes: gives so many random octets.
    """

    def __init__(
        self,
        reactor: AnyReactor,
        plugin: AnyPlugin,
        *,
        address: str = "",
        assetCode: str | None = None,
        assetScale: int | None = None,
        randomBytes: Callable[[int], bytes] = os.urandom,
        wallClock: Callable[[], float] = time.time,
        clockOffset: float = 0.0,
    ) -> None:
        """
        @param address: its ILP address where that is known; else it is asked for by IL-DCP.
        @param assetCode: its asset where that is known.
        @param assetScale: the asset's number of decimals.
        @param randomBytes: gives so many random octets.
        @param wallClock: seconds since the epoch; it stamps the expiry of packets.
        @param clockOffset: seconds to add where the machine's clock is known to be wrong.
        @raise LocalError: if the address is none, or what is given is no reactor or no plugin.
        """
        for name, function in (("randomBytes", randomBytes), ("wallClock", wallClock)):
            if not callable(function):
                raise wrongType(name, function, "it takes a function")
        checkKind("address", address or "", str, "an ILP address, or an empty text")
        checkKind("assetCode", assetCode, str | None, "a text such as 'EUR', or None")
        checkKind("assetScale", assetScale, int | None, "a number of decimals, or None")
        checkKind("clockOffset", clockOffset, int | float, "seconds")
        self.reactor = _checkReactor(reactor)
        self.plugin = checkPlugin(plugin)
        self.address = checkAddress(address) if address else ""
        self.assetCode = assetCode
        self.assetScale = assetScale
        self.connections: set[_Sends] = set()
        self.isPaused = False
        self.invalidPackets = 0
        self.randomBytes = randomBytes
        self._wallClock = wallClock
        self._clockOffset = clockOffset
        self._seconds = self.reactor.seconds
        self._anchor = wallClock() - self._seconds()
        self._awake: dict[_Sends, None] = {}
        self._isScheduled = False
        self._stopped: dict[_Sends, None] = {}
        self._isLost = False
        self._routes: dict[str, Answerer] = {}
        self._released: list[str] = []
        self._default: Answerer | None = None
        self._isOpen = False
        self._connecting: Deferred[Any] | None = None
        self._opening: Waiters[Account] = Waiters()
        self._giveBacks: list[Callable[[], object]] = []
        self._isDraining = False
        self._asked = 0
        self._drained: Waiters[None] = Waiters()

    @classmethod
    def open(
        cls,
        reactor: AnyReactor,
        plugin: AnyPlugin,
        *,
        address: str = "",
        assetCode: str | None = None,
        assetScale: int | None = None,
        randomBytes: Callable[[int], bytes] = os.urandom,
        wallClock: Callable[[], float] = time.time,
        clockOffset: float = 0.0,
    ) -> Deferred[Account]:
        """
        Connect a plugin and learn the account's address and asset by IL-DCP, unless told. What it
        takes is what the class takes.

        @return: fires with the account; fails if the plugin cannot connect or the parent gives
            no address.
        @raise LocalError: as of the class.
        """
        return cls(
            reactor,
            plugin,
            address=address,
            assetCode=assetCode,
            assetScale=assetScale,
            randomBytes=randomBytes,
            wallClock=wallClock,
            clockOffset=clockOffset,
        ).whenOpen()

    @property
    def asset(self) -> tuple[str, int] | None:
        """Asset code and scale, None if they are not known."""
        if self.assetCode is None or self.assetScale is None:
            return None
        return self.assetCode, self.assetScale

    def whenOpen(self) -> Deferred[Account]:
        """
        Open the account if it is not open yet.

        @return: as of L{open}; after a failure it may be tried again.
        """
        if self._isOpen:
            return succeed(self)
        waiting = self._opening.add()
        if self._connecting is None:
            connecting = self._connecting = maybeDeferred(self.plugin.connect)
            opened: Deferred[Any] = connecting.addCallback(self._start, connecting)
            opened.addCallbacks(self._cbOpened, self._ebOpened, errbackArgs=(connecting,))
        return waiting

    def _cbOpened(self, _: object) -> None:
        self._isOpen, self._connecting = True, None
        self._opening.fire(self)

    def _ebOpened(self, failure: Failure, connecting: Deferred[Any]) -> None:
        if self._connecting is connecting:
            self._connecting = None
            self._giveBack()
            self._opening.fail(failure)

    def _start(self, _: object, connecting: Deferred[Any]) -> Account | Deferred[Account]:
        if self._connecting is not connecting:
            raise ConnectionEnded(_CLOSED)
        self.isPaused = self._isLost = False  # the plugin says so anew where it still is full
        self.plugin.registerDataHandler(self.receivePrepare)
        self._giveBacks.append(self.plugin.deregisterDataHandler)
        self.plugin.registerProducer(self, True)
        self._giveBacks.append(self.plugin.unregisterProducer)
        if self.address:
            return self
        request = ildcp.encodeRequest(self.now() + IL_DCP_TIMEOUT)
        asked = self.plugin.sendData(request)
        asked.addTimeout(IL_DCP_TIMEOUT, self.reactor, onTimeoutCancel=_late)
        return asked.addCallback(self._cbDetails)

    def _giveBack(self) -> None:
        """Give those of the plugin's slots back that are ours: another may have them."""
        self._isOpen = self._isDraining = False
        while self._giveBacks:
            self._giveBacks.pop(0)()

    def _cbDetails(self, reply: bytes) -> Account:
        details = ildcp.decodeResponse(reply)
        self.address = details.address
        if self.assetCode is None:
            self.assetCode, self.assetScale = details.assetCode, details.assetScale
        return self

    def close(self) -> Deferred[None]:
        """
        End all connections, give the plugin's slots back and disconnect it.

        Whoever waits for the account to open is told that it was closed.
        """
        for connection in list(self.connections):
            connection.abort("the account was closed")
        connecting, self._connecting = self._connecting, None
        self._giveBack()
        done: Deferred[None] | None = self.plugin.disconnect()
        if connecting is not None:
            self._opening.fail(ConnectionEnded(_CLOSED))
            connecting.cancel()
        return done if done is not None else succeed(None)

    def now(self) -> float:
        """Seconds since the epoch, as steady as the reactor's clock."""
        seconds: float = self._seconds()
        ahead = self._wallClock() - seconds
        if ahead > self._anchor + CLOCK_JUMP:
            self._anchor = ahead
        return seconds + self._anchor + self._clockOffset

    # --- Whose packet is it? ----------------------------------------------------------------

    def _reserve(self) -> str:
        """
        An address segment that nobody has, to be appended to the account's address; L{_route}
        says whose it is.
        """
        return urlsafe_b64encode(self.randomBytes(_SEGMENT_OCTETS)).decode("ascii")

    def _route(self, segment: str, answerer: Answerer) -> None:
        """Say who answers packets for a segment; L{_release} frees it."""
        self._routes[segment] = answerer

    def _release(self, segment: str) -> None:
        """
        Free a segment when some more are released after it; until then its owner goes on answering
        what was on its way when its connection ended.
        """
        self._released.append(segment)
        if len(self._released) > MOST_RELEASED:
            self._routes.pop(self._released.pop(0), None)

    def _setServer(self, answerer: Answerer | None) -> None:
        """
        Say who answers packets for segments that nobody has, None for nobody.

        @raise LocalError: if there is a server already.
        """
        if answerer is not None and self._default is not None:
            raise LocalError("this account has a server already: stop that one first")
        self._default = answerer

    def receivePrepare(self, data: bytes) -> bytes | Deferred[bytes]:
        """Answer the bytes of a Prepare."""
        try:
            prepare = decodePrepare(data)
        except DecodeError:
            self.invalidPackets += 1
            return _INVALID
        local = localPart(prepare.destination, self.address)
        if not local:
            return _UNREACHABLE
        segment = local.partition(".")[0]
        answerer = self._routes.get(segment, self._default)
        if answerer is None:
            return _UNREACHABLE
        if self._isDraining:
            return _CLOSING
        reply = answerer(segment, prepare)
        if isinstance(reply, bytes):
            return reply
        self._asked += 1
        return reply.addBoth(self._answered)

    def _answered(self, reply: Any) -> Any:
        self._asked -= 1
        if not self._asked:
            self._drained.fire(None)
        return reply

    def drain(self) -> Deferred[None]:
        """
        Refuse the peer's packets for now, with T99, until the account is closed.

        @return: fires when those that came before are answered: applications may think long.
        """
        self._isDraining = True
        if not self._asked:
            return succeed(None)
        return self._drained.add()

    def _ownAddress(self, segment: str) -> str:
        """
        The address under which a segment of this account is reached.

        @raise StreamError: if the account has none.
        """
        if not self.address:
            raise StreamError("the account has no address: open it with Account.open")
        return join(self.address, segment)

    # --- Whose turn is it? ------------------------------------------------------------------

    def _wake(self, connection: _Sends) -> None:
        """Give a connection a turn soon."""
        self._awake[connection] = None
        if not self._isScheduled:
            self._isScheduled = True
            self.reactor.callLater(0, self._turns)

    def _turns(self) -> None:
        self._isScheduled = False
        awake, self._awake = self._awake, {}
        for connection in awake:
            try:
                connection._turn()
            except Exception:
                _log.failure("a connection failed in its turn; others go on")

    def _forget(self, connection: _Sends) -> None:
        """A connection is over."""
        self.connections.discard(connection)
        self._stopped.pop(connection, None)

    def _waitForPlugin(self, connection: _Sends) -> None:
        """A connection has more to send once the plugin takes it."""
        self._stopped[connection] = None

    # --- IPushProducer: what the plugin tells -------------------------------------------------

    def pauseProducing(self) -> None:
        """The plugin's way out is full, or lost: connections collect, and send no more."""
        self.isPaused = True
        self._isLost = not self.plugin.isConnected()

    def resumeProducing(self) -> None:
        """The plugin takes packets again."""
        self.isPaused = False
        if self._isLost:
            self._isLost = False
            for connection in list(self.connections):
                connection._reconnected()
        for connection in self._stopped:
            self._wake(connection)
        self._stopped.clear()

    def stopProducing(self) -> None:
        """The plugin is gone."""
        self.isPaused = True


def _late(_: object, timeout: float) -> Any:
    raise ConnectionEnded(f"the parent did not say who we are within {timeout:g} s")


def accountFor(source: Account | AnyPlugin, reactor: AnyReactor | None = None) -> Account:
    """
    The account itself, or one on a plugin.

    @param source: an L{Account} or an L{IPlugin <txilpstream.interfaces.IPlugin>}.
    @param reactor: for the account of a plugin; Twisted's own by default.
    @raise LocalError: if it is neither.
    """
    if reactor is not None:
        _checkReactor(reactor)
    if isinstance(source, Account):
        return source
    plugin = checkPlugin(source, "account", "it takes an Account or a plugin")
    if reactor is None:
        from twisted.internet import reactor as installed

        reactor = cast("Reactor", installed)
    return Account(reactor, plugin)


def _checkReactor(reactor: AnyReactor) -> IReactorTime:
    """
    @raise LocalError: if it has no time.
    """
    if not (hasattr(reactor, "callLater") and hasattr(reactor, "seconds")):
        raise wrongType("reactor", reactor, "it takes a reactor")
    return cast("IReactorTime", reactor)


class CredentialsMaker:
    """
    What gives out addresses on an account, and knows them again by their tokens: the part that
    servers with and without state have in common.

    @ivar account: the account.
    """

    def __init__(self, account: Account, secret: bytes, tokenFormats: Iterable[str]) -> None:
        """
        @param secret: 32 octets that every address is made with.
        @raise LocalError: if the secret or a format is not valid.
        """
        self.account = account
        self._tokens = TokenFormats(secret, tokenFormats, account.randomBytes)

    def generateCredentials(
        self,
        *,
        connectionTag: str = "",
        receiptNonce: bytes = b"",
        receiptSecret: bytes = b"",
        expiresAt: int | None = None,
    ) -> Credentials:
        """
        Make an address and a secret for one client.

        @param connectionTag: comes back with every packet of the connection.
        @param receiptNonce: 16 octets, with C{receiptSecret}, to have receipts signed (RFC 39).
        @param receiptSecret: 32 octets.
        @param expiresAt: whole seconds since the epoch, from which they are no longer good: no
            connection begins with them.
        @raise LocalError: if one of these is not valid, or the account is not open.
        """
        account = self.account
        if not account.address:
            raise LocalError("the account has no address yet: listen, or open it with Account.open")
        return self._tokens.generateCredentials(
            account.address,
            connectionTag=connectionTag,
            receiptNonce=receiptNonce,
            receiptSecret=receiptSecret,
            assetCode=account.assetCode,
            assetScale=account.assetScale,
            expiresAt=expiresAt,
        )
