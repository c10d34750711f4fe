"""
A peer that has the shared secret and does whatever it likes: random frames, packets and answers.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final, TypeVar

from fuzzing import mutated, require

from txilpstream.crypto.keys import SessionKeys, conditionOf
from txilpstream.wire import frames
from txilpstream.wire.ilp import (
    Fulfill,
    Prepare,
    decodeReply,
    encodeFulfill,
    encodeReject,
    encodeTimestamp,
)
from txilpstream.wire.packet import FULFILL, PREPARE, REJECT, encodePacket

T = TypeVar("T")

U64: Final = (1 << 64) - 1
_IDS: Final = (1, 1, 1, 3, 2, 2, 4, 5, 7, 19, 20, 21, 22, 23, 0, 1 << 40, U64)
_ANSWER_IDS: Final = (1, 1, 1, 1, *_IDS)
"""The same for answers, where a stream that is not open yet is none of the peer's."""
_OFFSETS: Final = (0, 0, 1, 3, 100, 1000, 16384, 65536, 1 << 20, 1 << 21, U64 - 300, U64)
_AMOUNTS: Final = (1, 2, 7, 0, 50, 100, 1000, 1 << 20, 1 << 40, 1 << 63, U64)
_CODES: Final = (0, 1, 1, 1, 2, 4, 5, 6, 8, 9, 10, 255)
_TEXTS: Final = ("", "no", "\ufffd", "x" * 500)
_ADDRESSES: Final = ("", "test.left.c", "test.client.c", "", "no address", "g." + "a" * 1100)
_CLOSING: Final = 3
"""How many of the makers of frames make such that close, or contradict what was said before."""
_REJECTS: Final = ("F00", "F02", "F08", "F99", "F99", "T00", "T04", "T05", "R00", "R01", "X12")


def amountFulfilled(prepare: Prepare, answer: bytes) -> int:
    """
    How much an answer fulfills.

    @raise FindingError: if it is a Fulfill that does not fit.
    """
    reply = decodeReply(answer)
    if not isinstance(reply, Fulfill):
        return 0
    fits = sha256(reply.fulfillment).digest() == prepare.executionCondition
    require(fits, "a fulfillment does not fit its condition")
    return prepare.amount


class Hostile:
    """
    Makes packets and answers.

    @ivar isServer: whether the next Prepare goes to a client, which has opened stream 1.
    @ivar script: what it has done, in lines for a reader: the reproducer.
    """

    def __init__(self, rng: random.Random, keys: SessionKeys, destination: str) -> None:
        self.rng = rng
        self.keys = keys
        self.destination = destination
        self.script: list[str] = []
        self._sent: list[Prepare] = []
        self._sequence = 0
        # Wild ones meet every violation, and soon nothing else: the connection is closed. Tame ones
        # keep to what is possible nine times of ten, and so come far.
        self.isServer = False
        self._ids: Sequence[int] = _IDS
        self._isTame = rng.random() < 0.7
        pick = self._pick
        self._makers: tuple[Callable[[], frames.Frame | bytes], ...] = (
            lambda: frames.ConnectionClose(pick(_CODES), pick(_TEXTS)),
            lambda: frames.StreamClose(pick(self._ids), pick(_CODES), pick(_TEXTS)),
            lambda: frames.ConnectionAssetDetails(
                pick(("", "USD", "EUR", "\0")), pick((0, 9, 255))
            ),
            lambda: frames.ConnectionNewAddress(pick(_ADDRESSES)),
            lambda: frames.ConnectionMaxData(pick(_OFFSETS)),
            lambda: frames.ConnectionDataBlocked(pick(_OFFSETS)),
            lambda: frames.ConnectionMaxStreamID(pick(self._ids)),
            lambda: frames.ConnectionStreamIDBlocked(pick(self._ids)),
            *[lambda: frames.StreamMoney(pick(self._ids), pick(_AMOUNTS))] * 4,
            lambda: frames.StreamMaxMoney(pick(self._ids), pick(_AMOUNTS), pick(_AMOUNTS)),
            lambda: frames.StreamMoneyBlocked(pick(self._ids), pick(_AMOUNTS), pick(_AMOUNTS)),
            *[self._data] * 3,
            lambda: frames.StreamMaxData(pick(self._ids), pick(_OFFSETS)),
            lambda: frames.StreamDataBlocked(pick(self._ids), pick(_OFFSETS)),
            lambda: frames.StreamReceipt(pick(self._ids), rng.randbytes(pick((0, 58, 58)))),
            lambda: b"%c\x03abc" % pick((0x00, 0x08, 0x18, 0xFF)),
        )

    def _pick(self, values: Sequence[T]) -> T:
        """One of these; a tame peer takes one of the first, mostly."""
        if self._isTame and self.rng.random() < 0.97:
            return values[self.rng.randrange(min(4, len(values)))]
        return self.rng.choice(values)

    def _frame(self) -> frames.Frame | bytes:
        makers = self._makers
        if self._isTame and self.rng.random() < 0.99:
            makers = makers[_CLOSING:]
        return self.rng.choice(makers)()

    def _data(self) -> frames.Frame:
        data = self.rng.randbytes(self.rng.choice((0, 1, 5, 200)))
        return frames.StreamData(
            self._pick(self._ids), min(self._pick(_OFFSETS), U64 - len(data)), data
        )

    def plain(self, sequence: int, packetType: int, amount: int) -> bytes:
        """A STREAM packet; some are broken, and some of a wrong type."""
        rng = self.rng
        self._ids = _IDS if packetType == PREPARE and not self.isServer else _ANSWER_IDS
        made = [self._frame() for _ in range(rng.choice((0, 1, 1, 2, 2, 3, 5, 12)))]
        harm = 0.005 if self._isTame else 0.05
        if rng.random() < harm:
            packetType = rng.choice((PREPARE, FULFILL, REJECT))
        octets = encodePacket(sequence, packetType, amount, made)
        return mutated(rng, octets, octets) if rng.random() < harm else octets

    def prepare(self, now: float) -> Prepare:
        """A Prepare, or one that was sent before."""
        rng = self.rng
        if self._sent and rng.random() < 0.1:
            prepare = rng.choice(self._sent)
        else:
            self._sequence += rng.choice((0, 1, 1, 1, 2, 1 << 31))
            amount = self._pick((0, 1, 7, 100, 1000, 1 << 40, U64))
            minimum = rng.choice((0, 0, 0, 0, amount, amount, min(U64, amount + 1)))
            data = self.keys.seal(self.plain(self._sequence, PREPARE, minimum), rng.randbytes(12))
            if rng.random() < 0.03:
                data = mutated(rng, data, data)
            fulfillment = self.keys.fulfillment(data)
            condition = rng.randbytes(32) if rng.random() < 0.1 else conditionOf(fulfillment)
            expiry = encodeTimestamp(now + rng.choice((30, 30, 30, 1, -1)))
            prepare = Prepare(amount, expiry, condition, self.destination, data)
            self._sent.append(prepare)
        self.script.append(
            f"prepare {prepare.amount} {prepare.executionCondition.hex()} {prepare.data.hex()}"
        )
        return prepare

    def restart(self) -> None:
        """Number the next packets as the first ones were."""
        self._sequence = 0

    def twisted(self, answer: bytes) -> bytes | None:
        """
        What becomes of a true answer; a Fulfill is never made into a Reject, nor the reverse.

        @return: None if it is lost.
        """
        rng = self.rng
        reply = decodeReply(answer)
        kind = rng.randrange(6)
        if kind == 0:
            return answer
        if kind == 1:
            self.script.append("lost")
            return None
        sequence = rng.choice((0, 1, 2, 3, 1 << 40))
        if kind < 5 and (plain := self.keys.open(reply.data)) is not None and len(plain) > 3:
            size = min(plain[2], 8)
            sequence = int.from_bytes(plain[3 : 3 + size], "big")
        isFulfill = isinstance(reply, Fulfill)
        amount = rng.choice(_AMOUNTS)
        octets = self.plain(sequence, FULFILL if isFulfill else REJECT, amount)
        data = self.keys.seal(octets, rng.randbytes(12))
        if kind == 5:
            data = rng.choice((b"", rng.randbytes(16), bytes(16), rng.randbytes(60)))
        if isinstance(reply, Fulfill):
            result = encodeFulfill(reply.fulfillment, data)
        else:
            result = encodeReject(rng.choice(_REJECTS), "test.hop", "", data)
        self.script.append(f"answer {result.hex()}")
        return result

    def answerTo(self, prepare: Prepare) -> tuple[bytes, int]:
        """
        Answer a Prepare of the session's as it likes.

        @return: the answer, and how much was taken by it.
        """
        fulfillment = self.keys.fulfillment(prepare.data)
        isPossible = conditionOf(fulfillment) == prepare.executionCondition
        if isPossible and self.rng.random() < 0.5:
            answer = encodeFulfill(fulfillment, self.answerData(prepare, FULFILL))
            taken = prepare.amount
        else:
            answer, taken = encodeReject("F99", "", "", self.answerData(prepare, REJECT)), 0
        self.script.append(f"answer {answer.hex()}")
        return answer, taken

    def answerData(self, prepare: Prepare, packetType: int) -> bytes:
        """The data of an answer, mostly with the right sequence."""
        plain = self.keys.open(prepare.data) or b""
        size = plain[2] if len(plain) > 2 else 0
        sequence = int.from_bytes(plain[3 : 3 + size], "big")
        amount = self.rng.choice((prepare.amount, prepare.amount, *_AMOUNTS))
        return self.keys.seal(self.plain(sequence, packetType, amount), self.rng.randbytes(12))
