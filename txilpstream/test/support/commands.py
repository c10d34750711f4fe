"""
Commands in this process, on the real reactor: a command's coroutine, and what it printed.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from io import StringIO
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from txilpstream.cli.commands import serve
from txilpstream.cli.run import Running

__all__ = ["Begun", "CommandTestCase"]

LONGEST = 60.0
"""Seconds within which a command must have said something."""


class Begun:
    """
    A command that runs.

    @ivar running: what it was given to be interrupted by.
    @ivar ended: fires with its exit status, or fails with what it raised.
    """

    def __init__(self, reactor: Any, command: Any, words: tuple[str, ...]) -> None:
        parser = ArgumentParser()
        command.addArguments(parser)
        options = parser.parse_args(words)
        self.reactor = reactor
        self.stdout = StringIO()
        self.stderr = StringIO()
        self.running = Running("test", self.stderr)
        self.ended: Deferred[int] = Deferred.fromCoroutine(
            command.main(reactor, options, self.running, self.stdout, self.stderr)
        )

    def lines(self) -> list[dict[str, Any]]:
        """What it has said in JSON."""
        return [json.loads(line) for line in self.stdout.getvalue().splitlines()]

    async def hear(self, event: str, number: int = 1) -> dict[str, Any]:
        """Wait until it has said something for this time."""
        until = self.reactor.seconds() + LONGEST
        while self.reactor.seconds() < until:
            said = [line for line in self.lines() if line["event"] == event]
            if len(said) >= number:
                return said[number - 1]
            if self.ended.called:
                await self.ended
                raise AssertionError(f"it ended and did not say {event}")
            await deferLater(self.reactor, 0.01)
        raise AssertionError(f"it did not say {event}: {self.stdout.getvalue()}")

    async def end(self) -> int:
        """Interrupt it and wait for its end."""
        assert self.running.onInterrupt is not None
        self.running.onInterrupt()
        return await self.ended

    async def stop(self) -> None:
        """End it after a test that did not."""
        if not self.ended.called and self.running.onInterrupt is not None:
            await self.end()


class CommandTestCase(TestCase):
    """Commands in this process, on free ports."""

    timeout = 120

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.secret = self.mktemp()

    def begin(self, command: Any, *words: str) -> Begun:
        """Run a command."""
        begun = Begun(self.reactor, command, words)
        self.addCleanup(lambda: Deferred.fromCoroutine(begun.stop()))
        return begun

    async def complete(self, command: Any, *words: str) -> tuple[int, str]:
        """Run a command to its end; gives its exit status and what it printed."""
        begun = self.begin(command, *words)
        status = await begun.ended
        return status, begun.stdout.getvalue()

    async def serve(self, *words: str) -> tuple[Begun, str, dict[str, str]]:
        """A receiver with its hub; gives its URL, and the plugins that lead to it."""
        ports = ("--spsp=0", "--http=0", "--btp=0")
        begun = self.begin(serve, "--json", f"--secret-file={self.secret}", *ports, *words)
        said = (await begun.hear("listening"))["ports"]
        plugins = {"http": f"http://:some-token@{said['http']}/"}
        if "btp" in said:
            plugins["btp"] = f"btp+ws://:some-token@{said['btp']}"
        return begun, f"http://{said['spsp']}", plugins
