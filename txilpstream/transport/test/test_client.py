"""Tests for C{txilpstream.transport.client}."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred, fail

from txilpstream.amounts import Ratio
from txilpstream.crypto.credentials import Credentials
from txilpstream.crypto.tokens import TokenFormats
from txilpstream.errors import ConnectionEnded, LocalError
from txilpstream.plugins.memory import memoryPair
from txilpstream.test.support.connected import LEFT, RIGHT, ConnectedTestCase, Recorders
from txilpstream.testing import Loss, SimulatedPath
from txilpstream.transport.account import Account
from txilpstream.transport.client import StreamClient
from txilpstream.transport.server import StreamServer


class ClientTests(ConnectedTestCase):
    """Opening connections."""

    def setUp(self) -> None:
        """A server."""
        super().setUp()
        self.listen()

    def test_connect(self) -> None:
        """The server has proved that it knows the secret, and its asset is known."""
        connection = self.connect()
        self.assertFalse(connection.session.isClosed)
        self.assertEqual(connection.session.peerAsset, ("USD", 9))
        self.assertTrue(connection.sourceAddress.startswith("test.left."))
        self.run_(40)
        self.assertFalse(connection.session.isClosed)

    def test_unreachable(self) -> None:
        """A client that does not say where it is is answered, and gets nothing else."""
        connection = self.connect(isReachable=False)
        [back] = self.server.connections.values()
        self.assertEqual((connection.sourceAddress, back.session.peerAddress), ("", ""))
        self.assertEqual(connection.session.peerAsset, ("USD", 9))
        near = self.successResultOf(connection.openStream(Recorders()))
        self.assertEqual(self.after(near.transport.sendMoney(5)).sent, 5)
        self.served.made[0].transport.write(b"nobody hears this")
        self.run_(10)
        self.assertEqual((back.packetsSent, near.data), (0, b""))

    def test_mustBeReachable(self) -> None:
        """Servers that cannot read an empty address are told a real one, be it asked for or not."""
        self.port.stopListening()
        self.run_()
        self.listen(secret=bytes(32), tokenFormats=("interledger-rs",))
        text = "A" * 24
        secret = TokenFormats(bytes(32), ("interledger-rs",)).read(text)[1]
        credentials = Credentials(f"test.right.{text}", secret)
        connection = self.after(self.client.connect(credentials, isReachable=False))
        self.assertTrue(connection.sourceAddress.startswith("test.left."))

    def test_start(self) -> None:
        """One need not wait: what is written leaves as soon as it can."""
        connection = self.client.openConnection(self.server.generateCredentials())
        near = self.successResultOf(connection.openStream(Recorders()))
        near.transport.write(b"early")
        paid = near.transport.sendMoney(5)
        self.assertEqual(self.after(paid).sent, 5)
        self.assertEqual(self.served.made[0].data, b"early")

    def test_wrongSecret(self) -> None:
        """A server that does not know the secret answers F06; the error says so."""
        good = self.server.generateCredentials()
        opening = self.client.connect(Credentials(good.destinationAddress, bytes(32)))
        self.run_(60)
        error = self.failureResultOf(opening, ConnectionEnded).value
        self.assertIn("F06", str(error))
        self.assertEqual(error.rejects[0].code, "F06")

    def test_timeout(self) -> None:
        """A path that loses everything fails the opening in time."""
        path = SimulatedPath(self.clock, [Loss(1.0)])
        self.join(path.left, path.right)
        self.listen()
        opening = self.client.connect(self.server.generateCredentials(), timeout=3)
        self.run_(2.9)
        self.assertNoResult(opening)
        self.run_(0.2)
        error = self.failureResultOf(opening, ConnectionEnded).value
        self.assertIn("did not answer within 3 s", str(error))
        self.run_(120)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_timeoutIsForAll(self) -> None:
        """The time that the account takes to open counts; too long, and nothing is sent."""
        plugin, _ = memoryPair(self.clock)
        connecting: list[Deferred[None]] = []

        def connect() -> Deferred[None]:
            connecting.append(Deferred())
            return connecting[-1]

        for takes, text in ((2, "the server did not answer"), (None, "the account did not open")):
            self.patch(plugin, "connect", connect)
            account = Account(self.clock, plugin, address="test.x", wallClock=self.clock.seconds)
            opening = StreamClient(account).connect(self.server.generateCredentials(), timeout=3)
            self.run_(2)
            if takes:
                connecting.pop().callback(None)
            self.run_(0.9)
            self.assertNoResult(opening)
            self.run_(0.2)
            self.assertIn(text, str(self.failureResultOf(opening, ConnectionEnded).value))
            self.after(account.close())

    def test_cancel(self) -> None:
        """Cancelling gives the connection up."""
        opening = self.client.connect(self.server.generateCredentials())
        opening.cancel()
        self.failureResultOf(opening)
        self.run_(60)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelledInTurn(self) -> None:
        """Giving up at the very end, or because another waiter was called back, does no harm."""
        path = SimulatedPath(self.clock, [Loss(1.0)])
        self.join(path.left, path.right)
        opening = self.client.connect(self.server.generateCredentials(), timeout=3)
        opening.addTimeout(3, self.clock)
        self.run_(10)
        self.failureResultOf(opening)
        self.join(*memoryPair(self.clock, left=LEFT, right=RIGHT))
        self.listen()
        connection = self.client.openConnection(self.server.generateCredentials())
        first = self.client.whenConnected(connection)
        second = self.client.whenConnected(connection)
        first.addCallback(lambda _: second.cancel())
        second.addErrback(lambda failure: failure.trap(CancelledError))
        self.run_()
        self.successResultOf(first)
        self.assertFalse(connection.session.isClosed)

    def test_options(self) -> None:
        """Options that are not known or not valid are refused, and the segment is freed."""
        credentials = self.server.generateCredentials()
        self.assertRaises(LocalError, self.client.openConnection, credentials, colour="red")
        self.assertRaises(LocalError, self.client.openConnection, credentials, packetExpiry=0.1)
        self.assertRaises(LocalError, self.client.connect, cast(Any, "credentials"))
        for options in (
            {"slippage": 0.01},
            {"minimumRate": 1.0},
            {"packetExpiry": "soon"},
            {"isServer": True},
            {"destinationAddress": "test.other"},
            {"sourceAssetCode": "X" * 101},
        ):
            self.assertRaises(LocalError, self.client.connect, credentials, **options)
        connection = self.client.openConnection(credentials, maximumPacketAmount=10)
        near = self.successResultOf(connection.openStream(Recorders()))
        self.assertTrue(self.after(near.transport.sendMoney(95), 5).isComplete)
        self.assertLessEqual(max(self.served.made[0].amounts), 10)

    def test_wrongTypes(self) -> None:
        """What is of the wrong type is named at the call, and no secret is shown."""
        credentials = self.server.generateCredentials()
        secret = credentials.sharedSecret.hex()
        client: Any = self.client
        for call in (client.connect, client.openConnection):
            for arguments, options, text in (
                ((secret,), {}, "credentials is a string of 64 characters: it takes Credentials"),
                (({"secret": secret},), {}, "credentials is of type dict"),
                ((credentials,), {"factory": Recorders}, "factory is the class Recorders"),
                ((credentials,), {"policy": "yes"}, "policy is a string of 3 characters"),
            ):
                with self.assertRaisesRegex(LocalError, text) as raised:
                    call(*arguments, **options)
                self.assertNotIn(secret, str(raised.exception))
        connection = self.connect()
        self.assertRaises(LocalError, connection.openStream, cast(Any, Recorders))
        self.assertEqual(connection.streams, {})

    def test_freed(self) -> None:
        """A connection that is over has no address any more."""
        connection = self.connect()
        segment = connection.sourceAddress.rpartition(".")[2]
        self.assertNotEqual(self.left._reserve(), segment)
        self.after(connection.close())
        self.run_()
        other = self.connect()
        self.assertNotEqual(other.sourceAddress, connection.sourceAddress)

    def test_peerOpens(self) -> None:
        """The server opens a stream; the client's factory serves it."""
        factory = Recorders()
        self.connect(factory=factory)
        back = next(iter(self.server.connections.values()))
        far = self.successResultOf(back.openStream(Recorders()))
        far.transport.write(b"push")
        paid = far.transport.sendMoney(3)
        self.assertEqual(self.after(paid).sent, 3)
        self.assertEqual(factory.made[0].data, b"push")
        self.assertEqual(factory.peers[0].streamID, 2)

    def test_peerMayNotOpen(self) -> None:
        """Without a factory the server's streams are refused."""
        self.connect()
        back = next(iter(self.server.connections.values()))
        far = self.successResultOf(back.openStream(Recorders()))
        far.transport.write(b"push")
        self.run_()
        self.assertEqual(far.happened, ["made", "lost"])

    def test_plugin(self) -> None:
        """A client and a server that are given plugins make their accounts, and open them."""
        left, right = memoryPair(self.clock, left=LEFT, right=RIGHT)
        reactor: Any = self.clock
        server = StreamServer(right, reactor=reactor)
        listening = server.listen(Recorders())
        self.assertRaises(LocalError, server.generateCredentials)
        self.after(listening)
        client = StreamClient(left, reactor=reactor)
        connection = self.after(client.connect(server.generateCredentials(), slippage=Ratio(0)))
        self.assertEqual(connection.session.peerAsset, ("USD", 9))
        self.assertEqual(client.account.address, "test.left")
        self.assertRaises(LocalError, StreamClient, cast(Any, "plugin"))

    def test_withoutAddress(self) -> None:
        """A client that cannot be reached gets its answers all the same."""
        self.left.address = ""
        connection = self.connect()
        self.assertEqual(connection.sourceAddress, "")
        near = self.successResultOf(connection.openStream(Recorders()))
        near.transport.write(b"ask")
        self.assertTrue(self.after(near.transport.sendMoney(10), 5).isComplete)
        self.after(connection.close(), 5)

    def test_pluginDown(self) -> None:
        """A plugin that takes nothing fails the opening."""
        plugin, _ = memoryPair(self.clock, left=LEFT)
        account = self.account(plugin)
        self.patch(plugin, "sendData", lambda data: fail(OSError("down")))
        opening = StreamClient(account).connect(self.server.generateCredentials(), timeout=5)
        self.run_(10)
        self.failureResultOf(opening, ConnectionEnded)
