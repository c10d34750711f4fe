"""
How an application's policy is asked about a packet of money; all but a plain yes is a no.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txilpstream.interfaces import PaymentRequest, Refusal

if TYPE_CHECKING:
    from txilpstream.session.incoming import Incoming
    from txilpstream.transport.connection import StreamConnection

__all__ = ["ask"]

_log = Logger()


def ask(connection: StreamConnection, policy: Any, incoming: Incoming) -> bytes | Deferred[bytes]:
    """
    Let a policy judge a packet of money, and answer it so.

    @param policy: an L{IPaymentPolicy <txilpstream.interfaces.IPaymentPolicy>}.
    """
    prepare = incoming.prepare
    request = PaymentRequest(
        prepare.executionCondition,
        connection.connectionTag,
        prepare.amount,
        connection.session.streamAmounts(incoming),
        prepare.expiresAt,
        connection.session.peerAddress,
        b"".join([frame.data for frame in incoming.data]),
    )
    try:
        verdict = policy.judgePayment(request)
    except Exception:
        _log.failure("a payment policy raised; its packet is refused")
        verdict = False
    if not isinstance(verdict, Deferred):
        return _answer(verdict, connection, incoming)
    asked: Deferred[bool | Refusal] = verdict
    return asked.addCallbacks(
        lambda judged: _answer(judged, connection, incoming),
        lambda failure: _ebJudged(failure, connection, incoming),
    )


def _answer(verdict: Any, connection: StreamConnection, incoming: Incoming) -> bytes:
    refusal = verdict if isinstance(verdict, Refusal) else None
    return connection.answer(incoming, verdict is True, refusal)


def _ebJudged(failure: Failure, connection: StreamConnection, incoming: Incoming) -> bytes:
    _log.failure("a payment policy failed; its packet is refused", failure)
    return connection.answer(incoming, False)
