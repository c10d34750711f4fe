"""
What @interledger/stream-receiver says, shows and keeps: receipts, refusals, addresses.
"""

from __future__ import annotations

import os
import time

from test_receiver import USD, ReceiverScene

from txilpstream import (
    Credentials,
    PaymentError,
    PaymentRequest,
    ReceiptVerifier,
    StatelessReceiver,
    StreamFactory,
    StreamProtocol,
    StreamServer,
    pay,
    quote,
    verifyReceipt,
)
from txilpstream.crypto.tokens import STREAM_RECEIVER
from txilpstream.hub.accounts import AccountOptions
from txilpstream.ledger.memory import MemoryTotals

NO_DATA = "it takes no data, and does not say so"

OWN_ONLY = "it reads no tokens but its own"


class ReceiverAnswersTests(ReceiverScene):
    """
    The older version.

    @ivar isLatest: whether it shows data to its application, and lets it say why it refuses.
    """

    isLatest = False

    async def test_receipts(self) -> None:
        """The greatest receipt proves the whole amount."""
        await self.start()
        verifier = ReceiptVerifier(os.urandom(32))
        setup = verifier.issue(time.time())
        credentials = await self.credentials(
            nonce=setup.nonce.hex(), receiptSecret=setup.secret.hex(), tag="invoice-1", asset=USD
        )
        account = await self.account("payer", AccountOptions(maximumPacketAmount=500))
        result = await pay(account, credentials, sourceAmount=2500)
        totals = await self.assertPaid(result, 2500, 2500)
        self.assertEqual(totals["tag"], "invoice-1")
        receipt = verifyReceipt(result.receipt, setup.secret)
        assert receipt is not None
        found = receipt.nonce, receipt.streamID, receipt.totalReceived
        self.assertEqual(found, (setup.nonce, 1, 2500))
        self.assertEqual(verifier.accept(result.receipt, time.time()), 2500)
        self.cell("receipts-theirs", self.peer, "payee", "The greatest is kept, and verified.")

    async def test_refusal(self) -> None:
        """It refuses for good, then for now, then no more."""
        await self.start()
        account = await self.account("payer")
        order = {"how": "final", "times": 1, "reason": "sold out"}
        await self.receiver.ask("declining", wanted="decline", **order)
        error = await self.fails(account, await self.credentials(), sourceAmount=1000)
        self.assertEqual((error.result.sent, error.result.inDoubt), (0, 0))
        self.assertEqual("sold out" in str(error), self.isLatest)
        await self.receiver.ask("declining", wanted="decline", how="temporary", times=3)
        result = await pay(account, await self.credentials(), sourceAmount=1000)
        await self.assertPaid(result, 1000, 1000)
        told = "with its reason" if self.isLatest else "without a reason, which it cannot give"
        outcome = f"For good: we stop, {told}, and nothing is sent. For now: we try again and pay."
        self.cell("refusal", self.peer, "payee", outcome)

    async def test_stateless(self) -> None:
        """A quote and two payments on the same key, each of which begins its sequences again."""
        await self.start()
        account, credentials = await self.account("payer"), await self.credentials(asset=USD)
        offer = await quote(account, credentials, sourceAmount=1000)
        self.assertEqual(offer.destinationAmount, 990)
        for again in (1, 2):
            result = await pay(account, credentials, sourceAmount=1000)
            self.assertEqual(result.deliveredClaimed, 1000)
            self.assertEqual((await self.totals())["amount"], str(1000 * again))
        outcome = "Paid after a quote, and again, on the same key."
        self.cell("stateless", self.peer, "payee", outcome)

    async def test_addressesTheirs(self) -> None:
        """An address of its making, with all it can say, comes to our server, then to our other."""
        await self.start()
        verifier = ReceiptVerifier(os.urandom(32))
        requests: list[PaymentRequest] = []

        class Policy:
            def judgePayment(self, request: PaymentRequest) -> bool:
                requests.append(request)
                return True

        account, payer = await self.account("ours"), await self.account("payer")
        formats = [STREAM_RECEIVER]
        server = StreamServer(account, self.secret, policy=Policy(), tokenFormats=formats)
        await server.listen(StreamFactory.forProtocol(StreamProtocol))
        for again in (1, 2):
            setup = verifier.issue(time.time())
            credentials = await self.credentials(
                at=account.address,
                nonce=setup.nonce.hex(),
                receiptSecret=setup.secret.hex(),
                tag=f"invoice-{again}",
                asset=USD,
            )
            result = await pay(payer, credentials, sourceAmount=1000)
            self.assertEqual(result.deliveredClaimed, 1000)
            self.assertEqual(requests[-1].connectionTag, f"invoice-{again}")
            self.assertEqual(verifier.accept(result.receipt, time.time()), 1000)
            if again == 1:
                await server.stopListening()
                other = StatelessReceiver(
                    account,
                    self.secret,
                    MemoryTotals(),
                    accept=Policy().judgePayment,
                    tokenFormats=formats,
                )
                await other.start()
        self.assertEqual((await self.totals())["amount"], "0")
        outcome = "With the same secret both our servers read tag, receipts and asset."
        self.cell("addresses-theirs", self.peer, "payee", outcome)

    async def unread(self) -> PaymentError:
        """Pay to an address of our making that comes to it."""
        await self.start()
        account = await self.account("payer")
        maker = StreamServer(await self.account("maker"), self.secret)
        made = maker.generateCredentials()
        token = made.destinationAddress.rpartition(".")[2]
        credentials = Credentials(f"{self.hub.address}.payee.{token}", made.sharedSecret)
        return await self.fails(account, credentials, sourceAmount=1000)

    async def test_addressesOurs(self) -> None:
        """It reads none that we make."""
        error = await self.unread()
        self.assertEqual((error.result.sent, error.result.inDoubt), (0, 0))
        self.assertIn("F06", str(error))
        outcome = "It refuses them (F06); nothing is sent, and our payer says so."
        self.cell("addresses-ours", self.peer, "payee", outcome, OWN_ONLY)

    async def test_rejectsTold(self) -> None:
        """What ended the payment stands among the rejects that its error lists."""
        error = await self.unread()
        self.assertEqual([reject.code for reject in error.result.rejects], ["F06"])

    async def test_data(self) -> None:
        """Data beside the money."""
        await self.start()
        account = await self.account("payer")
        data = b"invoice 7"
        result = await pay(account, await self.credentials(), sourceAmount=1000, data=data)
        totals = await self.assertPaid(result, 1000, 1000)
        self.assertEqual(totals["data"], data.decode() if self.isLatest else "")
        if self.isLatest:
            outcome, fault = "Paid, and the data beside it reach its application.", ""
        else:
            outcome, fault = "Paid; the data beside it are passed over.", NO_DATA
        self.cell("money-data", self.peer, "payee", outcome, fault)

    async def test_restart(self) -> None:
        """It is killed in the middle of a payment, and started again with the same secret."""
        url = self.btp("payee")
        await self.startAt(url)
        sent: list[int] = [0]
        paid = pay(
            await self.account("payer"),
            await self.credentials(),
            sourceAmount=4000,
            options={"maximumPacketAmount": 100, "maximumPacketsPerSecond": 40},
            progress=lambda result: sent.append(result.sent),
        )
        await self.until(lambda: sent[-1] >= 2000)
        await self.receiver.end()
        await self.startAt(url)
        result = await paid
        self.assertEqual((result.sent, result.deliveredClaimed, result.inDoubt), (4000, 4000, 0))
        self.assertEqual(self.hub.accounts["payee"].balance, 4000)
        self.assertIn(int((await self.totals())["amount"]), range(1, 2001))
        self.assertTrue(any(reject.code[0] == "T" for reject in result.rejects))
        outcome = "Paid in full by one payment, the second half to the new process."
        self.cell("restart", self.peer, "payee", outcome)


class LatestReceiverAnswersTests(ReceiverAnswersTests):
    """The newer version."""

    peer = "stream-receiver-latest"
    isLatest = True

    async def test_probes(self) -> None:
        """Its answers to packets that cannot be fulfilled are understood here, and not by pay."""
        await self.start()
        account = await self.account("payer")
        offer = await quote(account, await self.credentials(asset=USD), sourceAmount=1000)
        self.assertEqual((offer.expectedDelivery, offer.destinationAsset), (1000, ("USD", 9)))
        node = self.node("payer.js", "pay-alpha", self.btp("other"))
        await node.hear("ready")
        credentials = await self.credentials(asset=USD)
        quoted = await node.ask(
            "quoted",
            wanted="quote",
            address=credentials.destinationAddress,
            secret=credentials.sharedSecret.hex(),
            amount="1000",
            slippage=0.01,
            asset=USD,
        )
        self.assertEqual(quoted.get("error"), "ConnectorError")
        outcome = (
            "We read the rate in its answer to a quote (F05), at which pay 0.4.0-alpha.9 ends."
        )
        self.cell("one-way", self.peer, "payee", outcome)
