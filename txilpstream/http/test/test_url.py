"""Tests of C{txilpstream.http.url}."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from twisted.internet.protocol import Factory
from twisted.internet.ssl import CertificateOptions
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import BrowserLikePolicyForHTTPS

from txilpstream.errors import LocalError
from txilpstream.http.url import URL, checkToken, isLoopback, makeEndpoint, readBTPURL, readHTTPURL
from txilpstream.test.support.httppeers import Ignorant, connect
from txilpstream.test.support.strategies import forAll


class HTTPURLTests(SynchronousTestCase):
    """What a URL says."""

    def test_parts(self) -> None:
        for url, host, port, isSecure, uri, authority in (
            ("https://a.example", "a.example", 443, True, "https://a.example/", "a.example"),
            (
                "https://a.example:8080/ilp?x=1#y",
                "a.example",
                8080,
                True,
                "https://a.example:8080/ilp?x=1",
                "a.example:8080",
            ),
            ("https://A.Example:443", "a.example", 443, True, "https://a.example/", "a.example"),
            ("http://localhost:80/", "localhost", 80, False, "http://localhost/", "localhost"),
            ("http://[::1]:81/", "::1", 81, False, "http://[::1]:81/", "[::1]:81"),
            (
                "https://b\xfccher.example/",
                "xn--bcher-kva.example",
                443,
                True,
                "https://xn--bcher-kva.example/",
                "xn--bcher-kva.example",
            ),
        ):
            read = readHTTPURL(url, False)
            self.assertEqual((read.host, read.port, read.isSecure), (host, port, isSecure))
            self.assertEqual((read.uri, read.authority), (uri, authority))
            self.assertEqual((read.username, read.password), ("", None))

    def test_token(self) -> None:
        url = "https://:se%2fcret@a.example/p"
        read = readHTTPURL(url, False)
        self.assertEqual((read.password, read.uri), ("se/cret", "https://a.example/p"))
        self.assertNotIn("cret", repr(read))
        self.assertNotIn("/p", repr(read))

    def test_loopback(self) -> None:
        """Without TLS a URL goes no further than this machine, unless that is wanted."""
        for host in ("localhost", "127.0.0.1", "127.1.2.3", "[::1]"):
            readHTTPURL(f"http://{host}:3002/", False)
        for host in ("a.example", "10.0.0.1", "[2001:db8::1]", "localhost.example", "127.0.0.x"):
            error = self.assertRaises(LocalError, readHTTPURL, f"http://:s3@{host}/", False)
            self.assertIn("insecure=yes", str(error))
            self.assertNotIn("s3", str(error))
            readHTTPURL(f"http://{host}:3002/", True)

    def test_bad(self) -> None:
        """No error shows what may be a secret."""
        for url in (
            "",
            "ftp://:s3cret@a.example",
            "https://:s3cret@",
            "https://:s3cret@a.example:99999",
            "https://:s3cret@[::1",
            "https://:s3cret@a..b\xff/",
            "https://:s3cret@a b/",
            "https://s3cret@a.example/",
            "https://s3cret:x@a.example/",
            "https://a.example/s3cret\xff",
            "https://a.example/?s3cret x",
            "https://:s3cret@a.example:0/",
            f"https://:s3cret@{'a' * 64}.example/",
            "https://:s3cret@a..example/",
        ):
            error = self.assertRaises(LocalError, readHTTPURL, url, False)
            self.assertNotIn("s3cret", str(error))
            self.assertIsNone(error.__cause__)

    def test_checkToken(self) -> None:
        self.assertEqual(checkToken("token", "a"), "a")
        for token in ("a b", "s3cret\r\nHost: x", "s3cret\xff"):
            error = self.assertRaises(LocalError, checkToken, "token", token)
            self.assertNotIn("s3cret", str(error))


class EndpointTests(SynchronousTestCase):
    """What connects to it."""

    def dial(self, url: str) -> tuple[str, int, bytes]:
        """Give where a connection goes, and what is said first."""
        reactor = MemoryReactorClock()
        endpoint = makeEndpoint(reactor, readHTTPURL(url, True))
        factory = Factory.forProtocol(Ignorant)
        factory.noisy = False
        connecting = endpoint.connect(factory)
        host, port, client, timeout, _ = reactor.tcpClients[0]
        self.assertEqual(timeout, 10.0)
        transport = connect(reactor, client.buildProtocol(None))
        self.successResultOf(connecting)
        return host, port, transport.take()

    def test_plain(self) -> None:
        self.assertEqual(self.dial("http://127.0.0.2:80"), ("127.0.0.2", 80, b""))
        self.assertEqual(self.dial("http://[::1]:81"), ("::1", 81, b""))

    def test_secure(self) -> None:
        host, port, said = self.dial("https://127.0.0.2")
        self.assertEqual((host, port, said[:2]), ("127.0.0.2", 443, b"\x16\x03"))

    def test_name(self) -> None:
        reactor = MemoryReactorClock()
        endpoint = makeEndpoint(reactor, readHTTPURL("http://localhost", False))
        connecting = endpoint.connect(Factory.forProtocol(Ignorant))
        reactor.advance(0)
        self.assertEqual(reactor.tcpClients[0][:2], ("127.0.0.1", 80))
        connecting.cancel()
        self.failureResultOf(connecting)

    def test_both(self) -> None:
        """Whoever brings a policy decides by it what is shown to the peer."""
        url = readHTTPURL("https://a.example", False)
        self.assertRaises(
            LocalError,
            makeEndpoint,
            MemoryReactorClock(),
            url,
            BrowserLikePolicyForHTTPS(),
            CertificateOptions(),
        )


class BTPURLTests(SynchronousTestCase):
    """What a URL says, and what is none."""

    def test_parts(self) -> None:
        self.assertEqual(
            readBTPURL("btp+wss://al%40ice:s%3Acret@Example.COM:7768/a/b?c=d", False),
            URL("btp+wss", "example.com", 7768, "/a/b?c=d", True, "al@ice", "s:cret"),
        )

    def test_schemes(self) -> None:
        for scheme, port, isSecure in (
            ("ws", 80, False),
            ("btp+ws", 80, False),
            ("wss", 443, True),
            ("btp+wss", 443, True),
        ):
            read = readBTPURL(f"{scheme}://example.com", True)
            self.assertEqual(read, URL(scheme, "example.com", port, "/", isSecure, "", None))
            self.assertEqual(read.authority, "example.com")

    def test_userInfo(self) -> None:
        for userInfo, account, token in (
            ("", "", None),
            ("alice@", "alice", None),
            (":@", "", ""),
            (":token@", "", "token"),
        ):
            read = readBTPURL(f"ws://{userInfo}localhost", False)
            self.assertEqual((read.username, read.password), (account, token))

    def test_type(self) -> None:
        wrong: Any = URL("ws", "localhost", 80, "/", False)
        error = self.assertRaises(LocalError, readBTPURL, wrong, True)
        self.assertIn("of type URL", str(error))

    def test_authority(self) -> None:
        self.assertEqual(readBTPURL("ws://[::1]:81", True).authority, "[::1]:81")
        self.assertEqual(readBTPURL("wss://a:80", False).authority, "a:80")
        self.assertEqual(readBTPURL("ws://bücher.example", True).authority, "xn--bcher-kva.example")

    def test_loopback(self) -> None:
        for host in ("localhost", "127.0.0.1", "127.9.9.9", "[::1]"):
            self.assertTrue(isLoopback(readBTPURL(f"ws://{host}", True).host))
        for host in ("localhost.example", "128.0.0.1", "[::2]", "0.0.0.0", "127.0.0.1.example"):
            self.assertFalse(isLoopback(readBTPURL(f"ws://{host}", True).host))

    def test_plain(self) -> None:
        """Without TLS a URL goes no further than this machine, unless that is wanted."""
        readBTPURL("wss://a.example", False)
        readBTPURL("ws://localhost", False)
        readBTPURL("ws://a.example", True)
        error = self.assertRaises(LocalError, readBTPURL, "btp+ws://:secret@a.example", False)
        self.assertIn("use btp+wss:", str(error))
        self.assertNotIn("secret", str(error))

    def test_tokenIsNotShown(self) -> None:
        self.assertNotIn("secret", repr(readBTPURL("ws://alice:secret@localhost", False)))

    def test_impossible(self) -> None:
        """No error repeats what may be a token."""
        for url in (
            "",
            "http://:secret@example.com",
            "://:secret@example.com",
            "ws://:secret@",
            "ws://:secret@:80",
            "ws://:secret@example.com:0",
            "ws://:secret@example.com:65536",
            "ws://:secret@example.com:port",
            "ws://:secret@[::1",
            "ws://:secret@exam℀ple.com",
            "ws://:secret@a b",
            f"ws://:secret@{'a' * 64}.com",
            f"ws://:secret@{'a.' * 127}com",
            "ws://:secret@example..com",
            "ws://:secret@example.com/a b",
            "ws://:secret@example.com/ä",
            "ws://:secret@example.com/#secret",
        ):
            error = self.assertRaises(LocalError, readBTPURL, url, True)
            self.assertNotIn("secret", str(error))
            self.assertIsNone(error.__cause__)

    @forAll(st.text(max_size=40).map(lambda text: "ws://" + text), examples=300)
    def test_anything(self, url: str) -> None:
        try:
            readBTPURL(url, True)
        except LocalError:
            pass
