"""BTP over TLS."""

from __future__ import annotations

from typing import Any

from twisted.internet.endpoints import HostnameEndpoint, SSL4ServerEndpoint, wrapClientTLS
from twisted.trial.unittest import TestCase

from txilpstream.errors import ConnectionEnded
from txilpstream.plugins.btp.client import BTPClientPlugin
from txilpstream.plugins.btp.server import BTPServer, BTPServerPlugin
from txilpstream.test.support.certificates import makePEM, serverCertificate, trusting


class TLSTests(TestCase):
    """A server with a certificate that only those trust who were told to."""

    def setUp(self) -> None:
        # Twisted itself uses what pyOpenSSL deprecates.
        self.addCleanup(self.flushWarnings)

    async def listen(self) -> Any:
        """Begin to listen, with an echo in capitals."""
        from twisted.internet import reactor

        self.pem = makePEM()
        far = BTPServerPlugin(reactor)
        far.registerDataHandler(bytes.upper)
        options = serverCertificate(self.pem).options()
        endpoint = SSL4ServerEndpoint(reactor, 0, options, interface="127.0.0.1")
        self.server = BTPServer(reactor, endpoint, lambda account, token: far)
        await self.server.start()
        port: Any = self.server.port
        return port.getHost().port

    async def test_trusted(self) -> None:
        """Large packets, many of them, and an end on both sides."""
        from twisted.internet import reactor

        port = await self.listen()
        endpoint = wrapClientTLS(
            trusting(self.pem).creatorForNetloc(b"localhost", port),
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
