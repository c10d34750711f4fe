"""Money between our ends and those of ilp-protocol-stream."""

from __future__ import annotations

from typing import Any

from streamends import Keeper, StreamTestCase
from zope.interface import implementer

from txilpstream import IPaymentPolicy, PaymentError, PaymentRequest, Ratio, Refusal, pay
from txilpstream.amounts import U64_MAX
from txilpstream.hub.accounts import AccountOptions

AMOUNT = 1_000_000

SMALL = AccountOptions(maximumPacketAmount=10_000)
"""An account whose money takes many packets."""

EURO = AccountOptions(assetCode="EUR")

PRICES = {"EUR": Ratio.fromString("1.08"), "USD": Ratio(1)}


@implementer(IPaymentPolicy)
class Answers:
    """
    A policy that gives the answers that it was told to give, and says yes when there are no more.

    @ivar asked: all that it was asked about.
    """

    def __init__(self, *answers: bool | Refusal) -> None:
        self.asked: list[PaymentRequest] = []
        self._answers = list(answers)

    def judgePayment(self, request: PaymentRequest) -> bool | Refusal:
        """Give the next answer."""
        self.asked.append(request)
        return self._answers.pop(0) if self._answers else True


class BothTests:
    """What is the same whoever is the client."""

    async def test_bothWays(self: Any) -> None:
        """Four streams, of which either end has opened some, carry money both ways at once."""
        await self.meet(us=SMALL, them=SMALL)
        keepers = [await self.open() for _ in range(3)]
        keepers.append(await (self.openOurs if self.role == "payer" else self.openTheirs)())
        for index, keeper in enumerate(keepers):
            self.order(keeper, "offer", amount=100_000 + index)
            keeper.transport.offerMoney(200_000 + index)
        totals = 400_006, 800_006
        await self.whenReport(lambda said: (int(said["sent"]), int(said["received"])) == totals, 30)
        await self.checkBooks()
        said = await self.report()
        for index, keeper in enumerate(keepers):
            self.assertEqual(keeper.transport.totalReceived, 100_000 + index)
            self.assertEqual(said["streams"][index]["received"], str(200_000 + index))
        outcome = "All that either end sent on four streams arrived."
        self.cell("both-ways", self.peer, self.role, outcome)

    async def test_mostMoney(self: Any) -> None:
        """2^63 units, and then as many as there can be."""
        await self.meet()
        keeper = await self.open()
        for total in (2**63, U64_MAX):
            if self.role == "payer":
                self.order(keeper, "offer", amount=str(total))
                await self.whenReport(lambda said, total=total: said["sent"] == str(total))
                self.assertEqual(keeper.transport.totalReceived, total)
            else:
                result = await keeper.transport.sendMoney(total - keeper.transport.totalSent)
                self.assertEqual(result.inDoubt, 0)
                said = await self.streamReport(keeper)
                self.assertEqual(said["received"], str(total))
        await self.checkBooks()
        outcome = "They arrive, and then another 2^63 - 1."
        self.cell("2-to-the-63", self.peer, self.role, outcome)


class PayerTests(BothTests, StreamTestCase):
    """It pays us."""

    async def checkAll(self, keeper: Keeper, amount: int) -> None:
        """Wait until all has been sent, and see that all has arrived."""
        await self.whenReport(lambda said: int(said["sent"]) == amount)
        await self.checkBooks()
        self.assertEqual((await self.report())["delivered"], str(amount))
        self.assertEqual(keeper.transport.totalReceived, amount)

    async def test_oneWay(self) -> None:
        """All that it sends arrives."""
        await self.meet()
        await self.checkAll(await self.offer(AMOUNT), AMOUNT)
        self.cell("one-way", self.peer, "payer", "All that it sends arrives.")

    async def test_oneUnit(self) -> None:
        """As little as there can be."""
        await self.meet()
        keeper = await self.offer(1)
        await self.checkAll(keeper, 1)
        self.assertEqual(keeper.amounts, [1])
        self.cell("one-unit", self.peer, "payer", "It arrives.")

    async def test_tooLarge(self) -> None:
        """It learns from F08 what a packet may carry."""
        await self.meet(them=SMALL)
        keeper = await self.offer(AMOUNT)
        await self.checkAll(keeper, AMOUNT)
        self.assertEqual(max(keeper.amounts), 10_000)
        outcome = "It learns what a packet may carry, and all arrives in packets of that size."
        self.cell("f08", self.peer, "payer", outcome)

    async def test_assets(self) -> None:
        """What arrives is what the hub makes of it, and it knows our asset."""
        await self.setHub(prices=PRICES)
        await self.meet(us=EURO)
        keeper = await self.offer(1_080_007)
        said = await self.whenReport(lambda said: int(said["sent"]) == 1_080_007)
        self.assertEqual(keeper.transport.totalReceived, 1_000_006)
        self.assertEqual(said["delivered"], "1000006")
        self.assertEqual(said["asset"], ["EUR", 9])
        outcome = "It measures the rate and knows our asset; what arrives is right to the unit."
        self.cell("assets", self.peer, "payer", outcome)

    async def test_slippage(self) -> None:
        """While the rate is worse than it accepts, nothing moves; then all does."""
        rates = [Ratio(1)]
        await self.setHub(rates=lambda source, to: rates[-1])
        await self.meet(us=EURO)
        rates.append(Ratio(9, 10))
        keeper = await self.offer(AMOUNT)
        await self.sleep(0.5)
        said = await self.report()
        self.assertEqual((said["sent"], said["isClosed"], said["errors"]), ("0", False, []))
        self.assertEqual(keeper.amounts, [])
        rates.append(Ratio(995, 1000))
        await self.whenReport(lambda said: int(said["sent"]) == AMOUNT)
        self.assertEqual(keeper.transport.totalReceived, 995_000)
        outcome = "Nothing moves until the rate is better again."
        fault = "it repeats the refused packet at once and for ever."
        self.cell("slippage", self.peer, "payer", outcome, fault)

    async def test_refusal(self) -> None:
        """A no is repeated until there is a yes; a final one ends the connection."""
        policy = Answers(False, Refusal("not yet", isFinal=False), False, True, Refusal("sold out"))
        await self.meet(policy=policy)
        keeper = await self.offer(AMOUNT)
        await self.whenReport(lambda said: int(said["sent"]) == AMOUNT)
        self.assertEqual(keeper.amounts, [AMOUNT])
        self.assertEqual({each.amount for each in policy.asked}, {AMOUNT})
        self.order(keeper, "offer", amount=2 * AMOUNT)
        said = await self.whenReport(lambda said: said["isClosed"])
        self.assertEqual(said["sent"], str(AMOUNT))
        self.assertIn("sold out", said["errors"][0])
        await self.checkBooks()
        self.assertEqual(len(policy.asked), 5)
        outcome = "It tries again after a refusal; after a final one it ends, and tells why."
        self.cell("refusal", self.peer, "payer", outcome)


class PayeeTests(BothTests, StreamTestCase):
    """We pay it."""

    role = "payee"

    async def checkAll(self, result: Any, amount: int) -> None:
        """See that all was sent and has arrived."""
        figures = result.sent, result.deliveredClaimed, result.inDoubt
        self.assertEqual(figures, (amount, amount, 0))
        self.assertEqual((await self.report())["received"], str(amount))

    async def test_oneWay(self) -> None:
        """All that we send arrives."""
        credentials = await self.invite()
        result = await pay(self.ours, credentials, sourceAmount=AMOUNT)
        await self.checkAll(result, AMOUNT)
        self.cell("one-way", self.peer, "payee", "All that we send arrives.")

    async def test_mostInParts(self) -> None:
        """Three times 2^62 units: it counts some twice, and ends the connection at the third."""
        await self.meet()
        keeper = await self.open()
        for _ in range(2):
            await keeper.transport.sendMoney(2**62)
        error = await self.assertFailure(keeper.transport.sendMoney(2**62), PaymentError)
        self.assertEqual((error.result.sent, error.result.inDoubt), (0, 0))
        said = await self.whenReport(lambda said: said["isClosed"])
        self.assertEqual((said["sent"], said["received"]), ("0", str(2**63)))
        self.assertIn("exceeded MaxUint64", said["errors"][0])
        await self.checkBooks()
        outcome = "In parts of 2^62 only two arrive; the books agree."
        fault = "what it has received counts again with each packet against the most it can."
        self.cell("2-to-the-63", self.peer, "payee", outcome, fault)

    async def test_oneUnit(self) -> None:
        """As little as there can be, sent and delivered."""
        credentials = await self.invite()
        await self.checkAll(await pay(self.ours, credentials, sourceAmount=1), 1)
        again = await self.credentials()
        await self.checkAll(await pay(self.ours, again, destinationAmount=1), 1)
        self.cell("one-unit", self.peer, "payee", "It arrives.")

    async def test_tooLarge(self) -> None:
        """We learn from F08 what a packet may carry."""
        credentials = await self.invite(us=SMALL)
        result = await pay(self.ours, credentials, sourceAmount=AMOUNT)
        await self.checkAll(result, AMOUNT)
        self.assertEqual(result.rejects, ())
        stream = (await self.report())["streams"][0]
        self.assertEqual((stream["most"], stream["packets"]), ("10000", 100))
        outcome = "We learn it before any money leaves, and all arrives in packets of that size."
        self.cell("f08", self.peer, "payee", outcome)

    async def test_assets(self) -> None:
        """So much sent, to the unit; and so much delivered, by a unit more at the most."""
        await self.setHub(prices=PRICES)
        credentials = await self.invite(them=EURO)
        sent = await pay(self.ours, credentials, sourceAmount=1_080_007)
        self.assertEqual((sent.sent, sent.deliveredClaimed), (1_080_007, 1_000_006))
        delivered = await pay(self.ours, await self.credentials(), destinationAmount=AMOUNT)
        self.assertIn(delivered.deliveredClaimed, (AMOUNT, AMOUNT + 1))
        self.assertLess(delivered.sent - 1_080_000, 3)
        received = [int(each["received"]) for each in await self.reports()]
        self.assertEqual(received, [1_000_006, delivered.deliveredClaimed])
        outcome = "A fixed amount sent is right to the unit; one delivered, or a unit more."
        self.cell("assets", self.peer, "payee", outcome)

    async def test_slippage(self) -> None:
        """While the rate is worse than we accept, nothing moves; a wider slippage takes it."""
        await self.setHub(rates=lambda source, to: Ratio(9, 10))
        credentials = await self.invite(them=EURO)
        terms: dict[str, Any] = {"sourceAmount": AMOUNT, "rate": Ratio(1)}
        error = await self.assertFailure(pay(self.ours, credentials, **terms), PaymentError)
        self.assertEqual((error.result.sent, error.result.inDoubt), (0, 0))
        credentials = await self.credentials()
        result = await pay(self.ours, credentials, slippage=Ratio(1, 10), **terms)
        self.assertEqual((result.sent, result.deliveredClaimed), (AMOUNT, 900_000))
        outcome = "Nothing moves; with more slippage allowed, all does."
        self.cell("slippage", self.peer, "payee", outcome)

    async def test_refusal(self) -> None:
        """While its application refuses, nothing moves; then all does."""
        credentials = await self.invite()
        await self.theirs.ask("refusing", do="refuse", isOn=True)
        payment = pay(self.ours, credentials, sourceAmount=AMOUNT, timeout=1.0)
        error = await self.assertFailure(payment, PaymentError)
        self.assertEqual((error.result.sent, error.result.inDoubt), (0, 0))
        self.assertEqual([each.code for each in error.result.rejects], ["F99"])
        await self.theirs.ask("refusing", do="refuse", isOn=False)
        result = await pay(self.ours, await self.credentials(), sourceAmount=AMOUNT)
        await self.checkAll(result, AMOUNT)
        outcome = "Nothing moves while it refuses, and nothing is in doubt."
        self.cell("refusal", self.peer, "payee", outcome)


class AlphaPayerTests(PayerTests):
    """The latest pays us."""

    peer = "ilp-protocol-stream-alpha"


class AlphaPayeeTests(PayeeTests):
    """We pay the latest."""

    peer = "ilp-protocol-stream-alpha"
