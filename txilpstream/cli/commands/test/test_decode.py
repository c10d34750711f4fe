"""Tests of C{txilpstream.cli.commands.decode}."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txilpstream.cli.commands.decode import (
    SUMMARY,
    Tree,
    addArguments,
    asLines,
    asPlain,
    inspectPacket,
    inspectStreamPacket,
    readPacket,
    readStreamPacket,
    run,
)
from txilpstream.crypto.keys import SessionKeys, conditionOf
from txilpstream.crypto.receipts import signReceipt
from txilpstream.errors import DecodeError, LocalError
from txilpstream.test.support.strategies import (
    encodeAny,
    forAll,
    fulfills,
    mutated,
    octets,
    prepares,
    rejects,
    streamPackets,
)
from txilpstream.wire import frames, ilp
from txilpstream.wire.frames import StreamMoney
from txilpstream.wire.packet import StreamPacket, encodePacket

SECRET = bytes(range(32))
PLAIN = encodePacket(3, ilp.PREPARE, 9, [StreamMoney(1, 5)])
DATA = SessionKeys(SECRET).seal(PLAIN, b"i" * 12)
CONDITION = conditionOf(SessionKeys(SECRET).fulfillment(DATA))
PACKET = ilp.encodePrepare(10, b"20260801123456789", CONDITION, "g.bob", DATA)


class DecodeTests(SynchronousTestCase):
    """C{txilpstream decode}."""

    def decode(self, *words: str, stdin: bytes = b"") -> tuple[int, str, str]:
        """Exit status, standard output and standard error."""
        parser = ArgumentParser()
        addArguments(parser)
        stdout, stderr = StringIO(), StringIO()
        self.patch(sys, "stdin", TextIOWrapper(BytesIO(stdin)))
        status = run(parser.parse_args(words), stdout, stderr)
        return status, stdout.getvalue(), stderr.getvalue()

    def fileOf(self, octets: bytes) -> str:
        """A file that holds these octets."""
        path = Path(self.mktemp())
        path.write_bytes(octets)
        return str(path)

    def test_tree(self) -> None:
        """A packet is printed as a tree."""
        status, out, err = self.decode(stdin=PACKET)
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(out.splitlines()[:2], ["Prepare", "|-- amount: 10"])
        self.assertNotIn("isOpened", out)

    def test_sources(self) -> None:
        """Standard input, by default or by C{-}, or a file; however it is written."""
        expected = self.decode(stdin=PACKET)
        self.assertEqual(self.decode("-", stdin=PACKET.hex().encode()), expected)
        self.assertEqual(self.decode(self.fileOf(PACKET)), expected)
        self.assertEqual(self.decode(self.fileOf(PACKET.hex(" ").encode())), expected)

    def test_json(self) -> None:
        """For machines there is one JSON object and nothing else."""
        status, out, err = self.decode("--json", "--secret", SECRET.hex(), stdin=PACKET)
        self.assertEqual((status, err), (0, ""))
        tree = json.loads(out)
        self.assertEqual(
            (tree["amount"], tree["isOpened"], tree["isFulfillable"]), (10, True, True)
        )
        self.assertEqual(tree["streamPacket"]["frames"][0]["type"], "StreamMoney")

    def test_secret(self) -> None:
        """A secret opens the STREAM packet and is not echoed, right or wrong."""
        for secret, isOpened in ((SECRET, "yes"), (SECRET[::-1], "no")):
            status, out, err = self.decode("--secret", secret.hex(), stdin=PACKET)
            self.assertEqual((status, err), (0, ""))
            self.assertIn(f"isOpened: {isOpened}", out)
            self.assertNotIn(secret.hex(), out)

    def test_stream(self) -> None:
        """An unencrypted STREAM packet."""
        status, out, err = self.decode("--stream", stdin=PLAIN.hex().encode())
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(
            out.splitlines()[:3], ["StreamPacket", "|-- version: 1", "|-- sequence: 3"]
        )

    def test_undecodable(self) -> None:
        """What is no packet: one line on standard error, exit status 1."""
        for words, stdin in (
            ((), b""),
            ((), b"nonsense"),
            ((), PACKET[:20]),
            ((), PLAIN),
            (("--stream",), PACKET),
            (("--json", "--stream"), PLAIN[:5]),
            ((), b" " * (1 << 20) + PACKET),
        ):
            status, out, err = self.decode(*words, stdin=stdin)
            self.assertEqual((status, out), (1, ""))
            self.assertEqual(err.count("\n"), 1)
            self.assertTrue(err.startswith("txilpstream decode: "), err)

    def test_unreadable(self) -> None:
        """A file that cannot be read: one line on standard error, exit status 2."""
        for name in ("no such file", self.fileOf(b"") + "/x", "."):
            status, out, err = self.decode(name)
            self.assertEqual((status, out), (2, ""))
            self.assertTrue(err.startswith(f"txilpstream decode: cannot read {name!r}: "), err)
            self.assertEqual(err.count("\n"), 1)

    def test_unreadableInput(self) -> None:
        """The same for standard input."""
        with open(self.mktemp(), "wb") as file:
            parser = ArgumentParser()
            addArguments(parser)
            stdout, stderr = StringIO(), StringIO()

            class WriteOnly:
                """Standard input that is not open for reading."""

                buffer = file.raw

            for stdin in (WriteOnly, None):
                self.patch(sys, "stdin", stdin)
                self.assertEqual(run(parser.parse_args([]), stdout, stderr), 2)
        beginning = "txilpstream decode: cannot read standard input: "
        unsupported, closed = stderr.getvalue().splitlines()
        self.assertTrue(unsupported.startswith(beginning), unsupported)
        self.assertNotIn("None", unsupported)
        self.assertEqual(closed, beginning + "it is closed")

    def test_secretAsFile(self) -> None:
        """A secret that was put in the place of the file is not echoed."""
        status, out, err = self.decode(SECRET.hex())
        self.assertEqual((status, out), (2, ""))
        self.assertNotIn(SECRET.hex(), err)
        self.assertIn("are no file names", err)

    def test_encoding(self) -> None:
        """What the output cannot write is escaped."""
        packet = ilp.encodeReject("F00", "g.c", "r\u00e9sum\u00e9")
        parser = ArgumentParser()
        addArguments(parser)
        for encoding, expected in (("ascii", "r\\xe9sum\\xe9"), ("utf-8", "r\u00e9sum\u00e9")):
            octets = BytesIO()
            stdout = TextIOWrapper(octets, encoding=encoding)
            options = parser.parse_args([self.fileOf(packet)])
            self.assertEqual(run(options, stdout, StringIO()), 0)
            stdout.flush()
            self.assertIn(f"message: {expected}", octets.getvalue().decode(encoding))

    def test_wrongSecrets(self) -> None:
        """A secret that is none is refused without being echoed."""
        for wrong in ("sesame", "abcd", SECRET.hex() + "00", SECRET.hex()[:-1]):
            stderr = StringIO()
            self.patch(sys, "stderr", stderr)
            self.assertRaises(SystemExit, self.decode, "--secret", wrong)
            self.assertIn("argument --secret: the secret", stderr.getvalue())
            self.assertNotIn(wrong, stderr.getvalue())

    def test_summary(self) -> None:
        """The help has a line about it."""
        self.assertIn("ILP packet", SUMMARY)


KEYS = SessionKeys(SECRET)
IV = b"i" * 12
TIME = b"20260801123456789"

anyPacket = st.one_of(prepares, fulfills, rejects).map(encodeAny)
anyStream = streamPackets.map(
    lambda packet: encodePacket(
        packet.sequence, packet.packetType, packet.prepareAmount, packet.frames
    )
)


def prepareOf(plain: bytes, secret: bytes = SECRET) -> bytes:
    """A Prepare that can be fulfilled, with this in its envelope."""
    keys = SessionKeys(secret)
    data = keys.seal(plain, IV)
    return ilp.encodePrepare(10, TIME, conditionOf(keys.fulfillment(data)), "g.bob", data)


def frameTree(frame: frames.Frame) -> object:
    """A frame, as JSON has it."""
    tree = asPlain(inspectStreamPacket(encodePacket(1, ilp.PREPARE, 0, [frame])))
    assert isinstance(tree, dict)
    (frameTree,) = tree["frames"]
    return frameTree


WRITINGS: list[Callable[[bytes], bytes]] = [
    lambda packet: packet,
    lambda packet: packet.hex().encode(),
    lambda packet: packet.hex().upper().encode() + b"\n",
    lambda packet: b"0x" + packet.hex().encode(),
    lambda packet: b" 0X" + packet.hex(" ").encode() + b"\r\n",
    b64encode,
    urlsafe_b64encode,
    lambda packet: urlsafe_b64encode(packet).rstrip(b"=") + b"\n",
    lambda packet: b"\n".join([b64encode(packet)[:40], b64encode(packet)[40:]]),
]


class ReadTests(SynchronousTestCase):
    """Binary, hex and base64 are told apart."""

    @forAll(anyPacket)
    def test_packets(self, packet: bytes) -> None:
        """A packet is found in each of them."""
        for write in WRITINGS:
            self.assertEqual(readPacket(write(packet)), packet)

    @forAll(anyStream)
    def test_streamPackets(self, packet: bytes) -> None:
        """So is a STREAM packet."""
        for write in WRITINGS:
            self.assertEqual(readStreamPacket(write(packet)), packet)

    @forAll(octets)
    def test_anyOctets(self, octets: bytes) -> None:
        """Any octets give what begins as a packet does, or DecodeError."""
        for read, first in ((readPacket, b"\x0c\x0d\x0e"), (readStreamPacket, b"\x01")):
            try:
                packet = read(octets)
            except DecodeError:
                continue
            self.assertIn(packet[:1], first)

    def test_binaryLikeText(self) -> None:
        """A binary packet may begin with what is white space, and hold nothing but text."""
        fulfill = ilp.encodeFulfill(b"A" * 32, b"B" * 48)
        self.assertEqual(fulfill, b"\rQ" + b"A" * 32 + b"0" + b"B" * 48)
        self.assertEqual(readPacket(fulfill), fulfill)

    def test_refused(self) -> None:
        """The error says how the input was read and what a packet begins with."""
        for text, expected in (
            (b"", "the input is empty"),
            (b" \n", "the input is empty"),
            (b"0f00", "the input, read as hex or base64 or binary, is not an ILP packet"),
            (b"0c1", "the input, read as base64 or binary, is not an ILP packet"),
            (b"0x0c1", "the input, read as binary, is not an ILP packet"),
            (b"hello, world", "the input, read as binary, is not an ILP packet"),
        ):
            error = self.assertRaises(DecodeError, readPacket, text)
            self.assertIn(expected, str(error))
        error = self.assertRaises(DecodeError, readPacket, b"hello, world")
        self.assertIn("that begins with 0c or 0d or 0e", str(error))
        error = self.assertRaises(DecodeError, readStreamPacket, b"0c00")
        self.assertIn("is not a STREAM packet: that begins with 01", str(error))


class PacketTests(SynchronousTestCase):
    """ILP packets without a secret."""

    def test_prepare(self) -> None:
        """All fields, the time in ISO's form."""
        packet = ilp.encodePrepare(2**63, TIME, SECRET, "g.bob", b"abc")
        self.assertEqual(
            asPlain(inspectPacket(packet)),
            {
                "type": "Prepare",
                "amount": 2**63,
                "expiresAt": "2026-08-01T12:34:56.789Z",
                "executionCondition": SECRET.hex(),
                "destination": "g.bob",
                "data": "616263",
            },
        )

    def test_leapSecond(self) -> None:
        """A leap second is shown as it is."""
        tree = inspectPacket(ilp.encodePrepare(0, b"20161231235960000", SECRET, "g.bob", b""))
        self.assertEqual(tree["expiresAt"], "2016-12-31T23:59:60.000Z")

    def test_fulfill(self) -> None:
        """All fields, and the condition, which the Prepare can be known by."""
        self.assertEqual(
            inspectPacket(ilp.encodeFulfill(SECRET, b"abc")),
            {
                "type": "Fulfill",
                "fulfillment": SECRET,
                "fulfilledCondition": conditionOf(SECRET),
                "data": b"abc",
            },
        )

    def test_reject(self) -> None:
        """All fields, and the name of the code where it has one."""
        for code, name in (("T04", "Insufficient Liquidity"), ("X42", "")):
            tree = inspectPacket(ilp.encodeReject(code, "g.c", "no", bytes(16)))
            expected = {"type": "Reject", "code": code, "name": name, "triggeredBy": "g.c"}
            self.assertEqual(tree, {**expected, "message": "no", "data": bytes(16)})

    def test_amountTooLarge(self) -> None:
        """The amounts of F08, where they are there."""
        data = ilp.encodeAmountTooLarge(1000, 300)
        tree = inspectPacket(ilp.encodeReject("F08", "g.c", "", data))
        self.assertEqual((tree["receivedAmount"], tree["maximumAmount"]), (1000, 300))
        self.assertNotIn("maximumAmount", inspectPacket(ilp.encodeReject("F08", "g.c")))

    def test_refused(self) -> None:
        """What is no ILP packet, and a secret of another length."""
        self.assertRaises(DecodeError, inspectPacket, b"\x0c\x00")
        self.assertRaises(LocalError, inspectPacket, ilp.encodeReject("F00"), b"short")


class SecretTests(SynchronousTestCase):
    """ILP packets whose data a secret opens."""

    def test_prepare(self) -> None:
        """The STREAM packet is shown, and that the packet can be fulfilled; not with what."""
        packet = prepareOf(encodePacket(3, ilp.PREPARE, 9, [frames.StreamMoney(1, 5)]))
        tree = inspectPacket(packet, SECRET)
        self.assertEqual((tree["isOpened"], tree["isFulfillable"]), (True, True))
        self.assertEqual(
            tree["streamPacket"],
            {
                "version": 1,
                "sequence": 3,
                "packetType": "Prepare",
                "prepareAmount": 9,
                "frames": [{"type": "StreamMoney", "streamID": 1, "shares": 5}],
                "isInRightPacket": True,
            },
        )
        shown = json.dumps(asPlain(tree)) + "\n".join(asLines(tree))
        for hidden in (SECRET, KEYS.fulfillment(ilp.decodePrepare(packet).data)):
            self.assertNotIn(hidden.hex(), shown)

    def test_probe(self) -> None:
        """A Prepare that nobody can fulfill is opened all the same."""
        data = KEYS.seal(encodePacket(3, ilp.PREPARE, 9, []), IV)
        tree = inspectPacket(ilp.encodePrepare(10, TIME, SECRET, "g.bob", data), SECRET)
        self.assertEqual((tree["isOpened"], tree["isFulfillable"]), (True, False))

    def test_otherSecret(self) -> None:
        """A packet of another connection is not opened."""
        packet = prepareOf(encodePacket(3, ilp.PREPARE, 9, []), SECRET[::-1])
        tree = inspectPacket(packet, SECRET)
        self.assertEqual((tree["isOpened"], tree["isFulfillable"]), (False, False))
        self.assertNotIn("streamPacket", tree)

    def test_replies(self) -> None:
        """Replies are opened too."""
        for packetType in (ilp.FULFILL, ilp.REJECT):
            data = KEYS.seal(encodePacket(3, packetType, 9, []), IV)
            replies = {
                ilp.FULFILL: ilp.encodeFulfill(SECRET, data),
                ilp.REJECT: ilp.encodeReject("F99", "", "", data),
            }
            for carrier, reply in replies.items():
                tree = inspectPacket(reply, SECRET)
                self.assertTrue(tree["isOpened"])
                stream = tree["streamPacket"]
                assert isinstance(stream, dict)
                # RFC 29 section 5.2: one that travels in another packet is to be discarded.
                self.assertEqual(stream["isInRightPacket"], carrier == packetType)

    def test_notValid(self) -> None:
        """What was sealed and is no STREAM packet is shown with its fault."""
        self.assertEqual(
            inspectPacket(prepareOf(b"\x02"), SECRET)["streamPacket"],
            {"error": "a STREAM packet of 1 octets is too short", "octets": b"\x02"},
        )
        plain = bytes.fromhex("01 0c 0107 0109 0101 1100")
        stream = inspectPacket(prepareOf(plain), SECRET)["streamPacket"]
        assert isinstance(stream, dict)
        self.assertEqual((stream["sequence"], stream["isInRightPacket"]), (7, True))
        self.assertEqual(stream["octets"], plain)
        self.assertIn("error", stream)


class StreamPacketTests(SynchronousTestCase):
    """STREAM packets and their frames."""

    def test_whole(self) -> None:
        """Header, frames, frames of unknown type, and junk data."""
        known = frames.encodeFrame(frames.StreamMoney(1, 5))
        plain = bytes.fromhex("01 0e 0107 0109 0103") + known + b"\x42\x02ab" + known + b"junk"
        money = {"type": "StreamMoney", "streamID": 1, "shares": 5}
        self.assertEqual(
            asPlain(inspectStreamPacket(plain)),
            {
                "type": "StreamPacket",
                "version": 1,
                "sequence": 7,
                "packetType": "Reject",
                "prepareAmount": 9,
                "frames": [money, {"type": "Unknown 0x42", "contents": "6162"}, money],
                "junkData": b"junk".hex(),
            },
        )
        self.assertRaises(DecodeError, inspectStreamPacket, plain[:-12])

    def test_names(self) -> None:
        """Frames bear the names of RFC 29 and RFC 39."""
        for frame, name in (
            (frames.ConnectionMaxStreamID(4), "ConnectionMaxStreamId"),
            (frames.ConnectionStreamIDBlocked(4), "ConnectionStreamIdBlocked"),
        ):
            self.assertEqual(frameTree(frame), {"type": name, "maxStreamID": 4})
        self.assertEqual(
            frameTree(frames.StreamData(1, 2, b"abc")),
            {"type": "StreamData", "streamID": 1, "offset": 2, "data": "616263"},
        )

    def test_errorCodes(self) -> None:
        """Codes are shown with their names, where they have one."""
        for code, name in ((4, "FlowControlError"), (99, "")):
            expected = {"errorCode": code, "errorName": name, "errorMessage": "no"}
            self.assertEqual(
                frameTree(frames.ConnectionClose(code, "no")),
                {"type": "ConnectionClose", **expected},
            )
            self.assertEqual(
                frameTree(frames.StreamClose(3, code, "no")),
                {"type": "StreamClose", "streamID": 3, **expected},
            )

    def test_receipts(self) -> None:
        """A receipt is read, without its secret; what is none is shown with its fault."""
        receipt = signReceipt(b"n" * 16, 1, 500, SECRET)
        expected = {"type": "StreamReceipt", "streamID": 1, "receipt": receipt.hex()}
        self.assertEqual(
            frameTree(frames.StreamReceipt(1, receipt)),
            {
                **expected,
                "receiptNonce": (b"n" * 16).hex(),
                "receiptStreamID": 1,
                "totalReceived": 500,
            },
        )
        self.assertEqual(
            frameTree(frames.StreamReceipt(1, b"abc")),
            {**expected, "receipt": "616263", "error": "a receipt has 58 octets, not 3"},
        )


class LinesTests(SynchronousTestCase):
    """Trees for people."""

    def test_tree(self) -> None:
        """Branches are drawn with ASCII characters."""
        plain = encodePacket(
            3, ilp.PREPARE, 9, [frames.StreamMoney(1, 5), frames.ConnectionMaxData(7)]
        )
        data = KEYS.seal(plain, IV)
        packet = ilp.encodePrepare(10, TIME, bytes(32), "g.bob", data)
        self.assertEqual(
            asLines(inspectPacket(packet, SECRET)),
            [
                "Prepare",
                "|-- amount: 10",
                "|-- expiresAt: 2026-08-01T12:34:56.789Z",
                f"|-- executionCondition: 32 octets {'00' * 32}",
                "|-- destination: g.bob",
                f"|-- data: {len(data)} octets {data[:32].hex()}...",
                "|-- isFulfillable: no",
                "|-- isOpened: yes",
                "`-- streamPacket",
                "    |-- version: 1",
                "    |-- sequence: 3",
                "    |-- packetType: Prepare",
                "    |-- prepareAmount: 9",
                "    |-- frames: 2",
                "    |   |-- 1: StreamMoney",
                "    |   |   |-- streamID: 1",
                "    |   |   `-- shares: 5",
                "    |   `-- 2: ConnectionMaxData",
                "    |       `-- maxOffset: 7",
                "    `-- isInRightPacket: yes",
            ],
        )

    def test_leaves(self) -> None:
        """Octets are counted, shortened and, where they are text, quoted."""
        tree: Tree = {
            "none": b"",
            "one": b"\0",
            "text": b"abc",
            "long": b"a" * 33,
            "list": [],
            "empty": "",
            "number": 7,
        }
        self.assertEqual(
            asLines(tree),
            [
                "|-- none: 0 octets",
                "|-- one: 1 octet 00",
                '|-- text: 3 octets 616263 "abc"',
                f'|-- long: 33 octets {"61" * 32}... "{"a" * 32}..."',
                "|-- list: 0",
                "|-- empty:",
                "`-- number: 7",
            ],
        )

    def test_escaped(self) -> None:
        """No message can command the terminal, or draw branches of its own."""
        packet = ilp.encodeReject("F00", "g.\x1b[2J", "a\nb\u202e \u00e9")
        lines = asLines(inspectPacket(packet))
        self.assertIn("|-- triggeredBy: g.\\x1b[2J", lines)
        self.assertIn("|-- message: a\\nb\\u202e \u00e9", lines)

    @forAll(streamPackets, examples=200)
    def test_anyTree(self, packet: StreamPacket) -> None:
        """Any tree is printable line by line, and any tree is JSON."""
        plain = encodePacket(
            packet.sequence, packet.packetType, packet.prepareAmount, packet.frames
        )
        tree = inspectPacket(prepareOf(plain), SECRET)
        for line in asLines(tree):
            self.assertTrue(line.isprintable(), line)
        self.assertEqual(json.loads(json.dumps(asPlain(tree))), asPlain(tree))

    @forAll(st.one_of(mutated(anyPacket), mutated(anyStream).map(prepareOf)), examples=200)
    def test_anyOctets(self, packet: bytes) -> None:
        """Any octets give a tree or DecodeError, and any tree can be shown."""
        try:
            tree = inspectPacket(packet, SECRET)
        except DecodeError:
            return
        self.assertTrue(asLines(tree))
        json.dumps(asPlain(tree))
