"""
What tests of statements and of faults share: connections whose packets are all read, and packets
that are written by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred

from txilpstream.crypto.keys import SessionKeys, conditionOf
from txilpstream.errors import DecodeError
from txilpstream.test.support.connected import ConnectedTestCase, HalfRecorder, Recorder
from txilpstream.test.support.sessions import Pair
from txilpstream.testing import Hop, SimulatedPath, Transit
from txilpstream.wire.frames import Frame
from txilpstream.wire.ilp import (
    Fulfill,
    Prepare,
    Reject,
    decodePrepare,
    decodeReply,
    encodePrepare,
    encodeTimestamp,
)
from txilpstream.wire.packet import PREPARE, StreamPacket, decodePacket, encodePacket

FIRST_BY_HAND: Final = 1000
"""The number of the first packet by hand: the connection's own packets are fewer."""

F = TypeVar("F")


def openPacket(keys: SessionKeys, data: bytes) -> StreamPacket | None:
    """The STREAM packet in an envelope; None if there is none."""
    plain = keys.open(data)
    try:
        return None if plain is None else decodePacket(plain)
    except DecodeError:
        return None


def counted(counts: dict[str, int], name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that counts under a name how often it is called, and does what another does."""

    def count(*arguments: Any, **options: Any) -> Any:
        counts[name] = counts.get(name, 0) + 1
        return function(*arguments, **options)

    return count


class Exchange:
    """
    A Prepare that left one end, and its answer.

    @ivar side: C{"left"} or C{"right"}, who sent it.
    @ivar answer: the bytes of the answer, None while there is none.
    """

    def __init__(self, side: str, prepare: Prepare, keys: SessionKeys) -> None:
        self.side = side
        self.prepare = prepare
        self.answer: bytes | None = None
        self._keys = keys

    @property
    def packet(self) -> StreamPacket:
        """The STREAM packet in the Prepare."""
        packet = openPacket(self._keys, self.prepare.data)
        assert packet is not None
        return packet

    @property
    def reply(self) -> Fulfill | Reject:
        """The ILP packet that answered."""
        assert self.answer is not None
        return decodeReply(self.answer)

    @property
    def answered(self) -> StreamPacket | None:
        """The STREAM packet in the answer, None if the peer made none."""
        return None if self.answer is None else openPacket(self._keys, self.reply.data)


class ByHand:
    """
    What answers a packet that was written by hand.

    @ivar code: of the reject, empty for a fulfill.
    """

    def __init__(self, answer: bytes, keys: SessionKeys) -> None:
        reply = decodeReply(answer)
        self.code = reply.code if isinstance(reply, Reject) else ""
        self.packet = openPacket(keys, reply.data)

    @property
    def frames(self) -> list[Frame]:
        """The frames in it; there must be an authentic packet."""
        assert self.packet is not None
        return self.packet.frames

    def only(self, kind: type[F]) -> list[F]:
        """The frames of one kind."""
        return [frame for frame in self.frames if isinstance(frame, kind)]


def sealed(
    keys: SessionKeys,
    plain: bytes,
    *,
    now: float,
    amount: int = 0,
    nonce: int = 0,
    destination: str = "test.server",
) -> Prepare:
    """A Prepare that can be fulfilled, with these octets in its envelope."""
    data = keys.seal(plain, nonce.to_bytes(12, "big"))
    condition = conditionOf(keys.fulfillment(data))
    return Prepare(amount, encodeTimestamp(now + 30), condition, destination, data)


def give(
    pair: Pair, *frames: Frame | bytes, amount: int = 0, minimum: int = 0, sequence: int = 0
) -> ByHand:
    """Give the server of a pair a packet that was written by hand."""
    pair.steps += 1
    number = sequence or FIRST_BY_HAND + pair.steps
    plain = encodePacket(number, PREPARE, minimum, frames)
    prepare = sealed(pair.keys, plain, now=pair.now, amount=amount, nonce=number)
    return ByHand(pair.deliver(pair.server, prepare), pair.keys)


def framesOf(pair: Pair, prepares: list[Prepare], kind: type[F]) -> list[F]:
    """The frames of one kind in these Prepares of a pair's, in their order."""
    found: list[F] = []
    for prepare in prepares:
        packet = openPacket(pair.keys, prepare.data)
        assert packet is not None
        found.extend(frame for frame in packet.frames if isinstance(frame, kind))
    return found


class Conform(Hop):
    """
    A hop that does what a test says.

    @ivar there: is given each Prepare of the left side's; what it gives answers.
    @ivar back: is given each of its answers.
    """

    def __init__(self, direction: Any = "left") -> None:
        super().__init__(direction=direction)
        self.there: Any = lambda packet: None
        self.back: Any = lambda packet: None

    def receivePrepare(self, packet: Transit) -> Any:
        """Do it."""
        return self.there(packet)

    def receiveReply(self, packet: Transit) -> Any:
        """Do it."""
        return self.back(packet)


class TappedTestCase(ConnectedTestCase):
    """
    A connection of two ends whose packets are all read.

    @ivar exchanges: what left either end, in its order.
    @ivar keys: of the last connection.
    @ivar wanted: what else credentials are made with.
    """

    keys: SessionKeys

    def setUp(self) -> None:
        """Nothing was seen yet."""
        self.exchanges: list[Exchange] = []
        self.byHand = FIRST_BY_HAND
        self.wanted: dict[str, Any] = {}
        self.keys = SessionKeys(bytes(32))
        super().setUp()

    def join(self, left: Any, right: Any) -> None:
        """Open both accounts, and watch both plugins."""
        super().join(left, right)
        self._watch(left, "left")
        self._watch(right, "right")

    def joinBy(self, *hops: Hop, **details: Any) -> SimulatedPath:
        """Join both ends by a path of these hops instead."""
        path = SimulatedPath(self.clock, hops, **details)
        self.join(path.left, path.right)
        return path

    def _watch(self, plugin: Any, side: str) -> None:
        real = plugin.sendData

        def sendData(data: bytes) -> Deferred[bytes]:
            exchange = Exchange(side, decodePrepare(data), self.keys)
            self.exchanges.append(exchange)
            sent: Deferred[bytes] = real(data)
            return sent.addCallback(answered, exchange)

        def answered(answer: bytes, exchange: Exchange) -> bytes:
            exchange.answer = answer
            return answer

        self.patch(plugin, "sendData", sendData)

    def connect(self, **options: Any) -> Any:
        """A connection of the client's with fresh credentials."""
        self.credentials = self.server.generateCredentials(connectionTag="tag", **self.wanted)
        self.keys = SessionKeys(self.credentials.sharedSecret)
        return self.after(self.client.connect(self.credentials, **options), 2)

    def opened(self, make: Any = HalfRecorder, **options: Any) -> tuple[Any, Any]:
        """A stream that both ends know: the protocol here, and the one there."""
        near = self.open(make, **options)
        near.transport.write(b"!")
        self.run_()
        far = self.served.made[-1]
        if isinstance(far, Recorder):
            far.data = b""
        return near, far

    @property
    def back(self) -> Any:
        """The server's end of the last connection."""
        return next(reversed(self.server.connections.values()))

    def sent(self, side: str = "left", *, hasMoney: bool | None = None) -> list[Exchange]:
        """What left one end; with money, without, or both."""
        return [
            exchange
            for exchange in self.exchanges
            if exchange.side == side and hasMoney in (None, exchange.prepare.amount > 0)
        ]

    def said(self, kind: type[F], side: str = "left") -> list[F]:
        """The frames of one kind in the Prepares of one end, in their order."""
        return list(self._frames(kind, [exchange.packet for exchange in self.sent(side)]))

    def answered(self, kind: type[F], side: str = "left") -> list[F]:
        """The frames of one kind in the answers to the Prepares of one end."""
        answers = [exchange.answered for exchange in self.sent(side)]
        return list(self._frames(kind, answers))

    def _frames(self, kind: type[F], packets: list[Any]) -> Iterator[F]:
        for packet in packets:
            if packet is not None:
                yield from (frame for frame in packet.frames if isinstance(frame, kind))

    def give(self, *frames: Frame | bytes, amount: int = 0, minimum: int = 0) -> ByHand:
        """Give the server a packet of this connection that was written by hand."""
        self.byHand += 1
        plain = encodePacket(self.byHand, PREPARE, minimum, frames)
        prepare = sealed(
            self.keys,
            plain,
            now=self.clock.seconds(),
            amount=amount,
            nonce=self.byHand,
            destination=self.credentials.destinationAddress,
        )
        answer = self.right.receivePrepare(
            encodePrepare(
                prepare.amount,
                prepare.timestamp,
                prepare.executionCondition,
                prepare.destination,
                prepare.data,
            )
        )
        assert isinstance(answer, bytes)
        return ByHand(answer, self.keys)

    def pay(self, near: Any, amount: int, seconds: float = 20.0) -> Any:
        """Send money on a stream, and give what came of it."""
        return self.after(near.transport.sendMoney(amount), seconds)
