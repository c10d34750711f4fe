"""
A client and a server that are connected, in virtual time, and protocols that write down what comes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from txilpstream.plugins.memory import memoryPair
from txilpstream.test.support.virtual import VirtualTestCase
from txilpstream.transport.account import Account
from txilpstream.transport.client import StreamClient
from txilpstream.transport.connection import StreamConnection
from txilpstream.transport.protocol import StreamProtocol
from txilpstream.transport.server import StreamServer
from txilpstream.wire.ildcp import AccountDetails

LEFT: Final = AccountDetails("test.left", 9, "USD")
RIGHT: Final = AccountDetails("test.right", 9, "USD")

STEP: Final = 1e-6
"""Seconds beyond a call's moment, so that rounding never leaves it undone."""


def run(clock: Clock, seconds: float = 1.0) -> None:
    """Let time pass, from one delayed call to the next."""
    end = clock.seconds() + seconds
    while True:
        moments = [call.getTime() for call in clock.getDelayedCalls()]
        if not moments or min(moments) > end:
            break
        clock.advance(max(0.0, min(moments) - clock.seconds()) + STEP)
    clock.advance(max(0.0, end - clock.seconds()))


class Recorder(StreamProtocol):
    """
    Writes down what it is told.

    @ivar data: all bytes that came.
    @ivar amounts: each amount of money that came.
    @ivar happened: the names of other calls, in their order.
    @ivar reasons: the failures that it was told at its end.
    """

    def __init__(self) -> None:
        self.data = b""
        self.amounts: list[int] = []
        self.happened: list[str] = []
        self.reasons: list[Failure] = []

    def connectionMade(self) -> None:
        """Write it down."""
        self.happened.append("made")

    def dataReceived(self, data: bytes) -> None:
        """Write it down."""
        self.data += data

    def moneyReceived(self, amount: int) -> None:
        """Write it down."""
        self.amounts.append(amount)

    def connectionLost(self, reason: Any = None) -> None:
        """Write it down."""
        self.happened.append("lost")
        self.reasons.append(reason)


@implementer(IHalfCloseableProtocol)
class HalfRecorder(Recorder):
    """The same, and it goes on writing when nothing more comes."""

    def readConnectionLost(self) -> None:
        """Write it down."""
        self.happened.append("end")

    def writeConnectionLost(self) -> None:
        """Nothing more is to be written."""


class Recorders(Factory):
    """
    Makes protocols and keeps them.

    @ivar make: makes one.
    @ivar made: in their order.
    @ivar peers: the addresses that they were made for.
    """

    noisy = False

    def __init__(self, make: Callable[[], Protocol | None] = HalfRecorder) -> None:
        self.make = make
        self.made: list[Any] = []
        self.peers: list[Any] = []

    def buildProtocol(self, addr: Any) -> Protocol | None:
        """Make one."""
        self.peers.append(addr)
        protocol = self.make()
        self.made.append(protocol)
        return protocol


class ConnectedTestCase(VirtualTestCase):
    """
    Tests with a client on the left and a server on the right.

    @ivar clock: all time there is.
    """

    clock: Clock

    def setUp(self) -> None:
        """Join two accounts."""
        self.clock = Clock()
        self.join(*memoryPair(self.clock, left=LEFT, right=RIGHT))

    def join(self, left: Any, right: Any) -> None:
        """Open both accounts on these plugins."""
        self.left = self.account(left)
        self.right = self.account(right)
        self.client = StreamClient(self.left)

    def account(self, plugin: Any, **options: Any) -> Account:
        """An account whose wall clock is virtual too."""
        opened = Account.open(self.clock, plugin, wallClock=self.clock.seconds, **options)
        self.run_(0.5)
        return self.successResultOf(opened)

    def run_(self, seconds: float = 1.0) -> None:
        """Let time pass."""
        run(self.clock, seconds)

    def after(self, deferred: Deferred[Any], seconds: float = 1.0) -> Any:
        """What a Deferred fires with within so many seconds."""
        self.run_(seconds)
        return self.successResultOf(deferred)

    def listen(
        self, make: Callable[[], Protocol | None] = HalfRecorder, **options: Any
    ) -> StreamServer:
        """A server on the right account; its protocols are in C{self.served.made}."""
        self.served = Recorders(make)
        self.server = StreamServer(self.right, **options)
        self.port: Any = self.successResultOf(self.server.listen(self.served))
        return self.server

    def connect(self, **options: Any) -> StreamConnection:
        """A connection of the client's to C{self.server}."""
        credentials = self.server.generateCredentials(connectionTag="tag")
        connection: StreamConnection = self.after(self.client.connect(credentials, **options))
        return connection

    def open(self, make: Callable[[], Protocol | None] = HalfRecorder, **options: Any) -> Any:
        """The client's protocol on a new stream of a new connection."""
        self.connection = self.connect(**options)
        return self.openStream(make)

    def openStream(self, make: Callable[[], Protocol | None] = HalfRecorder) -> Any:
        """The client's protocol on another stream of the same connection."""
        return self.successResultOf(self.connection.openStream(Recorders(make)))
