"""
A receiver of which any process with the server secret can answer any packet.

Nothing is kept of a connection from one packet to the next: sequences may start again, and money
may come after a close. This module knows the account, the tokens and which packets wait; it
refuses to know what becomes of a packet, see C{session.stateless}, and who is asked about it, see
C{statelesspayment}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txilpstream.amounts import checkAmount
from txilpstream.crypto.credentials import Credentials
from txilpstream.crypto.keys import IV_LENGTH, SessionKeys
from txilpstream.crypto.tokens import ILP_PROTOCOL_STREAM, TokenDetails, TokenFormats
from txilpstream.interfaces import PaymentRequest, Refusal
from txilpstream.session.stateless import UNEXPECTED, StatelessPacket, agree, recognise
from txilpstream.transport.account import accountFor, checkOpen
from txilpstream.wire.ilp import Prepare, rejectWith

__all__ = [
    "Accept",
    "Answer",
    "Payment",
    "StatelessReceiver",
    "StatelessRequest",
    "Undecided",
    "UndecidedCredit",
]


class UndecidedCredit:
    """
    What one packet brings to one stream.

    @ivar amount: in the receiver's units.
    """

    __slots__ = ("_highest", "_others", "_revoked", "amount")

    def __init__(self, amount: int, others: list[UndecidedCredit]) -> None:
        self.amount = amount
        self._highest = 0
        self._revoked = 0
        self._others = others

    def counted(self, total: int) -> None:
        """The store has counted it, and gives this total."""
        for each in self._others:
            each._highest = max(each._highest, total - self._revoked)

    def proved(self) -> int:
        """What the stream has received with this packet, and without what is undecided besides."""
        others = sum(each.amount for each in self._others if each is not self)
        return max(self.amount, self._highest - others)

    def revoked(self) -> None:
        """It was taken back."""
        for each in self._others:
            each._highest = max(0, each._highest - self.amount)
            each._revoked += self.amount


class Undecided:
    """All undecided credits of a receiver, by connection and stream."""

    def __init__(self) -> None:
        self._credits: dict[tuple[str, int], list[UndecidedCredit]] = {}

    def begin(self, connectionID: str, streamID: int, amount: int) -> UndecidedCredit:
        """A store is asked to count money."""
        others = self._credits.setdefault((connectionID, streamID), [])
        credit = UndecidedCredit(amount, others)
        others.append(credit)
        return credit

    def end(self, connectionID: str, streamID: int, credit: UndecidedCredit) -> None:
        """It is fulfilled, or refused and taken back."""
        others = self._credits[connectionID, streamID]
        others.remove(credit)
        if not others:
            del self._credits[connectionID, streamID]


_log = Logger()


@dataclass(slots=True, frozen=True)
class StatelessRequest(PaymentRequest):
    """
    A packet that waits for an answer.

    @ivar packetID: 32 octets that no other packet has; a copy with another amount has others.
    @ivar connectionID: 64 hexadecimal digits, the SHA-256 hash of the address that the payer was
        given.
    """

    connectionID: str = ""


Accept = Callable[[StatelessRequest], "bool | Refusal | Deferred[bool | Refusal]"]
"""What an application gives to be asked."""


class Answer:
    """A packet with what is needed to seal its answers."""

    __slots__ = ("_asset", "_randomBytes", "packet")

    def __init__(
        self,
        packet: StatelessPacket,
        asset: tuple[str, int] | None,
        randomBytes: Callable[[int], bytes],
    ) -> None:
        self.packet = packet
        self._asset = asset
        self._randomBytes = randomBytes

    def refuse(self, refusal: Refusal | None = None) -> bytes:
        """The octets of a Reject."""
        iv = self._randomBytes(IV_LENGTH)
        if refusal is None:
            return self.packet.refuse(iv, asset=self._asset)
        return self.packet.refuse(
            iv, asset=self._asset, reason=refusal.text, isFinal=refusal.isFinal
        )

    def fulfill(self, token: TokenDetails, totals: dict[int, int]) -> bytes:
        """
        The octets of a Fulfill, with receipts if the credentials want them.

        @raise LocalError: if a total does not fit in a receipt.
        """
        packet = self.packet
        receipts = (
            packet.receipts(totals, token.receiptNonce, token.receiptSecret)
            if token.receiptNonce
            else ()
        )
        return packet.fulfill(self._randomBytes(IV_LENGTH), asset=self._asset, receipts=receipts)


class Payment:
    """
    A packet for which the application and the store are asked, with all its copies that come
    meanwhile: they have the same answer.

    @ivar reply: the answer's octets, empty as long as there is none.
    @ivar onEnd: is called when there is an answer.
    """

    __slots__ = (
        "_accept",
        "_answer",
        "_asked",
        "_isLate",
        "_store",
        "_token",
        "_undecided",
        "_waiting",
        "onEnd",
        "reply",
    )

    def __init__(
        self,
        answer: Answer,
        token: TokenDetails,
        store: Any,
        undecided: Undecided,
        accept: Accept | None,
    ) -> None:
        self._answer = answer
        self._token = token
        self._store = store
        self._undecided = undecided
        self._accept = accept
        self._asked: Deferred[Any] | None = None
        self._isLate = False
        self._waiting: dict[Deferred[bytes], IDelayedCall] = {}
        self.onEnd: Callable[[], None] = lambda: None
        self.reply = b""

    def join(self, reactor: IReactorTime, seconds: float) -> Deferred[bytes]:
        """Wait for the answer, but no longer than so; the packet is refused then."""
        deferred: Deferred[bytes] = Deferred()
        self._waiting[deferred] = reactor.callLater(seconds, self._expired, deferred)
        return deferred

    def _expired(self, deferred: Deferred[bytes]) -> None:
        del self._waiting[deferred]
        self._isLate = not self._waiting
        reply = self._answer.refuse()
        deferred.callback(reply)
        if self._isLate:
            self._end(reply)
            if self._asked is not None:
                self._asked.cancel()

    def _end(self, reply: bytes) -> None:
        self.reply = reply
        waiting, self._waiting = self._waiting, {}
        for deferred, call in waiting.items():
            call.cancel()
            deferred.callback(reply)
        self.onEnd()

    def start(self, connectionID: str, now: Callable[[], float]) -> None:
        """Ask the application, then the store; the answer may be there at once."""
        Deferred.fromCoroutine(self._judge(connectionID, now)).addErrback(
            lambda failure: _log.failure("a payment could not be judged", failure)
        )

    async def _judge(self, connectionID: str, now: Callable[[], float]) -> None:
        verdict = await self._ask(connectionID)
        if verdict is not True:
            reply = self._answer.refuse(verdict if isinstance(verdict, Refusal) else None)
        else:
            reply = await self._credit(connectionID, now)
        if not self._isLate:
            self._end(reply)

    async def _ask(self, connectionID: str) -> Any:
        """What the application says; False if it fails."""
        if self._accept is None:
            return True
        packet = self._answer.packet
        prepare = packet.prepare
        request = StatelessRequest(
            packet.packetID,
            self._token.connectionTag,
            prepare.amount,
            packet.parts,
            prepare.expiresAt,
            packet.peerAddress or "",
            packet.data,
            connectionID,
        )
        try:
            verdict = self._accept(request)
            if isinstance(verdict, Deferred):
                self._asked = verdict
                verdict = await verdict
        except Exception:
            if not self._isLate:
                _log.failure("accept of a receiver failed; its packet is refused")
            verdict = False
        self._asked = None
        return verdict

    def _isOver(self, now: Callable[[], float]) -> bool:
        """Whether a yes is a no by now."""
        return self._isLate or self._answer.packet.isTooLate(now())

    async def _credit(self, connectionID: str, now: Callable[[], float]) -> bytes:
        """Have each stream credited, and give the answer; all of them are, or none."""
        packet, undecided = self._answer.packet, self._undecided
        credits: dict[int, UndecidedCredit] = {}
        counted: list[int] = []
        reply = b""
        if self._isOver(now):
            return self._answer.refuse()
        try:
            for streamID, amount in packet.parts:
                credits[streamID] = undecided.begin(connectionID, streamID, amount)
                total = self._store.credit(connectionID, streamID, amount, packet.packetID)
                if isinstance(total, Deferred):
                    total = await total
                counted.append(streamID)
                credits[streamID].counted(checkAmount("the total that the store gave", total))
            if not self._isOver(now):
                totals = {streamID: credit.proved() for streamID, credit in credits.items()}
                reply = self._answer.fulfill(self._token, totals)
        except Exception:
            _log.failure("totals could not be credited; the packet is refused")
        if not reply:
            for streamID in counted:
                await self._revoke(connectionID, streamID, packet.packetID)
                credits[streamID].revoked()
            reply = self._answer.refuse()
        for streamID, credit in credits.items():
            undecided.end(connectionID, streamID, credit)
        return reply

    async def _revoke(self, connectionID: str, streamID: int, packetID: bytes) -> None:
        try:
            revoked = self._store.revoke(connectionID, streamID, packetID)
            if isinstance(revoked, Deferred):
                await revoked
        except Exception:
            _log.failure(
                "stream {streamID} of {connectionID} was credited a packet that is not fulfilled, "
                "and the store did not revoke it",
                streamID=streamID,
                connectionID=connectionID,
            )


_BUSY: Final = rejectWith("T03")

LONGEST_WAIT: Final = 60.0
"""Seconds after which a packet is refused whatever its expiry says: the live network's nodes hold
none for longer than 30."""

KEYS_REMEMBERED: Final = 100
"""Addresses whose keys need not be derived again, some 2 kB each: nothing else is kept of them."""

MAXIMUM_WAITING: Final = 10_000
"""Packets, some 2 kB each without their data, for which the application and the store are asked
at a time."""


class StatelessReceiver:
    """
    Takes money on one account without keeping anything of it.

    @ivar account: the account.
    """

    def __init__(
        self,
        account: Any,
        secret: bytes,
        store: Any,
        *,
        accept: Accept | None = None,
        reactor: IReactorTime | None = None,
        tokenFormats: Iterable[str] = (ILP_PROTOCOL_STREAM,),
        maximumWaiting: int = MAXIMUM_WAITING,
        closesAccount: bool = False,
        **options: Any,
    ) -> None:
        """
        @param account: an L{Account <txilpstream.transport.account.Account>}, or a plugin, of which
            one is made and opened by L{start}.
        @param secret: 32 octets, the same in each process.
        @param store: an L{ITotals <txilpstream.interfaces.ITotals>}, such as L{MemoryTotals
            <txilpstream.ledger.memory.MemoryTotals>}.
        @param accept: takes a L{StatelessRequest
            <txilpstream.transport.stateless.StatelessRequest>}, and returns True to accept;
            anything else, and to fail, is to refuse for now. With a L{Refusal
            <txilpstream.interfaces.Refusal>} the payer is told why. It may return a Deferred,
            which is cancelled when the packet expires. Without it all money is accepted.
        @param reactor: for the account of a plugin; Twisted's own by default.
        @param tokenFormats: whose credentials are good, see L{TokenFormats
            <txilpstream.crypto.tokens.TokenFormats>}.
        @param maximumWaiting: how many packets may wait for an answer; others get T03.
        @param closesAccount: whether to close the account when the receiver stops.
        @param options: fields of L{StatelessTerms
            <txilpstream.session.stateless.StatelessTerms>}.
        @raise LocalError: if the secret, a format or an option is not valid.
        """
        self.account = account = accountFor(account, reactor)
        self._tokens = TokenFormats(secret, tokenFormats, account.randomBytes)
        self._read = lru_cache(KEYS_REMEMBERED)(self._derive)
        self._store = store
        self._undecided = Undecided()
        self._accept = accept
        self._maximumWaiting = checkAmount("maximumWaiting", maximumWaiting, minimum=1)
        self._terms = agree(options)
        self._closesAccount = closesAccount
        self._isStarted = False
        self._stopping: list[Deferred[None]] = []
        self._waiting: dict[tuple[str, bytes, int], Payment] = {}

    def generateCredentials(
        self,
        *,
        connectionTag: str = "",
        receiptNonce: bytes = b"",
        receiptSecret: bytes = b"",
        expiresAt: int | None = None,
    ) -> Credentials:
        """
        Make an address and a secret for one payer.

        @param connectionTag: comes back with every packet of the connection.
        @param receiptNonce: 16 octets, with C{receiptSecret}, to have receipts signed (RFC 39).
        @param receiptSecret: 32 octets.
        @param expiresAt: whole seconds since the epoch, from which they are no longer good.
        @raise LocalError: if one of these is not valid, or the account is not open.
        """
        account = self.account
        return self._tokens.generateCredentials(
            checkOpen(account),
            connectionTag=connectionTag,
            receiptNonce=receiptNonce,
            receiptSecret=receiptSecret,
            assetCode=account.assetCode,
            assetScale=account.assetScale,
            expiresAt=expiresAt,
        )

    def start(self) -> Deferred[None]:
        """
        Answer packets.

        @return: fires when the account is open; fails if it cannot be opened.
        @raise LocalError: if the account has a server already.
        """
        self.account.setServer(self.receivePrepare)
        self._isStarted = True
        return self.account.whenOpen().addCallbacks(lambda _: None, self._ebOpen)

    def _ebOpen(self, failure: Failure) -> Failure:
        self._isStarted = False
        self.account.setServer(None)
        return failure

    def stop(self) -> Deferred[None]:
        """
        Take no packets more; those that come while others wait for their answer get T03.

        @return: fires when the packets that wait are answered.
        """
        stopped: Deferred[None] = Deferred()
        self._stopping.append(stopped)
        self._checkStopped()
        return stopped

    def _checkStopped(self) -> None:
        if not self._stopping or self._waiting:
            return
        stopping, self._stopping = self._stopping, []
        done: Deferred[None] = succeed(None)
        if self._isStarted:
            self._isStarted = False
            self.account.setServer(None)
            if self._closesAccount:
                done = self.account.close()

        def tell(outcome: Any) -> None:
            for stopped in stopping:
                stopped.callback(outcome)

        done.addBoth(tell)

    def _derive(self, segment: str) -> tuple[TokenDetails | None, SessionKeys]:
        token, secret = self._tokens.read(segment)
        return token, SessionKeys(secret)

    def receivePrepare(self, segment: str, prepare: Prepare) -> bytes | Deferred[bytes]:
        """Answer a Prepare for one of the addresses that were given out with this secret."""
        account = self.account
        now = account.now()
        token, keys = self._read(segment)
        packet = recognise(prepare, keys, self._terms)
        if packet is None or token is None or token.isExpired(now):
            return UNEXPECTED
        if self._stopping:
            return _BUSY
        asset = account.asset
        if token.assetCode is not None and token.assetScale is not None:
            asset = token.assetCode, token.assetScale
        answer = Answer(packet, asset, account.randomBytes)
        if not packet.mayBeTaken(now):
            return answer.refuse()
        if not packet.mustAsk:
            return answer.fulfill(token, {})
        connectionID = sha256(account.ownAddress(segment).encode("ascii")).hexdigest()
        key = connectionID, prepare.executionCondition, prepare.amount
        payment = self._waiting.get(key)
        if payment is None:
            if len(self._waiting) >= self._maximumWaiting:
                return _BUSY
            payment = self._waiting[key] = self._payment(answer, token)
            payment.onEnd = lambda: self._ended(key)
            payment.start(connectionID, account.now)
        if payment.reply:
            return payment.reply
        wait = min(LONGEST_WAIT, max(0.0, prepare.expiresAt - now))
        return payment.join(account.reactor, wait)

    def _payment(self, answer: Answer, token: TokenDetails) -> Payment:
        return Payment(answer, token, self._store, self._undecided, self._accept)

    def _ended(self, key: tuple[str, bytes, int]) -> None:
        del self._waiting[key]
        self._checkStopped()
