"""Tests of C{txilpstream.spsp.pointers}."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txilpstream.errors import LocalError
from txilpstream.http.url import URL, isLoopback
from txilpstream.spsp.pointers import placeOf, pointerToURL, shown
from txilpstream.test.support.strategies import forAll, texts

pointers = st.one_of(
    texts,
    st.text("$htps:/.@?#%[]-xn0123456789 \n", max_size=30),
    st.builds("${}/{}".format, texts, texts),
    st.builds("https://{}/{}".format, texts, texts),
)


class PointerTests(SynchronousTestCase):
    """RFC 26."""

    def test_published(self) -> None:
        """The examples of RFC 26."""
        for pointer, url in (
            ("$example.com", "https://example.com/.well-known/pay"),
            ("$example.com/invoices/12345", "https://example.com/invoices/12345"),
            ("$bob.example.com", "https://bob.example.com/.well-known/pay"),
            ("$example.com/bob", "https://example.com/bob"),
        ):
            self.assertEqual(pointerToURL(pointer), url)

    def test_forms(self) -> None:
        """A host in any case, an IP address, and any path that a URL may have."""
        for pointer, url in (
            ("$example.com/", "https://example.com/.well-known/pay"),
            ("$Example.COM/Bob", "https://example.com/Bob"),
            ("$example.com/bob/", "https://example.com/bob/"),
            ("$example.com//", "https://example.com//"),
            ("$example.com/%C3%A9/a%2Fb", "https://example.com/%C3%A9/a%2Fb"),
            ("$example.com/~a;b=c,d:e@f!", "https://example.com/~a;b=c,d:e@f!"),
            ("$xn--mnchen-3ya.example", "https://xn--mnchen-3ya.example/.well-known/pay"),
            ("$localhost", "https://localhost/.well-known/pay"),
            ("$127.0.0.1/a", "https://127.0.0.1/a"),
            ("$[2001:DB8::1]/a", "https://[2001:db8::1]/a"),
        ):
            self.assertEqual(pointerToURL(pointer), url)

    def test_urls(self) -> None:
        """The URL of a server stays what it is."""
        for url in (
            "https://example.com",
            "https://example.com/bob?invoice=1",
            "HTTPS://Example.com:8443/Bob",
            "http://127.0.0.1:8080/bob",
            "https://[::1]:1/",
        ):
            self.assertEqual(pointerToURL(url), url)

    def test_refused(self) -> None:
        """What a pointer has not: port, query, fragment, other characters, other hosts."""
        for text in (
            *("", "$", "$/bob", "example.com/bob", "ftp://example.com/", "$https://example.com"),
            *("$example.com:443", "$example.com?a=b", "$example.com/bob?a", "$example.com/bob#a"),
            *("$example.com/a b", " $example.com", "$example.com\n", "$example.com/%4"),
            *("$ex\u00e4mple.com", "$example.com/b\u00f6b", "$example.com\\@evil.example"),
            *("$a..b", "$.a", "$a.", "$-a.b", "$a_b.c", "$" + "a" * 64, "$" + "a." * 127 + "a"),
            *("$127.1", "$1", "$0x7f.1", "$a.0x7f", "$999.1.1.1", "$[127.0.0.1]", "$[::1", "$::1"),
            *("https://", "https:///a", "https://:1/", "https://a:/", "https://a:0/"),
            *("https://a:65536/", "https://a:1:2/", "https://a/\n", "https://a/%zz"),
            *("https://" + "a/" * 1100, "$a/" + "b" * 2100),
        ):
            error = self.assertRaises(LocalError, pointerToURL, text)
            self.assertIn("$example.com/name", str(error))

    def test_types(self) -> None:
        """What is no text is no pointer."""
        wrong: list[Any] = [None, 1, b"$example.com"]
        for value in wrong:
            error = self.assertRaises(LocalError, pointerToURL, value)
            self.assertIn(type(value).__name__, str(error))

    def test_secrecy(self) -> None:
        """Neither a login nor a query stands in an error."""
        for text in (
            "$alice:sesame@example.com/bob",
            "https://alice:sesame@example.com/bob",
            "$example.com/bob?token=sesame",
        ):
            error = self.assertRaises(LocalError, pointerToURL, text)
            self.assertNotIn("sesame", str(error))
        self.assertEqual(shown("https://a/b?c=sesame#d"), "https://a/b")
        self.assertEqual(len(shown("https://a/" + "b" * 999)), 200)

    @forAll(pointers, examples=300)
    def test_anyText(self, text: str) -> None:
        """Any text gives a URL that can be asked, or the one error."""
        try:
            url = pointerToURL(text)
        except LocalError:
            return
        place = placeOf(url)
        assert place is not None
        self.assertTrue(url.isascii())
        self.assertNotIn("@", url.split("/")[2])


class PlaceTests(SynchronousTestCase):
    """Where a URL leads."""

    def test_safety(self) -> None:
        """Only this machine can be talked to in plain text without others hearing it."""
        for url, isLocal, isPrivate in (
            ("https://example.com/", False, True),
            ("http://example.com/", False, False),
            ("http://LOCALHOST:80/", True, True),
            ("http://127.9.9.9/", True, True),
            ("http://[::1]/", True, True),
            ("http://10.0.0.1/", False, False),
            ("http://localhost.example.com/", False, False),
        ):
            place = placeOf(url)
            assert place is not None
            self.assertEqual((isLoopback(place.host), place.isPrivate), (isLocal, isPrivate), url)

    def test_none(self) -> None:
        """A login, a relative URL and another scheme lead nowhere."""
        for url in ("https://a@b/", "/bob", "", "gopher://a/", "https://a b/"):
            self.assertIs(placeOf(url), None, url)

    def test_lower(self) -> None:
        """Case does not matter."""
        self.assertEqual(placeOf("HTTPS://A.B/C"), URL("https", "a.b", 443, "/C", True))
