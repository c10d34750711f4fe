"""
A plugin without a network: two ends in one process.

Bytes move from one end to the other, and IL-DCP is answered; nothing else is read of a
packet. Each end sends on its own reactor: Prepares wait in a queue, and one delayed call delivers
all that wait, so that nobody is called from inside his own C{sendData}.
"""

from __future__ import annotations

from collections import deque
from typing import Final
from weakref import WeakValueDictionary

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from zope.interface import implementer

from txilpstream.amounts import checkAmount
from txilpstream.errors import ConnectionEnded, LocalError
from txilpstream.interfaces import AnyReactor, IPlugin, IPluginFactory, NotSent
from txilpstream.plugins.base import PluginBase
from txilpstream.plugins.registry import callWithParts
from txilpstream.wire.address import checkAddress
from txilpstream.wire.ildcp import AccountDetails, encodeResponse, isRequest

__all__ = ["HIGH_WATER", "MemoryPlugin", "MemoryPluginFactory", "memoryPair"]

HIGH_WATER: Final = 1024
"""Prepares queued or unanswered beyond which a producer is paused: 32 MiB if all are full."""


@implementer(IPlugin)
class MemoryPlugin(PluginBase):
    """
    One of two ends; L{memoryPair} makes both.

    The two connect and disconnect each for itself. A Prepare that comes to an end that is not
    connected, or to none, is answered with T01, as a connector would do.
    """

    def __init__(
        self,
        reactor: AnyReactor,
        details: AccountDetails | None = None,
        *,
        highWater: int = HIGH_WATER,
    ) -> None:
        """
        @param details: what IL-DCP requests of this end are answered with; without them they go to
            the other end like any Prepare.
        @param highWater: this many Prepares may be queued or unanswered before the producer is
            paused; it is resumed when fewer than half of it are.
        @raise LocalError: if the details or the limit are not possible.
        """
        super().__init__("" if details is None else details.address)
        self._reactor = reactor
        self._configuration = None if details is None else encodeResponse(details)
        self._highWater = checkAmount("highWater", highWater, minimum=1)
        self._peer: MemoryPlugin | None = None
        self._isConnected = False
        self._queue: deque[tuple[bytes, Deferred[bytes]]] = deque()
        self._delivered: set[Deferred[bytes]] = set()
        self._unanswered = 0
        self._call: IDelayedCall | None = None

    def connect(self) -> Deferred[None]:
        """Make this end ready; the other need not be."""
        self._isConnected = True
        return succeed(None)

    def disconnect(self) -> Deferred[None]:
        """
        Give this end up; packets that wait for an answer fail, in a later turn of the reactor.

        Those that still wait in the queue fail with L{NotSent}, those that were delivered with
        L{ConnectionEnded}, and so do the other end's that this end has not answered.
        """
        self._isConnected = False
        if self._call is not None:
            self._call.cancel()
            self._call = None
        unsent = [deferred for _, deferred in self._queue]
        self._queue.clear()
        done: Deferred[None] = Deferred()
        self._reactor.callLater(0, self._finish, unsent, done)
        return done

    def isConnected(self) -> bool:
        """Whether this end is ready."""
        return self._isConnected

    def sendData(self, data: bytes) -> Deferred[bytes]:
        """
        Send a Prepare to the other end in the next turn of the reactor.

        The registered producer may be paused before this returns.
        """
        if not self._isConnected:
            return fail(NotSent("this end is not connected: call connect() first"))
        deferred: Deferred[bytes] = Deferred(self._giveUp)
        self._queue.append((data, deferred))
        if self._call is None:
            self._call = self._reactor.callLater(0, self._deliver)
        self._unanswered += 1
        if self._unanswered > self._highWater:
            self.pauseProducer()
        return deferred

    def isFull(self) -> bool:
        """Whether more Prepares are queued or unanswered than the limit."""
        return self._unanswered > self._highWater

    def _resumeIfLow(self) -> None:
        if self._isPaused and self._unanswered * 2 < self._highWater:
            self.resumeProducer()

    def _giveUp(self, deferred: Deferred[bytes]) -> None:
        """Wait no more; the Prepare itself goes its way."""
        self._delivered.discard(deferred)
        self._unanswered -= 1
        if self._isPaused:
            self._reactor.callLater(0, self._resumeIfLow)

    def _deliver(self) -> None:
        """
        Deliver what waits in the queue now; what is sent meanwhile waits for the next turn.

        All are answered before the first answer is handed out: one end's work stays together.
        """
        self._call = None
        answered: list[tuple[Deferred[bytes], bytes]] = []
        queue = self._queue
        peer = self._peer
        for _ in range(len(queue)):
            if not queue:
                break
            data, deferred = queue.popleft()
            if self._configuration is not None and isRequest(data):
                reply: bytes | Deferred[bytes] = self._configuration
            elif peer is None or not peer._isConnected:
                reply = self._unreachable
            else:
                reply = peer.answerPrepare(data)
            if isinstance(reply, bytes):
                answered.append((deferred, reply))
                continue
            if not deferred.called:
                self._delivered.add(deferred)
            reply.addCallback(self._cbAnswered, deferred)
        for deferred, reply in answered:
            if not deferred.called:
                self._unanswered -= 1
                deferred.callback(reply)
        self._resumeIfLow()

    def _cbAnswered(self, reply: bytes, deferred: Deferred[bytes]) -> None:
        self._delivered.discard(deferred)
        if not deferred.called:
            self._unanswered -= 1
            deferred.callback(reply)
            self._resumeIfLow()

    def _finish(self, unsent: list[Deferred[bytes]], done: Deferred[None]) -> None:
        """Fail what waited when this end was given up."""
        self._fail(unsent, NotSent("the plugin was disconnected before the packet left"))
        self._failDelivered("the plugin was disconnected before the answer came")
        if self._peer is not None:
            self._peer._failDelivered("the peer disconnected before it answered")
        done.callback(None)

    def _failDelivered(self, message: str) -> None:
        delivered = list(self._delivered)
        self._delivered.clear()
        self._fail(delivered, ConnectionEnded(message))

    def _fail(self, waiting: list[Deferred[bytes]], error: Exception) -> None:
        for deferred in waiting:
            if not deferred.called:
                self._unanswered -= 1
                deferred.errback(error)
        self._resumeIfLow()


def _join(left: MemoryPlugin, right: MemoryPlugin) -> None:
    left._peer = right
    right._peer = left


def memoryPair(
    reactor: AnyReactor, *, left: AccountDetails | None = None, right: AccountDetails | None = None
) -> tuple[MemoryPlugin, MemoryPlugin]:
    """
    Make two ends of one link.

    @param left: what the first end learns when it asks by IL-DCP who it is.
    @param right: the same for the second.
    @raise LocalError: if details have no valid address or scale.
    """
    ends = MemoryPlugin(reactor, left), MemoryPlugin(reactor, right)
    _join(*ends)
    return ends


_waiting: Final[WeakValueDictionary[str, MemoryPlugin]] = WeakValueDictionary()
"""First ends that no second was made for, by name; one that nobody holds any more is forgotten."""


@implementer(IPluginFactory)
class MemoryPluginFactory:
    """
    Makes plugins from C{memory:name}, with C{address=}, C{assetCode=} and C{assetScale=}.

    Names meet within the process: the first plugin that is made with a name is one end and the
    second the other; a third is the first end of another link, and so on. The ends' addresses are
    C{example.memory.<name>.left} and C{.right} and their asset USD with scale 9, if not told.
    """

    prefix = "memory"

    def fromString(self, reactor: AnyReactor, *args: str, **kwargs: str) -> MemoryPlugin:
        """
        Make the next end of a name.

        @raise LocalError: if the parts are not a name and the keys above, or a value is none.
        """
        return callWithParts(self._make, self.prefix, reactor, args, kwargs)

    def _make(
        self,
        reactor: AnyReactor,
        name: str,
        *,
        address: str | None = None,
        assetCode: str = "USD",
        assetScale: str = "9",
    ) -> MemoryPlugin:
        if not (assetScale.isascii() and assetScale.isdigit() and len(assetScale) <= 3):
            raise LocalError(f"assetScale is {assetScale[:20]!r}: it must be from 0 to 255")
        first = _waiting.get(name)
        if address is None:
            address = f"example.memory.{name}.{'left' if first is None else 'right'}"
        details = AccountDetails(checkAddress(address), int(assetScale), assetCode)
        plugin = MemoryPlugin(reactor, details)
        if first is None:
            _waiting[name] = plugin
        else:
            del _waiting[name]
            _join(first, plugin)
        return plugin
