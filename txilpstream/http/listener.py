"""
Listening with bounds: how many connections there may be, whose they may be, and who gives way.

A connection belongs to nobody until its peer has shown who it is. When a door has no place left,
one of nobody's gives way, the oldest first; only then one of the owner who has most, and one that
is busy only if he has more than his share, so that no owner shuts out another. Beyond its share an
owner takes the places of its own connections. What a process can have open at all is shared out
among its doors.

What was rejected: to count addresses. Many peers may stand behind one, and one may have many.
"""

# (Parts of twisted.internet have no annotations.)
# mypy: allow-untyped-calls

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Hashable, Mapping
from functools import lru_cache
from typing import Any, ClassVar, Final, Protocol

from OpenSSL.SSL import Error as SSLError
from twisted import version as TWISTED  # type: ignore[attr-defined]
from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocolNegotiationFactory,
    IReactorTime,
    ISSLTransport,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import ServerFactory
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import classImplements

from txilpstream.amounts import checkAmount
from txilpstream.errors import LocalError
from txilpstream.http.url import isLoopback
from txilpstream.logs import RareLog
from txilpstream.waiters import Waiters

try:
    import resource
except ImportError:  # there is no such limit on Windows
    resource = None  # type: ignore[assignment]

__all__ = [
    "MOST_CONNECTIONS",
    "NEGOTIATES",
    "STOP_TIME",
    "IConnection",
    "Listener",
    "comesFromPage",
    "isOnLoopback",
    "raiseDescriptorLimit",
    "setNoDelay",
    "socketOf",
    "unsent",
    "writeNow",
]

MOST_CONNECTIONS: Final = 2000
"""Connections of a door that is not told how many: strangers may fill 16 KiB of memory each."""

MOST_DESCRIPTORS: Final = 65_536
"""What a process needs no more than; above it, some systems take long to start another."""

SWEEP_INTERVAL: Final = 1.0
"""Seconds between two looks at all connections: limits of time are kept to so much."""

STOP_TIME: Final = 5.0
"""Seconds that connections may take to end after L{Listener.stop}."""

EMFILE_INTERVAL: Final = 60.0
"""Seconds between two lines in the log on connections that the system refuses."""

NEGOTIATES: Final = TWISTED.major == "NEXT" or TWISTED.major >= 26
"""Whether clients that offer protocols (ALPN) are told which is spoken. Twisted 25.5 with a newer
pyOpenSSL fails from the second connection on if a factory names some, and takes all if not."""

_RECORD: Final = 2**14
"""Octets that TLS takes at once."""

_HOST: Final = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::[0-9]*)?", re.ASCII)
"""A C{Host} header: an address in brackets, or what needs none, and a port."""

_log = Logger()


def raiseDescriptorLimit() -> None:
    """Raise what this process may have open as far as that is allowed (C{RLIMIT_NOFILE})."""
    if resource is not None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            except (OSError, ValueError):
                _log.warn("the limit of open files stays {soft}: {wanted} was refused", **locals())


def _descriptorLimit() -> int:
    limit = MOST_DESCRIPTORS
    if resource is not None:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        limit = limit if soft == resource.RLIM_INFINITY else soft
    return limit


def _areFewLeft() -> bool:
    """Whether nearly all that the process may have open is open."""
    try:
        # The system gives out the lowest number that is free.
        lowest = os.open(os.devnull, os.O_RDONLY)
    except OSError:
        return True
    os.close(lowest)
    limit = _descriptorLimit()
    return lowest >= limit - limit // 8


def socketOf(transport: Any) -> socket.socket | None:
    """The socket below a transport, TLS or not; None if it has none, as in tests."""
    while transport is not None:
        handle = getattr(transport, "socket", None)
        if isinstance(handle, socket.socket):
            return handle
        transport = getattr(transport, "transport", None)
    return None


def setNoDelay(transport: Any) -> None:
    """Have small writes sent at once, where that is to be had."""
    try:
        transport.setTcpNoDelay(True)
    except AttributeError:
        pass


def unsent(transport: Any) -> int | None:
    """Octets that a transport of TCP, without TLS, still has to write; None of any other."""
    if not isinstance(transport, FileDescriptor) or getattr(transport, "TLS", False):
        return None
    # There is no public way to ask.
    waiting: int | None = getattr(transport, "_tempDataLen", None)
    return waiting if waiting is None else waiting + len(transport.dataBuffer) - transport.offset


def writeNow(transport: Any, data: bytes) -> None:
    """
    Write what is to leave at once, as far as the system takes it.

    A transport writes in the next turn of the reactor, which costs more than the packet does. With
    TLS this overtakes what was written otherwise in the same turn: use one of both only.
    """
    if transport.disconnecting or getattr(transport, "_aborting", False):
        return  # such as one whose peer has shown another certificate than it should
    if isinstance(transport, TLSMemoryBIOProtocol):
        octets, left = _encrypt(transport.getHandle(), data)
        _writeBelow(transport.transport, octets)
        if left:  # for Twisted to find what is wrong, or to wait for it
            transport.write(left)
    else:
        _writeBelow(transport, data)


def _encrypt(tls: Any, data: bytes) -> tuple[bytes, bytes]:
    """What TLS makes of octets, a record after the other, and those that it does not take now."""
    taken = 0
    made: list[bytes] = []
    try:
        while taken < len(data):
            taken += tls.send(data[taken : taken + _RECORD])
    except SSLError:
        pass
    try:
        while not made or len(made[-1]) == 2 * _RECORD:
            made.append(tls.bio_read(2 * _RECORD))
    except SSLError:  # there is no more
        pass
    return b"".join(made), data[taken:]


def _writeBelow(transport: Any, data: bytes) -> None:
    if data and unsent(transport) == 0 and transport.connected:
        sent = transport.writeSomeData(data)
        if sent == len(data):
            return
        if isinstance(sent, int):
            data = data[sent:]
    transport.write(data)  # what is left, or what finds the connection lost


def isOnLoopback(transport: Any) -> bool:
    """
    Whether it was called at an address that only this machine has, without TLS.

    With TLS a page cannot have another name lead there, for the certificate has not that name.
    """
    host = getattr(transport.getHost(), "host", None)
    return isinstance(host, str) and isLoopback(host) and not ISSLTransport.providedBy(transport)


def comesFromPage(fields: Mapping[bytes, object], isLocal: bool) -> bool:
    """
    Whether a browser may ask this on behalf of somebody's page.

    @param fields: the headers by their names in lower case.
    @param isLocal: whether it came to an address of this machine alone: there no name but
        C{localhost} is ours, for a page may have its own name lead here (DNS rebinding).
    """
    host = fields.get(b"host")
    return b"origin" in fields or (isLocal and isinstance(host, bytes) and not _isOurs(host))


@lru_cache(64)
def _isOurs(header: bytes) -> bool:
    found = _HOST.fullmatch(header.decode("latin-1").lower())
    host = (found[1] or found[2]) if found is not None else ""
    return isLoopback(host) or host.endswith(".localhost")


class IConnection(Protocol):
    """
    What a L{Listener} knows of a connection.

    @ivar owner: whose it is; None while nobody has shown that it is his.
    @ivar isBusy: whether somebody waits for what is done about it here.
    @ivar lastActive: when something last came or was answered.
    """

    owner: Hashable | None
    lastActive: float

    @property
    def isBusy(self) -> bool: ...

    def isOverdue(self, now: float) -> bool:
        """Whether its time is over."""

    def close(self) -> None:
        """End it in good order."""

    def abort(self) -> None:
        """Lose it at once."""


class Listener(ServerFactory):
    """
    Listens, and bounds what comes: the base of servers of HTTP and of WebSockets.

    A subclass makes protocols, which call L{join} when they are connected, L{own}, and L{forget}
    when they are so no more.

    @ivar port: where it listens, or None.
    @ivar connections: all that are open, from the oldest to the newest.
    @ivar isStopping: whether it is being stopped.
    """

    noisy = False
    _doors: ClassVar[set[Listener]] = set()
    _refusals: ClassVar[dict[IReactorTime, RareLog]] = {}

    def __init__(
        self,
        reactor: IReactorTime,
        endpoint: IStreamServerEndpoint,
        maximumConnections: int | None = None,
        share: int | None = None,
    ) -> None:
        """
        @param maximumConnections: None for L{MOST_CONNECTIONS}. Never more than this door's part
            of what the process may have open.
        @param share: connections that one owner may have; None for as many as leave a place for
            each owner there is, and for strangers.
        @raise LocalError: if one of them is not possible.
        """
        self.reactor = reactor
        self.rareLog = RareLog(reactor, _log)
        self.connections: dict[IConnection, None] = {}
        self.port: IListeningPort | None = None
        self.isStopping = False
        self._endpoint = endpoint
        self._maximum = MOST_CONNECTIONS
        if maximumConnections is not None:
            self._maximum = checkAmount("maximumConnections", maximumConnections, minimum=1)
        self._share = None if share is None else checkAmount("share", share, minimum=1)
        self._strangers: dict[IConnection, None] = {}
        self._owned: dict[Hashable, dict[IConnection, None]] = {}
        self._count = 0
        self._sweeping = LoopingCall(self._look)
        self._sweeping.clock = reactor
        self._listening: Deferred[Any] | None = None
        self._stopDeadline = 0.0
        self._stopped: Waiters[None] = Waiters()

    def makeProtocol(self) -> Any:
        """Make what takes one connection; for subclasses."""
        raise NotImplementedError

    def acceptableProtocols(self) -> list[bytes]:
        """What clients that negotiate are told (ALPN, RFC 7301); for TLS."""
        return [b"http/1.1"]

    # --- Its life ------------------------------------------------------------------------------

    def start(self) -> Deferred[None]:
        """
        Begin to listen.

        @return: fires when this listens, after it was stopped if it is being stopped; fails as the
            endpoint does, with C{CancelledError} if it is stopped before, or with L{LocalError} if
            it listens already or is about to.
        """
        if self._listening is not None or (self.port is not None and not self.isStopping):
            return fail(LocalError("this server listens already, or is about to: stop it first"))
        if self.isStopping:
            waiting = self._listening = self._stopped.add()
            return waiting.addCallbacks(self._cbStopped, self._ebListening)
        listening = self._listening = maybeDeferred(self._endpoint.listen, self)
        return listening.addCallbacks(self._cbListening, self._ebListening)

    def _cbStopped(self, _: None) -> Deferred[None]:
        self._listening = None
        return self.start()

    def _cbListening(self, port: IListeningPort) -> None:
        self._listening = None
        self.port = port
        self._doors.add(self)
        places = self.places()
        if places < self._maximum:
            _log.info(
                "a door has place for {places} connections: raise the limit of open files "
                "(ulimit -n) for more",
                places=places,
            )
        # Twisted writes a line or three for each connection that the system refuses (EMFILE).
        if isinstance(getattr(port, "_logger", None), Logger):
            new = RareLog(self.reactor, _log, EMFILE_INTERVAL)
            log = self._refusals.setdefault(self.reactor, new)
            text = "the system refuses connections, mostly for too many open files (ulimit -n)"
            observer: Any = lambda event: log.warn(text)  # noqa: E731
            port._logger = Logger(observer=observer)  # type: ignore[attr-defined]

    def _ebListening(self, failure: Failure) -> Failure:
        self._listening = None
        return failure

    def stop(self) -> Deferred[None]:
        """
        Listen no more, and close all connections; those that are busy have L{STOP_TIME} to end.

        @return: fires when the port and all connections are gone.
        """
        if self._listening is not None:
            self._listening.cancel()
        if self.port is None and not self.isStopping:
            return succeed(None)
        stopped = self._stopped.add()
        if self.port is not None and not self.isStopping:
            self.isStopping = True
            self._doors.discard(self)
            self._stopDeadline = self.reactor.seconds() + STOP_TIME
            closed = maybeDeferred(self.port.stopListening)
            for connection in list(self.connections):
                if not connection.isBusy:
                    self._end(connection, connection.close)
            closed.addBoth(self._cbPortClosed)
        return stopped

    def _cbPortClosed(self, result: object) -> None:
        if isinstance(result, Failure):
            _log.failure("the port did not close as it should", result)
        self.port = None
        self._checkStopped()

    def _checkStopped(self) -> None:
        if self.isStopping and self.port is None and not self.connections:
            self.isStopping = False
            self._stopped.fire(None)

    def _look(self) -> None:
        now = self.reactor.seconds()
        isOver = self.isStopping and now >= self._stopDeadline
        for connection in list(self.connections):
            if isOver or connection.isOverdue(now):
                self._end(connection, connection.abort)
        self.looked()

    def _end(self, connection: IConnection, end: Callable[[], object]) -> None:
        try:
            end()
        except Exception:
            # TLS of Twisted 25.5 fails at some ends without a word, and at all that follows.
            self.forget(connection)

    def looked(self) -> None:
        """All connections were looked at, as they are each second while there are some."""

    # --- Who may stay --------------------------------------------------------------------------

    def places(self) -> int:
        """How many connections there may be."""
        # A quarter is left for files, and for connections that this side makes.
        part = _descriptorLimit() * 3 // 4 // max(1, len(self._doors))
        return max(1, min(self._maximum, part))

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Take a connection if there is a place for it, or one can be made; None otherwise."""
        if self.isStopping:
            return None
        why = "there are too many"
        isFull = self._count >= self.places()
        if not isFull and _areFewLeft():
            isFull, why = True, "the process has few files left to open (ulimit -n)"
        if isFull and not self._makePlace():
            self.rareLog.warn(f"connections refused: {why}")
            return None
        if isFull:
            self.rareLog.warn(f"connections lost for newer ones: {why}")
        return self.makeProtocol()

    def _makePlace(self) -> bool:
        if self._strangers:
            # Strangers hold no money: theirs may be waiting for an answer.
            return self._displace(self._strangers, mayBeBusy=True)
        most: dict[IConnection, None] = max(self._owned.values(), key=len, default={})
        return len(most) > 1 and self._displace(most, mayBeBusy=len(most) > self._fairShare())

    def _displace(self, group: dict[IConnection, None], mayBeBusy: bool) -> bool:
        """Lose one of a group, which was idle for the longest; if it may be, one that is busy."""
        idle = [each for each in group if not each.isBusy] if group is not self._strangers else ()
        victim = min(idle, key=lambda each: each.lastActive, default=None)
        if victim is None and mayBeBusy:
            victim = next(iter(group), None)
        if victim is None:
            return False
        # It counts no more from now on: its end may take a turn of the reactor.
        self._leave(victim)
        self._end(victim, victim.abort)
        return True

    def _fairShare(self) -> int:
        return self._share or max(1, self.places() // (len(self._owned) + 1))

    def join(self, connection: IConnection) -> None:
        """Take note of a new connection: a stranger's, for whom a place was found."""
        self.connections[connection] = self._strangers[connection] = None
        self._count += 1
        if not self._sweeping.running:
            self.looked()
            self._sweeping.start(SWEEP_INTERVAL, now=False)

    def own(self, connection: IConnection, owner: Hashable) -> bool:
        """
        Take note of whose a connection is.

        @return: False if its owner has no place for it: then it stays a stranger's.
        """
        self._leave(connection)
        connection.owner = owner
        self._count += 1
        theirs = self._owned.get(owner)
        if theirs is None:
            theirs = self._owned[owner] = {}
        if len(theirs) < self._fairShare() or self._displace(theirs, mayBeBusy=False):
            # (The last one of an owner may have been displaced, and the owner with it.)
            self._owned.setdefault(owner, theirs)[connection] = None
            return True
        connection.owner = None
        self._strangers[connection] = None
        self.rareLog.warn("connections refused: their owner has too many")
        return False

    def _leave(self, connection: IConnection) -> None:
        owner, connection.owner = connection.owner, None
        group = self._strangers if owner is None else self._owned[owner]
        if connection in group:
            del group[connection]
            self._count -= 1
            if owner is not None and not group:
                del self._owned[owner]

    def forget(self, connection: IConnection) -> None:
        """Take note that a connection is gone."""
        self.connections.pop(connection, None)
        self._leave(connection)
        if not self.connections and self._sweeping.running:
            self._sweeping.stop()
        self._checkStopped()


if NEGOTIATES:
    classImplements(Listener, IProtocolNegotiationFactory)
