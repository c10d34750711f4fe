"""
The layers of a packet, each with valid octets to begin with and what must hold for any others.

A check takes octets and returns nothing. It may raise what its decoder documents, and whatever
else it raises is a finding. No check keeps anything from one call to the next.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from fuzzing import require

from txilpstream.crypto.credentials import Credentials
from txilpstream.crypto.keys import SessionKeys
from txilpstream.crypto.receipts import Receipt, decodeReceipt, signReceipt, verifyReceipt
from txilpstream.errors import DecodeError, LocalError
from txilpstream.wire import btp, frames, ildcp, ilp, oer, packet

SECRET: Final = bytes(range(32))
NOW: Final = 1_700_000_000.0
ADDRESS: Final = "test.server"


@dataclass(frozen=True)
class Layer:
    """
    One layer.

    @ivar name: as the command line knows it.
    @ivar seeds: valid octets.
    @ivar check: raises if something does not hold.
    @ivar allowed: the exceptions that C{check} may raise: what the decoder documents.
    """

    name: str
    seeds: Sequence[bytes]
    check: Callable[[bytes], object]
    allowed: tuple[type[Exception], ...] = (DecodeError,)


# --- Codecs ----------------------------------------------------------------------------------


def checkOER(octets: bytes) -> None:
    """Each reader gives a value of its range and a position within the octets."""
    end = len(octets)
    readers: tuple[Callable[[bytes, int, int], tuple[Any, int]], ...] = (
        oer.readUInt8,
        oer.readVarUInt,
        oer.readVarUIntClamped,
        oer.readVarOctets,
    )
    problem = None
    for read in readers:
        try:
            value, pos = read(octets, 0, end)
        except DecodeError as error:
            problem = error
            continue
        require(0 < pos <= end, f"{read.__name__} ends at {pos} of {end}")
        if isinstance(value, int):
            require(0 <= value < 1 << 64, f"{read.__name__} gives {value}")
            again, _ = oer.readVarUInt(oer.encodeVarUInt(value), 0, 9)
            require(again == value, f"{value} is {again} when it is read again")
        else:
            require(oer.encodeVarOctets(value) == octets[:pos], "a length is not canonical")
    if problem is not None:
        raise problem


def encodeILP(value: ilp.Prepare | ilp.Fulfill | ilp.Reject) -> bytes:
    """Write any ILP packet."""
    if isinstance(value, ilp.Prepare):
        return ilp.encodePrepare(
            value.amount, value.timestamp, value.executionCondition, value.destination, value.data
        )
    if isinstance(value, ilp.Fulfill):
        return ilp.encodeFulfill(value.fulfillment, value.data)
    return ilp.encodeReject(value.code, value.triggeredBy, value.message, value.data)


def checkILP(octets: bytes) -> None:
    """What was read reads the same when it is written again; its time is one."""
    value = ilp.decode(octets)
    require(ilp.decode(encodeILP(value)) == value, f"{value} changes when written")
    if isinstance(value, ilp.Prepare):
        require(value.expiresAt > -1e12, "no time")
        ilp.isExpired(value.timestamp, NOW)
    elif isinstance(value, ilp.Reject):
        ilp.decodeAmountTooLarge(value.data)


def checkBTP(octets: bytes) -> None:
    """What was read reads the same when it is written again; the fast reader agrees."""
    quick = btp.decodeILP(octets)
    value = btp.decode(octets)
    require(btp.decode(btp.encode(value)) == value, f"{value} changes when written")
    if quick is not None:
        require(isinstance(value, btp.BTPMessage | btp.BTPResponse), "another kind of packet")
        entry = btp.findEntry(value.protocolData, "ilp")
        require((quick[1], quick[2]) == (value.requestId, entry), "two readers differ")


def checkPacket(octets: bytes) -> None:
    """What was read reads the same when it is written again; its header is the same."""
    value = packet.decodePacket(octets)
    header = packet.decodeHeader(octets)
    require(header.sequence == value.sequence, "the header differs")
    again = packet.encodePacket(
        value.sequence, value.packetType, value.prepareAmount, value.frames, 300
    )
    require(packet.decodePacket(again) == value, f"{value} changes when written")


def checkFrames(octets: bytes) -> None:
    """What was read reads the same when it is written again."""
    found, pos = frames.decodeFrames(octets, 0, 3)
    require(pos <= len(octets), "read beyond the end")
    again = b"".join([frames.encodeFrame(frame) for frame in found])
    require(frames.decodeFrames(again, 0, len(found))[0] == found, f"{found} change")


def checkILDCP(octets: bytes) -> None:
    """What was read reads the same when it is written again."""
    ildcp.isRequest(octets)
    details = ildcp.decodeResponse(octets)
    again = ildcp.decodeResponse(ildcp.encodeResponse(details))
    require(again == details, f"{details} change when written")


# --- Secrets ---------------------------------------------------------------------------------

KEYS: Final = SessionKeys(SECRET)
ENVELOPES: Final = tuple(KEYS.seal(bytes(size), bytes(12)) for size in (0, 5, 80))


def checkEnvelope(octets: bytes) -> None:
    """Nobody but who has the key makes an envelope."""
    plain = KEYS.open(octets)
    require(plain is None or octets in ENVELOPES, "a forged envelope was opened")
    require(len(KEYS.fulfillment(octets)) == 32, "no fulfillment")


RECEIPTS: Final = tuple(
    signReceipt(bytes(16), streamID, total, SECRET)
    for streamID, total in ((1, 0), (2, 500), (255, (1 << 64) - 1))
)


def checkReceipt(octets: bytes) -> None:
    """Nobody but who has the secret signs a receipt."""
    found = verifyReceipt(octets, SECRET)
    require(found is None or octets in RECEIPTS, "a forged receipt was verified")
    require(isinstance(decodeReceipt(octets), Receipt), "no receipt")


# --- Texts of SPSP and Open Payments -----------------------------------------------------------

_CREDENTIALS: Final = Credentials("test.server.abc", SECRET, "USD", 9, True)
_SPSP: Final = (
    _CREDENTIALS.toJSON().encode(),
    json.dumps(
        {
            "destination_account": "test.server.abc",
            "shared_secret": "ABCD" * 10 + "ABE",
            "asset_info": {"code": "EUR", "scale": 2},
            "ledger_info": {"asset_code": "EUR", "asset_scale": 2},
        }
    ).encode(),
)
_OPEN_PAYMENTS: Final = (
    json.dumps(
        {
            "id": "https://wallet.example/incoming-payments/1",
            "completed": False,
            "incomingAmount": {"value": "1000", "assetCode": "USD", "assetScale": 2},
            "receivedAmount": {"value": "0", "assetCode": "USD", "assetScale": 2},
            "methods": [
                {"type": "ilp", "ilpAddress": "g.abc", "sharedSecret": "ABCD" * 10 + "ABE="}
            ],
        }
    ).encode(),
)


def checkSPSP(octets: bytes) -> None:
    """What was read reads the same when it is written again."""
    found = Credentials.fromJSON(octets)
    require(Credentials.fromJSON(found.toJSON()) == found, f"{found} change")
    require(len(found.sharedSecret) == 32, "no secret")


def checkOpenPayments(octets: bytes) -> None:
    """Whatever JSON there is, it has credentials or it has not."""
    try:
        value = json.loads(octets)
    except (ValueError, RecursionError):
        raise DecodeError("no JSON") from None
    require(len(Credentials.fromOpenPayments(value).sharedSecret) == 32, "no secret")


# --- All of them -------------------------------------------------------------------------------

FRAMES: Final[tuple[frames.Frame, ...]] = (
    frames.ConnectionClose(1, "bye"),
    frames.ConnectionNewAddress("test.client.abc"),
    frames.ConnectionMaxData(65536),
    frames.ConnectionDataBlocked(70000),
    frames.ConnectionMaxStreamID(20),
    frames.ConnectionStreamIDBlocked(22),
    frames.ConnectionAssetDetails("USD", 9),
    frames.StreamClose(1, 9, "no"),
    frames.StreamMoney(1, 1),
    frames.StreamMaxMoney(1, 1000, 500),
    frames.StreamMoneyBlocked(1, 1 << 40, 7),
    frames.StreamData(1, 0, b"hello " * 30),
    frames.StreamMaxData(1, 16384),
    frames.StreamDataBlocked(1, 20000),
    frames.StreamReceipt(1, bytes(58)),
)
"""One of each kind."""

_ENCODED: Final = [frames.encodeFrame(frame) for frame in FRAMES]

PLAIN: Final = (
    packet.encodePacket(1, 12, 0, FRAMES[1:7]),
    packet.encodePacket(2, 12, 90, [frames.StreamMoney(1, 1), frames.StreamMaxMoney(1, 10, 0)]),
    packet.encodePacket(3, 12, 0, [frames.StreamData(1, 0, b"abc"), frames.StreamClose(1, 1)]),
    packet.encodePacket(1 << 40, 13, 1 << 60, FRAMES[7:15]),
    packet.encodePacket(5, 14, 0, FRAMES, 600),
    packet.encodePacket(6, 12, 0, [b"\x99\x03abc", frames.StreamMoney(3, 1 << 63)]),
)
"""STREAM packets before encryption."""

_TIMESTAMP: Final = ilp.encodeTimestamp(NOW + 30)
ILP: Final = (
    ilp.encodePrepare(100, _TIMESTAMP, sha256(bytes(32)).digest(), ADDRESS, ENVELOPES[2]),
    ilp.encodePrepare(0, _TIMESTAMP, bytes(32), "peer.config", b""),
    ilp.encodeFulfill(bytes(32), ENVELOPES[1]),
    ilp.encodeReject("F08", "test.hop", "too much", ilp.encodeAmountTooLarge(100, 10)),
    ilp.encodeReject("F99", "", "Application Error", ENVELOPES[2]),
)
"""ILP packets."""

BTP: Final = (
    btp.encodeILPMessage(1, ILP[0]),
    btp.encodeILPResponse(1, ILP[2]),
    btp.encode(btp.BTPTransfer(2, 100, [btp.ProtocolData("ilp", 0, b"abc")])),
    btp.encode(btp.BTPError(3, "F00", "NotAcceptedError", "20260101000000.000Z", b"x")),
    btp.encode(
        btp.BTPMessage(4, [btp.ProtocolData("auth", 0), btp.ProtocolData("auth_token", 1, b"a")])
    ),
)
"""BTP packets."""

CODECS: Final = (
    Layer(
        "oer",
        [oer.encodeVarOctets(bytes(size)) for size in (0, 1, 127, 128, 300)]
        + [oer.encodeVarUInt(value) for value in (0, 255, 256, (1 << 64) - 1)],
        checkOER,
    ),
    Layer("ilp", ILP, checkILP),
    Layer("btp", BTP, checkBTP),
    Layer("packet", PLAIN, checkPacket),
    Layer("frames", [b"".join(_ENCODED[i : i + 3]) for i in range(13)], checkFrames),
    Layer("envelope", ENVELOPES, checkEnvelope, ()),
    Layer("receipt", RECEIPTS, checkReceipt),
    Layer(
        "il-dcp",
        [
            ildcp.encodeResponse(ildcp.AccountDetails("test.left.abc", 9, "USD")),
            ildcp.encodeRequest(NOW),
        ],
        checkILDCP,
    ),
    Layer("spsp", _SPSP, checkSPSP),
    Layer("open-payments", _OPEN_PAYMENTS, checkOpenPayments, (DecodeError, LocalError)),
)
"""The layers that are only octets."""
