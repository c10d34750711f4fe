"""Our hub between the reference implementation's ends and ours."""

from __future__ import annotations

from processes import InteropTestCase, Process

AMOUNT = 1_000_000


BTP = "ilp-plugin-btp"


class HubTests(InteropTestCase):
    """Each client pays each server, both ways of making a plugin."""

    def everyPair(self, plugin: str, default: str) -> None:
        """
        Four clients and servers, each pair of them.

        @param default: what the JavaScript peers are given instead of the plugin's URL.
        """
        servers = [
            self.listening(self.node("server.js", default or plugin.format("js-server"))),
            self.listening(self.ours("server", plugin.format("our-server"))),
        ]
        clients: list[Process] = [
            self.node("client.js", default or plugin.format("js-client")),
            self.ours("client", plugin.format("our-client")),
        ]
        for client in clients:
            client.hear("ready")
            for server in servers:
                for amount in (1, AMOUNT):
                    paid = self.pay(client, server, amount)
                    self.assertEqual(int(paid["delivered"]), amount)

    def test_btp(self) -> None:
        """By ilp-plugin-btp."""
        self.hub()
        self.everyPair("btp+ws://:{}@" + self.ports["btp"], "")
        outcome = "Its clients and ours pay its servers and ours, 1 unit and 1,000,000."
        self.cell("one-way", BTP, "both", outcome)

    def test_defaults(self) -> None:
        """As ilp-plugin has it without a word: port 7768 of this machine, and any token."""
        self.hub("--http", "0")
        self.assertEqual(self.ports["btp"], "127.0.0.1:7768")
        self.everyPair("btp+ws://:{}@127.0.0.1:7768", "default")
        outcome = "On port 7768, with any token: its ends and ours pay each other."
        self.cell("defaults", "ilp-plugin", "both", outcome)

    def test_data(self) -> None:
        """Data of a JavaScript client comes to our server."""
        self.hub()
        where = "btp+ws://:{}@" + self.ports["btp"]
        server = self.listening(self.ours("server", where.format("server")))
        client = self.node("client.js", where.format("client"))
        client.hear("ready")
        self.pay(client, server, 1000, "hello " * 100)
        self.assertEqual(server.ask("totals", wanted="totals")["bytes"], 600)
        self.cell("money-data", BTP, "payer", "Over our hub, 600 bytes with the money.")

    def test_books(self) -> None:
        """What the hub says in the end is what the ends have counted."""
        hub = self.hub()
        where = "btp+ws://:{}@" + self.ports["btp"]
        server = self.listening(self.node("server.js", where.format("server")))
        client = self.ours("client", where.format("client"))
        client.hear("ready")
        self.pay(client, server, 12345)
        hub.process.terminate()
        balances = [hub.hear("account")["balance"] for _ in range(2)]
        self.assertEqual(sorted(balances), [-12345, 12345])
        self.assertEqual(hub.process.wait(20), 0)
        self.cell("one-way", BTP, "payee", "Our hub's books say what both ends have counted.")
