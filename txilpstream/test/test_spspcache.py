"""Tests of C{txilpstream.spspcache}."""

from __future__ import annotations

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from txilpstream.crypto.credentials import Credentials
from txilpstream.errors import LocalError
from txilpstream.spspcache import SPSPCache, lifetimeOf
from txilpstream.test.support import forAll

CREDENTIALS = Credentials("test.bob", bytes(32))
OTHERS = Credentials("test.bob", bytes(31) + b"\1")


class CacheTests(SynchronousTestCase):
    """Answers are kept as long as they are good, and no more of them than the limit."""

    def test_expiry(self) -> None:
        """An answer is good until its time is over, and then gone."""
        cache = SPSPCache()
        cache.put("a", CREDENTIALS, 10, now=100)
        self.assertEqual(cache.get("a", now=109.9), CREDENTIALS)
        self.assertEqual(len(cache), 1)
        self.assertIs(cache.get("a", now=110), None)
        self.assertEqual(len(cache), 0)
        self.assertIs(cache.get("b", now=100), None)

    def test_longest(self) -> None:
        """Nothing is believed for more than a day."""
        cache = SPSPCache()
        cache.put("a", CREDENTIALS, 1e9, now=0)
        self.assertEqual(cache.get("a", now=SPSPCache.LONGEST - 1), CREDENTIALS)
        self.assertIs(cache.get("a", now=SPSPCache.LONGEST), None)

    def test_replaced(self) -> None:
        """A newer answer takes the place of the older, and one for no time takes it away."""
        cache = SPSPCache()
        cache.put("a", CREDENTIALS, 10, now=0)
        cache.put("a", OTHERS, 10, now=0)
        self.assertEqual(cache.get("a", now=1), OTHERS)
        cache.put("a", CREDENTIALS, 0, now=0)
        self.assertIs(cache.get("a", now=1), None)

    def test_insecure(self) -> None:
        """What may have come in plain text is none for whoever does not want that."""
        cache = SPSPCache()
        cache.put("a", CREDENTIALS, 10, True, now=0)
        self.assertIs(cache.get("a", now=1), None)
        self.assertEqual(cache.get("a", True, now=1), CREDENTIALS)

    def test_bound(self) -> None:
        """The oldest is forgotten when there are too many."""
        cache = SPSPCache(2)
        for url in "abc":
            cache.put(url, CREDENTIALS, 10, now=0)
        found = [url for url in "abc" if cache.get(url, now=1) is not None]
        self.assertEqual(found, ["b", "c"])
        cache.clear()
        self.assertEqual(len(cache), 0)
        self.assertRaises(LocalError, SPSPCache, 0)


class LifetimeTests(SynchronousTestCase):
    """What C{Cache-Control} says."""

    def lifetime(self, *values: str, age: str | None = None) -> float:
        """Seconds that these headers allow."""
        headers = Headers({"Cache-Control": list(values)})
        if age is not None:
            headers.addRawHeader("Age", age)
        return lifetimeOf(headers)

    def test_values(self) -> None:
        """Only a C{max-age} allows anything, less the age; and C{no-cache} forbids all."""
        self.assertEqual(lifetimeOf(Headers()), 0)
        for values, lifetime in (
            (["max-age=60"], 60),
            (["Private, Max-Age=60"], 60),
            (["max-age=60", "max-age=30"], 30),
            (["max-age=60, no-store"], 0),
            (["no-cache", "max-age=60"], 0),
            (['no-cache="Set-Cookie", max-age=60'], 0),
            (["max-age=-1"], 0),
            (["max-age=x"], 0),
            (["max-age"], 0),
            (["max-age=1e3"], 0),
            (["public"], 0),
        ):
            self.assertEqual(self.lifetime(*values), lifetime, values)
        self.assertEqual(self.lifetime("max-age=60", age="20"), 40)
        self.assertEqual(self.lifetime("max-age=60", age="70"), 0)

    @forAll(st.binary(max_size=40), st.binary(max_size=10))
    def test_anyOctets(self, control: bytes, age: bytes) -> None:
        """Any header gives a number of seconds, and no error."""
        headers = Headers()
        headers.setRawHeaders(b"Cache-Control", [control.replace(b"\r", b"").replace(b"\n", b"")])
        headers.setRawHeaders(b"Age", [age.replace(b"\r", b"").replace(b"\n", b"")])
        self.assertGreaterEqual(lifetimeOf(headers), 0)
