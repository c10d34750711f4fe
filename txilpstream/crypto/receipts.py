"""
STREAM receipts (RFC 39): signed totals with which a receiver proves what it got.

A verifier gives a nonce and a secret to the receiver. The receiver signs the total of a stream
with each Fulfill, the sender hands the receipt over, and the verifier knows its own signature.
Receipts are totals: the verifier keeps the greatest of each nonce and stream id (RFC 39, Overview),
credits what a receipt adds to it, and must never forget a total while its receipts are valid.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from struct import Struct
from typing import Any, Final

from txilpstream.amounts import checkAmount
from txilpstream.crypto.keys import SECRET_LENGTH, checkSecret
from txilpstream.errors import DecodeError, LocalError, checkKind

__all__ = [
    "MAX_STREAM_ID",
    "NONCE_LENGTH",
    "RECEIPT_LENGTH",
    "Receipt",
    "ReceiptSetup",
    "ReceiptVerifier",
    "decodeReceipt",
    "signReceipt",
    "verifyReceipt",
]

NONCE_LENGTH: Final = 16
"""Octets of the nonce that stands for one connection."""

MAX_STREAM_ID: Final = 255
"""The largest stream id for which there are receipts: the field has one octet."""

RECEIPT_LENGTH: Final = 58
"""Octets of a receipt: version, nonce, stream id, total, and 32 of HMAC-SHA256 over these."""

VALID_FOR: Final = 24 * 3600.0
"""Seconds after its nonce was issued for which a receipt is good, unless told otherwise."""

MAXIMUM_TOTALS: Final = 100_000
"""Totals, some 200 bytes each: one for each stream of which a genuine receipt came."""

_TIME_LENGTH: Final = 5
"""Octets of a nonce that say when it was issued: seconds since the epoch, for 34,000 years. The
other 11 are random, so that no two nonces are the same (RFC 39)."""

_SNAPSHOT_VERSION: Final = 1

_VERSION: Final = 1
_FIELDS: Final = Struct(">B16sBQ")


@dataclass(slots=True, frozen=True)
class Receipt:
    """
    What a receipt says.

    @ivar nonce: 16 octets, the verifier's name for the connection.
    @ivar streamID: the stream that got the money, at most 255.
    @ivar totalReceived: all that the stream has got so far, in the receiver's units.
    """

    nonce: bytes
    streamID: int
    totalReceived: int


def signReceipt(nonce: bytes, streamID: int, totalReceived: int, secret: bytes) -> bytes:
    """
    Write a receipt, 58 octets.

    @param nonce: 16 octets.
    @param streamID: 1 to 255; a stream with a larger id can have no receipts.
    @param totalReceived: all that the stream has got so far, in the receiver's units.
    @param secret: the 32 octets that the verifier and the receiver share.
    @raise LocalError: if one is out of its limits; the text never shows the secret.
    """
    if not isinstance(nonce, bytes) or len(nonce) != NONCE_LENGTH:
        raise LocalError(f"the receipt nonce must be bytes, {NONCE_LENGTH} of them")
    checkAmount("the stream id of a receipt", streamID, minimum=1, maximum=MAX_STREAM_ID)
    checkAmount("the total of a receipt", totalReceived)
    checkSecret("the receipt secret", secret)
    fields = _FIELDS.pack(_VERSION, nonce, streamID, totalReceived)
    return fields + hmac.digest(secret, fields, "sha256")


def decodeReceipt(octets: bytes) -> Receipt:
    """
    Read a receipt without verifying it: its sender may have made it up.

    @raise DecodeError: if it has not 58 octets, or another version than 1.
    """
    checkKind("the receipt", octets, bytes | bytearray | memoryview, f"{RECEIPT_LENGTH} octets")
    if len(octets) != RECEIPT_LENGTH:
        raise DecodeError(f"a receipt has {RECEIPT_LENGTH} octets, not {len(octets)}")
    version, nonce, streamID, totalReceived = _FIELDS.unpack_from(octets)
    if version != _VERSION:
        raise DecodeError(f"version {version} of receipts is not known, only {_VERSION}")
    return Receipt(nonce, streamID, totalReceived)


def verifyReceipt(receipt: bytes, secret: bytes) -> Receipt | None:
    """
    Read a receipt and check its signature, in constant time.

    @param secret: the 32 octets that belong to the receipt's nonce.
    @return: what it says; None if it is none, or was not signed with this secret.
    @raise LocalError: if the secret has not 32 octets.
    """
    checkSecret("the receipt secret", secret)
    checkKind("the receipt", receipt, bytes | bytearray | memoryview, f"{RECEIPT_LENGTH} octets")
    signed = hmac.digest(secret, receipt[: _FIELDS.size], "sha256")
    isGenuine = hmac.compare_digest(signed, receipt[_FIELDS.size :])
    try:
        return decodeReceipt(receipt) if isGenuine else None
    except DecodeError:
        return None


@dataclass(slots=True, frozen=True)
class ReceiptSetup:
    """
    What a receiver needs to make receipts; the sender must never see the secret (RFC 39).

    @ivar nonce: 16 octets that no other payment has.
    @ivar secret: 32 octets; never shown in a C{repr}.
    @ivar issuedAt: whole seconds since the epoch.
    """

    nonce: bytes
    secret: bytes = field(repr=False)
    issuedAt: int


class ReceiptVerifier:
    """
    Issues nonces and credits what receipts prove.

    With a seed, the secret of a nonce is derived from both, and the nonce says when it was issued:
    nothing is kept of it before a receipt comes that its secret has signed, and nobody but a
    receiver who was given the secret can have signed one. With a store of nonces, a nonce is known
    if it stands there.

    What is kept are totals, one for each stream with a genuine receipt, as long as the receipts of
    its nonce are valid. When there is no room for one more, L{accept} says so and credits nothing:
    to forget a total would be to credit it again.
    """

    __slots__ = (
        "_issuedAt",
        "_maximumTotals",
        "_nextStale",
        "_nonces",
        "_randomBytes",
        "_seed",
        "_totals",
        "_validFor",
    )

    def __init__(
        self,
        seed: bytes | None = None,
        *,
        nonces: MutableMapping[bytes, ReceiptSetup] | None = None,
        validFor: float = VALID_FOR,
        maximumTotals: int = MAXIMUM_TOTALS,
        randomBytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """
        @param seed: 32 octets, from which the secret of each nonce is derived.
        @param nonces: the store of nonces, in the place of a seed; who gives it bounds it.
        @param validFor: seconds after the issue of its nonce for which a receipt is good.
        @param maximumTotals: of how many streams totals are kept.
        @param randomBytes: gives so many random octets.
        @raise LocalError: if there is not one of seed and store, the seed has not 32 octets, or a
            limit is out of its bounds.
        """
        if (seed is None) is (nonces is None):
            raise LocalError("a verifier takes either a seed or a store of nonces")
        if seed is not None:
            checkSecret("the seed of the verifier", seed)
        if type(validFor) not in (int, float) or not 0 < validFor < float("inf"):
            raise LocalError(f"validFor is {validFor!r}: it must be a number of seconds above 0")
        self._seed = randomBytes(SECRET_LENGTH) if seed is None else seed
        self._nonces = nonces
        self._validFor = validFor
        self._maximumTotals = checkAmount("maximumTotals", maximumTotals, minimum=1)
        self._randomBytes = randomBytes
        self._totals: dict[tuple[bytes, int], int] = {}
        self._issuedAt: dict[bytes, int] = {}
        self._nextStale = float("inf")

    def issue(self, now: float) -> ReceiptSetup:
        """
        Make a nonce and its secret, to be given to a receiver over a channel that the sender
        does not read.

        @param now: seconds since the epoch.
        @raise LocalError: if the time cannot be written into a nonce.
        """
        issuedAt = checkAmount("the time of issue", int(now), maximum=256**_TIME_LENGTH - 1)
        nonce = issuedAt.to_bytes(_TIME_LENGTH, "big")
        nonce += self._randomBytes(NONCE_LENGTH - _TIME_LENGTH)
        if self._nonces is None:
            return ReceiptSetup(nonce, self._derive(nonce), issuedAt)
        setup = ReceiptSetup(nonce, self._randomBytes(SECRET_LENGTH), issuedAt)
        self._nonces[nonce] = setup
        return setup

    def accept(self, receipt: bytes, now: float) -> int:
        """
        Credit what a receipt proves beyond all that was proved before.

        An unknown nonce and a wrong signature take the same time.

        @param receipt: what a sender handed over, whatever it is.
        @param now: seconds since the epoch.
        @return: by how much the total of its nonce and stream has grown; 0 if the receipt is no
            receipt, was not signed with the secret of its nonce, is stale, or proves nothing new.
        @raise LocalError: if there is no room for one more total; the receipt can be handed in
            again later.
        """
        octets = receipt if isinstance(receipt, bytes) else b""
        setup = self._find(octets[1 : 1 + NONCE_LENGTH])
        proved = verifyReceipt(octets, setup.secret)
        if proved is None or now - setup.issuedAt > self._validFor:
            return 0
        key = proved.nonce, proved.streamID
        more = proved.totalReceived - self._totals.get(key, 0)
        if more <= 0:
            return 0
        if key not in self._totals:
            self._makeRoom(now)
            self._keep(proved.nonce, setup.issuedAt)
        self._totals[key] = proved.totalReceived
        return more

    def _find(self, nonce: bytes) -> ReceiptSetup:
        """What belongs to a nonce; to an unknown one a secret that signs nothing."""
        derived = self._derive(nonce)
        if self._nonces is None:
            return ReceiptSetup(nonce, derived, int.from_bytes(nonce[:_TIME_LENGTH], "big"))
        setup = self._nonces.get(nonce)
        return ReceiptSetup(nonce, derived, 0) if setup is None else setup

    def _derive(self, nonce: bytes) -> bytes:
        return hmac.digest(self._seed, nonce, "sha256")

    def _keep(self, nonce: bytes, issuedAt: int) -> None:
        self._issuedAt[nonce] = issuedAt
        self._nextStale = min(self._nextStale, issuedAt + self._validFor)

    def _makeRoom(self, now: float) -> None:
        """
        @raise LocalError: if there is none.
        """
        if len(self._totals) < self._maximumTotals:
            return
        self.forgetStale(now)
        if len(self._totals) >= self._maximumTotals:
            raise LocalError(
                f"{self._maximumTotals} totals are kept and none is stale: hand the receipt in "
                "later, or have more kept with maximumTotals"
            )

    def forgetStale(self, now: float) -> None:
        """
        Forget the totals of nonces whose receipts are no longer good, and these nonces in the
        store if there is one. It happens by itself when room is needed.

        @param now: seconds since the epoch.
        """
        if now <= self._nextStale:
            return
        for nonce, issuedAt in list(self._issuedAt.items()):
            if now - issuedAt > self._validFor:
                del self._issuedAt[nonce]
                if self._nonces is not None:
                    self._nonces.pop(nonce, None)
        self._totals = {key: n for key, n in self._totals.items() if key[0] in self._issuedAt}
        self._nextStale = min(self._issuedAt.values(), default=float("inf")) + self._validFor

    # --- Restarts ---------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """
        What must outlast the process, as plain values that JSON can write; no secret is in it.

        @return: nonces in hexadecimal, with the second of issue and the total of each stream.
        """
        nonces: dict[str, dict[str, Any]] = {
            nonce.hex(): {"issuedAt": issuedAt, "totals": {}}
            for nonce, issuedAt in self._issuedAt.items()
        }
        for (nonce, streamID), total in self._totals.items():
            nonces[nonce.hex()]["totals"][str(streamID)] = total
        return {"version": _SNAPSHOT_VERSION, "nonces": nonces}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """
        Take up what L{snapshot} made, in a verifier with the same seed or store.

        Where both have a total the greater one stands: nothing is credited again. What was
        credited after the snapshot was made is not in it, and would be: make one before what is
        credited takes effect.

        @raise LocalError: if it is no snapshot, or there is no room; nothing is changed then.
        """
        issued: dict[bytes, int] = {}
        totals = dict(self._totals)
        try:
            if snapshot["version"] != _SNAPSHOT_VERSION:
                raise ValueError("the version is another")
            for text, entry in snapshot["nonces"].items():
                nonce = bytes.fromhex(text)
                if len(nonce) != NONCE_LENGTH:
                    raise ValueError("a nonce has another length")
                issued[nonce] = checkAmount("the second of issue", entry["issuedAt"])
                for streamText, total in entry["totals"].items():
                    key = nonce, checkAmount("stream id", int(streamText), maximum=MAX_STREAM_ID)
                    totals[key] = max(totals.get(key, 0), checkAmount("a total", total))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise LocalError(f"this is no snapshot of a verifier's: {error!r:.200}") from None
        if len(totals) > self._maximumTotals:
            raise LocalError(
                f"the snapshot brings the totals to {len(totals)}; maximumTotals is "
                f"{self._maximumTotals}"
            )
        self._totals = totals
        for nonce, issuedAt in issued.items():
            self._keep(nonce, issuedAt)
