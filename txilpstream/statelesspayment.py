"""
Who is asked about a packet for a receiver without state, and what an answer is worth.

First the application, which says whether the money is wanted, then the store, which counts it;
both may take their time within the packet's expiry, and a yes that comes later is a no. What was
counted for a packet that is refused after all is taken back. This module knows one packet with its
copies; what its answers look like is decided in C{session.stateless}.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from txilpstream.amounts import checkAmount
from txilpstream.crypto.keys import IV_LENGTH
from txilpstream.crypto.tokens import TokenDetails
from txilpstream.interfaces import PaymentRequest, Refusal
from txilpstream.session.stateless import StatelessPacket
from txilpstream.undecided import Undecided, UndecidedCredit
from txilpstream.wire.ilp import isExpired

__all__ = ["Accept", "Answer", "Payment", "StatelessRequest"]

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
        prepare = self._answer.packet.prepare
        return self._isLate or (prepare.amount > 0 and isExpired(prepare.timestamp, now()))

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
