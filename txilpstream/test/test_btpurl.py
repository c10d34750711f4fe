"""Where a BTP client calls."""

from __future__ import annotations

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txilpstream.errors import LocalError
from txilpstream.plugins.btpurl import BTPAddress, parseURL
from txilpstream.test.support import forAll


class URLTests(SynchronousTestCase):
    """What a URL says, and what is none."""

    def test_parts(self) -> None:
        self.assertEqual(
            parseURL("btp+wss://al%40ice:s%3Acret@Example.COM:7768/a/b?c=d"),
            BTPAddress("example.com", 7768, "/a/b?c=d", True, "al@ice", "s:cret"),
        )

    def test_schemes(self) -> None:
        for scheme, port, isSecure in (
            ("ws", 80, False),
            ("btp+ws", 80, False),
            ("wss", 443, True),
            ("btp+wss", 443, True),
        ):
            address = parseURL(f"{scheme}://example.com")
            self.assertEqual(address, BTPAddress("example.com", port, "/", isSecure, "", None))
            self.assertEqual(address.hostHeader, "example.com")

    def test_userInfo(self) -> None:
        for userInfo, account, token in (
            ("", "", None),
            ("alice@", "alice", None),
            (":@", "", ""),
            (":token@", "", "token"),
        ):
            address = parseURL(f"ws://{userInfo}localhost")
            self.assertEqual((address.account, address.token), (account, token))

    def test_hostHeader(self) -> None:
        self.assertEqual(parseURL("ws://[::1]:81").hostHeader, "[::1]:81")
        self.assertEqual(parseURL("wss://a:80").hostHeader, "a:80")
        self.assertEqual(parseURL("ws://bücher.example").hostHeader, "xn--bcher-kva.example")

    def test_loopback(self) -> None:
        for host in ("localhost", "127.0.0.1", "127.9.9.9", "[::1]"):
            self.assertTrue(parseURL(f"ws://{host}").isLoopback)
        for host in ("localhost.example", "128.0.0.1", "[::2]", "0.0.0.0", "127.0.0.1.example"):
            self.assertFalse(parseURL(f"ws://{host}").isLoopback)

    def test_tokenIsNotShown(self) -> None:
        self.assertNotIn("secret", repr(parseURL("ws://alice:secret@localhost")))

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
            error = self.assertRaises(LocalError, parseURL, url)
            self.assertNotIn("secret", str(error))
            self.assertIsNone(error.__cause__)

    @forAll(st.text(max_size=40).map(lambda text: "ws://" + text), examples=300)
    def test_anything(self, url: str) -> None:
        try:
            parseURL(url)
        except LocalError:
            pass
