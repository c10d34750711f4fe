"""
What a connection tells its streams and its owner, event by event.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from txilpstream.errors import ConnectionEnded, StreamError
from txilpstream.opening import acceptStream
from txilpstream.session import events

if TYPE_CHECKING:
    from txilpstream.transport.connection import StreamConnection

__all__ = ["TOLD"]

_log = Logger()


def _toldAnswered(connection: StreamConnection, event: events.PeerAnswered) -> None:
    if connection.session.isClosed:
        return  # the first answer was that it is over: L{_toldClosed} tells why
    waiting, connection.opening = connection.opening, []
    for deferred in waiting:
        if not deferred.called:
            deferred.callback(connection)


def _toldRate(connection: StreamConnection, event: events.RateLearned) -> None:
    waiting, connection.measuring = connection.measuring, []
    for deferred in waiting:
        if not deferred.called:
            deferred.callback(event)


def _toldReserve(connection: StreamConnection, event: events.ReserveNeeded) -> None:
    for stream in list(connection.streams.values()):
        if event.streamID in (0, stream.streamID):
            stream.watched(event)


def _toldNothing(connection: StreamConnection, event: events.Event) -> None:
    """What can be read from the session at any time."""


def _toldWorn(connection: StreamConnection, event: events.KeyWorn) -> None:
    _log.warn(
        "a connection's key may encrypt {left} more packets; it opens no more streams",
        left=event.left,
    )
    waiting, connection.wearing = connection.wearing, []
    for deferred in waiting:
        if not deferred.called:
            deferred.callback(event.left)


def _toldOpened(connection: StreamConnection, event: events.StreamOpened) -> None:
    acceptStream(connection, event.streamID)


def _toldData(connection: StreamConnection, event: events.DataArrived) -> None:
    stream = connection.streams.get(event.streamID)
    if stream is not None:
        stream.read()
    else:
        # The application closed it: what still comes is dropped, so that the peer can end.
        connection.session.consumeData(event.streamID)


def _toldDrained(connection: StreamConnection, event: events.DataDrained) -> None:
    if not event.streamID:
        for paused in list(connection.paused.values()):  # who has waited longest is first
            paused.drained()
        return
    stream = connection.streams.get(event.streamID)
    if stream is not None:
        stream.drained()


def _toldReceived(connection: StreamConnection, event: events.MoneyReceived) -> None:
    stream = connection.streams.get(event.streamID)
    if stream is not None:
        stream.credited(event.amount)


def _toldSettled(connection: StreamConnection, event: events.MoneySettled) -> None:
    stream = connection.streams.get(event.streamID)
    if stream is not None:
        stream.settled(event)


def _toldResolved(connection: StreamConnection, event: events.DoubtResolved) -> None:
    stream = connection.streams.get(event.streamID)
    if stream is not None:
        stream.resolved(event)


def _toldFailed(connection: StreamConnection, event: events.MoneyFailed) -> None:
    stream = connection.streams.get(event.streamID)
    if stream is None:
        return
    taken = stream.moneyFailed(event)
    rate = connection.rates and connection.rates.get(event.streamID)
    if rate and taken and event.smallestAmount is not None:
        rate.giveBack(taken, event.smallestAmount)


def _toldEnded(connection: StreamConnection, event: events.StreamEnded) -> None:
    stream = connection.streams.get(event.streamID)
    if stream is not None:
        stream.ended()


def _toldSendingEnded(connection: StreamConnection, event: events.SendingEnded) -> None:
    stream = connection.streams.get(event.streamID)
    if stream is not None:
        stream.sendingEnded()


def _toldStreamClosed(connection: StreamConnection, event: events.StreamClosed) -> None:
    stream = connection.streams.get(event.streamID)
    if stream is not None:
        stream.closed(event.error, event.held)


def _toldClosed(connection: StreamConnection, event: events.ConnectionClosed) -> None:
    for stream in list(connection.streams.values()):
        stream.closed(event.error, stream.moneyInFlight)
    waiting, connection.opening = connection.opening, []
    reason: StreamError = event.error or ConnectionEnded("the peer closed the connection")
    for opened in waiting:
        if not opened.called:
            opened.errback(reason)
    measuring, connection.measuring = connection.measuring, []
    for measured in measuring:
        if not measured.called:
            measured.errback(reason)
    closing, connection.closing = connection.closing, []
    for closed in closing:
        if not closed.called:
            closed.callback(None)
    connection.account.forget(connection)
    if connection.onEnd is not None:
        connection.onEnd(connection)


TOLD: Final[Mapping[type, Callable[..., None]]] = {
    events.PeerAnswered: _toldAnswered,
    events.PeerAddressChanged: _toldNothing,
    events.AssetDetailsLearned: _toldNothing,
    events.ReceiptArrived: _toldNothing,
    events.RateLearned: _toldRate,
    events.KeyWorn: _toldWorn,
    events.ReserveNeeded: _toldReserve,
    events.StreamOpened: _toldOpened,
    events.DataArrived: _toldData,
    events.DataDrained: _toldDrained,
    events.MoneyReceived: _toldReceived,
    events.MoneySettled: _toldSettled,
    events.DoubtResolved: _toldResolved,
    events.MoneyFailed: _toldFailed,
    events.StreamEnded: _toldEnded,
    events.SendingEnded: _toldSendingEnded,
    events.StreamClosed: _toldStreamClosed,
    events.ConnectionClosed: _toldClosed,
}
