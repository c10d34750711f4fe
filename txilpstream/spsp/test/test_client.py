"""Tests of C{txilpstream.spsp.client}."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode, urlsafe_b64encode
from typing import Any
from unittest.mock import patch

from hypothesis import strategies as st
from twisted.internet import reactor as installed
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError, DNSLookupError
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.client import ResponseDone, ResponseFailed, ResponseNeverReceived
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface import implementer

from txilpstream.crypto.credentials import Credentials
from txilpstream.errors import ConnectionEnded, DecodeError, LocalError
from txilpstream.http import client
from txilpstream.http.client import Answer as HTTPAnswer
from txilpstream.spsp import client as spspclient
from txilpstream.spsp.client import CONTENT_TYPE, SPSPCache, lifetimeOf, pointerToURL, resolve
from txilpstream.test.support.strategies import addresses, forAll, octets
from txilpstream.test.support.virtual import VirtualTestCase

SECRET = b"sesame**" * 4
TEXT = b64encode(SECRET).decode("ascii")
GOOD = {"destination_account": "test.bob.token", "shared_secret": TEXT}
CREDENTIALS = Credentials("test.bob.token", SECRET)
RECEIPT_HEADERS = ("Receipt-Nonce", "Receipt-Secret")
URL = "https://bob.example/.well-known/pay"


class Wire:
    """What a body comes over, as its protocol sees it."""

    isLost = False

    def loseConnection(self) -> None:
        """Write it down."""
        self.isLost = True


class Answer:
    """A response, whose body comes when the test wants it."""

    def __init__(
        self,
        body: bytes | None = b"",
        code: int = 200,
        kind: str | None = CONTENT_TYPE,
        length: Any = UNKNOWN_LENGTH,
        **headers: str,
    ) -> None:
        self.code = code
        self.length = length
        self.headers = Headers()
        self.wire = Wire()
        self.body = body
        self.protocol: Any = None
        if kind is not None:
            self.headers.addRawHeader("Content-Type", kind)
        for name, value in headers.items():
            self.headers.addRawHeader(name.replace("_", "-"), value)

    def deliverBody(self, protocol: Any) -> None:
        """Bring the body, if there is one already."""
        self.protocol = protocol
        protocol.makeConnection(self.wire)
        if self.body is not None and not self.wire.isLost:
            protocol.dataReceived(self.body)
            protocol.connectionLost(Failure(ResponseDone()))


def redirect(location: str, code: int = 302, **headers: Any) -> Answer:
    """Elsewhere."""
    return Answer(code=code, Location=location, **headers)


@implementer(IAgent)
class Server:
    """
    Answers by URL, and writes down what it was asked.

    @ivar asked: each URL with its headers.
    """

    def __init__(self, answers: dict[str, Any] | None = None) -> None:
        self.answers = answers or {}
        self.asked: list[tuple[str, Headers]] = []

    def request(
        self, method: bytes, uri: bytes, headers: Any = None, bodyProducer: Any = None
    ) -> Deferred[Any]:
        """Answer what was prepared: an answer, an error, or a Deferred."""
        assert method == b"GET" and bodyProducer is None
        url = uri.decode("ascii")
        self.asked.append((url, headers))
        answer = self.answers[url]
        if isinstance(answer, Deferred):
            return answer
        return fail(answer) if isinstance(answer, Exception) else succeed(answer)

    @property
    def urls(self) -> list[str]:
        """What was asked, in its order."""
        return [url for url, _ in self.asked]


class ResolveTestCase(VirtualTestCase):
    """Questions in virtual time."""

    def setUp(self) -> None:
        """Begin at no particular moment."""
        self.clock = Clock()
        self.clock.advance(1000)

    def ask(
        self, answers: dict[str, Any], pointer: str = "$bob.example", **options: Any
    ) -> Deferred[Credentials]:
        """Ask a server with these answers."""
        self.server = Server(answers)
        return resolve(self.server, pointer, clock=self.clock, **options)

    def refusal(self, error: type[Exception], answers: dict[str, Any], **options: Any) -> str:
        """The text of an error, which never has the secret."""
        asked = self.ask(answers, **options)
        text = str(self.failureResultOf(asked, error).value)
        for secret in (TEXT, "sesame"):
            self.assertNotIn(secret, text)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        return text


class AnswerTests(ResolveTestCase):
    """What a server answers."""

    def test_asked(self) -> None:
        """One question, for SPSP and for nothing else, gives the credentials."""
        body = json.dumps(GOOD).encode()
        asked = self.ask({URL: Answer(body)})
        self.assertEqual(self.successResultOf(asked), CREDENTIALS)
        ((url, headers),) = self.server.asked
        self.assertEqual(url, URL)
        self.assertEqual(dict(headers.getAllRawHeaders()), {b"Accept": [b"application/spsp4+json"]})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_kinds(self) -> None:
        """The content type may be that of JSON, in any case, with parameters."""
        body = json.dumps({**GOOD, "receipts_enabled": True}).encode()
        for kind in ("application/json; charset=utf-8", "Application/SPSP4+JSON"):
            credentials = self.successResultOf(self.ask({URL: Answer(body, kind=kind)}))
            self.assertTrue(credentials.receiptsEnabled)

    def test_otherKinds(self) -> None:
        """A web page is no answer, whatever is in it."""
        body = json.dumps(GOOD).encode()
        answers = [
            Answer(body, kind="text/html"),
            Answer(body, kind=None),
            Answer(body, Content_Type="text/html"),
        ]
        for answer in answers:
            text = self.refusal(DecodeError, {URL: answer})
            self.assertIn("content type", text)

    def test_status(self) -> None:
        """No account, and other troubles."""
        body = json.dumps(GOOD).encode()
        for code, words in ((404, "no such account"), (500, "status 500"), (201, "status 201")):
            answer = Answer(body, code=code)
            text = self.refusal(ConnectionEnded, {URL: answer})
            self.assertIn(words, text)
            self.assertIn(URL, text)
            self.assertTrue(answer.wire.isLost)

    def test_bad(self) -> None:
        """Whatever is wrong in the body is said, and shows nothing of it."""
        for content in (
            None,
            [GOOD],
            {"shared_secret": TEXT},
            {"destination_account": "test.bob"},
            {"destination_account": TEXT, "shared_secret": TEXT},
            {"destination_account": "test.bob", "shared_secret": TEXT[:-4]},
            {"destination_account": ["test.bob"], "shared_secret": TEXT},
        ):
            text = self.refusal(DecodeError, {URL: Answer(json.dumps(content).encode())})
            self.assertIn(URL, text)
        for body in (b"", b"sesame", b"\xff\xfe", b"[" * 60000, b"1" * 60000):
            self.refusal(DecodeError, {URL: Answer(body)})

    def test_tooLong(self) -> None:
        """A body is given up as soon as it is too long, by what is announced or what comes."""
        body = json.dumps(GOOD).encode()
        credentials = self.ask({URL: Answer(body)}, maximumSize=len(body))
        self.assertEqual(self.successResultOf(credentials), CREDENTIALS)
        for answer in (Answer(body), Answer(body, length=len(body))):
            text = self.refusal(DecodeError, {URL: answer}, maximumSize=len(body) - 1)
            self.assertIn(f"more than {len(body) - 1} octets", text)
            self.assertTrue(answer.wire.isLost)

    def test_parts(self) -> None:
        """A body comes in parts; one that is cut off is none."""
        body = json.dumps(GOOD).encode()
        for reason, error in ((ResponseDone(), None), (ResponseFailed([]), ConnectionEnded)):
            answer = Answer(None)
            asked = self.ask({URL: answer})
            for octet in body:
                answer.protocol.dataReceived(bytes([octet]))
            self.assertNoResult(asked)
            answer.protocol.connectionLost(Failure(reason))
            if error is None:
                self.assertEqual(self.successResultOf(asked), CREDENTIALS)
            else:
                self.assertIn("to its end", str(self.failureResultOf(asked, error).value))

    @forAll(
        st.one_of(
            octets,
            st.recursive(
                st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text()),
                lambda inner: st.one_of(
                    st.lists(inner, max_size=3),
                    st.dictionaries(st.sampled_from([*GOOD, "asset_info"]), inner, max_size=3),
                ),
                max_leaves=8,
            ).map(lambda value: json.dumps(value).encode()),
            st.builds(
                lambda address, secret: json.dumps(
                    {"destinationAddress": address, "sharedSecret": secret}
                ).encode(),
                addresses,
                st.binary(min_size=31, max_size=33).map(lambda o: urlsafe_b64encode(o).decode()),
            ),
        ),
        examples=200,
    )
    def test_anyBody(self, body: bytes) -> None:
        """Any body gives credentials or a C{DecodeError}."""
        self.setUp()
        asked = self.ask({URL: Answer(body)})
        result: list[Any] = []
        asked.addBoth(result.append)
        self.assertEqual(len(result), 1)
        if not isinstance(result[0], Credentials):
            self.assertIs(result[0].type, DecodeError)

    @forAll(st.integers(100, 999), st.binary(max_size=30), st.binary(max_size=30))
    def test_anyHeaders(self, code: int, kind: bytes, location: bytes) -> None:
        """Any status and headers give a documented error."""
        self.setUp()
        answer = Answer(b"{}", code=code, kind=None)
        values = [value.translate(None, b"\r\n") for value in (kind, location)]
        answer.headers.setRawHeaders(b"Content-Type", values[:1])
        answer.headers.setRawHeaders(b"Location", values[1:])
        answer.headers.setRawHeaders(b"Cache-Control", values[1:])
        asked = self.ask({URL: answer})
        asked.addErrback(lambda failure: failure.trap(ConnectionEnded, DecodeError))
        self.successResultOf(asked)


class RedirectTests(ResolveTestCase):
    """Where an answer is looked for."""

    def test_followed(self) -> None:
        """Each kind of redirect is followed, relative ones too, and what it brings is not read."""
        body = json.dumps(GOOD).encode()
        for code in (301, 302, 303, 307, 308):
            first = redirect("/bob", code)
            answers = {URL: first, "https://bob.example/bob": redirect("https://b.example/x?y")}
            answers["https://b.example/x?y"] = Answer(body)
            self.assertEqual(self.successResultOf(self.ask(answers)), CREDENTIALS)
            self.assertEqual(self.server.urls, list(answers))
            self.assertTrue(first.wire.isLost)

    def test_most(self) -> None:
        """Five redirects, and no more."""
        base = "https://bob.example/"
        answers = {base + str(n): redirect(f"/{n + 1}") for n in range(9)}
        answers[base + "5"] = Answer(json.dumps(GOOD).encode())
        credentials = self.ask(answers, pointer="$bob.example/0")
        self.assertEqual(self.successResultOf(credentials), CREDENTIALS)
        answers[base + "5"] = redirect("/6")
        text = self.refusal(ConnectionEnded, answers, pointer="$bob.example/0")
        self.assertIn("more than 5 redirects", text)
        self.assertEqual(len(self.server.asked), 6)

    def test_safe(self) -> None:
        """A redirect never leads from https to http, nor from elsewhere to this machine in it."""
        for source, target, isInsecure, isFollowed in (
            ("https://127.0.0.2/", "https://127.0.0.1/", False, True),
            ("https://10.0.0.1/", "https://192.168.0.1/", False, True),
            ("https://a.example/", "http://b.example/", True, False),
            ("https://a.example/", "http://127.0.0.1/", True, False),
            ("https://localhost/", "http://localhost/", True, False),
            ("http://localhost/", "http://[::1]:81/", False, True),
            ("http://localhost/", "https://a.example/", False, True),
            ("http://localhost/", "http://a.example/", False, False),
            ("http://localhost/", "http://a.example/", True, True),
            ("http://a.example/", "http://b.example/", True, True),
            ("http://a.example/", "http://localhost/", True, False),
        ):
            answers: dict[str, Any] = {source: redirect(target)}
            answers[target] = Answer(json.dumps(GOOD).encode())
            options: dict[str, Any] = {"pointer": source, "isInsecure": isInsecure}
            if isFollowed:
                self.assertEqual(self.successResultOf(self.ask(answers, **options)), CREDENTIALS)
            else:
                text = self.refusal(ConnectionEnded, answers, **options)
                self.assertIn("not followed to plain http", text)
                self.assertEqual(self.server.urls, [source])

    def test_inside(self) -> None:
        """A server elsewhere leads to no address that only this machine, or its network, knows."""
        for host in ("127.0.0.1", "localhost", "[::1]", "10.0.0.1", "192.168.1.1", "169.254.1.1"):
            for source in ("https://a.example/", "https://8.8.8.8/"):
                target = f"https://{host}/"
                answers: dict[str, Any] = {
                    source: redirect(target),
                    target: Answer(json.dumps(GOOD).encode()),
                }
                text = self.refusal(ConnectionEnded, answers, pointer=source)
                self.assertIn("only this network knows", text)
                self.assertEqual(self.server.urls, [source])

    def test_insideFromInside(self) -> None:
        """Whose first address is of this network may be led about in it, and outside and back."""
        first, middle, last = "https://10.0.0.1/", "https://a.example/", "https://192.168.0.1/"
        answers = {first: redirect(middle), middle: redirect(last)}
        answers[last] = Answer(json.dumps(GOOD).encode())
        self.assertEqual(self.successResultOf(self.ask(answers, pointer=first)), CREDENTIALS)

    def test_nowhere(self) -> None:
        """A redirect to what is no URL, or one with a login, is not followed, nor shown."""
        answers = [
            redirect(text) for text in ("https://a:sesame@b/", "ftp://b/", "http://[", "//a b/")
        ]
        answers.append(Answer(code=302))
        answers.append(redirect("/a"))
        answers[-1].headers.addRawHeader("Location", "/b")
        answers.append(Answer(code=302))
        answers[-1].headers.addRawHeader(b"Location", b"/\xff")
        for answer in answers:
            text = self.refusal(ConnectionEnded, {URL: answer})
            self.assertIn("redirects to what is no URL", text)

    def test_asked(self) -> None:
        """RFC 26: the payer can look at where it goes."""
        seen = []

        def look(here: str, there: str) -> bool:
            seen.append((here, there))
            return there != "https://evil.example/"

        there = "https://b.example/"
        answers = {URL: redirect(there), there: redirect("https://evil.example/")}
        text = self.refusal(ConnectionEnded, answers, mayRedirect=look)
        self.assertIn("not wanted", text)
        self.assertEqual(seen, [(URL, there), (there, "https://evil.example/")])


class WaitTests(ResolveTestCase):
    """Time, cancelling and the network's own troubles."""

    def test_network(self) -> None:
        """What is wrong on the way is said in words, but not those of the server."""
        never = ResponseNeverReceived([Failure(ConnectionRefusedError(osError=111))])
        quoting = ResponseNeverReceived([Failure(ResponseFailed([Failure(ValueError("sesame"))]))])
        for error, words in (
            (DNSLookupError("no such host"), "no such host"),
            (never, "ConnectionRefusedError"),
            (quoting, "ResponseFailed"),
            (ResponseNeverReceived([]), "ResponseNeverReceived"),
            (OSError("x" * 999), "OSError"),
        ):
            text = self.refusal(ConnectionEnded, {URL: error})
            self.assertIn(words, text)
            self.assertLess(len(text), 400)

    def test_raising(self) -> None:
        """An agent that raises fails like any other."""
        self.assertIn("KeyError", self.refusal(ConnectionEnded, {}))

    def test_timeout(self) -> None:
        """One limit of time holds for all, wherever the question is."""
        body = Answer(None)
        waits: list[dict[str, Any]] = [
            {URL: Deferred()},
            {URL: redirect("/bob"), "https://bob.example/bob": Deferred()},
            {URL: body},
        ]
        for answers in waits:
            asked = self.ask(answers, timeout=3)
            self.clock.advance(2.9)
            self.assertNoResult(asked)
            self.clock.advance(0.2)
            text = str(self.failureResultOf(asked, ConnectionEnded).value)
            self.assertEqual(text, f"{URL} did not answer within 3 s")
        self.assertTrue(body.wire.isLost)

    def test_cancelled(self) -> None:
        """Cancelling works at every stage, and says so whatever was going on."""
        cancelled = []

        def cancel(deferred: Deferred[Any]) -> None:
            cancelled.append(deferred)
            deferred.errback(ResponseNeverReceived([Failure(CancelledError())]))

        body = Answer(None)
        waits: list[dict[str, Any]] = [
            {URL: Deferred(cancel)},
            {URL: redirect("/bob"), "https://bob.example/bob": Deferred(cancel)},
            {URL: Deferred()},
            {URL: body},
        ]
        for answers in waits:
            asked = self.ask(answers)
            asked.cancel()
            self.failureResultOf(asked, CancelledError)
            self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(cancelled), 2)
        self.assertTrue(body.wire.isLost)
        # What comes all the same is dropped.
        body.protocol.dataReceived(b"late")
        body.protocol.connectionLost(Failure(ResponseDone()))


class ArgumentTests(ResolveTestCase):
    """What is refused at once."""

    def test_plain(self) -> None:
        """Plain http is for this machine, or for who wants it."""
        answer = {"http://bob.example/": Answer(json.dumps(GOOD).encode())}
        error = self.assertRaises(
            LocalError, self.ask, answer, pointer="http://bob.example/?sesame"
        )
        self.assertIn("isInsecure", str(error))
        self.assertNotIn("sesame", str(error))
        asked = self.ask(answer, pointer="http://bob.example/", isInsecure=True)
        self.assertEqual(self.successResultOf(asked), CREDENTIALS)

    def test_wrong(self) -> None:
        """Arguments that are none."""
        wrong: list[dict[str, Any]] = [
            {"pointer": "bob.example"},
            {"timeout": 0},
            {"timeout": float("nan")},
            {"timeout": True},
            {"timeout": "3"},
            {"maximumSize": 0},
            {"receiptNonce": bytes(16)},
            {"receiptSecret": bytes(32)},
            {"receiptNonce": bytes(15), "receiptSecret": bytes(32)},
        ]
        for options in wrong:
            self.assertRaises(LocalError, self.ask, {}, **options)
            self.assertEqual(self.server.asked, [])

    def test_wrongType(self) -> None:
        """Whoever cannot ask is named; a Clock connects to nobody."""
        wrong: Any
        for wrong, named in (("agent", "a string"), (None, "None"), (self.clock, "Clock")):
            error = self.assertRaises(LocalError, resolve, wrong, "$bob.example")
            self.assertIn(named, str(error))

    def test_receipts(self) -> None:
        """Whoever verifies receipts has nonce and secret sent along, redirects included."""
        nonce, secret = b"\xff" * 16, b"\xfb" * 32
        answers = {URL: redirect("/bob"), "https://bob.example/bob": Answer(b"")}
        self.refusal(DecodeError, answers, receiptNonce=nonce, receiptSecret=secret)
        for _, headers in self.server.asked:
            values = [headers.getRawHeaders(name, [""])[0] for name in RECEIPT_HEADERS]
            self.assertEqual([b64decode(value, b"-_") for value in values], [nonce, secret])
            self.assertNotIn("+", "".join(values))

    def test_clock(self) -> None:
        """Without a clock, an agent's time is that of Twisted's own reactor."""
        with patch("twisted.internet.reactor", self.clock):
            asked = resolve(Server({URL: Deferred()}), "$bob.example")
            self.clock.advance(11)
        self.failureResultOf(asked, ConnectionEnded)

    def test_names(self) -> None:
        """What this module offers of others is theirs."""
        self.assertEqual(pointerToURL("$bob.example"), URL)


class CacheTests(ResolveTestCase):
    """Answers that may be used again."""

    def setUp(self) -> None:
        """Count the questions."""
        super().setUp()
        self.cache = SPSPCache()

    def count(self, *answers: Answer, **options: Any) -> int:
        """How many URLs are asked in two questions, when these follow on each other."""
        urls = [URL, *(f"https://bob.example/{n}" for n in range(1, len(answers)))]
        prepared = dict(zip(urls, answers, strict=True))
        total = 0
        for _ in range(2):
            self.successResultOf(self.ask(prepared, cache=self.cache, **options))
            total += len(self.server.asked)
        return total

    def good(self, **headers: Any) -> Answer:
        """A good answer."""
        return Answer(json.dumps(GOOD).encode(), **headers)

    def test_kept(self) -> None:
        """An answer is used again for as long as its server says."""
        self.assertEqual(self.count(self.good(Cache_Control="max-age=5")), 1)
        self.clock.advance(6)
        self.assertEqual(self.count(self.good(Cache_Control="max-age=5")), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_notKept(self) -> None:
        """Nothing is kept without being told, nor what has receipts."""
        self.assertEqual(self.count(self.good()), 2)
        self.assertEqual(self.count(self.good(Cache_Control="no-store, max-age=5")), 2)
        options = {"receiptNonce": bytes(16), "receiptSecret": bytes(32)}
        self.assertEqual(self.count(self.good(Cache_Control="max-age=5"), **options), 2)
        self.assertEqual(len(self.cache), 0)

    def test_redirected(self) -> None:
        """An answer is kept no longer than the way to it."""
        last = self.good(Cache_Control="max-age=50")
        self.assertEqual(self.count(redirect("/1"), last), 4)
        way = redirect("/1", Cache_Control="max-age=5")
        self.assertEqual(self.count(way, last), 2)
        self.clock.advance(6)
        self.assertEqual(len(self.cache), 1)
        self.assertEqual(self.count(way, last), 2)


class Account(Resource):
    """Answers with what it was made of."""

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        """Answer."""
        if request.path == b"/.well-known/pay":
            request.redirect(b"/bob")
            return b"elsewhere"
        request.setHeader("Content-Type", CONTENT_TYPE)
        return json.dumps(GOOD).encode()


class SocketTests(TestCase):
    """A reactor asks by itself."""

    async def test_asked(self) -> None:
        """From the question to the credentials, with a redirect, over TCP."""
        reactor: Any = installed
        port = reactor.listenTCP(0, Site(Account()), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        url = f"http://127.0.0.1:{port.getHost().port}/.well-known/pay"
        self.assertEqual(await resolve(reactor, url), CREDENTIALS)

    async def test_namesOfInside(self) -> None:
        """
        A name that leads to an address of this network is none to be redirected to from outside: it
        is asked nothing.
        """
        asked: list[str] = []

        class Elsewhere(Resource):
            isLeaf = True

            def render_GET(self, request: Any) -> bytes:
                asked.append(request.path.decode())
                if request.path == b"/.well-known/pay":
                    request.redirect(b"/secret")
                    return b""
                request.setHeader("Content-Type", CONTENT_TYPE)
                return json.dumps(GOOD).encode()

        reactor: Any = installed
        port = reactor.listenTCP(0, Site(Elsewhere()), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        url = f"http://127.0.0.1:{port.getHost().port}/.well-known/pay"
        self.assertEqual(await resolve(reactor, url), CREDENTIALS)
        # The address of who answers first is taken for one that everybody knows.
        inside = iter([False])
        self.patch(client, "isInside", lambda host: next(inside, True))
        self.patch(spspclient, "isInside", lambda host: False)
        error = await self.assertFailure(resolve(reactor, url), ConnectionEnded)
        self.assertIn("only this network knows", str(error))
        self.assertEqual(asked, ["/.well-known/pay", "/secret", "/.well-known/pay"])

    async def test_refused(self) -> None:
        """Nobody listens there."""
        reactor: Any = installed
        port = reactor.listenTCP(0, Site(Account()), interface="127.0.0.1")
        url = f"http://127.0.0.1:{port.getHost().port}/bob"
        await port.stopListening()
        error = await self.assertFailure(resolve(reactor, url), ConnectionEnded)
        self.assertIn("ConnectionRefusedError", str(error))


CACHED_CREDENTIALS = Credentials("test.bob", bytes(32))
OTHERS = Credentials("test.bob", bytes(31) + b"\1")


class CacheObjectTests(VirtualTestCase):
    """Answers are kept as long as they are good, and no more of them than the limit."""

    def test_expiry(self) -> None:
        """An answer is good until its time is over, and then gone."""
        cache = SPSPCache()
        cache.put("a", CACHED_CREDENTIALS, 10, now=100)
        self.assertEqual(cache.get("a", now=109.9), CACHED_CREDENTIALS)
        self.assertEqual(len(cache), 1)
        self.assertIs(cache.get("a", now=110), None)
        self.assertEqual(len(cache), 0)
        self.assertIs(cache.get("b", now=100), None)

    def test_longest(self) -> None:
        """Nothing is believed for more than a day."""
        cache = SPSPCache()
        cache.put("a", CACHED_CREDENTIALS, 1e9, now=0)
        self.assertEqual(cache.get("a", now=SPSPCache.LONGEST - 1), CACHED_CREDENTIALS)
        self.assertIs(cache.get("a", now=SPSPCache.LONGEST), None)

    def test_replaced(self) -> None:
        """A newer answer takes the place of the older, and one for no time takes it away."""
        cache = SPSPCache()
        cache.put("a", CACHED_CREDENTIALS, 10, now=0)
        cache.put("a", OTHERS, 10, now=0)
        self.assertEqual(cache.get("a", now=1), OTHERS)
        cache.put("a", CACHED_CREDENTIALS, 0, now=0)
        self.assertIs(cache.get("a", now=1), None)

    def test_insecure(self) -> None:
        """What may have come in plain text is none for whoever does not want that."""
        cache = SPSPCache()
        cache.put("a", CACHED_CREDENTIALS, 10, True, now=0)
        self.assertIs(cache.get("a", now=1), None)
        self.assertEqual(cache.get("a", True, now=1), CACHED_CREDENTIALS)

    def test_bound(self) -> None:
        """The oldest is forgotten when there are too many."""
        cache = SPSPCache(2)
        for url in "abc":
            cache.put(url, CACHED_CREDENTIALS, 10, now=0)
        found = [url for url in "abc" if cache.get(url, now=1) is not None]
        self.assertEqual(found, ["b", "c"])
        cache.clear()
        self.assertEqual(len(cache), 0)
        self.assertRaises(LocalError, SPSPCache, 0)


def answered(headers: Headers) -> HTTPAnswer:
    """An answer with these headers."""
    found = [(name.lower(), v) for name, vs in headers.getAllRawHeaders() for v in vs]
    return HTTPAnswer(200, found, b"")


class LifetimeTests(VirtualTestCase):
    """What C{Cache-Control} says."""

    def lifetime(self, *values: str, age: str | None = None) -> float:
        """Seconds that these headers allow."""
        headers = Headers({"Cache-Control": list(values)})
        if age is not None:
            headers.addRawHeader("Age", age)
        return lifetimeOf(answered(headers))

    def test_values(self) -> None:
        """Only a C{max-age} allows anything, less the age; and C{no-cache} forbids all."""
        self.assertEqual(lifetimeOf(answered(Headers())), 0)
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
        self.assertGreaterEqual(lifetimeOf(answered(headers)), 0)
