"""Tests for C{txilpstream.transport.server}."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IListeningPort
from zope.interface.verify import verifyObject

from txilpstream.crypto.credentials import Credentials
from txilpstream.crypto.tokens import TokenFormats
from txilpstream.errors import ConnectionEnded, DecodeError, LocalError
from txilpstream.plugins.memory import memoryPair
from txilpstream.test.support.connected import ConnectedTestCase, HalfRecorder, Recorders
from txilpstream.testing import Latency, PacketRate, SimulatedPath
from txilpstream.transport.account import Account
from txilpstream.transport.server import LINGER, StreamServer
from txilpstream.wire.ilp import Reject, decodeReply, encodePrepare, encodeTimestamp

SECRET = bytes(range(32))


class ServerTests(ConnectedTestCase):
    """Listening, and the table of connections."""

    def use(self, credentials: Credentials, **options: Any) -> Any:
        """The client's protocol on a stream of a connection with these credentials."""
        self.connection = self.after(self.client.connect(credentials, **options), 5)
        near = self.openStream()
        near.transport.write(b"!")
        self.run_()
        return near

    def codeOf(self, destination: str, amount: int = 0) -> str:
        """The code of the reject that junk to an address gets."""
        data = encodePrepare(amount, encodeTimestamp(30), bytes(32), destination, b"junk" * 20)
        reply = self.right.receivePrepare(data)
        assert isinstance(reply, bytes)
        reject = decodeReply(reply)
        assert isinstance(reject, Reject)
        return reject.code

    def test_port(self) -> None:
        """A port is what it says."""
        self.listen()
        verifyObject(IListeningPort, self.port)
        self.port.startListening()
        self.assertEqual(self.port.getHost().address, "test.right")

    def test_stoppedBeforeItListens(self) -> None:
        """It may be given up while its account is opening, and tried again."""
        plugin, _ = memoryPair(self.clock)
        connecting: Deferred[None] = Deferred()
        connect = plugin.connect
        plugin.connect = lambda: connecting  # type: ignore[method-assign]
        account = Account(self.clock, plugin, address="test.slow", wallClock=self.clock.seconds)
        server = StreamServer(account)
        factory = Recorders()
        listening = server.listen(factory)
        self.successResultOf(server.stopListening())
        self.failureResultOf(listening, CancelledError)
        self.assertEqual(factory.numPorts, 0)
        connecting.callback(None)
        self.run_()
        self.assertEqual(factory.numPorts, 0)
        plugin.connect = connect  # type: ignore[method-assign]
        port = self.after(server.listen(factory))
        self.assertEqual(factory.numPorts, 1)
        self.after(port.stopListening())
        self.assertEqual(factory.numPorts, 0)

    def test_options(self) -> None:
        """Secrets and options that are not valid are refused."""
        self.assertRaises(LocalError, StreamServer, self.right, b"short")
        self.assertRaises(LocalError, StreamServer, self.right, colour="red")
        self.assertRaises(LocalError, StreamServer, self.right, packetExpiry=0)
        for options in (
            {"maximumConnections": 0},
            {"byteBudget": -5},
            {"minimumRate": 1.0},
            {"destinationAddress": "test.other"},
            {"connectionTag": "everybody"},
        ):
            self.assertRaises(LocalError, StreamServer, self.right, **options)

    def test_wrongTypes(self) -> None:
        """What is of the wrong type is named at the call, and no secret is shown."""
        make: Any = StreamServer
        for arguments, options, text in (
            (("btp+ws://alice:pass@host",), {}, r"account is .*'btp\+ws:\.\.\.'.*pluginFromS"),
            ((None,), {}, "account is None: it takes an Account or a plugin"),
            ((self.right, SECRET.hex()), {}, "secret must be bytes, not str"),
            ((self.right,), {"policy": HalfRecorder}, "policy is the class HalfRecorder: it takes"),
        ):
            with self.assertRaisesRegex(LocalError, text) as raised:
                make(*arguments, **options)
            self.assertNotIn("alice", str(raised.exception))
            self.assertNotIn(SECRET.hex(), str(raised.exception))
        server = make(self.right)
        with self.assertRaisesRegex(LocalError, "factory is the class HalfRecorder: .*forProtocol"):
            server.listen(HalfRecorder)
        self.successResultOf(server.listen(Recorders()))

    def test_noAddress(self) -> None:
        """An account without an address serves nobody."""
        account = Account(self.clock, memoryPair(self.clock)[0])
        server = StreamServer(account)
        self.assertRaises(LocalError, server.generateCredentials)
        listening = server.listen(Recorders())
        self.run_()
        self.failureResultOf(listening, DecodeError)
        self.successResultOf(server.stopListening())

    def test_onlyOne(self) -> None:
        """An account has one server, whatever another one does that never listened."""
        self.listen()
        other = StreamServer(self.right)
        self.assertRaises(LocalError, other.listen, Recorders())
        self.successResultOf(other.stopListening())
        self.use(self.server.generateCredentials())

    def test_credentials(self) -> None:
        """Tag and receipts travel in the address."""
        self.listen()
        credentials = self.server.generateCredentials(
            connectionTag="invoice-7", receiptNonce=bytes(16), receiptSecret=bytes(32)
        )
        self.assertTrue(credentials.receiptsEnabled)
        self.assertEqual((credentials.assetCode, credentials.assetScale), ("USD", 9))
        self.use(credentials)
        self.assertEqual(self.served.peers[0].connectionTag, "invoice-7")
        self.assertRaises(LocalError, self.server.generateCredentials, connectionTag="a b")

    def test_sameSecret(self) -> None:
        """Credentials outlive the process if the secret does."""
        self.listen(secret=SECRET)
        credentials = self.server.generateCredentials()
        self.after(self.port.stopListening())
        self.listen(secret=SECRET)
        self.use(credentials)
        self.assertEqual(self.served.made[0].data, b"!")

    def test_stranger(self) -> None:
        """Packets that do not authenticate leave no trace."""
        self.listen()
        known = self.server.generateCredentials().destinationAddress
        for address in ("test.right.stranger", known):
            self.assertEqual(self.codeOf(address), "F06")
        self.assertEqual(self.server.connections, {})

    def test_stop(self) -> None:
        """All connections are closed in good order; nothing is left with the reactor."""
        self.listen()
        first = self.use(self.server.generateCredentials())
        second = self.use(self.server.generateCredentials())
        self.after(self.port.stopListening(), 5)
        self.assertEqual(first.happened[-1], "lost")
        self.assertEqual(second.happened[-1], "lost")
        self.assertEqual(self.server.connections, {})
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.successResultOf(self.server.stopListening())

    def test_stopLingering(self) -> None:
        """A server that stops waits for no late packets, and may listen again."""
        self.listen()
        credentials = self.server.generateCredentials()
        self.use(credentials)
        self.after(self.connection.close(), 5)
        self.after(self.server.stopListening())
        self.assertEqual(self.server.connections, {})
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.successResultOf(self.server.listen(self.served))
        self.use(credentials)

    def test_lingers(self) -> None:
        """A closed connection answers late packets for a while, and is forgotten then."""
        self.listen()
        self.use(self.server.generateCredentials())
        self.after(self.connection.close(), 5)
        self.assertEqual(len(self.server.connections), 1)
        self.run_(LINGER + 1)
        self.assertEqual(len(self.server.connections), 0)

    def test_again(self) -> None:
        """Money under the same credentials makes a new connection once the old one is over."""
        self.listen()
        credentials = self.server.generateCredentials()
        for number in range(3):
            connection = self.client.openConnection(credentials)
            near = self.successResultOf(connection.openStream(Recorders()))
            near.transport.write(b"!")
            self.assertTrue(self.after(near.transport.sendMoney(10), 5).isComplete)
            self.assertEqual(self.served.made[number].data, b"!")
            self.assertEqual(len(self.server.connections), 1)
            self.after(connection.close(), 5)

    def test_againForgetsLate(self) -> None:
        """The lingering of an old connection does not end the new one."""
        self.listen()
        credentials = self.server.generateCredentials()
        self.use(credentials)
        self.after(self.connection.close(), 5)
        self.connection = self.client.openConnection(credentials)
        near = self.openStream()
        self.assertTrue(self.after(near.transport.sendMoney(10), 5).isComplete)
        self.run_(LINGER)
        self.assertEqual(len(self.server.connections), 1)
        self.assertTrue(self.after(near.transport.sendMoney(10), 5).isComplete)

    def test_againAtOnce(self) -> None:
        """Credentials are good for one connection after the other, without a pause."""
        self.listen()
        credentials = self.server.generateCredentials()
        for _ in range(3):
            self.use(credentials)
            self.after(self.connection.close(), 1)
        self.assertEqual([made.data for made in self.served.made], [b"!"] * 3)

    def test_lateStart(self) -> None:
        """A copy of the first packet of a closed connection does not make a new one."""
        self.listen()
        credentials = self.server.generateCredentials()
        first: list[bytes] = []
        real = self.left.plugin.sendData

        def sendData(data: bytes) -> Any:
            first.append(data)
            return real(data)

        self.patch(self.left.plugin, "sendData", sendData)
        self.use(credentials)
        self.after(self.connection.close(), 5)
        self.right.receivePrepare(first[0])
        (closed,) = self.server.connections.values()
        self.assertTrue(closed.session.isClosed)

    def test_forgottenMeanwhile(self) -> None:
        """A client that comes back to a connection that ended and is forgotten is told so."""
        self.listen(idleTimeout=10)
        near = self.use(self.server.generateCredentials(), idleTimeout=600)
        self.left.plugin.deregisterDataHandler()  # the server's close does not arrive
        self.run_(20 + LINGER)
        self.assertEqual(self.server.connections, {})
        near.transport.write(b"still there?")
        self.run_(5)
        self.assertEqual(near.happened[-1], "lost")
        self.assertEqual([made.data for made in self.served.made], [b"!"])

    def busyStop(self) -> Deferred[None]:
        """Stop a server that has written much."""

        class Big(HalfRecorder):
            def connectionMade(self) -> None:
                super().connectionMade()
                self.transport.write(b"y" * 3_000_000)

        path = SimulatedPath(self.clock, [Latency(0.2), PacketRate(100, 100)])
        self.join(path.left, path.right)
        self.listen(Big)
        self.late = self.server.generateCredentials()
        self.near = self.use(self.server.generateCredentials())
        return self.server.stopListening()

    def test_stopDelivers(self) -> None:
        """A server that stops delivers first what was written, and takes no one new."""
        stopped = self.busyStop()
        again = self.server.stopListening()
        opening = self.client.connect(self.late, timeout=2)
        self.run_(3)
        self.failureResultOf(opening, ConnectionEnded)
        self.run_(60)
        self.successResultOf(stopped)
        self.successResultOf(again)
        self.assertEqual(len(self.near.data), 3_000_000)

    def test_cancelledStop(self) -> None:
        """Who no more waits for its end does not keep a server from it, nor from another run."""
        stopped = self.busyStop()
        stopped.cancel()
        self.failureResultOf(stopped, CancelledError)
        again = self.server.stopListening()
        self.run_(60)
        self.successResultOf(again)
        self.assertEqual(len(self.near.data), 3_000_000)
        self.successResultOf(self.server.listen(Recorders()))

    def test_againFull(self) -> None:
        """A new connection needs room of its own."""
        self.listen(maximumConnections=1)
        credentials = self.server.generateCredentials()
        self.use(credentials)
        self.after(self.connection.close(), 5)
        connection = self.client.openConnection(credentials)
        near = self.successResultOf(connection.openStream(Recorders()))
        self.assertTrue(self.after(near.transport.sendMoney(10), 5).isComplete)

    def test_lateStranger(self) -> None:
        """Money that does not authenticate is no reason to make a closed connection anew."""
        self.listen()
        credentials = self.server.generateCredentials()
        self.use(credentials)
        self.after(self.connection.close(), 5)
        destination = credentials.destinationAddress
        self.assertEqual(self.codeOf(destination, 5), "F06")
        self.assertEqual(len(self.server.connections), 1)

    def test_full(self) -> None:
        """A full table refuses whoever comes next, for a while."""
        self.listen(maximumConnections=2)
        for _ in range(2):
            self.use(self.server.generateCredentials())
        late = self.client.connect(self.server.generateCredentials(), timeout=5)
        self.run_(6)
        error = self.failureResultOf(late, ConnectionEnded).value
        self.assertIn("T03", str(error))
        self.assertEqual(len(self.server.connections), 2)

    def test_idleIsLetGo(self) -> None:
        """An idle connection makes room; its next packet makes it anew."""
        self.listen(maximumConnections=2)
        idle = self.connect()
        busy = self.use(self.server.generateCredentials())
        third = self.connect()
        self.assertEqual(len(self.server.connections), 2)
        busy.transport.write(b"still here")
        self.run_()
        self.assertEqual(self.served.made[0].data, b"!still here")
        self.assertFalse(third.session.isClosed)
        self.assertFalse(idle.session.isClosed)

    def test_letGoStays(self) -> None:
        """One that was let go with a turn ahead of it says nothing to its successor's client."""
        self.listen(maximumConnections=1)
        connection = self.after(self.client.connect(self.server.generateCredentials()))
        (old,) = self.server.connections.values()
        old._wake()
        self.assertTrue(self.server._makeRoom())
        near = self.successResultOf(connection.openStream(Recorders()))
        for _ in range(80):
            near.transport.write(b"z")
            self.run_(1)
        self.assertFalse(old.session.isClosed)
        self.assertFalse(connection.session.isClosed)
        self.assertEqual(self.served.made[0].data, b"z" * 80)

    def test_usedIsKept(self) -> None:
        """A connection that was used stays: its limits and totals would be lost."""
        self.listen(maximumConnections=1)
        near = self.use(self.server.generateCredentials())
        near.transport.loseConnection()
        self.run_(5)
        late = self.client.connect(self.server.generateCredentials(), timeout=5)
        self.run_(6)
        self.failureResultOf(late, ConnectionEnded)
        self.openStream().transport.write(b"more")
        self.run_()
        self.assertEqual(self.served.made[-1].data, b"more")

    def test_closedIsLetGo(self) -> None:
        """So does a closed one."""
        self.listen(maximumConnections=1)
        self.use(self.server.generateCredentials())
        self.after(self.connection.close(), 5)
        self.use(self.server.generateCredentials())
        self.assertEqual(len(self.server.connections), 1)


class FormatTests(ConnectedTestCase):
    """A server secret that comes from another implementation."""

    def test_otherFormat(self) -> None:
        """Credentials that interledger-rs gave out are good here."""
        self.listen(secret=SECRET, tokenFormats=("stream-receiver", "interledger-rs"))
        text = urlsafe_b64encode(b"q" * 18).decode()
        secret = TokenFormats(SECRET, ("interledger-rs",)).read(text)[1]
        credentials = Credentials(f"test.right.{text}", secret)
        connection = self.after(self.client.connect(credentials), 5)
        near = self.successResultOf(connection.openStream(Recorders()))
        self.assertTrue(self.after(near.transport.sendMoney(10), 5).isComplete)

    def test_notAsked(self) -> None:
        """Unless they are asked for, only our own are."""
        self.listen(secret=SECRET)
        text = urlsafe_b64encode(b"q" * 18).decode()
        secret = TokenFormats(SECRET, ("interledger-rs",)).read(text)[1]
        refused = self.client.connect(Credentials(f"test.right.{text}", secret), timeout=5)
        self.run_(10)
        self.failureResultOf(refused, ConnectionEnded)


class ExpiryTests(ConnectedTestCase):
    """Credentials that expire."""

    def test_expired(self) -> None:
        """No connection begins with them then, and one that began goes on."""
        self.listen()
        now = int(self.right.now())
        credentials = self.server.generateCredentials(expiresAt=now + 3)
        connection = self.after(self.client.connect(credentials), 1)
        near = self.successResultOf(connection.openStream(Recorders()))
        self.run_(5)
        self.assertTrue(self.after(near.transport.sendMoney(10), 5).isComplete)
        late = self.server.generateCredentials(expiresAt=now)
        refused = self.client.connect(late, timeout=5)
        self.run_(10)
        self.failureResultOf(refused, ConnectionEnded)
