"""Tests of C{txilpstream.cli.demoscenario}: the whole demonstration in virtual time."""

from __future__ import annotations

import hashlib
import json
from io import BytesIO
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from txilpstream.cli.demoscenario import SMALLEST_AMOUNT, Demo, DemoResult
from txilpstream.test.support.connected import run
from txilpstream.test.support.virtual import VirtualTestCase


class Broken(BytesIO):
    """A file that cannot be read to its end."""

    def read(self, size: int | None = -1) -> bytes:
        """Fail at the second piece."""
        if self.tell():
            raise OSError("the disk is gone")
        return super().read(size)


class DemoTests(VirtualTestCase):
    """Runs of the demonstration."""

    def run_(self, amount: int, file: BytesIO, seconds: float = 60.0) -> Demo:
        """A run to its end; nothing is left with the reactor then."""
        clock: Any = Clock()
        demo = Demo(clock, amount, file, 0.05)
        done = Deferred.fromCoroutine(demo.run())
        run(clock, seconds)
        self.assertIs(self.successResultOf(done), demo.result)
        run(clock, 200)
        self.assertEqual(clock.getDelayedCalls(), [])
        return demo

    def check(self, amount: int, size: int) -> DemoResult:
        """Every unit and byte arrives, and the result says so."""
        data = bytes(range(256)) * (size // 256) + bytes(size % 256)
        demo = self.run_(amount, BytesIO(data))
        result = demo.result
        self.assertTrue(demo.isComplete, demo.problems)
        self.assertEqual((result.sent, result.inDoubt), (amount, 0))
        self.assertEqual(demo.sent, amount)
        self.assertEqual(result.received, result.deliveredClaimed)
        self.assertEqual((result.bytesSent, result.bytesReceived), (size, size))
        self.assertEqual(result.sha256Sent, hashlib.sha256(data).hexdigest())
        self.assertEqual(result.sha256Echoed, result.sha256Received)
        self.assertGreater(result.tipReceived, 0)
        self.assertGreaterEqual(result.packets, result.fulfilled)
        return result

    def test_whole(self) -> None:
        """A payment of thousands of packets beside a file, at a good rate."""
        result = self.check(5_000_000_000, 400_000)
        self.assertGreater(result.fulfilled, 2000)
        self.assertGreater(result.packetsPerSecond, 500)
        self.assertEqual(set(json.loads(json.dumps(result.asPlain()))), {*DemoResult.__slots__})

    def test_few(self) -> None:
        """Amounts that are worth a unit or a few arrive too, and an empty file."""
        for amount in (SMALLEST_AMOUNT, SMALLEST_AMOUNT + 14, 2000, 12_345, 217_392, 1_000_500):
            self.check(amount, 0)

    def test_most(self) -> None:
        """The largest amount."""
        self.check(2**63 - 1, 1)

    def test_brokenFile(self) -> None:
        """A file that breaks is a problem that is told, not the end of the run."""
        demo = self.run_(100_000_000, Broken(bytes(300_000)))
        self.assertFalse(demo.isComplete)
        self.assertTrue(demo.problems)
        for problem in demo.problems:
            self.assertTrue(problem)
            self.assertNotIn("\n", problem)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
