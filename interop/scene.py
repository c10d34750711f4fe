"""
A hub and our ends in the test's process, and the peers' in processes of their own.

Here are the parts that every test of the matrix needs: drivers in JavaScript that speak JSON in
lines, a hub that carries their packets and ours, and a plugin that writes down what it carries.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import matrix
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import ProcessDone
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from txilpstream import Account, AccountDetails, IPlugin
from txilpstream.hub.accounts import AccountOptions
from txilpstream.hub.connector import Hub
from txilpstream.hub.server import LocalHub
from txilpstream.plugins.memory import MemoryPlugin, memoryPair
from txilpstream.testing import Hop, PathEnd, SimulatedPath
from txilpstream.wire.ilp import encodeReject

HERE = Path(__file__).resolve().parent

PATIENCE = 60.0
"""Seconds within which a process must have said something."""


class Peer(ProcessProtocol):
    """
    A process that speaks JSON in lines.

    @ivar events: all that it said and nobody waited for, in order.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.events: list[dict[str, Any]] = []
        self.errors = b""
        self.ended: Deferred[int] = Deferred()
        self._isOver = False
        self._rest = b""
        self._waiting: tuple[str, Deferred[dict[str, Any]]] | None = None

    def outReceived(self, data: bytes) -> None:
        """It said something; what is no JSON is passed over."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        self.events += [json.loads(line) for line in lines if line.startswith(b"{")]
        self._look()

    def errReceived(self, data: bytes) -> None:
        """Keep the last of it for the test that fails."""
        self.errors = (self.errors + data)[-4000:]

    def processEnded(self, reason: Failure) -> None:
        """Nothing more will be said."""
        self._isOver = True
        self._look()
        self.ended.callback(0 if reason.check(ProcessDone) else 1)

    def _look(self) -> None:
        if self._waiting is None:
            return
        wanted, heard = self._waiting
        problem = ""
        while self.events:
            said = self.events.pop(0)
            if said["event"] == wanted:
                self._waiting = None
                heard.callback(said)
                return
            if said["event"] == "error":
                problem = f"{self.name} failed: {said}"
                break
        if problem or self._isOver:
            self._waiting = None
            heard.errback(
                AssertionError(problem or f"{self.name} ended without {wanted!r}: {self.errors!r}")
            )

    def hear(self, event: str, patience: float = PATIENCE) -> Deferred[dict[str, Any]]:
        """Wait for an event; others before it are passed over, but an error fails."""
        assert self._waiting is None, "one waits at a time"
        heard: Deferred[dict[str, Any]] = Deferred()
        self._waiting = event, heard
        heard.addTimeout(patience, reactor, self._onTimeout)
        self._look()
        return heard

    def _onTimeout(self, result: Any, timeout: float) -> Any:
        wanted = self._waiting[0] if self._waiting else "?"
        self._waiting = None
        raise AssertionError(f"{self.name} did not say {wanted!r} in {timeout} s: {self.errors!r}")

    def say(self, **values: Any) -> None:
        """Say one thing to it."""
        self.transport.write(json.dumps(values).encode() + b"\n")

    def ask(self, event: str, **values: Any) -> Deferred[dict[str, Any]]:
        """Say one thing and wait for an event."""
        heard = self.hear(event)
        self.say(**values)
        return heard

    def end(self, signal: str = "KILL") -> Deferred[int]:
        """End it by its pid, if it has not ended."""
        if not self._isOver:
            self.transport.signalProcess(signal)
        return self.ended


class SceneTestCase(TestCase):
    """
    A hub in this process, to which peers come over BTP and HTTP, and our ends without a socket.

    @ivar hub: the L{Hub}, all of whose accounts are of USD with scale 9 unless a test says others.
    """

    timeout = 240

    async def setUp(self) -> None:
        self.hub = Hub(reactor)
        self.local = LocalHub(
            reactor,
            self.hub,
            btp=TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"),
            http=TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"),
        )
        await self.local.start()
        self.addCleanup(self.local.stop)

    def tearDown(self) -> None:
        self.hub.checkInvariants()

    def btp(self, name: str, options: AccountOptions | None = None) -> str:
        """A new account for a peer; gives the URL with which it comes."""
        self.local.addAccount(name, options, token=f"{name}-token")
        return f"btp+ws://:{name}-token@127.0.0.1:{self.local.btpPort.getHost().port}"

    async def account(
        self,
        name: str,
        options: AccountOptions | None = None,
        wrap: Callable[[MemoryPlugin], Any] | None = None,
    ) -> Account:
        """
        A new account for an end of ours.

        @param wrap: makes a plugin around the account's, such as one that writes down.
        """
        entry = self.hub.addAccount(name, options)
        theirs, ours = memoryPair(reactor)
        await theirs.connect()
        self.hub.attach(entry, theirs)
        account = await Account.open(reactor, wrap(ours) if wrap else ours)
        self.addCleanup(account.close)
        return account

    def node(self, script: str, *words: str, **environ: str) -> Peer:
        """A driver in JavaScript, which ends when the test does."""
        node = shutil.which("node")
        assert node is not None, "there is no node on this machine: it is needed for these tests"
        peer = Peer(f"{script} {' '.join(words)}")
        reactor.spawnProcess(  # type: ignore[attr-defined]
            peer, node, [node, script, *words], {**os.environ, **environ}, str(HERE)
        )
        self.addCleanup(peer.end)
        return peer

    async def until(self, isTrue: Callable[[], object], seconds: float = 10.0) -> None:
        """Wait until something holds."""
        for _ in range(int(seconds / 0.02)):
            if isTrue():
                return
            await self.sleep(0.02)
        raise AssertionError(f"it does not hold after {seconds} s")

    def sleep(self, seconds: float) -> Awaitable[None]:
        """Let time pass."""
        return deferLater(reactor, seconds)  # type: ignore[arg-type]

    def cell(self, row: str, peer: str, role: str, outcome: str, fault: str = "") -> None:
        """
        Write into the matrix what this test has just shown: the last step of a test.

        @param row: a key of L{matrix.ROWS}.
        @param peer: a name in L{matrix.PEERS}.
        @param role: what the peer was: C{"payer"}, C{"payee"}, C{"both"} or C{"path"}.
        @param outcome: a few words that are the same in each run: no times, no figures of speed.
        @param fault: of the peer, where it kept the test from more.
        """
        matrix.record(row, peer, role, outcome, fault)

    async def setHub(self, **options: Any) -> None:
        """
        Put another hub in the place of the one that the test began with.

        @param options: as L{Hub} takes them, such as C{prices}.
        """
        self.hub = Hub(reactor, **options)
        self.local = LocalHub(
            reactor, self.hub, btp=TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        )
        await self.local.start()
        self.addCleanup(self.local.stop)

    async def accountBehind(
        self, name: str, *hops: Hop, options: AccountOptions | None = None
    ) -> tuple[Account, SimulatedPath]:
        """
        A new account for an end of ours, with hops between it and the hub.

        @return: the account, and the path, whose left side is the hub's.
        """
        code, scale = (options or AccountOptions()).asset
        details = AccountDetails(f"{self.hub.address}.{name}", scale, code)
        path = SimulatedPath(reactor, hops, right=details)

        def carry(to: IPlugin) -> Callable[[bytes], Deferred[bytes]]:
            # What is on its way when the test ends was not carried; nobody is told of it.
            return lambda data: to.sendData(data).addErrback(lambda _: encodeReject("T01", "", ""))

        def wrap(ours: MemoryPlugin) -> PathEnd:
            for end, other in ((ours, path.left), (path.left, ours)):
                end.connect()
                end.registerDataHandler(carry(other))
                self.addCleanup(end.disconnect)
            return path.right

        return await self.account(name, options, wrap), path
