"""Tests for C{txilpstream.transport.account}."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from txilpstream.errors import ConnectionEnded, DecodeError, LocalError, StreamError
from txilpstream.interfaces import NotSent
from txilpstream.plugins.memory import memoryPair
from txilpstream.test.support.connected import LEFT, RIGHT, run
from txilpstream.test.support.virtual import VirtualTestCase
from txilpstream.transport.account import CLOCK_JUMP, Account, accountFor
from txilpstream.wire.ilp import Prepare, Reject, decodeReply, encodePrepare, encodeTimestamp


def prepareTo(destination: str) -> bytes:
    """The bytes of a Prepare."""
    return encodePrepare(0, encodeTimestamp(30), bytes(32), destination, b"data")


def routed(account: Account, answerer: Any) -> str:
    """The segment of an address whose packets are answered so."""
    segment = account._reserve()
    account._route(segment, answerer)
    return segment


class Sender:
    """
    Something that sends.

    @ivar turns: how many turns it got.
    """

    def __init__(self) -> None:
        self.turns = 0
        self.aborted: list[str] = []

    def _turn(self) -> None:
        """Count it."""
        self.turns += 1

    def _reconnected(self) -> None:
        """Count it twice."""
        self.turns += 2

    def abort(self, message: str) -> None:
        """Write it down."""
        self.aborted.append(message)


class AccountTestCase(VirtualTestCase):
    """A clock and a plugin."""

    def setUp(self) -> None:
        """Two ends of a link."""
        self.clock = Clock()
        self.plugin, self.other = memoryPair(self.clock, left=LEFT, right=RIGHT)

    def open(self, **options: Any) -> Account:
        """An open account."""
        opened = Account.open(self.clock, self.plugin, wallClock=self.clock.seconds, **options)
        run(self.clock)
        return self.successResultOf(opened)


class OpenTests(AccountTestCase):
    """Opening and closing."""

    def test_interface(self) -> None:
        """It is the plugin's producer."""
        verifyObject(IPushProducer, self.open())

    def test_publicNames(self) -> None:
        """What only clients, servers and connections call is not seen in completion."""
        names = {name for name in dir(self.open()) if not name.startswith("_")}
        self.assertEqual(
            names - set(IPushProducer.names(all=True)),
            {
                *("address", "asset", "assetCode", "assetScale", "close", "connections", "drain"),
                *("invalidPackets", "isPaused", "now", "open", "plugin", "randomBytes", "reactor"),
                *("receivePrepare", "whenOpen"),
            },
        )

    def test_learned(self) -> None:
        """Address and asset come from the parent."""
        account = self.open()
        self.assertEqual(
            (account.address, account.assetCode, account.assetScale), ("test.left", "USD", 9)
        )

    def test_told(self) -> None:
        """What is told is not asked for; an asset that is told stays."""
        account = self.open(address="test.told")
        self.assertEqual((account.address, account.assetCode), ("test.told", None))

    def test_toldAsset(self) -> None:
        """An asset that is told stays."""
        account = self.open(assetCode="EUR", assetScale=6)
        self.assertEqual((account.assetCode, account.assetScale), ("EUR", 6))

    def test_closedWhileItConnects(self) -> None:
        """Nothing is opened any more that was closed meanwhile, whenever the plugin connects."""
        connecting: Deferred[None] = Deferred()
        self.patch(self.plugin, "connect", lambda: connecting)
        account = Account(self.clock, self.plugin, address="test.told")
        first, second = account.whenOpen(), account.whenOpen()
        closed = account.close()
        for each in (first, second):
            self.assertIn("closed", str(self.failureResultOf(each, ConnectionEnded).value))
        connecting.callback(None)
        run(self.clock)
        self.successResultOf(closed)
        # The plugin has its slots.
        self.plugin.registerDataHandler(lambda data: b"")
        self.plugin.registerProducer(account, True)

    def test_closedWhileItAsks(self) -> None:
        """The same while it asks its parent who it is."""
        self.other.connect()
        self.patch(self.plugin, "sendData", lambda data: Deferred())
        account = Account(self.clock, self.plugin, wallClock=self.clock.seconds)
        waiting = account.whenOpen()
        run(self.clock)
        self.assertNoResult(waiting)
        account.close()
        self.failureResultOf(waiting, ConnectionEnded)
        self.plugin.registerDataHandler(lambda data: b"")
        self.assertEqual(account.address, "")

    def test_pausedBefore(self) -> None:
        """A pause that nobody ended does not outlive the account's hold on its plugin."""
        account = self.open()
        account.pauseProducing()
        account.close()
        run(self.clock)
        self.plugin.connect()
        again = account.whenOpen()
        run(self.clock)
        self.assertFalse(self.successResultOf(again).isPaused)

    def test_triedAgainWhenClosed(self) -> None:
        """Who opens it again as soon as he is told has it open."""
        self.patch(self.plugin, "connect", Deferred)
        account = Account(self.clock, self.plugin, address="test.told")
        opened: list[Account] = []

        def again(failure: Any) -> None:
            self.patch(self.plugin, "connect", lambda: succeed(None))
            account.whenOpen().addCallback(opened.append)

        account.whenOpen().addErrback(again)
        account.close()
        self.assertEqual(opened, [account])
        self.assertRaises(LocalError, self.plugin.registerDataHandler, lambda data: b"")

    def test_othersSlots(self) -> None:
        """An account that cannot open, or was closed, takes nothing from who has the plugin."""
        first = self.open()
        second = Account(self.clock, self.plugin, address="test.told")
        self.failureResultOf(second.whenOpen(), LocalError)
        self.patch(self.plugin, "disconnect", lambda: None)
        self.successResultOf(second.close())
        run(self.clock)
        self.other.connect()
        replied = self.other.sendData(prepareTo(first.address + ".x"))
        run(self.clock)
        reply = decodeReply(self.successResultOf(replied))
        assert isinstance(reply, Reject)
        self.assertEqual(reply.code, "F02")  # of the account; without a handler it were T01
        # What is full pauses the first, still.
        self.assertRaises(LocalError, self.plugin.registerProducer, second, True)

    def test_badAddress(self) -> None:
        """An address that is none is refused."""
        self.assertRaises(LocalError, Account, self.clock, self.plugin, address="not an address")

    def test_noParent(self) -> None:
        """A parent that answers no IL-DCP fails the opening."""
        plugin, _ = memoryPair(self.clock)
        opened = Account.open(self.clock, plugin, wallClock=self.clock.seconds)
        run(self.clock)
        self.failureResultOf(opened, DecodeError)

    def test_again(self) -> None:
        """After a failure it may be tried again; who asks meanwhile waits for the same answer."""
        account = Account(self.clock, self.plugin, wallClock=self.clock.seconds)
        answering = self.plugin.sendData
        self.patch(self.plugin, "sendData", lambda data: fail(NotSent("not yet")))
        self.failureResultOf(account.whenOpen(), NotSent)
        self.patch(self.plugin, "sendData", answering)
        opening = [account.whenOpen() for _ in range(3)]
        opening[1].cancel()
        self.failureResultOf(opening[1], CancelledError)
        run(self.clock)
        self.assertIs(self.successResultOf(opening[0]), account)
        self.assertIs(self.successResultOf(opening[2]), account)
        self.assertIs(self.successResultOf(account.whenOpen()), account)

    def test_silentParent(self) -> None:
        """A parent that never answers fails the opening in time."""
        silent: Deferred[bytes] = Deferred()
        self.patch(self.plugin, "sendData", lambda data: silent)
        opened = Account.open(self.clock, self.plugin, wallClock=self.clock.seconds)
        run(self.clock, 31)
        self.failureResultOf(opened, ConnectionEnded)

    def test_accountFor(self) -> None:
        """An account is itself; a plugin gets one; anything else is refused."""
        account = self.open()
        self.assertIs(accountFor(account), account)
        self.assertIs(accountFor(self.other, self.clock).plugin, self.other)
        self.assertRaises(LocalError, accountFor, "plugin")

    def test_wrongTypes(self) -> None:
        """What is no reactor or no plugin is named at the call, and no secret is shown."""
        make: Any = Account
        for arguments, text in (
            ((self.plugin, self.clock), "reactor is of type MemoryPlugin: it takes a reactor"),
            ((self.clock, "http://:token@host"), r"plugin is the string 'http:...'.*pluginFromStr"),
            ((self.clock, b"token"), "plugin is 5 octets: it takes a plugin"),
            ((self.clock, type(self.plugin)), "plugin is the class MemoryPlugin"),
            ((self.clock, None), "plugin is None"),
        ):
            for call in (make, make.open):
                with self.assertRaisesRegex(LocalError, text) as raised:
                    call(*arguments)
                self.assertNotIn("token", str(raised.exception))

    def test_openingIsGivenUp(self) -> None:
        """Who gives up waiting while the account is opened does not open it twice."""
        account = Account(self.clock, self.plugin, wallClock=self.clock.seconds)
        first = account.whenOpen()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        second = account.whenOpen()
        run(self.clock)
        self.assertIs(self.successResultOf(second), account)

    def test_connectRaises(self) -> None:
        """A plugin that raises where it should fail can be tried again too."""
        account = Account(self.clock, self.plugin, wallClock=self.clock.seconds)
        with self.assertRaises(ZeroDivisionError):
            self.patch(self.plugin, "connect", lambda: 1 // 0)
            self.failureResultOf(account.whenOpen(), ZeroDivisionError).raiseException()
        self.failureResultOf(account.whenOpen(), ZeroDivisionError)

    def test_closeEnds(self) -> None:
        """Closing ends what uses the account."""
        account, sender = self.open(), Sender()
        account.connections.add(sender)
        account._waitForPlugin(sender)
        account.close()
        self.assertEqual(sender.aborted, ["the account was closed"])
        account._forget(sender)
        account.resumeProducing()
        run(self.clock)
        self.assertEqual(sender.turns, 0)

    def test_noConnection(self) -> None:
        """A plugin that cannot connect fails the opening."""
        self.patch(self.plugin, "connect", lambda: fail(NotSent("no way")))
        opened = Account.open(self.clock, self.plugin)
        self.failureResultOf(opened, NotSent)

    def test_close(self) -> None:
        """The plugin is given back, and can be used again."""
        account = self.open()
        closed = account.close()
        run(self.clock)
        self.successResultOf(closed)
        self.assertFalse(self.plugin.isConnected())
        self.open()

    def test_closeAtOnce(self) -> None:
        """A plugin that disconnects at once and says nothing will do."""
        account = self.open()
        self.patch(self.plugin, "disconnect", lambda: None)
        self.successResultOf(account.close())


class DispatchTests(AccountTestCase):
    """Whose packet is it?"""

    def code(self, reply: bytes | Deferred[bytes]) -> str:
        """The code of a reject."""
        assert isinstance(reply, bytes)
        reject = decodeReply(reply)
        assert isinstance(reject, Reject)
        return reject.code

    def test_invalid(self) -> None:
        """Bytes that are no Prepare get F01 and are counted."""
        account = self.open()
        self.assertEqual(self.code(account.receivePrepare(b"what?")), "F01")
        self.assertEqual(account.invalidPackets, 1)

    def test_nobody(self) -> None:
        """Packets for nobody get F02."""
        account = self.open()
        for destination in ("test.left", "test.left.x", "test.other.x", "test.leftover.x"):
            reply = account.receivePrepare(prepareTo(destination))
            self.assertEqual(self.code(reply), "F02", destination)

    def test_attached(self) -> None:
        """A segment is its owner's, with all that is appended to it."""
        account = self.open()
        seen = []

        def answer(segment: str, prepare: Prepare) -> bytes:
            seen.append((segment, prepare.destination))
            return b"reply"

        segment = routed(account, answer)
        address = account._ownAddress(segment)
        self.assertEqual(account.receivePrepare(prepareTo(f"{address}.more")), b"reply")
        self.assertEqual(seen, [(segment, f"{address}.more")])

    def test_released(self) -> None:
        """A segment that is released is its owner's until some others were."""
        account = self.open()
        segments = [routed(account, lambda segment, prepare: b"late") for _ in range(17)]
        for segment in segments[:-1]:
            account._release(segment)
        first = account._ownAddress(segments[0])
        self.assertEqual(account.receivePrepare(prepareTo(first)), b"late")
        account._release(segments[-1])
        self.assertEqual(self.code(account.receivePrepare(prepareTo(first))), "F02")
        last = account._ownAddress(segments[-1])
        self.assertEqual(account.receivePrepare(prepareTo(last)), b"late")

    def test_server(self) -> None:
        """A server gets what nobody else has; there is one."""
        account = self.open()
        account._setServer(lambda segment, prepare: segment.encode())
        self.assertEqual(account.receivePrepare(prepareTo("test.left.abc.def")), b"abc")
        with self.assertRaisesRegex(LocalError, "stop"):
            account._setServer(lambda segment, prepare: succeed(b""))
        account._setServer(None)
        account._setServer(None)
        self.assertEqual(self.code(account.receivePrepare(prepareTo("test.left.abc"))), "F02")

    def test_noAddress(self) -> None:
        """An account without an address has none to give."""
        account = Account(self.clock, self.plugin)
        self.assertRaises(StreamError, account._ownAddress, "segment")


class DrainTests(AccountTestCase):
    """An account that is to be closed refuses what comes, and waits for those who think."""

    def setUp(self) -> None:
        super().setUp()
        self.account = self.open()
        self.thinking: Deferred[bytes] = Deferred()
        self.segment = routed(self.account, lambda segment, prepare: self.thinking)
        self.packet = prepareTo(self.account._ownAddress(self.segment))

    def test_nobodyThinks(self) -> None:
        self.successResultOf(self.account.drain())
        reply = self.account.receivePrepare(self.packet)
        assert isinstance(reply, bytes)
        self.assertIn(b"T99", reply)

    def test_waits(self) -> None:
        asked = self.account.receivePrepare(self.packet)
        drained, given = self.account.drain(), self.account.drain()
        given.cancel()
        self.failureResultOf(given)
        self.assertNoResult(drained)
        self.thinking.callback(b"yes")
        assert isinstance(asked, Deferred)
        self.assertEqual(self.successResultOf(asked), b"yes")
        self.successResultOf(drained)

    def test_twoThink(self) -> None:
        other: Deferred[bytes] = Deferred()
        self.account.receivePrepare(self.packet)
        first, self.thinking = self.thinking, other
        self.account.receivePrepare(self.packet)
        drained = self.account.drain()
        first.callback(b"yes")
        self.assertNoResult(drained)
        other.callback(b"no")
        self.successResultOf(drained)


class TurnTests(AccountTestCase):
    """Connections take turns."""

    def test_together(self) -> None:
        """Many wake-ups are one turn."""
        account = self.open()
        first, second = Sender(), Sender()
        for _ in range(3):
            account._wake(first)
            account._wake(second)
        self.assertEqual(first.turns, 0)
        run(self.clock)
        self.assertEqual((first.turns, second.turns), (1, 1))

    def test_raises(self) -> None:
        """Who fails in its turn takes no turn from others."""
        account = self.open()
        first, second = Sender(), Sender()
        self.patch(first, "_turn", lambda: 1 // 0)
        account._wake(first)
        account._wake(second)
        run(self.clock)
        self.assertEqual(second.turns, 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_lostAndFound(self) -> None:
        """A plugin that was away and is back: connections are told."""
        account, sender = self.open(), Sender()
        account.connections.add(sender)
        account.pauseProducing()
        account.resumeProducing()
        self.assertEqual(sender.turns, 0)
        self.patch(self.plugin, "isConnected", lambda: False)
        account.pauseProducing()
        account.resumeProducing()
        self.assertEqual(sender.turns, 2)
        account.resumeProducing()
        self.assertEqual(sender.turns, 2)

    def test_paused(self) -> None:
        """Who had to stop goes on when the plugin takes packets again."""
        account = self.open()
        sender = Sender()
        account.pauseProducing()
        self.assertTrue(account.isPaused)
        account._waitForPlugin(sender)
        account.resumeProducing()
        run(self.clock)
        self.assertEqual(sender.turns, 1)
        account.resumeProducing()
        run(self.clock)
        self.assertEqual(sender.turns, 1)
        account.stopProducing()
        self.assertTrue(account.isPaused)


class ClockTests(AccountTestCase):
    """The time that stamps packets."""

    def setUp(self) -> None:
        """A wall clock that can be set."""
        super().setUp()
        self.wall = 1e9

    def test_steady(self) -> None:
        """Small steps of the wall clock, and all back, change nothing; a long sleep counts."""
        account = Account(self.clock, self.plugin, wallClock=lambda: self.wall, clockOffset=2.0)
        self.assertEqual(account.now(), 1e9 + 2)
        self.clock.advance(1)
        self.assertEqual(account.now(), 1e9 + 3)
        self.wall -= 3600
        self.assertEqual(account.now(), 1e9 + 3)
        self.wall = 1e9 + 1 + CLOCK_JUMP + 60
        self.assertEqual(account.now(), self.wall + 2)
