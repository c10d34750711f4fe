"""Tests of C{txilpstream.plugins.btp.link}: BTP after the login."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from wsproto.events import BytesMessage, CloseConnection
from zope.interface.verify import verifyObject

from txilpstream.errors import ConnectionEnded
from txilpstream.interfaces import IPlugin, NotSent
from txilpstream.plugins.btp.link import ANSWERING_TIME, MAXIMUM_ANSWERING, BTPLink, Correlation
from txilpstream.plugins.btp.websocket import OVERHANG, ServerWebSocket
from txilpstream.plugins.test.test_base import Producer
from txilpstream.test.support.sockets import Owner, RawPeer
from txilpstream.test.support.strategies import forAll, mutated
from txilpstream.test.support.virtual import VirtualTestCase, counting
from txilpstream.wire.btp import (
    BTPError,
    BTPMessage,
    BTPPacket,
    BTPResponse,
    BTPTransfer,
    ProtocolData,
    decode,
    encode,
    encodeILPMessage,
)
from txilpstream.wire.ilp import Reject, decodeReply

ILP = [ProtocolData("ilp", 0, b"prepare")]


class LinkTestCase(VirtualTestCase):
    """A link whose peer is the test."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.link = BTPLink(
            self.clock, randomBytes=counting(b"\0\0\1\0"), wallClock=lambda: 1767323045.678
        )
        self.asked: list[bytes] = []
        self.answers: list[Deferred[bytes]] = []
        self.raw = self.attach()

    def attach(self) -> RawPeer:
        """Give the link a connection."""
        socket = ServerWebSocket(self.clock, Owner())
        raw = RawPeer(socket, isClient=True)
        raw.request()
        raw.events.clear()
        self.link.attach(socket)
        return raw

    def answerAtOnce(self) -> None:
        """Let the link answer in capitals."""

        def answer(data: bytes) -> bytes:
            self.asked.append(data)
            return data.upper()

        self.link.registerDataHandler(answer)

    def answerLater(self) -> None:
        """Let the link answer with Deferreds."""

        def answer(data: bytes) -> Deferred[bytes]:
            self.answers.append(Deferred())
            return self.answers[-1]

        self.link.registerDataHandler(answer)

    def say(self, *packets: BTPPacket) -> None:
        """Send packets to the link."""
        self.raw.say(*[BytesMessage(encode(packet)) for packet in packets])

    def heard(self) -> list[BTPPacket]:
        """Take what the link sent."""
        events = self.raw.hear()
        messages = [decode(bytes(each.data)) for each in events if isinstance(each, BytesMessage)]
        events[:] = [each for each in events if not isinstance(each, BytesMessage)]
        return messages

    def assertRefused(self, requestId: int) -> None:
        """The link answered with an Error, and with nothing else."""
        (error,) = self.heard()
        assert isinstance(error, BTPError)
        self.assertEqual((error.requestId, error.code), (requestId, "F00"))
        self.assertEqual(error.name, "NotAcceptedError")
        self.assertEqual(error.triggeredAt, "20260102030405.678Z")

    def lose(self) -> None:
        """Cut the connection."""
        self.raw.socket.abort("cut")
        self.raw.socket.connectionLost()


class SendingTests(LinkTestCase):
    """Requests of this end."""

    def test_interface(self) -> None:
        verifyObject(IPlugin, self.link)
        self.assertRaises(NotImplementedError, self.link.connect)
        self.assertRaises(NotImplementedError, self.link.disconnect)

    def test_answered(self) -> None:
        """Answers come in any order, and beside other entries."""
        one, two = self.link.sendData(b"a"), self.link.sendData(b"b")
        self.assertEqual(
            self.heard(),
            [
                BTPMessage(256, [ProtocolData("ilp", 0, b"a")]),
                BTPMessage(257, [ProtocolData("ilp", 0, b"b")]),
            ],
        )
        self.say(BTPResponse(257, [ProtocolData("ilp", 0, b"B")]))
        self.say(BTPResponse(256, [ProtocolData("extra"), ProtocolData("ilp", 0, b"A")]))
        self.assertEqual(self.successResultOf(one), b"A")
        self.assertEqual(self.successResultOf(two), b"B")

    def test_refused(self) -> None:
        """Whoever refuses may have passed the packet on all the same."""
        waiting = self.link.sendData(b"a")
        self.say(BTPError(256, "T00", "Unreachable\r\n", "", b""))
        error = self.failureResultOf(waiting, ConnectionEnded).value
        self.assertIn("'T00 Unreachable\\r\\n'", str(error))

    def test_answeredWithout(self) -> None:
        waiting = self.link.sendData(b"a")
        self.say(BTPResponse(256, []))
        self.failureResultOf(waiting, ConnectionEnded)

    def test_unexpected(self) -> None:
        """Answers that nobody waits for are counted and not answered."""
        late = self.link.sendData(b"a")
        self.heard()
        late.cancel()
        self.failureResultOf(late, CancelledError)
        self.say(BTPResponse(256, ILP), BTPResponse(1, []), BTPError(2, "F00", "", ""))
        self.assertEqual(self.link.unexpectedAnswers, 3)
        self.assertEqual(self.heard(), [])

    def test_tooLate(self) -> None:
        waiting = self.link.sendData(b"a")
        self.clock.advance(29)
        self.raw.say(BytesMessage(encode(BTPResponse(9, []))))
        self.clock.advance(6)
        self.assertIn("35", str(self.failureResultOf(waiting, ConnectionEnded).value))

    def test_lost(self) -> None:
        """What was sent is in doubt, and what is sent meanwhile certainly did not leave."""
        waiting = self.link.sendData(b"a")
        again = waiting.addErrback(self.resend)
        self.lose()
        self.assertFalse(self.link.isConnected())
        self.successResultOf(again)
        self.failureResultOf(self.link.sendData(b"b"), NotSent)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def resend(self, failure: Failure) -> None:
        """Send while the link is failing."""
        failure.trap(ConnectionEnded)
        self.failureResultOf(self.link.sendData(b"again"), NotSent)

    def test_peerCloses(self) -> None:
        """From its goodbye on nothing is sent, though the socket is not gone yet."""
        waiting = self.link.sendData(b"a")
        self.raw.say(CloseConnection(1000))
        self.assertFalse(self.link.isConnected())
        self.failureResultOf(self.link.sendData(b"b"), NotSent)
        self.assertNoResult(waiting)
        self.raw.socket.connectionLost()
        self.failureResultOf(waiting, ConnectionEnded)

    def test_producer(self) -> None:
        """A full socket pauses, and so does a lost one, of which the producer is told again."""
        producer = Producer()
        self.link.registerProducer(producer, True)
        self.raw.socket.pauseProducing()
        self.assertTrue(self.link.isFull())
        self.raw.socket.resumeProducing()
        self.assertEqual(producer.calls, ["pause", "resume"])
        self.raw.socket.pauseProducing()
        self.lose()
        self.assertEqual(producer.calls[2:], ["pause", "pause"])
        self.assertTrue(self.link.isFull())
        self.attach()
        self.assertEqual(producer.calls[-1], "resume")

    def test_attachedFull(self) -> None:
        producer = Producer()
        socket = ServerWebSocket(self.clock, Owner())
        raw = RawPeer(socket, isClient=True)
        raw.request()
        socket.pauseProducing()
        self.link.registerProducer(producer, True)
        self.link.attach(socket)
        self.assertEqual(producer.calls, ["pause"])

    def test_overhang(self) -> None:
        """Whoever sends on into a full socket is told that it does not leave."""
        self.raw.socket.pauseProducing()
        self.link.sendData(bytes(OVERHANG + 1))
        self.failureResultOf(self.link.sendData(b"a"), NotSent)
        self.assertTrue(self.link.isConnected())

    def test_displaced(self) -> None:
        """Of two connections only the last is the link's."""
        producer = Producer()
        self.link.registerProducer(producer, True)
        waiting = self.link.sendData(b"a")
        before = self.raw.socket
        self.raw = self.attach()
        before.pauseProducing()
        before.resumeProducing()
        self.assertEqual(producer.calls, ["pause", "resume"])
        before.connectionLost()
        self.failureResultOf(waiting, ConnectionEnded)
        self.assertTrue(self.link.isConnected())
        self.link.sendData(b"b")
        self.assertEqual(len(self.heard()), 1)


class AnsweringTests(LinkTestCase):
    """Requests of the peer's."""

    def test_atOnce(self) -> None:
        self.answerAtOnce()
        self.say(BTPMessage(1, ILP), BTPMessage(1, ILP))
        expected = BTPResponse(1, [ProtocolData("ilp", 0, b"PREPARE")])
        self.assertEqual(self.heard(), [expected, expected])

    def test_otherEntries(self) -> None:
        """Entries of unknown names beside it do not matter."""
        self.answerAtOnce()
        self.say(BTPMessage(1, [ProtocolData("custom"), *ILP]))
        self.assertEqual(self.asked, [b"prepare"])
        self.assertIsInstance(self.heard()[0], BTPResponse)

    def test_anyOrder(self) -> None:
        self.answerLater()
        self.say(BTPMessage(1, ILP), BTPMessage(2, ILP))
        self.assertEqual(self.heard(), [])
        self.answers[1].callback(b"b")
        self.answers[0].callback(b"a")
        self.assertEqual(
            self.heard(),
            [
                BTPResponse(2, [ProtocolData("ilp", 0, b"b")]),
                BTPResponse(1, [ProtocolData("ilp", 0, b"a")]),
            ],
        )

    def test_sameId(self) -> None:
        """A second request with an id is refused, and the first goes on."""
        self.answerLater()
        self.say(BTPMessage(1, ILP))
        self.say(BTPMessage(1, ILP))
        self.assertRefused(1)
        self.say(BTPTransfer(1, 1, []))
        self.assertRefused(1)
        self.answers[0].callback(b"a")
        self.assertEqual(self.heard(), [BTPResponse(1, [ProtocolData("ilp", 0, b"a")])])
        self.assertEqual(len(self.answers), 1)

    def test_noHandler(self) -> None:
        self.say(BTPMessage(1, ILP))
        (response,) = self.heard()
        reply = decodeReply(response.protocolData[0].data)
        assert isinstance(reply, Reject)
        self.assertEqual(reply.code, "T01")

    def test_unknownSubprotocol(self) -> None:
        self.say(BTPMessage(1, []))
        self.assertRefused(1)
        self.say(BTPMessage(2, [ProtocolData("auth"), ProtocolData("ilp")]))
        self.assertRefused(2)

    def test_busy(self) -> None:
        """Too many requests without an answer give T03; very old ones do not count."""
        self.answerLater()
        self.say(*[BTPMessage(each, ILP) for each in range(MAXIMUM_ANSWERING)])
        self.clock.advance(1)
        self.say(BTPMessage(5000, ILP))
        (response,) = self.heard()
        reply = decodeReply(response.protocolData[0].data)
        assert isinstance(reply, Reject)
        self.assertEqual(reply.code, "T03")
        self.link.transferReceived = lambda amount, entries: None
        self.say(BTPTransfer(5001, 1, []))
        self.assertRefused(5001)
        self.clock.advance(ANSWERING_TIME / 2)
        self.raw.deliver(b"\x8a\x80\0\0\0\0")
        self.clock.advance(ANSWERING_TIME / 2)
        self.say(BTPMessage(5002, ILP))
        self.assertEqual(len(self.answers), MAXIMUM_ANSWERING + 1)
        self.answers[0].callback(b"very late")
        self.answers[-1].callback(b"a")
        self.assertEqual(self.heard(), [BTPResponse(5002, [ProtocolData("ilp", 0, b"a")])])

    def test_answerAfterLoss(self) -> None:
        """An answer belongs to the connection that asked."""
        self.answerLater()
        self.say(BTPMessage(1, ILP))
        self.lose()
        self.raw = self.attach()
        self.answers[0].callback(b"a")
        self.assertEqual(self.heard(), [])

    def test_closing(self) -> None:
        """After this end's goodbye the peer's answers count, but its requests are not taken."""
        self.answerAtOnce()
        self.link.transferReceived = lambda amount, entries: self.fail("it was taken")
        waiting = self.link.sendData(b"a")
        self.raw.socket.close()
        for packet in (
            BTPMessage(1, ILP),
            BTPTransfer(2, 1, []),
            BTPResponse(256, [ProtocolData("ilp", 0, b"A")]),
        ):
            data = encode(packet)
            self.raw.deliver(b"\x82%c\0\0\0\0%b" % (0x80 | len(data), data))
        self.assertEqual(self.asked, [])
        self.assertEqual(self.successResultOf(waiting), b"A")

    def test_full(self) -> None:
        """Requests are held while the socket is full, in their order, and answers are not."""
        self.answerAtOnce()
        waiting = self.link.sendData(b"a")
        self.heard()
        socket = self.raw.socket
        socket.pauseProducing()
        self.say(BTPMessage(1, ILP), BTPMessage(2, ILP), BTPMessage(3, ILP))
        self.say(BTPResponse(256, ILP))
        self.assertEqual(self.successResultOf(waiting), b"prepare")
        self.assertEqual((self.asked, self.heard()), ([], []))
        self.say(BTPMessage(1, ILP))
        self.assertRefused(1)
        self.link.deregisterDataHandler()

        def answer(data: bytes) -> bytes:
            if len(self.asked) == 2:
                socket.pauseProducing()
            self.asked.append(data)
            return b""

        producer = Producer()
        self.link.registerDataHandler(answer)
        self.link.registerProducer(producer, True)
        socket.resumeProducing()
        self.assertEqual([packet.requestId for packet in self.heard()], [1, 2, 3])
        self.assertEqual(producer.calls, ["pause"])
        socket.resumeProducing()
        self.assertEqual(producer.calls, ["pause", "resume"])

    def test_heldAndGone(self) -> None:
        """What was held when the connection ended is not taken."""
        self.answerAtOnce()
        self.raw.socket.pauseProducing()
        self.say(BTPMessage(1, ILP))
        self.raw.socket.close()
        self.raw.socket.resumeProducing()
        self.raw.socket.connectionLost()
        self.assertEqual(self.asked, [])

    def test_heldTooMuch(self) -> None:
        """Beyond a limit they are rejected."""
        self.answerAtOnce()
        self.raw.socket.pauseProducing()
        large = [ProtocolData("ilp", 0, bytes(60000))]
        self.say(*[BTPMessage(each, large) for each in range(OVERHANG // 60000 + 2)])
        (response,) = self.heard()
        reply = decodeReply(response.protocolData[0].data)
        assert isinstance(reply, Reject)
        self.assertEqual(reply.code, "T03")

    def test_unread(self) -> None:
        """A peer that does not read its answers is dropped before they fill the memory."""
        self.answerLater()
        count = OVERHANG // 60000 + 2
        self.say(*[BTPMessage(each, ILP) for each in range(count)])
        self.raw.socket.pauseProducing()
        for answer in self.answers:
            answer.callback(bytes(60000))
        self.assertTrue(self.raw.transport.isAborted)

    def test_malformed(self) -> None:
        """What is no packet closes; the log has one line for many."""
        for _ in range(3):
            self.raw = self.attach()
            self.raw.say(BytesMessage(b"\x06"))
            self.assertEqual(self.raw.closeCodes(), [1002])
        self.assertEqual(self.link.malformedPackets, 3)

    @forAll(
        st.lists(mutated(st.builds(encodeILPMessage, st.integers(0, 9), st.binary())), max_size=4)
    )
    def test_anything(self, messages: list[bytes]) -> None:
        """No message raises."""
        self.setUp()
        for message in messages:
            if self.raw.socket.isOpen:
                self.raw.say(BytesMessage(message))


class TransferTests(LinkTestCase):
    """Money that moved beside Interledger."""

    def setUp(self) -> None:
        super().setUp()
        self.taken: list[Any] = []

    def test_nobody(self) -> None:
        self.say(BTPTransfer(1, 5, []))
        self.assertRefused(1)

    def test_taken(self) -> None:
        self.link.transferReceived = lambda amount, entries: self.taken.append((amount, entries))
        self.say(BTPTransfer(1, 5, ILP))
        self.assertEqual(self.taken, [(5, ILP)])
        self.assertEqual(self.heard(), [BTPResponse(1, [])])

    def test_later(self) -> None:
        taken: Deferred[None] = Deferred()
        self.link.transferReceived = lambda amount, entries: taken
        self.say(BTPTransfer(1, 5, []))
        self.assertEqual(self.heard(), [])
        taken.callback(None)
        self.assertEqual(self.heard(), [BTPResponse(1, [])])

    def test_refused(self) -> None:
        """To fail is to refuse, and nothing of the failure is told or logged but its kind."""
        self.link.transferReceived = lambda amount, entries: fail(ValueError("a secret"))
        self.say(BTPTransfer(1, 5, []))
        self.assertRefused(1)

        def take(amount: int, entries: list[ProtocolData]) -> None:
            raise ZeroDivisionError("a secret")

        self.link.transferReceived = take
        self.say(BTPTransfer(2, 5, []))
        self.assertRefused(2)

    def test_tooOld(self) -> None:
        """One that was given up for its age is not answered any more."""
        taken: Deferred[None] = Deferred()
        self.link.transferReceived = lambda amount, entries: taken
        self.say(BTPTransfer(9999, 5, []))
        self.answerLater()
        self.say(*[BTPMessage(each, ILP) for each in range(MAXIMUM_ANSWERING - 1)])
        self.clock.advance(ANSWERING_TIME / 2)
        self.raw.deliver(b"\x8a\x80\0\0\0\0")
        self.clock.advance(ANSWERING_TIME / 2)
        self.say(BTPMessage(5000, ILP))
        taken.callback(None)
        self.assertEqual(self.heard(), [])


class CorrelationTests(VirtualTestCase):
    """Ids, deadlines and the one timer."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.requests: Correlation[bytes] = Correlation(self.clock, 35.0, 41, "no answer")

    def end(self, requestId: int, answer: bytes) -> None:
        """Answer a request."""
        waiting = self.requests.end(requestId)
        assert waiting is not None
        waiting.callback(answer)

    def test_answered(self) -> None:
        """Answers come in any order."""
        (first, one), (second, two) = self.requests.begin(), self.requests.begin()
        self.assertEqual((first, second, len(self.requests)), (41, 42, 2))
        self.end(second, b"b")
        self.end(first, b"a")
        self.assertEqual(self.successResultOf(one), b"a")
        self.assertEqual(self.successResultOf(two), b"b")
        self.assertEqual(len(self.requests), 0)

    def test_answeredOnce(self) -> None:
        requestId, _ = self.requests.begin()
        self.assertIsNotNone(self.requests.end(requestId))
        self.assertIsNone(self.requests.end(requestId))
        self.assertIsNone(self.requests.end(99))

    def test_wraps(self) -> None:
        """Ids have 32 bits, and one in use is passed over."""
        requests: Correlation[bytes] = Correlation(self.clock, 35.0, 2**40 + 2**32 - 1, "")
        ids = [requests.begin()[0] for _ in range(2)]
        self.assertEqual(ids, [2**32 - 1, 0])

    def test_inUse(self) -> None:
        """The id of a request that waits is passed over."""
        requests: Correlation[bytes] = Correlation(self.clock, 35.0, 0, "", idBits=2)
        ids = [requests.begin()[0] for _ in range(4)]
        self.assertEqual(ids, [0, 1, 2, 3])
        requests.end(2)
        self.assertEqual(requests.begin()[0], 2)

    def test_tooLate(self) -> None:
        """One timer ends each request at its own deadline, a second late at most."""
        _, first = self.requests.begin()
        self.clock.advance(0.5)
        second, two = self.requests.begin()
        self.clock.advance(10)
        third, three = self.requests.begin()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(24.5)
        self.assertIn("no answer", str(self.failureResultOf(first, ConnectionEnded).value))
        self.assertNoResult(two)
        self.clock.advance(1)
        self.failureResultOf(two, ConnectionEnded)
        self.assertIsNone(self.requests.end(second))
        self.assertNoResult(three)
        self.end(third, b"c")
        self.assertEqual(self.successResultOf(three), b"c")
        self.clock.advance(35)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelled(self) -> None:
        requestId, waiting = self.requests.begin()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertIsNone(self.requests.end(requestId))

    def test_failAll(self) -> None:
        """All fail in their order, and nothing is left with the reactor."""
        failed: list[int] = []

        def note(failure: Failure, index: int) -> None:
            failed.append(index)

        for index in range(3):
            self.requests.begin()[1].addErrback(note, index)
        self.requests.failAll(ConnectionEnded("lost"))
        self.assertEqual(failed, [0, 1, 2])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.requests.failAll(ConnectionEnded("lost"))

    def test_begunWhileFailing(self) -> None:
        """What a callback begins or cancels meanwhile is not disturbed."""
        _, first = self.requests.begin()
        _, second = self.requests.begin()
        begun: list[Deferred[bytes]] = []

        def ebFirst(failure: Failure) -> None:
            begun.append(self.requests.begin()[1])
            second.cancel()

        first.addErrback(ebFirst)
        self.requests.failAll(ConnectionEnded("lost"))
        self.failureResultOf(second, CancelledError)
        self.assertNoResult(begun[0])
        self.assertEqual(len(self.requests), 1)

    def test_cancelledWhileSweeping(self) -> None:
        _, first = self.requests.begin()
        _, second = self.requests.begin()
        first.addErrback(lambda _: second.cancel())
        self.clock.advance(35)
        self.failureResultOf(second, CancelledError)
