"""The vectors of the manual: each file is what its script makes, each vector says what is so."""

from __future__ import annotations

import json
import runpy
from base64 import urlsafe_b64decode
from typing import Any, Final

from txilpstream.crypto.keys import SessionKeys, conditionOf
from txilpstream.crypto.receipts import Receipt, verifyReceipt
from txilpstream.crypto.tokens import TokenFormats
from txilpstream.errors import DecodeError
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.events import StreamOpened
from txilpstream.session.session import Session
from txilpstream.test.support.documents import CHECKOUT, MISSING
from txilpstream.test.support.virtual import VirtualTestCase
from txilpstream.wire.frames import FRAME_TYPES, ConnectionClose, Frame
from txilpstream.wire.ilp import Reject, decodePrepare, decodeReply
from txilpstream.wire.packet import StreamPacket, decodePacket, encodePacket

FOLDER: Final = CHECKOUT / "docs" / "vectors"
SENT_AT: Final = 1_767_225_600.0
CLASSES: Final = {kind.__name__: kind for kind in FRAME_TYPES.values()}


def read(name: str) -> list[dict[str, Any]]:
    """The vectors of a file."""
    vectors: list[dict[str, Any]] = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return vectors


def frameOf(fields: dict[str, Any]) -> Frame:
    """A frame as its JSON says it."""
    values: dict[str, Any] = {}
    for name, value in fields.items():
        if name in ("data", "receipt"):
            values[name] = bytes.fromhex(value)
        elif name != "type":
            isText = name in ("errorMessage", "sourceAddress", "sourceAssetCode")
            values[name] = value if isText else int(value)
    return CLASSES[fields["type"]](**values)


def packetOf(fields: dict[str, Any]) -> StreamPacket:
    """A STREAM packet as its JSON says it."""
    return StreamPacket(
        int(fields["sequence"]),
        fields["packetType"],
        int(fields["prepareAmount"]),
        [frameOf(frame) for frame in fields["frames"]],
    )


class VectorsTestCase(VirtualTestCase):
    """Tests that read the checkout."""

    skip = MISSING


class FileTests(VectorsTestCase):
    """The files as a whole."""

    def test_madeByTheScript(self) -> None:
        """Nobody changed a file by hand, or the code without the files."""
        script = runpy.run_path(str(CHECKOUT / "docs" / "makevectors.py"))
        self.assertEqual(sorted(script["FILES"]), sorted(p.name for p in FOLDER.iterdir()))
        for name in script["FILES"]:
            made = script["contentsOf"](name)
            self.assertEqual(made, (FOLDER / name).read_text(encoding="utf-8"), name)

    def test_explained(self) -> None:
        """The page names each file, and each field of its vectors."""
        page = (CHECKOUT / "docs" / "vectors.rst").read_text(encoding="utf-8")
        for path in FOLDER.iterdir():
            self.assertIn(f"``{path.name}``", page)
            for vector in read(path.name):
                for field in vector:
                    self.assertIn(f"``{field}``", page)

    def test_namesDiffer(self) -> None:
        """Each vector is found by its name, and by its format where there are several."""
        for path in FOLDER.iterdir():
            names = [(each["name"], each.get("format")) for each in read(path.name)]
            self.assertEqual(len(names), len(set(names)), path.name)


class ExchangeTests(VectorsTestCase):
    """C{exchanges.json}."""

    def test_packets(self) -> None:
        """What is written and what is read are the same, but for the padding."""
        for vector in read("exchanges.json"):
            for plain, fields in (("plain", "packet"), ("replyPlain", "replyPacket")):
                octets, packet = bytes.fromhex(vector[plain]), packetOf(vector[fields])
                self.assertEqual(decodePacket(octets), packet, vector["name"])
                again = encodePacket(
                    packet.sequence, packet.packetType, packet.prepareAmount, packet.frames
                )
                self.assertEqual(again, octets[: len(again)], vector["name"])
                self.assertEqual(octets[len(again) :].strip(b"\0"), b"", vector["name"])

    def test_envelopes(self) -> None:
        """Under the secret and the nonce there is one envelope, with one condition."""
        for vector in read("exchanges.json"):
            keys = SessionKeys(bytes.fromhex(vector["sharedSecret"]))
            envelope = keys.seal(bytes.fromhex(vector["plain"]), bytes.fromhex(vector["iv"]))
            self.assertEqual(envelope.hex(), vector["envelope"])
            fulfillment = keys.fulfillment(envelope)
            self.assertEqual(fulfillment.hex(), vector["fulfillment"])
            self.assertEqual(conditionOf(fulfillment).hex(), vector["condition"])
            prepare = decodePrepare(bytes.fromhex(vector["prepare"]))
            self.assertEqual(prepare.data, envelope)
            self.assertEqual(prepare.amount, int(vector["amount"]))

    def test_replies(self) -> None:
        """The answer opens under the same secret, bears the same number and tells the amount."""
        for vector in read("exchanges.json"):
            keys = SessionKeys(bytes.fromhex(vector["sharedSecret"]))
            reply = decodeReply(bytes.fromhex(vector["reply"]))
            self.assertEqual(keys.open(reply.data), bytes.fromhex(vector["replyPlain"]))
            self.assertEqual(vector["replyPacket"]["sequence"], vector["packet"]["sequence"])
            self.assertEqual(vector["replyPacket"]["prepareAmount"], vector["amount"])
            if isinstance(reply, Reject):
                self.assertEqual(reply.code, vector["replyCode"])
                self.assertEqual(vector["replyPacket"]["packetType"], 14)
            else:
                self.assertEqual(vector["replyCode"], "")
                self.assertEqual(reply.fulfillment.hex(), vector["fulfillment"])
                self.assertEqual(vector["replyPacket"]["packetType"], 13)

    def test_bothKinds(self) -> None:
        """There are packets that are fulfilled, and such that are not."""
        codes = {vector["replyCode"] for vector in read("exchanges.json")}
        self.assertEqual(codes, {"", "F99"})


class SecretTests(VectorsTestCase):
    """C{tokens.json} and C{receipts.json}."""

    def test_tokens(self) -> None:
        """Each token says what it says, and has its secret."""
        for vector in read("tokens.json"):
            reader = TokenFormats(bytes.fromhex(vector["serverSecret"]))
            details, secret = reader.read(vector["token"])
            self.assertEqual(secret.hex(), vector["sharedSecret"], vector["name"])
            self.assertEqual(details is not None, vector["isGood"], vector["name"])
            if details is not None:
                for name in ("connectionTag", "expiresAt", "assetCode", "assetScale"):
                    self.assertEqual(getattr(details, name), vector[name], vector["name"])
                for name in ("receiptNonce", "receiptSecret"):
                    self.assertEqual(getattr(details, name).hex(), vector[name], vector["name"])

    def test_tokensAreOctets(self) -> None:
        """Every good token is base64url without padding."""
        for vector in read("tokens.json"):
            if vector["isGood"]:
                text = vector["token"]
                self.assertTrue(urlsafe_b64decode(text + "=" * (-len(text) % 4)))

    def test_receipts(self) -> None:
        """A good receipt says its fields, and a bad one nothing."""
        for vector in read("receipts.json"):
            secret = bytes.fromhex(vector["secret"])
            found = verifyReceipt(bytes.fromhex(vector["receipt"]), secret)
            said = Receipt(
                bytes.fromhex(vector["nonce"]), vector["streamID"], int(vector["totalReceived"])
            )
            self.assertEqual(found, said if vector["isGood"] else None, vector["name"])

    def test_bothKinds(self) -> None:
        """There are good ones and bad ones in each file."""
        for name in ("tokens.json", "receipts.json"):
            self.assertEqual({vector["isGood"] for vector in read(name)}, {True, False}, name)


class WrongTests(VectorsTestCase):
    """C{malformed.json}; C{ilp.json} is compared with what a server says by L{FileTests}."""

    def test_readable(self) -> None:
        """A packet is one where the vector says so."""
        for vector in read("malformed.json"):
            octets = bytes.fromhex(vector["plain"])
            if vector["isPacket"]:
                decodePacket(octets)
            else:
                self.assertRaises(DecodeError, decodePacket, octets)

    def test_answers(self) -> None:
        """A server of another secret for its random octets answers with the same codes."""
        for vector in read("malformed.json"):
            keys = SessionKeys(bytes.fromhex(vector["sharedSecret"]))
            session = Session(SessionConfiguration(isServer=True), keys, bytes)
            prepare = decodePrepare(bytes.fromhex(vector["prepare"]))
            self.assertEqual(keys.open(prepare.data), bytes.fromhex(vector["plain"]))
            incoming = session.receivePrepare(prepare, now=SENT_AT)
            for event in session.nextEvents():
                if isinstance(event, StreamOpened):
                    session.startStream(event.streamID, 1000)
            reply = decodeReply(session.answer(incoming, True, now=SENT_AT))
            code = reply.code if isinstance(reply, Reject) else ""
            self.assertEqual(code, vector["ilpCode"], vector["name"])
            plain = keys.open(reply.data)
            self.assertEqual(plain is not None, vector["isEncrypted"], vector["name"])
            frames = decodePacket(plain).frames if plain is not None else []
            closes = [frame.errorCode for frame in frames if isinstance(frame, ConnectionClose)]
            wanted = vector["errorCode"]
            self.assertEqual(closes, [] if wanted is None else [wanted], vector["name"])
