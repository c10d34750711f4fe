"""
A transcript of each peer, made and replayed; with TXILPSTREAM_TRANSCRIPTS=write they are kept.
"""

from __future__ import annotations

import json
from typing import Any

from matrix import PEERS, versions
from recording import AMOUNT, ANSWERS, LIMITED, NONCE, RECEIPT_SECRET, SAYS, WE_TAKE, Recording
from scene import Peer
from transcripts import FOLDER, begin
from twisted.trial.unittest import SynchronousTestCase

from txilpstream import verifyReceipt


class PayerTests(Recording):
    """The peer comes to us."""

    async def received(
        self, name: str, role: str, peer: str, told: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """
        Let the peer pay an end of ours.

        @return: what our end counted, and what the peer said.
        """
        transcript = begin(peer, "payer", told)
        recorder = await self.recorded(transcript)
        node = await self.driver(role, peer, LIMITED)
        end: Any = self.begun(transcript, recorder, self.ownAccount)
        await self.over(end)
        credentials = end.makeCredentials()
        secret = credentials.sharedSecret.hex()
        transcript.update(destination=credentials.destinationAddress, sharedSecret=secret)
        order = {"say": SAYS.hex(), "hear": len(ANSWERS), "amount": AMOUNT}
        said = await node.ask(
            "done", address=credentials.destinationAddress, secret=secret, **order
        )
        kept = await self.kept(name, transcript, recorder, end)
        return kept["counted"], said

    async def stream(self, name: str, peer: str) -> None:
        """The reference implementation as a client."""
        told = {"kind": "server", "say": ANSWERS.hex(), "hear": len(SAYS), **WE_TAKE}
        counted, said = await self.received(name, "client", peer, told)
        (talk,) = counted["streams"]
        self.assertEqual(talk, {"heard": SAYS.hex(), "money": AMOUNT, "end": "ConnectionDone"})
        self.assertEqual((said["sent"], said["delivered"]), (str(AMOUNT), str(AMOUNT)))
        self.assertEqual(said["heard"], ANSWERS.hex())
        self.checkReceipt(said["receipt"])

    def checkReceipt(self, receipt: str) -> None:
        """The receipt that the peer got is ours, and of the whole amount."""
        total = verifyReceipt(bytes.fromhex(receipt), RECEIPT_SECRET)
        assert total is not None, receipt
        self.assertEqual(total.totalReceived, AMOUNT)

    async def payer(self, name: str, peer: str) -> dict[str, Any]:
        """The payer's library."""
        counted, said = await self.received(name, "payer", peer, {"kind": "stateless", **WE_TAKE})
        self.assertEqual(said["error"], "")
        self.assertEqual(int(said["sent"]), AMOUNT)
        self.assertEqual(counted, {"totals": {"1": AMOUNT}})
        return said

    async def test_stream(self) -> None:
        """Money, data both ways and a close, with receipts."""
        await self.stream("ilp-protocol-stream-client", "ilp-protocol-stream")

    async def test_streamAlpha(self) -> None:
        """The same with the version that was last made."""
        await self.stream("ilp-protocol-stream-alpha-client", "ilp-protocol-stream-alpha")

    async def test_pay(self) -> None:
        """A payment to a receiver without state."""
        await self.payer("pay", "pay")

    async def test_payAlpha(self) -> None:
        """The same with the version that was last made."""
        said = await self.payer("pay-alpha", "pay-alpha")
        self.checkReceipt(said["receipt"])


class PayeeTests(Recording):
    """We come to the peer."""

    async def paid(
        self, name: str, role: str, peer: str, told: dict[str, Any]
    ) -> tuple[dict[str, Any], Peer]:
        """
        Let an end of ours pay the peer.

        @return: what our end counted, and the peer.
        """
        transcript = begin(peer, "payee", told)
        recorder = await self.recorded(transcript, LIMITED)
        node = await self.driver(role, peer)
        asked = await node.ask(
            "credentials",
            say=ANSWERS.hex(),
            hear=len(SAYS),
            nonce=NONCE.hex(),
            receiptSecret=RECEIPT_SECRET.hex(),
        )
        transcript.update(destination=asked["address"], sharedSecret=asked["secret"])
        end = self.begun(transcript, recorder, self.ownAccount)
        await self.over(end)
        kept = await self.kept(name, transcript, recorder, end)
        counted = kept["counted"]
        self.assertEqual(counted["sent"], AMOUNT)
        self.assertEqual(counted["deliveredClaimed"], AMOUNT)
        receipt = verifyReceipt(bytes.fromhex(counted["receipt"]), RECEIPT_SECRET)
        assert receipt is not None, counted
        self.assertEqual(receipt.totalReceived, AMOUNT)
        return counted, node

    async def stream(self, name: str, peer: str) -> None:
        """The reference implementation as a server."""
        told = {"kind": "client", "say": SAYS.hex(), "hear": len(ANSWERS), "amount": AMOUNT}
        counted, node = await self.paid(name, "server", peer, told)
        self.assertEqual(counted["heard"], ANSWERS.hex())
        self.assertEqual((await node.hear("heard"))["heard"], SAYS.hex())

    async def test_stream(self) -> None:
        """Money, data both ways and a close, with receipts."""
        await self.stream("ilp-protocol-stream-server", "ilp-protocol-stream")

    async def test_streamAlpha(self) -> None:
        """The same with the version that was last made."""
        await self.stream("ilp-protocol-stream-alpha-server", "ilp-protocol-stream-alpha")

    async def test_receiver(self) -> None:
        """A payment with receipts."""
        told = {"kind": "payer", "amount": AMOUNT}
        await self.paid("stream-receiver", "receiver", "stream-receiver", told)

    async def test_receiverLatest(self) -> None:
        """The same with the version that answers F04 and F05."""
        told = {"kind": "payer", "amount": AMOUNT}
        await self.paid("stream-receiver-latest", "receiver", "stream-receiver-latest", told)


class KeptTests(SynchronousTestCase):
    """The transcripts that lie in the package."""

    def test_versions(self) -> None:
        """They are of the versions that are tested, and of every peer."""
        wanted = {(PEERS[peer], version) for peer, version in versions().items()}
        kept = [json.loads(path.read_text(encoding="ascii")) for path in FOLDER.glob("*.json")]
        self.assertEqual({(each["peer"], each["version"]) for each in kept}, wanted)
