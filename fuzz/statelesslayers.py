"""
The layers of a receiver without state.

Each kind of receiver lives through all inputs, so that whatever it kept of one would show in its
memory; only the totals are forgotten. It must answer at once or when the application has spoken,
copies with the same octets, and its totals must be what it has fulfilled.
"""

from __future__ import annotations

from itertools import product
from typing import Any, Final
from zlib import crc32

from fuzzing import require
from hostile import amountFulfilled
from layers import ADDRESS, FRAMES, ILP, NOW, PLAIN, SECRET, Layer
from tokenlayers import (
    FLAGGED_PLAIN,
    FORMATS,
    RECEIPT_NONCE,
    RECEIPT_SECRET,
    checkFlaggedContents,
    flaggedText,
    seededBytes,
)
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from txilpstream.crypto.keys import SessionKeys, conditionOf
from txilpstream.crypto.receipts import verifyReceipt
from txilpstream.errors import DecodeError
from txilpstream.interfaces import Refusal
from txilpstream.ledger.memory import MemoryTotals
from txilpstream.plugins.memory import memoryPair
from txilpstream.transport.account import Account
from txilpstream.transport.stateless import StatelessReceiver
from txilpstream.wire.frames import (
    ConnectionClose,
    ConnectionNewAddress,
    StreamData,
    StreamMoney,
    StreamReceipt,
)
from txilpstream.wire.ilp import Reject, decodePrepare, decodeReply, encodePrepare, encodeTimestamp
from txilpstream.wire.packet import PREPARE, decodeHeader, decodePacket, encodePacket

FORMAT_NAMES: Final = ("ilp-protocol-stream", "stream-receiver", "interledger-rs")
_LATER: Final = encodeTimestamp(NOW + 30)
_STREAMS: Final = 1100
"""Streams that an input can name: fewer than this, as it is short."""


class Receiving:
    """
    A receiver on an account of its own.

    @ivar account: to which packets are given.
    @ivar totals: of its money.
    @ivar credentials: of the one payer, with receipts.
    @ivar verdict: what the application says, after it was asked.
    """

    def __init__(self, **options: Any) -> None:
        self._clock = Clock()
        self._clock.advance(NOW)
        self.account = Account(
            self._clock,
            memoryPair(self._clock)[1],
            address=ADDRESS,
            assetCode="USD",
            assetScale=9,
            randomBytes=seededBytes,
            wallClock=self._clock.seconds,
        )
        self.verdict: object = True
        self._asked: list[Deferred[Any]] = []
        self._credited: list[tuple[str, int]] = []
        self.totals = MemoryTotals(maximumStreams=_STREAMS, packetsRemembered=20)
        self._receiver = StatelessReceiver(
            self.account, SECRET, self, accept=self._accept, tokenFormats=FORMAT_NAMES, **options
        )
        self._receiver.start()
        self.credentials = self._receiver.generateCredentials(
            connectionTag="tag", receiptNonce=RECEIPT_NONCE, receiptSecret=RECEIPT_SECRET
        )

    def _accept(self, request: object) -> Deferred[Any]:
        self._asked.append(Deferred())
        return self._asked[-1]

    def credit(self, connectionID: str, streamID: int, amount: int, packetID: bytes) -> int:
        """Count it, and note whose it was."""
        self._credited.append((connectionID, streamID))
        return self.totals.credit(connectionID, streamID, amount, packetID)

    def revoke(self, connectionID: str, streamID: int, packetID: bytes) -> None:
        """Take it back."""
        self.totals.revoke(connectionID, streamID, packetID)

    def take(self, octets: bytes) -> bytes:
        """
        Hand a Prepare over with a copy, have both answered, and compare the books.

        @raise FindingError: if there is no answer, there are two, or something else is credited
            than what is fulfilled.
        """
        answers: list[bytes] = []
        for _ in range(2):
            reply = self.account.receivePrepare(octets)
            if isinstance(reply, bytes):
                answers.append(reply)
            else:
                reply.addCallback(answers.append)
        asked, self._asked = self._asked, []
        require(len(asked) <= 1, "a copy was asked about")
        for deferred in asked:
            deferred.callback(self.verdict)
        require(len(answers) == 2, f"{len(answers)} answers to two packets")
        require(answers[0] == answers[1], "two copies have different answers")
        require(not self._clock.getDelayedCalls(), "a timer is left")
        credited, self._credited = set(self._credited), []
        total = sum([self.totals.total(*each) for each in credited])
        for connectionID, _ in credited:
            self.totals.forget(connectionID)
        fulfilled = 0
        if not isinstance(decodeReply(answers[0]), Reject):
            fulfilled = amountFulfilled(decodePrepare(octets), answers[0])
        require(total == fulfilled, f"{total} are credited, {fulfilled} fulfilled")
        return answers[0]


_TAKING: Final = Receiving(takesData=True)
_PADDING: Final = Receiving(maximumStreamID=5, padTo=2000)


def _prepare(address: str, keys: SessionKeys, plain: bytes) -> bytes:
    """A Prepare of 100 units with this inside."""
    data = keys.seal(plain, bytes(12))
    return encodePrepare(100, _LATER, conditionOf(keys.fulfillment(data)), address, data)


def _checkAnswer(octets: bytes, keys: SessionKeys, plain: bytes) -> None:
    """An answer is authentic, bears the number of the question, and its receipts are good."""
    reply = decodeReply(octets)
    try:
        asked = decodeHeader(plain)
        isOurs = asked.packetType == PREPARE
    except DecodeError:
        isOurs = False
    if not isOurs:
        require(isinstance(reply, Reject) and (reply.code, reply.data) == ("F06", b""), "no F06")
        return
    opened = keys.open(reply.data)
    require(opened is not None, "an answer is not authentic")
    packet = decodePacket(opened or b"")
    require(packet.sequence == asked.sequence, "an answer has another number")
    require(packet.packetType == (14 if isinstance(reply, Reject) else 13), "of another type")
    said = sum([1 for frame in packet.frames if isinstance(frame, ConnectionClose)])
    require(said <= 1, "it closes more than once")
    for frame in packet.frames:
        if isinstance(frame, StreamReceipt):
            require(not isinstance(reply, Reject), "a refusal has a receipt")
            found = verifyReceipt(frame.receipt, RECEIPT_SECRET)
            require(found is not None and found.totalReceived <= 100, "a receipt is of too much")


_KINDS: Final = tuple(product((_TAKING, _PADDING), (True, Refusal("sold out"), None)))


def checkStateless(octets: bytes) -> None:
    """Whoever has a payer's key says anything; money is credited as it is fulfilled."""
    receiving, verdict = _KINDS[crc32(octets) % len(_KINDS)]
    receiving.verdict = verdict
    credentials = receiving.credentials
    keys = SessionKeys(credentials.sharedSecret)
    answer = receiving.take(_prepare(credentials.destinationAddress, keys, octets))
    _checkAnswer(answer, keys, octets)
    if verdict is not True:
        require(isinstance(decodeReply(answer), Reject), "what was not wanted is fulfilled")


def checkStatelessPrepare(octets: bytes) -> None:
    """Whoever has no key sends anything to the account."""
    _TAKING.verdict = True
    _TAKING.take(octets)


_MONEY: Final = encodePacket(
    9, PREPARE, 0, [ConnectionNewAddress("test.c"), StreamMoney(1, 1), StreamData(1, 0, b"for you")]
)
_PLAIN: Final = (
    *PLAIN,
    _MONEY,
    encodePacket(1, PREPARE, 100, [StreamMoney(1, 2), StreamMoney(3, 1), StreamMoney(255, 4)]),
    encodePacket(1, PREPARE, 101, [StreamMoney(1, 1)]),
    encodePacket(2, PREPARE, 0, [StreamMoney(1, 1), ConnectionClose(1)]),
    encodePacket(3, PREPARE, 0, [StreamMoney(257, 1), *FRAMES[:4]]),
    encodePacket(4, PREPARE, 0, [StreamMoney(2, 1)]),
)
"""What payers say: each kind of frame, minimums, closes, ids of both sides and too large ones."""


def checkStatelessToken(octets: bytes) -> None:
    """Whatever a token of another implementation says, its packets are taken or they are not."""
    checkFlaggedContents(octets)
    text = flaggedText(octets)
    found, secret = FORMATS.read(text)
    keys = SessionKeys(secret)
    if len(ADDRESS) + 1 + len(text) > 1023:
        return
    _TAKING.verdict = True
    answer = _TAKING.take(_prepare(f"{ADDRESS}.{text}", keys, _MONEY))
    if found is not None:
        require(not isinstance(decodeReply(answer), Reject), "a good token's money is refused")


def _sealedFor(receiving: Receiving) -> list[bytes]:
    """Prepares of a payer of this receiver's."""
    credentials = receiving.credentials
    keys = SessionKeys(credentials.sharedSecret)
    return [_prepare(credentials.destinationAddress, keys, plain) for plain in _PLAIN]


STATELESS: Final = (
    Layer("stateless", _PLAIN, checkStateless, ()),
    Layer("stateless-prepare", [*_sealedFor(_TAKING), *ILP], checkStatelessPrepare, ()),
    Layer("stateless-token", FLAGGED_PLAIN, checkStatelessToken, ()),
)
"""The layers of a receiver without state."""
