"""
Addresses, receipts and stateless receivers: what one end makes and the other, or a third, checks.

Where a server of one kind takes the place of one of the other, it comes to the same account of the
hub with the same secret, as after a move from one implementation to the other.
"""

from __future__ import annotations

from hashlib import sha256

from streamends import KeeperFactory, StreamTestCase
from twisted.internet import reactor

from txilpstream import (
    Account,
    StatelessReceiver,
    StreamServer,
    decodeReceipt,
    pay,
    pluginFromString,
    verifyReceipt,
)
from txilpstream.hub.accounts import AccountOptions
from txilpstream.ledger.memory import MemoryTotals

SECRET = bytes(range(32))
"""Of the servers."""

NONCE = bytes(range(16))

RECEIPT_SECRET = bytes(range(100, 132))

WRONG = bytes(32)

AMOUNT = 1000

TAG = "invoice-7"

THEIR_TOKEN = {"tag": TAG, "nonce": NONCE.hex(), "receiptSecret": RECEIPT_SECRET.hex()}
OUR_TOKEN = {"connectionTag": TAG, "receiptNonce": NONCE, "receiptSecret": RECEIPT_SECRET}
"""What either server is to write into its addresses."""


class AddressTestCase(StreamTestCase):
    """
    What these tests share.

    @ivar where: the URL with which whoever is the shop comes to the hub.
    """

    where: str

    def checkReceipt(self, receipt: bytes, total: int) -> None:
        """See that a receipt proves a total on the first stream, and is signed."""
        proved = verifyReceipt(receipt, RECEIPT_SECRET)
        assert proved is not None
        self.assertEqual((proved.nonce, proved.streamID, proved.totalReceived), (NONCE, 1, total))
        self.assertIsNone(verifyReceipt(receipt, WRONG))

    async def checkTheirs(self, receipt: str, total: int) -> None:
        """Let the peer see the same."""
        orders = {"do": "verify", "receipt": receipt, "mayFail": True}
        proved = await self.theirs.ask("verified", secret=RECEIPT_SECRET.hex(), **orders)
        self.assertEqual((proved["nonce"], proved["stream"]), (NONCE.hex(), 1))
        self.assertEqual(proved["total"], str(total))
        refused = await self.theirs.ask("failed", secret=WRONG.hex(), **orders)
        self.assertIn("hmac", refused["message"])

    async def shop(self) -> Account:
        """Our end of the account at which servers take turns."""
        account = await Account.open(reactor, pluginFromString(reactor, self.where))
        self.addCleanup(account.close)
        return account


class PayerTests(AddressTestCase):
    """It pays us."""

    async def test_receipts(self) -> None:
        """Receipts of ours grow with what it pays, and it finds them genuine."""
        self.plugin = await self.bring()
        await self.serve(self.ours)
        await self.connectThem(self.server.generateCredentials(**OUR_TOKEN))
        keeper = await self.openTheirs()
        for total in (AMOUNT, 3 * AMOUNT):
            self.order(keeper, "offer", amount=total)
            said = await self.streamReport(
                keeper, lambda said, total=total: said["sent"] == str(total)
            )
            await self.checkTheirs(said["receipt"], total)
        outcome = "It has one for each total, and finds them genuine."
        self.cell("receipts-ours", self.peer, "payer", outcome)

    async def test_addresses(self) -> None:
        """What its server has given out is good at ours, with tag and receipts."""
        self.plugin = self.btp("them")
        self.where = self.btp("shop")
        self.theirs = self.driver()
        orders = {"plugin": self.where, "serverSecret": SECRET.hex()}
        await self.theirs.ask("listening", do="serve", **orders)
        credentials = await self.credentials(**THEIR_TOKEN)
        await self.theirs.end()
        self.theirs = self.driver()
        self.factory = KeeperFactory()
        await self.serve(await self.shop(), SECRET)
        await self.connectThem(credentials)
        keeper = await self.offer(AMOUNT)
        said = await self.streamReport(keeper, lambda said: said["sent"] == str(AMOUNT))
        self.assertEqual(keeper.amounts, [AMOUNT])
        self.assertEqual(keeper.transport.getPeer().connectionTag, TAG)
        self.checkReceipt(bytes.fromhex(said["receipt"]), AMOUNT)
        outcome = "They are good, with their tags and receipts."
        self.cell("addresses-theirs", self.peer, "payer", outcome)

    async def test_stateless(self) -> None:
        """It pays a receiver that keeps nothing but totals, in many packets."""
        self.plugin = await self.bring(them=AccountOptions(maximumPacketAmount=AMOUNT))
        store = MemoryTotals()
        asked: list[int] = []
        receiver = StatelessReceiver(
            self.ours, SECRET, store, accept=lambda request: asked.append(request.amount) or True
        )
        await receiver.start()
        self.addCleanup(receiver.stop)
        credentials = receiver.generateCredentials(**OUR_TOKEN)
        await self.theirs.ask("connected", do="connect", **self.orderFor(credentials))
        opened = await self.theirs.ask("opened", do="open")
        self.theirs.say(do="offer", stream=opened["stream"], amount=10 * AMOUNT)
        said = await self.whenReport(lambda said: said["sent"] == str(10 * AMOUNT))
        self.assertEqual(asked, [AMOUNT] * 10)
        connectionID = sha256(credentials.destinationAddress.encode()).hexdigest()
        self.assertEqual(store.total(connectionID), 10 * AMOUNT)
        self.assertEqual(self.hub.accounts["us"].totalReceived, 10 * AMOUNT)
        receipt = said["streams"][0]["receipt"]
        self.assertEqual(decodeReceipt(bytes.fromhex(receipt)).totalReceived, 10 * AMOUNT)
        await self.checkTheirs(receipt, 10 * AMOUNT)
        await self.theirs.ask("closed", do="close")
        outcome = "It pays one of ours, and has receipts."
        self.cell("stateless", self.peer, "payer", outcome)


class PayeeTests(AddressTestCase):
    """We pay it."""

    role = "payee"

    async def test_receipts(self) -> None:
        """Its receipts grow with what we pay, and we find them genuine."""
        await self.meet(tokens=THEIR_TOKEN)
        keeper = await self.openOurs()
        for total in (AMOUNT, 3 * AMOUNT):
            await keeper.transport.sendMoney(total - keeper.transport.totalSent)
            self.checkReceipt(keeper.transport.receipt, total)
        outcome = "We have one for each total, and find them genuine."
        self.cell("receipts-theirs", self.peer, "payee", outcome)

    async def test_addresses(self) -> None:
        """What our server has given out is good at its, with tag and receipts."""
        self.where = self.btp("shop")
        account = await self.shop()
        credentials = StreamServer(account, SECRET).generateCredentials(**OUR_TOKEN)
        await account.close()
        self.theirs = self.driver()
        orders = {"plugin": self.where, "serverSecret": SECRET.hex()}
        await self.theirs.ask("listening", do="serve", **orders)
        result = await pay(await self.account("us"), credentials, sourceAmount=AMOUNT)
        said = await self.report()
        self.assertEqual((said["tag"], said["received"]), (TAG, str(AMOUNT)))
        self.checkReceipt(result.receipt, AMOUNT)
        outcome = "They are good, with their tags and receipts."
        self.cell("addresses-ours", self.peer, "payee", outcome)


class AlphaPayerTests(PayerTests):
    """The latest pays us."""

    peer = "ilp-protocol-stream-alpha"


class AlphaPayeeTests(PayeeTests):
    """We pay the latest."""

    peer = "ilp-protocol-stream-alpha"
