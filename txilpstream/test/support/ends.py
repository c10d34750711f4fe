"""
Our ends of a transcript: the same code plays them when it is made and when it is replayed.

An end is told what to do in values that JSON can hold, and says in such values what it counted.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IAddress
from twisted.python.failure import Failure
from zope.interface import implementer

from txilpstream import (
    Account,
    Credentials,
    PaymentError,
    PaymentResult,
    StatelessReceiver,
    StreamClient,
    StreamFactory,
    StreamProtocol,
    StreamServer,
    pay,
)
from txilpstream.interfaces import ITotals
from txilpstream.ledger.memory import MemoryTotals
from txilpstream.session.configuration import SessionOptions

__all__ = ["Chance", "End", "makeEnd", "octetsOf"]

ONE_AT_A_TIME: SessionOptions = {"maximumInFlight": 1}
"""What makes the order of our packets a matter of what the peer says, and not of when."""


def octetsOf(length: int, seed: int = 0) -> bytes:
    """So many octets, the same for the same seed, for an application to send."""
    return bytes((seed + 7 * index) % 251 for index in range(length))


class Chance:
    """
    Octets for an account: those that decide something are the same each time, such as how large a
    probe is and where the account is reached; those that only seal packets depend on the salt.
    """

    def __init__(self, salt: bytes) -> None:
        """
        @param salt: makes nonces new.
        """
        self._salt = salt
        self._draws: dict[int, int] = {}

    def __call__(self, count: int) -> bytes:
        """So many octets, at most 32."""
        index = self._draws.get(count, 0)
        self._draws[count] = index + 1
        decides = count < 12 or (count == 12 and not index)
        seed = b"%d %d %b" % (count, index, b"" if decides else self._salt)
        return sha256(seed).digest()[:count]


class Talk(StreamProtocol):
    """
    Says something and keeps what it hears.

    @ivar heard: what the peer said.
    @ivar money: what the peer paid, in our units.
    @ivar end: why the stream ended; empty while it has not.
    @ivar enough: fires when so much was heard as was waited for.
    """

    def __init__(self, wanted: int, answer: bytes = b"") -> None:
        """
        @param wanted: how many octets to wait for.
        @param answer: what to say then.
        """
        self.heard = b""
        self.money = 0
        self.end = ""
        self.enough: Deferred[None] = Deferred()
        self._wanted = wanted
        self._answer = answer

    def dataReceived(self, data: bytes) -> None:
        """Keep it; answer when all is there."""
        self.heard += data
        if len(self.heard) >= self._wanted and not self.enough.called:
            self.transport.write(self._answer)
            self.enough.callback(None)

    def moneyReceived(self, amount: int) -> None:
        """Count it."""
        self.money += amount

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Remember why."""
        self.end = type(reason.value).__name__

    def counted(self) -> dict[str, Any]:
        """What it has to say of itself."""
        return {"heard": self.heard.hex(), "money": self.money, "end": self.end}


class TalkFactory(StreamFactory):
    """Builds protocols that talk, and keeps them."""

    def __init__(self, make: Callable[[], Talk]) -> None:
        self.made: list[Talk] = []
        self._make = make

    def buildProtocol(self, addr: IAddress | None) -> Talk:
        """One more."""
        talk = self._make()
        self.made.append(talk)
        return talk


class End:
    """
    One of our ends.

    @ivar failure: why it could not go on; None as long as it can.
    @ivar isOver: whether it has done all that it does by itself.
    """

    def __init__(self, transcript: dict[str, Any], account: Account) -> None:
        """
        @param transcript: of which it reads the C{end}, the C{credentials} and the secret.
        @param account: on which it sends and receives.
        """
        self.told = transcript["end"]
        self.account = account
        self.failure: Failure | None = None
        self.isOver = False

    def start(self) -> None:
        """Begin."""
        maybeDeferred(self._start).addCallbacks(self._cbDone, self._ebDone)

    def _start(self) -> Deferred[Any]:
        return Deferred.fromCoroutine(self.run())

    async def run(self) -> None:
        """Do all that it does by itself."""
        raise NotImplementedError

    def counted(self) -> dict[str, Any]:
        """What it counted, when nothing more happens."""
        raise NotImplementedError

    def stop(self) -> Deferred[Any]:
        """End what does not end by itself; what is sent for that is no part of the transcript."""
        return succeed(None)

    def _cbDone(self, _: object) -> None:
        self.isOver = True

    def _ebDone(self, failure: Failure) -> None:
        self.isOver = True
        self.failure = failure


class Sending(End):
    """An end that was given credentials."""

    def __init__(self, transcript: dict[str, Any], account: Account) -> None:
        super().__init__(transcript, account)
        address, secret = transcript["destination"], transcript["sharedSecret"]
        self.credentials = Credentials(address, bytes.fromhex(secret))


class ClientEnd(Sending):
    """
    Opens a stream, says C{say}, pays C{amount}, waits for C{hear} octets and closes.
    """

    result: PaymentResult

    async def run(self) -> None:
        """All of it, one step after the other."""
        told = self.told
        self.talk = talk = Talk(told["hear"])
        client = StreamClient(self.account)
        connection = await client.connect(self.credentials, **ONE_AT_A_TIME)
        await connection.openStream(TalkFactory(lambda: talk))
        transport = talk.transport
        transport.write(bytes.fromhex(told["say"]))
        self.result = await transport.sendMoney(told["amount"])
        self.receipt = transport.receipt
        await talk.enough
        await connection.close()

    def counted(self) -> dict[str, Any]:
        """What was sent, what came, and what the peer signed."""
        receipt = {"receipt": self.receipt.hex()}
        return {**_counted(self.result), **receipt, **self.talk.counted()}


class PayerEnd(Sending):
    """Makes a payment of C{amount}."""

    result: PaymentResult
    problem = ""

    async def run(self) -> None:
        """Pay."""
        amount = self.told["amount"]
        try:
            self.result = await pay(
                self.account, self.credentials, sourceAmount=amount, options=ONE_AT_A_TIME
            )
        except PaymentError as error:
            self.result, self.problem = error.result, error.message

    def counted(self) -> dict[str, Any]:
        """What was sent, and what the peer signed."""
        return {**_counted(self.result), "problem": self.problem}


def _counted(result: PaymentResult) -> dict[str, Any]:
    return {
        "sent": result.sent,
        "deliveredMinimum": result.deliveredMinimum,
        "deliveredClaimed": result.deliveredClaimed,
        "inDoubt": result.inDoubt,
        "receipt": result.receipt.hex(),
    }


class ServerEnd(End):
    """
    Takes all money, and says C{say} on each stream when C{hear} octets came.
    """

    async def run(self) -> None:
        """Listen; the rest is the peer's to begin."""
        told = self.told
        say = bytes.fromhex(told["say"])
        self.factory = TalkFactory(lambda: Talk(told["hear"], say))
        self.server = StreamServer(
            self.account, bytes.fromhex(told["serverSecret"]), **ONE_AT_A_TIME
        )
        await self.server.listen(self.factory)

    def stop(self) -> Deferred[Any]:
        """Listen no more."""
        return self.server.stopListening()

    def makeCredentials(self) -> Credentials:
        """What the peer is given."""
        return self.server.generateCredentials(**_receipts(self.told))

    def counted(self) -> dict[str, Any]:
        """What came on each stream."""
        return {"streams": [talk.counted() for talk in self.factory.made]}


@implementer(ITotals)
class CountedTotals:
    """
    Totals that can be looked at.

    @ivar totals: by stream id.
    """

    def __init__(self) -> None:
        self.totals: dict[int, int] = {}
        self._store = MemoryTotals()

    def credit(self, connectionID: str, streamID: int, amount: int, packetID: bytes) -> int:
        """Count."""
        total = self._store.credit(connectionID, streamID, amount, packetID)
        self.totals[streamID] = total
        return total

    def revoke(self, connectionID: str, streamID: int, packetID: bytes) -> None:
        """Take it back."""
        self._store.revoke(connectionID, streamID, packetID)


class StatelessEnd(End):
    """Takes all money and keeps nothing but totals."""

    async def run(self) -> None:
        """Answer; the rest is the peer's to begin."""
        self.store = CountedTotals()
        secret = bytes.fromhex(self.told["serverSecret"])
        self.receiver = StatelessReceiver(self.account, secret, self.store)
        await self.receiver.start()

    def stop(self) -> Deferred[Any]:
        """Answer no more."""
        return self.receiver.stop()

    def makeCredentials(self) -> Credentials:
        """What the peer is given."""
        return self.receiver.generateCredentials(**_receipts(self.told))

    def counted(self) -> dict[str, Any]:
        """What came on each stream, whose number is a string in JSON."""
        return {"totals": {str(streamID): total for streamID, total in self.store.totals.items()}}


def _receipts(told: dict[str, Any]) -> dict[str, Any]:
    names = ("receiptNonce", "receiptSecret")
    return {name: bytes.fromhex(told[name]) for name in names if name in told}


ENDS: dict[str, type[End]] = {
    "client": ClientEnd,
    "payer": PayerEnd,
    "server": ServerEnd,
    "stateless": StatelessEnd,
}


def makeEnd(transcript: dict[str, Any], account: Account) -> End:
    """The end that a transcript tells of."""
    return ENDS[transcript["end"]["kind"]](transcript, account)
