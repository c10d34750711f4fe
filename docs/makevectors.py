"""
Makes the test vectors in C{docs/vectors} from this package.

    python docs/makevectors.py

The same code makes the same files: every nonce and secret is fixed. C{docs/vectors.rst} explains
them.
"""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock

from txilpstream.crypto.credentials import TokenReader
from txilpstream.crypto.keys import SessionKeys, conditionOf
from txilpstream.crypto.receipts import signReceipt
from txilpstream.crypto.tokens import TokenFormats
from txilpstream.errors import DecodeError, ErrorCode
from txilpstream.plugins.memory import memoryPair
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.events import StreamOpened
from txilpstream.session.session import Session
from txilpstream.transport.account import Account
from txilpstream.transport.server import StreamServer
from txilpstream.wire import frames
from txilpstream.wire.frames import Frame, encodeFrame
from txilpstream.wire.ilp import (
    Fulfill,
    decodePrepare,
    decodeReply,
    encodeFulfill,
    encodePrepare,
    encodeReject,
    encodeTimestamp,
)
from txilpstream.wire.oer import encodeVarOctets, encodeVarUInt
from txilpstream.wire.packet import decodePacket, encodePacket

FOLDER: Final = Path(__file__).resolve().parent / "vectors"

SHARED_SECRET: Final = bytes(range(32))
SERVER_SECRET: Final = bytes(range(32, 64))
PREPARE_IV: Final = bytes.fromhex("000102030405060708090a0b")
REPLY_IV: Final = bytes.fromhex("0c0d0e0f1011121314151617")
RECEIPT_NONCE: Final = bytes(range(64, 80))
RECEIPT_SECRET: Final = bytes(range(96, 128))
ADDRESS: Final = "test.server"
NOW: Final = 1_767_225_600.0
"""2026-01-01, when every packet is sent."""

RECEIVE_MAX: Final = 1000
"""What each stream takes that a vector opens."""

KEYS: Final = SessionKeys(SHARED_SECRET)
U64: Final = (1 << 64) - 1

Vector = dict[str, Any]


# --- Exchanges -------------------------------------------------------------------------------


def plainFrame(frame: Frame) -> Vector:
    """A frame as JSON has it: its name and fields, integers as decimal text, octets as hex."""
    fields: Vector = {"type": type(frame).__name__}
    for name in type(frame).__slots__:
        value = getattr(frame, name)
        if isinstance(value, int):
            value = str(value)
        fields[name] = value.hex() if isinstance(value, bytes) else value
    return fields


def plainPacket(octets: bytes) -> Vector:
    """A STREAM packet as JSON has it."""
    packet = decodePacket(octets)
    return {
        "sequence": str(packet.sequence),
        "packetType": packet.packetType,
        "prepareAmount": str(packet.prepareAmount),
        "frames": [plainFrame(frame) for frame in packet.frames],
    }


def answer(prepare: bytes, hasReceipts: bool = False) -> bytes:
    """What a server that hears of nothing else answers."""
    configuration = SessionConfiguration(
        isServer=True,
        sourceAddress=ADDRESS,
        sourceAssetCode="USD",
        sourceAssetScale=9,
        receiptNonce=RECEIPT_NONCE if hasReceipts else b"",
        receiptSecret=RECEIPT_SECRET if hasReceipts else b"",
    )
    session = Session(configuration, KEYS, lambda count: REPLY_IV[:count])
    incoming = session.receivePrepare(decodePrepare(prepare), now=NOW)
    for event in session.nextEvents():
        if isinstance(event, StreamOpened):
            session.startStream(event.streamID, RECEIVE_MAX)
    return session.answer(incoming, True, now=NOW)


def prepareOf(data: bytes, amount: int, isFulfillable: bool = True) -> bytes:
    """A Prepare with these data."""
    condition = conditionOf(KEYS.fulfillment(data)) if isFulfillable else bytes(32)
    return encodePrepare(amount, encodeTimestamp(NOW + 30), condition, ADDRESS, data)


def exchange(
    name: str,
    sent: Sequence[Frame],
    *,
    amount: int = 0,
    minimum: int = 0,
    padTo: int = 0,
    sequence: int = 1,
    isFulfillable: bool = True,
    hasReceipts: bool = False,
) -> Vector:
    """A Prepare with its answer, both encrypted and not."""
    plain = encodePacket(sequence, 12, minimum, sent, padTo)
    envelope = KEYS.seal(plain, PREPARE_IV)
    prepare = prepareOf(envelope, amount, isFulfillable)
    reply = answer(prepare, hasReceipts)
    decoded = decodeReply(reply)
    replyPlain = KEYS.open(decoded.data)
    assert replyPlain is not None
    return {
        "name": name,
        "sharedSecret": SHARED_SECRET.hex(),
        "iv": PREPARE_IV.hex(),
        "amount": str(amount),
        "hasReceipts": hasReceipts,
        "packet": plainPacket(plain),
        "plain": plain.hex(),
        "envelope": envelope.hex(),
        "fulfillment": KEYS.fulfillment(envelope).hex(),
        "condition": conditionOf(KEYS.fulfillment(envelope)).hex(),
        "prepare": prepare.hex(),
        "replyIV": REPLY_IV.hex(),
        "replyCode": "" if isinstance(decoded, Fulfill) else decoded.code,
        "replyPacket": plainPacket(replyPlain),
        "replyPlain": replyPlain.hex(),
        "reply": reply.hex(),
    }


def exchanges() -> list[Vector]:
    """Packets that are in order, and some that are refused in order."""
    money, more = frames.StreamMoney(1, 1), frames.StreamMoney(3, 2)
    hello = frames.StreamData(1, 0, b"hello")
    return [
        exchange("no frames", []),
        exchange(
            "the first packet of a connection",
            [
                frames.ConnectionNewAddress("test.client.abc"),
                frames.ConnectionAssetDetails("EUR", 2),
            ],
        ),
        exchange("money for one stream", [money], amount=100, minimum=90),
        exchange("money for two streams, remainder to the lowest", [money, more], amount=100),
        exchange("data", [hello], sequence=2),
        exchange("money and data", [money, hello], amount=7),
        exchange("padded with zero octets", [money], amount=7, padTo=200),
        exchange("the largest numbers", [frames.StreamMoneyBlocked(1, U64, U64)], sequence=U64),
        exchange("a receipt", [money], amount=500, hasReceipts=True),
        exchange("receipts for two streams", [money, more], amount=300, hasReceipts=True),
        exchange("a stream is closed", [hello, frames.StreamClose(1, 1, "")]),
        exchange("the connection is closed", [frames.ConnectionClose(1, "bye")]),
        exchange("a probe that nobody can fulfill", [], amount=1000, isFulfillable=False),
        exchange("less than the minimum", [money], amount=89, minimum=90),
        exchange("more than the stream takes", [money], amount=RECEIVE_MAX * 2),
    ]


# --- Tokens ------------------------------------------------------------------------------------


def counted(count: int) -> bytes:
    """Octets that are random for nobody."""
    return bytes(range(count))


def textOf(octets: bytes) -> str:
    """Base64url without padding."""
    return urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def token(name: str, kind: str, text: str) -> Vector:
    """A token, with what it is read as."""
    details, secret = TokenFormats(SERVER_SECRET).read(text)
    return {
        "name": name,
        "format": kind,
        "serverSecret": SERVER_SECRET.hex(),
        "token": text,
        "sharedSecret": secret.hex(),
        "isGood": details is not None,
        "connectionTag": details.connectionTag if details else "",
        "receiptNonce": details.receiptNonce.hex() if details else "",
        "receiptSecret": details.receiptSecret.hex() if details else "",
        "expiresAt": details.expiresAt if details else None,
        "assetCode": details.assetCode if details else None,
        "assetScale": details.assetScale if details else None,
    }


def flagged(plain: bytes) -> str:
    """A token of stream-receiver, which is sealed with a key of its own."""
    key = hmac.digest(SERVER_SECRET, b"ilp_stream_connection_token", "sha256")
    sealed = AESGCM(key).encrypt(PREPARE_IV, plain, None)
    return textOf(PREPARE_IV + sealed[-16:] + sealed[:-16])


def tokens() -> list[Vector]:
    """Tokens in every format that is read, and some that are not."""
    reader = TokenReader(SERVER_SECRET, counted)
    options: list[tuple[str, Vector]] = [
        ("plain", {}),
        ("with a tag", {"connectionTag": "invoice-7"}),
        ("with receipts", {"receiptNonce": RECEIPT_NONCE, "receiptSecret": RECEIPT_SECRET}),
    ]
    found = []
    for name, chosen in options:
        address = reader.generateCredentials(ADDRESS, **chosen).destinationAddress
        found.append(token(name, "ilp-protocol-stream", address.rpartition(".")[2]))
    expiring = TokenFormats(SERVER_SECRET, randomBytes=counted).generateCredentials(
        ADDRESS, expiresAt=1_800_000_000
    )
    text = expiring.destinationAddress.rpartition(".")[2]
    found.append(token("that expires", "ilp-protocol-stream", text))
    receipts = RECEIPT_NONCE + RECEIPT_SECRET
    tag = encodeVarOctets(b"invoice-7")
    asset = encodeVarOctets(b"EUR") + b"\x02"
    for name, plain in [
        ("plain", b"\x00"),
        ("with a tag", b"\x01" + tag),
        ("with receipts", b"\x02" + receipts),
        ("with an asset", b"\x04" + asset),
        ("with everything", b"\x07" + tag + receipts + asset),
    ]:
        found.append(token(name, "stream-receiver", flagged(plain)))
    found.append(token("random", "interledger-rs", textOf(bytes(range(18)))))
    good = found[0]["token"]
    found.append(token("changed", "none", ("B" if good[0] == "A" else "A") + good[1:]))
    found.append(token("cut short", "none", good[:-4]))
    found.append(token("with padding", "none", good + "=="))
    return found


# --- Receipts ------------------------------------------------------------------------------------


def receipts() -> list[Vector]:
    """Receipts that are good, and some that are not."""
    found = []
    for streamID, total in ((1, 0), (1, 500), (2, 1 << 32), (255, U64)):
        octets = signReceipt(RECEIPT_NONCE, streamID, total, RECEIPT_SECRET)
        found.append((f"{total} on stream {streamID}", octets, True))
    good = found[1][1]
    found.append(("another total", good[:25] + b"\xff" + good[26:], False))
    found.append(("another signature", good[:-1] + bytes([good[-1] ^ 1]), False))
    found.append(("cut short", good[:-1], False))
    found.append(("too long", good + b"\0", False))
    return [
        {
            "name": name,
            "secret": RECEIPT_SECRET.hex(),
            "receipt": octets.hex(),
            "isGood": isGood,
            "nonce": octets[1:17].hex(),
            "streamID": octets[17],
            "totalReceived": str(int.from_bytes(octets[18:26], "big")),
        }
        for name, octets, isGood in found
    ]


# --- What is wrong -------------------------------------------------------------------------------


def malformed(name: str, plain: bytes, amount: int = 0) -> Vector:
    """A STREAM packet that is wrong, and the answer that it gets."""
    prepare = prepareOf(KEYS.seal(plain, PREPARE_IV), amount)
    reply = decodeReply(answer(prepare))
    opened = KEYS.open(reply.data)
    close: Vector = {"errorCode": None, "errorName": ""}
    if opened is not None:
        for frame in decodePacket(opened).frames:
            if isinstance(frame, frames.ConnectionClose):
                name_ = ErrorCode.NAMES[frame.errorCode]
                close = {"errorCode": frame.errorCode, "errorName": name_}
    try:
        decodePacket(plain)
        isPacket = True
    except DecodeError:
        isPacket = False
    return {
        "name": name,
        "sharedSecret": SHARED_SECRET.hex(),
        "amount": str(amount),
        "plain": plain.hex(),
        "isPacket": isPacket,
        "prepare": prepare.hex(),
        "ilpCode": "" if isinstance(reply, Fulfill) else reply.code,
        "isEncrypted": opened is not None,
        **close,
    }


def withFrames(*parts: bytes | Frame, count: int = -1) -> bytes:
    """A packet with these octets as frames."""
    octets = [part if isinstance(part, bytes) else encodeFrame(part) for part in parts]
    number = len(parts) if count < 0 else count
    return b"\x01\x0c\x01\x01\x01\x00" + encodeVarUInt(number) + b"".join(octets)


def wrongPackets() -> list[Vector]:
    """STREAM packets that break a rule, and some that look so and do not."""
    money = frames.StreamMoney(1, 1)
    data = frames.StreamData
    return [
        malformed("no octets", b""),
        malformed("version 2", b"\x02" + withFrames()[1:]),
        malformed("the type of a Fulfill", b"\x01\x0d" + withFrames()[2:]),
        malformed("the type of a Reject", b"\x01\x0e" + withFrames()[2:]),
        malformed("a type that is none", b"\x01\x0f" + withFrames()[2:]),
        malformed("a sequence of nine octets", b"\x01\x0c\x09" + bytes(9) + b"\x01\x00\x01\x00"),
        malformed("no count of frames", withFrames()[:-2]),
        malformed("fewer frames than announced", withFrames(money, count=2)),
        malformed("a frame that is cut short", withFrames(encodeFrame(money)[:-1])),
        malformed("a length that is longer than it need be", withFrames(b"\x03\x81\x02\x01\x05")),
        malformed("a number without octets", withFrames(b"\x03\x01\x00")),
        malformed("a number of nine octets", withFrames(b"\x03\x0a\x09" + bytes(9))),
        malformed(
            "data beyond 2**64", withFrames(b"\x14\x0d\x01\x01\x08" + b"\xff" * 8 + b"\x01a")
        ),
        malformed("an address with other than ASCII", withFrames(b"\x02\x03\x02\xc3\xa4")),
        malformed(
            "a receiveMax of nine octets is 2**64 - 1",
            withFrames(b"\x12\x0e\x01\x01\x09\x01" + bytes(8) + b"\x01\x00"),
        ),
        malformed("a frame of unknown type", withFrames(b"\x99\x03abc")),
        malformed("octets after the frames", withFrames() + b"junk"),
        malformed("leading zeros in a number", withFrames(b"\x03\x05\x04\x00\x00\x00\x05")),
        malformed("money for an even stream", withFrames(frames.StreamMoney(2, 1)), 100),
        malformed("data for an even stream", withFrames(data(2, 0, b"abc"))),
        malformed("stream 0", withFrames(data(0, 0, b"abc"))),
        malformed("a stream above the limit", withFrames(frames.StreamMoney(21, 1)), 100),
        malformed("data beyond the stream's limit", withFrames(data(1, 1 << 20, b"abc"))),
        malformed("money for no stream", withFrames(), 100),
        malformed("money for shares of 0", withFrames(frames.StreamMoney(1, 0)), 100),
        malformed(
            "another asset than before",
            withFrames(
                frames.ConnectionAssetDetails("USD", 9), frames.ConnectionAssetDetails("EUR", 9)
            ),
        ),
    ]


def accountAnswer(octets: bytes) -> str:
    """The code with which a server's account rejects an ILP packet; empty for a Fulfill."""
    clock = Clock()
    clock.advance(NOW)
    _, plugin = memoryPair(clock)
    account = Account(clock, plugin, address=ADDRESS, wallClock=clock.seconds)
    server = StreamServer(account, SERVER_SECRET)
    server.listen(Factory.forProtocol(Protocol))
    reply = account.receivePrepare(octets)
    assert isinstance(reply, bytes)
    decoded = decodeReply(reply)
    return "" if isinstance(decoded, Fulfill) else decoded.code


def wrongILP() -> list[Vector]:
    """ILP packets that a server's account rejects before any connection hears of them."""
    good = prepareOf(KEYS.seal(withFrames(), PREPARE_IV), 0)
    own = TokenReader(SERVER_SECRET, counted).generateCredentials(ADDRESS)
    when = encodeTimestamp(NOW + 30)
    keys = SessionKeys(own.sharedSecret)
    data = keys.seal(withFrames(), PREPARE_IV)
    condition = conditionOf(keys.fulfillment(data))
    mine = own.destinationAddress

    def to(destination: str, contents: bytes = data) -> bytes:
        return encodePrepare(0, when, condition, destination, contents)

    at = good.index(when)
    cases = [
        ("no octets", b""),
        ("a Fulfill", encodeFulfill(bytes(32))),
        ("a Reject", encodeReject("F99")),
        ("cut short", good[:-1]),
        ("a time that is none", good[:at] + b"20261301000000000" + good[at + 17 :]),
        ("the address of somebody else", to("test.other.abc")),
        ("the server's address without a token", to(ADDRESS)),
        ("a token that was not made here", to(ADDRESS + ".abc")),
        ("no data", to(mine, b"")),
        ("data under another key", to(mine, KEYS.seal(withFrames(), PREPARE_IV))),
        ("data with another tag", to(mine, data[:12] + bytes(16) + data[28:])),
        ("in order", to(mine)),
        ("in order, with a segment after the token", to(mine + ".more")),
    ]
    return [
        {
            "name": name,
            "serverAddress": ADDRESS,
            "serverSecret": SERVER_SECRET.hex(),
            "now": int(NOW),
            "packet": octets.hex(),
            "ilpCode": accountAnswer(octets),
        }
        for name, octets in cases
    ]


# --- Files ---------------------------------------------------------------------------------------

FILES: Final[dict[str, Callable[[], list[Vector]]]] = {
    "exchanges.json": exchanges,
    "tokens.json": tokens,
    "receipts.json": receipts,
    "malformed.json": wrongPackets,
    "ilp.json": wrongILP,
}
"""Each file, and what makes its vectors."""


def contentsOf(name: str) -> str:
    """The text of a file."""
    return json.dumps(FILES[name](), indent=2) + "\n"


def main() -> None:
    """Write all files."""
    FOLDER.mkdir(exist_ok=True)
    for name in FILES:
        (FOLDER / name).write_text(contentsOf(name), encoding="utf-8")


if __name__ == "__main__":
    main()
