"""How WebSockets shake hands."""

from __future__ import annotations

from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from wsproto.events import AcceptConnection, BytesMessage, Request
from wsproto.extensions import PerMessageDeflate

from txilpstream.plugins.btp.websocket import HANDSHAKE_LIMIT
from txilpstream.plugins.handshake import ClientWebSocket, ServerWebSocket
from txilpstream.test.sockets import Owner, RawPeer
from txilpstream.test.support import forAll

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


class ServerTests(SynchronousTestCase):
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


class ClientTests(SynchronousTestCase):
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
