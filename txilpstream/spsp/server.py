"""
SPSP (RFC 9), the side that is paid: credentials for whoever asks over HTTP.

Which account a path names is all that a question says; what the money is for, the connection tag
tells the application when it comes. Nothing is kept of those who ask, and whoever asks for what
there is not learns no more than that.

SPSP must be spoken over https: give the server an endpoint with TLS, or put it behind a proxy.
"""

# (twisted.web has few annotations.)
# mypy: allow-untyped-calls

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, cast
from urllib.parse import unquote_to_bytes

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IReactorTime, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from txilpstream.crypto.credentials import Credentials, readOctets
from txilpstream.errors import LocalError, wrongType
from txilpstream.http.server import HTTPServer, IResource, Request, Response
from txilpstream.interfaces import AnyReactor, Reactor
from txilpstream.logs import RareLog
from txilpstream.spsp.client import CONTENT_TYPE, checkTimeout

__all__ = ["SPSPResource", "SPSPServer", "accepts", "accountOf", "pathOf", "receiptsOf", "tagOf"]

LONGEST_TAG: Final = 100
"""Characters of a tag that is made of a path: it makes the address longer, which has 1023."""

BODY_LIMIT: Final = 1024
"""Octets of a request's body, which means nothing."""

SILENCE_TIME: Final = 15.0
"""Seconds without a sign of life after which a connection is lost."""

ANSWER_TIME: Final = 10.0
"""Seconds that accounts and credentials may take."""

_METHODS: Final = b"GET, HEAD, OPTIONS"
_HEADERS: Final = (
    (b"Access-Control-Allow-Origin", b"*"),
    # The secret is for one client only, so that nobody on the way may keep it; and what reads
    # nothing but max-age, as RFC 9 has it, shall not use it twice.
    (b"Cache-Control", b"no-store, max-age=0"),
    (b"X-Content-Type-Options", b"nosniff"),
)
_JSON: Final = (*_HEADERS, (b"Content-Type", CONTENT_TYPE.encode("ascii")))
_PREFLIGHT: Final = (
    *_HEADERS,
    (b"Access-Control-Allow-Methods", _METHODS),
    (b"Access-Control-Allow-Headers", b"Accept, Receipt-Nonce, Receipt-Secret"),
    (b"Access-Control-Max-Age", b"86400"),
    (b"Allow", _METHODS),
)

_PLAIN: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
_TAG: Final = re.compile("(?:[A-Za-z0-9_-]|~[0-9a-f]{2})*", re.ASCII)
_EXCLUDED: Final = re.compile(r"0(?:\.0*)?", re.ASCII)
_KINDS: Final = ("*/*", "application/*", CONTENT_TYPE)

_log = Logger()


class CredentialsGenerator(Protocol):
    """What gives credentials: a StreamServer, or a StatelessReceiver."""

    def generateCredentials(
        self, *, connectionTag: str = "", receiptNonce: bytes = b"", receiptSecret: bytes = b""
    ) -> Credentials:
        """Make an address and a secret for one client."""


class ServerEndpoint(Protocol):
    """What provides Twisted's C{IStreamServerEndpoint}, as a type checker sees it."""

    def listen(self, protocolFactory: Any, /) -> Deferred[Any]:
        """As of C{IStreamServerEndpoint}."""


class SPSPResource:
    """
    Answers C{GET} with new credentials, each time with others.

    C{/} and C{/.well-known/pay}, seen from where the resource stands, are the default account;
    other paths are accounts by their names.
    """

    def __init__(
        self,
        generator: CredentialsGenerator | Callable[..., Credentials | Deferred[Credentials]],
        accounts: Mapping[str, Mapping[str, Any]] | Callable[[str], Any] | None = None,
        *,
        timeout: float = ANSWER_TIME,
        reactor: AnyReactor | None = None,
    ) -> None:
        """
        @param generator: a L{StreamServer
            <txilpstream.transport.server.StreamServer>}; or a function with the arguments of its
            C{generateCredentials}, that returns L{Credentials} or a Deferred.
        @param accounts: paths without the first slash, such as C{bob/invoice-7}, and an empty text
            for the default account; or a function that takes one, and may return a Deferred. What
            belongs to it are arguments for the generator, such as C{{"connectionTag": "7"}}; None
            means that there is no such account. Without C{accounts}, every path is an account and
            L{tagOf <txilpstream.spsp.server.tagOf>} it the tag, if that has at most 100 characters.
        @param timeout: seconds that a Deferred may take.
        @param reactor: Twisted's own by default.
        @raise LocalError: if one of them is not what it should be.
        """
        if reactor is None:
            from twisted.internet import reactor as installed

            reactor = cast("Reactor", installed)
        generate: Any = getattr(generator, "generateCredentials", generator)
        if not callable(generate):
            wanted = "it takes a StreamServer, or a function that gives Credentials"
            raise wrongType("generator", generator, wanted)
        if accounts is not None and not (isinstance(accounts, Mapping) or callable(accounts)):
            raise wrongType("accounts", accounts, "it takes a mapping, a function, or None")
        self._generate = generate
        self._accounts = accounts
        self._timeout = checkTimeout(timeout)
        self._reactor = cast("IReactorTime", reactor)
        self._rareLog = RareLog(self._reactor, _log)

    def respond(self, request: Request) -> Response | Deferred[Response]:
        """Answer a request, of whatever method."""
        asked = self._judge(request)
        if isinstance(asked, Response):
            return asked
        made = Deferred.fromCoroutine(self._make(*asked))
        if not made.called:
            made.addTimeout(self._timeout, self._reactor)
            # Nobody needs the answer any more when the connection is gone.
            request.whenGone = made.cancel
        return made.addCallbacks(self._cbMade, self._ebMade)

    def _judge(self, request: Request) -> Response | tuple[str, bytes, bytes]:
        """Say no, or which account and what receipts are asked for."""
        if len(request.body) > BODY_LIMIT:
            return _TOO_LONG
        if request.method == b"OPTIONS":
            return _OPTIONS
        if request.method not in (b"GET", b"HEAD"):
            return _NOT_ALLOWED
        if b"?" in request.target:  # RFC 9 wants that refused
            return _QUERY
        if not accepts(request):
            return _NOT_ACCEPTABLE
        path = pathOf(request.target)
        if path is None:
            return _NOT_FOUND
        receipts = receiptsOf(request)
        return _RECEIPTS if receipts is None else (path, *receipts)

    async def _make(self, path: str, nonce: bytes, secret: bytes) -> Credentials | None:
        """Credentials for an account, or None if there is none."""
        account: Any
        if self._accounts is None:
            tag = tagOf(path)
            account = {"connectionTag": tag} if len(tag) <= LONGEST_TAG else None
        elif isinstance(self._accounts, Mapping):
            account = self._accounts.get(path)
        else:
            account = await maybeDeferred(self._accounts, path)
        if account is None:
            return None
        options = {**account, "receiptNonce": nonce, "receiptSecret": secret}
        made: object = await maybeDeferred(self._generate, **options)
        if not isinstance(made, Credentials):
            raise LocalError(f"the generator gave {type(made).__name__} and no Credentials")
        return made

    def _ebMade(self, failure: Failure) -> Response:
        if failure.check(CancelledError) is None:
            why = failure.getBriefTraceback()
            self._rareLog.warn("no credentials could be made: {why}", why=why)
        return _UNAVAILABLE

    def _cbMade(self, made: Credentials | None) -> Response:
        return _NOT_FOUND if made is None else Response(200, made.toJSON().encode("ascii"), _JSON)


class SPSPServer(HTTPServer):
    """
    Listens for those who want to pay.

    @ivar port: where it listens, or None.
    """

    def __init__(
        self,
        reactor: AnyReactor,
        endpoint: ServerEndpoint | IStreamServerEndpoint | str,
        resource: IResource,
        *,
        maximumConnections: int | None = None,
    ) -> None:
        """
        @param endpoint: where to listen; a text is one for C{serverFromString}.
        @param resource: a L{SPSPResource}.
        @param maximumConnections: beyond it, each new one takes an old one's place.
        @raise LocalError: if one of them is not what it should be.
        """
        if not isinstance(endpoint, str) and not callable(getattr(endpoint, "listen", None)):
            raise wrongType("endpoint", endpoint, "it takes an endpoint, or the string of one")
        if not callable(getattr(resource, "respond", None)):
            raise wrongType("resource", resource, "it takes an SPSPResource")
        listens: Any = (
            serverFromString(reactor, endpoint) if isinstance(endpoint, str) else endpoint
        )
        super().__init__(
            cast("IReactorTime", reactor),
            listens,
            resource,
            maximumConnections=maximumConnections,
            requestTime=SILENCE_TIME,
            idleTime=SILENCE_TIME,
            bodyLimit=BODY_LIMIT,
        )


def tagOf(path: str) -> str:
    """
    The connection tag that stands for a path: no two paths have the same.

    Letters, digits, C{_} and C{-} stand for themselves, and each octet of the others, in UTF-8, is
    a tilde and two hex digits: C{bob/invoice-7} is C{bob~2finvoice-7}.
    """
    return "".join(chr(o) if o in _PLAIN else f"~{o:02x}" for o in path.encode("utf-8"))


def accountOf(tag: str) -> str:
    """
    The path that a tag of L{tagOf} stands for.

    @raise LocalError: if it stands for none.
    """
    if _TAG.fullmatch(tag) is not None:
        octets = re.sub("~(..)", lambda found: chr(int(found[1], 16)), tag).encode("latin-1")
        try:
            path = octets.decode("utf-8")
        except UnicodeDecodeError:
            path = ""
        if tagOf(path) == tag:
            return path
    raise LocalError(f"the tag {tag[:80]!r} was not made of an account's path")


def _no(status: int, id: str, message: str, *headers: tuple[bytes, bytes]) -> Response:
    """A refusal: its status, and what its body says."""
    body = json.dumps({"id": id, "message": message}).encode("ascii")
    return Response(status, body, (*_JSON, *headers), isLast=status == 413)


_OPTIONS: Final = Response(204, headers=_PREFLIGHT)
_NOT_FOUND: Final = _no(404, "InvalidReceiverError", "There is no such account")
_NOT_ALLOWED: Final = _no(
    405, "MethodNotAllowed", f"Only {_METHODS.decode('ascii')} are allowed", (b"Allow", _METHODS)
)
_TOO_LONG: Final = _no(413, "ContentTooLarge", "A question has no content")
_QUERY: Final = _no(400, "InvalidRequest", "A question has no query string")
_RECEIPTS: Final = _no(
    400,
    "InvalidRequest",
    "Receipt-Nonce has 16 octets and Receipt-Secret 32, in base64, and both are there or neither",
)
_NOT_ACCEPTABLE: Final = _no(406, "NotAcceptable", f"The answer would be {CONTENT_TYPE}")
_UNAVAILABLE: Final = _no(503, "ServiceUnavailable", "The account cannot be paid now")


def accepts(request: Request) -> bool:
    """Whether the C{Accept} header leaves room for our content type (RFC 9110 section 12.5.1)."""
    values = b",".join(request.values(b"accept")).decode("latin-1")
    wishes = [wish for wish in values.split(",") if wish.strip()]
    best, isWanted = -1, not wishes
    for wish in wishes:
        kind, *parameters = (part.strip().lower() for part in wish.split(";"))
        rank = _KINDS.index(kind) if kind in _KINDS else -1
        if rank < 0 or rank < best:
            continue
        names = (parameter.partition("=") for parameter in parameters)
        weights = [value.strip() for name, _, value in names if name.strip() == "q"]
        isExcluded = any(_EXCLUDED.fullmatch(weight) for weight in weights)
        isWanted = not isExcluded or (rank == best and isWanted)
        best = rank
    return isWanted


def pathOf(target: bytes) -> str | None:
    """Which account is asked for, an empty text for the default one; None if it can be none."""
    segments = [unquote_to_bytes(part) for part in target.split(b"/")[1:]]
    if segments and not segments[-1]:
        segments.pop()
    if segments == [b".well-known", b"pay"]:
        return ""
    try:
        names = [segment.decode("utf-8") for segment in segments]
    except UnicodeDecodeError:
        return None
    for name in names:
        if name in ("", ".", "..") or "/" in name or not name.isprintable():
            return None
    return "/".join(names)


def receiptsOf(request: Request) -> tuple[bytes, bytes] | None:
    """Nonce and secret of the receipts that are wanted, both empty for none; None if bad."""
    nonces = request.values(b"receipt-nonce")
    secrets = request.values(b"receipt-secret")
    if not nonces and not secrets:
        return b"", b""
    if len(nonces) != 1 or len(secrets) != 1:
        return None
    nonce, secret = _octets(nonces[0], 16), _octets(secrets[0], 32)
    return None if nonce is None or secret is None else (nonce, secret)


def _octets(value: bytes, length: int) -> bytes | None:
    return readOctets(value.decode("latin-1"), length)
