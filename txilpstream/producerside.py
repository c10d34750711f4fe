"""
The half of a stream's transport that lets a producer write as fast as the peer takes it.

A producer that raises costs its own stream and no other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.logger import Logger

from txilpstream.errors import ConnectionEnded, ErrorCode, StreamError
from txilpstream.moneyside import MoneySide

if TYPE_CHECKING:
    from txilpstream.transport.connection import StreamConnection
    from txilpstream.transport.stream import Stream

__all__ = ["ProducerSide", "pullAll"]

_log = Logger()

PULLS: Final = 8
"""How often a pull producer is asked in one turn."""


class ProducerSide(MoneySide):
    """
    One producer at most, of either kind.

    @ivar disconnecting: whether the stream is to be closed when all is sent.
    """

    __slots__ = ("_isPulling", "_producer", "_producerIsPaused", "disconnecting")

    def __init__(self, connection: StreamConnection, streamID: int) -> None:
        super().__init__(connection, streamID)
        self.disconnecting = False
        self._producer: Any = None
        self._isPulling = False
        self._producerIsPaused = False

    def loseWriteConnection(self) -> None:
        """Close the sending half when all that was written and offered is delivered."""
        if not self._isOver:
            self.connection.session.closeStream(self.streamID)
            self.connection.wake()

    def _abort(self, reason: StreamError) -> None:
        if not self._isOver:
            self.connection.session.abortStream(
                self.streamID, reason, ErrorCode.APPLICATION_ERROR, "aborted"
            )
            self.connection.wake()

    def _failed(self, method: str) -> None:
        """The protocol or the producer raised: its stream ends, no other does."""
        _log.failure("{method} of an application raised; its stream is closed", method=method)
        self._abort(ConnectionEnded(f"{method} of the application raised"))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        Let a producer write as fast as the peer takes it.

        @raise RuntimeError: if there is one already.
        """
        if self._producer is not None:
            raise RuntimeError("a producer is registered already: unregister that one first")
        if self._isOver:
            producer.stopProducing()
            return
        self._producer = producer
        self._isPulling = not streaming
        self._producerIsPaused = False
        if self._isPulling:
            self.connection.pulling[self.streamID] = self  # type: ignore[assignment]
            self.connection.wake()

    def unregisterProducer(self) -> None:
        """The producer writes no more."""
        self._producer = None
        self._producerIsPaused = False
        self.connection.pulling.pop(self.streamID, None)
        self.connection.paused.pop(self.streamID, None)
        if self.disconnecting:
            self.loseWriteConnection()

    def pull(self) -> None:
        """Ask a pull producer for more while little waits to leave."""
        for _ in range(PULLS):
            isOver = self._producer is None or not self._isPulling
            if isOver or self.connection.session.isFull(self._totals):
                return
            if not self._resumeProducer():
                return

    def drained(self) -> None:
        """Less waits to leave: the producer may go on, unless something else holds it up."""
        if self._producerIsPaused and not self.connection.session.isFull(self._totals):
            self._producerIsPaused = False
            del self.connection.paused[self.streamID]
            self._resumeProducer()

    def _resumeProducer(self) -> bool:
        """Ask for more; False if that failed, and it will not be asked again."""
        self.connection.goesOn = True
        try:
            self._producer.resumeProducing()
        except Exception:
            self.connection.pulling.pop(self.streamID, None)
            self._failed("resumeProducing")
            return False
        return True

    def _pauseProducer(self) -> None:
        """Much waits to leave: a push producer is paused."""
        if self._producer is None or self._isPulling or self._producerIsPaused:
            return
        if self.connection.session.isFull(self._totals):
            self._producerIsPaused = True
            self.connection.paused[self.streamID] = self  # type: ignore[assignment]
            self._producer.pauseProducing()

    def _stopProducer(self) -> None:
        """The stream is over."""
        producer, self._producer = self._producer, None
        self._producerIsPaused = False
        if producer is not None:
            try:
                producer.stopProducing()
            except Exception:
                _log.failure("stopProducing of a producer raised")


def pullAll(pulling: dict[int, Stream]) -> None:
    """Ask all pull producers of a connection for more; another of them is first the next time."""
    for stream in list(pulling.values()):
        stream.pull()
    first = next(iter(pulling), None)
    if first is not None:
        pulling[first] = pulling.pop(first)
