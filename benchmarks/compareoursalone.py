"""
Parts of our side alone, for C{compareours.py}: a receiver that is given ready Prepares, and each
operation on a packet.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from time import perf_counter, process_time, time
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from zope.interface import implementer

from txilpstream import (
    Account,
    AccountDetails,
    Credentials,
    IMoneyReceiver,
    StatelessReceiver,
    StreamProtocol,
    StreamServer,
    memoryPair,
)
from txilpstream.crypto.keys import IV_LENGTH, SessionKeys, conditionOf
from txilpstream.ledger.memory import MemoryTotals
from txilpstream.wire.frames import (
    ConnectionAssetDetails,
    ConnectionMaxData,
    ConnectionNewAddress,
    Frame,
    StreamData,
    StreamMaxData,
    StreamMaxMoney,
    StreamMoney,
)
from txilpstream.wire.ilp import (
    decodePrepare,
    decodeReply,
    encodeFulfill,
    encodePrepare,
    encodeTimestamp,
)
from txilpstream.wire.packet import FULFILL, PREPARE, StreamPacket, decodePacket, encodePacket

PACKET = 1000

BURST = 50
"""Operations between two looks at the clock."""

FULFILLED = 13
"""The first octet of a Fulfill."""


@implementer(IMoneyReceiver)
class Taker(StreamProtocol):
    """Takes money."""

    def moneyReceived(self, amount: int) -> None:
        """It was told."""


def iv() -> bytes:
    """A new one for each packet."""
    return os.urandom(IV_LENGTH)


def encodeAndSeal(
    keys: SessionKeys, kind: int, amount: int, frames: list[Frame], sequence: int = 14
) -> bytes:
    """A STREAM packet as it travels."""
    return keys.seal(encodePacket(sequence, kind, amount, frames), iv())


def openAndDecode(keys: SessionKeys, sealed: bytes) -> StreamPacket:
    """The STREAM packet that came."""
    return decodePacket(keys.open(sealed) or b"")


def makePrepares(count: int, credentials: Credentials) -> list[bytes]:
    """Prepares of money for one stream; the first one opens the connection."""
    keys = SessionKeys(credentials.sharedSecret)
    expiry = encodeTimestamp(time() + 100)
    prepares = []
    for number in range(count):
        frames: list[Frame] = [StreamMoney(1, 1)]
        if not number:
            frames[:0] = [ConnectionNewAddress(""), ConnectionAssetDetails("USD", 9)]
        data = encodeAndSeal(keys, PREPARE, PACKET, frames, number + 1)
        condition = conditionOf(keys.fulfillment(data))
        destination = credentials.destinationAddress
        prepares.append(encodePrepare(PACKET, expiry, condition, destination, data))
    return prepares


async def measureReceiving(
    reactor: Any, order: dict[str, Any], *, isStateless: bool
) -> dict[str, Any]:
    """
    Answer ready Prepares, as many in a turn of the reactor as are in flight; then whoever is to be
    told of the money is told.
    """
    plugin, _ = memoryPair(reactor, left=AccountDetails("test.server", 9, "USD"))
    account = await Account.open(reactor, plugin)
    if isStateless:
        receiver = StatelessReceiver(account, os.urandom(32), MemoryTotals())
        await receiver.start()
        credentials = receiver.generateCredentials()
    else:
        server = StreamServer(account)
        await server.listen(Factory.forProtocol(Taker))
        credentials = server.generateCredentials()
    warm, count, inFlight = order["warm"], order["count"], order["inFlight"]
    prepares = makePrepares(warm + count, credentials)
    fulfilled = 0

    async def take(first: int, last: int) -> None:
        nonlocal fulfilled
        for start in range(first, last, inFlight):
            for data in prepares[start : min(start + inFlight, last)]:
                answered = account.receivePrepare(data)
                reply = await answered if isinstance(answered, Deferred) else answered
                fulfilled += reply[0] == FULFILLED
            await deferLater(reactor, 0)

    await take(0, warm)
    began, spent = perf_counter(), process_time()
    await take(warm, warm + count)
    found = {"wall": perf_counter() - began, "cpu": process_time() - spent, "count": count}
    if fulfilled != warm + count:
        raise AssertionError(f"{fulfilled} of {warm + count} were fulfilled")
    return found


def perSecond(run: Callable[[], object], seconds: float) -> float:
    """How often something can be done per second of processor time."""

    def during() -> float:
        count, began = 0, process_time()
        while process_time() < began + seconds:
            for _ in range(BURST):
                run()
            count += BURST
        return count / (process_time() - began)

    during()
    return during()


def operations() -> dict[str, Callable[[], object]]:
    """What is done with packets, by name; those of C{interop/benchcodec.js}."""
    keys = SessionKeys(bytes([1]) * 32)
    runs: dict[str, Callable[[], object]] = {}
    packets: dict[str, tuple[int, int, list[Frame]]] = {
        "money": (PREPARE, PACKET, [StreamMoney(1, 1)]),
        "reply": (
            FULFILL,
            PACKET,
            [
                ConnectionMaxData(65534),
                StreamMaxMoney(1, (1 << 64) - 1, PACKET),
                StreamMaxData(1, 16384),
            ],
        ),
        "data": (PREPARE, 0, [StreamData(1, 65536, bytes([7]) * 16384)]),
    }
    for name, words in packets.items():
        plain = encodePacket(14, *words)
        runs |= {
            f"{name}: encode": partial(encodePacket, 14, *words),
            f"{name}: decode": partial(decodePacket, plain),
            f"{name}: encode and seal": partial(encodeAndSeal, keys, *words),
            f"{name}: open and decode": partial(openAndDecode, keys, keys.seal(plain, iv())),
        }
    data = encodeAndSeal(keys, PREPARE, PACKET, [StreamMoney(1, 1)])
    expiresAt, condition = time() + 30, os.urandom(32)
    destination = "test.conn.bob." + "A" * 66
    prepare = encodePrepare(PACKET, encodeTimestamp(expiresAt), condition, destination, data)
    fulfill = encodeFulfill(condition, data)
    return runs | {
        "ILP Prepare: encode": lambda: encodePrepare(
            PACKET, encodeTimestamp(expiresAt), condition, destination, data
        ),
        "ILP Prepare: decode": lambda: decodePrepare(prepare),
        "ILP Fulfill: encode": lambda: encodeFulfill(condition, data),
        "ILP Fulfill: decode": lambda: decodeReply(fulfill),
    }


async def measureCodec(reactor: Any, order: dict[str, Any]) -> dict[str, Any]:
    """Each operation alone."""
    return {"rates": {name: perSecond(run, order["seconds"]) for name, run in operations().items()}}
