"""
Peers of WebSockets and of BTP: a network in memory, and owners that write down what comes.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.test.iosim import FakeTransport, IOPump
from wsproto import ConnectionType, WSConnection
from wsproto.events import CloseConnection, Event, Request
from zope.interface import implementer

from txilpstream.plugins.btp.websocket import WebSocket


class Owner:
    """Writes down what a socket tells it."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.events: list[str] = []
        self.lost: list[str] = []

    def socketOpened(self, socket: WebSocket) -> None:
        """Note it."""
        self.events.append("opened")

    def messageReceived(self, data: bytes) -> None:
        """Keep it."""
        self.messages.append(data)

    def socketFull(self) -> None:
        """Note it."""
        self.events.append("full")

    def socketDrained(self) -> None:
        """Note it."""
        self.events.append("drained")

    def socketLost(self, reason: str) -> None:
        """Keep the reason."""
        self.lost.append(reason)


class RawTransport(StringTransport):
    """
    A transport whose far side is the test.

    @ivar isNoDelay: whether small packets leave at once.
    @ivar isReading: whether octets are wanted.
    """

    isNoDelay = False
    isAborted = False

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Note it."""
        self.isNoDelay = enabled

    @property
    def isReading(self) -> bool:
        """Whether octets are wanted."""
        return bool(self.producerState == "producing")

    def abortConnection(self) -> None:
        """Note it."""
        self.isAborted = True
        self.disconnecting = True

    def pauseProducing(self) -> None:
        """Want no octets, in whatever state."""
        self.producerState = "paused"

    def resumeProducing(self) -> None:
        """Want octets, in whatever state."""
        self.producerState = "producing"


class RawPeer:
    """What C{wsproto} alone says to a socket, and what it makes of the answers."""

    def __init__(self, socket: WebSocket, *, isClient: bool) -> None:
        """
        @param isClient: whether the peer is the client.
        """
        self.socket = socket
        self.transport = RawTransport()
        self.peer = WSConnection(ConnectionType.CLIENT if isClient else ConnectionType.SERVER)
        self.events: list[Event] = []
        socket.makeConnection(self.transport)

    def request(self, **options: Any) -> None:
        """Shake hands as a client."""
        self.deliver(self.peer.send(Request(host="localhost", target="/any/path", **options)))
        self.hear()

    def deliver(self, data: bytes, size: int = 0) -> None:
        """Hand octets to the socket, in chunks of a size unless it is 0."""
        for start in range(0, len(data), size or max(1, len(data))):
            self.socket.dataReceived(data[start : start + (size or len(data))])

    def say(self, *events: Event) -> None:
        """Send events, all in one chunk, and take the answers."""
        self.deliver(b"".join(self.peer.send(event) for event in events))
        self.hear()

    def hear(self) -> list[Event]:
        """Take what the socket wrote; all events so far."""
        data = self.transport.value()
        self.transport.clear()
        if data:
            self.peer.receive_data(data)
            self.events += self.peer.events()
        return self.events

    def closeCodes(self) -> list[int]:
        """The codes with which the socket closed."""
        return [int(each.code) for each in self.hear() if isinstance(each, CloseConnection)]


@implementer(IListeningPort)
class MemoryPort:
    """What a L{Network} listens with."""

    def __init__(self, network: Network) -> None:
        self.network = network

    def startListening(self) -> None:
        """It does."""

    def stopListening(self) -> Deferred[None]:
        """Listen no more."""
        self.network.factory = None
        return succeed(None)

    def getHost(self) -> IPv4Address:
        """Some address."""
        return IPv4Address("TCP", "127.0.0.1", 7768)


@implementer(IStreamServerEndpoint)
class MemoryServerEndpoint:
    """Listens on a L{Network}."""

    def __init__(self, network: Network) -> None:
        self.network = network

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listen at once."""
        self.network.factory = protocolFactory
        return succeed(MemoryPort(self.network))


@implementer(IStreamClientEndpoint)
class MemoryClientEndpoint:
    """Calls who listens on a L{Network}."""

    def __init__(self, network: Network) -> None:
        self.network = network

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect at once, refuse, or leave it open."""
        return self.network.connect(protocolFactory)


class Network:
    """
    One listener and its connections, all in memory.

    @ivar isHanging: whether calls are neither taken nor refused.
    @ivar calls: how many there were.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.factory: IProtocolFactory | None = None
        self.isHanging = False
        self.calls = 0
        self.pumps: list[IOPump] = []
        self.server = MemoryServerEndpoint(self)
        self.client = MemoryClientEndpoint(self)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Make a connection."""
        self.calls += 1
        if self.isHanging:
            return Deferred()
        address = IPv4Address("TCP", "127.0.0.1", 7768)
        far = None if self.factory is None else self.factory.buildProtocol(address)
        if far is None:
            return fail(ConnectionRefusedError())
        near: Any = protocolFactory.buildProtocol(address)
        nearTransport = FakeTransport(near, isServer=False)
        farTransport = FakeTransport(far, isServer=True)
        far.makeConnection(farTransport)
        near.makeConnection(nearTransport)
        self.pumps.append(IOPump(near, far, nearTransport, farTransport, False, self.clock))
        return succeed(near)

    def flush(self) -> None:
        """Move octets until nothing moves."""
        while any([pump.flush() for pump in list(self.pumps)]):
            pass

    def cut(self) -> None:
        """Lose all connections, with what was on the way."""
        for pump in self.pumps:
            pump.clientIO.getOutBuffer()
            pump.serverIO.getOutBuffer()
            pump.clientIO.disconnecting = pump.serverIO.disconnecting = True
        self.flush()
        self.pumps.clear()
