"""
What other implementations said to us is answered as it was, without them; see docs/transcripts.rst.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from txilpstream.crypto.keys import SessionKeys, conditionOf
from txilpstream.test.support.replay import CannotReplay, play
from txilpstream.test.support.virtual import VirtualTestCase
from txilpstream.test.support.wires import playWire
from txilpstream.wire.ilp import Fulfill, Prepare, Reject, decode

FOLDER = Path(__file__).parent / "transcripts"

LARGEST = 60_000
"""Octets of a file: they are part of what is installed."""

STREAM = {
    "ilp-connector-inward": ("ilp-connector", "path"),
    "ilp-connector-outward": ("ilp-connector", "path"),
    "ilp-plugin-mini-accounts-inward": ("ilp-plugin-mini-accounts", "path"),
    "ilp-plugin-mini-accounts-outward": ("ilp-plugin-mini-accounts", "path"),
    "ilp-protocol-stream-alpha-client": ("ilp-protocol-stream", "payer"),
    "ilp-protocol-stream-alpha-server": ("ilp-protocol-stream", "payee"),
    "ilp-protocol-stream-client": ("ilp-protocol-stream", "payer"),
    "ilp-protocol-stream-server": ("ilp-protocol-stream", "payee"),
    "pay": ("@interledger/pay", "payer"),
    "pay-alpha": ("@interledger/pay", "payer"),
    "stream-receiver": ("@interledger/stream-receiver", "payee"),
    "stream-receiver-latest": ("@interledger/stream-receiver", "payee"),
}
"""Transcripts of ILP packets: whose each is, and what the peer is in it."""

WIRES = ("ilp-plugin", "ilp-plugin-btp", "ilp-plugin-http")
"""Transcripts of what was written to a connection, by the name of the peer."""


def read(name: str) -> dict[str, Any]:
    """One transcript."""
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="ascii"))
    return found


def decodeEvent(event: dict[str, Any]) -> Prepare | Fulfill | Reject:
    """The packet of an event."""
    return decode(bytes.fromhex(event["octets"]))


class ReplayTests(VirtualTestCase):
    """Each transcript is played to its end."""

    def played(self, name: str) -> dict[str, Any]:
        """Play one; the package's own words say what our end counted."""
        transcript = read(name)
        self.assertEqual((transcript["peer"], transcript["role"]), STREAM[name])
        play(transcript)
        counted: dict[str, Any] = transcript["counted"]
        return counted

    def stream(self, name: str) -> None:
        """The peer came with money and data, and closed."""
        (talk,) = self.played(name)["streams"]
        self.assertEqual((talk["money"], talk["end"]), (5000, "ConnectionDone"))
        self.assertEqual(len(talk["heard"]), 2 * 600)

    def server(self, name: str) -> None:
        """We came with money and data, and closed."""
        counted = self.played(name)
        self.assertEqual((counted["sent"], counted["deliveredClaimed"]), (5000, 5000))
        self.assertEqual(len(counted["heard"]), 2 * 300)

    def receiver(self, name: str) -> None:
        """We paid and have the peer's receipt."""
        counted = self.played(name)
        self.assertEqual((counted["sent"], counted["deliveredClaimed"]), (5000, 5000))
        self.assertEqual(len(counted["receipt"]), 2 * 58)

    def payer(self, name: str) -> None:
        """The peer paid a receiver of ours without state."""
        self.assertEqual(self.played(name), {"totals": {"1": 5000}})

    def path(self, peer: str) -> None:
        """We paid ourselves through the peer, in smaller packets than we tried first."""
        (talk,) = self.played(f"{peer}-inward")["streams"]
        self.assertEqual(talk["money"], 5000)
        self.receiver(f"{peer}-outward")
        rejects = [
            packet.code
            for event in read(f"{peer}-outward")["events"]
            if isinstance(packet := decodeEvent(event), Reject) and not packet.data[16:]
        ]
        self.assertIn("F08", rejects)

    def test_connector(self) -> None:
        """ilp-connector between two ends of ours."""
        self.path("ilp-connector")

    def test_miniAccounts(self) -> None:
        """ilp-plugin-mini-accounts between two ends of ours."""
        self.path("ilp-plugin-mini-accounts")

    def test_wires(self) -> None:
        """The plugins come to a listening end of ours, as they write it."""
        for name in WIRES:
            transcript = read(name)
            self.assertEqual(transcript["peer"], name)
            playWire(transcript)

    def test_streamClient(self) -> None:
        """ilp-protocol-stream comes to us."""
        self.stream("ilp-protocol-stream-client")

    def test_streamAlphaClient(self) -> None:
        """The version of it that was last made comes to us."""
        self.stream("ilp-protocol-stream-alpha-client")

    def test_streamServer(self) -> None:
        """We come to ilp-protocol-stream."""
        self.server("ilp-protocol-stream-server")

    def test_streamAlphaServer(self) -> None:
        """We come to the version of it that was last made."""
        self.server("ilp-protocol-stream-alpha-server")

    def test_streamReceiver(self) -> None:
        """We pay stream-receiver."""
        self.receiver("stream-receiver")

    def test_streamReceiverLatest(self) -> None:
        """We pay the version of it that answers F05 to whoever asks for a rate."""
        self.receiver("stream-receiver-latest")

    def test_pay(self) -> None:
        """pay comes to us."""
        self.payer("pay")

    def test_payAlpha(self) -> None:
        """The version of it that was last made comes to us."""
        self.payer("pay-alpha")


class FilesTests(VirtualTestCase):
    """What lies in the folder."""

    def test_names(self) -> None:
        """Every transcript is played above, and none is missing."""
        found = sorted(path.stem for path in FOLDER.glob("*.json"))
        self.assertEqual(found, sorted([*STREAM, *WIRES]))

    def test_sizes(self) -> None:
        """They are small."""
        for path in FOLDER.glob("*.json"):
            self.assertLess(path.stat().st_size, LARGEST, path.name)


def places(event: dict[str, Any], keys: SessionKeys, isKnown: bool) -> Iterator[tuple[str, int]]:
    """
    Where an octet of a packet counts: everywhere but in what no key protects and nobody reads.

    @param isKnown: whether whoever answers it knows its connection; else only its data count.
    @return: what it is, and its index.
    """
    octets, packet = bytes.fromhex(event["octets"]), decodeEvent(event)
    if packet.data:
        yield "data", len(octets) - 1 - len(packet.data) // 2
    if not isKnown:
        return
    if isinstance(packet, Prepare):
        # The condition of a Prepare that asks for a rate is random.
        mayFulfill = conditionOf(keys.fulfillment(packet.data)) == packet.executionCondition
        if mayFulfill or not packet.data:
            yield "condition", octets.index(packet.executionCondition) + 5
        yield "amount", 9 if octets[1] < 128 else octets[1] % 128 + 9
        yield "destination", octets.index(packet.destination.encode("ascii")) + 7
    elif isinstance(packet, Fulfill):
        yield "fulfillment", octets.index(packet.fulfillment) + 5
    elif event["by"] == "us" or keys.open(packet.data) is None:
        # Of the peer's own rejects we believe what is sealed, whatever the code.
        yield "code", octets.index(packet.code.encode("ascii")) + 2


class ChangedTests(VirtualTestCase):
    """A transcript in which something is wrong cannot be played."""

    def refused(
        self,
        transcript: dict[str, Any],
        what: str = "",
        player: Callable[[dict[str, Any]], None] = play,
    ) -> str:
        """Why it cannot be played."""
        try:
            player(transcript)
        except CannotReplay as error:
            return str(error)
        raise AssertionError(f"it can be played although something is wrong: {what}")

    def changed(self, name: str) -> None:
        """Change one octet at a time, in a few places of every packet."""
        original = read(name)
        keys = SessionKeys(bytes.fromhex(original["sharedSecret"]))
        unknown = {
            event["packet"]
            for event in original["events"]
            if event["by"] == "us" and isinstance(decoded := decodeEvent(event), Reject)
            if not decoded.data
        }
        for index, event in enumerate(original["events"]):
            isKnown = event["packet"] not in unknown or event["by"] == "us"
            for what, position in places(event, keys, isKnown):
                transcript = copy.deepcopy(original)
                changed = bytearray.fromhex(event["octets"])
                changed[position] ^= 1
                transcript["events"][index]["octets"] = changed.hex()
                self.refused(transcript, f"{what} of event {index} of {name}")

    def test_octet(self) -> None:
        """One octet of any packet."""
        for name in STREAM:
            self.changed(name)

    def test_wireOctet(self) -> None:
        """The first octet of what was written at once, or the last one where it says something."""
        for name in WIRES:
            original = read(name)
            for index, event in enumerate(original["events"]):
                octets = bytes.fromhex(event["octets"])
                # The end of a head is an empty line; a control frame has only its mask.
                isSaid = len(octets) > 6 and not octets.endswith(b"\r\n")
                for position in (0, -1) if isSaid else (0,):
                    transcript = copy.deepcopy(original)
                    changed = bytearray(octets)
                    changed[position] ^= 1
                    transcript["events"][index]["octets"] = changed.hex()
                    what = f"octet {position} of event {index} of {name}"
                    self.refused(transcript, what, playWire)

    def test_secret(self) -> None:
        """Another shared secret."""
        for name in STREAM:
            transcript = read(name)
            transcript["sharedSecret"] = "00" * 32
            self.refused(transcript, name)

    def test_counted(self) -> None:
        """Our end comes to another total."""
        transcript = read("pay")
        transcript["counted"]["totals"]["1"] += 1
        self.assertIn("counted", self.refused(transcript))

    def test_account(self) -> None:
        """Our end learns something else of itself."""
        transcript = read("pay")
        transcript["account"]["assetScale"] = 2
        self.assertIn("the account was", self.refused(transcript))

    def test_another(self) -> None:
        """Our end sends something else than it did: the error says what to do."""
        transcript = read("stream-receiver")
        transcript["end"]["amount"] += 1000
        self.assertIn("make the transcripts anew", self.refused(transcript))

    def test_more(self) -> None:
        """Our end sends more than it did."""
        transcript = read("stream-receiver")
        del transcript["events"][-2:]
        error = self.refused(transcript)
        self.assertIn("nothing more", error)
        self.assertIn("make the transcripts anew", error)

    def test_less(self) -> None:
        """Our end sends less than it did."""
        transcript = read("stream-receiver")
        last = dict(transcript["events"][-2], packet=99)
        transcript["events"] += [last, dict(transcript["events"][-1], packet=99)]
        self.assertIn("packet 99 of ours was 'there' and is 'missing'", self.refused(transcript))

    def test_late(self) -> None:
        """An end that was slower then, or is now, changes nothing."""
        for name in STREAM:
            transcript = read(name)
            for event in transcript["events"]:
                event["at"] *= 1.5
            transcript["begins"] *= 1.5
            play(transcript)

    def test_keys(self) -> None:
        """Nothing of the peer's is taken for granted: its packets open with the secret alone."""
        transcript = read("ilp-protocol-stream-server")
        keys = SessionKeys(bytes.fromhex(transcript["sharedSecret"]))
        opened = [
            keys.open(decodeEvent(event).data) is not None
            for event in transcript["events"]
            if event["by"] == "peer"
        ]
        self.assertGreater(sum(opened), 10)
