"""Tests of C{txilpstream.errors}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txilpstream import errors
from txilpstream.amounts import Ratio
from txilpstream.errors import (
    ConnectionEnded,
    DecodeError,
    ErrorCode,
    LocalError,
    PeerError,
    RejectSeen,
    StreamError,
)
from txilpstream.interfaces import PaymentError, PaymentResult

REJECT = RejectSeen("T04", "Insufficient Liquidity", "g.connector", "no more", 500, 3)


class ErrorCodeTests(SynchronousTestCase):
    """The codes of RFC 29 section 5.4."""

    def test_names(self) -> None:
        """Every code has its RFC's number and name."""
        self.assertEqual(
            dict(ErrorCode.NAMES),
            {
                1: "NoError",
                2: "InternalError",
                3: "EndpointBusy",
                4: "FlowControlError",
                5: "StreamIdError",
                6: "StreamStateError",
                7: "FrameFormatError",
                8: "ProtocolViolation",
                9: "ApplicationError",
            },
        )


class TreeTests(SynchronousTestCase):
    """What is what."""

    def test_oneRoot(self) -> None:
        """Whatever is raised on purpose can be caught as one kind."""
        for kind in (LocalError, DecodeError, PeerError, ConnectionEnded, PaymentError):
            self.assertTrue(issubclass(kind, StreamError))

    def test_callersFault(self) -> None:
        """A caller's mistake is a ValueError as well, and nothing else is."""
        self.assertTrue(issubclass(LocalError, ValueError))
        for kind in (DecodeError, PeerError, ConnectionEnded, PaymentError):
            self.assertFalse(issubclass(kind, ValueError))

    def test_public(self) -> None:
        """All names are there."""
        for name in errors.__all__:
            self.assertTrue(hasattr(errors, name), name)


class PeerErrorTests(SynchronousTestCase):
    """A peer's fault bears the code that the peer is told."""

    def test_known(self) -> None:
        """A known code is shown by its name."""
        error = PeerError(ErrorCode.FLOW_CONTROL_ERROR, "12 bytes too many")
        self.assertEqual(str(error), "FlowControlError: 12 bytes too many")
        self.assertEqual((error.code, error.message), (4, "12 bytes too many"))

    def test_unknown(self) -> None:
        """Any other code is shown as a number."""
        self.assertEqual(str(PeerError(0xFE, "what?")), "error 0xfe: what?")

    def test_withoutMessage(self) -> None:
        """A peer need not say more than the code."""
        self.assertEqual(str(PeerError(ErrorCode.NO_ERROR, "")), "NoError")


class RejectSeenTests(SynchronousTestCase):
    """How a reject is shown."""

    def test_whole(self) -> None:
        """Everything that helps to find out what happened is in the text."""
        self.assertEqual(
            str(REJECT), "T04 Insufficient Liquidity x3 by g.connector at amount 500: no more"
        )

    def test_anonymous(self) -> None:
        """Rejects of nodes that say nothing are shown too."""
        self.assertEqual(
            str(RejectSeen("R00", "Transfer Timed Out", "", "", 1, 1)),
            "R00 Transfer Timed Out x1 by an unnamed node at amount 1: no message",
        )


class ConnectionEndedTests(SynchronousTestCase):
    """Why a connection is over."""

    def test_plain(self) -> None:
        """Without rejects there is the message alone."""
        error = ConnectionEnded("idle for 60 s")
        self.assertEqual(str(error), "idle for 60 s")
        self.assertEqual(error.rejects, ())

    def test_rejects(self) -> None:
        """Rejects are listed, one per line."""
        error = ConnectionEnded("no fulfill for 45 s", (REJECT, REJECT))
        self.assertEqual(error.message, "no fulfill for 45 s")
        self.assertEqual(error.rejects, (REJECT, REJECT))
        self.assertEqual(
            str(error).splitlines(),
            ["no fulfill for 45 s; rejects met:", f"  {REJECT}", f"  {REJECT}"],
        )


class PaymentTests(SynchronousTestCase):
    """What became of money."""

    def test_complete(self) -> None:
        """A payment is complete when all that was offered was sent."""
        self.assertTrue(PaymentResult(10, 10, 9, 9, 0).isComplete)
        self.assertFalse(PaymentResult(10, 9, 9, 9, 1).isComplete)

    def test_error(self) -> None:
        """A failed payment says what was delivered all the same."""
        result = PaymentResult(10, 4, 3, 3, 0)
        error = PaymentError("the rate fell", result)
        self.assertEqual(str(error), "the rate fell")
        self.assertIs(error.result, result)
        self.assertEqual(
            (error.message, error.smallestAmount, error.rate), (str(error), None, None)
        )

    def test_errorWithRejects(self) -> None:
        """It lists the rejects, and what could have been sent."""
        result = PaymentResult(10, 0, 0, 0, 10, (REJECT,))
        error = PaymentError("too little", result, smallestAmount=20, rate=Ratio(1, 20))
        self.assertEqual(str(error).splitlines(), ["too little; rejects met:", f"  {REJECT}"])
        self.assertEqual((error.smallestAmount, error.rate), (20, Ratio(1, 20)))
