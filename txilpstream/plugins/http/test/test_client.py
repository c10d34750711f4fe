"""
Tests of C{txilpstream.plugins.http.client}: prepares that are sent over HTTP, and what becomes of
them.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError, DNSLookupError
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure

from txilpstream.errors import ConnectionEnded, LocalError
from txilpstream.interfaces import NotSent
from txilpstream.plugins.http.plugin import HTTPPlugin
from txilpstream.plugins.test.test_base import Producer
from txilpstream.test.support.httppeers import (
    FULFILL,
    PREPARE,
    TOKEN,
    Events,
    Transport,
    chunked,
    connect,
    makeResponse,
)
from txilpstream.test.support.strategies import forAll
from txilpstream.test.support.virtual import VirtualTestCase
from txilpstream.wire.ilp import encodeReject

REQUEST = (
    b"POST /ilp HTTP/1.1\r\n"
    b"Host: 127.0.0.1:3002\r\n"
    b"Authorization: Bearer correct-horse\r\n"
    b"Content-Type: application/octet-stream\r\n"
    b"Accept: application/octet-stream\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(PREPARE), PREPARE)
)

REJECT = encodeReject("T04", "test.peer", "no liquidity")


class SenderTestCase(VirtualTestCase):
    """A plugin that sends, with a window of four, and peers by hand."""

    url = f"http://:{TOKEN}@127.0.0.1:3002/ilp"

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.plugin = HTTPPlugin(self.reactor, self.url, window=4)
        self.successResultOf(self.plugin.connect())
        self.events = Events()
        globalLogPublisher.addObserver(self.events)
        self.addCleanup(globalLogPublisher.removeObserver, self.events)
        self.dialled = 0
        self.posted: list[Deferred[bytes]] = []

    def tearDown(self) -> None:
        """Whatever happened, nothing stays with the reactor, and no secret in the log."""
        self.plugin.disconnect()
        self.reactor.advance(0)
        self.reactor.advance(0)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertNotIn(TOKEN, repr(self.events))
        for waiting in self.posted:
            waiting.addErrback(lambda failure: None)

    def dial(self) -> Any:
        """Give the factory of the next connection that is asked for."""
        factory = self.reactor.tcpClients[self.dialled][2]
        self.dialled += 1
        return factory

    def accept(self) -> Transport:
        """Accept the next connection."""
        return connect(self.reactor, self.dial().buildProtocol(None))

    def refuse(self, error: Exception) -> None:
        """Refuse the next connection."""
        self.dial().clientConnectionFailed(None, Failure(error))

    def send(self) -> tuple[Deferred[bytes], Transport]:
        """Send a packet on a connection of its own."""
        waiting = self.plugin.sendData(PREPARE)
        return waiting, self.accept()

    def post(self, count: int) -> list[Deferred[bytes]]:
        """Send so many packets."""
        waiting = [self.plugin.sendData(PREPARE) for _ in range(count)]
        self.posted += waiting
        return waiting

    def give(self, transport: Transport, *octets: bytes) -> None:
        """Let the peer say something."""
        for each in octets:
            transport.protocol.dataReceived(each)
        self.reactor.advance(0)

    def assertNotSent(self, waiting: Deferred[bytes], text: str) -> None:
        """A packet was certainly not sent."""
        error = self.failureResultOf(waiting, NotSent).value
        self.assertIn(text, str(error))
        self.assertNotIn(TOKEN, str(error))

    def assertInDoubt(self, waiting: Deferred[bytes], text: str) -> None:
        """Nobody knows."""
        error = self.failureResultOf(waiting, ConnectionEnded).value
        self.assertIn(text, str(error))
        self.assertNotIn(TOKEN, str(error))


ACTIONS: dict[str, tuple[bytes, bool]] = {
    "answer": (makeResponse(FULFILL), False),
    "answer and go": (makeResponse(FULFILL), True),
    "answer with more": (makeResponse(FULFILL) + b"x", False),
    "half an answer": (makeResponse(FULFILL)[:60], True),
    "interim": (b"HTTP/1.1 103 Early Hints\r\n\r\n", True),
    "refuse": (makeResponse(b"", 429), False),
    "refuse and go": (makeResponse(b"", 429), True),
    "fail": (makeResponse(b"", 503), False),
    "go": (b"", True),
    "nothing": (b"", False),
}
"""What a peer does once it has read a request: what it says, and whether it goes then."""


class AnyPeerTests(SenderTestCase):
    """Whatever peers do one after the other, no packet that one has read is said to be not sent."""

    def setUp(self) -> None:
        super().setUp()
        self.made: list[Transport] = []

    @forAll(st.lists(st.sampled_from(sorted(ACTIONS)), max_size=12), examples=300)
    def test_any(self, names: list[str]) -> None:
        """Each packet has one outcome, which is what its own request came to."""
        for name in names:
            said, isGone = ACTIONS[name]
            outcomes: list[Any] = []
            self.plugin.sendData(PREPARE).addBoth(outcomes.append)
            while self.dialled < len(self.reactor.tcpClients):
                self.made.append(self.accept())
            (transport,) = [each for each in self.made if REQUEST in each.value()]
            transport.clear()
            if said:
                self.give(transport, said)
            if isGone:
                transport.end()
            self.reactor.advance(0)
            if not outcomes:
                self.reactor.pump([1.0] * 40)
            (outcome,) = outcomes
            if name.startswith("answer"):
                self.assertEqual(outcome, FULFILL, names)
            else:
                isRefused = name.startswith("refuse")
                self.assertEqual(bool(outcome.check(NotSent)), isRefused, names)
                self.assertIsNotNone(outcome.check(NotSent, ConnectionEnded))


class AnswerTests(SenderTestCase):
    """What is sent, and answers that count."""

    def test_request(self) -> None:
        waiting, transport = self.send()
        self.assertEqual(transport.take(), REQUEST)
        self.assertNoResult(waiting)
        self.give(transport, makeResponse())
        self.assertEqual(self.successResultOf(waiting), FULFILL)
        self.assertEqual(self.events, [])

    def test_octetByOctet(self) -> None:
        waiting, transport = self.send()
        self.give(transport, *(bytes([octet]) for octet in makeResponse(REJECT)))
        self.assertEqual(self.successResultOf(waiting), REJECT)

    def test_chunked(self) -> None:
        waiting, transport = self.send()
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.give(transport, head, chunked(FULFILL[:9], FULFILL[9:]))
        self.assertEqual(self.successResultOf(waiting), FULFILL)

    def test_untilTheEnd(self) -> None:
        """An answer that ends with its connection is whole if its own length says so."""
        waiting, transport = self.send()
        self.give(transport, b"HTTP/1.0 200 OK\r\n\r\n" + FULFILL)
        transport.end()
        self.reactor.advance(0)
        self.assertEqual(self.successResultOf(waiting), FULFILL)
        waiting, transport = self.send()
        self.give(transport, b"HTTP/1.0 200 OK\r\n\r\n" + FULFILL[:-1])
        transport.end()
        self.reactor.advance(0)
        self.assertInDoubt(waiting, "status 200 and no ILP reply")

    def test_otherStatus(self) -> None:
        """An ILP reply is one, whatever the status says."""
        for status in (202, 404, 500):
            waiting, transport = self.send()
            self.give(transport, makeResponse(REJECT, status, "Connection: close"))
            self.assertEqual(self.successResultOf(waiting), REJECT)

    def test_early(self) -> None:
        """Information that comes before the answer is none."""
        waiting, transport = self.send()
        self.give(transport, b"HTTP/1.1 100 Continue\r\n\r\n", makeResponse())
        self.assertEqual(self.successResultOf(waiting), FULFILL)

    def test_reused(self) -> None:
        """A connection takes one request after the other."""
        waiting, transport = self.send()
        self.give(transport, makeResponse())
        for _ in range(3):
            waiting = self.plugin.sendData(PREPARE)
            self.give(transport, makeResponse())
            self.assertEqual(self.successResultOf(waiting), FULFILL)
        self.assertEqual(transport.take(), REQUEST * 4)
        self.assertEqual(len(self.reactor.tcpClients), 1)

    def test_notReused(self) -> None:
        """One whose peer closes it, or speaks unasked, or that was silent for long, takes none."""
        waiting, first = self.send()
        self.give(first, makeResponse(FULFILL, 200, "Connection: close"))
        self.successResultOf(waiting)
        waiting, second = self.send()
        self.give(second, makeResponse())
        second.protocol.dataReceived(b"HTTP/1.1 200 OK\r\n")
        self.assertTrue(second.isAborted)
        waiting, third = self.send()
        self.give(third, makeResponse())
        third.end()
        self.reactor.advance(0)
        waiting, fourth = self.send()
        self.give(fourth, makeResponse())
        self.reactor.advance(25)
        self.assertTrue(fourth.isEnding)
        waiting, fifth = self.send()
        self.give(fifth, makeResponse())
        self.assertEqual(self.successResultOf(waiting), FULFILL)

    def test_answerMeanwhile(self) -> None:
        """Who hears an answer may send at once, on the same connection."""
        waiting, transport = self.send()
        second: list[Deferred[bytes]] = []
        waiting.addCallback(lambda _: second.append(self.plugin.sendData(PREPARE)))
        self.give(transport, makeResponse())
        self.give(transport, makeResponse())
        self.assertEqual(self.successResultOf(second[0]), FULFILL)

    def test_noToken(self) -> None:
        plugin = HTTPPlugin(self.reactor, "http://127.0.0.1")
        plugin.connect()
        plugin.sendData(PREPARE).addErrback(lambda failure: None)
        self.assertNotIn(b"Authorization", self.accept().take())
        plugin.disconnect()
        self.reactor.advance(0)


class NotSentTests(SenderTestCase):
    """Packets that certainly never left, or that the peer's HTTP layer refused."""

    def test_unreachable(self) -> None:
        for error in (ConnectionRefusedError("no"), DNSLookupError("no such host")):
            waiting = self.plugin.sendData(PREPARE)
            self.refuse(error)
            self.assertNotSent(waiting, type(error).__name__)

    def test_refused(self) -> None:
        """The HTTP layer's own refusals say what helps, and are logged once in a while."""
        for status, text in (
            (400, "URL"),
            (401, "token"),
            (403, "token"),
            (404, "path"),
            (405, "path"),
            (413, "less data"),
            (429, "fewer packets"),
        ):
            waiting, transport = self.send()
            body = b"" if status == 401 else b"no"
            self.give(transport, makeResponse(body, status, "Connection: close"))
            self.assertNotSent(waiting, text)
        self.assertEqual(len(self.events), 1)

    def test_refusedAtLength(self) -> None:
        waiting, transport = self.send()
        self.give(transport, makeResponse(b"x" * 40_001, 401))
        self.assertNotSent(waiting, "token")
        self.assertTrue(transport.isAborted)

    def test_neverConnected(self) -> None:
        waiting = self.plugin.sendData(PREPARE)
        self.reactor.pump([1] * 36)
        self.assertNotSent(waiting, "35 s")

    def test_disconnected(self) -> None:
        """Given up while connecting, and while it waits for its turn."""
        waiting = self.post(5)
        done = self.plugin.disconnect()
        for each in waiting:
            self.assertNoResult(each)
        self.reactor.advance(0)
        for each in waiting:
            self.assertNotSent(each, "disconnected")
        self.successResultOf(done)
        self.assertNotSent(self.plugin.sendData(PREPARE), "connect()")


class InDoubtTests(SenderTestCase):
    """Packets of which nobody knows."""

    def test_lost(self) -> None:
        waiting, transport = self.send()
        transport.end()
        self.reactor.advance(0)
        self.assertInDoubt(waiting, "lost before an answer")

    def test_lostOnAnUsedConnection(self) -> None:
        """Nothing is sent a second time."""
        waiting, transport = self.send()
        self.give(transport, makeResponse())
        waiting = self.plugin.sendData(PREPARE)
        transport.end()
        self.reactor.advance(0)
        self.assertInDoubt(waiting, "lost before an answer")
        self.assertEqual(len(self.reactor.tcpClients), 1)

    def test_lostInTheAnswer(self) -> None:
        waiting, transport = self.send()
        self.give(transport, makeResponse()[:-1])
        transport.end()
        self.reactor.advance(0)
        self.assertInDoubt(waiting, "its end")

    def test_status(self) -> None:
        """No answer of these says that nothing was done; no redirect is followed."""
        for status in (200, 202, 204, 301, 307, 408, 418, 500, 502, 503):
            waiting, transport = self.send()
            body = b"" if status == 204 else b"sorry"
            location = "Location: http://127.0.0.1:3003/"
            response = makeResponse(body, status, location, "Connection: close")
            self.give(transport, response)
            self.assertInDoubt(waiting, f"status {status}")
        self.assertEqual(self.dialled, len(self.reactor.tcpClients))
        self.assertEqual(len(self.events), 1)

    def test_garbage(self) -> None:
        for octets in (
            b"\x00\xff\n\n",
            b"HTTP/1.1 two hundred\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"x" * 20000,
            makeResponse(b""),
            makeResponse(b"\x0d"),
            makeResponse(FULFILL[:-1]),
            makeResponse(PREPARE),
        ):
            waiting, transport = self.send()
            self.give(transport, octets)
            transport.end()
            self.reactor.advance(0)
            self.assertInDoubt(waiting, "")
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_tooLong(self) -> None:
        """An answer is given up where it becomes too long, by its chunks or its headers."""
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        waiting, transport = self.send()
        self.give(transport, head, chunked(FULFILL + bytes(40_000 - len(FULFILL))))
        self.assertEqual(len(self.successResultOf(waiting)), 40_000)
        waiting = self.plugin.sendData(PREPARE)
        self.give(transport, head, chunked(b"x" * 40_000, b"x"), chunked(b"x"))
        self.assertInDoubt(waiting, "40000 octets")
        self.assertTrue(transport.isAborted)
        waiting, transport = self.send()
        self.give(transport, b"HTTP/1.1 200 OK\r\n", *[b"X: %b\r\n" % (b"x" * 9990)] * 21)
        self.assertTrue(transport.isAborted)
        self.assertInDoubt(waiting, "")

    def test_slow(self) -> None:
        """The time that a packet has is over."""
        waiting, transport = self.send()
        self.give(transport, makeResponse()[:-1])
        self.reactor.pump([1] * 34)
        self.assertNoResult(waiting)
        self.reactor.pump([1] * 1)
        self.assertInDoubt(waiting, "35 s")
        self.assertTrue(transport.isAborted)

    def test_tooLate(self) -> None:
        """What comes on a connection that is being ended is nothing, nor is it used again."""
        waiting, transport = self.send()
        self.give(transport, makeResponse()[:-1])
        transport.isEnding = True
        self.reactor.pump([1] * 36)
        self.assertInDoubt(waiting, "35 s")
        self.give(transport, makeResponse()[-1:])
        waiting, second = self.send()
        self.give(second, makeResponse())
        self.assertEqual(self.successResultOf(waiting), FULFILL)
        transport.isEnding = False
        transport.end()

    def test_disconnected(self) -> None:
        """What is written is in doubt when the plugin is given up; its connection is closed."""
        waiting, transport = self.send()
        _, idle = self.send()
        self.give(idle, makeResponse())
        done = self.plugin.disconnect()
        self.assertNoResult(waiting)
        self.assertNoResult(done)
        self.reactor.advance(0)
        self.assertInDoubt(waiting, "disconnected")
        self.assertTrue(transport.isAborted and idle.isAborted)
        self.successResultOf(done)

    def test_again(self) -> None:
        """A plugin that was given up can be made ready again, also before its end."""
        waiting, transport = self.send()
        self.plugin.disconnect()
        again = self.plugin.connect()
        self.assertNoResult(again)
        self.reactor.advance(0)
        self.reactor.advance(0)
        self.successResultOf(again)
        self.assertTrue(self.plugin.isConnected())
        self.assertInDoubt(waiting, "disconnected")
        waiting, transport = self.send()
        self.give(transport, makeResponse())
        self.assertEqual(self.successResultOf(waiting), FULFILL)


class SecureTests(SenderTestCase):
    """With TLS, nothing has left before the handshake is over."""

    url = f"https://:{TOKEN}@127.0.0.1:3002/ilp"

    def test_handshakeFails(self) -> None:
        waiting, transport = self.send()
        self.assertNotIn(b"POST", transport.take())
        self.give(transport, b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.reactor.advance(0)
        self.assertNotSent(waiting, "SSL")

    def test_handshakeNeverEnds(self) -> None:
        waiting, transport = self.send()
        self.reactor.pump([1] * 36)
        self.assertNotSent(waiting, "35 s")
        self.assertTrue(transport.isAborted)

    def test_lost(self) -> None:
        waiting, transport = self.send()
        transport.end()
        self.reactor.advance(0)
        self.assertNotSent(waiting, "Connection")

    def test_disconnected(self) -> None:
        waiting, transport = self.send()
        self.plugin.disconnect()
        self.reactor.advance(0)
        self.assertNotSent(waiting, "disconnected")
        self.assertTrue(transport.isAborted)


class WindowTests(SenderTestCase):
    """How much is under way at once."""

    def setUp(self) -> None:
        super().setUp()
        self.producer = Producer()
        self.plugin.registerProducer(self.producer, True)

    def test_water(self) -> None:
        self.post(3)
        self.assertEqual(self.producer.calls, [])
        self.assertFalse(self.plugin.isFull())
        self.post(1)
        self.assertTrue(self.plugin.isFull())
        self.assertEqual(self.producer.calls, ["pause"])
        transports = [self.accept() for _ in range(4)]
        for transport in transports[:2]:
            self.give(transport, makeResponse())
        self.assertEqual(self.producer.calls, ["pause"])
        transports[2].protocol.dataReceived(makeResponse())
        self.assertEqual(self.producer.calls, ["pause"])
        self.reactor.advance(0)
        self.assertEqual(self.producer.calls, ["pause", "resume"])

    def test_waits(self) -> None:
        """Packets beyond the window wait for a connection, in their order."""
        waiting = self.post(6)
        self.assertEqual(len(self.reactor.tcpClients), 4)
        first, *_ = [self.accept() for _ in range(4)]
        waiting[4].cancel()
        self.failureResultOf(waiting[4], CancelledError)
        self.give(first, makeResponse())
        self.assertEqual(first.take(), REQUEST * 2)
        self.give(first, makeResponse())
        self.assertEqual(self.successResultOf(waiting[5]), FULFILL)
        self.assertNoResult(waiting[1])

    def test_waitsForever(self) -> None:
        """Those that never had a turn were not sent; those that had are in doubt."""
        waiting = self.post(6)
        for _ in range(4):
            self.accept()
        self.reactor.pump([1] * 36)
        for each in waiting[:4]:
            self.assertInDoubt(each, "35 s")
        for each in waiting[4:]:
            self.assertNotSent(each, "35 s")

    def test_tooMany(self) -> None:
        waiting = self.post(4 + 1024)
        self.assertNoResult(waiting[-1])
        self.assertNotSent(self.plugin.sendData(PREPARE), "wait already")
        self.plugin.disconnect()
        self.reactor.advance(0)
        for each in waiting:
            self.failureResultOf(each, NotSent)
        self.assertEqual(self.producer.calls, ["pause", "resume"])

    def test_cancelled(self) -> None:
        """Who gives up hears nothing more; the packet goes its way, and keeps its place."""
        waiting, transport = self.send()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertFalse(transport.isEnding)
        self.post(3)
        self.assertTrue(self.plugin.isFull())
        self.give(transport, makeResponse())
        self.assertFalse(self.plugin.isFull())
        self.assertEqual(self.events, [])

    def test_resumedBeforeDisconnection(self) -> None:
        """A resumption that is due is not forgotten when the plugin is given up."""
        waiting = self.post(4)
        transports = [self.accept() for _ in range(3)]
        for each in transports:
            each.protocol.dataReceived(makeResponse())
        self.plugin.disconnect()
        self.reactor.advance(0)
        self.assertEqual(self.producer.calls, ["pause", "resume"])
        # The connection that was free first took it.
        self.assertInDoubt(waiting[3], "disconnected")

    def test_fullAtOnceAgain(self) -> None:
        """What fills the window before a due resumption puts it off."""
        waiting = self.post(4)
        for _ in range(3):
            self.accept().protocol.dataReceived(makeResponse())
        waiting += self.post(3)
        self.reactor.advance(0)
        self.assertEqual(self.producer.calls, ["pause"])

    def test_synchronousRefusal(self) -> None:
        """An endpoint that fails at once takes no stack for the packets that wait."""
        waiting = self.post(4 + 1024)

        def connectTCP(*args: object, **kwargs: object) -> None:
            raise ConnectionRefusedError("no")

        self.patch(self.reactor, "connectTCP", connectTCP)
        self.refuse(ConnectionRefusedError("no"))
        for each in waiting[:-3]:
            self.assertNotSent(each, "ConnectionRefusedError")
        for each in waiting[-3:]:
            self.assertNoResult(each)

    def test_badLimits(self) -> None:
        for limits in ({"window": 0}, {"window": 1001}, {"timeout": 0.0}, {"timeout": -1.0}):
            self.assertRaises(LocalError, HTTPPlugin, self.reactor, self.url, **limits)
