"""
Tests of C{txilpstream.plugins.http.plugin}: the plugin for ILP over HTTP, and how it is described.
"""

from __future__ import annotations

import os
import warnings
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.endpoints import SSL4ServerEndpoint, TCP4ServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.ssl import Certificate, PrivateCertificate, trustRootFromCertificates
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.client import BrowserLikePolicyForHTTPS
from zope.interface.verify import verifyObject

from txilpstream.errors import ConnectionEnded, LocalError
from txilpstream.interfaces import IPlugin, IPluginFactory, NotSent
from txilpstream.plugins.http.plugin import HTTPPlugin, HTTPPluginFactory
from txilpstream.test.support.httppeers import (
    FULFILL,
    PREPARE,
    TOKEN,
    WALL,
    Endpoint,
    Ignorant,
    Response,
    connect,
    makeRequest,
)
from txilpstream.test.support.virtual import VirtualTestCase
from txilpstream.wire.ilp import Reject, decodeReply


def keepQuiet(test: SynchronousTestCase) -> None:
    """For the time of a test, do not hear what pyOpenSSL says of how Twisted uses it."""
    catching = warnings.catch_warnings()
    catching.__enter__()
    test.addCleanup(catching.__exit__, None, None, None)
    warnings.filterwarnings("ignore", "Passing pyOpenSSL")


def makePEM() -> bytes:
    """Make a key, and a certificate for 127.0.0.1 that it signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, SHA256())
    )
    return key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    ) + certificate.public_bytes(Encoding.PEM)


class PluginTests(VirtualTestCase):
    """The two halves as one."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.endpoint = Endpoint()

    def make(self, url: str | None = None, **options: Any) -> HTTPPlugin:
        """Make a plugin that listens."""
        return HTTPPlugin(
            self.reactor,
            url,
            endpoint=self.endpoint,
            incomingToken=TOKEN,
            wallClock=lambda: WALL,
            **options,
        )

    def ask(self, request: bytes) -> Response:
        """Ask what listens."""
        transport = connect(self.reactor, self.endpoint.factory.buildProtocol(None))
        transport.protocol.dataReceived(request)
        return Response(transport.take())

    def end(self, plugin: HTTPPlugin) -> None:
        """Give a plugin up, and see that nothing stays."""
        done = plugin.disconnect()
        self.reactor.advance(0)
        self.successResultOf(done)
        self.assertFalse(plugin.isConnected())
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.successResultOf(plugin.disconnect())

    def test_interface(self) -> None:
        verifyObject(IPlugin, self.make())

    def test_listens(self) -> None:
        plugin = self.make()
        self.assertFalse(plugin.isConnected())
        self.assertIsNone(plugin.port)
        self.successResultOf(plugin.connect())
        self.successResultOf(plugin.connect())
        self.assertTrue(plugin.isConnected())
        self.assertFalse(plugin.isFull())
        self.assertIs(plugin.port, self.endpoint.port)
        reply = decodeReply(self.ask(makeRequest()).body)
        self.assertEqual(reply, Reject("T01", "", "Peer Unreachable"))
        plugin.registerDataHandler(lambda data: FULFILL)
        response = self.ask(makeRequest())
        self.assertEqual(response.body, FULFILL)
        self.assertIn("2023", response.headers["date"])
        self.assertEqual(self.ask(makeRequest(token="correct-horsf")).status, 401)
        self.assertEqual(self.ask(makeRequest(token=None)).status, 401)
        self.end(plugin)

    def test_onlyListens(self) -> None:
        plugin = self.make()
        plugin.connect()
        error = self.failureResultOf(plugin.sendData(PREPARE), NotSent)
        self.assertIn("only listens", str(error.value))
        self.end(plugin)

    def test_onlySends(self) -> None:
        plugin = HTTPPlugin(self.reactor, "http://127.0.0.1")
        error = self.failureResultOf(plugin.sendData(PREPARE), NotSent)
        self.assertIn("connect()", str(error.value))
        self.successResultOf(plugin.connect())
        self.assertTrue(plugin.isConnected())
        self.assertIsNone(plugin.port)
        self.end(plugin)

    def test_cannotListen(self) -> None:
        self.endpoint.error = ZeroDivisionError()
        plugin = self.make("http://127.0.0.1")
        self.failureResultOf(plugin.connect(), ZeroDivisionError)
        self.end(plugin)
        self.endpoint.error = None
        self.successResultOf(plugin.connect())
        self.end(plugin)

    def test_givenUpBeforeItListens(self) -> None:
        self.endpoint.later = Deferred()
        plugin = self.make("http://127.0.0.1")
        connecting = plugin.connect()
        self.assertNoResult(connecting)
        self.failureResultOf(plugin.connect(), LocalError)
        self.end(plugin)
        self.failureResultOf(connecting, CancelledError)

    def test_endings(self) -> None:
        """All who give it up hear of its end, and it can be made ready after that."""
        self.endpoint.port.stopped = Deferred()
        plugin = self.make("http://127.0.0.1")
        plugin.connect()
        endings = [plugin.disconnect(), plugin.disconnect()]
        again = plugin.connect()
        self.reactor.advance(0)
        for each in (*endings, again):
            self.assertNoResult(each)
        self.endpoint.port.stopped.callback(None)
        for each in (*endings, again):
            self.successResultOf(each)
        self.assertTrue(plugin.isConnected())
        self.endpoint.port.stopped = None
        self.end(plugin)

    def test_lastWord(self) -> None:
        """Who makes it ready while it ends, and gives that up too, has it not ready."""
        ending: Deferred[None] = Deferred()
        self.endpoint.port.stopped = ending
        plugin = self.make("http://127.0.0.1")
        plugin.connect()
        first = plugin.disconnect()
        again = plugin.connect()
        last = plugin.disconnect()
        self.failureResultOf(again, CancelledError)
        self.reactor.advance(0)
        ending.callback(None)
        for each in (first, last):
            self.successResultOf(each)
        self.assertFalse(plugin.isConnected())
        self.assertIsNone(plugin.port)

    def test_impossible(self) -> None:
        for url, options, text in (
            (None, {}, "endpoint"),
            (None, {"endpoint": self.endpoint}, "incomingToken"),
            (None, {"endpoint": self.endpoint, "incomingToken": "a b"}, "incomingToken"),
            ("http://127.0.0.1", {"mode": "async"}, "'sync'"),
            ("http://a.example", {}, "isInsecure"),
        ):
            error = self.assertRaises(LocalError, HTTPPlugin, self.reactor, url, **options)
            self.assertIn(text, str(error))


class FactoryTests(VirtualTestCase):
    """Plugins from strings."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.factory = HTTPPluginFactory()

    def make(self, *args: str, **kwargs: str) -> HTTPPlugin:
        """Make a connected plugin, to be given up at the end."""
        plugin = self.factory.fromString(self.reactor, *args, **kwargs)
        self.successResultOf(plugin.connect())
        self.addCleanup(plugin.disconnect)
        return plugin

    def sent(self, plugin: HTTPPlugin) -> bytes:
        """Send, and give what the first connection gets."""
        plugin.sendData(PREPARE).addErrback(lambda failure: None)
        factory = self.reactor.tcpClients[-1][2]
        sent = connect(self.reactor, factory.buildProtocol(None)).take()
        self.assertNotEqual(sent, b"")
        return sent

    def test_interface(self) -> None:
        verifyObject(IPluginFactory, self.factory)
        self.assertEqual(self.factory.prefix, "http")

    def test_url(self) -> None:
        sent = self.sent(self.make("http://:secret@127.0.0.1:3002/x"))
        self.assertTrue(sent.startswith(b"POST /x HTTP/1.1\r\n"))
        self.assertIn(b"Authorization: Bearer secret\r\n", sent)
        self.assertIn(b"\r\nHost: 127.0.0.1:3002\r\n", sent)

    def test_keys(self) -> None:
        plugin = self.make(
            url="http://10.1.1.1/y", token="secret", insecure="yes", window="1", mode="sync"
        )
        self.assertIn(b"Bearer secret\r\n", self.sent(plugin))
        self.assertTrue(plugin.isFull())

    def test_secure(self) -> None:
        self.assertEqual(self.sent(self.make("https://:secret@127.0.0.1/x"))[:2], b"\x16\x03")
        self.assertEqual(self.reactor.tcpClients[0][1], 443)

    def test_listen(self) -> None:
        plugin = self.make(listen="tcp:3003", incomingToken="secret")
        self.assertEqual(self.reactor.tcpServers[0][0], 3003)
        self.assertIsNotNone(plugin.port)

    def test_certificate(self) -> None:
        keepQuiet(self)
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(makePEM())
        plugin = self.make("https://127.0.0.1/x", clientCertificate=path)
        self.assertEqual(self.sent(plugin)[:2], b"\x16\x03")

    def test_bad(self) -> None:
        """Errors say what is wrong, and show no secret."""
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(b"s3cret")
        url = "http://:s3cret@127.0.0.1/"
        for args, kwargs, text in (
            ((), {}, "url"),
            ((url, url), {}, "positional"),
            ((url,), {"colour": "red"}, "colour"),
            ((url,), {"url": url}, "url"),
            (("s3cret",), {}, "https://"),
            (("http://:s3cret@a.example",), {}, "insecure=yes"),
            ((url,), {"insecure": "s3cret"}, "yes or no"),
            ((url,), {"mode": "async"}, "'sync'"),
            ((url,), {"window": "many"}, "many"),
            ((url,), {"window": "9" * 10}, "window"),
            ((url,), {"window": "0"}, "window"),
            ((), {"listen": "tcp:3003"}, "incomingToken"),
            ((), {"listen": "s3cret:3003", "incomingToken": "x"}, "listen"),
            ((), {"listen": "tcp:s3cret", "incomingToken": "x"}, "listen"),
            ((), {"listen": "", "incomingToken": "x"}, "listen"),
            ((url,), {"clientCertificate": path}, "PEM"),
            ((url,), {"clientCertificate": path + "x"}, "No such file"),
        ):
            error = self.assertRaises(
                LocalError, self.factory.fromString, self.reactor, *args, **kwargs
            )
            self.assertIn(text, str(error))
            self.assertNotIn("s3cret", str(error))


class SocketTests(TestCase):
    """Two plugins on real sockets."""

    timeout = 120

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor

    def endLater(self, plugin: HTTPPlugin) -> None:
        """Give a plugin up when the test is over."""
        self.addCleanup(plugin.disconnect)

    def trust(self, path: str) -> None:
        """Let the platform trust a certificate, for as long as this test runs."""
        before = os.environ.get("SSL_CERT_FILE")
        os.environ["SSL_CERT_FILE"] = path
        if before is None:
            self.addCleanup(os.environ.pop, "SSL_CERT_FILE")
        else:
            self.addCleanup(os.environ.__setitem__, "SSL_CERT_FILE", before)

    async def listen(self, endpoint: Any) -> str:
        """Make one that listens and answers, and give where."""
        plugin = HTTPPlugin(self.reactor, None, endpoint=endpoint, incomingToken=TOKEN)
        plugin.registerDataHandler(lambda data: FULFILL if data == PREPARE else b"")
        await plugin.connect()
        self.endLater(plugin)
        port: Any = plugin.port
        return f"127.0.0.1:{port.getHost().port}"

    async def listenPlainly(self) -> str:
        """The same without TLS."""
        return await self.listen(TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1"))

    async def send(self, url: str, count: int = 1, **options: Any) -> None:
        """Send packets that are all fulfilled."""
        plugin = HTTPPlugin(self.reactor, url, **options)
        await plugin.connect()
        self.endLater(plugin)
        answers = await gatherResults(
            [plugin.sendData(PREPARE) for _ in range(count)], consumeErrors=True
        )
        self.assertEqual(answers, [FULFILL] * count)

    async def assertNotSent(self, url: str, text: str, **options: Any) -> None:
        """A packet is certainly not sent."""
        plugin = HTTPPlugin(self.reactor, url, **options)
        await plugin.connect()
        self.endLater(plugin)
        error = await self.assertFailure(plugin.sendData(PREPARE), NotSent)
        self.assertIn(text, str(error))
        self.assertNotIn(TOKEN, str(error))

    async def test_plain(self) -> None:
        """A hundred at once, four at a time."""
        place = await self.listenPlainly()
        await self.send(f"http://:{TOKEN}@{place}/ilp", 100, window=4)

    async def test_name(self) -> None:
        place = (await self.listenPlainly()).replace("127.0.0.1", "localhost")
        await self.send(f"http://{place}/ilp", token=TOKEN)

    async def test_wrongToken(self) -> None:
        await self.assertNotSent(f"http://:wrong@{await self.listenPlainly()}/", "401")

    async def test_refused(self) -> None:
        endpoint = TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1")
        port = await endpoint.listen(Factory.forProtocol(Ignorant))
        place = f"127.0.0.1:{port.getHost().port}"
        await port.stopListening()
        await self.assertNotSent(f"http://:{TOKEN}@{place}/", "ConnectionRefusedError")

    async def test_silence(self) -> None:
        """A peer that accepts and says nothing leaves a packet in doubt."""
        endpoint = TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1")
        connected: Deferred[Any] = Deferred()

        class Talkative(Ignorant):
            def dataReceived(self, data: bytes) -> None:
                if not connected.called:
                    connected.callback(None)

        port = await endpoint.listen(Factory.forProtocol(Talkative))
        self.addCleanup(port.stopListening)
        plugin = HTTPPlugin(self.reactor, f"http://127.0.0.1:{port.getHost().port}/")
        await plugin.connect()
        waiting = plugin.sendData(PREPARE)
        await connected
        ended = plugin.disconnect()
        await self.assertFailure(waiting, ConnectionEnded)
        await ended

    async def test_secure(self) -> None:
        """The peer's certificate is checked before anything is sent."""
        keepQuiet(self)
        pem = makePEM()
        own = PrivateCertificate.loadPEM(pem)
        endpoint = SSL4ServerEndpoint(self.reactor, 0, own.options(), interface="127.0.0.1")
        url = f"https://:{TOKEN}@{await self.listen(endpoint)}/ilp"
        await self.assertNotSent(url, "certificate verify failed")
        trusted = trustRootFromCertificates([Certificate.loadPEM(pem)])
        await self.send(url, 20, window=4, contextFactory=BrowserLikePolicyForHTTPS(trusted))
        wrongName = url.replace("127.0.0.1", "localhost")
        await self.assertNotSent(
            wrongName, "VerificationError", contextFactory=BrowserLikePolicyForHTTPS(trusted)
        )

    async def test_clientCertificate(self) -> None:
        """A peer that wants a certificate gets it; with none, nothing it takes is sent."""
        keepQuiet(self)
        path = self.mktemp()
        pem = makePEM()
        with open(path, "wb") as file:
            file.write(pem)
        path = os.path.abspath(path)
        own = PrivateCertificate.loadPEM(pem)
        options = own.options(Certificate.loadPEM(pem))
        endpoint = SSL4ServerEndpoint(self.reactor, 0, options, interface="127.0.0.1")
        url = f"https://:{TOKEN}@{await self.listen(endpoint)}/ilp"
        self.trust(path)
        plugin = HTTPPluginFactory().fromString(self.reactor, url, clientCertificate=path)
        await plugin.connect()
        self.endLater(plugin)
        self.assertEqual(await plugin.sendData(PREPARE), FULFILL)
        trusted = trustRootFromCertificates([Certificate.loadPEM(pem)])
        stranger = HTTPPlugin(self.reactor, url, contextFactory=BrowserLikePolicyForHTTPS(trusted))
        await stranger.connect()
        self.endLater(stranger)
        await self.assertFailure(stranger.sendData(PREPARE), NotSent, ConnectionEnded)
