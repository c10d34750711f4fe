"""Tests of C{txilpstream.cli.destination}: how a command reaches the network."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from io import BytesIO, StringIO, TextIOWrapper
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from txilpstream.cli import destination
from txilpstream.cli.destination import localPlugin, makePlugin, readDestination
from txilpstream.cli.options import readStandardInput
from txilpstream.crypto.credentials import Credentials
from txilpstream.errors import LocalError
from txilpstream.plugins.memory import MemoryPlugin
from txilpstream.test.support.virtual import VirtualTestCase

GOOD = {
    "destination_account": "test.x",
    "shared_secret": "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg=",
}


class PluginTests(VirtualTestCase):
    """Which plugin it is."""

    def test_local(self) -> None:
        """The hub of this machine, under a new token each time; by HTTP if there is no BTP."""
        self.assertTrue(localPlugin().startswith("btp+ws://:"))
        self.assertTrue(localPlugin().endswith("@127.0.0.1:7768"))
        self.assertNotEqual(localPlugin(), localPlugin())
        self.patch(destination, "hasBTP", lambda: False)
        self.assertTrue(localPlugin().endswith("@127.0.0.1:7771/"))
        with self.assertRaisesRegex(LocalError, r"txilpstream\[btp\]"):
            localPlugin(mustReceive=True)

    def test_order(self) -> None:
        """Words come before the environment."""
        for plugin, variable in (("memory:a", "nonsense"), ("", "memory:b")):
            options = Namespace(plugin=plugin, insecure=False)
            made = makePlugin(Clock(), options, {"ILP_PLUGIN": variable})
            self.assertIsInstance(made, MemoryPlugin)


class DestinationTests(VirtualTestCase):
    """Whom the words mean."""

    def read(self, text: str) -> Any:
        """The credentials."""
        reading = readDestination(Clock(), text, Namespace(insecure=False))
        return Deferred.fromCoroutine(reading)

    def test_json(self) -> None:
        credentials = self.successResultOf(self.read(json.dumps(GOOD)))
        self.assertEqual(credentials, Credentials("test.x", b"x" * 32))

    def test_bad(self) -> None:
        for text in ("{", "{}", "x"):
            self.failureResultOf(self.read(text), LocalError)

    def test_standardInput(self) -> None:
        """Credentials where nobody else sees them."""
        good = "  " + json.dumps(GOOD) + "\n"
        options = Namespace(destination="-")
        self.patch(sys, "stdin", StringIO(good))
        readStandardInput(options)
        self.assertEqual(options.destination, good)
        readStandardInput(options)
        broken = TextIOWrapper(BytesIO(b"\xff\xfe"), encoding="utf-8")
        for stdin in (StringIO(""), StringIO("$alice.example"), None, broken):
            self.patch(sys, "stdin", stdin)
            with self.assertRaisesRegex(LocalError, "standard input"):
                readStandardInput(Namespace(destination="-"))
