"""How a command reaches the network."""

from __future__ import annotations

import json
from argparse import Namespace
from io import StringIO
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txilpstream import reaching
from txilpstream.credentials import Credentials
from txilpstream.errors import LocalError
from txilpstream.plugins.memory import MemoryPlugin
from txilpstream.reaching import localPlugin, makePlugin, readDestination

GOOD = {
    "destination_account": "test.x",
    "shared_secret": "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg=",
}


class PluginTests(SynchronousTestCase):
    """Which plugin it is."""

    def test_local(self) -> None:
        """The hub of this machine, under a new token each time; by HTTP if there is no BTP."""
        self.assertTrue(localPlugin().startswith("btp+ws://:"))
        self.assertTrue(localPlugin().endswith("@127.0.0.1:7768"))
        self.assertNotEqual(localPlugin(), localPlugin())
        self.patch(reaching, "hasBTP", lambda: False)
        self.assertTrue(localPlugin().endswith("@127.0.0.1:7771/"))
        with self.assertRaisesRegex(LocalError, r"txilpstream\[btp\]"):
            localPlugin(mustReceive=True)

    def test_order(self) -> None:
        """Words come before the environment."""
        for plugin, variable in (("memory:a", "nonsense"), ("", "memory:b")):
            options = Namespace(plugin=plugin, insecure=False)
            made = makePlugin(Clock(), options, {"ILP_PLUGIN": variable})
            self.assertIsInstance(made, MemoryPlugin)


class DestinationTests(SynchronousTestCase):
    """Whom the words mean."""

    def read(self, text: str, stdin: str = "") -> Any:
        """The credentials."""
        options = Namespace(insecure=False)
        reading = readDestination(Clock(), text, options, StringIO(stdin))
        return Deferred.fromCoroutine(reading)

    def test_json(self) -> None:
        for text, stdin in ((json.dumps(GOOD), ""), ("-", "  " + json.dumps(GOOD) + "\n")):
            credentials = self.successResultOf(self.read(text, stdin))
            self.assertEqual(credentials, Credentials("test.x", b"x" * 32))

    def test_bad(self) -> None:
        for text, stdin in (("{", ""), ("{}", ""), ("-", ""), ("-", "$alice.example"), ("x", "")):
            self.failureResultOf(self.read(text, stdin), LocalError)
