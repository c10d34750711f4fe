"""
Every limit of a session, with its unit and its reason.

Each is checked when the configuration is made, which does not change afterwards. What an
application may set is said in four places here: what it means, its default, its check, and its type
in L{SessionOptions}.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypedDict

from txilpstream.amounts import U64_MAX, Ratio, checkAmount
from txilpstream.errors import LocalError, checkKind, wrongType
from txilpstream.session.congestion.interface import ICongestionControl
from txilpstream.wire.address import checkAddress

__all__ = [
    "ANSWER_MARGIN",
    "MAX_FRAGMENT_SIZE",
    "SessionConfiguration",
    "SessionOptions",
    "configure",
]

ANSWER_MARGIN: Final = 5.0
"""Seconds after a packet's expiry at which its money is in doubt: a connector's answer may be
late."""

MAX_FRAGMENT_SIZE: Final = 31000
"""Octets: with the longest addresses and all other fields the ILP packet stays within the 32,767
that the strictest peer's HTTP body takes."""

_FRAMING: Final = 200
"""Octets that a packet of data may have beyond the data, where sizes are to tell nothing."""

_LEAST_FRAGMENT: Final = 64
"""What a fragment has at least, however little a packet is padded to: less would be all framing."""

_ONE_PERCENT: Final = Ratio(1, 100)


@dataclass(slots=True, frozen=True)
class SessionConfiguration:
    """
    How one end of a connection behaves.

    @ivar isServer: whether the streams that this end opens bear even numbers (RFC 29 4.4.1).
    @ivar destinationAddress: where the peer is; empty until the peer tells it.
    @ivar sourceAddress: where this end can be reached; empty if it cannot.
    @ivar sourceAssetCode: this end's asset, told to the peer; None tells nothing.
    @ivar sourceAssetScale: its number of decimals.
    @ivar minimumRate: the least rate, in destination per source units, at which money leaves;
        None measures it before the first money leaves.
    @ivar expectedRate: what the rate is thought to be before it is measured, such as that of given
        prices; it only says how much a fixed delivery will take.
    @ivar probePrecision: destination units that a probe for the rate should deliver; 1000 are
        three digits of it.
    @ivar firstSequence: the number of the first packet; more than 1 if others were used under the
        same secret before.
    @ivar firstStreamID: the number of the first stream that this end opens, 0 for the least.
    @ivar slippage: how much of a measured rate may be lost. 1 % is what the peers take.
    @ivar acceptAnyRate: let money leave without any least rate.
    @ivar maximumPacketAmount: the most that one packet carries, in source units.
    @ivar maximumPacketsPerSecond: the most packets that are sent per second.
    @ivar maximumInFlight: packets without an answer; it bounds the memory they take.
    @ivar streamWindow: bytes that one stream may hold for the application.
    @ivar connectionWindow: bytes that all streams together may hold.
    @ivar streamHighWater: bytes written to one stream that have not left yet, from which on its
        producer is paused; 64 KiB are a few packets.
    @ivar connectionHighWater: the same of all streams together, for all producers.
    @ivar maximumStreamID: what the peer may open at first; 20 is ten streams (RFC 29 3.3), open at
        a time: for each that is closed it may open one more.
    @ivar fragmentSize: bytes of application data in one packet.
    @ivar packetExpiry: seconds; 30 is what the live network's nodes hold at most.
    @ivar expirySpread: seconds by which a packet's time may be shorter, at random, so that it tells
        a connector less of where the packet began; 0 for the same time for all.
    @ivar deadlineSinceFulfill: seconds without any fulfill after which it is given up; it must
        outlast a packet that is never answered.
    @ivar idleTimeout: seconds without any packet after which the connection ends.
    @ivar halfOpen: whether an end that has closed the connection goes on receiving until the other
        has closed it too (RFC 29 section 4.6); both ends must be of this mind.
    @ivar receiveTolerance: by how much of what remains a packet may exceed a money limit: a
        sender that rounds an exchange rate is no attacker.
    @ivar maximumPacketCount: packets and replies encrypted under one key (RFC 29 5.1.3).
    @ivar encryptedBefore: how many were encrypted under this key before, by connections that are
        over.
    @ivar padTo: every STREAM packet gets zero octets until it has so many; C{fragmentSize} is
        lowered so that a packet of data has no more.
    @ivar connectionTag: what the server's owner wrote into the address.
    @ivar receiptNonce: 16 octets if receipts are to be made (RFC 39), else empty.
    @ivar receiptSecret: 32 octets with it.
    @ivar congestionControl: makes what decides how fast, how much at once and how large packets
        are; None for the three controls of this package.
    @ivar trace: is called with the name of each decision and its particulars.
    """

    isServer: bool = False
    destinationAddress: str = ""
    sourceAddress: str = ""
    sourceAssetCode: str | None = None
    sourceAssetScale: int | None = None
    minimumRate: Ratio | None = None
    expectedRate: Ratio | None = None
    probePrecision: int = 1000
    firstSequence: int = 1
    firstStreamID: int = 0
    slippage: Ratio = _ONE_PERCENT
    acceptAnyRate: bool = False
    maximumPacketAmount: int = U64_MAX
    maximumPacketsPerSecond: int = 1_000_000
    maximumInFlight: int = 1000
    streamWindow: int = 1 << 20
    connectionWindow: int = 1 << 20
    streamHighWater: int = 1 << 16
    connectionHighWater: int = 1 << 20
    maximumStreamID: int = 20
    fragmentSize: int = 31_000
    packetExpiry: float = 30.0
    expirySpread: float = 0.0
    deadlineSinceFulfill: float = 45.0
    idleTimeout: float = 60.0
    halfOpen: bool = False
    receiveTolerance: Ratio = _ONE_PERCENT
    maximumPacketCount: int = 1 << 31
    encryptedBefore: int = 0
    padTo: int = 0
    connectionTag: str = ""
    receiptNonce: bytes = b""
    receiptSecret: bytes = field(default=b"", repr=False)
    congestionControl: Callable[[SessionConfiguration], ICongestionControl] | None = None
    trace: Callable[[str, dict[str, object]], None] | None = None

    def __post_init__(self) -> None:
        """
        @raise LocalError: if a limit is out of its bounds.
        """
        for address in (self.destinationAddress, self.sourceAddress):
            if address:
                checkAddress(address)
        for name in ("slippage", "receiveTolerance", "minimumRate", "expectedRate"):
            ratio = getattr(self, name)
            if not isinstance(ratio, Ratio) and (ratio is not None or not name.endswith("Rate")):
                raise wrongType(name, ratio, "it takes a Ratio, such as Ratio.fromString('0.01')")
        for name in ("congestionControl", "trace"):
            if (function := getattr(self, name)) is not None and not callable(function):
                raise wrongType(name, function, "it takes a function, or None")
        if Ratio(1) < self.slippage:
            raise LocalError(f"the slippage {self.slippage} must be from 0 to 1")
        for name, least, most in (
            ("probePrecision", 1, 10**9),
            ("firstSequence", 0, U64_MAX),
            ("firstStreamID", 0, U64_MAX),
            ("maximumPacketAmount", 1, U64_MAX),
            ("maximumPacketsPerSecond", 1, 1_000_000),
            ("maximumInFlight", 1, 100_000),
            ("streamWindow", 1, 1 << 40),
            ("connectionWindow", 1, 1 << 40),
            ("streamHighWater", 1, 1 << 40),
            ("connectionHighWater", 1, 1 << 40),
            ("maximumStreamID", 0, U64_MAX),
            ("fragmentSize", 1, MAX_FRAGMENT_SIZE),
            ("maximumPacketCount", 2, 1 << 31),
            ("padTo", 0, MAX_FRAGMENT_SIZE),
        ):
            checkAmount(name, getattr(self, name), minimum=least, maximum=most)
        self._checkSeconds()
        if self.padTo:
            most = max(self.padTo - _FRAMING, self.padTo // 2, _LEAST_FRAGMENT)
            object.__setattr__(self, "fragmentSize", min(self.fragmentSize, most))
        checkKind("sourceAssetCode", self.sourceAssetCode, str | None, "a text such as 'EUR'")
        if len(self.sourceAssetCode or "") > 100:
            raise LocalError("sourceAssetCode must have at most 100 characters")
        if self.sourceAssetScale is not None:
            checkAmount("sourceAssetScale", self.sourceAssetScale, maximum=255)

    def _checkSeconds(self) -> None:
        for name in ("packetExpiry", "expirySpread", "deadlineSinceFulfill", "idleTimeout"):
            checkKind(name, getattr(self, name), int | float, "a number of seconds")
        if not 1 <= self.packetExpiry <= 3600 or not 1 <= self.idleTimeout <= 1e9:
            raise LocalError(
                f"packetExpiry is {self.packetExpiry} and must be from 1 to 3600 s; idleTimeout "
                f"is {self.idleTimeout} and must be from 1 to 1e9 s"
            )
        if not 0 <= self.expirySpread <= self.packetExpiry - 1:
            raise LocalError(
                f"expirySpread is {self.expirySpread} s: it must be from 0 to 1 s less than the "
                f"packetExpiry of {self.packetExpiry} s"
            )
        if not self.deadlineSinceFulfill > self.packetExpiry + ANSWER_MARGIN:  # a NaN is refused
            raise LocalError(
                f"deadlineSinceFulfill is {self.deadlineSinceFulfill} s: it must be more than the "
                f"packet expiry of {self.packetExpiry} s and {ANSWER_MARGIN} s"
            )


class SessionOptions(TypedDict, total=False):
    """
    The fields of L{SessionConfiguration} that an application may set for a connection; the others
    are what credentials and addresses say.
    """

    sourceAssetCode: str | None
    sourceAssetScale: int | None
    minimumRate: Ratio | None
    expectedRate: Ratio | None
    probePrecision: int
    firstSequence: int
    firstStreamID: int
    slippage: Ratio
    acceptAnyRate: bool
    maximumPacketAmount: int
    maximumPacketsPerSecond: int
    maximumInFlight: int
    streamWindow: int
    connectionWindow: int
    streamHighWater: int
    connectionHighWater: int
    maximumStreamID: int
    fragmentSize: int
    packetExpiry: float
    expirySpread: float
    deadlineSinceFulfill: float
    idleTimeout: float
    halfOpen: bool
    receiveTolerance: Ratio
    maximumPacketCount: int
    padTo: int
    congestionControl: Callable[[SessionConfiguration], ICongestionControl] | None
    trace: Callable[[str, dict[str, object]], None] | None


def configure(options: Mapping[str, Any], **own: Any) -> SessionConfiguration:
    """
    Make a configuration of what an application may say and what is said for it.

    @param options: fields of L{SessionConfiguration}, by name.
    @param own: fields that the application may not say.
    @raise LocalError: if an option is not known, is not the application's to say, or not valid.
    """
    known = SessionOptions.__annotations__
    unknown = sorted(str(name) for name in set(options) - set(known))
    if unknown:
        raise LocalError(
            f"an option is not known: {', '.join(unknown)}; there are {', '.join(sorted(known))}"
        )
    return SessionConfiguration(**options, **own)
