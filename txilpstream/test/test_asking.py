"""Tests for C{txilpstream.asking}: who decides about money."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txilpstream.errors import PaymentError
from txilpstream.interfaces import IPaymentPolicy, PaymentRequest
from txilpstream.test.connected import ConnectedTestCase, HalfRecorder


@implementer(IPaymentPolicy)
class Policy:
    """
    Says what it was told to say.

    @ivar requests: what it was asked.
    """

    def __init__(self, verdict: Any) -> None:
        self._verdict = verdict
        self.requests: list[PaymentRequest] = []

    def judgePayment(self, request: PaymentRequest) -> Any:
        """Write it down and say it."""
        self.requests.append(request)
        if callable(self._verdict):
            return self._verdict()
        return self._verdict


class PolicyTests(ConnectedTestCase):
    """Who decides about money."""

    def pay(self, verdict: Any, seconds: float = 5.0) -> tuple[Policy, Deferred[Any]]:
        """Offer 100 units to a server with such a policy."""
        policy = Policy(verdict)
        self.listen(policy=policy)
        near = self.open()
        paid = near.transport.sendMoney(100)
        self.run_(seconds)
        return policy, paid

    def test_interface(self) -> None:
        """The policy of these tests is one."""
        verifyObject(IPaymentPolicy, Policy(True))

    def test_yes(self) -> None:
        """A yes lets money in; the policy has seen what it needs."""
        policy, paid = self.pay(True)
        self.assertTrue(self.successResultOf(paid).isComplete)
        request = policy.requests[-1]
        self.assertEqual(request.connectionTag, "tag")
        self.assertEqual(sum(part for _, part in request.streamAmounts), request.amount)
        self.assertEqual(sum(self.served.made[0].amounts), 100)

    def test_later(self) -> None:
        """So does a yes that comes later."""
        waiting: list[Deferred[bool]] = []

        def wait() -> Deferred[bool]:
            waiting.append(Deferred())
            return waiting[-1]

        _, paid = self.pay(wait)
        self.assertNoResult(paid)
        self.assertEqual(self.served.made[0].amounts, [])
        for _ in range(50):
            for deferred in waiting:
                if not deferred.called:
                    deferred.callback(True)
            self.run_(0.2)
        self.assertTrue(self.successResultOf(paid).isComplete)

    def refused(self, verdict: Any) -> None:
        """Nothing is credited."""
        _, paid = self.pay(verdict, 120)
        self.failureResultOf(paid, PaymentError)
        self.assertEqual(self.served.made[0].amounts, [])

    def test_no(self) -> None:
        """A no refuses."""
        self.refused(False)

    def test_noAnswer(self) -> None:
        """Anything but True is a no, at once or later."""
        self.refused(lambda: succeed("yes"))

    def test_raises(self) -> None:
        """A policy that raises refuses."""

        def explode() -> bool:
            raise ZeroDivisionError("on purpose")

        self.refused(explode)
        self.assertTrue(self.flushLoggedErrors(ZeroDivisionError))

    def test_fails(self) -> None:
        """A policy that fails refuses."""
        self.refused(lambda: fail(ZeroDivisionError("on purpose")))
        self.assertTrue(self.flushLoggedErrors(ZeroDivisionError))

    def test_notAsked(self) -> None:
        """It is not asked about what would be refused anyhow."""
        policy = Policy(True)

        class Miser(HalfRecorder):
            def connectionMade(self) -> None:
                self.transport.setReceiveMax(0)

        self.listen(Miser, policy=policy)
        near = self.open()
        near.transport.sendMoney(100).addErrback(lambda failure: failure.trap(PaymentError))
        self.run_(5)
        self.assertEqual(policy.requests, [])
