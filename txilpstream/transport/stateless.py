"""
A receiver of which any process with the server secret can answer any packet.

Nothing is kept of a connection from one packet to the next: sequences may start again, and money
may come after a close. This module knows the account, the tokens and which packets wait; it
refuses to know what becomes of a packet, see C{session.stateless}, and who is asked about it, see
C{statelesspayment}.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from txilpstream.amounts import checkAmount
from txilpstream.crypto.credentials import Credentials
from txilpstream.crypto.keys import SessionKeys
from txilpstream.crypto.tokens import ILP_PROTOCOL_STREAM, TokenDetails, TokenFormats
from txilpstream.session.stateless import UNEXPECTED, agree, recognise
from txilpstream.statelesspayment import Accept, Answer, Payment
from txilpstream.transport.account import accountFor
from txilpstream.transport.server import checkOpen
from txilpstream.undecided import Undecided
from txilpstream.wire.ilp import ERROR_NAMES, Prepare, encodeReject

__all__ = ["StatelessReceiver"]

_BUSY: Final = encodeReject("T03", "", ERROR_NAMES["T03"])

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
        @param account: an L{Account <txilpstream.transport.account.Account>}, or a plugin, of which one is
            made and opened by L{start}.
        @param secret: 32 octets, the same in each process.
        @param store: an L{ITotals <txilpstream.ledger.memory.ITotals>}, such as L{MemoryTotals
            <txilpstream.ledger.memory.MemoryTotals>}.
        @param accept: takes a L{StatelessRequest
            <txilpstream.statelesspayment.StatelessRequest>}, and returns True to accept; anything
            else, and to fail, is to refuse for now. With a L{Refusal
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
