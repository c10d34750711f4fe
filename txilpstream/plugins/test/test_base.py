"""Tests of C{txilpstream.plugins.base}: what plugins of every kind do alike."""

from __future__ import annotations

from typing import cast

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IPushProducer
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from txilpstream.errors import LocalError
from txilpstream.plugins.base import PluginBase, tokenMatches
from txilpstream.wire.ilp import Reject, decodeReply


@implementer(IPushProducer)
class Producer:
    """Writes down what is asked of it."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pauseProducing(self) -> None:
        """Note it."""
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        """Note it."""
        self.calls.append("resume")

    def stopProducing(self) -> None:
        """Note it."""
        self.calls.append("stop")


class FullPlugin(PluginBase):
    """One whose way out is full."""

    def isFull(self) -> bool:
        """It is."""
        return True


class HandlerTests(SynchronousTestCase):
    """Who answers Prepares, and how."""

    def setUp(self) -> None:
        self.plugin = PluginBase("test.base")

    def ask(self) -> bytes:
        """Let the plugin answer."""
        reply = self.plugin.answerPrepare(b"prepare")
        return self.successResultOf(reply) if isinstance(reply, Deferred) else reply

    def assertRejected(self, code: str, message: str) -> None:
        """The answer is a Reject of the plugin's own."""
        self.assertEqual(decodeReply(self.ask()), Reject(code, "test.base", message))

    def test_bytes(self) -> None:
        asked: list[bytes] = []

        def answer(data: bytes) -> bytes:
            asked.append(data)
            return b"reply"

        self.plugin.registerDataHandler(answer)
        self.assertEqual(self.plugin.answerPrepare(b"prepare"), b"reply")
        self.assertEqual(asked, [b"prepare"])

    def test_deferred(self) -> None:
        """No Deferred is made beside the handler's own."""
        own = succeed(b"reply")
        self.plugin.registerDataHandler(lambda data: own)
        self.assertIs(self.plugin.answerPrepare(b"prepare"), own)
        self.assertEqual(self.successResultOf(own), b"reply")

    def test_none(self) -> None:
        self.assertRejected("T01", "Peer Unreachable")
        self.plugin.registerDataHandler(lambda data: b"reply")
        self.plugin.deregisterDataHandler()
        self.assertRejected("T01", "Peer Unreachable")

    def test_second(self) -> None:
        self.plugin.registerDataHandler(lambda data: b"first")
        error = self.assertRaises(
            LocalError, self.plugin.registerDataHandler, lambda data: b"second"
        )
        self.assertIn("deregister", str(error))
        self.assertEqual(self.ask(), b"first")
        self.plugin.deregisterDataHandler()
        self.plugin.registerDataHandler(lambda data: b"second")
        self.assertEqual(self.ask(), b"second")

    def test_raises(self) -> None:
        """The exception is logged once, and nothing of it leaves the node."""

        def answer(data: bytes) -> bytes:
            raise ZeroDivisionError("a secret")

        self.plugin.registerDataHandler(answer)
        self.assertRejected("T00", "Internal Error")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_fails(self) -> None:
        self.plugin.registerDataHandler(lambda data: fail(ZeroDivisionError("a secret")))
        self.assertRejected("T00", "Internal Error")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_noBytes(self) -> None:
        self.plugin.registerDataHandler(lambda data: cast(bytes, "text"))
        self.assertRejected("T00", "Internal Error")
        self.plugin.deregisterDataHandler()
        self.plugin.registerDataHandler(lambda data: cast("Deferred[bytes]", succeed(None)))
        self.assertRejected("T00", "Internal Error")


class ProducerTests(SynchronousTestCase):
    """Who is paused."""

    def setUp(self) -> None:
        self.plugin = PluginBase()
        self.producer = Producer()

    def test_pausedOnceAndResumedOnce(self) -> None:
        self.plugin.registerProducer(self.producer, True)
        self.plugin.resumeProducer()
        self.plugin.pauseProducer()
        self.plugin.pauseProducer()
        self.plugin.resumeProducer()
        self.plugin.resumeProducer()
        self.assertEqual(self.producer.calls, ["pause", "resume"])

    def test_none(self) -> None:
        self.plugin.pauseProducer()
        self.plugin.registerProducer(self.producer, True)
        self.plugin.resumeProducer()
        self.assertEqual(self.producer.calls, [])

    def test_unregistered(self) -> None:
        """One that leaves while it is paused is left alone, and so is the next."""
        self.plugin.registerProducer(self.producer, True)
        self.plugin.pauseProducer()
        self.plugin.unregisterProducer()
        self.plugin.registerProducer(Producer(), True)
        self.plugin.resumeProducer()
        self.assertEqual(self.producer.calls, ["pause"])

    def test_second(self) -> None:
        self.plugin.registerProducer(self.producer, True)
        error = self.assertRaises(LocalError, self.plugin.registerProducer, Producer(), True)
        self.assertIn("unregister", str(error))

    def test_pullProducer(self) -> None:
        error = self.assertRaises(LocalError, self.plugin.registerProducer, self.producer, False)
        self.assertIn("push producer", str(error))

    def test_fullAlready(self) -> None:
        FullPlugin().registerProducer(self.producer, True)
        self.assertEqual(self.producer.calls, ["pause"])


class TokenTests(SynchronousTestCase):
    """Tokens that are the same, and those that are not."""

    def test_tokenMatches(self) -> None:
        self.assertTrue(tokenMatches("sécret\ud800", "sécret\ud800"))
        self.assertTrue(tokenMatches("", ""))
        for given in ("", "sécre", "sécret2", "Sécret"):
            self.assertFalse(tokenMatches("sécret", given))
