"""
One ILP account: the plugin's data handler, its turns, its address and its clock.

It knows a plugin only by its interface, decodes each incoming Prepare once and finds whose it is.
Its connections send in turns, see C{turns}.
"""

from __future__ import annotations

import os
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any, Final, Protocol, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txilpstream.errors import ConnectionEnded, DecodeError, LocalError, StreamError
from txilpstream.interfaces import IPlugin
from txilpstream.wire import ildcp
from txilpstream.wire.address import checkAddress, join, localPart
from txilpstream.wire.ilp import Prepare, decodePrepare, rejectWith

__all__ = ["Account", "Turns", "accountFor", "checkOpen"]

_log = Logger()


class _Sends(Protocol):
    """A connection, as its account sees it."""

    def turn(self) -> None:
        """Send what may be sent now."""

    def reconnected(self) -> None:
        """The plugin lost its peer and has found it again."""

    def abort(self, message: str) -> None:
        """End now."""


@implementer(IPushProducer)
class Turns:
    """
    Gives connections their turns.

    @ivar reactor: where its time comes from.
    @ivar plugin: what carries its packets.
    @ivar connections: those that are not over.
    @ivar isPaused: whether the plugin's way out is full.
    """

    def __init__(self, reactor: IReactorTime, plugin: Any) -> None:
        self.reactor = reactor
        self.plugin = plugin
        self.isPaused = False
        self.connections: set[_Sends] = set()
        self._waiting: dict[_Sends, None] = {}
        self._stopped: dict[_Sends, None] = {}
        self._isScheduled = False
        self._isLost = False

    def forget(self, connection: _Sends) -> None:
        """A connection is over."""
        self.connections.discard(connection)
        self._stopped.pop(connection, None)

    def wake(self, sender: _Sends) -> None:
        """Give a connection a turn soon."""
        self._waiting[sender] = None
        if not self._isScheduled:
            self._isScheduled = True
            self.reactor.callLater(0, self._turn)

    def _turn(self) -> None:
        self._isScheduled = False
        waiting, self._waiting = self._waiting, {}
        for sender in waiting:
            try:
                sender.turn()
            except Exception:
                _log.failure("a connection failed in its turn; others go on")

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
                connection.reconnected()
        for sender in self._stopped:
            self.wake(sender)
        self._stopped.clear()

    def stopProducing(self) -> None:
        """The plugin is gone."""
        self.isPaused = True

    def waitForPlugin(self, sender: _Sends) -> None:
        """A connection has more to send once the plugin takes it."""
        self._stopped[sender] = None


_INVALID: Final = rejectWith("F01")
_UNREACHABLE: Final = rejectWith("F02")
_CLOSING: Final = rejectWith("T99")

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


class Account(Turns):
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
    """

    def __init__(
        self,
        reactor: IReactorTime,
        plugin: Any,
        *,
        address: str = "",
        assetCode: str | None = None,
        assetScale: int | None = None,
        randomBytes: Callable[[int], bytes] = os.urandom,
        wallClock: Callable[[], float] = time.time,
        clockOffset: float = 0.0,
    ) -> None:
        """
        @param wallClock: seconds since the epoch; it stamps the expiry of packets.
        @param clockOffset: seconds to add where the machine's clock is known to be wrong.
        @raise LocalError: if the address is none.
        """
        super().__init__(reactor, plugin)
        self.address = checkAddress(address) if address else ""
        self.assetCode = assetCode
        self.assetScale = assetScale
        self.invalidPackets = 0
        self.randomBytes = randomBytes
        self._wallClock = wallClock
        self._clockOffset = clockOffset
        self._seconds = reactor.seconds
        self._anchor = wallClock() - reactor.seconds()
        self._routes: dict[str, Answerer] = {}
        self._released: list[str] = []
        self._default: Answerer | None = None
        self._isOpen = False
        self._isDraining = False
        self._asked = 0
        self._drained: list[Deferred[None]] = []
        self._opening: list[Deferred[Account]] = []

    @classmethod
    def open(cls, reactor: IReactorTime, plugin: Any, **options: Any) -> Deferred[Account]:
        """
        Connect a plugin and learn the account's address and asset by IL-DCP, unless told.

        @param options: as the class takes them.
        @return: fires with the account; fails if the plugin cannot connect or the parent gives
            no address.
        """
        return cls(reactor, plugin, **options).whenOpen()

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
        waiting: Deferred[Account] = Deferred(self._opening.remove)
        self._opening.append(waiting)
        if len(self._opening) == 1:
            connected: Deferred[None] = self.plugin.connect()
            opened: Deferred[Account] = connected.addCallback(lambda _: self._start())
            opened.addBoth(self._opened)
        return waiting

    def _opened(self, outcome: Any) -> None:
        waiting, self._opening = self._opening, []
        self._isOpen = outcome is self
        for deferred in waiting:
            if self._isOpen:
                deferred.callback(self)
            else:
                deferred.errback(outcome)

    def _start(self) -> Account | Deferred[Account]:
        self.plugin.registerDataHandler(self.receivePrepare)
        self.plugin.registerProducer(self, True)
        if self.address:
            return self
        request = ildcp.encodeRequest(self.now() + IL_DCP_TIMEOUT)
        asked: Deferred[bytes] = self.plugin.sendData(request)
        asked.addTimeout(IL_DCP_TIMEOUT, self.reactor, onTimeoutCancel=_late)
        return asked.addCallbacks(self._cbDetails, self._ebDetails)

    def _ebDetails(self, failure: Failure) -> Failure:
        self._release()
        return failure

    def _release(self) -> None:
        """Give the plugin's slots back."""
        self._isOpen = self._isDraining = False
        self.plugin.deregisterDataHandler()
        self.plugin.unregisterProducer()

    def _cbDetails(self, reply: bytes) -> Account:
        try:
            details = ildcp.decodeResponse(reply)
        except StreamError:
            self._release()
            raise
        self.address = details.address
        if self.assetCode is None:
            self.assetCode, self.assetScale = details.assetCode, details.assetScale
        return self

    def close(self) -> Deferred[None]:
        """End all connections, give the plugin's slots back and disconnect it."""
        for connection in list(self.connections):
            connection.abort("the account was closed")
        self._release()
        done: Deferred[None] = self.plugin.disconnect()
        return done if done is not None else succeed(None)

    def now(self) -> float:
        """Seconds since the epoch, as steady as the reactor's clock."""
        seconds: float = self._seconds()
        ahead = self._wallClock() - seconds
        if ahead > self._anchor + CLOCK_JUMP:
            self._anchor = ahead
        return seconds + self._anchor + self._clockOffset

    # --- Whose packet is it? ----------------------------------------------------------------

    def attach(self, answerer: Answerer) -> str:
        """
        Give an address of its own to a connection.

        @return: a segment to be appended to the account's address; L{detach} or L{release} frees
            it.
        """
        segment = urlsafe_b64encode(self.randomBytes(_SEGMENT_OCTETS)).decode("ascii")
        self._routes[segment] = answerer
        return segment

    def detach(self, segment: str) -> None:
        """Free a segment at once."""
        self._routes.pop(segment, None)

    def release(self, segment: str) -> None:
        """
        Free a segment when some more are released after it; until then its owner goes on answering
        what was on its way when its connection ended.
        """
        self._released.append(segment)
        if len(self._released) > MOST_RELEASED:
            self.detach(self._released.pop(0))

    def setServer(self, answerer: Answerer | None) -> None:
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
            drained, self._drained = self._drained, []
            for deferred in drained:
                deferred.callback(None)
        return reply

    def drain(self) -> Deferred[None]:
        """
        Refuse the peer's packets for now, with T99, until the account is closed.

        @return: fires when those that came before are answered: applications may think long.
        """
        self._isDraining = True
        if not self._asked:
            return succeed(None)
        drained: Deferred[None] = Deferred(self._drained.remove)
        self._drained.append(drained)
        return drained

    def ownAddress(self, segment: str) -> str:
        """
        The address under which a segment of this account is reached.

        @raise StreamError: if the account has none.
        """
        if not self.address:
            raise StreamError("the account has no address: open it with Account.open")
        return join(self.address, segment)


def _late(_: object, timeout: float) -> Any:
    raise ConnectionEnded(f"the parent did not say who we are within {timeout:g} s")


def accountFor(source: Any, reactor: IReactorTime | None = None) -> Account:
    """
    The account itself, or one on a plugin.

    @param source: an L{Account} or an L{IPlugin <txilpstream.interfaces.IPlugin>}.
    @param reactor: for the account of a plugin; Twisted's own by default.
    @raise LocalError: if it is neither.
    """
    if isinstance(source, Account):
        return source
    if not IPlugin.providedBy(source):
        raise LocalError(f"an Account or a plugin is wanted, not {type(source).__name__}")
    if reactor is None:
        from twisted.internet import reactor as installed

        reactor = cast("IReactorTime", installed)
    return Account(reactor, source)


def checkOpen(account: Account) -> str:
    """
    The address of an account that can receive.

    @raise LocalError: if it has none.
    """
    if not account.address:
        raise LocalError("the account has no address yet: listen, or open it with Account.open")
    return account.address
