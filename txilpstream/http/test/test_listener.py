"""
Tests of C{txilpstream.http.listener}: how many may come, who gives way, and whom no page reaches.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from OpenSSL.SSL import Error as SSLError
from twisted.internet import reactor as installed
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import (
    SSL4ServerEndpoint,
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    connectProtocol,
    serverFromString,
    wrapClientTLS,
)
from twisted.internet.interfaces import IProtocolNegotiationFactory, ISSLTransport
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import StringTransport
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import TestCase
from zope.interface import directlyProvides

from txilpstream.errors import LocalError
from txilpstream.http import listener
from txilpstream.http.listener import (
    MOST_CONNECTIONS,
    NEGOTIATES,
    Listener,
    comesFromPage,
    isOnLoopback,
    raiseDescriptorLimit,
    socketOf,
    writeNow,
)
from txilpstream.test.support.certificates import makePEM, serverCertificate, trusting
from txilpstream.test.support.httppeers import Endpoint, Events
from txilpstream.test.support.virtual import VirtualTestCase


class Guest(Protocol):
    """A connection that says of itself what it is told to."""

    owner: Any = None
    isBusy = False
    lastActive = 0.0
    isGone = isGreeted = False

    def __init__(self, door: Door) -> None:
        self.door = door

    def connectionMade(self) -> None:
        """Be counted."""
        self.door.join(self)

    def isOverdue(self, now: float) -> bool:
        """Whether it was silent for ten seconds."""
        return now - self.lastActive > 10

    def close(self) -> None:
        """Be gone in good order."""
        self.isGreeted = True
        self.abort()

    def abort(self) -> None:
        """Be gone."""
        if not self.isGone:
            self.isGone = True
            self.door.reactor.callLater(0, self.door.forget, self)


class Door(Listener):
    """Lets guests in."""

    def makeProtocol(self) -> Guest:
        """Make one."""
        return Guest(self)


class DoorTestCase(VirtualTestCase):
    """A door in virtual time."""

    def setUp(self) -> None:
        """Listen."""
        self.clock = Clock()
        self.events = Events()
        globalLogPublisher.addObserver(self.events)
        self.addCleanup(globalLogPublisher.removeObserver, self.events)

    def open(self, maximum: int | None = 12, share: int | None = None) -> Door:
        """A door that listens, and is closed in the end."""
        door = Door(self.clock, Endpoint(), maximum, share)
        self.successResultOf(door.start())
        self.addCleanup(door.stop)
        return door

    def enter(self, door: Door, owner: str | None = None, *, isBusy: bool = False) -> Any:
        """One comes in; None if it is not let in."""
        guest = door.buildProtocol(None)
        if guest is not None:
            guest.makeConnection(StringTransport())
            guest.lastActive = self.clock.seconds()
            if owner is not None and not door.own(guest, owner):
                guest.abort()
            guest.isBusy = isBusy
        return guest

    def count(self, door: Door, owner: str | None) -> int:
        """How many of somebody's are there."""
        self.clock.advance(0)
        return sum(each.owner == owner for each in door.connections)


class ShareTests(DoorTestCase):
    """Who may stay."""

    def test_limits(self) -> None:
        for limits in ((0, None), (1, 0), (True, None)):
            with self.assertRaises(LocalError):
                Door(self.clock, Endpoint(), *limits)

    def test_greedyOwner(self) -> None:
        """However many one owner has, all busy, the next ones get in, and as much as he keeps."""
        door = self.open()
        for _ in range(600):
            self.enter(door, "mallory", isBusy=True)
        self.assertEqual(self.count(door, "mallory"), 6)
        for owner in ("alice", "bob", "carol"):
            for _ in range(20):
                self.enter(door, owner, isBusy=True)
                self.clock.advance(0)
        # His longest waiting ones went for theirs: he had more than his share.
        found = {name: self.count(door, name) for name in ("mallory", "alice", "bob", "carol")}
        self.assertEqual(found, {"mallory": 3, "alice": 3, "bob": 3, "carol": 2})

    def test_flood(self) -> None:
        """Strangers displace each other, and nobody else."""
        door = self.open()
        peers = [self.enter(door, name) for name in "abc"]
        for _ in range(2500):
            self.assertIsNotNone(self.enter(door, isBusy=True))
        self.assertEqual(self.count(door, None), 9)
        self.assertFalse(any(each.isGone for each in peers))
        self.assertEqual(len(door.connections), 12)

    def test_onePlaceEach(self) -> None:
        """Owners who have one connection each are not displaced by a stranger."""
        door = self.open(3)
        peers = [self.enter(door, name) for name in "abc"]
        self.assertIsNone(self.enter(door))
        peers[1].abort()
        self.clock.advance(0)
        self.assertIsNotNone(self.enter(door))

    def test_idleFirst(self) -> None:
        """Beyond his share an owner loses what is idle, the longest silent before others."""
        door = self.open(8, share=3)
        first = self.enter(door, "a", isBusy=True)
        self.clock.advance(1)
        second = self.enter(door, "a")
        self.clock.advance(1)
        third = self.enter(door, "a")
        second.lastActive = self.clock.seconds() + 1
        self.assertFalse(self.enter(door, "a").isGone)
        self.assertEqual([each.isGone for each in (first, second, third)], [False, False, True])

    def test_refused(self) -> None:
        """Who has only busy ones gets no more, and what was refused is a stranger's."""
        door = self.open(8, share=2)
        for _ in range(2):
            self.enter(door, "a", isBusy=True)
        guest = self.enter(door)
        self.assertFalse(door.own(guest, "a"))
        self.assertIsNone(guest.owner)
        self.assertEqual(self.count(door, "a"), 2)
        self.assertIn("their owner has too many", self.events[-1]["log_format"])

    def test_changedOwner(self) -> None:
        """A connection counts for one owner only."""
        door = self.open(4)
        guest = self.enter(door, "a")
        self.assertTrue(door.own(guest, "b"))
        self.assertEqual((self.count(door, "a"), self.count(door, "b")), (0, 1))
        guest.abort()
        self.clock.advance(0)
        self.assertEqual(door.connections, {})
        for _ in range(5):
            self.assertIsNotNone(self.enter(door))

    def test_swept(self) -> None:
        """What is overdue goes; there is no timer while nobody is there."""
        door = self.open()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        guest = self.enter(door)
        self.clock.pump([1.0] * 10)
        self.assertFalse(guest.isGone)
        self.clock.pump([1.0] * 2)
        self.assertTrue(guest.isGone)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopped(self) -> None:
        """The busy have some seconds to end, the others none; nobody comes in meanwhile."""
        door = self.open()
        idle, busy = self.enter(door), self.enter(door, isBusy=True)
        stopped = door.stop()
        self.assertIsNone(self.enter(door))
        self.assertEqual((idle.isGreeted, busy.isGone), (True, False))
        self.clock.pump([1.0] * 6)
        self.assertEqual((busy.isGreeted, busy.isGone), (False, True))
        self.successResultOf(stopped)

    def test_deadTransport(self) -> None:
        """What cannot be ended any more is forgotten, and nothing else is the worse for it."""
        door = self.open(2)
        dead, other = self.enter(door), self.enter(door)

        def fail() -> None:
            raise ZeroDivisionError

        dead.abort = dead.close = fail
        self.assertIsNotNone(self.enter(door))
        self.assertNotIn(dead, door.connections)
        overdue = self.enter(door)
        overdue.abort = fail
        self.clock.pump([1.0] * 12)
        self.assertTrue(other.isGone)
        self.assertEqual(door.connections, {})
        last = self.enter(door)
        last.close = fail
        self.successResultOf(door.stop())

    def test_interface(self) -> None:
        """Whoever negotiates with TLS is told what is spoken, where Twisted can."""
        door = self.open()
        self.assertEqual(door.acceptableProtocols(), [b"http/1.1"])
        isTold = IProtocolNegotiationFactory.providedBy(door)
        self.assertEqual(isTold, NEGOTIATES)

    def test_neverConnected(self) -> None:
        """What TLS could not make a connection of takes no place."""
        door = self.open(1)
        for _ in range(3):
            self.assertIsNotNone(door.buildProtocol(None))
        self.assertEqual(door.connections, {})


class DescriptorTests(DoorTestCase):
    """What a process may have open is shared out."""

    limits = (400, 1000)

    def setUp(self) -> None:
        """Have the system say what it allows."""
        super().setUp()
        self.asked: list[tuple[int, int]] = []
        test = self

        class Resource:
            RLIMIT_NOFILE = 7
            RLIM_INFINITY = -1

            def getrlimit(self, kind: int) -> tuple[int, int]:
                test.assertEqual(kind, 7)
                return test.limits

            def setrlimit(self, kind: int, limits: tuple[int, int]) -> None:
                test.asked.append(limits)
                if limits[0] == 666:
                    raise ValueError

        self.patch(listener, "resource", Resource())

    def test_sharedOut(self) -> None:
        """Three quarters are for doors, each of them its part."""
        first = self.open(None)
        self.assertEqual(first.places(), 300)
        second = self.open(10)
        self.assertEqual((first.places(), second.places()), (150, 10))
        self.successResultOf(second.stop())
        self.assertEqual(first.places(), 300)
        self.assertIn("ulimit -n", self.events[0]["log_format"])
        for self.limits in ((-1, -1), (20_000, 20_000)):
            self.assertEqual(first.places(), MOST_CONNECTIONS)
        self.patch(listener, "resource", None)
        self.assertEqual(first.places(), MOST_CONNECTIONS)
        raiseDescriptorLimit()

    def test_raised(self) -> None:
        """The limit is raised as far as that is allowed and of use."""
        for limits, wanted in (
            ((400, 1000), [(1000, 1000)]),
            ((400, -1), [(65_536, -1)]),
            ((400, 1_000_000), [(65_536, 1_000_000)]),
            ((1000, 1000), []),
            ((-1, -1), []),
            ((400, 666), [(666, 666)]),
        ):
            self.limits = limits
            self.asked.clear()
            raiseDescriptorLimit()
            self.assertEqual(self.asked, wanted)
        self.assertIn("stays", self.events[-1]["log_format"])

    def test_fewLeft(self) -> None:
        """Where all but few are taken by whatever it is, strangers lose, and owners do not."""
        door = self.open()
        peer, stranger = self.enter(door, "a"), self.enter(door)
        lowest = os.open(os.devnull, os.O_RDONLY)
        os.close(lowest)
        self.limits = (lowest + 1, lowest + 1)
        newer = self.enter(door)
        self.assertTrue(stranger.isGone)
        self.assertTrue(door.own(newer, "b"))
        self.assertIsNone(self.enter(door))
        self.assertFalse(peer.isGone or newer.isGone)
        self.assertIn("files", self.events[-1]["log_format"] + self.events[-2]["log_format"])

        def refuse(*arguments: Any) -> int:
            raise OSError(errno.EMFILE, "too many")

        self.patch(os, "open", refuse)
        self.limits = (20_000, 20_000)
        self.assertIsNone(self.enter(door))


class SystemTests(TestCase):
    """What the system says."""

    def test_tooManyFiles(self) -> Any:
        """Connections that the system refuses are a line in the log, not one each."""
        return ensureDeferred(self.refuse())

    async def refuse(self) -> None:
        """Have C{accept} fail a hundred times, at two doors."""
        self.patch(Listener, "_refusals", {})
        events = Events()
        globalLogPublisher.addObserver(events)
        self.addCleanup(globalLogPublisher.removeObserver, events)

        class Full:
            def accept(self) -> Any:
                raise OSError(errno.EMFILE, "too many")

        for _ in range(2):
            endpoint = serverFromString(installed, "tcp:0:interface=127.0.0.1")
            door = Door(installed, endpoint)
            await door.start()
            self.addCleanup(door.stop)
            port: Any = door.port
            real, port.socket = port.socket, Full()
            for _ in range(50):
                port.doRead()
            port.socket = real
        lines = [str(event.get("log_format")) for event in events]
        self.assertEqual(sum("open files" in line for line in lines), 1)
        self.assertFalse([line for line in lines if "accept" in line])

    async def test_socket(self) -> None:
        """A socket is found through whatever wraps it."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        tcp: Any = StringTransport()
        tcp.socket = ours
        outer: Any = Deferred()
        outer.transport = tcp
        self.assertIs(socketOf(outer), ours)
        self.assertIsNone(socketOf(StringTransport()))
        self.assertIsNone(socketOf(None))


class Sink(Protocol):
    """Keeps what it hears, and reads when it is told to."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.made: Deferred[None] = Deferred()
        self.lost: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        """Say so."""
        self.made.callback(None)

    def dataReceived(self, data: bytes) -> None:
        """Keep it."""
        self.heard.append(data)

    def connectionLost(self, reason: Any = None) -> None:
        """There is nothing to end any more."""
        self.lost.callback(None)

    def end(self) -> Deferred[None]:
        """Be gone."""
        if not self.lost.called:
            transport: Any = self.transport
            transport.abortConnection()
        return self.lost


class WritingTests(TestCase):
    """What is written at once comes whole, and in its order."""

    async def pair(self, *, isSecure: bool) -> tuple[Any, Sink]:
        """A transport, and who hears what is written to it."""
        reactor: Any = installed
        ours, theirs = Sink(), Sink()
        factory: Any = Factory()
        factory.noisy = False
        factory.buildProtocol = lambda _: theirs
        pem = makePEM()
        endpoint: Any = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        if isSecure:
            self.addCleanup(self.flushWarnings)  # Twisted itself uses what pyOpenSSL deprecates
            options = serverCertificate(pem).options()
            endpoint = SSL4ServerEndpoint(reactor, 0, options, interface="127.0.0.1")
        port = await endpoint.listen(factory)
        self.addCleanup(port.stopListening)
        number = port.getHost().port
        place: Any = TCP4ClientEndpoint(reactor, "127.0.0.1", number)
        if isSecure:
            place = wrapClientTLS(trusting(pem).creatorForNetloc(b"localhost", number), place)
        await connectProtocol(place, ours)
        await theirs.made
        transport: Any = ours.transport
        self.addCleanup(ours.end)
        if isSecure:  # the handshake is over when something has come
            theirs_: Any = theirs.transport
            theirs_.write(b"x")
            while not ours.heard:
                await deferLater(reactor, 0.01)
        return transport, theirs

    async def check(self, *, isSecure: bool) -> None:
        """Small and large, and more than the system takes."""
        transport, theirs = await self.pair(isSecure=isSecure)
        parts = [b"a" * 10, b"b" * 40_000, b"c", b"d" * 3_000_000, b"e" * 16_384]
        reading: Any = theirs.transport
        reading.pauseProducing()
        for part in parts[:4]:
            writeNow(transport, part)
            await deferLater(installed, 0)
        writeNow(transport, parts[4])
        reading.resumeProducing()
        whole = b"".join(parts)
        while sum(map(len, theirs.heard)) < len(whole):
            await deferLater(installed, 0.01)
        self.assertEqual(b"".join(theirs.heard), whole)
        transport.loseConnection()
        writeNow(transport, b"too late")
        await deferLater(installed, 0.05)
        self.assertEqual(b"".join(theirs.heard), whole)

    async def test_plain(self) -> None:
        """Over TCP."""
        await self.check(isSecure=False)

    async def test_secure(self) -> None:
        """Over TLS."""
        await self.check(isSecure=True)

    def test_parts(self) -> None:
        """TLS may take less than it is given, and make more than is read at once; none is lost."""

        class TLS:
            def __init__(self, most: int, stop: int) -> None:
                self.most, self.stop, self.made = most, stop, b""

            def send(self, data: bytes) -> int:
                if len(self.made) >= self.stop:
                    raise SSLError
                self.made += data[: self.most]
                return min(self.most, len(data))

            def bio_read(self, size: int) -> bytes:
                if not self.made:
                    raise SSLError
                part, self.made = self.made[:size], self.made[size:]
                return part

        data = bytes(range(256)) * 512
        for most in (1, 512, 16_384):
            for stop in (0, 1, 32_768, 65_536, len(data)):
                made, left = listener._encrypt(TLS(most, stop), data)
                self.assertEqual(made + left, data)
                self.assertEqual(bool(left), stop < len(data))

    async def test_lost(self) -> None:
        """What finds the connection lost is left to the reactor, which ends it."""
        transport, theirs = await self.pair(isSecure=False)
        there: Any = theirs.transport
        there.abortConnection()
        await deferLater(installed, 0.05)
        for _ in range(3):
            writeNow(transport, b"x")
        self.assertEqual(theirs.heard, [])


class PageTests(VirtualTestCase):
    """No page in a browser reaches what is not for it."""

    def test_origin(self) -> None:
        """An Origin is a page's, whatever it says."""
        for value in (b"https://evil.example", b"null", b"", b"http://127.0.0.1"):
            for isLocal in (True, False):
                self.assertTrue(comesFromPage({b"host": b"a", b"origin": value}, isLocal))

    def test_host(self) -> None:
        """On loopback, a name that is not this machine's was made to lead there."""
        for host in (
            b"127.0.0.1",
            b"127.0.0.1:7771",
            b"127.9.9.9",
            b"localhost",
            b"LocalHost:80",
            b"localhost.",
            b"hub.localhost:1",
            b"[::1]:7771",
            b"[::1]",
            b"[::ffff:127.0.0.1]",
        ):
            self.assertFalse(comesFromPage({b"host": host}, True), host)
        for host in (
            b"evil.example",
            b"evil.example:7771",
            b"127.0.0.1.evil.example",
            b"localhost.evil.example",
            b"evillocalhost",
            b"10.0.0.1",
            b"0.0.0.0:7771",
            b"[::2]",
            b"[::1].evil.example",
            b"",
            b"\xff",
        ):
            self.assertTrue(comesFromPage({b"host": host}, True), host)
            self.assertFalse(comesFromPage({b"host": host}, False), host)
        self.assertFalse(comesFromPage({}, True))

    def test_loopback(self) -> None:
        """With TLS, or elsewhere, a page cannot do that."""
        for address, isLocal in (
            (IPv4Address("TCP", "127.0.0.1", 1), True),
            (IPv6Address("TCP", "::1", 1), True),
            (IPv6Address("TCP", "::ffff:127.0.0.1", 1), True),
            (IPv4Address("TCP", "10.0.0.1", 1), False),
            (UNIXAddress(b"/run/x"), False),
        ):
            transport = StringTransport(address)
            self.assertEqual(isOnLoopback(transport), isLocal, address)
            directlyProvides(transport, ISSLTransport)
            self.assertFalse(isOnLoopback(transport))
