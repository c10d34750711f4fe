"""
Tests of C{txilpstream.service.service}: the receiver as a service: how it starts, waits, and comes
to its end.
"""

from __future__ import annotations

from typing import Any

from twisted.application.service import IService
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.task import Clock
from twisted.plugin import getPlugins
from twisted.python.usage import UsageError
from zope.interface.verify import verifyObject

from txilpstream.errors import ConnectionEnded, LocalError
from txilpstream.plugins.memory import MemoryPlugin, memoryPair
from txilpstream.service import service
from txilpstream.service.service import Options, ReceiverService, makeService
from txilpstream.service.settings import Settings
from txilpstream.test.support.virtual import VirtualTestCase
from txilpstream.transport.test.test_account import prepareTo
from txilpstream.wire.ildcp import AccountDetails


class ServiceTestCase(VirtualTestCase):
    """A service on a plugin of the test's, in virtual time, without ports."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.made: list[MemoryPlugin] = []
        self.isThere = True
        self.texts: dict[str, Any] = {
            "plugin": "memory:test",
            "secret-file": self.mktemp(),
            "spsp": "none",
        }

        def make(reactor: object, description: str, isInsecure: bool) -> MemoryPlugin:
            ours, _ = memoryPair(self.clock, left=AccountDetails("test.us", 9, "USD"))
            self.made.append(ours)
            if not self.isThere:
                self.patch(ours, "connect", lambda: fail(ConnectionEnded("nobody is there")))
            return ours

        self.patch(service, "pluginFromString", make)

    def service(self, **options: Any) -> ReceiverService:
        """Make it."""
        return ReceiverService(self.clock, Settings.fromTexts(self.texts, {}), **options)

    def run_(self, seconds: float = 0.1) -> None:
        """Let time pass."""
        self.clock.pump([0.01] * round(seconds * 100))


class StartTests(ServiceTestCase):
    """From nothing to an account that can be paid."""

    def test_started(self) -> None:
        made = self.service()
        verifyObject(IService, made)
        ready = made.whenReady()
        made.startService()
        self.run_()
        self.successResultOf(ready)
        self.successResultOf(made.whenReady())
        assert made.account is not None
        self.assertEqual(made.account.address, "test.us")
        stopped = made.stopService()
        self.run_()
        self.successResultOf(stopped)
        self.assertFalse(self.made[0].isConnected())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_again(self) -> None:
        """A service that was stopped can be started again."""
        made = self.service()
        for _ in range(2):
            made.startService()
            self.run_()
            self.successResultOf(made.whenReady())
            stopped = made.stopService()
            self.run_()
            self.successResultOf(stopped)
        self.assertEqual(len(self.made), 2)

    def test_nobodyIsThere(self) -> None:
        """Whoever waits hears of it; without anybody it is logged."""
        self.isThere = False
        made = self.service()
        ready = made.whenReady()
        made.startService()
        self.run_()
        self.failureResultOf(ready, ConnectionEnded)
        self.failureResultOf(made.whenReady(), ConnectionEnded)
        self.service().startService()
        self.run_()

    def test_patient(self) -> None:
        """A service of twistd's tries again, later each time, with a plugin that is new."""
        self.isThere = False
        made = self.service(isPatient=True)
        ready = made.whenReady()
        made.startService()
        self.run_()
        for tries, seconds in ((1, 1.0), (2, 2.0), (3, 4.0)):
            self.assertEqual(len(self.made), tries)
            self.run_(seconds)
        self.isThere = True
        self.run_(8)
        self.successResultOf(ready)
        stopped = made.stopService()
        self.run_()
        self.successResultOf(stopped)

    def test_stoppedWhileItWaits(self) -> None:
        self.isThere = False
        made = self.service(isPatient=True)
        ready = made.whenReady()
        made.startService()
        self.run_()
        stopped = made.stopService()
        self.run_()
        self.successResultOf(stopped)
        self.failureResultOf(ready, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_onFailure(self) -> None:
        """Whoever runs it hears that it cannot start, and nothing if it was stopped."""
        self.isThere = False
        failed: list[str] = []
        self.service(onFailure=lambda: failed.append("at once")).startService()
        self.run_()
        self.assertEqual(failed, ["at once"])
        made = self.service(isPatient=True, onFailure=lambda: failed.append("stopped"))
        made.startService()
        self.run_()
        made.stopService()
        self.run_()
        self.assertEqual(failed, ["at once"])

    def test_badPlugin(self) -> None:
        """What is wrong will not be right the next time."""

        def wrong(reactor: object, description: str, isInsecure: bool) -> Any:
            raise LocalError("no plugin has this prefix")

        self.patch(service, "pluginFromString", wrong)
        made = self.service(isPatient=True)
        ready = made.whenReady()
        made.startService()
        self.run_()
        self.failureResultOf(ready, LocalError)


class StopTests(ServiceTestCase):
    """What is under way is answered, and nothing is waited for too long."""

    def test_refused(self) -> None:
        """While somebody still thinks about a packet, those that come get T99."""
        made = self.service()
        made.startService()
        self.run_()
        account = made.account
        assert account is not None
        thinking: Deferred[bytes] = Deferred()
        account._route("thinker", lambda *_: thinking)
        packet = prepareTo(account._ownAddress("thinker"))
        asked = account.receivePrepare(packet)
        stopped = made.stopService()
        refused = account.receivePrepare(packet)
        assert isinstance(refused, bytes) and isinstance(asked, Deferred)
        self.assertIn(b"T99", refused)
        self.assertNoResult(stopped)
        thinking.callback(b"yes")
        self.run_()
        self.assertEqual(self.successResultOf(asked), b"yes")
        self.successResultOf(stopped)

    def test_slow(self) -> None:
        """Whoever thinks for ever is not waited for."""
        made = self.service()
        made.startService()
        self.run_()
        assert made.account is not None
        thinking: Deferred[None] = Deferred()
        self.patch(made.account, "drain", lambda: thinking)
        stopped = made.stopService()
        self.assertNoResult(stopped)
        self.clock.advance(service.CLOSE_TIMEOUT)
        self.run_()
        self.successResultOf(stopped)

    def test_limits(self) -> None:
        """Where there are limits, the accounts is asked."""
        self.texts["limit"] = "5"
        made = self.service()
        made.startService()
        self.run_()
        self.successResultOf(made.whenReady())
        self.assertEqual(made.accounts.limitOf("anybody"), 5)
        made.stopService()
        self.run_()


class OptionsTests(VirtualTestCase):
    """What twistd hands over."""

    def test_found(self) -> None:
        """It is there by name."""
        from twisted.application.service import IServiceMaker

        makers = [maker for maker in getPlugins(IServiceMaker) if maker.tapname == "txilpstream"]
        self.assertEqual([maker.options for maker in makers], [Options])

    def test_parsed(self) -> None:
        options = Options()
        options.parseOptions(
            ["--plugin", "memory:x", "--account", "a=5", "--account", "b", "--limit", "7"]
        )
        settings = options.settings
        self.assertEqual((settings.plugin, settings.limit), ("memory:x", 7))
        self.assertEqual(settings.accounts, {"a": 5, "b": None})
        made = makeService(options)
        self.assertIs(made.settings, settings)

    def test_lists(self) -> None:
        """Whatever may be given more than once may be so here, too."""
        options = Options()
        options.parseOptions(["--peer", "a:token=x", "--peer", "b:token=y", "--price", "EUR=2"])
        self.assertEqual([peer.name for peer in options.settings.peers], ["a", "b"])
        self.assertEqual(list(options.settings.prices), ["EUR"])

    def test_bad(self) -> None:
        for words in (["--limit", "x"], ["--account", "a b"], ["--spsp", "y"], ["--peer", "z"]):
            with self.assertRaises(UsageError):
                Options().parseOptions(words)

    def test_help(self) -> None:
        text = str(Options())
        self.assertIn("--secret-file", text)
        self.assertIn("--account", text)
        self.assertIn("--peer", text)
