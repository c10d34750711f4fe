"""
ILP over HTTP, the listening side (RFC 35, with the answer in the response).

Whose a token is, and what becomes of a Prepare, is decided by whoever it was given; no packet is
read here. A stranger learns nothing but "no": a wrong token and a missing one get the same answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from txilpstream.http.server import HTTPServer, Request, Response
from txilpstream.logs import RareLog
from txilpstream.wire.ilp import rejectWith

__all__ = ["CONTENT_TYPES", "IAnswersPrepares", "PrepareResource", "PrepareServer"]

CONTENT_TYPES: Final = frozenset([b"application/octet-stream", b"application/ilp+octet-stream"])
"""What a request may say that its body is."""

PENDING_LIMIT: Final = 2000
"""Requests of one account that may wait for their answers; more are rejected with T03."""

_HEADERS: Final = ((b"Content-Type", b"application/octet-stream"),)
_UNAUTHORIZED: Final = Response(401, headers=((b"WWW-Authenticate", b"Bearer"),))
_FORBIDDEN: Final = Response(403)
_NOT_POST: Final = Response(405, headers=((b"Allow", b"POST"),))
_NO_PACKET: Final = Response(400)

_log = Logger()


class IAnswersPrepares(Protocol):
    """What a token stands for; each L{PluginBase <txilpstream.plugins.base.PluginBase>} is one."""

    def answerPrepare(self, data: bytes, /) -> bytes | Deferred[bytes]:
        """Give the reply to a Prepare."""


class PrepareResource:
    """
    Answers Prepares that come by C{POST}, on every path.

    A request of a web page is answered with 403, one without a valid token with 401, one that is
    not C{POST} with 405, one whose content is no ILP packet by its type, or empty, with 400. All
    else gets 200 with a Fulfill or a Reject.
    """

    def __init__(
        self, reactor: IReactorTime, admit: Callable[[str], IAnswersPrepares | None]
    ) -> None:
        """
        @param admit: takes a token, or an empty string, and returns who answers its Prepares; None
            if nobody has it. It must compare tokens in constant time.
        """
        self._admit = admit
        self._rareLog = RareLog(reactor, _log)
        self._pending: dict[Any, int] = {}
        self._busy = Response(200, rejectWith("T03"), _HEADERS)
        self._internalError = rejectWith("T00")

    def begin(self, request: Request) -> Response | None:
        """Find whose the token is; pages have none."""
        if request.isFromPage():
            self._rareLog.warn(
                "requests of a web page, or to another Host than this machine: they are refused; "
                "a proxy has to pass its own address as Host"
            )
            return _FORBIDDEN
        scheme, _, token = (request.value(b"authorization") or b"").partition(b" ")
        isBearer = scheme.lower() == b"bearer"
        answerer: Any = self._admit(token.strip().decode("utf-8", "replace") if isBearer else "")
        if answerer is None:
            self._rareLog.warn("requests without a valid token")
            return _UNAUTHORIZED
        request.owner = answerer
        return None

    def respond(self, request: Request) -> Response | Deferred[Response]:
        """Have a Prepare answered, unless too many of the same account's wait already."""
        if request.method != b"POST":
            return _NOT_POST
        kind = (request.value(b"content-type") or b"").partition(b";")[0].strip().lower()
        if not request.body or kind not in CONTENT_TYPES:
            return _NO_PACKET
        answerer: Any = request.owner
        pending = self._pending.get(answerer, 0)
        if pending >= PENDING_LIMIT:
            return self._busy
        try:
            reply = answerer.answerPrepare(request.body)
        except Exception as error:
            self._complain(type(error))
            reply = self._internalError
        if isinstance(reply, bytes):
            return Response(200, reply, _HEADERS)
        self._pending[answerer] = pending + 1
        replied: Deferred[Response] = reply.addErrback(self._ebReply).addCallback(
            self._cbReply, answerer
        )
        return replied

    def _complain(self, kind: type[BaseException] | None) -> None:
        name = getattr(kind, "__name__", "something")
        self._rareLog.warn("answering a Prepare raised {kind}: T00", kind=name)

    def _ebReply(self, failure: Failure) -> bytes:
        self._complain(failure.type)
        return self._internalError

    def _cbReply(self, reply: bytes, answerer: Any) -> Response:
        """The work is done, whether or not somebody still wants to hear of it."""
        pending = self._pending.pop(answerer) - 1
        if pending:
            self._pending[answerer] = pending
        return Response(200, reply, _HEADERS)


class PrepareServer(HTTPServer):
    """Listens for Prepares alone."""

    def __init__(
        self,
        reactor: IReactorTime,
        endpoint: IStreamServerEndpoint,
        admit: Callable[[str], IAnswersPrepares | None],
        **limits: Any,
    ) -> None:
        """
        @param admit: see L{PrepareResource}.
        @param limits: see L{HTTPServer}.
        """
        super().__init__(reactor, endpoint, PrepareResource(reactor, admit), **limits)
