"""Conformance: prices, secrets, addresses, assets, counts (RFC 29 sections 3 to 5)."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import succeed
from twisted.web.iweb import IAgent
from zope.interface import implementer

from txilpstream.amounts import Ratio
from txilpstream.crypto.credentials import Credentials, TokenReader
from txilpstream.crypto.keys import SessionKeys, conditionOf
from txilpstream.errors import ErrorCode, LocalError, PeerError
from txilpstream.ledger.memory import MemoryTotals
from txilpstream.payments.payment import pay
from txilpstream.payments.quote import quote
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.events import AssetDetailsLearned, ConnectionClosed, PeerAddressChanged
from txilpstream.spsp.client import resolve
from txilpstream.test.conformance.base import TappedTestCase, framesOf, give, openPacket
from txilpstream.test.support.connected import LEFT, Recorder, Recorders
from txilpstream.test.support.handpeer import HandPeer
from txilpstream.test.support.sessions import End, Pair, converting, limiting
from txilpstream.test.support.virtual import VirtualTestCase
from txilpstream.testing import Latency, Rate
from txilpstream.transport.stateless import StatelessReceiver, StatelessRequest
from txilpstream.wire.frames import (
    ConnectionAssetDetails,
    ConnectionClose,
    ConnectionNewAddress,
    StreamData,
    StreamMoney,
)
from txilpstream.wire.ildcp import AccountDetails
from txilpstream.wire.ilp import decodePrepare, decodeReply

SECRET = bytes(range(32))

EUR = AccountDetails("test.right", 6, "EUR")


class RateTests(TappedTestCase):
    """What something costs, and how little may arrive."""

    def setUp(self) -> None:
        """A path that makes 92 micro-euros of 100,000 nano-dollars."""
        super().setUp()
        hops = [Latency(0.02), Rate(Ratio(92, 100_000))]
        self.path = self.joinBy(*hops, left=LEFT, right=EUR)
        self.listen(Recorder)
        self.credentials = self.server.generateCredentials()

    def test_S2_ownUnits(self) -> None:
        """A price in the receiver's units is told in our own, by the rate of the path."""
        told = self.after(quote(self.left, self.credentials, destinationAmount=9200))
        self.assertIn(told.expectedSource, range(10**7, 10**7 + 20_000))
        self.assertEqual(self.path.taken("left"), 0)

    def test_S3_arrivedBySent(self) -> None:
        """The rate is what arrived by what was sent, as bounds."""
        connection = self.after(self.client.connect(self.credentials))
        near = self.successResultOf(connection.openStream(Recorders()))
        self.after(near.transport.sendMoney(10**7), 10)
        rate = connection.session.exchangeRate
        self.assertTrue(rate.low <= Ratio(92, 100_000) <= rate.high)
        self.assertLess(Ratio(91, 100_000), rate.low)
        self.assertLess(rate.high, Ratio(93, 100_000))

    def test_S4_testPacket(self) -> None:
        """The rate is asked for with packets that nobody can fulfill; no money moves."""
        self.run_()
        asked = quote(self.left, self.credentials, sourceAmount=10**7)
        self.assertIn(self.after(asked).expectedDelivery, range(9190, 9201))
        keys = SessionKeys(self.credentials.sharedSecret)
        prepares = [each.prepare for each in self.sent(hasMoney=True)]
        self.assertNotEqual(prepares, [])
        for prepare in prepares:
            fulfilling = conditionOf(keys.fulfillment(prepare.data))
            self.assertNotEqual(prepare.executionCondition, fulfilling)
        self.assertEqual((self.path.taken("left"), self.served.made), (0, []))


class MinimumTests(VirtualTestCase):
    """The least that may arrive of each packet."""

    def test_S5_minimumIsSet(self) -> None:
        """Each packet of money demands its part by the rate, less the slippage."""
        pair = Pair()
        pair.client.out = converting(Ratio(9, 10), limiting(10_000))
        pair.pay(100_000)
        demands = []
        for prepare in pair.client.prepares:
            packet = openPacket(pair.keys, prepare.data)
            assert packet is not None
            if packet.prepareAmount:
                demands.append((prepare.amount, packet.prepareAmount))
        self.assertGreaterEqual(sum(amount for amount, _ in demands), 100_000)
        for amount, minimum in demands:
            self.assertGreaterEqual(minimum, amount * 9 * 98 // 1000)
            self.assertLessEqual(minimum, amount * 9 // 10)

    def test_S6_belowMinimum(self) -> None:
        """Less than the sender demands is not fulfilled; as much is."""
        peer = HandPeer()
        money = StreamMoney(1, 1)
        self.assertEqual(peer.send(money, amount=9, minimum=10, receiveMax=100).code, "F99")
        self.assertEqual(peer.state.streams.get(1).moneyIn.totalReceived, 0)
        self.assertEqual(peer.send(money, amount=10, minimum=10).code, "")

    def test_S6_nothingOfDataEither(self) -> None:
        """Nor is what has no money at all."""
        self.assertEqual(HandPeer().send(StreamData(1, 0, b"x"), minimum=1).code, "F99")


class SecretTests(TappedTestCase):
    """Credentials, and addresses that carry them."""

    def test_C6_S8_encryptedChannel(self) -> None:
        """Credentials are not asked for over plain http but on this machine or on demand."""
        asked: list[bytes] = []

        @implementer(IAgent)
        class Agent:
            def request(self, method: bytes, uri: bytes, *rest: Any) -> Any:
                asked.append(uri)
                return succeed(None)

        error = self.assertRaises(LocalError, resolve, Agent(), "http://bob.example/pay")
        self.assertIn("https", str(error))
        self.assertEqual(asked, [])
        for pointer, isInsecure in (
            ("https://bob.example/pay", False),
            ("http://127.0.0.1/pay", False),
            ("http://bob.example/pay", True),
        ):
            asking = resolve(Agent(), pointer, clock=self.clock, isInsecure=isInsecure)
            asking.addErrback(lambda _: None)
        self.assertEqual(len(asked), 3)

    def test_S10_secretLength(self) -> None:
        """Shared secrets have 32 octets, each other ones."""
        self.listen()
        made = [self.server.generateCredentials().sharedSecret for _ in range(20)]
        self.assertEqual({len(secret) for secret in made}, {32})
        self.assertEqual(len(set(made)), 20)
        for length in (0, 16, 31, 33):
            self.assertRaises(LocalError, Credentials, "test.bob", bytes(length))

    def test_S11_stateless(self) -> None:
        """A server with the same secret knows addresses that another one gave."""
        given = TokenReader(SECRET).generateCredentials("test.right", connectionTag="bill")
        self.listen(secret=SECRET)
        self.connection = self.after(self.client.connect(given))
        self.openStream().transport.write(b"!")
        self.run_()
        self.assertEqual(self.served.peers[0].connectionTag, "bill")
        text = given.destinationAddress.split(".")[-1]
        self.assertEqual(TokenReader(bytes(32)).read(text)[0], None)

    def test_S11_statelessReceiver(self) -> None:
        """A receiver that keeps no connection at all knows them too, packet by packet."""
        given = TokenReader(SECRET).generateCredentials("test.right", connectionTag="bill")
        tags: list[str] = []

        def accept(request: StatelessRequest) -> bool:
            tags.append(request.connectionTag)
            return True

        for amount in (100, 50):
            receiver = StatelessReceiver(self.right, SECRET, MemoryTotals(), accept=accept)
            self.successResultOf(receiver.start())
            paid = self.after(pay(self.left, given, sourceAmount=amount), 10)
            self.assertEqual(paid.sent, amount)
            self.successResultOf(receiver.stop())
        self.assertEqual(set(tags), {"bill"})

    def test_S12_moreSegments(self) -> None:
        """Segments behind those of the address that was given lead to the same connection."""
        self.listen()
        given = self.server.generateCredentials()
        longer = Credentials(given.destinationAddress + ".and.more", given.sharedSecret)
        self.connection = self.after(self.client.connect(longer))
        near = self.openStream()
        near.transport.write(b"!")
        self.assertEqual(self.after(near.transport.sendMoney(5), 5).sent, 5)
        self.assertEqual(self.served.made[0].data, b"!")
        self.assertEqual(list(self.server.connections), [given.destinationAddress.split(".")[-1]])


class AddressTests(TappedTestCase):
    """Where the client is."""

    def test_S14_clientTells(self) -> None:
        """The first packet of a client has its address; so the server can send first."""

        class Greeting(Recorder):
            def connectionMade(self) -> None:
                self.transport.write(b"hello")
                self.transport.sendMoney(3)

        self.listen(Greeting)
        near = self.open()
        [told] = [f for f in self.sent()[0].packet.frames if isinstance(f, ConnectionNewAddress)]
        self.assertEqual(told.sourceAddress, self.connection.sourceAddress)
        self.assertTrue(told.sourceAddress.startswith("test.left."))
        self.run_(5)
        self.assertEqual((near.data, near.amounts), (b"hello", [3]))

    def test_S15_optional(self) -> None:
        """Without an address a client pays and writes, and hears limits and ends in answers."""
        self.left.address = ""
        self.listen()
        near = self.open()
        near.transport.write(b"!")
        self.assertEqual(self.after(near.transport.sendMoney(50), 5).sent, 50)
        self.assertEqual({frame.sourceAddress for frame in self.said(ConnectionNewAddress)}, {""})
        far = self.served.made[0]
        self.assertEqual(far.data, b"!")
        near.transport.write(b"x" * 200_000)
        self.run_(10)
        self.assertEqual(len(far.data), 200_001)
        far.transport.loseWriteConnection()
        near.transport.write(b"?")
        self.run_(5)
        self.assertEqual((near.happened, self.sent("right")), (["made", "end"], []))

    def test_S17_onlyInPrepares(self) -> None:
        """Addresses stand in Prepares of the client and in no answer."""
        self.listen()
        near = self.open()
        near.transport.write(b"!")
        self.after(near.transport.sendMoney(50), 5)
        for side in ("left", "right"):
            self.assertEqual(self.answered(ConnectionNewAddress, side), [])
        self.assertNotEqual(self.said(ConnectionNewAddress), [])


class MigrationTests(VirtualTestCase):
    """A client that moves."""

    def setUp(self) -> None:
        """A server that has much to send."""
        self.pair = pair = Pair(None, {"fragmentSize": 1000})
        pair.pay(10)
        self.streamID = pair.server.open()
        pair.run(1)
        pair.server.session.sendData(self.streamID, bytes(1_000_000))

    def drain(self) -> list[str]:
        """Where all goes that leaves within a second, of which nothing arrives."""
        places = []
        for _ in range(20):
            while packet := self.pair.server.session.nextPacket(now=self.pair.now):
                prepare = decodePrepare(packet.data)
                self.pair.server.prepares.append(prepare)
                self.last = packet.sequence, prepare
                places.append(prepare.destination)
            self.pair.now += 0.05
        return places

    def test_S16_anyTime(self) -> None:
        """A client may tell another address at any time; packets go there from then on."""
        for address in ("test.b", "test.c"):
            give(self.pair, ConnectionNewAddress(address))
            self.assertEqual(self.pair.server.events[-1], PeerAddressChanged(address))
            self.assertEqual(self.pair.server.session.peerAddress, address)
            self.drain()
        self.assertEqual(self.pair.server.prepares[-1].destination, "test.b")

    def test_S18_S19_validation(self) -> None:
        """Four packets at most wait for an answer of a new address before it has proved itself."""
        self.assertGreater(len(self.drain()), 4)
        self.pair.run(30)
        pair = self.pair = Pair(None, {"fragmentSize": 1000})
        pair.pay(10)
        streamID = pair.server.open()
        pair.run(1)
        give(pair, ConnectionNewAddress("test.elsewhere"))
        pair.server.session.sendData(streamID, bytes(1_000_000))
        self.assertEqual(self.drain(), ["test.elsewhere"] * 4)
        self.assertEqual(self.drain(), [])
        sequence, prepare = self.last
        pair.server.session.receiveReply(sequence, b"\x0e\x00", now=pair.now)
        self.assertEqual(len(self.drain()), 1)
        answer = pair.deliver(pair.client, prepare)
        sequence, prepare = self.last
        answer = pair.deliver(pair.client, prepare)
        pair.server.session.receiveReply(sequence, answer, now=pair.now)
        self.assertGreater(len(self.drain()), 4)

    def test_S18_oldAddress(self) -> None:
        """An answer to a packet that went to the old address says nothing of the new one."""
        pair = self.pair = Pair(None, {"fragmentSize": 1000})
        pair.pay(10)
        streamID = pair.server.open()
        pair.run(1)
        pair.server.session.sendData(streamID, bytes(1_000_000))
        packet = pair.server.session.nextPacket(now=pair.now)
        assert packet is not None
        give(pair, ConnectionNewAddress("test.victim"))
        answer = pair.deliver(pair.client, decodePrepare(packet.data))
        pair.server.session.receiveReply(packet.sequence, answer, now=pair.now)
        self.assertEqual(self.drain(), ["test.victim"] * 4)


class AssetTests(VirtualTestCase):
    """Assets of both ends."""

    def test_S20_S23_told(self) -> None:
        """Both ends tell their asset as soon as they can: in the first packet and its answer."""
        pair = Pair()
        pair.pay(10)
        first = openPacket(pair.keys, pair.client.prepares[0].data)
        answer = openPacket(pair.keys, decodeReply(pair.client.replies[0][1]).data)
        assert first is not None and answer is not None
        self.assertIn(ConnectionAssetDetails("USD", 9), first.frames)
        self.assertIn(ConnectionAssetDetails("EUR", 6), answer.frames)
        self.assertEqual(pair.server.seen(AssetDetailsLearned), [AssetDetailsLearned("USD", 9)])
        self.assertEqual(pair.client.session.peerAsset, ("EUR", 6))

    def test_S21_neverChanged(self) -> None:
        """What an end says of its own asset is the same to the end."""
        pair = Pair()
        for address in ("test.b", "test.c", "test.client", "test.d"):
            pair.pay(10)
            reply = give(pair, ConnectionNewAddress(address))
            self.assertEqual(reply.only(ConnectionAssetDetails), [ConnectionAssetDetails("EUR", 6)])
        said = framesOf(pair, pair.client.prepares, ConnectionAssetDetails)
        self.assertEqual({(f.sourceAssetCode, f.sourceAssetScale) for f in said}, {("USD", 9)})

    def test_S22_conflictCloses(self) -> None:
        """A peer that says another asset than before is closed: ProtocolViolation."""
        for other in (("USD", 2), ("EUR", 9)):
            pair = Pair()
            pair.pay(10)
            self.assertEqual(give(pair, ConnectionAssetDetails("USD", 9)).code, "")
            reply = give(pair, ConnectionAssetDetails(*other))
            [close] = reply.only(ConnectionClose)
            self.assertEqual(close.errorCode, ErrorCode.PROTOCOL_VIOLATION)
            [closed] = pair.server.seen(ConnectionClosed)
            assert isinstance(closed.error, PeerError)
            self.assertIn(repr(other), closed.error.message)


class CountTests(VirtualTestCase):
    """How much one key encrypts."""

    def test_S37_limit(self) -> None:
        """It is 2^31 packets if nothing less is asked for, and never more."""
        self.assertEqual(SessionConfiguration().maximumPacketCount, 1 << 31)
        with self.assertRaises(LocalError):
            SessionConfiguration(maximumPacketCount=(1 << 31) + 1)

    def test_S37_prepares(self) -> None:
        """The last packet that a key may encrypt closes the connection at both ends."""
        pair = Pair({"maximumPacketCount": 12, "minimumRate": Ratio(1), "sourceAddress": ""})
        pair.client.out = limiting(1)
        pair.pay(100)
        self.assertEqual(self.encrypted(pair, pair.client, pair.server), 12)
        self.assertNotEqual(framesOf(pair, pair.client.prepares[-1:], ConnectionClose), [])
        for end in (pair.client, pair.server):
            self.assertTrue(end.session.isClosed)

    def encrypted(self, pair: Pair, end: End, peer: End) -> int:
        """How many packets an end has encrypted, of both kinds."""
        sealed = [decodeReply(reply).data for _, reply in peer.replies]
        sealed += [prepare.data for prepare in end.prepares]
        return len([data for data in sealed if openPacket(pair.keys, data) is not None])

    def assertBothCount(self, pair: Pair, end: End, peer: End) -> None:
        """Of twelve that an end may encrypt it has encrypted no more, and all is over."""
        pair.client.out = limiting(1)
        pair.pay(100)
        self.assertLessEqual(self.encrypted(pair, end, peer), 12)
        for each in (end, peer):
            self.assertTrue(each.session.isClosed)
            self.assertEqual(len(each.seen(ConnectionClosed)), 1)

    def test_S37_repliesCount(self) -> None:
        """Answers count too: an end that mostly answers encrypts no more than it may."""
        pair = Pair({"minimumRate": Ratio(1)}, {"maximumPacketCount": 12})
        self.assertBothCount(pair, pair.server, pair.client)

    def test_S37_bothKindsCount(self) -> None:
        """So does one that mostly sends."""
        pair = Pair({"minimumRate": Ratio(1), "maximumPacketCount": 12})
        self.assertBothCount(pair, pair.client, pair.server)

    def test_S37_unreachableClient(self) -> None:
        """That holds where the client cannot be reached: it hears in an answer that it is over."""
        pair = Pair({"sourceAddress": "", "minimumRate": Ratio(1)}, {"maximumPacketCount": 12})
        pair.client.out = limiting(1)
        pair.pay(100)
        self.assertTrue(pair.server.session.isClosed)
        self.assertTrue(pair.client.session.isClosed)
        self.assertLessEqual(pair.server.credited, 12)
