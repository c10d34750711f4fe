"""Tests of C{txilpstream.hub.server}: a hub with doors: who is admitted, and under which name."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from txilpstream.errors import LocalError
from txilpstream.hub import server
from txilpstream.hub.accounts import AccountOptions
from txilpstream.hub.connector import Hub
from txilpstream.hub.server import LocalHub
from txilpstream.interfaces import IPlugin, NotSent
from txilpstream.plugins.memory import memoryPair
from txilpstream.test.support.hubs import EPOCH, prepareTo
from txilpstream.test.support.virtual import VirtualTestCase
from txilpstream.wire.ildcp import decodeResponse, encodeRequest


class AdmissionTests(VirtualTestCase):
    """Tokens and accounts."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.hub = Hub(self.clock, wallClock=lambda: EPOCH)
        self.local = LocalHub(self.clock, self.hub, options=AccountOptions("EUR", 6))

    def addressOf(self, token: str) -> str:
        """The address of the account whose token it is."""
        admitted = self.local.admitHTTP(token)
        assert admitted is not None
        reply = admitted.answerPrepare(encodeRequest(EPOCH + 30))
        assert isinstance(reply, bytes)
        return decodeResponse(reply).address

    def test_made(self) -> None:
        """Any token gets an account, the same each time, by either door."""
        first = self.addressOf("some token")
        self.assertEqual(self.addressOf("some token"), first)
        self.assertNotEqual(self.addressOf("another"), first)
        self.assertIs(self.local.admitBTP("", "some token"), self.local.admitBTP("x", "some token"))
        account = self.hub.accounts[first.rpartition(".")[2]]
        self.assertEqual(account.options.asset, ("EUR", 6))
        self.assertTrue(account.isMade)
        self.assertNotIn("some", first)

    def test_restart(self) -> None:
        """Another hub gives the same token the same address."""
        other = LocalHub(self.clock, Hub(self.clock))
        first = self.addressOf("some token")
        other.admitHTTP("some token")
        self.assertEqual(list(other.hub.accounts), [first.rpartition(".")[2]])

    def test_names(self) -> None:
        """Who gives a name has it, and nobody else gets it then; a name that is none is passed."""
        self.assertIsNotNone(self.local.admitBTP("alice", "t1"))
        self.assertIsNone(self.local.admitBTP("alice", "t2"))
        self.assertIn("alice", self.hub.accounts)
        self.assertIsNotNone(self.local.admitBTP("a b", "t3"))
        self.assertIsNone(self.local.admitBTP("x" * 101, "t4"))
        self.assertEqual(len(self.hub.accounts), 2)

    def test_noToken(self) -> None:
        for token in ("", "x" * 1001):
            self.assertIsNone(self.local.admitHTTP(token))
            self.assertIsNone(self.local.admitBTP("alice", token))

    def test_closed(self) -> None:
        """Where it is not open only known tokens are admitted."""
        closed = LocalHub(self.clock, self.hub, isOpen=False)
        closed.addAccount("alice", token="t1")
        self.assertIsNone(closed.admitHTTP("t2"))
        self.assertIsNotNone(closed.admitHTTP("t1"))
        self.assertIsNotNone(closed.admitBTP("whatever", "t1"))

    def test_sameToken(self) -> None:
        self.local.addAccount("alice", token="t1")
        with self.assertRaisesRegex(LocalError, "another account"):
            self.local.addAccount("bob", token="t1")
        self.local.addAccount("carol")
        self.local.addAccount("dave")

    def test_tooMany(self) -> None:
        """Whoever comes to a full table takes the place of somebody who has nothing to lose."""
        with patch.object(server, "MOST_MADE", 2):
            self.addressOf("t1")
            second = self.addressOf("t2")
            for account in self.hub.accounts.values():
                account.balance = account.totalReceived = 1
            self.assertIsNone(self.local.admitHTTP("t3"))
            account = self.hub.accounts[second.rpartition(".")[2]]
            account.balance = account.totalReceived = 0
            self.addressOf("t3")
            self.assertNotIn(account.name, self.hub.accounts)
            self.assertEqual(len(self.hub.accounts), 2)

    def test_onlySends(self) -> None:
        """An account that came by HTTP cannot be reached."""
        admitted: Any = self.local.admitHTTP("t1")
        verifyObject(IPlugin, admitted)
        self.assertFalse(admitted.isConnected())
        self.failureResultOf(admitted.sendData(b"x"), NotSent)
        self.successResultOf(admitted.connect())
        name = next(iter(self.hub.accounts))
        other: Any = self.local.admitHTTP("t2")
        reply = other.answerPrepare(prepareTo(f"test.hub.{name}.x"))
        self.assertIn(b"T01", reply)


class LifeTests(VirtualTestCase):
    """Plugins of the hub's own, and its end."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.local = LocalHub(self.clock, Hub(self.clock))

    def test_plugin(self) -> None:
        ours, _ = memoryPair(self.clock)
        self.local.addAccount("alice", plugin=ours)
        self.successResultOf(self.local.start())
        self.assertTrue(ours.isConnected())
        self.failureResultOf(self.local.start(), LocalError)
        self.assertTrue(ours.isConnected(), "a second start closes nothing")
        stopped = self.local.stop()
        self.clock.advance(0)
        self.successResultOf(stopped)
        self.assertFalse(ours.isConnected())
        self.assertIsNone(self.local.btpPort)

    def test_pluginFails(self) -> None:
        """One that cannot connect is logged, and tried again until it can, or all is over."""
        ours, _ = memoryPair(self.clock)
        tries = []

        def connect() -> Deferred[None]:
            tries.append(self.clock.seconds())
            return fail(NotSent("nobody is there"))

        self.patch(ours, "connect", connect)
        self.local.addAccount("alice", plugin=ours)
        self.successResultOf(self.local.start())
        self.clock.pump([0.5] * 15)
        self.assertEqual(tries, [0, 1, 3, 7])
        self.local.stop()
        self.clock.pump([0.5] * 30)
        self.assertEqual(len(tries), 4)

    def test_endsWhileConnecting(self) -> None:
        """What fails when all is over is not tried again."""
        ours, _ = memoryPair(self.clock)
        connecting: Deferred[None] = Deferred()
        self.patch(ours, "connect", lambda: connecting)
        self.local.addAccount("alice", plugin=ours)
        self.successResultOf(self.local.start())
        self.local.stop()
        connecting.errback(NotSent("the hub was closed"))
        self.clock.advance(10)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelledStop(self) -> None:
        """Who waits no more for the hub to stop does not keep it open."""
        ours, _ = memoryPair(self.clock)
        self.local.addAccount("alice", plugin=ours)
        self.successResultOf(self.local.start())
        draining: Deferred[None] = Deferred()
        self.patch(self.local.hub, "drain", lambda: draining)
        stopped, again = self.local.stop(), self.local.stop()
        stopped.cancel()
        self.failureResultOf(stopped, CancelledError)
        self.assertTrue(ours.isConnected())
        draining.callback(None)
        self.clock.advance(0)
        self.successResultOf(again)
        self.assertFalse(ours.isConnected())

    def test_endFails(self) -> None:
        """A plugin that raises is told to who stops the hub; it can be stopped again."""
        ours, _ = memoryPair(self.clock)
        self.local.addAccount("alice", plugin=ours)
        with patch.object(ours, "disconnect", side_effect=ZeroDivisionError):
            self.failureResultOf(self.local.stop(), ZeroDivisionError)
        stopped = self.local.stop()
        self.clock.advance(0)
        self.successResultOf(stopped)

    def test_endWaitsNotForEver(self) -> None:
        ours, _ = memoryPair(self.clock)
        self.patch(ours, "disconnect", Deferred)
        self.local.addAccount("alice", plugin=ours)
        closed = self.local.stop()
        self.assertNoResult(closed)
        self.clock.advance(server.DISCONNECT_TIMEOUT)
        self.successResultOf(closed)
