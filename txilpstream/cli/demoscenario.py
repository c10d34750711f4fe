"""
The demonstration: money and a file both ways over a whole path in one process.

The client pays an amount and sends a file; the server echoes the file and gives a tip. Between them
stands an Interledger path with latency, an exchange rate, a largest packet, limited liquidity and a
limit on packets per second.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO, Final

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IHalfCloseableProtocol, IReactorTime
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.basic import FileSender
from zope.interface import implementer

from txilpstream.amounts import Ratio
from txilpstream.interfaces import IMoneyReceiver, PaymentResult
from txilpstream.testing import (
    Latency,
    LiquidityBucket,
    MaximumPacketAmount,
    PacketRate,
    Rate,
    SimulatedPath,
)
from txilpstream.transport.account import Account
from txilpstream.transport.client import StreamClient
from txilpstream.transport.connection import StreamConnection
from txilpstream.transport.protocol import StreamProtocol
from txilpstream.transport.server import StreamServer
from txilpstream.wire.ildcp import AccountDetails

__all__ = ["SMALLEST_AMOUNT", "Demo", "DemoResult"]

PACKETS: Final = 2500
"""Packets that the amount takes at least, if it has so many units."""

RATE: Final = Ratio(92, 100_000)
"""EUR with scale 6 for USD with scale 9 at 0.92."""

TIP: Final = 12_345
"""What the server gives, in its units."""

PACKETS_PER_SECOND: Final = 5000

LEAST_PACKET: Final = 1_000_000
"""Source units that a packet may carry at least, however little is paid: much more than a
destination unit is worth, so that what rounding costs is no matter."""

FEW_UNITS: Final = 200
"""Destination units of which rounding costs up to half a percent."""

SMALLEST_AMOUNT: Final = -(-RATE.denominator // RATE.numerator)
"""The least that can be paid: what one destination unit is worth, in source units."""


@dataclass(slots=True)
class DemoResult:
    """What happened, in the names of the command's JSON."""

    amount: int = 0
    sent: int = 0
    deliveredMinimum: int = 0
    deliveredClaimed: int = 0
    received: int = 0
    inDoubt: int = 0
    packets: int = 0
    fulfilled: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    packetsPerSecond: float = 0.0
    bytesSent: int = 0
    bytesReceived: int = 0
    sha256Sent: str = ""
    sha256Received: str = ""
    sha256Echoed: str = ""
    tipReceived: int = 0

    def asPlain(self) -> dict[str, Any]:
        """The fields by name, for JSON."""
        return asdict(self)


@implementer(IHalfCloseableProtocol, IMoneyReceiver)
class _Echo(Protocol):
    """The server's side: sends back what it gets, and a tip when the file is complete."""

    def __init__(self, demo: Demo) -> None:
        self._demo = demo
        self._hash = hashlib.sha256()

    def connectionMade(self) -> None:
        # The echo is paused where the client cannot keep up, and so the client is too.
        self.transport.registerProducer(self.transport, True)  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        self._hash.update(data)
        self._demo.result.bytesReceived += len(data)
        self.transport.write(data)  # type: ignore[union-attr]

    def moneyReceived(self, amount: int) -> None:
        self._demo.result.received += amount

    def readConnectionLost(self) -> None:
        self._demo.result.sha256Received = self._hash.hexdigest()
        transport = self.transport
        transport.unregisterProducer()  # type: ignore[union-attr]
        transport.sendMoney(TIP).addErrback(self._demo.failed)  # type: ignore[union-attr]
        transport.loseConnection()  # type: ignore[union-attr]

    def writeConnectionLost(self) -> None:
        """Nothing more is to be written."""


@implementer(IHalfCloseableProtocol)
class _Customer(StreamProtocol):
    """The client's side: sends the file and the money, and checks the echo."""

    def __init__(self, demo: Demo) -> None:
        self._demo = demo
        self._hash = hashlib.sha256()
        self.done: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self._hash.update(data)
        self._demo.bytesEchoed += len(data)

    def moneyReceived(self, amount: int) -> None:
        self._demo.result.tipReceived += amount

    def readConnectionLost(self) -> None:
        self._demo.result.sha256Echoed = self._hash.hexdigest()

    def writeConnectionLost(self) -> None:
        """Nothing more is to be written."""

    def connectionLost(self, reason: Any = None) -> None:
        self.done.callback(None)


class _One(Factory):
    """Gives the protocols that a function makes."""

    noisy = False

    def __init__(self, make: Callable[[], Protocol]) -> None:
        self._make = make

    def buildProtocol(self, addr: Any) -> Protocol:
        return self._make()


class Demo:
    """
    One run.

    @ivar result: filled while it runs.
    @ivar bytesEchoed: bytes that came back.
    @ivar connection: the client's, None before it is open.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        amount: int,
        file: BinaryIO,
        roundTrip: float,
        trace: Callable[[str, dict[str, object]], None] | None = None,
    ) -> None:
        """
        @param amount: source units to be paid.
        @param file: what is sent, from where it stands to its end.
        @param roundTrip: seconds.
        @param trace: is told what the client decides and meets.
        """
        self._trace = trace
        self._reactor = reactor
        self._file = file
        self.result = DemoResult(amount=amount)
        self.bytesEchoed = 0
        self.connection: StreamConnection | None = None
        self.problems: list[str] = []
        self._hash = hashlib.sha256()
        largest = max(LEAST_PACKET, amount // PACKETS)
        self.path = SimulatedPath(
            reactor,
            [
                PacketRate(PACKETS_PER_SECOND, 500),
                MaximumPacketAmount(largest),
                LiquidityBucket(largest * 500, largest * PACKETS_PER_SECOND),
                Latency(roundTrip / 2),
                Rate(RATE),
            ],
            left=AccountDetails("example.demo.client", 9, "USD"),
            right=AccountDetails("example.demo.server", 6, "EUR"),
        )

    def failed(self, failure: Any) -> None:
        """Something did not come to a good end."""
        message = failure.getErrorMessage() or failure.type.__name__
        self.problems.append("; ".join(line.strip() for line in message.splitlines()))

    @property
    def _slippage(self) -> Ratio:
        """
        What may be lost on the way: 1 %, or half of an amount that is worth so few units that
        rounding alone may cost more.
        """
        return Ratio(1, 100) if RATE.floor(self.result.amount) >= FEW_UNITS else Ratio(1, 2)

    @property
    def sent(self) -> int:
        """Source units that left for good so far."""
        connection = self.connection
        if connection is None or not connection.streams:
            return self.result.sent
        return sum(stream.totalSent for stream in connection.streams.values())

    async def run(self) -> DemoResult:
        """Pay, send, wait for everything, and say what happened."""
        result = self.result
        client = await Account.open(self._reactor, self.path.left)
        server = await Account.open(self._reactor, self.path.right)
        streamServer = StreamServer(server)
        await streamServer.listen(_One(lambda: _Echo(self)))
        started = self._reactor.seconds()
        connection = await StreamClient(client).connect(
            streamServer.generateCredentials(), slippage=self._slippage, trace=self._trace
        )
        self.connection = connection
        customer = await connection.openStream(_One(lambda: _Customer(self)))
        transport = customer.transport
        paid = transport.sendMoney(result.amount)
        paid.addCallbacks(self._paid, self.failed)
        sender: Any = FileSender()
        sent = sender.beginFileTransfer(self._file, transport, self._count)
        sent.addErrback(self.failed)
        await gatherResults([paid, sent])
        transport.loseWriteConnection()
        await customer.done
        self._sum(transport, started)
        await connection.close()
        await streamServer.stopListening()
        await client.close()
        await server.close()
        return result

    def _count(self, data: bytes) -> bytes:
        self._hash.update(data)
        self.result.bytesSent += len(data)
        return data

    def _paid(self, payment: PaymentResult) -> None:
        self.result.sent = payment.sent

    def _sum(self, transport: Any, started: float) -> None:
        """Fill in what is known at the end."""
        result = self.result
        counters = self.path.counters("left")
        result.sent = transport.totalSent
        result.deliveredMinimum = transport.totalDelivered
        result.deliveredClaimed = transport.totalDeliveredClaimed
        result.inDoubt = transport.totalInDoubt
        result.packets = counters.packets
        result.fulfilled = counters.fulfilled
        result.rejected = dict(counters.rejects)
        result.seconds = round(self._reactor.seconds() - started, 6)
        result.packetsPerSecond = round(result.fulfilled / result.seconds, 1)
        result.sha256Sent = self._hash.hexdigest()

    @property
    def isComplete(self) -> bool:
        """Whether every unit and every byte arrived."""
        result = self.result
        return (
            not self.problems
            and result.sent == result.amount
            and not result.inDoubt
            and result.received == result.deliveredClaimed >= result.deliveredMinimum
            and result.sha256Sent == result.sha256Received == result.sha256Echoed
            and result.bytesSent == result.bytesReceived == self.bytesEchoed
            and result.tipReceived > 0
        )
