"""Tests of C{txilpstream.hub.outlet}: what waits while a plugin is full."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IPushProducer
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from txilpstream.errors import LocalError
from txilpstream.hub.outlet import MOST_WAITING, Full, Outlet
from txilpstream.interfaces import NotSent
from txilpstream.plugins.base import PluginBase


class FullPlugin(PluginBase):
    """Takes so many packets, and is full then."""

    def __init__(self) -> None:
        super().__init__("")
        self.isThere = True
        self.room = 1
        self.sent: list[tuple[bytes, Deferred[bytes]]] = []

    def connect(self) -> Deferred[None]:
        """It is there from the start."""
        return succeed(None)

    disconnect = connect

    def isConnected(self) -> bool:
        """Whether it is there."""
        return self.isThere

    def isFull(self) -> bool:
        """Whether there is no room."""
        return self.room <= 0

    def sendData(self, data: bytes) -> Deferred[bytes]:
        """Keep the packet."""
        self.room -= 1
        answered: Deferred[bytes] = Deferred()
        self.sent.append((data, answered))
        if self.isFull():
            self.pauseProducer()
        return answered


class OutletTests(SynchronousTestCase):
    """A plugin that has room for one packet."""

    def setUp(self) -> None:
        self.plugin = FullPlugin()
        self.outlet = Outlet(self.plugin, lambda data: data)

    def test_interface(self) -> None:
        verifyObject(IPushProducer, self.outlet)

    def test_noPlugin(self) -> None:
        """A plugin's description is none."""
        given: Any = "btp:url=x"
        error = self.assertRaises(LocalError, Outlet, given, lambda data: data)
        self.assertIn("pluginFromString", str(error))

    def sent(self) -> list[bytes]:
        """What the plugin got."""
        return [data for data, _ in self.plugin.sent]

    def test_order(self) -> None:
        """What waits leaves in its order, when there is room and no sooner."""
        answers = [self.outlet.send(data) for data in (b"a", b"b", b"c")]
        self.assertEqual(self.sent(), [b"a"])
        self.plugin.room = 1
        self.plugin.resumeProducer()
        self.assertEqual(self.sent(), [b"a", b"b"])
        self.plugin.room = 5
        self.plugin.resumeProducer()
        self.assertEqual(self.sent(), [b"a", b"b", b"c"])
        self.plugin.sent[1][1].callback(b"B")
        self.assertEqual(self.successResultOf(answers[1]), b"B")
        self.plugin.sent[2][1].errback(ValueError())
        self.failureResultOf(answers[2], ValueError)
        self.plugin.sent[0][1].callback(b"A")
        self.assertEqual(self.successResultOf(answers[0]), b"A")

    def test_givenUpInTheQueue(self) -> None:
        """It never left, and does not leave later."""
        self.outlet.send(b"a")
        waiting, other = self.outlet.send(b"b"), self.outlet.send(b"c")
        waiting.cancel()
        self.failureResultOf(waiting, NotSent)
        self.plugin.room = 5
        self.plugin.resumeProducer()
        self.assertEqual(self.sent(), [b"a", b"c"])
        other.cancel()
        self.failureResultOf(other)

    def test_givenUpOnItsWay(self) -> None:
        """Whoever waits gives up the packet's own Deferred; what comes then changes nothing."""
        self.outlet.send(b"a")
        waiting = self.outlet.send(b"b")
        self.plugin.room = 5
        self.plugin.resumeProducer()
        waiting.cancel()
        self.failureResultOf(waiting)
        self.plugin.sent[1][1].callback(b"late")

    def test_tooMuch(self) -> None:
        """So many bytes may wait; what was given up counts until its turn comes."""
        self.outlet.send(b"a")
        self.assertNoResult(self.outlet.send(bytes(MOST_WAITING)))
        self.failureResultOf(self.outlet.send(b"x"), Full)
        self.plugin.room = 2
        self.plugin.resumeProducer()
        self.assertEqual(len(self.sent()), 2)
        self.plugin.pauseProducer()
        self.assertNoResult(self.outlet.send(bytes(MOST_WAITING)))

    def test_lost(self) -> None:
        """What waits for a plugin that is lost has not left."""
        self.outlet.send(b"a")
        waiting = self.outlet.send(b"b")
        self.plugin.isThere = False
        self.outlet.pauseProducing()
        self.failureResultOf(waiting, NotSent)
        self.failureResultOf(self.outlet.send(b"c"), NotSent)
        self.assertFalse(self.outlet.isConnected)

    def test_stopped(self) -> None:
        self.outlet.stopProducing()
        self.assertTrue(self.outlet.isPaused)

    def test_closed(self) -> None:
        self.outlet.send(b"a")
        waiting = self.outlet.send(b"b")
        self.outlet.close()
        self.failureResultOf(waiting, NotSent)
        Outlet(self.plugin, lambda data: data)
