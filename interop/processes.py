"""
Processes that speak JSON in lines: ours, and the peers' in JavaScript.

Every process is ended by its own pid, whatever becomes of the test.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import matrix
from twisted.trial.unittest import SynchronousTestCase

HERE = Path(__file__).resolve().parent

PATIENCE = 60.0
"""Seconds within which a process must have said something."""


class Process:
    """One process, and what it says."""

    def __init__(self, name: str, words: list[str], environ: dict[str, str] | None = None) -> None:
        self.name = name
        self.process = subprocess.Popen(
            words,
            cwd=HERE,
            env={**os.environ, **(environ or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: queue.Queue[str] = queue.Queue()
        self.errors: list[str] = []
        for pipe, keep in (
            (self.process.stdout, self.lines.put),
            (self.process.stderr, self.errors.append),
        ):
            threading.Thread(target=self._read, args=(pipe, keep), daemon=True).start()

    @staticmethod
    def _read(pipe: Any, keep: Any) -> None:
        for line in pipe:
            keep(line)

    def hear(self, event: str, patience: float = PATIENCE) -> dict[str, Any]:
        """Wait for an event; what is no JSON is passed over."""
        until = time.monotonic() + patience
        while True:
            isOver = self.process.poll() is not None
            try:
                line = self.lines.get(timeout=0.2)
            except queue.Empty:
                if time.monotonic() < until and not isOver:
                    continue
                raise AssertionError(
                    f"{self.name} did not say {event!r}; it said {''.join(self.errors)[-2000:]!r}"
                ) from None
            if not line.startswith("{"):
                continue
            said: dict[str, Any] = json.loads(line)
            if said.get("event") == "error":
                raise AssertionError(f"{self.name} failed: {said}")
            if said.get("event") == event:
                return said

    def say(self, **values: Any) -> None:
        """Say one thing to it."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(values) + "\n")
        self.process.stdin.flush()

    def ask(self, event: str, **values: Any) -> dict[str, Any]:
        """Say one thing and wait for what it says then."""
        self.say(**values)
        return self.hear(event)

    def end(self, isKilled: bool = False) -> int:
        """End it; gives its exit status."""
        if self.process.poll() is None:
            (self.process.kill if isKilled else self.process.terminate)()
        try:
            status = self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        assert self.process.stdin is not None
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        return status


def freePort() -> int:
    """A port of this machine that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def waitForPort(port: int) -> None:
    """Wait until somebody listens there."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nobody listens on port {port}")


class InteropTestCase(SynchronousTestCase):
    """Starts processes, and ends them after each test."""

    timeout = 300

    def start(self, name: str, words: list[str], environ: dict[str, str] | None = None) -> Process:
        """Start a process."""
        process = Process(name, words, environ)
        self.addCleanup(process.end)
        return process

    def node(self, script: str, *words: str, **environ: str) -> Process:
        """A driver in JavaScript."""
        node = shutil.which("node")
        assert node is not None, "there is no node on this machine: it is needed for these tests"
        return self.start(f"{script} {words}", [node, script, *words], environ)

    def ours(self, kind: str, where: str) -> Process:
        """One of our ends."""
        return self.start(f"our {kind}", [sys.executable, "ours.py", kind, where])

    def command(self, *words: str) -> Process:
        """The command C{txilpstream}."""
        return self.start(words[0], [sys.executable, "-m", "txilpstream", *words])

    def hub(self, *words: str) -> Process:
        """A hub on free ports unless the words say others."""
        words = words or ("--btp", "0", "--http", "0")
        hub = self.command("hub", "--json", *words)
        self.ports = hub.hear("listening")["ports"]
        return hub

    def pay(self, client: Process, server: Process, amount: int, data: str = "") -> dict[str, Any]:
        """Let a client pay a server, and check that not a unit is missing at either end."""
        said = server.ask("credentials", wanted="credentials")
        credentials = {"address": said["address"], "secret": said["secret"]}
        before = int(server.ask("totals", wanted="totals")["amount"])
        paid = client.ask("paid", **credentials, amount=str(amount), data=data)
        self.assertEqual(int(paid["sent"]), amount, paid)
        until = time.monotonic() + 10
        while time.monotonic() < until:
            totals = server.ask("totals", wanted="totals")
            if int(totals["amount"]) - before == int(paid["delivered"]):
                break
            time.sleep(0.1)
        self.assertEqual(int(totals["amount"]) - before, int(paid["delivered"]))
        return paid

    def listening(self, server: Process) -> Process:
        """Wait until a server listens."""
        server.hear("listening")
        return server

    def cell(self, row: str, peer: str, role: str, outcome: str, fault: str = "") -> None:
        """Write into the matrix what this test has just shown, as L{matrix.record} has it."""
        matrix.record(row, peer, role, outcome, fault)

    def setUp(self) -> None:
        self.ports: dict[str, str] = {}
