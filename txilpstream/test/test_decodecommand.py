"""Tests of C{txilpstream.cli.commands.decode}."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from txilpstream.cli.commands.decode import SUMMARY, addArguments, run
from txilpstream.crypto.keys import SessionKeys, conditionOf
from txilpstream.wire import ilp
from txilpstream.wire.frames import StreamMoney
from txilpstream.wire.packet import encodePacket

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
        for words, octets in (
            ((), b""),
            ((), b"nonsense"),
            ((), PACKET[:20]),
            ((), PLAIN),
            (("--stream",), PACKET),
            (("--json", "--stream"), PLAIN[:5]),
            ((), b" " * (1 << 20) + PACKET),
        ):
            status, out, err = self.decode(*words, stdin=octets)
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
