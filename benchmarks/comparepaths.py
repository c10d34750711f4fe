"""
Ends in processes of their own with the peers' connectors between them, for C{compare.py}.

A network is one ilp-connector, with all four ends as its children over BTP, or two that are peers
over HTTP, with the payers at one and the payees at the other. It is started once and serves all
runs of both sides, so that neither gets a connector that is warmer than the other's.
"""

from __future__ import annotations

import json
import time
from typing import Any

from compareprocesses import Child, Failed, freePort, node, python, waitForPort

PACKET = 1000
"""Units that the connector takes in one packet."""

SETTLING = 10.0
"""Seconds within which a server must have told its application of money that the payer knows."""

COMMON = {
    "CONNECTOR_BACKEND": "one-to-one",
    "CONNECTOR_SPREAD": "0",
    "CONNECTOR_STORE": "memory",
    "CONNECTOR_ADMIN_API": "false",
    "CONNECTOR_INITIAL_CONNECT_TIMEOUT": "1000",
    "CONNECTOR_ENV": "test",
}
"""As the connector's users set it up where nothing is settled."""

PLACES = {
    "ours client": "left",
    "theirs client": "left",
    "ours server": "right",
    "theirs server": "right",
}
"""At which of two connectors each end is."""


def account(plugin: str, relation: str, **options: Any) -> dict[str, Any]:
    """One account of a connector."""
    asset = {"assetCode": "USD", "assetScale": 9}
    return {"relation": relation, "plugin": plugin, **asset, **options}


class Network:
    """
    Connectors, and a client and a server of each side.

    @ivar connectors: their processes.
    """

    def __init__(self, isHTTP: bool, warm: int) -> None:
        """
        @param warm: packets that each side pays before anything is measured.
        """
        self._isHTTP = isHTTP
        self._warm = warm
        self._ports: list[int] = []
        self._urls: dict[str, str] = {}
        self.connectors: list[Child] = []
        self._ends: dict[str, Child] = {}

    def open(self) -> None:
        """
        Start everything.

        @raise Failed: if something does not start.
        """
        if self._isHTTP:
            ports = {name: freePort() for name in ("left", "right")}
            for name, other in (("left", "right"), ("right", "left")):
                self._start(name, {other: self._peering(name, other, ports)})
        else:
            self._start("", {})
        for port in self._ports:
            waitForPort(port)
        for name, url in self._urls.items():
            side, kind = name.split()
            make = python if side == "ours" else node
            script = "compareends.py" if side == "ours" else f"{kind}.js"
            words = (kind, url) if side == "ours" else (url,)
            self._ends[name] = make(script, *words)
        for name, end in self._ends.items():
            end.hear("ready" if name.endswith("client") else "listening")
        for side in ("theirs", "ours"):
            self.pay(side, self._warm)

    def _start(self, place: str, peers: dict[str, Any]) -> None:
        """Start the connector of a place, with an account for each end that is there."""
        accounts: dict[str, Any] = {}
        for name, where in PLACES.items():
            if place in ("", where):
                accounts[name.replace(" ", "")] = self._child(name)
        accounts |= {name: peer["account"] for name, peer in peers.items()}
        environ = {
            **COMMON,
            "CONNECTOR_ILP_ADDRESS": f"test.{place or 'conn'}",
            "CONNECTOR_ACCOUNTS": json.dumps(accounts),
            "CONNECTOR_ROUTES": json.dumps([peer["route"] for peer in peers.values()]),
        }
        self.connectors.append(node("node_modules/ilp-connector/dist/index.js", **environ))

    def _child(self, name: str) -> dict[str, Any]:
        port, word = freePort(), name.replace(" ", "")
        self._ports.append(port)
        self._urls[name] = f"btp+ws://:{word}-token@127.0.0.1:{port}"
        where = {"host": "127.0.0.1", "port": port}
        listener = {"port": port, "secret": f"{word}-token", "wsOpts": where}
        options = {"listener": listener}
        return account("ilp-plugin-btp", "child", maxPacketAmount=str(PACKET), options=options)

    def _peering(self, name: str, other: str, ports: dict[str, int]) -> dict[str, Any]:
        self._ports.append(ports[name])
        options = {
            "incoming": {"port": ports[name], "staticToken": f"{other}-to-{name}"},
            "outgoing": {
                "url": f"http://127.0.0.1:{ports[other]}/ilp",
                "staticToken": f"{name}-to-{other}",
            },
        }
        # The routes are fixed: two connectors learn them from each other only if both listen
        # when the first one tells them.
        fixed = {"sendRoutes": False, "receiveRoutes": False}
        return {
            "account": account("ilp-plugin-http", "peer", options=options, **fixed),
            "route": {"targetPrefix": f"test.{other}", "peerId": other},
        }

    def pay(self, side: str, packets: int) -> dict[str, Any]:
        """
        Let a client pay the server of its own side.

        @return: seconds, packets, seconds of processor time of each process, and its peak memory.
        @raise Failed: if a unit is missing.
        """
        client, server = self._ends[f"{side} client"], self._ends[f"{side} server"]
        given = server.ask("credentials", wanted="credentials")
        before = int(server.ask("totals", wanted="totals")["amount"])
        processes = {"client": [client], "server": [server], "path": self.connectors}
        spent = {name: -sum(each.processorTime() for each in of) for name, of in processes.items()}
        order = {"address": given["address"], "secret": given["secret"]}
        paid = client.ask("paid", **order, amount=str(PACKET * packets))
        for name, of in processes.items():
            spent[name] += sum(each.processorTime() for each in of)
        wanted = before + PACKET * packets
        until = time.monotonic() + SETTLING
        while int(server.ask("totals", wanted="totals")["amount"]) != wanted:
            if time.monotonic() > until:
                raise Failed(f"{side}: of {packets} packets not all have arrived")
            time.sleep(0.02)
        return {
            "wall": paid["seconds"],
            "count": packets,
            "cpu": spent,
            "peak": {"client": client.peak(), "server": server.peak()},
        }

    def close(self) -> None:
        """End everything."""
        for child in [*self._ends.values(), *self.connectors]:
            child.end()
