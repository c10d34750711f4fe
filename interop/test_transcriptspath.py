"""
Transcripts of what stands between our ends: the connector, and the plugins that speak to us.
"""

from __future__ import annotations

import json
import os
from typing import Any

from connectors import Connector, overAccounts, overBTP
from processes import freePort
from recording import AMOUNT, RECEIPT_SECRET, WE_TAKE, Recording
from transcripts import Recorder, TappedEndpoint, begin, keep
from twisted.internet import reactor

from txilpstream import Account, pluginFromString, verifyReceipt
from txilpstream.test.support.ends import Chance
from txilpstream.test.support.wires import WireEnd, playWire

MOST = "2000"
"""Units that the connector takes in one packet."""

F08 = b"F08".hex()

TOKEN = "a-token"

PREPARE = (
    "0c460000000000000000323039363130303230373036343035303066687aadf862bd776c8fc18b8e9f8e200897"
    "14856ee233b3902a591d0d5f29250b706565722e636f6e66696700"
)
"""A request by IL-DCP, which is the same for everybody."""

FULFILL = (
    "0d340000000000000000000000000000000000000000000000000000000000000000130d746573742e6875622e"
    "6f7572730903555344"
)
"""The answer for C{test.hub.ours}."""


class ConnectorTests(Recording):
    """ilp-connector between two ends of ours, over BTP."""

    async def open(self, url: str, transcript: dict[str, Any]) -> tuple[Account, Recorder]:
        """An account at the connector that writes down."""
        recorder = Recorder(reactor, pluginFromString(reactor, url))
        account = await Account.open(reactor, recorder)
        account.randomBytes = Chance(os.urandom(16))
        self.addCleanup(account.close)
        self.describe(transcript, account)
        return account, recorder

    async def through(
        self, peer: str, urls: tuple[str, str]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """
        Pay from one account of the connector's to another one.

        @return: the transcripts, as the payer and as the payee sees it.
        """
        outward = begin(peer, "path", {"kind": "payer", "amount": AMOUNT})
        inward = begin(peer, "path", {"kind": "server", "say": "", "hear": 1, **WE_TAKE})
        account, seenByPayer = await self.open(urls[0], outward)
        payeeAccount, seenByPayee = await self.open(urls[1], inward)
        payee: Any = self.begun(inward, seenByPayee, payeeAccount)
        await self.over(payee)
        credentials = payee.makeCredentials()
        for each in (outward, inward):
            each["destination"] = credentials.destinationAddress
            each["sharedSecret"] = credentials.sharedSecret.hex()
        payer = self.begun(outward, seenByPayer, account)
        await self.over(payer)
        return (
            await self.kept(f"{peer}-outward", outward, seenByPayer, payer),
            await self.kept(f"{peer}-inward", inward, seenByPayee, payee),
        )

    def check(self, outward: dict[str, Any], inward: dict[str, Any]) -> None:
        """All arrived, in packets as small as the connector takes them."""
        self.assertEqual(inward["counted"]["streams"][0]["money"], AMOUNT)
        receipt = verifyReceipt(bytes.fromhex(outward["counted"]["receipt"]), RECEIPT_SECRET)
        assert receipt is not None, outward
        self.assertEqual(receipt.totalReceived, AMOUNT)
        self.assertTrue(any(F08 in event["octets"] for event in outward["events"]), "no F08")

    async def test_connector(self) -> None:
        """
        A payment in packets that it lets pass, after one that it does not, as both ends see it.
        """
        accounts = {name: overBTP(name, maxPacketAmount=MOST) for name in ("payer", "payee")}
        connector = Connector(self, accounts)
        await connector.start()
        urls = connector.btp("payer"), connector.btp("payee")
        self.check(*await self.through("ilp-connector", urls))

    async def test_miniAccounts(self) -> None:
        """The same where both ends come to one ilp-plugin-mini-accounts."""
        connector = Connector(self, {"mini": overAccounts(maxPacketAmount=MOST)})
        await connector.start()
        urls = connector.btp("mini", "payer", "a"), connector.btp("mini", "payee", "b")
        self.check(*await self.through("ilp-plugin-mini-accounts", urls))


class PluginTests(Recording):
    """The reference plugins come to a listening end of ours, which is tapped."""

    async def said(self, peer: str, kind: str) -> dict[str, Any]:
        """
        Let a plugin come, ask once and be asked once where there is a way back.

        @return: what our end counted.
        """
        told = {"kind": kind, "token": TOKEN, "answer": FULFILL, "ask": PREPARE}
        transcript = begin(peer, "path", told)
        endpoint = TappedEndpoint(reactor)
        end = WireEnd(told, reactor, endpoint)
        await end.server.start()
        port = end.server.port
        self.addCleanup(end.server.stop)
        address = f"127.0.0.1:{port.getHost().port}"
        where = f"btp+ws://:{TOKEN}@{address}" if kind == "btp" else f"http://{address}/ilp"
        environ = {"ILP_CREDENTIALS": json.dumps({"server": where})}
        if peer == "ilp-plugin":
            where = "default"
        node = self.node("transcript.js", "plugin", peer, where, **environ)
        await node.hear("ready")
        hears = kind == "btp"
        order = {"prepare": PREPARE, "reply": FULFILL, "hears": hears, "port": freePort()}
        said = await node.ask("done", token=TOKEN, **order)
        self.assertEqual(said["answer"], FULFILL)
        self.assertEqual(said["heard"], PREPARE if hears else "")
        await self.sleep(0.1)
        transcript.update(events=endpoint.events, counted=end.counted())
        read = keep(peer, transcript, playWire)
        counted: dict[str, Any] = read["counted"]
        return counted

    async def test_btp(self) -> None:
        """ilp-plugin-btp: the handshake, the login, a packet each way, and the end."""
        counted = await self.said("ilp-plugin-btp", "btp")
        self.assertEqual(counted, {"asked": [PREPARE], "answered": [FULFILL]})

    async def test_plugin(self) -> None:
        """The same with the plugin that ilp-plugin makes."""
        counted = await self.said("ilp-plugin", "btp")
        self.assertEqual(counted, {"asked": [PREPARE], "answered": [FULFILL]})

    async def test_http(self) -> None:
        """ilp-plugin-http: a request and its answer."""
        counted = await self.said("ilp-plugin-http", "http")
        self.assertEqual(counted, {"asked": [PREPARE], "answered": []})
