"""
Prepares on their way to an HTTP peer, and what is known of them when it ends.

A packet was not sent if no connection ever got it, or if the peer's HTTP layer refused it with a
status that it gives before anything is done; after all else nobody knows. An answer that is an ILP
reply counts, whatever its status. Nothing is repeated and no redirect is followed.
"""

# (Parts of twisted.internet have no annotations.)
# mypy: allow-untyped-calls

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from txilpstream.amounts import checkAmount
from txilpstream.errors import ConnectionEnded, DecodeError, LocalError
from txilpstream.http.client import Exchange, HTTPClient
from txilpstream.http.url import URL
from txilpstream.interfaces import NotSent
from txilpstream.logs import RareLog
from txilpstream.plugins.base import PluginBase
from txilpstream.wire.ilp import FULFILL, REJECT
from txilpstream.wire.oer import readVarOctets

__all__ = ["MAXIMUM_WINDOW", "QUEUE_LIMIT", "HTTPSender"]

MAXIMUM_WINDOW: Final = 1000
"""Requests at once: each takes a connection, and a process has some thousand of them to spare."""

QUEUE_LIMIT: Final = 1024
"""Packets that may wait while the window is full; more are not sent. A producer that pauses when
it is told to has few there, if any."""

SWEEP_INTERVAL: Final = 1.0
"""Seconds between two looks for requests whose time is over: they end up to so much late."""

REFUSALS: Final[Mapping[int, str]] = {
    400: "it takes the request for malformed: is the URL that of an ILP endpoint?",
    401: "the token is missing or wrong: give the one that the peer expects",
    403: "the peer forbids it: ask whether the token is still good",
    404: "nothing is there: check the path of the URL",
    405: "it takes no POST: check the path of the URL",
    413: "the packet is too large for it: send less data in one packet",
    414: "the URL is too long for it",
    415: "it takes no application/octet-stream: is the URL that of an ILP endpoint?",
    429: "there are too many requests: send fewer packets per second",
    431: "the headers are too large for it: is the token the right one?",
}
"""What an HTTP layer says before anything was done with a request, and what helps."""

DOUBTS: Final[Mapping[int, str]] = {
    200: "is the URL that of an ILP endpoint?",
    **dict.fromkeys((301, 302, 303, 307, 308), "it redirects: give the URL that it leads to"),
    500: "ask the peer what went wrong there",
    502: "what stands before the peer could not reach it, or lost it: is it running?",
    503: "the peer is overloaded or being restarted: try again later",
    504: "what stands before the peer waited too long for it: give it a longer time-out there",
}
"""What helps where an answer leaves a packet in doubt."""

_log = Logger()


def _isReply(body: bytes) -> bool:
    """Whether this is a Fulfill or a Reject by its type and its length."""
    if not body or (body[0] != FULFILL and body[0] != REJECT):
        return False
    try:
        readVarOctets(body, 1, len(body))
    except DecodeError:
        return False
    return True


class HTTPSender:
    """
    Sends Prepares to one peer, each as a request.

    As many connections are open as packets are unanswered, and are kept for the next. Packets
    beyond the window wait, and those that wait for all of their time were not sent.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        url: URL,
        token: str,
        endpoint: IStreamClientEndpoint,
        plugin: PluginBase,
        *,
        window: int,
        timeout: float,
    ) -> None:
        """
        @param token: what the peer knows this side by, or empty.
        @param endpoint: connects to where the URL leads.
        @param plugin: whose producer is paused and resumed.
        @param window: requests that may be unanswered.
        @param timeout: seconds that a packet has from its sending to the end of its answer.
        @raise LocalError: if a limit is not possible.
        """
        if not timeout > 0:
            raise LocalError(f"the timeout is {timeout}: it must be above 0 seconds")
        self._window = checkAmount("window", window, minimum=1, maximum=MAXIMUM_WINDOW)
        self._timeout = timeout
        self._reactor = reactor
        self._isSecure = url.isSecure
        self._peer = url.authority
        self._endpoint = endpoint
        self._plugin = plugin
        self._rareLog = RareLog(reactor, _log)
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        self._head = (
            f"POST {url.path} HTTP/1.1\r\nHost: {url.authority}\r\n{authorization}"
            "Content-Type: application/octet-stream\r\nAccept: application/octet-stream\r\n"
            "Content-Length: "
        ).encode("ascii")
        self._sweeping = LoopingCall(self._sweep)
        self._sweeping.clock = reactor
        self._client: HTTPClient | None = None
        self._unanswered: dict[Exchange, None] = {}
        self._queue: deque[Exchange] = deque()
        self._isStarting = False
        self._wasFull = False
        self._resuming: IDelayedCall | None = None

    def start(self) -> None:
        """Take packets from now on."""
        self._client = HTTPClient(self._reactor, self._endpoint, isSecure=self._isSecure)
        self._sweeping.start(SWEEP_INTERVAL, now=False)

    def stop(self) -> Deferred[None]:
        """
        Take no more packets; those that wait for an answer fail in a later turn of the reactor.

        @return: fires when all connections are gone.
        """
        client, self._client = self._client, None
        assert client is not None
        self._sweeping.stop()
        packets = [*self._unanswered, *self._queue]
        self._unanswered.clear()
        self._queue.clear()
        if self._resuming is not None:
            self._resuming.cancel()
            self._resuming = None
        done: Deferred[None] = Deferred()
        self._reactor.callLater(0, self._finish, packets, client, done)
        return done

    def _finish(self, packets: list[Exchange], client: HTTPClient, done: Deferred[None]) -> None:
        for packet in packets:
            client.abort(packet, "the plugin was disconnected")
        client.stop().chainDeferred(done)
        self._resumeIfLow()

    def isFull(self) -> bool:
        """Whether the window is full."""
        return len(self._unanswered) + len(self._queue) >= self._window

    def send(self, data: bytes) -> Deferred[bytes]:
        """
        Send a Prepare, at once if the window allows.

        @return: see L{HTTPPlugin.sendData <txilpstream.plugins.http.plugin.HTTPPlugin.sendData>}.
        """
        if self._client is None:
            return fail(NotSent("the plugin is not connected: call connect() first"))
        if len(self._queue) >= QUEUE_LIMIT:
            return fail(NotSent(f"{QUEUE_LIMIT} packets wait already for {self._peer} to answer"))
        packet = Exchange(b"%b%d\r\n\r\n%b" % (self._head, len(data), data), self._over)
        packet.deadline = self._reactor.seconds() + self._timeout
        waiting = packet.waiting = Deferred()
        if self._queue or len(self._unanswered) >= self._window:
            self._queue.append(packet)
        else:
            self._unanswered[packet] = None
            self._client.begin(packet)
        if self.isFull():
            self._wasFull = True
            self._plugin.pauseProducer()
        return waiting

    def _over(self, packet: Exchange) -> None:
        """Nothing more will come of a packet."""
        isOurs = packet in self._unanswered
        if isOurs:
            del self._unanswered[packet]
        self._settle(packet)
        if isOurs:
            if self._queue:
                self._beginQueued()
            if self._wasFull and self._resuming is None and self._isLow():
                # Later: it may be the producer's own call that ends a request.
                self._resuming = self._reactor.callLater(0, self._resume)

    def _beginQueued(self) -> None:
        """Begin the requests of what waits, oldest first, as far as the window allows."""
        if self._isStarting:
            return
        self._isStarting = True
        while self._client is not None and self._queue and len(self._unanswered) < self._window:
            packet = self._queue.popleft()
            if not packet.waiting.called:
                self._unanswered[packet] = None
                self._client.begin(packet)
        self._isStarting = False

    def _isLow(self) -> bool:
        return (len(self._unanswered) + len(self._queue)) * 2 < self._window

    def _resume(self) -> None:
        self._resuming = None
        self._resumeIfLow()

    def _resumeIfLow(self) -> None:
        if self._isLow():
            self._wasFull = False
            self._plugin.resumeProducer()

    def _settle(self, packet: Exchange) -> None:
        """Say what became of a packet, if somebody still wants to know."""
        waiting = packet.waiting
        if waiting.called:
            return
        status, problem = packet.status, packet.problem
        if packet.isComplete and not problem and _isReply(packet.body):
            waiting.callback(packet.body)
            return
        if status in REFUSALS:
            remedy = f"status {status}, {REFUSALS[status]}"
            self._rareLog.warn("{peer} refuses packets: {remedy}", peer=self._peer, remedy=remedy)
            waiting.errback(NotSent(f"{self._peer} refused the packet: {remedy}"))
            return
        if not problem:
            problem = f"it answered with status {status} and no ILP reply"
        elif status:
            problem = f"status {status}, {problem}"
        if status in DOUBTS:
            problem = f"{problem}: {DOUBTS[status]}"
        if packet.isWritten:
            self._rareLog.warn("packets to {peer} in doubt: {why}", peer=self._peer, why=problem)
            waiting.errback(ConnectionEnded(f"a packet to {self._peer} is in doubt: {problem}"))
        else:
            self._rareLog.warn("packets to {peer} not sent: {why}", peer=self._peer, why=problem)
            waiting.errback(NotSent(f"a packet to {self._peer} was not sent: {problem}"))

    def _sweep(self) -> None:
        """End what has had its time: the only timer for requests that there is."""
        client = self._client
        assert client is not None
        now = self._reactor.seconds()
        problem = f"its {self._timeout:g} s were over"
        late: list[Exchange] = []
        for packet in [*self._unanswered, *self._queue]:
            if packet.deadline > now:
                break
            late.append(packet)
        while self._queue and self._queue[0].deadline <= now:
            self._queue.popleft()
        for packet in late:
            client.abort(packet, problem)
        client.sweep()
