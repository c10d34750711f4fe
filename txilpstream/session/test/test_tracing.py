"""Tests of C{txilpstream.session.tracing}: what a session tells of what it decides."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from txilpstream.amounts import Ratio
from txilpstream.test.support.sessions import LOST, Pair, converting, limiting, rejecting
from txilpstream.wire.ilp import Prepare

FIELDS = {
    "packetSent": "sequence amount bytes inFlight minimum streamID isProbe",
    "packetFulfilled": "sequence amount bytes inFlight delivered deliveredMinimum roundTrip",
    "packetRejected": "sequence amount bytes inFlight code triggeredBy isByPeer",
    "packetDoubted": "sequence amount bytes inFlight",
    "packetNotSent": "sequence amount bytes inFlight",
    "lateAnswer": "sequence amount bytes inFlight isFulfilled",
    "packetAmountChanged": "limit",
    "liquidityChanged": "rate cap",
    "pacingChanged": "rate roundTrip",
    "rateLearned": "low high floor",
    "slept": "until reason",
    "moneyFailed": "streamID sourceAmount reason",
    "moneyReceived": "streamID amount",
    "connectionClosed": "error",
}
"""The events, with their particulars beside the time."""


class TracingTests(SynchronousTestCase):
    """Sessions that are traced."""

    def setUp(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []

    def pair(self, **options: Any) -> Pair:
        """A client that is traced, and its server."""
        return Pair({"trace": self.tell, **options})

    def tell(self, name: str, particulars: dict[str, Any]) -> None:
        """Keep it, as it should be."""
        self.assertEqual(set(particulars), {"time", *FIELDS[name].split()}, name)
        self.assertIsInstance(particulars["time"], float)
        self.told.append((name, particulars))

    def all(self, name: str) -> list[dict[str, Any]]:
        """What was told under a name."""
        return [particulars for each, particulars in self.told if each == name]

    def test_payment(self) -> None:
        """Every packet is told, with its money and its bytes, and what was learned."""
        pair = self.pair()
        pair.client.out = converting(Ratio(1, 2), limiting(1000))
        streamID = pair.pay(10_000, 2)
        pair.client.session.sendData(streamID, b"x" * 20_000)
        pair.run(2)
        pair.client.session.close()
        pair.run(2)
        sent, fulfilled = self.all("packetSent"), self.all("packetFulfilled")
        self.assertEqual(len(sent), len(pair.client.prepares))
        self.assertEqual([each["sequence"] for each in sent], list(range(1, len(sent) + 1)))
        self.assertEqual(sum(each["amount"] for each in fulfilled), 10_000)
        self.assertEqual(sum(each["delivered"] for each in fulfilled), 5000)
        self.assertEqual(sum(each["bytes"] for each in fulfilled), 20_000)
        self.assertTrue(all(each["roundTrip"] > 0 for each in fulfilled))
        self.assertEqual([each["isProbe"] for each in sent].count(True), 2)
        self.assertIn("F08", [each["code"] for each in self.all("packetRejected")])
        self.assertIn(1000, [each["limit"] for each in self.all("packetAmountChanged")])
        self.assertTrue(self.all("pacingChanged"))
        (learned,) = self.all("rateLearned")
        self.assertEqual((learned["low"], learned["floor"]), ("1/2", "99/200"))
        self.assertEqual([each["error"] for each in self.all("connectionClosed")], [None])

    def test_receiver(self) -> None:
        """A receiver tells what it was credited."""
        pair = Pair({"minimumRate": Ratio(1)}, {"trace": self.tell})
        streamID = pair.pay(700)
        (received,) = self.all("moneyReceived")
        self.assertEqual((received["streamID"], received["amount"]), (streamID, 700))

    def test_liquidity(self) -> None:
        """T04 makes a limit, which is told."""
        pair = self.pair(minimumRate=Ratio(1))
        pair.client.out = lambda prepare: rejecting("T04") if prepare.amount > 3000 else None
        pair.pay(10_000, 20)
        self.assertTrue(any(each["rate"] for each in self.all("liquidityChanged")))
        self.assertIn("T04", [each["code"] for each in self.all("packetRejected")])

    def test_noAnswer(self) -> None:
        """A packet without an answer is told, and what is heard of it late."""
        for late in (None, "T00"):
            self.told.clear()
            pair = self.pair(minimumRate=Ratio(1))
            kept: list[bytes] = []

            def way(prepare: Prepare, pair: Pair = pair, kept: list[bytes] = kept) -> bytes | None:
                if not prepare.amount or kept:
                    return None
                kept.append(pair.deliver(pair.server, prepare))
                return LOST

            pair.client.out = way
            pair.client.took = 1000 if late is None else 0
            pair.pay(1000, 40)
            (doubted,) = self.all("packetDoubted")
            self.assertEqual(doubted["amount"], 1000)
            reply = kept[0] if late is None else rejecting(late)
            pair.reply(pair.client, doubted["sequence"], reply)
            self.assertEqual([e["isFulfilled"] for e in self.all("lateAnswer")], [late is None])

    def test_notSent(self) -> None:
        """A packet that never left is told, and that nothing leaves for a while."""
        pair = self.pair(minimumRate=Ratio(1))
        pair.client.isPaused = True
        streamID = pair.client.open()
        pair.client.session.sendMoney(streamID, 5)
        packet = pair.client.session.nextPacket(now=pair.now)
        assert packet is not None
        pair.client.session.receiveNotSent(packet.sequence, now=pair.now)
        self.assertEqual([each["amount"] for each in self.all("packetNotSent")], [5])
        (slept,) = self.all("slept")
        self.assertGreater(slept["until"], pair.now)

    def test_failed(self) -> None:
        """Money that is taken back is told, and a rate of nothing."""
        pair = self.pair(maximumPacketAmount=10)
        pair.client.out = converting(Ratio(0))
        pair.pay(1000)
        (failed,) = self.all("moneyFailed")
        self.assertEqual((failed["streamID"], failed["sourceAmount"]), (1, 1000))
        (learned,) = self.all("rateLearned")
        self.assertEqual((learned["low"], learned["high"], learned["floor"]), (None, None, None))
