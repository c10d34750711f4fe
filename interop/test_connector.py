"""The reference connector between our ends and the reference implementation's."""

from __future__ import annotations

import json
from statistics import median
from typing import Any

from processes import InteropTestCase, Process, freePort, waitForPort

PACKET = 1000
"""Units that the connector takes in one packet."""

PACKETS = 2000

RUNS = 3

RATIO = 3
"""Our packets per second over those of the JavaScript client in the same run, at least."""


class ConnectorTests(InteropTestCase):
    """Ends as children of ilp-connector over BTP."""

    def connector(self, *names: str) -> dict[str, str]:
        """Start it; gives the URL for each account."""
        accounts: dict[str, Any] = {}
        urls = {}
        ports = []
        for name in names:
            port = freePort()
            ports.append(port)
            urls[name] = f"btp+ws://:{name}-token@127.0.0.1:{port}"
            options = {"host": "127.0.0.1", "port": port}
            accounts[name] = {
                "relation": "child",
                "assetCode": "USD",
                "assetScale": 9,
                "plugin": "ilp-plugin-btp",
                "maxPacketAmount": str(PACKET),
                "options": {
                    "listener": {"port": port, "secret": f"{name}-token", "wsOpts": options}
                },
            }
        environ = {
            "CONNECTOR_ILP_ADDRESS": "test.conn",
            "CONNECTOR_ACCOUNTS": json.dumps(accounts),
            "CONNECTOR_BACKEND": "one-to-one",
            "CONNECTOR_SPREAD": "0",
            "CONNECTOR_STORE": "memory",
            "CONNECTOR_ADMIN_API": "false",
            "CONNECTOR_INITIAL_CONNECT_TIMEOUT": "1000",
            "CONNECTOR_ENV": "test",
        }
        self.node("node_modules/ilp-connector/dist/index.js", **environ)
        for port in ports:
            waitForPort(port)
        return urls

    def test_payments(self) -> None:
        """
        Our client pays our server and the JavaScript one in a thousand packets and more, and not a
        unit is lost; in the same run the JavaScript client pays the same servers.
        """
        urls = self.connector("ours", "theirs", "payer", "jspayer")
        servers = {
            "ours": self.listening(self.ours("server", urls["ours"])),
            "theirs": self.listening(self.node("server.js", urls["theirs"])),
        }
        clients = {
            "ours": self.ours("client", urls["payer"]),
            "theirs": self.node("client.js", urls["jspayer"]),
        }
        for client in clients.values():
            client.hear("ready")
        found: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for _ in range(RUNS):
            for who, client in clients.items():
                for whom, server in servers.items():
                    packets = PACKETS if who == "ours" else PACKETS // 4
                    paid = self.once(client, server, packets)
                    found.setdefault((who, whom), []).append(paid)
        speeds = {}
        for (who, whom), paid in found.items():
            speed, cpu = (median(each) for each in zip(*paid, strict=True))
            speeds[who, whom] = speed
            print(f"client {who}, server {whom}: {speed:,.0f} packets/s, {cpu:,.0f} us of CPU each")
        for whom in servers:
            ratio = speeds["ours", whom] / speeds["theirs", whom]
            print(f"server {whom}: {ratio:.1f} times the packets of the JavaScript client")
            self.assertGreaterEqual(ratio, RATIO)

    def once(self, client: Process, server: Process, packets: int) -> tuple[float, float]:
        """One payment; gives packets per second, and the client's µs of CPU per packet."""
        paid = self.pay(client, server, PACKET * packets)
        self.assertEqual(int(paid["delivered"]), PACKET * packets)
        return packets / paid["seconds"], paid["cpu"] / packets * 1e6
