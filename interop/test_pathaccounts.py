"""ilp-plugin-mini-accounts: one door of a connector's, to which many come over BTP."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import sha256

from connectors import PACKET, Connector, PathTestCase, overAccounts
from twisted.internet import reactor

from txilpstream import Account, ConnectionEnded, pay, pluginFromString

PEER = "ilp-plugin-mini-accounts"

AMOUNT = 100 * PACKET + 1


class AccountsTests(PathTestCase):
    """Ours come with a name, or with a token only."""

    async def setUp(self) -> None:
        await super().setUp()
        self.there: Connector = await self.connector({"local": overAccounts()})

    def url(self, user: str = "", token: str = "") -> str:
        """How an account comes."""
        return self.there.btp("local", user, token)

    async def test_name(self) -> None:
        """The user name of our URL is the segment of our address, and we can be paid there."""
        payer = await self.open(self.url("alice", "one"))
        payee = await self.open(self.url("bob", "two"))
        self.assertEqual(payer.address, "test.conn.local.alice")
        self.assertEqual(payee.address, "test.conn.local.bob")
        house = await self.house(payee)
        terms = {"sourceAmount": AMOUNT, "data": b"words"}
        result = await pay(payer, house.credentials(), **terms)
        self.assertEqual((result.sent, house.total, house.data), (AMOUNT, AMOUNT, b"words"))
        self.cell("one-way", PEER, "path", "We pay ourselves by name: not a unit is lost.")

    async def test_token(self) -> None:
        """Without a name the address is made of the token, as the plugin makes it."""
        payer = await self.open(self.url(token="one"))
        segment = urlsafe_b64encode(sha256(b"one").digest()).decode().rstrip("=")
        self.assertEqual(payer.address, f"test.conn.local.{segment}")
        server = await self.theirServer(self.url(token="two"))
        result = await pay(payer, await self.theirCredentials(server), sourceAmount=AMOUNT)
        self.assertEqual(result.sent, AMOUNT)
        await self.theyReceived(server, AMOUNT)
        self.cell("one-way", PEER, "path", "We pay ilp-protocol-stream, known by tokens only.")

    async def test_theirClient(self) -> None:
        """The JavaScript client pays us."""
        client = self.node("client.js", self.url("alice", "one"))
        house = await self.house(await self.open(self.url("bob", "two")))
        await client.hear("ready")
        paid = await self.theyPay(client, house.credentials(), AMOUNT, "words")
        self.assertEqual((*paid, house.total, house.data), (*(AMOUNT,) * 3, b"words"))
        self.cell("one-way", PEER, "path", "ilp-protocol-stream pays us, with data.")

    async def test_refusal(self) -> None:
        """A name that somebody has is refused with another token, and he stays connected."""
        payee = await self.open(self.url("bob", "two"))
        plugin = pluginFromString(reactor, self.url("bob", "wrong"))
        await self.assertFailure(Account.open(reactor, plugin), ConnectionEnded)
        house = await self.house(payee)
        payer = await self.open(self.url("alice", "one"))
        result = await pay(payer, house.credentials(), sourceAmount=AMOUNT)
        self.assertEqual((result.sent, house.total), (AMOUNT, AMOUNT))
        self.cell("refusal", PEER, "path", "A wrong token for our name is refused; we stay.")
