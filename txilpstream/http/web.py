"""
Where C{twisted.web} meets this room: a resource of ours in somebody's C{Site}, and somebody's agent
in the place of our client.
"""

# (twisted.web has few annotations.)
# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from txilpstream.http.client import Answer, AnswerTooLong, FetchError
from txilpstream.http.listener import isOnLoopback
from txilpstream.http.server import IResource, Request, Response
from txilpstream.http.url import URL, isInside

__all__ = ["WebResource", "fetchBy"]

_log = Logger()


def _pairs(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [(name.lower(), each) for name, all_ in headers.getAllRawHeaders() for each in all_]


class WebResource(Resource):
    """
    A resource of this room, to be mounted in a C{Site}, which bounds connections and their time.

    The resource sees the part of the path after where it is mounted.
    """

    isLeaf = True

    def __init__(self, resource: IResource, *, bodyLimit: int = 40_000) -> None:
        """
        @param bodyLimit: octets of a body that the resource is shown; more are refused.
        """
        super().__init__()
        self._resource = resource
        self._bodyLimit = bodyLimit

    def render(self, request: Any) -> int:
        """Answer a request, of whatever method."""
        content = request.content.read(self._bodyLimit + 1)
        path = "/" + "/".join(quote(part, safe="") for part in request.postpath)
        target = path.encode("ascii") + b"?" * (b"?" in request.uri)
        headers = _pairs(request.requestHeaders)
        asked = Request(request.method, target, headers, content)
        asked.isLocal = not request.isSecure() and isOnLoopback(request.transport)
        gone: list[Failure] = []

        def lost(reason: Failure) -> None:
            gone.append(reason)
            if asked.whenGone is not None:
                asked.whenGone()

        def write(response: Response) -> None:
            if not gone:
                _write(request, response)

        request.notifyFinish().addErrback(lost)
        if len(content) > self._bodyLimit:
            _write(request, Response(413, isLast=True))
        else:
            begin: Any = getattr(self._resource, "begin", lambda request: None)
            answered: Deferred[Any] = maybeDeferred(
                lambda: begin(asked) or self._resource.respond(asked)
            )
            answered.addCallback(_checked).addErrback(_failed).addCallback(write)
        return NOT_DONE_YET


def _checked(response: object) -> Response:
    if not isinstance(response, Response):
        raise TypeError("a resource gave no Response")
    return response


def _failed(failure: Failure) -> Response:
    """What is answered where a resource has failed; what its error says may be secret."""
    kind = failure.type.__name__ if failure.type is not None else ""
    _log.error("answering a request raised {kind}", kind=kind)
    return Response(500)


def _write(request: Any, response: Response) -> None:
    request.setResponseCode(response.status)
    headers = request.responseHeaders
    headers.removeHeader(b"server")
    headers.removeHeader(b"content-type")
    for name, value in response.headers:
        headers.addRawHeader(name, value)
    if response.isLast:
        headers.setRawHeaders(b"connection", [b"close"])
    if response.status != 204:
        headers.setRawHeaders(b"content-length", [b"%d" % len(response.body)])
        request.write(b"" if request.method == b"HEAD" else response.body)
    request.finish()


class _Body(Protocol):
    """Reads a body, and hangs up when it is too long or nobody waits."""

    transport: Any

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._body = bytearray()
        self.whenRead: Deferred[bytes] = Deferred(lambda _: self.transport.loseConnection())

    def connectionMade(self) -> None:
        """One that nobody wants is not read."""
        if self._limit < 0:
            self.whenRead.callback(b"")
            self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        """Take octets, unless they are too many."""
        self._body += data
        if len(self._body) > self._limit and not self.whenRead.called:
            self.whenRead.errback(AnswerTooLong(f"the answer has more than {self._limit} octets"))
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is all there, or will never be."""
        if self.whenRead.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.whenRead.callback(bytes(self._body))
        else:
            self.whenRead.errback(FetchError("the answer did not come to its end"))


def fetchBy(
    agent: Any, url: URL, headers: Mapping[str, str], *, limit: int, mayBeInside: bool = True
) -> Deferred[Answer]:
    """
    As L{fetch <txilpstream.http.client.fetch>}, with somebody's agent, who alone knows to which
    address a name leads.

    The body of an answer that is not 200 is not read.
    """
    return Deferred.fromCoroutine(_fetchBy(agent, url, headers, limit))


async def _fetchBy(agent: Any, url: URL, headers: Mapping[str, str], limit: int) -> Answer:
    wanted = Headers({name: [value] for name, value in headers.items()})
    try:
        response = await agent.request(b"GET", url.uri.encode("ascii"), wanted, None)
    except CancelledError:
        raise
    except Exception as error:
        problem = _whyNot(error)
    else:
        body = _Body(limit if response.code == 200 else -1)
        response.deliverBody(body)
        octets = await body.whenRead
        return Answer(response.code, _pairs(response.headers), octets, isInside(url.host))
    raise FetchError(problem)


def _whyNot(error: BaseException) -> str:
    """An error of the network in words; of what may quote the server only the name is said."""
    reasons = getattr(error, "reasons", None)
    if isinstance(reasons, list) and reasons and isinstance(reasons[0], Failure):
        error = reasons[0].value or error
    name = type(error).__name__
    return name if type(error).__module__.startswith("twisted.web") else f"{name}: {error}"[:200]
