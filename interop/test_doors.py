"""Each door over TLS, called by curl, Node and Python's ssl, with and without ALPN."""

from __future__ import annotations

import socket
import ssl
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import SSL4ServerEndpoint
from twisted.internet.threads import deferToThread
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase
from twisted.web.server import Site

from txilpstream.crypto.credentials import Credentials
from txilpstream.http.listener import NEGOTIATES
from txilpstream.http.web import WebResource
from txilpstream.plugins.btp.server import BTPServer
from txilpstream.plugins.http.server import PrepareServer
from txilpstream.spsp.server import SPSPResource, SPSPServer
from txilpstream.test.support.certificates import makePEM, serverCertificate

HERE = Path(__file__).resolve().parent

BOTH = ("h2", "http/1.1")
"""What browsers and curl offer."""

OFFERS: tuple[tuple[str, ...], ...] = ((), ("http/1.1",), BOTH)

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


def credentials(**options: Any) -> Credentials:
    """Somebody who is paid."""
    return Credentials("test.bob", bytes(32))


class DoorTests(TestCase):
    """All who come with TLS are answered."""

    timeout = 120

    def setUp(self) -> Any:
        """Have a certificate."""
        self.addCleanup(self.flushWarnings)  # Twisted itself uses what pyOpenSSL deprecates
        pem = makePEM()
        self.options = serverCertificate(pem).options()
        self.certificate = Path(self.mktemp())
        self.certificate.write_bytes(pem[pem.index(b"-----BEGIN CERTIFICATE") :])
        return succeed(None)

    def endpoint(self) -> Any:
        """A free port with TLS."""
        return SSL4ServerEndpoint(installed, 0, self.options, interface="127.0.0.1")

    async def open(self, server: Any) -> int:
        """Start a server; gives its port."""
        await server.start()
        self.addCleanup(server.stop)
        port: int = server.port.getHost().port
        return port

    async def curl(self, port: int, offer: tuple[str, ...], headers: dict[str, str]) -> str:
        """What curl says; it offers both, or nothing."""
        words = ["-sS", "-o", "/dev/null", "-w", "status %{http_code}", "--max-time", "5"]
        words += ["--cacert", str(self.certificate)]
        words += [] if offer == BOTH else ["--http1.1"] if offer else ["--no-alpn"]
        if "Upgrade" in headers:
            words += ["--http1.1", "--max-time", "1"]
        for name, value in headers.items():
            words += ["-H", f"{name}: {value}"]
        return await self.run_("curl", [*words, f"https://localhost:{port}/"])

    async def node(self, port: int, offer: tuple[str, ...], headers: dict[str, str]) -> str:
        """What Node says."""
        kind = "wss" if "Upgrade" in headers else "https"
        script = str(HERE / "doors.js")
        certificate = str(self.certificate.resolve())
        return await self.run_("node", [script, kind, str(port), certificate, ",".join(offer)])

    async def run_(self, name: str, words: list[str]) -> str:
        """Run something; gives what it printed."""
        found = await getProcessOutputAndValue("/usr/bin/env", [name, *words], env=None)
        out, error, _ = found
        return (out + error).decode().partition("\n")[0].partition("curl:")[0]

    def python(self, port: int, offer: tuple[str, ...], headers: dict[str, str]) -> Deferred[str]:
        """What Python's own ssl hears."""
        return deferToThread(self.ask, port, offer, headers)

    def ask(self, port: int, offer: tuple[str, ...], headers: dict[str, str]) -> str:
        """Ask, in a thread."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        if offer:
            context.set_alpn_protocols(list(offer))
        lines = ["GET / HTTP/1.1", "Host: localhost"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        with (
            socket.create_connection(("127.0.0.1", port), 10) as raw,
            context.wrap_socket(raw, server_hostname="localhost") as secure,
        ):
            chosen = secure.selected_alpn_protocol()
            assert chosen == ("http/1.1" if offer and NEGOTIATES else None), chosen
            secure.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
            return "status " + secure.recv(4096).split()[1].decode()

    async def check(self, port: int, status: int, headers: dict[str, str] | None = None) -> None:
        """All get the same answer."""
        for ask in (self.curl, self.node, self.python):
            for offer in OFFERS:
                answer = await ask(port, offer, headers or {"X-From": "test"})
                who = f"{ask.__name__} {offer} on {sys.version.split()[0]}"
                self.assertEqual(answer, f"status {status}", who)

    async def test_spsp(self) -> None:
        """Who wants to pay is told how."""
        resource = SPSPResource(credentials)
        await self.check(await self.open(SPSPServer(installed, self.endpoint(), resource)), 200)

    async def test_site(self) -> None:
        """The same resource in a Site."""
        site = Site(WebResource(SPSPResource(credentials)))
        port = await self.endpoint().listen(site)
        self.addCleanup(port.stopListening)
        await self.check(port.getHost().port, 200)

    if not NEGOTIATES:
        test_site.skip = "this Twisted's own Site fails with TLS and the newest pyOpenSSL"  # type: ignore[attr-defined]

    async def test_http(self) -> None:
        """Who has no token is told so."""
        server = PrepareServer(installed, self.endpoint(), lambda token: None)
        await self.check(await self.open(server), 401)

    async def test_btp(self) -> None:
        """A WebSocket opens."""
        server = BTPServer(installed, self.endpoint(), lambda account, token: None)
        await self.check(await self.open(server), 101, UPGRADE)
