"""
A hub in virtual time, with accounts whose far ends answer as the test tells them.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from txilpstream.hub.accounts import AccountOptions, HubAccount
from txilpstream.hub.connector import Hub
from txilpstream.plugins.memory import MemoryPlugin, memoryPair
from txilpstream.test.support.virtual import VirtualTestCase
from txilpstream.wire.ilp import (
    Fulfill,
    Prepare,
    Reject,
    decodePrepare,
    decodeReply,
    encodeFulfill,
    encodePrepare,
    encodeTimestamp,
)

__all__ = ["CONDITION", "EPOCH", "PREIMAGE", "HubTestCase", "prepareTo"]

EPOCH: Final = 1_700_000_000.0
PREIMAGE: Final = b"p" * 32
CONDITION: Final = sha256(PREIMAGE).digest()


def prepareTo(
    destination: str,
    amount: int = 100,
    seconds: float = 30.0,
    now: float = EPOCH,
    condition: bytes = CONDITION,
) -> bytes:
    """A Prepare that expires so many seconds from then."""
    return encodePrepare(amount, encodeTimestamp(now + seconds), condition, destination, b"data")


class HubTestCase(VirtualTestCase):
    """A hub with accounts that answer as they are told."""

    options: dict[str, Any] = {}

    def setUp(self) -> None:
        self.clock = Clock()
        self.hub = Hub(self.clock, wallClock=lambda: EPOCH + self.clock.seconds(), **self.options)
        self.ends: dict[str, MemoryPlugin] = {}
        self.got: dict[str, list[Prepare]] = {}
        self.answers: dict[str, Any] = {}

    def tearDown(self) -> None:
        self.hub.checkInvariants()

    def add(self, name: str, routes: tuple[str, ...] = (), **options: Any) -> HubAccount:
        """An account with an end in this process, which fulfills."""
        account = self.hub.addAccount(name, AccountOptions(**options), routes=routes)
        ours, theirs = memoryPair(self.clock)
        for end in (ours, theirs):
            self.successResultOf(end.connect())
        self.hub.attach(account, ours)
        self.ends[name] = theirs
        self.got[name] = []
        self.answers[name] = encodeFulfill(PREIMAGE, b"yes")

        def answer(data: bytes) -> bytes | Deferred[bytes]:
            self.got[name].append(decodePrepare(data))
            reply = self.answers[name]
            return reply() if callable(reply) else reply  # type: ignore[no-any-return]

        theirs.registerDataHandler(answer)
        return account

    def send(self, name: str, packet: bytes) -> Deferred[bytes]:
        """Send a Prepare from an account."""
        answered = self.ends[name].sendData(packet)
        for _ in range(3):
            self.clock.advance(0)
        self.hub.checkInvariants()
        return answered

    def ask(self, name: str, packet: bytes) -> Fulfill | Reject:
        """Send a Prepare that is answered at once."""
        return decodeReply(self.successResultOf(self.send(name, packet)))

    def codeOf(self, name: str, packet: bytes) -> str:
        """The code with which a Prepare is rejected."""
        reply = self.ask(name, packet)
        assert isinstance(reply, Reject), reply
        self.assertEqual(reply.triggeredBy, self.hub.address)
        return reply.code
