"""Tests of C{txilpstream.spsprequest}."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from txilpstream.errors import LocalError
from txilpstream.spsprequest import accepts, accountOf, pathOf, receiptsOf, tagOf
from txilpstream.test.support import forAll, texts
from txilpstream.wire.address import isSegment

NONCE, SECRET = b"\xff" * 16, b"\xfb" * 32


class TagTests(SynchronousTestCase):
    """A path and its connection tag."""

    def test_known(self) -> None:
        """What can stand in a tag stands for itself."""
        for path, tag in (
            ("", ""),
            ("bob", "bob"),
            ("bob/invoice-7_a", "bob~2finvoice-7_a"),
            ("a.b~c", "a~2eb~7ec"),
            ("\u00e9", "~c3~a9"),
        ):
            self.assertEqual(tagOf(path), tag)
            self.assertEqual(accountOf(tag), path)

    @forAll(texts, texts)
    def test_anyPath(self, path: str, other: str) -> None:
        """Every path comes out of its tag again: so nobody has the tag of another."""
        tag = tagOf(path)
        self.assertTrue(not tag or isSegment(tag))
        self.assertEqual(accountOf(tag), path)
        self.assertEqual(tagOf(other) == tag, other == path)

    def test_foreign(self) -> None:
        """A tag that was made otherwise is none of ours."""
        for tag in ("~", "~2", "~2F", "~61", "~ff", "a b", "a.b", "\u00e9", "a\n"):
            self.assertRaises(LocalError, accountOf, tag)


class AcceptTests(SynchronousTestCase):
    """RFC 9110 section 12.5.1."""

    def test_accepted(self) -> None:
        """No wish, ours, and what contains it."""
        self.assertTrue(accepts(Headers()))
        for value in (
            "",
            " , ",
            "application/spsp4+json",
            "Application/SPSP4+json; charset=utf-8",
            "*/*",
            "application/*",
            "text/html, */*;q=0.1",
            "application/spsp4+json, application/spsp+json",
            "*/*;q=0, application/*;q=0.001",
            "application/*; q=0, application/spsp4+json; q=1",
            "application/spsp4+json;q=nonsense",
            "application/spsp4+json;q=0, application/spsp4+json",
        ):
            self.assertTrue(accepts(Headers({"Accept": [value]})), value)
        self.assertTrue(accepts(Headers({"Accept": ["text/html", "*/*"]})))

    def test_excluded(self) -> None:
        """Other kinds, and weights of zero."""
        for value in (
            "text/html",
            "application/json",
            "text/*",
            "nonsense",
            "*/*;q=0",
            "*/*; Q = 0.000",
            "*/*, application/*;q=0",
            "application/spsp4+json;q=0, */*",
            "application/spsp4+json;v=1;q=0., */*",
            "\xff",
        ):
            self.assertFalse(accepts(Headers({"Accept": [value]})), value)

    @forAll(st.text("*/aplictonsj4+;q=0.1, ", max_size=40))
    def test_any(self, value: str) -> None:
        """Any other value is one or the other."""
        self.assertIn(accepts(Headers({"Accept": [value]})), (True, False))


class PathTests(SynchronousTestCase):
    """Which account a path names."""

    def test_accounts(self) -> None:
        """The default account has two names, the others one each."""
        for segments, path in (
            ([], ""),
            ([b""], ""),
            ([b".well-known", b"pay"], ""),
            ([b".well-known", b"pay", b""], ""),
            ([b"alice"], "alice"),
            ([b"alice", b""], "alice"),
            ([b"alice", b"invoice", b"7"], "alice/invoice/7"),
            ([b"\xc3\xa9"], "\u00e9"),
        ):
            self.assertEqual(pathOf(segments), path)

    def test_none(self) -> None:
        """What can be the name of no account, or could be taken for another's."""
        for segments in (
            [b"", b""],
            [b"a", b"", b"b"],
            [b"", b"a"],
            [b".."],
            [b"a", b"."],
            [b"a/b"],
            [b"\xff"],
            [b"a\0"],
            [b"a\n"],
        ):
            self.assertIs(pathOf(segments), None, segments)

    @forAll(st.lists(st.binary(max_size=6), max_size=4))
    def test_any(self, segments: list[bytes]) -> None:
        """Any other path names an account or none, and changes nothing."""
        before = list(segments)
        path = pathOf(segments)
        self.assertTrue(path is None or path.isprintable())
        self.assertEqual(segments, before)


class ReceiptTests(SynchronousTestCase):
    """RFC 39: which receipts are wanted."""

    def receipts(self, nonces: list[str], secrets: list[str]) -> tuple[bytes, bytes] | None:
        """What these headers ask for."""
        return receiptsOf(Headers({"Receipt-Nonce": nonces, "Receipt-Secret": secrets}))

    def test_wanted(self) -> None:
        """Nonce and secret, in either base64, padded or not."""
        for encode in (b64encode, urlsafe_b64encode):
            nonce, secret = encode(NONCE).decode(), encode(SECRET).decode()
            self.assertEqual(self.receipts([nonce], [secret]), (NONCE, SECRET))
            bare = self.receipts([nonce.rstrip("=")], [secret.rstrip("=")])
            self.assertEqual(bare, (NONCE, SECRET))

    def test_none(self) -> None:
        """Neither is no wish."""
        self.assertEqual(receiptsOf(Headers()), (b"", b""))

    def test_bad(self) -> None:
        """One without the other, more than one, other lengths and other characters."""
        nonce, secret = b64encode(NONCE).decode(), b64encode(SECRET).decode()
        for nonces, secrets in (
            ([nonce], []),
            ([], [secret]),
            ([nonce, nonce], [secret]),
            ([nonce], [secret, secret]),
            ([secret], [nonce]),
            ([nonce[:-4]], [secret]),
            ([nonce], ["!" * 43]),
            ([""], [""]),
        ):
            self.assertIs(self.receipts(nonces, secrets), None)
