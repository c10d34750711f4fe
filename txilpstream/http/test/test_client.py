"""Tests of C{txilpstream.http.client}: a web client against servers that mean no good."""

from __future__ import annotations

import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet import reactor as installed
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.client import ResponseFailed
from twisted.web.http_headers import Headers
from zope.interface import implementer

from txilpstream.http.client import (
    BodyLost,
    BodyTooLong,
    boundedAgent,
    dropBody,
    readBounded,
    textsOf,
    whyNot,
)

HOST = ip_address("127.0.0.1")
HEAD = b"HTTP/1.1 200 OK\r\n"


class Script(Protocol):
    """
    Says what it is told to as soon as somebody asks.

    @ivar factory: has the text, whether the connection ends with it, and what happened.
    """

    def dataReceived(self, data: bytes) -> None:
        """Say it."""
        factory: Any = self.factory
        transport: Any = self.transport
        transport.write(factory.text)
        if factory.isClosing:
            transport.loseConnection()

    def connectionLost(self, reason: Any = None) -> None:
        """Write it down."""
        factory: Any = self.factory
        factory.whenLost.callback(None)


class BoundedTests(TestCase):
    """What a connection may bring, over TCP."""

    async def ask(self, text: bytes, isClosing: bool = False, limit: int = 1000) -> Any:
        """Ask a server that says so."""
        reactor: Any = installed
        factory: Any = Factory.forProtocol(Script)
        factory.noisy = False
        factory.text, factory.isClosing = text, isClosing
        self.whenLost: Deferred[None] = Deferred()
        factory.whenLost = self.whenLost
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        agent = boundedAgent(reactor, timeout=60, limit=limit)
        url = b"http://127.0.0.1:%d/" % port.getHost().port
        return await agent.request(b"GET", url, None, None)

    async def test_body(self) -> None:
        """A body with its length, and one that the end of the connection ends."""
        for text, isClosing in (
            (HEAD + b"Content-Length: 4\r\n\r\nbody", False),
            (HEAD + b"\r\nbody", True),
            (HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", False),
        ):
            response = await self.ask(text, isClosing)
            self.assertEqual(await readBounded(response, 4), b"body")
            await self.whenLost

    async def test_tooLong(self) -> None:
        """One octet more than that, and the connection ends."""
        response = await self.ask(HEAD + b"Content-Length: 400\r\n\r\nbody!")
        await self.assertFailure(readBounded(response, 4), BodyTooLong)
        await self.whenLost

    async def test_cutOff(self) -> None:
        """A body that ends before its length is lost."""
        response = await self.ask(HEAD + b"Content-Length: 400\r\n\r\nbody", True)
        await self.assertFailure(readBounded(response, 40), BodyLost)

    async def test_limit(self) -> None:
        """Headers without end, and all else beyond the limit, end the connection."""
        text = HEAD + b"X: y\r\n" * 1000
        await self.assertFailure(Deferred.fromCoroutine(self.ask(text)), ResponseFailed)
        await self.whenLost
        response = await self.ask(text + b"Content-Length: 2\r\n\r\nok", limit=len(text) + 99)
        self.assertEqual(await readBounded(response, 2), b"ok")
        await self.whenLost

    async def test_dropped(self) -> None:
        """A body that nobody wants ends with its connection."""
        dropBody(await self.ask(HEAD + b"Content-Length: 400\r\n\r\nbody"))
        await self.whenLost

    async def test_cancelled(self) -> None:
        """To give up reading is to end the connection."""
        response = await self.ask(HEAD + b"Content-Length: 400\r\n\r\nbody")
        reading = readBounded(response, 400)
        reading.cancel()
        await self.assertFailure(reading, CancelledError)
        await self.whenLost

    async def test_certificate(self) -> None:
        """Over https, a certificate that nobody vouches for is refused."""
        reactor: Any = installed
        path = Path(self.mktemp())
        path.write_bytes(selfSigned())
        factory: Any = Factory.forProtocol(Protocol)
        factory.noisy = False
        port = reactor.listenSSL(0, factory, ServerContext(path), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        agent = boundedAgent(reactor, timeout=60, limit=100_000)
        url = b"https://127.0.0.1:%d/" % port.getHost().port
        asked = agent.request(b"GET", url, None, None)
        error: Any = await self.assertFailure(asked, Exception)
        self.assertIn("certificate verify failed", whyNot(error))

    async def test_noTLS(self) -> None:
        """A server that does not speak TLS is none over https."""
        reactor: Any = installed
        factory: Any = Factory.forProtocol(Script)
        factory.noisy, factory.text, factory.isClosing = False, HEAD + b"\r\n", False
        factory.whenLost = Deferred()
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        agent = boundedAgent(reactor, timeout=60, limit=100_000)
        asked = agent.request(b"GET", b"https://127.0.0.1:%d/" % port.getHost().port, None, None)
        error: Any = await self.assertFailure(asked, Exception)
        self.assertIn("SSL", whyNot(error))
        await factory.whenLost


@implementer(IOpenSSLServerConnectionCreator)
class ServerContext:
    """A key and a certificate from one file."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """Show them."""
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.use_certificate_file(self.path)
        context.use_privatekey_file(self.path)
        return SSL.Connection(context, None)


def selfSigned() -> bytes:
    """A key and a certificate that it signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    begin = datetime.datetime(2020, 1, 1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(HOST)]), critical=False)
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=36500))
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class WordsTests(SynchronousTestCase):
    """What is told of a server's answer."""

    def test_textsOf(self) -> None:
        """A header has text, whatever octets it has."""
        headers = Headers()
        headers.setRawHeaders(b"X", [b"a", b"\xff"])
        self.assertEqual(textsOf(headers, b"x"), ["a", "\xff"])
        self.assertEqual(textsOf(headers, b"y"), [])

    def test_whyNot(self) -> None:
        """The reason of a failure is named, and nothing of what the server said."""
        self.assertEqual(whyNot(OSError("why")), "OSError: why")
        self.assertEqual(whyNot(ResponseFailed([])), "ResponseFailed")
        self.assertEqual(whyNot(ResponseFailed(["sesame"])), "ResponseFailed")
