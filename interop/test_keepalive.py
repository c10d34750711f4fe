"""
Packets to a proxy of Node's, which closes connections that are idle for some seconds: none is in
doubt, however fast they come.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred, ensureDeferred, gatherResults
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from txilpstream import NotSent
from txilpstream.plugins.http.plugin import HTTPPlugin
from txilpstream.wire.ilp import encodeFulfill, encodePrepare, encodeTimestamp

HERE = Path(__file__).resolve().parent

SECONDS = float(os.environ.get("TXILPSTREAM_KEEPALIVE_SECONDS", "15"))
"""How long packets are sent: longer than Node keeps what is idle, which is 6 s."""

DELAY = 50
"""Milliseconds that the proxy takes."""

PREPARE = encodePrepare(5, encodeTimestamp(4e9), bytes(32), "test.bob", b"hello")
FULFILL = encodeFulfill(bytes(32), b"thanks")


class KeepAliveTests(TestCase):
    """What becomes of packets on connections that the other side closes."""

    timeout = 6 * SECONDS + 60

    def setUp(self) -> Any:
        """Have somebody who answers, and a proxy before him."""
        return ensureDeferred(self.start())

    async def start(self) -> None:
        """Start both."""
        self.outcomes: dict[str, int] = {}
        endpoint: Any = serverFromString(installed, "tcp:0:interface=127.0.0.1")
        self.far = HTTPPlugin(installed, None, endpoint=endpoint, incomingToken="t")
        self.far.registerDataHandler(lambda data: FULFILL)
        await self.far.connect()
        self.addCleanup(self.far.disconnect)
        port: Any = self.far.port
        words = ["node", str(HERE / "proxy.js"), str(port.getHost().port), str(DELAY)]
        proxy = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        self.addCleanup(proxy.wait)
        self.addCleanup(proxy.kill)
        assert proxy.stdout is not None
        self.addCleanup(proxy.stdout.close)
        where = int(await deferToThread(proxy.stdout.readline))
        self.near = HTTPPlugin(installed, f"http://:t@127.0.0.1:{where}/")
        await self.near.connect()
        self.addCleanup(self.near.disconnect)

    def send(self) -> Deferred[None]:
        """Send one packet, and note what becomes of it."""
        return self.near.sendData(PREPARE).addCallbacks(self.fulfilled, self.failed)

    def fulfilled(self, data: bytes) -> None:
        """It came back."""
        self.note("fulfilled")

    def failed(self, failure: Any) -> None:
        """It did not."""
        self.note("not sent" if failure.check(NotSent) else "in doubt")

    def note(self, outcome: str) -> None:
        """Count."""
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1

    async def check(self, perSecond: int) -> None:
        """A burst, and then some packets a second: all of them come back."""
        sent = [self.send() for _ in range(100)]
        for _ in range(int(SECONDS * perSecond)):
            await deferLater(installed, 1 / perSecond)
            sent.append(self.send())
        await gatherResults(sent)
        self.assertEqual(self.outcomes, {"fulfilled": len(sent)}, f"{perSecond} packets/s")

    async def test_slow(self) -> None:
        """Ten a second."""
        await self.check(10)

    async def test_middle(self) -> None:
        """Seventeen a second."""
        await self.check(17)

    async def test_fast(self) -> None:
        """Fifty a second."""
        await self.check(50)

    async def test_old(self) -> None:
        """One each five seconds: just when the other side closes."""
        for _ in range(int(SECONDS // 5)):
            await self.send()
            await deferLater(installed, 5.0)
        self.assertEqual(list(self.outcomes), ["fulfilled"])
