"""Tests of C{txilpstream.session.streams.money}."""

from __future__ import annotations

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txilpstream.amounts import U64_MAX, Ratio
from txilpstream.session.streams.money import MoneyReceiver, MoneySender
from txilpstream.test.support.strategies import forAll, uint64


class MoneySenderTests(SynchronousTestCase):
    """Money going out."""

    def offering(self, amount: int) -> MoneySender:
        """A sender that was offered so much."""
        sender = MoneySender()
        sender.sendMax = amount
        return sender

    def test_settled(self) -> None:
        """What is fulfilled is sent, and what arrived is counted as told and as proved."""
        sender = self.offering(100)
        self.assertEqual((sender.unsent, sender.left), (100, 0))
        sender.hold(60, 120)
        self.assertEqual((sender.unsent, sender.left, sender.held), (40, 60, 60))
        self.assertEqual(sender.heldDelivery, 120)
        sender.settle(60, 120, 118, 119)
        self.assertEqual((sender.unsent, sender.left, sender.held), (40, 60, 0))
        self.assertEqual((sender.sent, sender.heldDelivery), (60, 0))
        self.assertEqual((sender.deliveredMinimum, sender.deliveredClaimed), (118, 119))

    def test_released(self) -> None:
        """What is refused is offered again."""
        sender = self.offering(100)
        sender.hold(60, 120)
        sender.release(60, 120)
        self.assertEqual((sender.unsent, sender.left, sender.heldDelivery), (100, 0, 0))

    def test_doubt(self) -> None:
        """What is not answered is not offered again, and may have arrived."""
        sender = self.offering(100)
        sender.hold(60, 120)
        sender.doubt(60, 120)
        self.assertEqual((sender.unsent, sender.left), (40, 60))
        self.assertEqual((sender.held, sender.unanswered, sender.heldDelivery), (0, 60, 120))
        self.assertEqual((sender.sent, sender.deliveredClaimed), (0, 0))

    def test_doubtSettled(self) -> None:
        """A late fulfill makes what was in doubt sent."""
        sender = self.offering(100)
        sender.hold(60, 120)
        sender.doubt(60, 120)
        sender.settleDoubt(60, 120, 118, 119)
        self.assertEqual((sender.unsent, sender.held, sender.unanswered), (40, 0, 0))
        self.assertEqual((sender.sent, sender.heldDelivery), (60, 0))
        self.assertEqual((sender.deliveredMinimum, sender.deliveredClaimed), (118, 119))

    def test_recalledInDoubt(self) -> None:
        """What was recalled and is in doubt does not come back; nothing of it is offered again."""
        for end in ("doubt", "settle"):
            sender = MoneySender()
            sender.sendMax = 60
            sender.hold(60, 120)
            self.assertEqual((sender.recall(60), sender.recalled), (0, 60))
            if end == "doubt":
                sender.doubt(60, 120)
            else:
                sender.settle(60, 120, 120, 120)
            self.assertEqual((sender.recalled, sender.unsent, sender.sendMax), (0, 0, 60))

    def test_doubtReleased(self) -> None:
        """A late reject offers again what was in doubt."""
        sender = self.offering(100)
        sender.hold(60, 120)
        sender.doubt(60, 120)
        sender.releaseDoubt(60, 120)
        self.assertEqual((sender.unsent, sender.left, sender.heldDelivery), (100, 0, 0))

    def test_recalled(self) -> None:
        """What has left and was recalled is not offered again when it comes back."""
        sender = self.offering(100)
        sender.hold(60, 120)
        self.assertEqual(sender.recall(70), 40)
        self.assertEqual((sender.unsent, sender.held, sender.recalled), (0, 60, 30))
        sender.release(60, 120)
        self.assertEqual((sender.unsent, sender.left, sender.recalled), (30, 0, 0))

    def test_recalledLast(self) -> None:
        """What comes through is that of others first, and of what is recalled then."""
        sender = self.offering(200)
        sender.hold(100, 0)
        sender.hold(100, 0)
        sender.recall(100)
        sender.settle(100, 0, 0, 0)
        sender.release(100, 0)
        self.assertEqual((sender.unsent, sender.sent, sender.recalled), (0, 100, 0))
        sender = self.offering(100)
        sender.hold(100, 0)
        sender.recall(50)
        sender.sendMax += 30
        sender.settle(100, 0, 0, 0)
        # Of 80 that others wait for and 50 that nobody does, 100 are sent: nothing is missing.
        self.assertEqual((sender.unsent, sender.recalled), (0, 0))

    @forAll(st.data(), examples=300)
    def test_recallInvariants(self, data: st.DataObject) -> None:
        """
        Whatever happens, there is as much as those wait for who did not give up, and what is
        recalled never leaves again.
        """
        sender = MoneySender()
        held: list[int] = []
        wanted = 0
        actions = st.sampled_from(["offer", "hold", "settle", "release", "doubt", "recall"])
        for action in data.draw(st.lists(actions, max_size=60)):
            if action == "offer":
                amount = data.draw(st.integers(0, 1000))
                sender.sendMax += amount
                wanted += amount
            elif action == "recall":
                amount = data.draw(st.integers(0, wanted))
                sender.recall(amount)
                wanted -= amount
            elif action == "hold" and sender.unsent:
                held.append(data.draw(st.integers(1, sender.unsent)))
                sender.hold(held[-1], 0)
            elif held and action in ("settle", "doubt", "release"):
                amount = held.pop(data.draw(st.integers(0, len(held) - 1)))
                if action == "release":
                    sender.release(amount, 0)
                else:
                    wanted -= min(wanted, amount)
                    if action == "settle":
                        sender.settle(amount, 0, 0, 0)
                    else:
                        sender.doubt(amount, 0)
            self.assertEqual(sender.unsent + sender.held, wanted + sender.recalled)
            self.assertLessEqual(sender.recalled, sender.held)
            self.assertGreaterEqual(sender.recalled, 0)
            self.assertEqual(sender.held, sum(held))

    def test_withdraw(self) -> None:
        """What has not left can be taken back, once."""
        sender = self.offering(100)
        sender.hold(60, 120)
        self.assertEqual(sender.withdraw(), 40)
        self.assertEqual((sender.sendMax, sender.unsent, sender.left), (60, 0, 60))
        self.assertEqual(sender.withdraw(), 0)

    def test_peerRoom(self) -> None:
        """Until the peer says otherwise it takes anything; then, no more than it says."""
        sender = self.offering(1000)
        sender.hold(10, 20)
        self.assertEqual(sender.peerRoom, U64_MAX)
        self.assertTrue(sender.hear(100, 0))
        self.assertEqual(sender.peerRoom, 80)
        sender.settle(10, 20, 19, 25)
        self.assertEqual(sender.peerRoom, 75)
        self.assertFalse(sender.hear(100, 40))
        self.assertEqual(sender.peerRoom, 60)
        self.assertFalse(sender.hear(100, 30))
        self.assertEqual((sender.peerRoom, sender.peerReceived), (60, 40))
        sender.hold(50, 100)
        self.assertEqual(sender.peerRoom, 0)

    def test_doubtTakesRoom(self) -> None:
        """What may have arrived takes the peer's room until it is known."""
        sender = self.offering(1000)
        sender.hear(100, 0)
        sender.hold(10, 30)
        sender.doubt(10, 30)
        self.assertEqual(sender.peerRoom, 70)
        sender.releaseDoubt(10, 30)
        self.assertEqual(sender.peerRoom, 100)

    def test_hear(self) -> None:
        """The first word counts, even 0; later ones only grow; without a limit is without."""
        sender = MoneySender()
        self.assertTrue(sender.hear(0, 0))
        self.assertEqual((sender.peerMax, sender.peerRoom), (0, 0))
        self.assertFalse(sender.hear(0, 0))
        self.assertTrue(sender.hear(10, 0))
        self.assertFalse(sender.hear(9, 0))
        self.assertEqual(sender.peerMax, 10)
        self.assertTrue(sender.hear(U64_MAX, 5))
        self.assertEqual(sender.peerRoom, U64_MAX)

    @forAll(st.data(), examples=200)
    def test_conserved(self, data: st.DataObject) -> None:
        """
        Offered = unsent + held + sent + unanswered, whatever happens; no part is ever negative;
        what counts as on its way is what the packets without an end are expected to deliver.
        """
        sender = MoneySender()
        held: list[tuple[int, int]] = []
        doubtful: list[tuple[int, int]] = []
        offered = sent = 0
        for action in data.draw(
            st.lists(
                st.sampled_from(["offer", "hold", "settle", "release", "doubt", "withdraw"]),
                max_size=60,
            )
        ):
            if action == "offer":
                amount = data.draw(st.integers(0, 1000))
                sender.sendMax += amount
                offered += amount
            elif action == "hold" and sender.unsent:
                packet = (data.draw(st.integers(1, sender.unsent)), data.draw(uint64))
                sender.hold(*packet)
                held.append(packet)
            elif action == "withdraw":
                offered -= sender.withdraw()
                self.assertEqual(sender.unsent, 0)
            elif action == "doubt" and held:
                packet = held.pop(data.draw(st.integers(0, len(held) - 1)))
                sender.doubt(*packet)
                doubtful.append(packet)
            elif action in ("settle", "release") and (held or doubtful):
                index = data.draw(st.integers(0, len(held) + len(doubtful) - 1))
                isDoubtful = index >= len(held)
                packet = doubtful.pop(index - len(held)) if isDoubtful else held.pop(index)
                if action == "settle":
                    settle = sender.settleDoubt if isDoubtful else sender.settle
                    settle(*packet, packet[1] // 2, packet[1])
                    sent += packet[0]
                else:
                    release = sender.releaseDoubt if isDoubtful else sender.release
                    release(*packet)
            self.assertEqual(sender.sendMax, offered)
            self.assertEqual(offered, sender.unsent + sender.held + sender.sent + sender.unanswered)
            self.assertEqual(sender.left, offered - sender.unsent)
            self.assertGreaterEqual(sender.unsent, 0)
            self.assertEqual(sender.held, sum(amount for amount, _ in held))
            self.assertEqual(sender.unanswered, sum(amount for amount, _ in doubtful))
            self.assertEqual(sender.sent, sent)
            self.assertEqual(
                sender.heldDelivery, sum(expected for _, expected in [*held, *doubtful])
            )
            self.assertLessEqual(sender.deliveredMinimum, sender.deliveredClaimed)


class MoneyReceiverTests(SynchronousTestCase):
    """Money coming in."""

    def test_limit(self) -> None:
        """Without a tolerance the limit is exact; only what is fulfilled is credited."""
        receiver = MoneyReceiver()
        self.assertFalse(receiver.isTold)
        self.assertFalse(receiver.takes(1, Ratio(1)))
        receiver.receiveMax = 100
        self.assertTrue(receiver.takes(100, Ratio(0)))
        self.assertFalse(receiver.takes(101, Ratio(0)))
        self.assertEqual(receiver.totalReceived, 0)
        receiver.credit(60)
        self.assertEqual(receiver.totalReceived, 60)
        self.assertTrue(receiver.takes(40, Ratio(0)))
        self.assertFalse(receiver.takes(41, Ratio(0)))

    def test_tolerance(self) -> None:
        """The tolerance is a part of what remains, rounded up; of nothing it is nothing."""
        receiver = MoneyReceiver()
        receiver.receiveMax = 150
        tolerance = Ratio(1, 100)
        self.assertTrue(receiver.takes(152, tolerance))
        self.assertFalse(receiver.takes(153, tolerance))
        receiver.credit(149)
        self.assertTrue(receiver.takes(2, tolerance))
        self.assertFalse(receiver.takes(3, tolerance))
        receiver.credit(1)
        self.assertFalse(receiver.takes(1, tolerance))

    def test_nothing(self) -> None:
        """
        No money is taken whatever the limit, even one that was exceeded by the tolerance: a
        packet without money was refused then.
        """
        receiver = MoneyReceiver()
        self.assertTrue(receiver.takes(0, Ratio(0)))
        receiver.receiveMax = 10
        receiver.credit(11)
        self.assertTrue(receiver.takes(0, Ratio(1, 100)))
        self.assertFalse(receiver.takes(1, Ratio(1, 100)))

    def test_last(self) -> None:
        """
        No tolerance lets a total exceed 64 bits, which no frame could tell the peer.
        """
        receiver = MoneyReceiver()
        receiver.receiveMax = U64_MAX
        receiver.credit(5)
        self.assertTrue(receiver.takes(U64_MAX - 5, Ratio(1, 100)))
        self.assertFalse(receiver.takes(U64_MAX - 4, Ratio(1, 100)))

    @forAll(uint64, st.integers(0, 100), st.lists(uint64, max_size=20))
    def test_credited(self, limit: int, percent: int, amounts: list[int]) -> None:
        """Credited never exceeds the limit by more than the tolerance, nor 64 bits."""
        receiver = MoneyReceiver()
        receiver.receiveMax = limit
        tolerance = Ratio(percent, 100)
        for amount in amounts:
            before = receiver.totalReceived
            accepted = receiver.takes(amount, tolerance)
            if accepted:
                receiver.credit(amount)
            elif before <= limit:
                self.assertGreater(before + amount, limit)
            self.assertEqual(receiver.totalReceived, before + (amount if accepted else 0))
        self.assertLessEqual(receiver.totalReceived, min(limit + tolerance.ceil(limit), U64_MAX))
