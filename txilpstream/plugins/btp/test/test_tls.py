"""BTP over TLS."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from twisted.internet.endpoints import HostnameEndpoint, SSL4ServerEndpoint, wrapClientTLS
from twisted.internet.ssl import (
    Certificate,
    PrivateCertificate,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.trial.unittest import TestCase

from txilpstream.errors import ConnectionEnded
from txilpstream.plugins.btp.client import BTPClientPlugin
from txilpstream.plugins.btp.server import BTPServer, BTPServerPlugin


def makeCertificate() -> PrivateCertificate:
    """A certificate of C{localhost} that nobody signed but itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem = private + certificate.public_bytes(Encoding.PEM)
    loaded: PrivateCertificate = PrivateCertificate.loadPEM(pem)
    return loaded


class TLSTests(TestCase):
    """A server with a certificate that only those trust who were told to."""

    def setUp(self) -> None:
        # Twisted itself uses what pyOpenSSL deprecates.
        self.addCleanup(self.flushWarnings)

    async def listen(self) -> Any:
        """Begin to listen, with an echo in capitals."""
        from twisted.internet import reactor

        self.certificate = makeCertificate()
        far = BTPServerPlugin(reactor)
        far.registerDataHandler(bytes.upper)
        endpoint = SSL4ServerEndpoint(reactor, 0, self.certificate.options(), interface="127.0.0.1")
        self.server = BTPServer(reactor, endpoint, lambda account, token: far)
        await self.server.start()
        port: Any = self.server.port
        return port.getHost().port

    async def test_trusted(self) -> None:
        """Large packets, many of them, and an end on both sides."""
        from twisted.internet import reactor

        port = await self.listen()
        root = trustRootFromCertificates([Certificate.loadPEM(self.certificate.dumpPEM())])
        endpoint = wrapClientTLS(
            optionsForClientTLS("localhost", trustRoot=root),
            HostnameEndpoint(reactor, "127.0.0.1", port),
        )
        near = BTPClientPlugin(reactor, f"btp+wss://:t@localhost:{port}", endpoint=endpoint)
        await near.connect()
        large = b"a" * 30000
        waiting = [near.sendData(large) for _ in range(100)]
        self.assertEqual({await each for each in waiting}, {large.upper()})
        await near.disconnect()
        await self.server.stop()

    async def test_notTrusted(self) -> None:
        """A certificate that cannot be checked ends the attempt before the token is sent."""
        from twisted.internet import reactor

        port = await self.listen()
        near = BTPClientPlugin(reactor, f"btp+wss://:t@localhost:{port}")
        refused: Any = self.assertFailure(near.connect(), ConnectionEnded)
        error = await refused
        self.assertIn("certificate verify failed", str(error))
        await self.server.stop()
