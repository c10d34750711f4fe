"""Tests of C{txilpstream.spsp.server}."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode, urlsafe_b64encode
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st
from twisted.internet import reactor as installed
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import CannotListenError, ConnectionDone
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site

from txilpstream.crypto.credentials import Credentials, TokenReader
from txilpstream.errors import ConnectionEnded, LocalError
from txilpstream.http.server import Request
from txilpstream.http.web import WebResource
from txilpstream.plugins.memory import memoryPair
from txilpstream.spsp.client import resolve
from txilpstream.spsp.server import (
    SPSPResource,
    SPSPServer,
    accepts,
    accountOf,
    pathOf,
    receiptsOf,
    tagOf,
)
from txilpstream.test.support.connected import RIGHT, ConnectedTestCase
from txilpstream.test.support.httppeers import Endpoint as Listener
from txilpstream.test.support.strategies import forAll, texts
from txilpstream.test.support.virtual import VirtualTestCase
from txilpstream.transport.server import StreamServer
from txilpstream.wire.address import isSegment

SECRET = bytes(range(32))
NONCE, RECEIPT_SECRET = b"\xff" * 16, b"\xfb" * 32
RECEIPTS = {
    "Receipt-Nonce": urlsafe_b64encode(NONCE).decode(),
    "Receipt-Secret": urlsafe_b64encode(RECEIPT_SECRET).decode(),
}


class Reply:
    """What a client got."""

    def __init__(self, octets: bytes) -> None:
        head, _, self.body = octets.partition(b"\r\n\r\n")
        first, *lines = head.decode("ascii").split("\r\n")
        self.status = int(first.split()[1])
        self.headers = dict(line.lower().split(": ", 1) for line in lines)

    @property
    def content(self) -> Any:
        """The JSON object."""
        return json.loads(self.body)


class Generator:
    """Makes credentials, and writes down what for."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.reader = TokenReader(SECRET)
        self.error: Exception | None = None

    def generateCredentials(self, **options: Any) -> Credentials:
        """Make some."""
        self.calls.append(options)
        if self.error is not None:
            raise self.error
        return self.reader.generateCredentials("test.bob", **options)


def factoryOf(resource: SPSPResource, clock: Clock) -> Any:
    """What makes the connections of a server that listens nowhere."""
    endpoint = Listener()
    SPSPServer(clock, endpoint, resource, maximumConnections=10).start()
    return endpoint.factory


class ResourceTestCase(VirtualTestCase):
    """A resource on a site, without sockets."""

    def setUp(self) -> None:
        """Begin."""
        self.clock = Clock()
        self.generator = Generator()
        self.lines: list[str] = []
        observer: Any = self.observe
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.serve()

    def observe(self, event: Any) -> None:
        """Keep what is logged."""
        self.lines.append(repr(event))

    def serve(self, generator: Any = None, accounts: Any = None, **options: Any) -> None:
        """Serve these accounts from now on."""
        generator = self.generator if generator is None else generator
        self.mount(SPSPResource(generator, accounts, reactor=self.clock, **options))

    def mount(self, resource: SPSPResource) -> None:
        """Serve a resource from now on."""
        self.factory = factoryOf(resource, self.clock)

    def send(self, path: str, method: str = "GET", body: str = "", **headers: str) -> Any:
        """Ask; the transport that the answer comes on."""
        headers = {"Host": "bob.example", **headers}
        if body:
            headers["Content-Length"] = str(len(body))
        lines = [f"{method} {path} HTTP/1.1", *(f"{n}: {v}" for n, v in headers.items()), "", body]
        transport: Any = StringTransport()
        transport.protocol = self.factory.buildProtocol(None)
        transport.protocol.makeConnection(transport)
        transport.protocol.dataReceived("\r\n".join(lines).encode("utf-8"))
        return transport

    def ask(self, path: str = "/", method: str = "GET", **headers: str) -> Reply:
        """Ask; the answer, which shows no more than it has to."""
        reply = Reply(self.send(path, method, **headers).value())
        self.assertNotIn("server", reply.headers)
        self.assertNotIn(b"Traceback", reply.body)
        self.assertEqual(reply.headers["access-control-allow-origin"], "*")
        self.assertEqual(reply.headers["cache-control"], "no-store, max-age=0")
        return reply

    def refused(self, status: int, *arguments: str, **headers: str) -> Any:
        """The content of a refusal, which says what and why."""
        reply = self.ask(*arguments, **headers)
        self.assertEqual(reply.status, status)
        self.assertEqual(reply.headers["content-type"], "application/spsp4+json")
        self.assertEqual(sorted(reply.content), ["id", "message"])
        return reply.content


class AnswerTests(ResourceTestCase):
    """RFC 9: what is answered to who asks for an account."""

    def test_answer(self) -> None:
        """An address and a secret with which a server knows its client again."""
        reply = self.ask("/.well-known/pay", Accept="application/spsp4+json")
        self.assertEqual(reply.status, 200)
        self.assertEqual(reply.headers["content-type"], "application/spsp4+json")
        content = reply.content
        self.assertEqual(
            sorted(content), ["destination_account", "receipts_enabled", "shared_secret"]
        )
        secret = b64decode(content["shared_secret"], validate=True)
        token = content["destination_account"].removeprefix("test.bob.")
        self.assertEqual(TokenReader(SECRET).read(token)[1], secret)
        self.assertIs(content["receipts_enabled"], False)

    def test_fresh(self) -> None:
        """No two answers are the same."""
        self.assertNotEqual(self.ask().content, self.ask().content)

    def test_paths(self) -> None:
        """Without accounts, each path has a tag of its own, that says which it was."""
        for path, account in (
            ("/", ""),
            ("/.well-known/pay", ""),
            ("/alice", "alice"),
            ("/alice/invoice.7/", "alice/invoice.7"),
            ("/%C3%A9", "\u00e9"),
        ):
            self.assertEqual(self.ask(path).status, 200)
            self.assertEqual(accountOf(self.generator.calls[-1]["connectionTag"]), account)
        self.assertEqual(self.ask("/" + "a" * 100).status, 200)
        for path in ("/" + "a" * 101, "/..", "/a//b", "/%2F", "/%ff"):
            content = self.refused(404, path)
            self.assertEqual(content["id"], "InvalidReceiverError")

    def test_mapping(self) -> None:
        """Accounts may be a mapping, from which arguments come."""
        self.serve(accounts={"": {}, "alice": {"connectionTag": "7"}})
        for path, options in (("/", {}), ("/alice", {"connectionTag": "7"})):
            self.assertEqual(self.ask(path).status, 200)
            expected = {**options, "receiptNonce": b"", "receiptSecret": b""}
            self.assertEqual(self.generator.calls[-1], expected)
        self.refused(404, "/bob")

    def test_function(self) -> None:
        """Accounts may be a function, and its answer may take time."""
        waiting: Deferred[Any] = Deferred()
        found = {"now": {"connectionTag": "1"}, "later": waiting, "soon": succeed({}), "no": None}
        self.serve(accounts=found.get)
        self.assertEqual(self.ask("/now").status, 200)
        self.assertEqual(self.ask("/soon").status, 200)
        self.refused(404, "/no")
        transport = self.send("/later")
        self.assertEqual(transport.value(), b"")
        waiting.callback({"connectionTag": "2"})
        self.assertEqual(Reply(transport.value()).status, 200)
        self.assertEqual(self.generator.calls[-1]["connectionTag"], "2")
        self.assertEqual(
            [x for x in self.clock.getDelayedCalls() if "LoopingCall" not in str(x)], []
        )

    def test_generator(self) -> None:
        """The generator may be a function."""
        credentials = Credentials("test.bob.1", SECRET, "EUR", 2)
        self.serve(lambda **options: succeed(credentials))
        self.assertEqual(Credentials.fromJSON(self.ask().body), credentials)
        self.assertEqual(self.ask().content["asset_scale"], 2)

    def test_receipts(self) -> None:
        """Who sends nonce and secret gets an address that has them inside."""
        content = self.ask(**RECEIPTS).content
        self.assertIs(content["receipts_enabled"], True)
        token, _ = TokenReader(SECRET).read(content["destination_account"][len("test.bob.") :])
        assert token is not None
        self.assertEqual((token.receiptNonce, token.receiptSecret), (NONCE, RECEIPT_SECRET))

    def test_below(self) -> None:
        """The resource may stand anywhere in a site of twisted.web."""
        root = Resource()
        resource = SPSPResource(self.generator, reactor=self.clock)
        root.putChild(b"spsp", WebResource(resource, bodyLimit=1024))
        self.factory = Site(root, timeout=None, reactor=self.clock)
        self.assertEqual(self.ask("/spsp/bob").status, 200)
        self.assertEqual(self.generator.calls[-1]["connectionTag"], "bob")
        self.assertEqual(self.ask("/spsp/bob%2fa/b").status, 404)

    def test_methods(self) -> None:
        """C{HEAD} is C{GET} without a body, and C{OPTIONS} says what there is."""
        reply = self.ask(method="HEAD")
        self.assertEqual((reply.status, reply.body), (200, b""))
        self.assertEqual(reply.headers["content-type"], "application/spsp4+json")
        reply = self.ask("/bob", "OPTIONS")
        self.assertEqual((reply.status, reply.body), (204, b""))
        self.assertEqual(reply.headers["allow"], "get, head, options")
        self.assertIn("receipt-nonce", reply.headers["access-control-allow-headers"])
        self.assertEqual(reply.headers["access-control-max-age"], "86400")
        self.assertEqual(len(self.generator.calls), 1)


class RefusalTests(ResourceTestCase):
    """What is refused, before anything is made."""

    def tearDown(self) -> None:
        """Nothing was made."""
        self.assertEqual(self.generator.calls, [])

    def test_methods(self) -> None:
        """Other methods."""
        for method in ("POST", "PUT", "DELETE", "PROPFIND"):
            reply = self.ask("/bob", method)
            self.assertEqual(reply.status, 405)
            self.assertEqual(reply.headers["allow"], "get, head, options")

    def test_query(self) -> None:
        """RFC 9: a query string must be refused."""
        self.refused(400, "/bob?amount=1")
        self.refused(400, "/bob?")

    def test_accept(self) -> None:
        """Who wants a web page is told that there is none."""
        self.refused(406, Accept="text/html")

    def test_receipts(self) -> None:
        """Nonce without secret, secret without nonce, and other lengths."""
        for name, value in RECEIPTS.items():
            self.refused(400, **{name: value})
            self.refused(400, **{**RECEIPTS, name: value[:-4]})

    def test_body(self) -> None:
        """On another's site too, a body is short."""
        resource = SPSPResource(self.generator, reactor=self.clock)
        site = Site(WebResource(resource, bodyLimit=2000), timeout=None, reactor=self.clock)
        for factory, size in ((self.factory, 1025), (site, 1025), (site, 3000)):
            self.factory = factory
            reply = Reply(self.send("/", body="b" * size).value())
            self.assertEqual((reply.status, reply.headers["connection"]), (413, "close"))

    @forAll(st.binary(max_size=60))
    def test_anyOctets(self, octets: bytes) -> None:
        """Any octets get an answer, the end of the connection, or nothing yet; no error."""
        self.mount(SPSPResource(Generator(), {"a": {}}, reactor=self.clock))
        for head in (b"", b"GET /", b"GET / HTTP/1.1\r\nHost: a\r\nAccept: "):
            transport: Any = StringTransport()
            transport.protocol = self.factory.buildProtocol(None)
            transport.protocol.makeConnection(transport)
            transport.protocol.dataReceived(head + octets + b"\r\n\r\n")
            self.assertIn(transport.value()[:5], (b"", b"HTTP/"))


class TroubleTests(ResourceTestCase):
    """What goes wrong here is told to nobody there."""

    def test_errors(self) -> None:
        """A server that is not ready, and mistakes: the log says so, and rarely."""
        for error in (LocalError("the account has no address yet"), KeyError("sesame")):
            self.generator.error = error
            content = self.refused(503)
            self.assertNotIn("address", str(content))
            self.assertNotIn("sesame", str(content))
        lines = [line for line in self.lines if "no credentials" in line]
        self.assertEqual(len(lines), 1)
        self.assertIn("no address yet", lines[0])

    def test_mistakes(self) -> None:
        """Generators and accounts that give what they should not."""
        cases: list[tuple[Any, Any]] = [
            (lambda **options: None, None),
            (lambda: None, None),
            (lambda **options: fail(ValueError("sesame")), None),
            (None, lambda path: 1 / 0),
            (None, lambda path: fail(CancelledError())),
            (None, {"": "tag"}),
            (None, {"": {"connectionTag": "a b"}}),
            (None, {"": {"nonsense": 1}}),
        ]
        for generator, accounts in cases:
            self.serve(generator, accounts)
            self.refused(503)

    def test_timeout(self) -> None:
        """Who takes too long is not waited for."""
        cancelled: list[Any] = []
        self.serve(accounts=lambda path: Deferred(cancelled.append), timeout=3)
        transport = self.send("/")
        self.clock.advance(2.9)
        self.assertEqual(transport.value(), b"")
        self.clock.advance(0.2)
        self.assertEqual(Reply(transport.value()).status, 503)
        self.assertEqual(len(cancelled), 1)

    def test_gone(self) -> None:
        """Nothing more is done for who is gone, and nothing said about it."""
        cancelled: list[Any] = []
        self.serve(accounts=lambda path: Deferred(cancelled.append))
        transport = self.send("/")
        transport.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual((len(cancelled), transport.value()), (1, b""))
        self.assertEqual(self.generator.calls, [])
        self.assertEqual([line for line in self.lines if "no credentials" in line], [])

    def test_arguments(self) -> None:
        """A time-out is a number of seconds; the reactor is Twisted's own by default."""
        self.assertRaises(LocalError, SPSPResource, self.generator, timeout=0, reactor=self.clock)
        self.mount(SPSPResource(self.generator))
        self.assertEqual(self.ask().status, 200)

    def test_wrongTypes(self) -> None:
        """What is given in the place of something else is named."""
        wrong: Any
        for wrong, named in ((b"sesame", "6 octets"), (None, "None"), ("server", "string")):
            error = self.assertRaises(LocalError, SPSPResource, wrong)
            self.assertIn(named, str(error))
        error = self.assertRaises(LocalError, SPSPResource, self.generator, ["bob"])
        self.assertIn("list", str(error))


class StreamServerTests(ConnectedTestCase):
    """Money that comes to an address that was answered has the tag of the path."""

    def test_paid(self) -> None:
        """From the path to the connection."""
        server = self.listen()
        factory = factoryOf(SPSPResource(server, reactor=self.clock), self.clock)
        transport: Any = StringTransport()
        protocol: Any = factory.buildProtocol(None)
        protocol.makeConnection(transport)
        protocol.dataReceived(b"GET /alice HTTP/1.1\r\nHost: a\r\n\r\n")
        credentials = Credentials.fromJSON(Reply(transport.value()).body)
        self.assertEqual((credentials.assetCode, credentials.assetScale), ("USD", 9))
        self.connection = self.after(self.client.connect(credentials))
        self.after(self.openStream().transport.sendMoney(100))
        self.assertEqual(self.served.made[0].amounts, [100])
        self.assertEqual(self.served.made[0].transport.getPeer().connectionTag, "alice")

    def test_notOpen(self) -> None:
        """A server without an address yet is unavailable."""
        plugin, _ = memoryPair(self.clock, left=RIGHT)
        server = StreamServer(plugin, reactor=self.clock)
        factory = factoryOf(SPSPResource(server, reactor=self.clock), self.clock)
        transport: Any = StringTransport()
        protocol: Any = factory.buildProtocol(None)
        protocol.makeConnection(transport)
        protocol.dataReceived(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(Reply(transport.value()).status, 503)


class Endpoint:
    """Listens when it is told to."""

    def __init__(self) -> None:
        self.cancelled = 0
        self.listening: Deferred[Any] = Deferred(self._cancel)

    def _cancel(self, _: Any) -> None:
        self.cancelled += 1

    def listen(self, factory: Factory) -> Deferred[Any]:
        """Later."""
        return self.listening


class ListenTests(VirtualTestCase):
    """How a server begins and ends."""

    def setUp(self) -> None:
        """Begin."""
        self.reactor: Any = MemoryReactorClock()

    def serve(self, endpoint: Any, **options: Any) -> SPSPServer:
        """A server there."""
        resource = SPSPResource(Generator(), reactor=self.reactor)
        return SPSPServer(self.reactor, endpoint, resource, **options)

    def test_lifeCycle(self) -> None:
        """It listens, once, and when it has stopped it can listen again."""
        server = self.serve("tcp:8080")
        self.successResultOf(server.stop())
        for _ in range(2):
            self.successResultOf(server.start())
            self.assertIsNot(server.port, None)
            self.failureResultOf(server.start(), LocalError)
            self.successResultOf(server.stop())
            self.assertIs(server.port, None)
        self.assertEqual([each[0] for each in self.reactor.tcpServers], [8080] * 2)

    def test_pending(self) -> None:
        """Listening can be given up, and may fail."""
        endpoint = Endpoint()
        server = self.serve(endpoint)
        listening = server.start()
        self.failureResultOf(server.start(), LocalError)
        self.successResultOf(server.stop())
        self.failureResultOf(listening, CancelledError)
        self.assertEqual(endpoint.cancelled, 1)
        endpoint = Endpoint()
        server = self.serve(endpoint)
        listening = server.start()
        endpoint.listening.errback(CannotListenError("", 80, OSError()))
        self.failureResultOf(listening, CannotListenError)
        self.successResultOf(server.stop())

    def test_sweep(self) -> None:
        """It looks after its connections while it listens, with one timer."""
        server = self.serve("tcp:8080")
        self.successResultOf(server.start())
        factory = self.reactor.tcpServers[0][1]
        transport: Any = StringTransport()
        protocol = factory.buildProtocol(None)
        protocol.makeConnection(transport)
        for _ in range(70):
            protocol.dataReceived(b"\r")
            self.reactor.advance(1)
        self.assertTrue(transport.disconnecting)
        stopped = server.stop()
        protocol.connectionLost(Failure(ConnectionDone()))
        self.successResultOf(stopped)

    def test_arguments(self) -> None:
        """There is room for one connection at least."""
        self.assertRaises(LocalError, self.serve, "tcp:8080", maximumConnections=0)

    def test_wrongTypes(self) -> None:
        """A port's number is no endpoint, and what makes credentials is no resource."""
        wrong: Any = 8080
        error = self.assertRaises(
            LocalError, SPSPServer, self.clock, wrong, SPSPResource(Generator(), reactor=self.clock)
        )
        self.assertIn("endpoint is 8080", str(error))
        wrong = Generator()
        error = self.assertRaises(LocalError, SPSPServer, self.clock, "tcp:8080", wrong)
        self.assertIn("Generator", str(error))


class SocketTests(TestCase):
    """The two sides of SPSP, over TCP."""

    async def test_asked(self) -> None:
        """A client gets what a server gives."""
        reactor: Any = installed
        generator = Generator()
        resource = SPSPResource(generator, {"bob": {"connectionTag": "1"}}, reactor=reactor)
        server = SPSPServer(reactor, "tcp:0:interface=127.0.0.1", resource)
        await server.start()
        port: Any = server.port
        self.addCleanup(server.stop)
        url = f"http://127.0.0.1:{port.getHost().port}/"
        credentials = await resolve(
            reactor, url + "bob", receiptNonce=NONCE, receiptSecret=RECEIPT_SECRET
        )
        self.assertTrue(credentials.receiptsEnabled)
        self.assertEqual(generator.calls[0]["receiptSecret"], RECEIPT_SECRET)
        error = await self.assertFailure(resolve(reactor, url + "alice"), ConnectionEnded)
        self.assertIn("no such account", str(error))


NONCE, SECRET = b"\xff" * 16, b"\xfb" * 32


class TagTests(VirtualTestCase):
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


def asking(**headers: list[str]) -> Request:
    """A request with these headers."""
    return Request(
        b"GET",
        b"/",
        [
            (name.replace("_", "-").encode(), value.encode("utf-8", "surrogateescape"))
            for name, values in headers.items()
            for value in values
        ],
    )


class AcceptTests(VirtualTestCase):
    """RFC 9110 section 12.5.1."""

    def test_accepted(self) -> None:
        """No wish, ours, and what contains it."""
        self.assertTrue(accepts(asking()))
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
            self.assertTrue(accepts(asking(accept=[value])), value)
        self.assertTrue(accepts(asking(accept=["text/html", "*/*"])))

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
            self.assertFalse(accepts(asking(accept=[value])), value)

    @forAll(st.text("*/aplictonsj4+;q=0.1, ", max_size=40))
    def test_any(self, value: str) -> None:
        """Any other value is one or the other."""
        self.assertIn(accepts(asking(accept=[value])), (True, False))


def targetOf(segments: list[bytes]) -> bytes:
    """A request's target with this path."""
    return b"/" + "/".join(quote(segment, safe="") for segment in segments).encode("ascii")


class PathTests(VirtualTestCase):
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
            self.assertEqual(pathOf(targetOf(segments)), path)

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
            self.assertIs(pathOf(targetOf(segments)), None, segments)

    @forAll(st.lists(st.binary(max_size=6), max_size=4))
    def test_any(self, segments: list[bytes]) -> None:
        """Any other path names an account or none, quoted or not."""
        for target in (targetOf(segments), b"/" + b"/".join(segments)):
            path = pathOf(target)
            self.assertTrue(path is None or path.isprintable())


class ReceiptTests(VirtualTestCase):
    """RFC 39: which receipts are wanted."""

    def receipts(self, nonces: list[str], secrets: list[str]) -> tuple[bytes, bytes] | None:
        """What these headers ask for."""
        return receiptsOf(asking(receipt_nonce=nonces, receipt_secret=secrets))

    def test_wanted(self) -> None:
        """Nonce and secret, in either base64, padded or not."""
        for encode in (b64encode, urlsafe_b64encode):
            nonce, secret = encode(NONCE).decode(), encode(SECRET).decode()
            self.assertEqual(self.receipts([nonce], [secret]), (NONCE, SECRET))
            bare = self.receipts([nonce.rstrip("=")], [secret.rstrip("=")])
            self.assertEqual(bare, (NONCE, SECRET))

    def test_none(self) -> None:
        """Neither is no wish."""
        self.assertEqual(receiptsOf(asking()), (b"", b""))

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
