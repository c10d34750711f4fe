"""Conformance: what this package chose where the RFCs are silent or contradict themselves."""

from __future__ import annotations

from collections.abc import Callable

from txilpstream.crypto.credentials import Credentials
from txilpstream.crypto.keys import SessionKeys
from txilpstream.crypto.tokens import TokenFormats
from txilpstream.errors import ErrorCode
from txilpstream.ledger.memory import MemoryTotals
from txilpstream.session.events import SendingEnded
from txilpstream.test.conformance.base import TappedTestCase, counted, framesOf
from txilpstream.test.support.handpeer import HandPeer
from txilpstream.test.support.sessions import Pair
from txilpstream.test.support.virtual import VirtualTestCase
from txilpstream.transport.stateless import StatelessReceiver
from txilpstream.wire import frames
from txilpstream.wire.frames import ConnectionNewAddress, StreamClose, StreamData, StreamMoney
from txilpstream.wire.ilp import decodeReply, encodePrepare, encodeTimestamp

MONEY = StreamMoney(1, 1)


class ChoiceTests(VirtualTestCase):
    """Over sessions and by hand."""

    def test_C1_refusalHears(self) -> None:
        """A refusal of the peer's says that the control frames were seen: they are not repeated."""
        pair = Pair()
        pair.server.isAccepting = lambda incoming: False
        streamID = pair.client.open()
        pair.client.session.sendMoney(streamID, 50)
        pair.client.session.sendData(streamID, b"bytes")
        idle = pair.client.open()
        pair.client.session.closeStream(idle)
        pair.run(20)
        self.assertEqual(pair.client.seen(SendingEnded), [SendingEnded(idle)])
        self.assertGreater(len(pair.client.prepares), 3)
        self.assertEqual(len(framesOf(pair, pair.client.prepares, ConnectionNewAddress)), 1)
        data = [f for f in framesOf(pair, pair.client.prepares, StreamData) if f.data]
        self.assertGreater(len(data), 1)
        self.assertEqual(pair.server.session.peerAddress, "test.client")

    def test_C2_whatOpens(self) -> None:
        """Money, bytes and the limits of either open a stream; nothing else does."""
        for frame in (
            MONEY,
            StreamData(1, 0, b""),
            frames.StreamMaxMoney(1, 5, 0),
            frames.StreamMaxData(1, 5),
        ):
            peer = HandPeer()
            peer.send(frame)
            self.assertEqual(list(peer.state.streams.open), [1], frame)
        for other in (
            StreamClose(1, 1),
            frames.StreamMoneyBlocked(1, 5, 0),
            frames.StreamDataBlocked(1, 5),
            frames.StreamReceipt(1, bytes(58)),
        ):
            peer = HandPeer()
            peer.send(other)
            self.assertEqual(list(peer.state.streams.open), [], other)

    def test_C2_senderOpensByData(self) -> None:
        """As a sender we open a stream with bytes or money, be they none."""
        pair = Pair()
        pair.client.open(1 << 40)
        pair.run(1)
        first = framesOf(pair, pair.client.prepares[:1], StreamData)
        self.assertEqual(first, [StreamData(1, 0, b"")])

    def test_C3_tolerance(self) -> None:
        """One percent of what remains, rounded up, may come on top; more is refused."""
        for remaining, most in ((100, 101), (1000, 1010), (1, 2), (150, 152), (0, 0)):
            peer = HandPeer()
            peer.send(MONEY, receiveMax=remaining)
            self.assertEqual(peer.send(MONEY, amount=most + 1).code, "F99")
            self.assertEqual(peer.send(MONEY, amount=most).code, "")
            self.assertFalse(peer.state.isClosed)

    def test_C4_bothKindsCount(self) -> None:
        """What counts towards the most packets of a key is each that we encrypt, of both kinds."""
        peer = HandPeer()
        for _ in range(5):
            peer.send(MONEY)
        self.assertEqual(peer.state.encrypted, 5)
        pair = Pair()
        before = pair.client.session.packetsLeft
        pair.pay(10)
        answers = [decodeReply(reply).data for _, reply in pair.server.replies]
        sealed = [data for data in answers if pair.keys.open(data) is not None]
        self.assertNotEqual(sealed, [])
        used = before - pair.client.session.packetsLeft
        self.assertEqual(used, len(pair.client.prepares) + len(sealed))

    def test_C5_S52_nothingDropped(self) -> None:
        """What no stream can take makes the packet refused; no unit is lost."""
        peer = HandPeer()
        said = [MONEY, StreamMoney(3, 1)]
        peer.send(*said, receiveMax=50)
        self.assertEqual(peer.send(*said, amount=101).code, "F99")
        self.assertEqual(peer.send(StreamMoney(1, 0), amount=1).code, "F99")
        self.assertEqual(peer.send(amount=1).code, "F99")
        self.assertEqual(peer.send(*said, amount=100).code, "")
        totals = [stream.moneyIn.totalReceived for stream in peer.state.streams.open.values()]
        self.assertEqual(totals, [50, 50])

    def test_C7_zeroAmounts(self) -> None:
        """What can be fulfilled and has no money is fulfilled, whatever streams it names."""
        peer = HandPeer()
        for said in (
            [],
            [MONEY],
            [StreamClose(1, 1)],
            [StreamClose(1, 1)],
            [StreamData(1, 0, b"late")],
            [StreamClose(99, ErrorCode.APPLICATION_ERROR)],
            [frames.ConnectionClose(1)],
            [frames.ConnectionClose(1)],
            [StreamClose(1, 1), MONEY],
        ):
            self.assertEqual(peer.send(*said).code, "", said)


class StrangerTests(TappedTestCase):
    """Over an account."""

    def test_C8_sameAnswer(self) -> None:
        """A bad token and a bad key get the same octets, also as the first packet of an address."""
        self.listen()
        answers = []
        good = self.server.generateCredentials().destinationAddress
        for destination in (good, "test.right.stranger", good + "A", "test.right." + "A" * 90):
            packet = encodePrepare(5, encodeTimestamp(30), bytes(32), destination, bytes(80))
            answers.append(self.right.receivePrepare(packet))
        self.opened()
        known = self.credentials.destinationAddress
        packet = encodePrepare(5, encodeTimestamp(30), bytes(32), known, bytes(80))
        answers.append(self.right.receivePrepare(packet))
        self.assertGreater(len(answers), 3)
        self.assertEqual(len(set(answers)), 1)
        self.assertIn(b"F06", answers[0])
        self.assertEqual(len(self.server.connections), 1)

    def assertSameWork(self, makeCredentials: Callable[[], Credentials]) -> None:
        """However bad an address is, as much is derived, read and decrypted for it."""
        work: dict[str, int] = {}
        for owner, name in (
            (SessionKeys, "__init__"),
            (SessionKeys, "open"),
            (TokenFormats, "read"),
        ):
            self.patch(owner, name, counted(work, name, getattr(owner, name)))
        for index in range(8):
            token = makeCredentials().destinationAddress.rpartition(".")[2]
            stranger = f"stranger{index}"
            for text in (token, token[:-9] + "A" * 9, stranger, stranger.ljust(len(token), "~")):
                packet = encodePrepare(
                    5, encodeTimestamp(30), bytes(32), f"test.right.{text}", bytes(80)
                )
                work.clear()
                answer = self.right.receivePrepare(packet)
                assert isinstance(answer, bytes)
                self.assertIn(b"F06", answer)
                self.assertEqual(work, {"__init__": 1, "open": 1, "read": 1}, text)

    def test_C8_sameWork(self) -> None:
        """A server does as much for a bad token as for a bad key."""
        self.listen()
        self.assertSameWork(self.server.generateCredentials)

    def test_C8_sameStatelessWork(self) -> None:
        """So does a receiver without state."""
        receiver = StatelessReceiver(self.right, bytes(32), MemoryTotals())
        self.after(receiver.start())
        self.assertSameWork(receiver.generateCredentials)
