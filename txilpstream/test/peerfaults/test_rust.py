"""Faults of interledger-rs that are none of ours."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from twisted.internet.defer import Deferred

from txilpstream.amounts import U64_MAX, Ratio
from txilpstream.crypto import keys
from txilpstream.crypto.credentials import Credentials
from txilpstream.crypto.keys import SessionKeys
from txilpstream.errors import ConnectionEnded, ErrorCode, PeerError
from txilpstream.interfaces import NotSent, PaymentError, Refusal
from txilpstream.payments.test.test_payment import Doorkeeper, PaymentTestCase
from txilpstream.plugins.btp.link import BTPLink
from txilpstream.plugins.btp.test.test_client import ClientTestCase
from txilpstream.plugins.btp.test.test_link import ILP, LinkTestCase
from txilpstream.session import acknowledgements, receiver
from txilpstream.session.congestion.maxpacket import MaxPacket
from txilpstream.session.events import ConnectionClosed, MoneyFailed, StreamClosed
from txilpstream.spsp.pointers import pointerToURL
from txilpstream.spsp.test.test_client import URL, Answer, ResolveTestCase
from txilpstream.test.conformance.base import counted
from txilpstream.test.support.handpeer import HandPeer
from txilpstream.test.support.sessions import Pair, limiting, rejecting, settled
from txilpstream.test.support.virtual import VirtualTestCase
from txilpstream.testing import Hop, Latency, MaximumPacketAmount, Transit
from txilpstream.transport.test.test_stateless import ReceiverCase
from txilpstream.wire.btp import BTPMessage, BTPResponse, ProtocolData
from txilpstream.wire.frames import StreamClose, StreamData, StreamMoney
from txilpstream.wire.ilp import Prepare, Reject, decodeReply, encodeAmountTooLarge
from txilpstream.wire.packet import FULFILL, REJECT, encodePacket


class PacketAmountTests(VirtualTestCase):
    """F08, by whoever wrote it."""

    def test_hostileAmountsDoNotOverflow(self) -> None:
        """interledger-rs: it multiplies and divides what an F08 says as it stands, by 0 too."""
        for received, maximum in ((0, 0), (0, U64_MAX), (1, U64_MAX), (U64_MAX, U64_MAX), (5, 0)):
            data = encodeAmountTooLarge(received, maximum)
            pair = Pair()
            pair.client.out = lambda prepare, data=data: (  # type: ignore[misc]
                rejecting("F08", data) if prepare.amount > 100 else None
            )
            pair.pay(3000, 60)
            self.assertEqual(settled(pair.client), 3000, (received, maximum))
        hostile = [b"\x01", bytes(15), bytes(17), encodeAmountTooLarge(U64_MAX, U64_MAX - 1)]
        for amount in (2, 1000, U64_MAX):
            for data in hostile:
                limit = MaxPacket(U64_MAX)
                self.assertTrue(limit.refused(amount, data, now=0.0))
                self.assertIn(limit.limit, range(1, amount))

    def test_packetAmountNeverBecomesZero(self) -> None:
        """interledger-rs: a maximum of 0 is a loop that sends packets of nothing for 30 s."""
        pair = Pair()

        def out(prepare: Prepare) -> bytes | None:
            isMoney = prepare.amount > 0
            return rejecting("F08", encodeAmountTooLarge(U64_MAX, 1)) if isMoney else None

        pair.client.out = out
        streamID = pair.pay(1000, 100)
        self.assertGreater(pair.client.session.mostPerPacket, 0)
        self.assertLess(len(pair.client.prepares), 200)
        ended = [*pair.client.seen(ConnectionClosed), *pair.client.seen(MoneyFailed)]
        self.assertNotEqual(ended, [])
        self.assertEqual(pair.client.streams[streamID].moneyOut.unanswered, 0)

    def test_rejectWithoutAmountsMakesPacketsSmaller(self) -> None:
        """interledger-rs: an F08 without data changes nothing, and the same packet goes again."""
        pair = Pair()
        pair.client.out = limiting(50, withAmounts=False)
        pair.pay(10_000, 30)
        self.assertEqual(settled(pair.client), 10_000)
        refused = [prepare for prepare in pair.client.prepares if prepare.amount > 50]
        self.assertLess(len(refused), 60)


class TryingTests(VirtualTestCase):
    """How often, and how much at once."""

    def test_temporaryErrorsSlowDown(self) -> None:
        """interledger-rs: after T05, T03, T00 and F99 it sends again without any pause."""
        for code in ("T00", "T03", "T05"):
            pair = Pair()
            pair.client.out = lambda prepare, code=code: rejecting(code)  # type: ignore[misc]
            pair.pay(1000, 20)
            self.assertIn(len(pair.client.prepares), range(2, 40), code)
        pair = Pair()
        pair.server.isAccepting = lambda incoming: False
        pair.pay(1000, 20)
        self.assertIn(len(pair.client.prepares), range(2, 40))

    def test_paymentIsNotSentAllAtOnce(self) -> None:
        """interledger-rs: as many tasks as there are packets begin in the first moment."""
        pair = Pair({"minimumRate": Ratio(1), "maximumPacketAmount": 1})
        pair.pay(1_000_000, 0.04)
        self.assertIn(len(pair.client.prepares), range(2, 30))
        pair.run(0.1)
        self.assertIn(len(pair.client.prepares), range(20, 200))

    def test_packetCountIsLimited(self) -> None:
        """interledger-rs: nothing counts how often a key has encrypted."""
        pair = Pair({"maximumPacketAmount": 1, "maximumPacketCount": 100, "minimumRate": Ratio(1)})
        pair.pay(1000, 100)
        self.assertTrue(pair.client.session.isClosed)
        self.assertLessEqual(len(pair.client.prepares), 100)
        self.assertLess(pair.server.credited, 100)


class PeerWordTests(VirtualTestCase):
    """What the other side says counts."""

    def paying(self) -> tuple[Pair, int]:
        """A pair in the middle of a payment."""
        settings = {"maximumPacketAmount": 10, "maximumPacketsPerSecond": 200}
        pair = Pair({"minimumRate": Ratio(1), **settings})
        streamID = pair.pay(1_000_000, 1)
        self.assertIn(pair.server.credited, range(1, 1_000_000))
        return pair, streamID

    def test_connectionCloseIsHeard(self) -> None:
        """interledger-rs: a receiver that closes is sent money all the same."""
        pair, _ = self.paying()
        pair.server.session.abort(ConnectionEnded("enough"), ErrorCode.APPLICATION_ERROR, "enough")
        pair.run(0.2)
        count = len(pair.client.prepares)
        pair.run(30)
        self.assertLessEqual(len(pair.client.prepares), count + 1)
        [closed] = pair.client.seen(ConnectionClosed)
        self.assertIn("enough", str(closed.error))

    def test_streamCloseIsHeard(self) -> None:
        """interledger-rs: the same with a stream."""
        pair, streamID = self.paying()
        pair.server.session.abortStream(streamID, None, ErrorCode.APPLICATION_ERROR, "enough")
        pair.run(0.2)
        before = pair.server.credited
        money = [prepare for prepare in pair.client.prepares if prepare.amount]
        pair.run(30)
        self.assertEqual(money, [prepare for prepare in pair.client.prepares if prepare.amount])
        self.assertEqual(pair.server.credited, before)
        [closed] = pair.client.seen(StreamClosed)
        assert isinstance(closed.error, PeerError)
        self.assertEqual(closed.error.message, "enough")

    def test_streamMaxMoneyIsHeard(self) -> None:
        """interledger-rs: the same with a limit."""
        pair = Pair({"minimumRate": Ratio(1), "maximumPacketAmount": 10})
        pair.server.receiveMax = 200
        pair.pay(1000, 30)
        self.assertIn(pair.server.credited, (200, 202))
        refused = [decodeReply(answer) for _, answer in pair.client.replies]
        self.assertLess(sum(isinstance(reply, Reject) for reply in refused), 30)

    def test_receiverChecksThePacketType(self) -> None:
        """interledger-rs, Quilt, Dassie: what is inside a Prepare may call itself a Fulfill."""
        peer = HandPeer()
        peer.send(StreamMoney(1, 1), amount=1, receiveMax=1000)
        for kind in (FULFILL, REJECT):
            prepare = peer.prepareOf(encodePacket(9, kind, 0, [StreamMoney(1, 1)]), 5)
            answer = peer.receiver.answer(peer.receive(prepare), True, 1_700_000_000.0)
            reply = decodeReply(answer)
            assert isinstance(reply, Reject)
            self.assertEqual((reply.code, reply.data), ("F06", b""))
        self.assertEqual(peer.state.streams.open[1].moneyIn.totalReceived, 1)

    def test_framesAreParsedOnce(self) -> None:
        """interledger-rs: the frames of each packet are parsed two or three times."""
        counts: dict[str, int] = {}
        for module in (receiver, acknowledgements):
            self.patch(module, "decodePacket", counted(counts, "calls", module.decodePacket))
        pair = Pair({"maximumPacketAmount": 10})
        pair.pay(1000, 20)
        packets = sum(len(end.prepares) for end in (pair.client, pair.server))
        self.assertEqual(settled(pair.client), 1000)
        self.assertEqual(counts, {"calls": 2 * packets})

    def test_keysAreDerivedOnce(self) -> None:
        """interledger-rs: keys are derived anew for each packet."""
        counts: dict[str, int] = {}
        self.patch(keys, "AESGCM", counted(counts, "calls", AESGCM))
        pair = Pair({"maximumPacketAmount": 10})
        pair.keys = SessionKeys(bytes(32))
        pair.pay(1000, 20)
        self.assertEqual(settled(pair.client), 1000)
        self.assertEqual(counts, {"calls": 2})


class DataTests(ReceiverCase):
    """Bytes for a receiver that wants none."""

    def test_dataIsNotIgnoredInSilence(self) -> None:
        """interledger-rs: bytes are fulfilled, and nobody ever reads them."""
        self.receive()
        reply = self.send(StreamMoney(1, 1), StreamData(1, 0, b"for tea"), amount=5)
        [close] = [frame for frame in reply.frames if isinstance(frame, StreamClose)]
        self.assertEqual((reply.code, close.errorMessage), ("F99", "no data is taken here"))
        self.assertEqual(self.totals.total(self.connectionID), 0)


class PaymentTests(PaymentTestCase):
    """Payments that fail half way."""

    def test_partialTotalsSurviveAnError(self) -> None:
        """interledger-rs: an error says nothing of what was sent before."""

        class Ending(Hop):
            def receivePrepare(self, packet: Transit) -> Reject | None:
                isOver = packet.side == "left" and self.path.taken("left") >= 500
                return self.reject("F00") if isOver and packet.sourceAmount else None

        self.start(MaximumPacketAmount(100), Ending())
        error, _ = self.timed(self.pay(sourceAmount=100_000))
        self.assertIsInstance(error, PaymentError)
        self.assertGreaterEqual(error.result.sent, 500)
        self.assertEqual((error.result.sent, error.result.inDoubt), (self.received(), 0))

    def test_errorWaitsForPacketsInFlight(self) -> None:
        """interledger-rs: it returns while packets are on their way that are paid later."""
        policy = Doorkeeper(*[True] * 20, Refusal("enough"))
        self.start(Latency(0.5), MaximumPacketAmount(100), policy=policy)
        error, _ = self.timed(self.pay(sourceAmount=100_000, rate=Ratio(1)))
        self.assertIn("enough", str(error))
        self.assertEqual((error.result.sent, error.result.inDoubt), (self.received(), 0))
        self.assertGreater(error.result.sent, 0)
        self.assertEqual(self.path.taken("left"), error.result.sent)


class LinkTests(LinkTestCase):
    """BTP."""

    def test_slowAnswerHoldsNobodyUp(self) -> None:
        """interledger-rs: requests of all peers are worked on one after the other."""
        self.answerLater()
        self.say(BTPMessage(1, ILP), BTPMessage(2, ILP))
        other = LinkTestCase("setUp")
        other.setUp()
        other.answerAtOnce()
        other.say(BTPMessage(1, ILP))
        self.assertEqual(len(other.heard()), 1)
        self.answers[1].callback(b"b")
        self.assertEqual(self.heard(), [BTPResponse(2, [ProtocolData("ilp", 0, b"b")])])

    def test_answerAtOnceFindsItsRequest(self) -> None:
        """interledger-rs: who waits for an answer is noted after the request was sent."""
        write = self.raw.transport.write

        def answering(data: bytes) -> None:
            write(data)
            self.raw.transport.write = write  # type: ignore[method-assign]
            self.say(BTPResponse(256, [ProtocolData("ilp", 0, b"A")]))

        self.raw.transport.write = answering  # type: ignore[method-assign]
        self.assertEqual(self.successResultOf(self.link.sendData(b"a")), b"A")
        self.assertEqual(self.link.unexpectedAnswers, 0)

    def test_requestsOfTwoPeersAreNotConfused(self) -> None:
        """interledger-rs: one table of request ids serves all accounts."""
        other = LinkTestCase("setUp")
        other.setUp()
        self.assertIsInstance(other.link, BTPLink)
        here, there = self.link.sendData(b"a"), other.link.sendData(b"b")
        other.say(BTPResponse(256, [ProtocolData("ilp", 0, b"B")]))
        self.assertNoResult(here)
        self.assertEqual(self.successResultOf(there), b"B")
        self.say(BTPResponse(256, [ProtocolData("ilp", 0, b"A")]))
        self.assertEqual(self.successResultOf(here), b"A")

    def test_errorIsSentBack(self) -> None:
        """interledger-rs: who asks what cannot be answered waits until the time is over."""
        self.link.registerDataHandler(lambda data: 1 // 0)  # type: ignore[arg-type, return-value]
        self.say(BTPMessage(1, ILP))
        [response] = self.heard()
        reply = decodeReply(response.protocolData[0].data)
        assert isinstance(reply, Reject)
        self.assertEqual(reply.code[0], "T")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.say(BTPMessage(2, [ProtocolData("gossip", 0, b"?")]))
        self.assertRefused(2)


class LoginTests(ClientTestCase):
    """BTP's first message."""

    def test_loginIsWaitedFor(self) -> None:
        """interledger-rs: it takes for granted that it was let in."""
        later: Deferred[Any] = Deferred()
        self.server.admit = lambda account, token: later
        waiting = self.plugin.connect()
        for _ in range(3):
            self.pass_(1)
            self.assertNoResult(waiting)
            self.assertFalse(self.plugin.isConnected())
            self.failureResultOf(self.plugin.sendData(b"a"), NotSent)
        later.callback(self.far)
        self.network.flush()
        self.successResultOf(waiting)
        self.assertTrue(self.plugin.isConnected())

    def test_refusedLoginIsNoLogin(self) -> None:
        """The same: it goes on after a no."""
        self.isAdmitting = False
        self.assertIn("refused", self.failConnect())
        self.assertFalse(self.plugin.isConnected())
        self.failureResultOf(self.plugin.sendData(b"a"), NotSent)


class SPSPTests(ResolveTestCase):
    """Credentials from a URL."""

    SECRET = b"\xfb\xef\xbe\xff" * 8

    def test_otherBase64IsRead(self) -> None:
        """interledger-rs: only the standard alphabet with padding is read."""
        text = urlsafe_b64encode(self.SECRET).decode("ascii")
        self.assertIn("-", text)
        for secret in (text, text.rstrip("="), text.replace("-", "+").replace("_", "/")):
            body = {"destination_account": "test.bob.token", "shared_secret": secret}
            asked = self.ask({URL: Answer(json.dumps(body).encode())})
            expected = Credentials("test.bob.token", self.SECRET)
            self.assertEqual(self.successResultOf(asked), expected)

    def test_escapedJSONIsRead(self) -> None:
        """interledger-rs: a string with an escape in it cannot be read."""
        secret = "\\u002b\\/++" + urlsafe_b64encode(bytes(32)).decode("ascii")[4:]
        body = f'{{"destination_acc\\u006funt": "test.b\\u006fb", "shared_secret": "{secret}"}}'
        credentials = self.successResultOf(self.ask({URL: Answer(body.encode())}))
        self.assertEqual(credentials.destinationAddress, "test.bob")
        self.assertEqual(credentials.sharedSecret[:3], b"\xfb\xff\xbe")

    def test_slashAfterTheHostIsTheWellKnownPath(self) -> None:
        """interledger-rs: C{$host/} is asked for at the root of its host."""
        for pointer in ("$bob.example/", "$bob.example"):
            self.assertEqual(pointerToURL(pointer), "https://bob.example/.well-known/pay")
