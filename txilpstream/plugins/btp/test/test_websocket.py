"""
Tests of C{txilpstream.plugins.btp.websocket}: WebSockets once they are connected: messages,
silence, full sockets and the end.
"""

from __future__ import annotations

from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from wsproto.connection import Connection, ConnectionType
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    Pong,
    Request,
    TextMessage,
)
from wsproto.extensions import PerMessageDeflate
from zope.interface.verify import verifyObject

from txilpstream.plugins.btp.websocket import (
    CLOSE_TIME,
    HANDSHAKE_LIMIT,
    LARGE_READ,
    OVERHANG,
    PING_INTERVAL,
    SMALL_READ,
    ClientWebSocket,
    JoinedMessage,
    ServerWebSocket,
    WebSocket,
    encodeBinary,
)
from txilpstream.test.support.sockets import Owner, RawPeer
from txilpstream.test.support.strategies import forAll
from txilpstream.test.support.virtual import VirtualTestCase


class WebSocketTestCase(VirtualTestCase):
    """A server's socket that a peer has opened."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.owner = Owner()
        self.socket = ServerWebSocket(self.clock, self.owner, maximumMessage=1000)
        self.raw = RawPeer(self.socket, isClient=True)
        self.raw.request()
        self.raw.events.clear()
        self.assertEqual(self.owner.events, ["opened"])

    def lose(self) -> None:
        """Close the transport."""
        self.socket.connectionLost(Failure(ConnectionDone()))

    def assertClosing(self, code: int) -> None:
        """It closed with this code, and hears no more."""
        self.assertEqual(self.raw.closeCodes(), [code])
        self.assertTrue(self.raw.transport.disconnecting)
        self.assertFalse(self.socket.isOpen)
        self.socket.dataReceived(b"\x82\x01a" * 10)
        self.assertFalse(self.socket.sendMessage(b"a"))


class MessageTests(WebSocketTestCase):
    """What is a message, and what is none."""

    def test_interface(self) -> None:
        verifyObject(IPushProducer, self.socket)
        self.socket.stopProducing()

    def test_noDelay(self) -> None:
        self.assertTrue(self.raw.transport.isNoDelay)

    def test_bothWays(self) -> None:
        self.raw.say(BytesMessage(b"a"), BytesMessage(b""), BytesMessage(bytes(1000)))
        self.assertEqual(self.owner.messages, [b"a", b"", bytes(1000)])
        self.assertTrue(self.socket.sendMessage(b"answer"))
        self.assertEqual(self.raw.hear(), [BytesMessage(b"answer")])

    def test_chunks(self) -> None:
        """A message in single octets and fragments is the same."""
        peer = self.raw.peer
        data = peer.send(BytesMessage(b"a" * 300))
        data += peer.send(BytesMessage(b"", message_finished=False))
        data += peer.send(BytesMessage(b"b" * 3, message_finished=False))
        data += peer.send(Ping())
        data += peer.send(BytesMessage(b"c" * 3))
        self.raw.deliver(data, 1)
        self.assertEqual(self.owner.messages, [b"a" * 300, b"bbbccc"])
        self.assertTrue(all(type(each) is bytes for each in self.owner.messages))

    def test_tooLong(self) -> None:
        self.raw.say(BytesMessage(bytes(1001)))
        self.assertClosing(1009)
        self.assertEqual(self.owner.messages, [])

    def test_tooLongWithoutEnd(self) -> None:
        """Fragments are counted before they are joined, and the last need not come."""
        for _ in range(10):
            self.raw.say(BytesMessage(bytes(100), message_finished=False))
        self.assertTrue(self.socket.isOpen)
        self.raw.say(BytesMessage(b"a", message_finished=False))
        self.assertClosing(1009)

    def test_tooLongOnTheWay(self) -> None:
        """A frame that announces much is dropped before it came."""
        self.raw.deliver(b"\x82\xff\x00\x00\x01\x00\x00\x00\x00\x00" + bytes(4) + bytes(1001))
        self.assertClosing(1009)

    def test_limitChanges(self) -> None:
        self.socket.maximumMessage = 3
        self.raw.say(BytesMessage(b"abc"))
        self.assertEqual(self.owner.messages, [b"abc"])
        self.raw.say(BytesMessage(b"abcd"))
        self.assertClosing(1009)

    def test_text(self) -> None:
        self.raw.say(TextMessage("a"))
        self.assertClosing(1003)
        self.lose()
        self.assertEqual(self.owner.lost, ["the peer sent text"])

    def test_wrongFrames(self) -> None:
        for frame in (
            b"\x82\x01a",  # without a mask
            b"\xc2\x81\0\0\0\0a",  # a reserved bit, as with compression
            b"\x83\x80\0\0\0\0",  # an unknown opcode
            b"\x80\x80\0\0\0\0",  # a continuation of nothing
            b"\x82\xfe\0\x01\0\0\0\0a",  # a length that is written too long
        ):
            self.setUp()
            self.raw.deliver(frame)
            self.assertClosing(1002)

    def test_othersAfterTheEnd(self) -> None:
        """What follows in the same chunk is not heard."""
        self.raw.say(TextMessage("a"), BytesMessage(b"a"))
        self.assertEqual(self.owner.messages, [])

    @forAll(st.lists(st.binary(max_size=40), max_size=6), examples=300)
    def test_anything(self, chunks: list[bytes]) -> None:
        """No octets raise, and what is not closed is open."""
        self.setUp()
        for chunk in chunks:
            self.socket.dataReceived(chunk)
        self.lose()
        self.assertEqual(len(self.owner.lost), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class SilenceTests(WebSocketTestCase):
    """Pings, and a peer that is gone."""

    def test_pinged(self) -> None:
        """A silent peer is pinged, and dropped when it stays silent for 60 s more."""
        self.clock.advance(PING_INTERVAL)
        self.assertEqual(self.raw.hear(), [])
        self.clock.advance(PING_INTERVAL)
        self.assertEqual(self.raw.hear(), [Ping(b"")])
        self.clock.advance(PING_INTERVAL)
        self.assertEqual(len(self.raw.hear()), 2)
        self.assertFalse(self.raw.transport.isAborted)
        self.clock.advance(PING_INTERVAL)
        self.assertTrue(self.raw.transport.isAborted)
        self.lose()
        self.assertEqual(self.owner.lost, ["the peer is silent"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_alive(self) -> None:
        """Any sound will do, and one timer serves all messages."""
        for _ in range(20):
            self.clock.advance(PING_INTERVAL)
            self.raw.say(Pong(b""))
            self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.assertTrue(self.socket.isOpen)

    def test_fullIsNotPinged(self) -> None:
        self.socket.pauseProducing()
        self.clock.advance(PING_INTERVAL)
        self.clock.advance(PING_INTERVAL)
        self.assertEqual(self.raw.hear(), [])

    def test_answered(self) -> None:
        self.raw.say(Ping(b"who"))
        self.assertEqual(self.raw.hear(), [Pong(b"who")])

    def test_flood(self) -> None:
        """One answer is enough for many pings, and none is for a peer that does not read."""
        self.raw.say(*[Ping(b"%d" % index) for index in range(100)])
        self.assertEqual(self.raw.hear(), [Pong(b"99")])
        self.socket.pauseProducing()
        self.raw.say(Ping(b"100"))
        self.assertEqual(len(self.raw.hear()), 1)


class FullTests(WebSocketTestCase):
    """A socket that takes no more."""

    def test_told(self) -> None:
        """The owner is told, and a server does not read from who does not read."""
        self.assertIs(self.raw.transport.producer, self.socket)
        self.socket.pauseProducing()
        self.assertTrue(self.socket.isFull)
        self.assertFalse(self.raw.transport.isReading)
        self.socket.resumeProducing()
        self.assertFalse(self.socket.isFull)
        self.assertTrue(self.raw.transport.isReading)
        self.assertEqual(self.owner.events, ["opened", "full", "drained"])

    def test_overhang(self) -> None:
        """What was under way is written still, up to a limit that starts anew."""
        message = bytes(OVERHANG // 4)
        self.socket.pauseProducing()
        for _ in range(5):
            self.assertTrue(self.socket.sendMessage(message))
            self.socket.pauseProducing()
        self.assertFalse(self.socket.sendMessage(message))
        self.assertTrue(self.socket.isOpen)
        self.socket.resumeProducing()
        self.assertTrue(self.socket.sendMessage(message))
        self.socket.pauseProducing()
        self.assertTrue(self.socket.sendMessage(message))

    def test_closeWhileFull(self) -> None:
        """To hear the peer's goodbye it is read again, and not paused once more."""
        self.socket.pauseProducing()
        self.socket.close()
        self.assertTrue(self.raw.transport.isReading)
        self.socket.pauseProducing()
        self.assertTrue(self.raw.transport.isReading)


class ClosingTests(WebSocketTestCase):
    """How it ends."""

    def test_both(self) -> None:
        """Messages count until the peer has closed too."""
        self.socket.close()
        self.socket.close()
        self.assertEqual(self.raw.closeCodes(), [1000])
        self.assertFalse(self.raw.transport.disconnecting)
        self.raw.deliver(b"\x82\x81\0\0\0\0a")
        self.assertEqual(self.owner.messages, [b"a"])
        lost = self.socket.whenLost()
        self.raw.deliver(self.raw.peer.send(CloseConnection(1000)))
        self.assertTrue(self.raw.transport.disconnecting)
        self.assertIsNone(self.raw.transport.producer)
        self.assertNoResult(lost)
        self.lose()
        self.assertEqual(self.owner.lost, ["this end closed with 1000"])
        self.successResultOf(lost)
        self.successResultOf(self.socket.whenLost())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_peerCloses(self) -> None:
        self.raw.say(CloseConnection(1001))
        self.assertEqual(self.raw.closeCodes(), [1001])
        self.assertTrue(self.raw.transport.disconnecting)
        self.lose()
        self.assertEqual(self.owner.lost, ["the peer closed with 1001"])

    def test_peerClosesWithoutCode(self) -> None:
        self.raw.deliver(b"\x88\x80\0\0\0\0")
        self.assertTrue(self.raw.transport.disconnecting)

    def test_peerDoesNotClose(self) -> None:
        for code in (1000, 1008):
            self.setUp()
            self.socket.close(code)
            self.clock.advance(CLOSE_TIME)
            self.assertTrue(self.raw.transport.isAborted)
            self.lose()
            self.assertEqual(self.owner.lost, [f"this end closed with {code}"])

    def test_wrongWhileClosing(self) -> None:
        """Whoever does not close properly has closed all the same."""
        for frame in (b"\x83\x80\0\0\0\0", b"\x81\x81\0\0\0\0a"):
            self.setUp()
            self.socket.close()
            self.raw.deliver(frame)
            self.assertClosing(1000)

    def test_pingWhileClosing(self) -> None:
        self.socket.close()
        self.raw.deliver(b"\x89\x80\0\0\0\0")
        self.assertEqual(self.raw.closeCodes(), [1000])

    def test_aborted(self) -> None:
        self.socket.abort("enough")
        self.assertTrue(self.raw.transport.isAborted)
        self.socket.close()
        self.lose()
        self.assertEqual(self.owner.lost, ["enough"])

    def test_lost(self) -> None:
        self.lose()
        self.assertEqual(self.owner.lost, ["Connection was closed cleanly."])

    def test_closedByOwner(self) -> None:
        """An owner may close while it takes a message; the next one is not heard."""
        self.owner.messageReceived = lambda data: self.socket.close(1008)  # type: ignore[method-assign]
        self.raw.say(BytesMessage(b"a"), BytesMessage(b"b"))
        self.assertClosing(1008)

    def test_handshakeIsTheSubclass(self) -> None:
        plain = WebSocket(self.clock, self.owner)
        self.assertRaises(NotImplementedError, plain.headReceived, b"", b"")


REQUEST = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


class ServerTests(VirtualTestCase):
    """The end that is called."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.owner = Owner()
        self.socket = ServerWebSocket(self.clock, self.owner, handshakeTime=10.0)
        self.raw = RawPeer(self.socket, isClient=True)

    def ask(self, request: bytes) -> bytes:
        """Send octets and give the answer's first line."""
        self.raw.deliver(request)
        answer: bytes = self.raw.transport.value()
        return answer.partition(b"\r\n")[0]

    def test_accepted(self) -> None:
        self.raw.request()
        self.assertEqual(self.raw.hear(), [AcceptConnection()])
        self.assertTrue(self.socket.isOpen)
        self.assertEqual(self.owner.events, ["opened"])

    def test_sampleOfTheRFC(self) -> None:
        self.assertEqual(self.ask(REQUEST + b"\r\n")[:12], b"HTTP/1.1 101")
        self.assertIn(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", self.raw.transport.value())

    def test_inSingleOctets(self) -> None:
        self.raw.deliver(REQUEST + b"\r\n", 1)
        self.assertTrue(self.socket.isOpen)

    def test_extensionsAndSubprotocols(self) -> None:
        """Compression is not accepted; of sub-protocols there is one."""
        self.raw.request(extensions=[PerMessageDeflate()], subprotocols=["mqtt", "btp"])
        (accepted,) = self.raw.events
        assert isinstance(accepted, AcceptConnection)
        self.assertEqual((accepted.subprotocol, accepted.extensions), ("btp", []))

    def test_otherSubprotocols(self) -> None:
        self.raw.request(subprotocols=["mqtt"])
        self.assertEqual(self.raw.events, [AcceptConnection()])

    def test_refused(self) -> None:
        for change, status in (
            (b"Origin: http://a\r\n", b"HTTP/1.1 403 Forbidden"),
            (b"oRIGIN: null\r\n", b"HTTP/1.1 403 Forbidden"),
            (b"Sec-WebSocket-Protocol: \xff\r\n", b"HTTP/1.1 400 Bad Request"),
            (b"Host: \xff\r\n", b"HTTP/1.1 400 Bad Request"),
            (b"no header\r\n", b"HTTP/1.1 400 Bad Request"),
            (b"Sec-WebSocket-Version: 12\r\n", b"HTTP/1.1 426 Upgrade Required"),
        ):
            self.setUp()
            self.assertEqual(self.ask(REQUEST + change + b"\r\n"), status)
            self.assertTrue(self.raw.transport.disconnecting)
            self.assertFalse(self.socket.isOpen)
            self.raw.deliver(REQUEST)
            self.socket.connectionLost(Failure(ConnectionDone()))
            self.assertIn("refused", self.owner.lost[0])
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_noWebSocket(self) -> None:
        self.assertIn(b"400", self.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
        self.setUp()
        self.assertIn(b"400", self.ask(REQUEST.replace(b"GET", b"POST") + b"\r\n"))
        self.setUp()
        self.assertIn(b"400", self.ask(b"\r\n\r\n"))

    def test_tooEarly(self) -> None:
        """A peer that speaks before it is answered is refused."""
        self.assertIn(b"400", self.ask(REQUEST + b"\r\n\x82"))
        self.assertEqual(self.owner.events, [])

    def test_tooLong(self) -> None:
        for size in (HANDSHAKE_LIMIT + 1, 1000):
            self.setUp()
            self.raw.deliver(b"GET / HTTP/1.1\r\nA: " + b"a" * HANDSHAKE_LIMIT, size)
            self.assertTrue(self.raw.transport.isAborted)
            self.assertEqual(self.raw.transport.value(), b"")
        self.setUp()
        self.raw.deliver(REQUEST + b"A: " + b"a" * HANDSHAKE_LIMIT + b"\r\n\r\n")
        self.assertTrue(self.raw.transport.isAborted)

    def test_tooSlow(self) -> None:
        self.raw.deliver(REQUEST)
        self.clock.advance(10)
        self.assertTrue(self.raw.transport.isAborted)
        self.socket.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.owner.lost, ["the WebSocket handshake took longer than 10 s"])

    def test_closedBefore(self) -> None:
        self.socket.close()
        self.assertTrue(self.raw.transport.isAborted)

    def test_plainTransport(self) -> None:
        """A transport that is not TCP has no delay to be set."""
        ServerWebSocket(self.clock, self.owner).makeConnection(StringTransport())

    @forAll(st.binary(max_size=300), examples=300)
    def test_anything(self, data: bytes) -> None:
        """No octets raise."""
        self.setUp()
        self.raw.deliver(data + b"\r\n\r\n")
        self.setUp()
        self.raw.deliver(REQUEST + data + b"\r\n\r\n")


class ClientTests(VirtualTestCase):
    """The end that calls."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.owner = Owner()
        self.socket = ClientWebSocket(
            self.clock, self.owner, host="example.com:81", path="/path?query", handshakeTime=10.0
        )
        self.raw = RawPeer(self.socket, isClient=False)

    def lose(self) -> None:
        """Close the transport."""
        self.socket.connectionLost(Failure(ConnectionDone()))

    def answer(self, data: bytes) -> None:
        """Answer with these octets, and lose the connection."""
        self.raw.deliver(data)
        self.assertTrue(self.raw.transport.isAborted)
        self.lose()

    def test_request(self) -> None:
        self.assertTrue(self.raw.transport.value().startswith(b"GET /path?query HTTP/1.1\r\n"))
        (request,) = self.raw.hear()
        assert isinstance(request, Request)
        self.assertEqual(request.host, "example.com:81")
        self.assertEqual((request.extensions, request.subprotocols), ([], []))

    def test_accepted(self) -> None:
        """Messages may follow in the same chunk."""
        self.raw.hear()
        data = self.raw.peer.send(AcceptConnection()) + self.raw.peer.send(BytesMessage(b"a"))
        self.raw.deliver(data)
        self.assertEqual(self.owner.events, ["opened"])
        self.assertEqual(self.owner.messages, [b"a"])
        self.socket.sendMessage(b"b")
        self.assertEqual(self.raw.hear()[1:], [BytesMessage(b"b")])

    def test_closedWhenOpened(self) -> None:
        """An owner that closes at once hears nothing of what follows."""
        self.owner.socketOpened = lambda socket: socket.close(1008)  # type: ignore[method-assign]
        self.raw.hear()
        data = self.raw.peer.send(AcceptConnection()) + self.raw.peer.send(BytesMessage(b"a"))
        self.raw.deliver(data)
        self.assertEqual(self.owner.messages, [])

    def test_readsWhileFull(self) -> None:
        """Were both ends to stop reading, neither would go on."""
        self.raw.hear()
        self.raw.deliver(self.raw.peer.send(AcceptConnection()))
        self.socket.pauseProducing()
        self.assertTrue(self.raw.transport.isReading)

    def test_otherStatus(self) -> None:
        for status in (100, 200, 302, 404):
            self.setUp()
            self.answer(b"HTTP/1.1 %d Some Reason\r\nContent-Length: 5\r\n\r\nhello" % status)
            self.assertIn(f"with {status}, not with 101", self.owner.lost[0])
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_wrongAnswer(self) -> None:
        upgrade = b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        for answer in (
            b"220 mail.example.com\r\n\r\n",
            upgrade + b"\r\n",
            upgrade + b"Sec-WebSocket-Accept: wrong\r\n\r\n",
            upgrade + b"Sec-WebSocket-Protocol: \xff\r\n\r\n",
        ):
            self.setUp()
            self.answer(answer)
            self.assertIn("is wrong", self.owner.lost[0])

    def test_tooSlow(self) -> None:
        self.raw.deliver(b"HTTP/1.1 101")
        self.clock.advance(10)
        self.assertTrue(self.raw.transport.isAborted)


datas = st.one_of(
    st.binary(max_size=300),
    st.sampled_from([0, 125, 126, 255, 256, 65535, 65536, 70001]).map(lambda size: b"ab" * size),
)


class BinaryTests(VirtualTestCase):
    """It is what C{wsproto} writes and reads."""

    @forAll(datas)
    def test_server(self, data: bytes) -> None:
        written = Connection(ConnectionType.SERVER).send(BytesMessage(data))
        self.assertEqual(encodeBinary(data), bytes(written))

    @forAll(datas, st.binary(min_size=4, max_size=4))
    def test_client(self, data: bytes, key: bytes) -> None:
        reader = Connection(ConnectionType.SERVER)
        reader.receive_data(encodeBinary(data, key) + encodeBinary(b"next", key))
        joined: list[bytes] = [b""]
        for event in reader.events():
            assert isinstance(event, BytesMessage)
            joined[-1] += event.data
            if event.message_finished:
                joined.append(b"")
        self.assertEqual(joined, [data, b"next", b""])


class JoinedMessageTests(VirtualTestCase):
    """What is joined, within a limit."""

    def add(self, joined: JoinedMessage, data: bytes, maximum: int = 10) -> bool:
        """Add a chunk."""
        return joined.add(BytesMessage(data), maximum)

    def test_joined(self) -> None:
        joined = JoinedMessage()
        for chunk in (b"ab", b"cd", b"ef"):
            self.assertTrue(self.add(joined, chunk))
        self.assertEqual(joined.take(), b"abcdef")
        self.assertEqual(joined.take(), b"")

    def test_tooLong(self) -> None:
        """What would be too long is not added."""
        joined = JoinedMessage()
        self.assertTrue(self.add(joined, b"x" * 10))
        self.assertFalse(self.add(joined, b"x"))
        self.assertEqual(joined.take(), b"x" * 10)

    def test_readSize(self) -> None:
        """Little is read at once until a message was large, and again when one was small."""
        joined = JoinedMessage()
        self.assertEqual(joined.readSize, SMALL_READ)
        for size, expected in ((5000, LARGE_READ), (4096, SMALL_READ)):
            self.add(joined, bytes(size), 10_000)
            joined.take()
            self.assertEqual(joined.readSize, expected)
