"""
What plugins of every kind do alike: one data handler, one producer, and a reply to each Prepare.

Whatever a data handler does, its Prepare gets a reply, and a producer is paused and resumed in
turn. Tokens are compared in constant time.
"""

from __future__ import annotations

from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure

from txilpstream.errors import LocalError
from txilpstream.wire.ilp import rejectWith

if TYPE_CHECKING:
    from txilpstream.interfaces import DataHandler

__all__ = ["PluginBase", "tokenMatches"]

_log = Logger()


class PluginBase:
    """
    The slots of a plugin; a subclass adds the way to the peer.

    It calls L{answerPrepare} with each Prepare of the peer's, L{pauseProducer} while its way out
    is full and L{resumeProducer} when it is so no more.
    """

    def __init__(self, address: str = "") -> None:
        """
        @param address: who says so in the rejects that are made here; may be empty.
        """
        self._unreachable = rejectWith("T01", address)
        self._internalError = rejectWith("T00", address)
        self._handler: DataHandler | None = None
        self._producer: IPushProducer | None = None
        self._isPaused = False

    def registerDataHandler(self, handler: DataHandler) -> None:
        """
        Say who answers the peer's Prepares.

        @raise LocalError: if there is a handler already.
        """
        if self._handler is not None:
            raise LocalError("this plugin has a data handler already: deregister that one first")
        self._handler = handler

    def deregisterDataHandler(self) -> None:
        """Answer the peer's Prepares with T01 from now on."""
        self._handler = None

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        """
        Say who is paused while the way out is full; it may be paused before this returns.

        @raise LocalError: if there is one already, or it is not a push producer.
        """
        if self._producer is not None:
            raise LocalError("this plugin has a producer already: unregister that one first")
        if not streaming:
            raise LocalError("this plugin takes a push producer only: streaming must be True")
        self._producer = producer
        if self.isFull():
            self.pauseProducer()

    def unregisterProducer(self) -> None:
        """Pause nobody any more."""
        self._producer = None
        self._isPaused = False

    def isFull(self) -> bool:
        """Whether the way out is full; a subclass whose way can be says so here."""
        return False

    def pauseProducer(self) -> None:
        """Pause the producer, if there is one and it is not paused."""
        if self._producer is not None and not self._isPaused:
            self._isPaused = True
            self._producer.pauseProducing()

    def resumeProducer(self) -> None:
        """Resume the producer, if there is one and it is paused."""
        if self._producer is not None and self._isPaused:
            self._isPaused = False
            self._producer.resumeProducing()

    def answerPrepare(self, data: bytes) -> bytes | Deferred[bytes]:
        """
        Let the handler answer a Prepare.

        Without a handler that is T01. A handler that raises, fails or answers with anything but
        bytes is logged, and its Prepare rejected with T00.

        @return: a reply; its Deferred, which is the handler's own, never fails.
        """
        handler = self._handler
        if handler is None:
            return self._unreachable
        try:
            reply: object = handler(data)
        except Exception:
            _log.failure("a data handler raised; its Prepare is rejected with T00")
            return self._internalError
        if isinstance(reply, bytes):
            return reply
        if isinstance(reply, Deferred):
            return reply.addCallbacks(self._cbReply, self._ebReply)
        return self._cbReply(reply)

    def _cbReply(self, reply: object) -> bytes:
        if isinstance(reply, bytes):
            return reply
        kind = type(reply).__name__
        _log.error("a data handler answered with {kind} and not with bytes: T00", kind=kind)
        return self._internalError

    def _ebReply(self, failure: Failure) -> bytes:
        _log.failure("a data handler failed; its Prepare is rejected with T00", failure)
        return self._internalError


def tokenMatches(expected: str, given: str) -> bool:
    """Whether two tokens are the same, in a time that tells nothing of either."""
    digests = [
        sha256(token.encode("utf-8", "surrogatepass")).digest() for token in (expected, given)
    ]
    return compare_digest(*digests)
