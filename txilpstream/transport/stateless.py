"""
A receiver of which any process with the server secret can answer any packet.

Nothing is kept of a connection from one packet to the next: sequences may start again, and money
may come after a close. What a packet says and how it can be answered is decided in
C{session.stateless}; here stands who is asked about it, and what is credited before it is
fulfilled. Copies of one packet that come while it waits have one answer, and a receipt must never
count what may still be revoked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txilpstream.amounts import checkAmount
from txilpstream.crypto.keys import IV_LENGTH, SessionKeys
from txilpstream.crypto.receipts import MAX_STREAM_ID
from txilpstream.crypto.tokens import ILP_PROTOCOL_STREAM, TokenDetails
from txilpstream.errors import wrongType
from txilpstream.interfaces import AnyPlugin, AnyReactor, PaymentRequest, Refusal
from txilpstream.session.stateless import UNEXPECTED, StatelessPacket, StatelessTerms, recognise
from txilpstream.transport.account import Account, CredentialsMaker, accountFor
from txilpstream.waiters import Waiters
from txilpstream.wire.ilp import Prepare, rejectWith

__all__ = ["StatelessReceiver", "StatelessRequest", "Undecided"]

_log = Logger()

_BUSY: Final = rejectWith("T03")

LONGEST_WAIT: Final = 60.0
"""Seconds after which a packet is refused whatever its expiry says: the live network's nodes hold
none for longer than 30."""

KEYS_REMEMBERED: Final = 100
"""Addresses whose keys need not be derived again, some 2 kB each: nothing else is kept of them."""

MAXIMUM_WAITING: Final = 10_000
"""Packets, some 2 kB each without their data, for which the application and the store are asked
at a time."""


@dataclass(slots=True, frozen=True)
class StatelessRequest(PaymentRequest):
    """
    A packet that waits for an answer.

    @ivar packetID: 32 octets that no other packet has; a copy with another amount has others.
    @ivar connectionID: 64 hexadecimal digits, the SHA-256 hash of the address that the payer was
        given.
    """

    connectionID: str = ""


class Totals(Protocol):
    """An L{ITotals <txilpstream.interfaces.ITotals>}, as a type checker sees it."""

    def credit(
        self, connectionID: str, streamID: int, amount: int, packetID: bytes, /
    ) -> int | Deferred[int]:
        """As of ITotals."""

    def revoke(self, connectionID: str, streamID: int, packetID: bytes, /) -> Deferred[None] | None:
        """As of ITotals."""


Accept = Callable[
    [StatelessRequest],
    "bool | Refusal | Deferred[bool] | Deferred[Refusal] | Deferred[bool | Refusal]",
]
"""What an application gives to be asked."""


class StatelessReceiver(CredentialsMaker):
    """
    Takes money on one account without keeping anything of it.

    @ivar account: the account.
    """

    def __init__(
        self,
        account: Account | AnyPlugin,
        secret: bytes,
        store: Totals,
        *,
        accept: Accept | None = None,
        reactor: AnyReactor | None = None,
        tokenFormats: Iterable[str] = (ILP_PROTOCOL_STREAM,),
        maximumWaiting: int = MAXIMUM_WAITING,
        closesAccount: bool = False,
        maximumStreamID: int = MAX_STREAM_ID,
        takesData: bool = False,
        padTo: int = 0,
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
        @param maximumStreamID: the largest stream id that is taken; up to 255 there are receipts.
        @param takesData: whether data is taken with what it comes with; it is never put in order.
        @param padTo: every answer gets zero octets until its STREAM packet has so many.
        @raise LocalError: if the secret, a format or another argument is not valid.
        """
        super().__init__(accountFor(account, reactor), secret, tokenFormats)
        if not (hasattr(store, "credit") and hasattr(store, "revoke")):
            raise wrongType("store", store, "it takes an ITotals, such as a MemoryTotals")
        if accept is not None and not callable(accept):
            raise wrongType("accept", accept, "it takes a function of a StatelessRequest, or None")
        self._read = lru_cache(KEYS_REMEMBERED)(self._derive)
        self._store = store
        self._undecided = Undecided()
        self._accept = accept
        self._maximumWaiting = checkAmount("maximumWaiting", maximumWaiting, minimum=1)
        self._terms = StatelessTerms(maximumStreamID, takesData, padTo)
        self._closesAccount = closesAccount
        self._isStarted = False
        self._starting: Deferred[Any] | None = None
        self._isStopping = False
        self._isClosing = False
        self._stopped: Waiters[None] = Waiters()
        self._waiting: dict[tuple[str, bytes, int], _Waiting] = {}

    def start(self) -> Deferred[None]:
        """
        Answer packets.

        @return: fires when the account is open; fails if it cannot be opened.
        @raise LocalError: if the account has a server already.
        """
        self.account._setServer(self._receivePrepare)
        self._isStarted = True
        starting = self._starting = self.account.whenOpen()
        return starting.addCallbacks(lambda _: None, self._ebOpen)

    def _ebOpen(self, failure: Failure) -> Failure:
        self._isStarted = False
        self.account._setServer(None)
        return failure

    def stop(self) -> Deferred[None]:
        """
        Take no packets more; those that come while others wait for their answer get T03.

        @return: fires when the packets that wait are answered.
        """
        stopped = self._stopped.add()
        self._isStopping = True
        if self._starting is not None:
            self._starting.cancel()
        self._checkStopped()
        return stopped

    def _checkStopped(self) -> None:
        if not self._isStopping or self._isClosing or self._waiting:
            return
        self._isClosing = True
        done: Deferred[None] = succeed(None)
        if self._isStarted:
            self._isStarted = False
            self.account._setServer(None)
            if self._closesAccount:
                done = self.account.close()
        done.addCallbacks(self._cbClosed, self._ebClosed)

    def _cbClosed(self, _: None) -> None:
        self._isStopping = self._isClosing = False
        self._stopped.fire(None)

    def _ebClosed(self, failure: Failure) -> None:
        self._isStopping = self._isClosing = False
        self._stopped.fail(failure)

    def _derive(self, segment: str) -> tuple[TokenDetails | None, SessionKeys]:
        token, secret = self._tokens.read(segment)
        return token, SessionKeys(secret)

    def _receivePrepare(self, segment: str, prepare: Prepare) -> bytes | Deferred[bytes]:
        """Answer a Prepare for one of the addresses that were given out with this secret."""
        account = self.account
        now = account.now()
        token, keys = self._read(segment)
        packet = recognise(prepare, keys, self._terms)
        if packet is None or token is None or token.isExpired(now):
            return UNEXPECTED
        if self._isStopping:
            return _BUSY
        asset = account.asset
        if token.assetCode is not None and token.assetScale is not None:
            asset = token.assetCode, token.assetScale
        answer = _Answer(packet, asset, account.randomBytes)
        if not packet.mayBeTaken(now):
            return answer.refuse()
        if not packet.mustAsk:
            return answer.fulfill(token, {})
        connectionID = sha256(account._ownAddress(segment).encode("ascii")).hexdigest()
        key = connectionID, prepare.executionCondition, prepare.amount
        payment = self._waiting.get(key)
        if payment is None:
            if len(self._waiting) >= self._maximumWaiting:
                return _BUSY
            payment = self._waiting[key] = _Waiting(
                answer,
                token,
                connectionID,
                self._store,
                self._undecided,
                self._accept,
                account.now,
                lambda: self._ended(key),
            )
            payment.start()
        if payment.reply:
            return payment.reply
        wait = min(LONGEST_WAIT, max(0.0, prepare.expiresAt - now))
        return payment.join(account.reactor, wait)

    def _ended(self, key: tuple[str, bytes, int]) -> None:
        del self._waiting[key]
        self._checkStopped()


class _Waiting:
    """
    A packet for which the application and the store are asked, with all its copies that come
    meanwhile: they have the same answer.

    @ivar reply: the answer's octets, empty as long as there is none.
    """

    __slots__ = (
        "_accept",
        "_answer",
        "_asked",
        "_connectionID",
        "_isLate",
        "_now",
        "_onEnd",
        "_store",
        "_token",
        "_undecided",
        "_waiting",
        "reply",
    )

    def __init__(
        self,
        answer: _Answer,
        token: TokenDetails,
        connectionID: str,
        store: Totals,
        undecided: Undecided,
        accept: Accept | None,
        now: Callable[[], float],
        onEnd: Callable[[], None],
    ) -> None:
        """
        @param onEnd: is called when there is an answer.
        """
        self._answer = answer
        self._token = token
        self._connectionID = connectionID
        self._now = now
        self._onEnd = onEnd
        self._store = store
        self._undecided = undecided
        self._accept = accept
        self._asked: Deferred[Any] | None = None
        self._isLate = False
        self._waiting: dict[Deferred[bytes], IDelayedCall] = {}
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
        self._onEnd()

    def start(self) -> None:
        """Ask the application, then the store; the answer may be there at once."""
        Deferred.fromCoroutine(self._judge()).addErrback(
            lambda failure: _log.failure("a payment could not be judged", failure)
        )

    async def _judge(self) -> None:
        verdict = await self._ask()
        if verdict is not True:
            reply = self._answer.refuse(verdict if isinstance(verdict, Refusal) else None)
        else:
            reply = await self._credit()
        if not self._isLate:
            self._end(reply)

    async def _ask(self) -> Any:
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
            self._connectionID,
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

    def _isOver(self) -> bool:
        """Whether a yes is a no by now."""
        return self._isLate or self._answer.packet.isTooLate(self._now())

    async def _credit(self) -> bytes:
        """Have each stream credited, and give the answer; all of them are, or none."""
        packet, undecided = self._answer.packet, self._undecided
        connectionID = self._connectionID
        credits: dict[int, _UndecidedCredit] = {}
        counted: list[int] = []
        reply = b""
        if self._isOver():
            return self._answer.refuse()
        try:
            for streamID, amount in packet.parts:
                credits[streamID] = undecided.begin(connectionID, streamID, amount)
                total = self._store.credit(connectionID, streamID, amount, packet.packetID)
                if isinstance(total, Deferred):
                    total = await total
                counted.append(streamID)
                credits[streamID].counted(checkAmount("the total that the store gave", total))
            if not self._isOver():
                totals = {streamID: credit.proved() for streamID, credit in credits.items()}
                reply = self._answer.fulfill(self._token, totals)
        except Exception:
            _log.failure("totals could not be credited; the packet is refused")
        if not reply:
            for streamID in counted:
                await self._revoke(streamID, packet.packetID)
                credits[streamID].revoked()
            reply = self._answer.refuse()
        for streamID, credit in credits.items():
            undecided.end(connectionID, streamID, credit)
        return reply

    async def _revoke(self, streamID: int, packetID: bytes) -> None:
        try:
            revoked = self._store.revoke(self._connectionID, streamID, packetID)
            if isinstance(revoked, Deferred):
                await revoked
        except Exception:
            _log.failure(
                "stream {streamID} of {connectionID} was credited a packet that is not fulfilled, "
                "and the store did not revoke it",
                streamID=streamID,
                connectionID=self._connectionID,
            )


class _Answer:
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


class _UndecidedCredit:
    """
    What one packet brings to one stream.

    @ivar amount: in the receiver's units.
    """

    __slots__ = ("_highest", "_others", "_revoked", "amount")

    def __init__(self, amount: int, others: list[_UndecidedCredit]) -> None:
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
        self._credits: dict[tuple[str, int], list[_UndecidedCredit]] = {}

    def begin(self, connectionID: str, streamID: int, amount: int) -> _UndecidedCredit:
        """A store is asked to count money."""
        others = self._credits.setdefault((connectionID, streamID), [])
        credit = _UndecidedCredit(amount, others)
        others.append(credit)
        return credit

    def end(self, connectionID: str, streamID: int, credit: _UndecidedCredit) -> None:
        """It is fulfilled, or refused and taken back."""
        others = self._credits[connectionID, streamID]
        others.remove(credit)
        if not others:
            del self._credits[connectionID, streamID]
