"""
Random packets for a receiver without state, from payers that do as they like.

One receiver is made for a batch of payers, with a store and an application that answer at once,
take their time, refuse or fail. Payers begin anew with the same numbers, close and go on, send
copies with another expiry or another amount, and have tokens of all formats. When nothing is under
way any more the totals must be what was fulfilled, each packet counted once, and nothing may be
kept.
"""

from __future__ import annotations

import random
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any, Final

from fuzzing import require
from hostile import U64, Hostile, amountFulfilled
from tokenlayers import FLAGGED_PLAIN, RECEIPT_NONCE, RECEIPT_SECRET, flaggedText
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from txilpstream.crypto.keys import SessionKeys
from txilpstream.crypto.receipts import verifyReceipt
from txilpstream.crypto.tokens import TokenFormats
from txilpstream.interfaces import Refusal
from txilpstream.ledger.memory import MemoryTotals
from txilpstream.plugins.memory import memoryPair
from txilpstream.test.support.connected import run
from txilpstream.transport.account import Account
from txilpstream.transport.stateless import StatelessReceiver, StatelessRequest
from txilpstream.wire.frames import StreamReceipt
from txilpstream.wire.ilp import Fulfill, Prepare, decodeReply, encodePrepare, encodeTimestamp
from txilpstream.wire.packet import FULFILL, REJECT, decodeHeader, decodePacket

NOW: Final = 1_700_000_000.0
SECRET: Final = bytes(range(32))
ADDRESS: Final = "test.server"

EXPECTED: Final = (
    "accept of a receiver failed; its packet is refused",
    "totals could not be credited; the packet is refused",
)
"""What a receiver logs when the application or the store fails, or a total is full."""

_DELAYS: Final = (0.0, 0.0, 0.01, 0.5, 2.0, 40.0)
"""Seconds that the application or the store takes."""

_PATIENCE: Final = 300.0
"""Seconds after which nothing is under way, whoever has taken his time."""

_VERDICTS: Final = (
    *(True,) * 12,
    False,
    None,
    Refusal("sold out"),
    Refusal("later" * 300, isFinal=False),
    RuntimeError,
)
"""What an application says, mostly yes; a class of exceptions is raised."""


class OddStore:
    """
    A store that several processes could share: it is right, and takes its time.

    @ivar isPrompt: whether it answers at once instead.
    @ivar known: which streams it has a total of.
    """

    def __init__(self, rng: random.Random, clock: Clock) -> None:
        self._rng = rng
        self._clock = clock
        self._totals = MemoryTotals(maximumStreams=rng.choice((3, 10_000)))
        self.isPrompt = rng.random() < 0.5
        self.known: set[tuple[str, int]] = set()

    def _later(self, do: Callable[[], Any]) -> Any:
        if self.isPrompt:
            return do()
        deferred: Deferred[Any] = Deferred()

        def answer() -> None:
            try:
                done = do()
            except Exception as error:
                deferred.errback(error)
            else:
                # What was done is known only after a while.
                self._clock.callLater(self._rng.choice(_DELAYS), deferred.callback, done)

        self._clock.callLater(self._rng.choice(_DELAYS), answer)
        return deferred

    def credit(self, connectionID: str, streamID: int, amount: int, packetID: bytes) -> Any:
        """Count it, unless it fails."""
        isBroken = self._rng.random() < 0.05

        def do() -> int:
            if isBroken:
                raise RuntimeError("on purpose")
            total = self._totals.credit(connectionID, streamID, amount, packetID)
            self.known.add((connectionID, streamID))
            return total

        return self._later(do)

    def revoke(self, connectionID: str, streamID: int, packetID: bytes) -> Any:
        """Take it back."""
        return self._later(lambda: self._totals.revoke(connectionID, streamID, packetID))

    def total(self, connectionID: str) -> int:
        """What all streams of a connection have received."""
        return sum([self._totals.total(*each) for each in self.known if each[0] == connectionID])


class _Payer:
    """
    One that has credentials.

    @ivar fulfilled: by condition, each amount that was fulfilled; copies may have others.
    @ivar proved: by stream, the greatest total that a receipt has proved.
    """

    def __init__(self, address: str, secret: bytes) -> None:
        self.address = address
        self.keys = SessionKeys(secret)
        self.connectionID = sha256(address.encode("ascii")).hexdigest()
        self.fulfilled: dict[bytes, set[int]] = {}
        self.proved: dict[int, int] = {}

    def hear(self, prepare: Prepare, answer: bytes) -> None:
        """
        Note what an answer says.

        @raise FindingError: if it is none for this packet.
        """
        reply = decodeReply(answer)
        amount = amountFulfilled(prepare, answer)
        if amount:
            self.fulfilled.setdefault(prepare.executionCondition, set()).add(amount)
        if not isinstance(reply, Fulfill) and reply.code in ("F06", "T03"):
            require(not reply.data, "a stranger is told something")
            return
        plain = self.keys.open(reply.data)
        require(plain is not None, "an answer is not authentic")
        packet = decodePacket(plain or b"")
        isFulfill = isinstance(reply, Fulfill)
        require(packet.packetType == (FULFILL if isFulfill else REJECT), "of another type")
        asked = decodeHeader(self.keys.open(prepare.data) or b"")
        require(packet.sequence == asked.sequence, "an answer has another number")
        require(not isFulfill or prepare.amount >= asked.prepareAmount, "fulfilled below its least")
        for frame in packet.frames:
            if isinstance(frame, StreamReceipt):
                found = verifyReceipt(frame.receipt, RECEIPT_SECRET)
                require(found is not None and isFulfill, "a receipt is false")
                if found is not None:
                    total = max(self.proved.get(found.streamID, 0), found.totalReceived)
                    self.proved[found.streamID] = total


class Payers:
    """
    A batch of payers.

    @ivar hostile: the one whose turn it is.
    """

    hostile: Hostile

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.clock = clock = Clock()
        clock.advance(NOW)
        self._account = Account(
            clock,
            memoryPair(clock)[1],
            address=ADDRESS,
            assetCode="USD",
            assetScale=9,
            randomBytes=rng.randbytes,
            wallClock=clock.seconds,
        )
        self._store = OddStore(rng, clock)
        formats = ("stream-receiver", "interledger-rs")
        self._formats = TokenFormats(SECRET, formats, rng.randbytes)
        self._receiver = StatelessReceiver(
            self._account,
            SECRET,
            self._store,
            accept=rng.choice((None, self._accept, self._accept)),
            tokenFormats=formats,
            maximumWaiting=rng.choice((1, 5, 10_000)),
            maximumStreamID=rng.choice((19, 255, U64)),
            takesData=rng.random() < 0.5,
            padTo=rng.choice((0, 0, 1000)),
        )
        self._receiver.start()
        self._payers: dict[str, _Payer] = {}
        self._sent = self._answered = 0

    def _accept(self, request: StatelessRequest) -> Any:
        amounts = sum([amount for _, amount in request.streamAmounts])
        require(amounts == request.amount, f"{request.amount} is split to {amounts}")
        require(request.amount or request.data, "it was asked about nothing")
        verdict = self.rng.choice(_VERDICTS)
        if self.rng.random() < 0.5:
            if verdict is RuntimeError:
                raise RuntimeError("on purpose")
            return verdict
        later: Deferred[Any] = Deferred()
        if self.rng.random() < 0.95:
            self.clock.callLater(self.rng.choice(_DELAYS), self._decide, later, verdict)
        return later

    @staticmethod
    def _decide(later: Deferred[Any], verdict: Any) -> None:
        if later.called:
            return  # it was cancelled
        if verdict is RuntimeError:
            later.errback(RuntimeError("on purpose"))
        else:
            later.callback(verdict)

    def _payer(self) -> _Payer:
        """One with a token of some format, with receipts or without, good or expired."""
        rng = self.rng
        kind = rng.random()
        if kind < 0.2:
            text = urlsafe_b64encode(rng.randbytes(18)).decode("ascii")
        elif kind < 0.4:
            text = flaggedText(rng.choice(FLAGGED_PLAIN))
        else:
            receipts = {"receiptNonce": RECEIPT_NONCE, "receiptSecret": RECEIPT_SECRET}
            now = int(self.clock.seconds())
            credentials = self._receiver.generateCredentials(
                connectionTag=rng.choice(("", "tag")),
                expiresAt=rng.choice((None, None, None, now - 1, now + 1, now + 1000)),
                **rng.choice(({}, receipts)),
            )
            return _Payer(credentials.destinationAddress, credentials.sharedSecret)
        return _Payer(f"{ADDRESS}.{text}", self._formats.read(text)[1])

    def play(self) -> int:
        """
        Let one payer, or one that came before, send some packets.

        @return: how many.
        """
        rng = self.rng
        if not self._payers or rng.random() < 0.7:
            made = self._payer()
            # Two tokens of another implementation may be the same.
            self._payers.setdefault(made.address, made)
        payer = rng.choice(list(self._payers.values())[-3:])
        self.hostile = Hostile(rng, payer.keys, payer.address)
        count = rng.randrange(1, 10)
        for _ in range(count):
            if rng.random() < 0.2:
                self.hostile.restart()
            self._send(payer, self._varied(self.hostile.prepare(self.clock.seconds())))
            run(self.clock, rng.choice((0.0, 0.001, 0.1, 3.0)))
        if rng.random() < 0.3:
            self.settle()
        return count

    def _varied(self, prepare: Prepare) -> Prepare:
        """The packet, or one like it that came another way."""
        rng = self.rng
        kind = rng.random()
        if kind < 0.1:
            expiry = self.clock.seconds() + rng.choice((0.005, 1.0, 3e6))
            return replace(prepare, timestamp=encodeTimestamp(expiry))
        if kind < 0.2:
            return replace(prepare, amount=rng.choice((0, 1, prepare.amount // 2, 1000)))
        if kind < 0.3:
            return replace(prepare, destination=prepare.destination + ".more")
        return prepare

    def _send(self, payer: _Payer, prepare: Prepare) -> None:
        octets = encodePrepare(
            prepare.amount,
            prepare.timestamp,
            prepare.executionCondition,
            prepare.destination,
            prepare.data,
        )
        self._sent += 1

        def answered(answer: bytes) -> None:
            self._answered += 1
            payer.hear(prepare, answer)

        reply = self._account.receivePrepare(octets)
        if isinstance(reply, bytes):
            answered(reply)
        else:
            reply.addCallback(answered)

    def settle(self) -> None:
        """
        Let time pass until nothing is under way, and compare the books.

        @raise FindingError: if they differ.
        """
        run(self.clock, _PATIENCE)
        require(self._answered == self._sent, f"{self._answered} of {self._sent} are answered")
        for payer in self._payers.values():
            total = self._store.total(payer.connectionID)
            # Copies of one amount count once, those of another for themselves.
            brought = sum([sum(set(amounts)) for amounts in payer.fulfilled.values()])
            require(total == brought, f"{total} are credited, {brought} were fulfilled")
            proved = sum(payer.proved.values())
            require(proved <= brought, f"{proved} are proved, {brought} were fulfilled")

    def end(self) -> None:
        """
        Let nothing go on any more.

        @raise FindingError: if a packet or a timer is kept.
        """
        self.settle()
        stopped: list[None] = []
        self._receiver.stop().addCallback(stopped.append)
        require(stopped, "a packet that was answered is waited for")
        calls = self.clock.getDelayedCalls()
        require(not calls, f"timers are left: {calls}")
