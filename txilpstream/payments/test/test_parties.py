"""Tests of C{txilpstream.payments.parties}: who pays, and who is paid."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import TestCase
from twisted.web.client import ResponseFailed
from twisted.web.iweb import IAgent
from zope.interface import implementer

from txilpstream.amounts import Ratio
from txilpstream.crypto.credentials import Credentials
from txilpstream.errors import ConnectionEnded, DecodeError, LocalError, StreamError
from txilpstream.interfaces import PaymentError
from txilpstream.payments.payment import Payment, pay
from txilpstream.payments.quote import quote
from txilpstream.payments.test.test_payment import PaymentTestCase
from txilpstream.plugins.memory import memoryPair
from txilpstream.spsp.server import SPSPResource, SPSPServer
from txilpstream.spsp.test.test_client import Answer
from txilpstream.test.support.connected import LEFT, RIGHT, Recorder
from txilpstream.transport.account import Account
from txilpstream.transport.protocol import StreamFactory
from txilpstream.transport.server import StreamServer

POINTER = "$shop.example/alice"
URL = "https://shop.example/alice"
SECRET = b"sesame**" * 4


@implementer(IAgent)
class Shop:
    """
    An SPSP server in memory, as an agent sees it.

    @ivar asked: every URL.
    @ivar answer: what is answered instead of good credentials.
    @ivar cancelled: how many questions were given up.
    """

    def __init__(self, server: StreamServer) -> None:
        self._server = server
        self.asked: list[str] = []
        self.answer: Any = None
        self.cancelled = 0

    def request(
        self, method: bytes, uri: bytes, headers: Any = None, bodyProducer: Any = None
    ) -> Deferred[Any]:
        """Answer with new credentials."""
        self.asked.append(uri.decode("ascii"))
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is not None:
            return succeed(self.answer)
        return succeed(Answer(self._server.generateCredentials().toJSON().encode("ascii")))

    def silence(self) -> None:
        """Answer nothing from now on."""

        def count(_: object) -> None:
            self.cancelled += 1

        self.request = lambda *_: Deferred(count)  # type: ignore[method-assign]


class PointerTests(PaymentTestCase):
    """A pointer or a URL is asked for credentials."""

    def setUp(self) -> None:
        """A shop, and who wants to pay there."""
        super().setUp()
        self.start()
        self.shop = Shop(self.server)

    def test_pay(self) -> None:
        """A pointer, and a URL, are paid in the round trip that credentials take."""
        for destination in (POINTER, URL):
            paying = pay(self.left, destination, sourceAmount=1000, agent=self.shop)
            result, trips = self.timed(paying)
            self.assertEqual((result.sent, result.deliveredClaimed, trips), (1000, 1000, 1.0))
        self.assertEqual(self.shop.asked, [URL] * 2)
        self.assertEqual(self.received(), 2000)

    def test_quote(self) -> None:
        """The same for quotes."""
        told, _ = self.timed(quote(self.left, POINTER, sourceAmount=1000, agent=self.shop))
        self.assertEqual(told.expectedDelivery, 1000)
        self.assertEqual((self.shop.asked, self.received()), ([URL], 0))

    def test_plugin(self) -> None:
        """With a plugin too, which is given back."""
        left, right = memoryPair(self.clock, left=LEFT, right=RIGHT)
        self.join(left, right)
        self.after(self.left.close())
        self.listen(Recorder)
        self.shop = Shop(self.server)
        arguments: dict[str, Any] = {"agent": self.shop, "reactor": self.clock}
        for _ in range(2):
            result, _ = self.timed(pay(left, POINTER, sourceAmount=7, **arguments), 5)
            self.assertEqual(result.sent, 7)
            told, _ = self.timed(quote(left, POINTER, sourceAmount=7, **arguments), 5)
            self.assertEqual(told.expectedDelivery, 7)
        self.assertFalse(left.isConnected())

    def test_notFound(self) -> None:
        """Whoever has no such account is not paid: nothing was sent, and that is what is told."""
        for answer, kind in (
            (Answer(code=404), ConnectionEnded),
            (ResponseFailed([]), ConnectionEnded),
            (ConnectionRefusedError(), ConnectionEnded),
            (Answer(b"{}"), DecodeError),
            (Answer(b'{"shared_secret": "sesame"}'), DecodeError),
        ):
            self.shop.answer = answer
            error, _ = self.timed(pay(self.left, POINTER, sourceAmount=5, agent=self.shop), 5)
            self.assertIsInstance(error, PaymentError)
            self.assertIsInstance(error.__cause__, kind)
            self.assertIn(URL, error.message)
            self.assertEqual((error.result.sent, error.result.inDoubt), (0, 0))
            self.shop.answer = answer
            error, _ = self.timed(quote(self.left, POINTER, sourceAmount=5, agent=self.shop), 5)
            self.assertIsInstance(error, kind)
            self.assertNotIn("sesame", str(error))
        self.assertEqual(self.path.counters("left").packets, 0)

    def test_pluginIsNotTouched(self) -> None:
        """A plugin that may be somebody else's by now is left alone if nobody was found."""
        left, _ = memoryPair(self.clock, left=LEFT, right=RIGHT)
        self.after(left.connect())
        left.registerDataHandler(lambda data: data)
        self.shop.answer = Answer(code=404)
        arguments: dict[str, Any] = {"agent": self.shop, "reactor": self.clock}
        self.timed(pay(left, POINTER, sourceAmount=7, **arguments), 5)
        self.timed(quote(left, POINTER, sourceAmount=7, **arguments), 5)
        self.assertTrue(left.isConnected())
        self.assertRaises(LocalError, left.registerDataHandler, lambda data: data)

    def test_timeout(self) -> None:
        """The time limit counts from the question on; without one the question has its own."""
        self.shop.silence()
        for timeout, least in ((3.0, 3.0), (None, 10.0), (20.0, 10.0)):
            began = self.clock.seconds()
            paying = pay(self.left, POINTER, sourceAmount=5, timeout=timeout, agent=self.shop)
            self.run_(least - 0.1)
            self.assertNoResult(paying)
            self.run_(0.2)
            error = self.failureResultOf(paying, PaymentError).value
            self.assertEqual(error.result.sent, 0)
            self.assertLess(self.clock.seconds() - began, least + 1)
        asked = quote(self.left, POINTER, sourceAmount=5, timeout=3, agent=self.shop)
        self.run_(3.1)
        self.failureResultOf(asked, ConnectionEnded)
        self.assertEqual(self.shop.cancelled, 4)

    def test_timeoutIsForAll(self) -> None:
        """What the question took is missing where the rate is waited for."""
        self.after(self.server.stopListening())
        answered: Deferred[Any] = Deferred()
        self.shop.request = lambda *_: answered  # type: ignore[method-assign]
        asked = quote(self.left, POINTER, sourceAmount=5, timeout=3, agent=self.shop)
        self.run_(2.5)
        answered.callback(Answer(self.credentials.toJSON().encode("ascii")))
        self.run_(0.4)
        self.assertNoResult(asked)
        self.run_(0.2)
        self.failureResultOf(asked, ConnectionEnded)

    def test_cancel(self) -> None:
        """Who cancels a payment or a quote asks no more."""
        self.shop.silence()
        paying = pay(self.left, POINTER, sourceAmount=5, agent=self.shop)
        paying.cancel()
        error = self.failureResultOf(paying, PaymentError).value
        self.assertEqual((error.result.sent, error.result.inDoubt), (0, 0))
        asked = quote(self.left, POINTER, sourceAmount=5, agent=self.shop)
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        payment = Payment(self.left, POINTER, sourceAmount=5, agent=self.shop)
        paying = payment.start()
        stopped = payment.stop()
        self.failureResultOf(paying, PaymentError)
        self.successResultOf(stopped)
        self.assertTrue(payment.isOver)
        self.assertEqual(self.shop.cancelled, 3)
        self.run_(60)
        self.assertEqual(self.path.counters("left").packets, 0)

    def test_cancelAmidTheAsset(self) -> None:
        """A connection that only asks for the receiver's asset goes with its payment."""
        self.after(self.server.stopListening())
        anonymous = Credentials(self.credentials.destinationAddress, SECRET)
        prices = {"USD": Ratio(1)}
        paying = pay(self.left, anonymous, sourceAmount=5, prices=prices)
        self.run_(0.1)
        paying.cancel()
        self.failureResultOf(paying, PaymentError)
        self.run_(2)
        self.assertEqual(self.left.connections, set())


class WrongTypeTests(PaymentTestCase):
    """What is given in the place of something else is named, and what is taken too."""

    def setUp(self) -> None:
        """Somebody who could be paid."""
        super().setUp()
        self.start()

    def refusal(self, *arguments: Any, **keywords: Any) -> str:
        """The text of the error that C{pay} and C{quote} raise at once."""
        keywords = {"sourceAmount": 1, **keywords}
        texts = []
        for function in (Payment, pay, quote):
            if function is quote and keywords.keys() & {"progress", "save", "state", "options"}:
                continue
            error = self.assertRaises(LocalError, function, *arguments, **keywords)
            texts.append(str(error))
            self.assertNotIn("sesame", str(error))
        self.assertEqual(len(set(texts)), 1)
        return texts[0]

    def test_destination(self) -> None:
        """What is neither Credentials nor a pointer; a JSON text may have a secret in it."""
        for wrong, named in (
            (None, "None"),
            (SECRET, "32 octets"),
            ({"sesame": 1}, "dict"),
            (5, "5"),
            (Credentials, "class Credentials"),
            (self.credentials.toJSON(), "JSON"),
            ('{"sesame"', "JSON"),
        ):
            text = self.refusal(self.left, wrong)
            self.assertIn(named, text)
            self.assertIn("Credentials", text)
            self.assertIn("payment pointer", text)

    def test_pointer(self) -> None:
        """What is no pointer, or would be asked in plain text."""
        for wrong in ("shop", "$", "ftp://shop.example", "$user@shop.example", "SESAME" * 10):
            self.assertIn("not a payment pointer", self.refusal(self.left, wrong))
        self.assertNotIn(SECRET.hex(), self.refusal(self.left, SECRET.hex()))
        self.assertIn("plain http", self.refusal(self.left, "http://shop.example/alice"))

    def test_source(self) -> None:
        """What is no account, plugin or connection."""
        for wrong in (
            "btp+ws://:sesame@127.0.0.1:7768",
            b"sesame",
            None,
            self.credentials,
            Account,
        ):
            text = self.refusal(wrong, self.credentials)
            self.assertIn("lugin", text)

    def test_amounts(self) -> None:
        """Amounts are whole numbers, and rates are exact."""
        for keywords, named in (
            ({"sourceAmount": 1.5}, "1.5"),
            ({"sourceAmount": "sesame"}, "a string of 6 characters"),
            ({"sourceAmount": True}, "True"),
            ({"maxSourceAmount": None}, "None"),
            ({"rate": 0.9}, "0.9"),
            ({"minimumRate": 1}, "Ratio"),
            ({"slippage": 0.01}, "0.01"),
            ({"prices": Ratio(1)}, "Ratio"),
            ({"acceptAnyRate": "yes"}, "a string"),
            ({"data": "text"}, "a string"),
            ({"timeout": "sesame"}, "a string of 6 characters"),
            ({"timeout": float("nan")}, "nan"),
            ({"timeout": True}, "True"),
            ({"deadlineSinceFulfill": None, "options": {}}, "None"),
            ({"progress": 5}, "5"),
            ({"save": "file"}, "a string"),
            ({"state": "{}"}, "a string"),
            ({"options": [1]}, "list"),
        ):
            error = self.refusal(self.left, self.credentials, **keywords)
            self.assertIn(named, error)
            self.assertNotIn("sesame", error, "it may be a secret in the wrong place")

    def test_agent(self) -> None:
        """An agent is none of those; and a Clock asks nobody by itself."""
        self.assertIn("IAgent", self.refusal(self.left, POINTER, agent="sesame"))
        self.assertIn("give an agent", self.refusal(self.left, POINTER))

    def test_unknown(self) -> None:
        """An argument that there is not is a mistake as in any other call."""
        call: Any = pay
        for function in (call, quote, Payment):
            self.assertRaises(TypeError, function, self.left, self.credentials, sourceAmuont=1)


class SocketTests(TestCase):
    """From the pointer to the money over a socket of this machine."""

    async def test_paid(self) -> None:
        """The account's reactor asks a server on 127.0.0.1."""
        reactor: Any = installed
        left, right = memoryPair(reactor, left=LEFT, right=RIGHT)
        server = StreamServer(right, reactor=reactor)
        await server.listen(StreamFactory.forProtocol(Recorder))
        shop = SPSPServer(reactor, "tcp:0:interface=127.0.0.1", SPSPResource(server))
        await shop.start()
        port: Any = shop.port
        url = f"http://127.0.0.1:{port.getHost().port}/alice"
        account = await Account.open(reactor, left)
        told = await quote(account, url, sourceAmount=1000)
        self.assertEqual(told.expectedDelivery, 1000)
        result = await pay(account, url, sourceAmount=1000)
        self.assertEqual((result.sent, result.deliveredClaimed), (1000, 1000))
        await shop.stop()
        with self.assertRaises(StreamError) as caught:
            await pay(account, url, sourceAmount=1000)
        self.assertIn("ConnectionRefusedError", str(caught.exception))
        await account.close()
        await server.stopListening()
        await server.account.close()
