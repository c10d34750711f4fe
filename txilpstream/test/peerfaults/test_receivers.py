"""Faults of stream-receiver and of Rafiki, which is built on it, that are none of ours."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock

from txilpstream.amounts import U64_MAX
from txilpstream.crypto.keys import SessionKeys
from txilpstream.crypto.receipts import ReceiptVerifier, decodeReceipt, signReceipt, verifyReceipt
from txilpstream.errors import ErrorCode, LocalError
from txilpstream.interfaces import IPlugin, PaymentError, Refusal
from txilpstream.ledger.memory import MemoryTotals
from txilpstream.payments.payment import pay
from txilpstream.payments.quote import quote
from txilpstream.plugins.http.test.test_client import REQUEST, SenderTestCase
from txilpstream.plugins.registry import pluginFromString
from txilpstream.session import receiver
from txilpstream.session.events import ReceiptArrived
from txilpstream.session.test.test_acknowledgements import Peerless
from txilpstream.test.conformance.base import counted
from txilpstream.test.support.connected import ConnectedTestCase
from txilpstream.test.support.handpeer import HandPeer, Reply
from txilpstream.test.support.httppeers import FULFILL, PREPARE, makeResponse
from txilpstream.test.support.sessions import Pair
from txilpstream.test.support.virtual import VirtualTestCase
from txilpstream.transport.stateless import StatelessRequest
from txilpstream.transport.test.test_stateless import (
    MONEY,
    NONCE,
    RECEIPT_SECRET,
    Odd,
    ReceiverCase,
    Slow,
)
from txilpstream.wire.frames import ConnectionClose, StreamMaxMoney, StreamMoney, StreamReceipt


class ReceivingTests(ReceiverCase):
    """A receiver without state."""

    def receiveWithReceipts(self, verdict: Any = True, store: Any = None) -> None:
        """Let it sign receipts."""
        self.receive(verdict, store)
        self.credentials = self.receiver.generateCredentials(
            receiptNonce=NONCE, receiptSecret=RECEIPT_SECRET
        )

    def proved(self, reply: Reply) -> list[tuple[int, int]]:
        """The streams and totals of the receipts in an answer."""
        receipts = [verifyReceipt(f.receipt, RECEIPT_SECRET) for f in self.receiptsIn(reply)]
        return [(each.streamID, each.totalReceived) for each in receipts if each is not None]

    @staticmethod
    def receiptsIn(reply: Reply) -> list[StreamReceipt]:
        """The frames of receipts in an answer."""
        return [frame for frame in reply.frames if isinstance(frame, StreamReceipt)]

    def pay_(self, *frames: StreamMoney, **options: Any) -> Reply:
        """Send a packet of money that is not a copy of another."""
        self.number = getattr(self, "number", 0) + 1
        return self.send(*frames or (MONEY,), iv=self.number.to_bytes(12, "big"), **options)

    def test_everyStreamHasReceipts(self) -> None:
        """stream-receiver: receipts are made for stream 1 only."""
        self.receiveWithReceipts()
        frames = StreamMoney(1, 1), StreamMoney(3, 2), StreamMoney(255, 7)
        reply = self.pay_(*frames, amount=100)
        self.assertEqual(self.proved(reply), [(1, 10), (3, 20), (255, 70)])
        self.assertEqual(self.proved(self.pay_(StreamMoney(3, 1), amount=5)), [(3, 25)])

    def test_everyFulfillHasItsReceipt(self) -> None:
        """Rafiki: when its store fails, the money is taken and the receipt left out."""

        def explode(streamID: int) -> int:
            raise ZeroDivisionError("on purpose")

        self.receiveWithReceipts(store=Odd(explode, lambda: None))
        self.assertRefused(self.pay_(amount=5))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_receiptsNeverGoBackwards(self) -> None:
        """Rafiki: totals are forgotten after ten minutes, and receipts begin anew."""
        self.receiveWithReceipts()
        for total in (5, 10, 15):
            self.assertEqual(self.proved(self.pay_(amount=5)), [(1, total)])
            self.run_(86_400)

    def test_totalsAreNotForgottenForRoom(self) -> None:
        """The same where there are too many: the new one is refused, the old ones stay."""
        self.receiveWithReceipts(store=MemoryTotals(maximumStreams=1))
        self.assertEqual(self.proved(self.pay_(amount=5)), [(1, 5)])
        self.assertRefused(self.pay_(StreamMoney(3, 1), amount=5))
        self.assertEqual(len(self.flushLoggedErrors(LocalError)), 1)
        self.assertEqual(self.proved(self.pay_(amount=5)), [(1, 10)])

    def test_totalsHaveSixtyFourBits(self) -> None:
        """Rafiki: its store counts with a sign, so 63 bits are all there is."""
        self.receiveWithReceipts()
        half = 1 << 63
        self.assertEqual(self.proved(self.pay_(amount=half)), [(1, half)])
        self.assertEqual(self.proved(self.pay_(amount=half - 1)), [(1, U64_MAX)])

    def test_amountsHaveALimit(self) -> None:
        """stream-receiver: nothing limits a total. Beyond 64 bits the packet is refused here."""
        self.receiveWithReceipts()
        self.pay_(amount=U64_MAX)
        self.assertRefused(self.pay_(amount=1))
        self.assertEqual(len(self.flushLoggedErrors(LocalError)), 1)
        self.assertEqual(self.totals.total(self.connectionID), U64_MAX)

    def test_streamIDsHaveALimit(self) -> None:
        """stream-receiver: any stream id is taken, those of a server too."""
        self.receive()
        for streamID, code in ((257, ErrorCode.STREAM_ID_ERROR), (2, ErrorCode.PROTOCOL_VIOLATION)):
            reply = self.pay_(StreamMoney(streamID, 1), amount=5)
            closes = [f.errorCode for f in reply.frames if isinstance(f, ConnectionClose)]
            self.assertEqual((reply.code, closes), ("F99", [code]))
        self.assertEqual(self.requests, [])

    def test_refusedMoneyIsNotCounted(self) -> None:
        """Rafiki: the total is raised before anybody has said that the money is wanted."""
        verdicts: list[Any] = [True, False, Refusal("no", isFinal=False), True]
        self.receiveWithReceipts(lambda: verdicts.pop(0))
        self.assertEqual(self.proved(self.pay_(amount=5)), [(1, 5)])
        for _ in range(2):
            self.assertEqual(self.receiptsIn(self.pay_(amount=1000)), [])
            self.assertEqual(self.totals.total(self.connectionID), 5)
        self.assertEqual(self.proved(self.pay_(amount=5)), [(1, 10)])

    def test_moneyCountedTooLateIsTakenBack(self) -> None:
        """The same where the store is slow: what was not fulfilled is in no receipt."""
        store = Slow()
        self.receiveWithReceipts(store=store)
        answer = self.ask(self.packet(MONEY, amount=1000))
        self.run_(31)
        self.assertRefused(self.opened(self.successResultOf(answer)))
        store.finish()
        waiting = self.ask(self.packet(MONEY, amount=5, iv=b"i" * 12))
        store.finish()
        self.assertEqual(self.proved(self.opened(self.successResultOf(waiting))), [(1, 5)])

    def test_completedPaymentIsRefusedWithAReason(self) -> None:
        """Rafiki: what comes for an invoice that is paid or too old is answered F02."""
        self.receive(lambda: True if len(self.requests) <= 3 else Refusal("it is paid"))
        paid = pay(
            self.left, self.credentials, sourceAmount=1000, options={"maximumPacketAmount": 100}
        )
        self.run_(20)
        error = self.failureResultOf(paid, PaymentError).value
        self.assertIn("it is paid", str(error))
        self.assertEqual({reject.code for reject in error.result.rejects}, {"F99"})
        self.assertEqual((error.result.sent, error.result.inDoubt), (300, 0))
        self.assertEqual(self.totals.total(self.connectionID), 300)

    def test_sequenceMayStartAgain(self) -> None:
        """Rafiki: its counter begins at 0 again for each quote and each attempt."""
        self.receive()
        for number, (sequence, amount) in enumerate(((0, 5), (1, 5), (0, 6), (0, 7), (1, 8))):
            iv = number.to_bytes(12, "big")
            self.assertEqual(self.send(MONEY, amount=amount, sequence=sequence, iv=iv).code, "")
        self.assertEqual(self.totals.total(self.connectionID), 31)

    def test_tokensDoNotShareABuffer(self) -> None:
        """stream-receiver: all tokens are made in one buffer, and one may get what is another's."""
        self.receive()
        tags = ["a", "b" * 300, "", "c" * 30]
        made = [self.receiver.generateCredentials(connectionTag=tag) for tag in tags]
        self.assertEqual(len({each.sharedSecret for each in made}), 4)
        for credentials in reversed(made):
            self.assertEqual(self.pay_(amount=5, credentials=credentials).code, "")
        self.assertEqual([request.connectionTag for request in self.requests], tags[::-1])

    def test_tagsThatCannotBeCarriedAreRefused(self) -> None:
        """stream-receiver: a tag that is not ASCII comes back as another one."""
        self.receive()
        for tag in ("\N{SNOWMAN}", "caf\u00e9", "a.b", "a b"):
            error = self.assertRaises(
                LocalError, self.receiver.generateCredentials, connectionTag=tag
            )
            self.assertIn("connection tag", str(error))

    def test_packetIsComputedOnce(self) -> None:
        """Rafiki: each packet is decrypted and answered two or three times over."""
        counts: dict[str, int] = {}
        for owner, name in (
            (SessionKeys, "__init__"),
            (SessionKeys, "open"),
            (SessionKeys, "seal"),
            (SessionKeys, "fulfillment"),
            (receiver, "decodePacket"),
        ):
            self.patch(owner, name, counted(counts, name, getattr(owner, name)))
        self.receiveWithReceipts()
        packets = [self.packet(MONEY, amount=5, iv=bytes([n]) * 12) for n in range(10)]
        counts.clear()
        for packet in packets:
            self.successResultOf(self.ask(packet))
        names = "__init__", "open", "seal", "fulfillment", "decodePacket"
        self.assertEqual(counts, {**dict.fromkeys(names, 10), "__init__": 1})

    def test_requestSaysWhoPays(self) -> None:
        """Rafiki: which payment a packet is for is looked up anew; here the packet says it."""
        self.receive()
        self.pay_(amount=5)
        [request] = self.requests
        self.assertIsInstance(request, StatelessRequest)
        self.assertEqual((request.connectionTag, request.connectionID), ("tag", self.connectionID))


class ReceiptTests(VirtualTestCase):
    """Receipts that are not in order."""

    def test_senderKeepsTheGreatestReceipt(self) -> None:
        """Rafiki, ilp-protocol-stream: the last receipt that came is taken for the best one."""
        test = Peerless()
        best = signReceipt(NONCE, test.streamID, 900, RECEIPT_SECRET)
        totals = [500, 900, 700, 0]
        receipts = [signReceipt(NONCE, test.streamID, n, RECEIPT_SECRET) for n in totals]
        test.answer(frames=tuple(StreamReceipt(test.streamID, each) for each in receipts))
        self.assertEqual(test.end.streams[test.streamID].receipt, best)
        told = test.end.seen(ReceiptArrived)
        self.assertEqual([decodeReceipt(e.receipt).totalReceived for e in told], [500, 900])

    def test_verifierNeverCreditsBackwards(self) -> None:
        """Rafiki: totals that start again would be credited again."""
        verifier = ReceiptVerifier(bytes(32))
        setup = verifier.issue(1000.0)
        credited = [
            verifier.accept(signReceipt(setup.nonce, 1, total, setup.secret), 1000.0)
            for total in (100, 40, 100, 0, 130)
        ]
        self.assertEqual(credited, [100, 0, 0, 0, 30])


class ServingTests(ConnectedTestCase):
    """A receiver that keeps connections."""

    def test_overDeliveryIsNotTolerated(self) -> None:
        """Rafiki: what exceeds the invoice is taken too."""
        peer = HandPeer()
        self.assertEqual(peer.send(StreamMoney(1, 1), amount=99, receiveMax=100).code, "")
        for amount in (50, 3, 1 << 63):
            reply = peer.send(StreamMoney(1, 1), amount=amount)
            told = reply.only(StreamMaxMoney)
            self.assertEqual((reply.code, told), ("F99", [StreamMaxMoney(1, 100, 99)]))
        self.assertEqual(peer.send(StreamMoney(1, 1), amount=1).code, "")

    def test_payerDoesNotOverDeliver(self) -> None:
        """The same from the other side: a fixed delivery is exceeded by the worth of one unit."""
        self.listen()
        paid = pay(self.left, self.server.generateCredentials(), destinationAmount=12_345)
        result = self.after(paid, 20)
        self.assertIn(result.deliveredClaimed, (12_345, 12_346))
        got = sum(made.transport.totalReceived for made in self.served.made)
        self.assertEqual(got, result.deliveredClaimed)

    def test_quoteThenPayOnTheSameCredentials(self) -> None:
        """Rafiki: a quote closes the connection, and the money that follows has the same key."""
        self.listen()
        credentials = self.server.generateCredentials()
        self.after(quote(self.left, credentials, sourceAmount=500), 10)
        for _ in range(2):
            result = self.after(pay(self.left, credentials, sourceAmount=500), 10)
            self.assertTrue(result.isComplete)


class CarryingTests(SenderTestCase):
    """How packets travel."""

    def test_httpConnectionsAreKept(self) -> None:
        """Rafiki: each packet has a connection of its own."""
        waiting, transport = self.send()
        for _ in range(20):
            self.give(transport, makeResponse())
            self.assertEqual(self.successResultOf(waiting), FULFILL)
            waiting = self.plugin.sendData(PREPARE)
        self.give(transport, makeResponse())
        self.assertEqual(transport.take(), REQUEST * 21)
        self.assertEqual(len(self.reactor.tcpClients), 1)

    def test_btpIsSpoken(self) -> None:
        """Rafiki: HTTP is all there is."""
        for text in (
            r"btp:ws\://alice\:token@127.0.0.1\:7768",
            r"http:http\://\:token@127.0.0.1\:3002/ilp",
        ):
            plugin = pluginFromString(Clock(), text)
            self.assertTrue(IPlugin.providedBy(plugin), text)


class RateTests(VirtualTestCase):
    """Ten thousand packets a minute."""

    def test_manyPacketsAreNoTrouble(self) -> None:
        """Rafiki: any sender above 167 packets per second is slowed down by T05."""
        pair = Pair({"maximumPacketAmount": 1})
        pair.pay(2000, 8)
        self.assertEqual(pair.server.credited, 2000)
        self.assertEqual([reject.code for reject in pair.client.session.rejects], [])
