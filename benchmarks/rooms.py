"""
What each room costs: µs of processor time for one packet, by kind.

Usage: python benchmarks/rooms.py [--json] [--smoke]
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from statistics import median
from time import process_time

from measure import RUNS, Figure, Options, microseconds, readOptions, show

from txilpstream.amounts import U64_MAX, Ratio
from txilpstream.crypto.keys import IV_LENGTH, SessionKeys, conditionOf
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.session import Outgoing, Session
from txilpstream.wire.frames import Frame, StreamData, StreamMaxMoney, StreamMoney
from txilpstream.wire.ilp import (
    decodePrepare,
    decodeReply,
    encodeFulfill,
    encodePrepare,
    encodeTimestamp,
)
from txilpstream.wire.packet import FULFILL, PREPARE, decodePacket, encodePacket

AMOUNT = 1000
FRAGMENT = 1 << 14
BATCH = 50
"""Packets in flight at once: 50 fragments fit into the window of 1 MiB."""

KINDS: dict[str, list[Frame]] = {
    "money packet": [StreamMoney(1, 1)],
    "16 KiB data packet": [StreamData(1, 1 << 20, bytes(FRAGMENT))],
}


def measureLeaves(kind: str, frames: list[Frame], count: int) -> Iterator[Figure]:
    """Wire and keys: functions without a state."""
    keys = SessionKeys(bytes(32))
    plain = encodePacket(1000, PREPARE, AMOUNT, frames)
    sealed = keys.seal(plain, os.urandom(IV_LENGTH))
    fulfillment = keys.fulfillment(sealed)
    condition = conditionOf(fulfillment)
    now = time.time()
    destination = "example.server." + "x" * 40
    prepare = encodePrepare(AMOUNT, encodeTimestamp(now), condition, destination, sealed)
    limits: list[Frame] = [StreamMaxMoney(1, U64_MAX, 123_456)]
    answer = encodePacket(1000, FULFILL, AMOUNT, limits)
    sealedAnswer = keys.seal(answer, os.urandom(IV_LENGTH))
    fulfill = encodeFulfill(fulfillment, sealedAnswer)
    for name, function in (
        ("wire: encode STREAM", lambda: encodePacket(1000, PREPARE, AMOUNT, frames)),
        ("wire: decode STREAM", lambda: decodePacket(plain)),
        (
            "wire: encode Prepare",
            lambda: encodePrepare(AMOUNT, encodeTimestamp(now), condition, destination, sealed),
        ),
        ("wire: decode Prepare", lambda: decodePrepare(prepare)),
        ("wire: encode STREAM answer", lambda: encodePacket(1000, FULFILL, AMOUNT, limits)),
        ("wire: encode Fulfill", lambda: encodeFulfill(fulfillment, sealedAnswer)),
        ("wire: decode Fulfill", lambda: decodeReply(fulfill)),
        ("keys: seal", lambda: keys.seal(plain, os.urandom(IV_LENGTH))),
        ("keys: open", lambda: keys.open(sealed)),
        ("keys: fulfillment and condition", lambda: conditionOf(keys.fulfillment(sealed))),
    ):
        yield Figure(f"{kind}, {name}", microseconds(function, count), "µs")


class Pair:
    """Two sessions, each handed what the other made, without anything between them."""

    def __init__(self) -> None:
        keys = SessionKeys(os.urandom(32))
        self.now = time.time()
        self.client = Session(
            SessionConfiguration(
                destinationAddress="example.server",
                sourceAddress="example.client",
                maximumPacketAmount=AMOUNT,
                maximumInFlight=BATCH,
                minimumRate=Ratio(1),
            ),
            keys,
            os.urandom,
        )
        self.server = Session(
            SessionConfiguration(isServer=True, sourceAddress="example.server"), keys, os.urandom
        )
        self.streamID = self.client.openStream()
        self.spent = [0.0, 0.0, 0.0]
        self.packets = 0

    def round(self) -> int:
        """Build what may leave, judge it, settle the answers; gives how many packets it was."""
        client, server, now = self.client, self.server, self.now
        outgoing: list[Outgoing] = []

        def build() -> None:
            while len(outgoing) < BATCH:
                packet = client.nextPacket(now=now)
                if packet is None:
                    return
                outgoing.append(packet)

        replies: list[bytes] = []

        def judge() -> None:
            for prepare in prepares:
                incoming = server.receivePrepare(prepare, now=now)
                replies.append(server.answer(incoming, True, now=now))

        def settle() -> None:
            for packet, reply in zip(outgoing, replies, strict=True):
                client.receiveReply(packet.sequence, reply, now=now)

        started = process_time()
        build()
        self.spent[0] += process_time() - started
        prepares = [decodePrepare(packet.data) for packet in outgoing]
        started = process_time()
        judge()
        self.spent[1] += process_time() - started
        started = process_time()
        settle()
        self.spent[2] += process_time() - started
        for session in (client, server):
            session.nextEvents()
        server.consumeData(self.streamID)
        self.packets += len(outgoing)
        self.now += 1  # the pacing never has to wait
        return len(outgoing)

    def drain(self) -> None:
        """Exchange packets until nothing leaves any more."""
        while self.round() or not self.client.isIdle:
            pass


def measureSession(kind: str, count: int) -> Iterator[Figure]:
    """The session: building, judging and settling, with the wire and the keys inside."""
    runs = []
    for _ in range(RUNS):
        pair = Pair()
        pair.drain()
        pair.server.startStream(pair.streamID, U64_MAX)
        pair.client.sendData(pair.streamID, b"open")
        pair.drain()
        pair.server.startStream(pair.streamID, U64_MAX)
        pair.client.sendMoney(pair.streamID, AMOUNT)
        pair.drain()
        pair.spent, pair.packets = [0.0, 0.0, 0.0], 0
        while pair.packets < count:
            if kind == "money packet":
                pair.client.sendMoney(pair.streamID, BATCH * AMOUNT)
            else:
                for _ in range(BATCH):
                    pair.client.sendData(pair.streamID, bytes(FRAGMENT))
            pair.drain()
        runs.append([seconds / pair.packets * 1e6 for seconds in pair.spent])
    for number, name in enumerate(("build", "judge", "settle")):
        yield Figure(f"{kind}, session: {name}", median(run[number] for run in runs), "µs")


def measure(options: Options) -> list[Figure]:
    """All figures."""
    figures: list[Figure] = []
    for kind, frames in KINDS.items():
        figures += measureLeaves(kind, frames, options.count(20_000, 500))
        figures += measureSession(kind, options.count(5_000, 200))
    return figures


if __name__ == "__main__":
    chosen = readOptions("µs for one packet in each room")
    show(measure(chosen), chosen)
