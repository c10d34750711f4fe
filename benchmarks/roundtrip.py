"""
What the whole way costs: two accounts in one process, joined by the memory plugin.

Usage: python benchmarks/roundtrip.py [--json] [--smoke]

Costs are processor time.  "Rooms 1-2 alone" is what encoding, sealing, deriving and decoding cost
at both ends, measured in the same run on the packets that were sent, without anything around it.
"""

from __future__ import annotations

import gc
import os
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter, process_time
from typing import Any

from measure import RUNS, Figure, Options, processorTime, readOptions, show
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater, react

from txilpstream.amounts import Ratio
from txilpstream.crypto.credentials import Credentials
from txilpstream.crypto.keys import IV_LENGTH, SessionKeys, conditionOf
from txilpstream.plugins.memory import memoryPair
from txilpstream.transport.account import Account
from txilpstream.transport.client import StreamClient
from txilpstream.transport.connection import StreamConnection
from txilpstream.transport.protocol import StreamFactory, StreamProtocol
from txilpstream.transport.server import StreamServer
from txilpstream.wire.ildcp import AccountDetails
from txilpstream.wire.ilp import (
    Fulfill,
    Prepare,
    decodePrepare,
    decodeReply,
    encodeFulfill,
    encodePrepare,
    encodeTimestamp,
)
from txilpstream.wire.packet import FULFILL, PREPARE, StreamPacket, decodePacket, encodePacket

AMOUNT = 1000
"""Units in a packet of money."""

FRAGMENT = 1 << 14
"""Bytes in a packet of data."""

CAPTURED = 400
"""Packets that are kept to be measured without anything around them."""


class Sink(StreamProtocol):
    """Takes everything and says when so many bytes have come."""

    count = 0
    wanted = 0
    done: Deferred[None]

    def dataReceived(self, data: bytes) -> None:
        self.count += len(data)
        if self.wanted and self.count >= self.wanted:
            self.wanted = 0
            self.done.callback(None)


class Source:
    """A producer of so many fragments."""

    def __init__(self, transport: Any, fragments: int) -> None:
        self.transport = transport
        self.left = fragments
        self.isPaused = False

    def resumeProducing(self) -> None:
        self.isPaused = False
        while self.left and not self.isPaused:
            self.left -= 1
            self.transport.write(bytes(FRAGMENT))

    def pauseProducing(self) -> None:
        self.isPaused = True

    stopProducing = pauseProducing


@dataclass
class Sample:
    """A Prepare and its answer, as bytes and decoded."""

    data: bytes
    reply: bytes
    prepare: Prepare
    sent: StreamPacket
    fulfill: Fulfill
    answer: StreamPacket


class Rig:
    """Two accounts, a server on one and a client on the other."""

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self.sinks: list[Sink] = []

    async def open(self) -> None:
        """Connect both ends."""
        ends = [AccountDetails(f"example.{name}", 9, "USD") for name in ("client", "server")]
        self.left, self.right = memoryPair(self.reactor, left=ends[0], right=ends[1])
        self.client = await Account.open(self.reactor, self.left)
        self.account = await Account.open(self.reactor, self.right)
        self.server = StreamServer(self.account, maximumStreamID=1 << 20)
        await self.server.listen(Factory.forProtocol(Sink))

    async def connect(self, **options: Any) -> tuple[StreamConnection, Credentials]:
        """Open a connection for packets of C{AMOUNT}."""
        credentials = self.server.generateCredentials()
        options = {"maximumPacketAmount": AMOUNT, "minimumRate": Ratio(1), **options}
        return await StreamClient(self.client).connect(credentials, **options), credentials

    async def openStreams(self, connection: StreamConnection, count: int) -> list[Any]:
        """Open streams, and send a packet over each so that the other end knows them."""
        factory = StreamFactory.forProtocol(StreamProtocol)
        protocols = [await connection.openStream(factory) for _ in range(count)]
        transports = [protocol.transport for protocol in protocols]
        await gatherResults([transport.sendMoney(AMOUNT) for transport in transports])
        return transports

    async def close(self) -> None:
        """Give everything up."""
        for connection in self.server.connections.values():
            connection.abort()
        await deferLater(self.reactor, 0.02)
        await self.client.close()
        await self.account.close()

    def capture(self, kept: list[tuple[bytes, bytes]]) -> Callable[[], None]:
        """Keep copies of what the client sends, and of the answers, until the result is called."""
        sendData = self.left.sendData

        def keep(reply: bytes, data: bytes) -> bytes:
            if len(kept) < CAPTURED:
                kept.append((data, reply))
            return reply

        def record(data: bytes) -> Deferred[bytes]:
            return sendData(data).addCallback(keep, data)

        self.left.sendData = record  # type: ignore[method-assign]

        def stop() -> None:
            del self.left.sendData

        return stop


def decodeSamples(
    kept: list[tuple[bytes, bytes]], keys: SessionKeys, isMoney: bool
) -> list[Sample]:
    """Decode those of the kept packets that are of the kind wanted and were fulfilled."""
    samples = []
    for data, reply in kept:
        prepare, fulfill = decodePrepare(data), decodeReply(reply)
        if not isinstance(fulfill, Fulfill) or bool(prepare.amount) != isMoney:
            continue
        if not isMoney and len(data) < FRAGMENT:
            continue
        sent = decodePacket(keys.open(prepare.data) or b"")
        answer = decodePacket(keys.open(fulfill.data) or b"")
        samples.append(Sample(data, reply, prepare, sent, fulfill, answer))
    return samples


def roomsBelow(samples: list[Sample], keys: SessionKeys, times: int) -> tuple[float, float]:
    """
    Seconds that rooms 1-2 take for a packet, and the receiving end's part of it.
    """
    expiries = [sample.prepare.expiresAt for sample in samples]

    def send() -> None:
        for sample, expiresAt in zip(samples, expiries, strict=True):
            sent, prepare = sample.sent, sample.prepare
            plain = encodePacket(sent.sequence, PREPARE, sent.prepareAmount, sent.frames)
            data = keys.seal(plain, os.urandom(IV_LENGTH))
            condition = conditionOf(keys.fulfillment(data))
            timestamp = encodeTimestamp(expiresAt)
            encodePrepare(prepare.amount, timestamp, condition, prepare.destination, data)

    def receive() -> None:
        for sample in samples:
            prepare = decodePrepare(sample.data)
            packet = decodePacket(keys.open(prepare.data) or b"")
            fulfillment = keys.fulfillment(prepare.data)
            if conditionOf(fulfillment) != prepare.executionCondition:
                raise AssertionError("a packet that was fulfilled has another condition")
            frames = sample.answer.frames
            plain = encodePacket(packet.sequence, FULFILL, prepare.amount, frames)
            encodeFulfill(fulfillment, keys.seal(plain, os.urandom(IV_LENGTH)))

    def settle() -> None:
        for sample in samples:
            decodePacket(keys.open(decodeReply(sample.reply).data) or b"")

    parts = []
    for part in (send, receive, settle):
        parts.append(median(processorTime(part) for _ in range(times)) / len(samples))
    return sum(parts), parts[1]


async def measureMoney(reactor: Any, options: Options) -> list[Figure]:
    """Packets of money: the whole way, and the receiving side alone."""
    count = options.count(5000, 500)
    rates: dict[int, list[float]] = {1: [], 100: []}
    whole, below, ratios, receiving, receivingRatios = [], [], [], [], []
    for _ in range(RUNS):
        for inFlight, found in rates.items():
            rig = Rig(reactor)
            await rig.open()
            connection, credentials = await rig.connect(maximumInFlight=inFlight)
            keys = SessionKeys(credentials.sharedSecret)
            (transport,) = await rig.openStreams(connection, 1)
            await transport.sendMoney(AMOUNT * count // 2)
            gc.collect()
            started, slices = perf_counter(), []
            for _ in range(RUNS):
                spent = process_time()
                await transport.sendMoney(AMOUNT * (count // RUNS))
                slices.append((process_time() - spent) / (count // RUNS))
            found.append(count / (perf_counter() - started))
            spent = median(slices)
            if inFlight > 1:
                kept: list[tuple[bytes, bytes]] = []
                stop = rig.capture(kept)
                await transport.sendMoney(AMOUNT * CAPTURED)
                stop()
                samples = decodeSamples(kept, keys, True)
                alone, part = roomsBelow(samples, keys, RUNS)
                answer = rig.account.receivePrepare

                def receive(samples: Any = samples, answer: Any = answer) -> None:
                    for sample in samples:
                        answer(sample.data)

                took = median(processorTime(receive) for _ in range(RUNS)) / len(samples)
                whole.append(spent)
                below.append(alone)
                ratios.append(spent / alone)
                receiving.append(took)
                receivingRatios.append(took / part)
            await rig.close()
    return [
        Figure("money packets, 1 in flight", median(rates[1]), "packets/s"),
        Figure("money packets, 100 in flight", median(rates[100]), "packets/s", 8000, True),
        Figure("money packet, whole way", median(whole) * 1e6, "µs"),
        Figure("money packet, rooms 1-2 alone", median(below) * 1e6, "µs"),
        Figure("money packet, whole way over rooms 1-2", median(ratios), "times", 2.2),
        Figure("money packet, receiving alone", 1 / median(receiving), "packets/s"),
        Figure("money packet, receiving over rooms 1-2", median(receivingRatios), "times", 2.2),
    ]


async def measureData(reactor: Any, options: Options) -> list[Figure]:
    """A producer of fragments into a protocol that takes them at once."""
    count = options.count(2000, 200)
    speeds, whole, ratios = [], [], []
    for _ in range(RUNS):
        rig = Rig(reactor)
        await rig.open()
        connection, credentials = await rig.connect()
        (transport,) = await rig.openStreams(connection, 1)
        (opened,) = next(iter(rig.server.connections.values())).streams.values()
        sink: Any = opened.protocol

        async def send(fragments: int, sink: Any = sink, transport: Any = transport) -> None:
            sink.wanted, sink.done = sink.count + fragments * FRAGMENT, Deferred()
            source = Source(transport, fragments)
            transport.registerProducer(source, True)
            source.resumeProducing()
            await sink.done
            transport.unregisterProducer()

        await send(count // 2)
        gc.collect()
        before = connection.packetsSent
        started, spent = perf_counter(), process_time()
        await send(count)
        spent = (process_time() - spent) / (connection.packetsSent - before)
        speeds.append(count * FRAGMENT / (perf_counter() - started) / 1e6)
        kept: list[tuple[bytes, bytes]] = []
        stop = rig.capture(kept)
        await send(CAPTURED)
        stop()
        keys = SessionKeys(credentials.sharedSecret)
        alone, _ = roomsBelow(decodeSamples(kept, keys, False), keys, RUNS)
        whole.append(spent)
        ratios.append(spent / alone)
        await rig.close()
    return [
        Figure("data", median(speeds), "MB/s"),
        Figure("16 KiB data packet, whole way", median(whole) * 1e6, "µs"),
        Figure("16 KiB data packet, whole way over rooms 1-2", median(ratios), "times", 2.0),
    ]


async def measureStreams(reactor: Any, options: Options) -> list[Figure]:
    """Money over many streams in turns: does a packet cost more where more are open?"""
    count = options.count(5000, 1000)
    costs: dict[int, list[float]] = {1: [], 10: [], 100: [], 1000: []}
    for _ in range(RUNS):
        for streams, found in costs.items():
            rig = Rig(reactor)
            await rig.open()
            connection, _ = await rig.connect(maximumInFlight=100)
            transports = await rig.openStreams(connection, streams)
            await gatherResults([each.sendMoney(AMOUNT) for each in transports])
            each = AMOUNT * (count // streams)
            gc.collect()
            spent = process_time()
            await gatherResults([transport.sendMoney(each) for transport in transports])
            found.append((process_time() - spent) / (count // streams * streams))
            await rig.close()
    figures = [
        Figure(f"money packet, {streams} streams", median(found) * 1e6, "µs")
        for streams, found in costs.items()
    ]
    ratio = median(many / one for many, one in zip(costs[1000], costs[1], strict=True))
    return [*figures, Figure("money packet, 1,000 streams over 1", ratio, "times", 1.3)]


async def measureConnecting(reactor: Any, options: Options) -> list[Figure]:
    """Connections one after the other: from credentials to an answer that proves the peer."""
    count = options.count(300, 30)
    rates, costs = [], []
    for _ in range(RUNS):
        rig = Rig(reactor)
        await rig.open()
        await rig.connect()
        gc.collect()
        started, spent = perf_counter(), process_time()
        for _ in range(count):
            await rig.connect()
        costs.append((process_time() - spent) / count)
        rates.append(count / (perf_counter() - started))
        await rig.close()
    return [
        Figure("set-up of connections", median(rates), "per second"),
        Figure("set-up of a connection, both ends", median(costs) * 1e6, "µs"),
    ]


def heldKiB() -> float:
    """What is allocated now, in KiB."""
    for _ in range(3):
        gc.collect()
    return tracemalloc.get_traced_memory()[0] / 1024


async def measureMemory(reactor: Any, options: Options) -> list[Figure]:
    """What an idle connection holds at each end, and what a stream adds."""
    count = options.count(300, 50)
    clients, servers, streams = [], [], []
    factory = StreamFactory.forProtocol(Protocol)
    for _ in range(RUNS):
        rig = Rig(reactor)
        await rig.open()
        await rig.openStreams((await rig.connect())[0], 1)
        tracemalloc.start()
        before = heldKiB()
        connections = []
        for _ in range(count):
            connection, _ = await rig.connect()
            await rig.openStreams(connection, 1)
            connections.append(connection)
        await deferLater(reactor, 0.05)
        both = heldKiB() - before
        connection = None  # type: ignore[assignment]
        ended = list(rig.server.connections)[1:]
        for segment in ended:
            rig.server.connections.pop(segment)._letGo()
        client = heldKiB() - before
        clients.append(client / count)
        servers.append((both - client) / count)

        wide = (await rig.connect())[0]
        opened = [await wide.openStream(factory)]
        await gatherResults([each.transport.sendMoney(AMOUNT) for each in opened])
        before = heldKiB()
        opened += [await wide.openStream(factory) for _ in range(count)]
        await gatherResults([each.transport.sendMoney(AMOUNT) for each in opened[1:]])
        await deferLater(reactor, 0.05)
        streams.append((heldKiB() - before) / count / 2)
        tracemalloc.stop()
        for connection in connections:
            connection._letGo()
        await rig.close()
    return [
        Figure("idle connection with one stream, client's end", median(clients), "KiB", 12),
        Figure("idle connection with one stream, server's end", median(servers), "KiB", 12),
        Figure("open stream more, each end", median(streams), "KiB"),
    ]


async def run(reactor: Any, options: Options) -> None:
    """Measure and print everything."""
    figures: list[Figure] = []
    for part in (measureMoney, measureData, measureStreams, measureConnecting, measureMemory):
        figures += await part(reactor, options)
    show(figures, options)


if __name__ == "__main__":
    chosen = readOptions("the whole way of packets between two ends in one process")
    react(lambda reactor: Deferred.fromCoroutine(run(reactor, chosen)))
