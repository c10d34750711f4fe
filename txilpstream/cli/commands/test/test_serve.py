"""
Tests of C{txilpstream.cli.commands.serve}: the commands that receive and pay, with each other.
"""

from __future__ import annotations

import json
from pathlib import Path

from txilpstream.cli.commands import hub, pay, ping, quote, receive, serve
from txilpstream.errors import ConnectionEnded, LocalError
from txilpstream.interfaces import NotSent
from txilpstream.test.support.commands import CommandTestCase


class PayTests(CommandTestCase):
    """A receiver with its hub, and a payer."""

    async def test_overEach(self) -> None:
        """Over HTTP and over BTP, a million units and one: not a unit is missing at either end."""
        served, url, plugins = await self.serve()
        total = 0
        for plugin in plugins.values():
            for amount in (1, 1_000_000):
                words = (f"{url}/alice", str(amount), f"--plugin={plugin}", "--json")
                status, printed = await self.complete(pay, *words)
                result = json.loads(printed)
                self.assertEqual((status, result["deliveredClaimed"]), (0, amount))
                self.assertEqual((result["sent"], result["inDoubt"]), (amount, 0))
                self.assertTrue(result["isComplete"])
                total += amount
        self.assertEqual(await served.end(), 0)
        self.assertEqual(served.lines()[-1]["total"], total)
        self.assertEqual(
            [each for each in served.lines() if each["event"] == "received"][-1]["account"], "alice"
        )

    async def test_assets(self) -> None:
        """A fixed delivery in another asset, given in its decimals, and with data."""
        words = ("--own-asset=EUR/2", "--price=EUR=1.25", "--price=USD=1")
        served, url, plugins = await self.serve(*words)
        data = Path(self.mktemp())
        data.write_bytes(b"x" * 1000)
        asked = (f"{url}/alice", "4.20", "--deliver", "--units", f"--data={data}", "--json")
        status, printed = await self.complete(pay, *asked, f"--plugin={plugins['http']}")
        result = json.loads(printed)
        delivered = result["deliveredClaimed"]
        self.assertEqual(status, 0)
        self.assertIn(delivered, (420, 421, 422))  # it is measured: half a percent is not known
        self.assertEqual(result["sent"] // 12_500_000, delivered)
        await served.end()
        ended = served.lines()[-1]
        self.assertEqual((ended["total"], ended["bytes"]), (delivered, 1000))

    async def test_forPeople(self) -> None:
        """What is printed for people."""
        served, url, plugins = await self.serve("--account=alice", "--limit=5000")
        words = (f"{url}/alice", "4000", f"--plugin={plugins['http']}")
        status, printed = await self.complete(quote, *words)
        self.assertEqual(status, 0)
        self.assertIn("4,000 (0.000004000 USD)", printed)
        status, printed = await self.complete(pay, *words)
        self.assertEqual(status, 0)
        self.assertIn("delivered, as claimed", printed)
        status, printed = await self.complete(quote, *words, "--json", "--deliver")
        self.assertEqual(json.loads(printed)["destinationAmount"], 4000)
        await served.end()

    async def test_notInFull(self) -> None:
        """More than an account takes: what was paid is said, and why it was not more."""
        served, url, plugins = await self.serve("--account=alice=5000", "--account=bob")
        words = (f"{url}/alice", "4000", f"--plugin={plugins['http']}", "--json")
        self.assertEqual((await self.complete(pay, *words))[0], 0)
        begun = self.begin(pay, *words)
        self.assertEqual(await begun.ended, 1)
        self.assertEqual(json.loads(begun.stdout.getvalue())["sent"], 1000)
        self.assertIn("1,000 of 4,000 sent: ", begun.stderr.getvalue())
        self.assertIn("the stream is closed", begun.stderr.getvalue())
        begun = self.begin(pay, *words)
        self.assertEqual(await begun.ended, 1)
        self.assertEqual(json.loads(begun.stdout.getvalue())["sent"], 0)
        self.assertIn("takes 5000 units in all", begun.stderr.getvalue())
        self.assertIn("F99", begun.stderr.getvalue())
        with self.assertRaisesRegex(ConnectionEnded, "no such account"):
            await self.begin(pay, f"{url}/carol", "1", words[2]).ended
        await served.end()

    async def test_interrupted(self) -> None:
        """Ctrl-C lets nothing more leave, and prints what was paid."""
        served, url, plugins = await self.serve("--peer=slow:token=slow:per-minute=60:most=10")
        where = plugins["http"].replace("some-token", "slow")
        begun = self.begin(pay, f"{url}/alice", "100000", f"--plugin={where}", "--json")
        await served.hear("received")
        assert begun.running.onInterrupt is not None
        begun.running.onInterrupt()
        self.assertEqual(await begun.ended, 1)
        result = json.loads(begun.stdout.getvalue())
        self.assertTrue(0 < result["sent"] < 100_000)
        await served.end()
        self.assertEqual(served.lines()[-1]["total"], result["sent"])

    async def test_ping(self) -> None:
        served, _, plugins = await self.serve()
        plugin = f"--plugin={plugins['http']}"
        for address, status in (("test.hub.receiver", 0), ("test.hub.nobody", 1)):
            found, printed = await self.complete(ping, address, "--count=1", "--json", plugin)
            self.assertEqual((found, json.loads(printed)["reached"]), (status, 1 - status))
        found, printed = await self.complete(ping, "test.hub.x", "--count=1", plugin)
        self.assertIn("not reached in ", printed)
        self.assertIn("(F02 Unreachable, by test.hub)", printed)
        await served.end()


class ReceiveTests(CommandTestCase):
    """A hub, and somebody who gives his credentials away."""

    async def test_limit(self) -> None:
        """Once the limit is reached the command is done; its credentials are what C{pay} takes."""
        connector = self.begin(hub, "--json", "--http=0", "--btp=0")
        where = (await connector.hear("listening"))["ports"]["btp"]
        receiver = self.begin(receive, f"--plugin=btp+ws://:bob@{where}", "--limit=700", "--json")
        credentials = json.dumps((await receiver.hear("credentials"))["credentials"])
        words = (credentials, "700", f"--plugin=btp+ws://:alice@{where}", "--json")
        status, printed = await self.complete(pay, *words)
        self.assertEqual((status, json.loads(printed)["sent"]), (0, 700))
        self.assertEqual(await receiver.ended, 0)
        self.assertEqual(receiver.lines()[-1]["total"], 700)
        self.assertEqual(await connector.end(), 0)
        balances = {each["balance"] for each in connector.lines() if each["event"] == "account"}
        self.assertEqual(balances, {700, -700})

    async def test_interrupted(self) -> None:
        """With data, and a secret that makes its address outlive it."""
        connector = self.begin(hub, "--json", "--http=0", "--btp=0")
        where = (await connector.hear("listening"))["ports"]["btp"]
        words = (f"--plugin=btp+ws://:bob@{where}", f"--secret-file={self.secret}")
        receiver = self.begin(receive, *words, "--json")
        said = (await receiver.hear("credentials"))["credentials"]
        data = Path(self.mktemp())
        data.write_bytes(b"hello")
        asked = (json.dumps(said), "7", f"--plugin=btp+ws://:alice@{where}", f"--data={data}")
        self.assertEqual((await self.complete(pay, *asked))[0], 0)
        await receiver.hear("received")
        self.assertEqual(await receiver.end(), 0)
        self.assertEqual(receiver.lines()[-1]["data"], "aGVsbG8=")
        await connector.end()

    async def test_unreachable(self) -> None:
        """Nobody there, or somebody who does not say who we are."""
        for plugin in ("btp+ws://:x@127.0.0.1:1", "http://:x@127.0.0.1:1/"):
            with self.assertRaises((ConnectionEnded, NotSent)):
                await self.begin(receive, f"--plugin={plugin}").ended


class ClosedTests(CommandTestCase):
    """A hub that knows its accounts."""

    async def test_tokens(self) -> None:
        served, url, plugins = await self.serve("--open=no", "--peer=alice:token=t1")
        good = plugins["http"].replace("some-token", "t1")
        self.assertEqual((await self.complete(pay, f"{url}/x", "5", f"--plugin={good}"))[0], 0)
        for plugin in plugins.values():
            with self.assertRaises(Exception):  # noqa: B017 - whatever it is, nothing was paid
                await self.begin(pay, f"{url}/x", "5", f"--plugin={plugin}").ended
        await served.end()
        self.assertEqual(served.lines()[-1]["total"], 5)

    async def test_portTaken(self) -> None:
        served, _, plugins = await self.serve()
        port = plugins["http"].split(":")[-1].strip("/")
        words = ("--json", f"--secret-file={self.secret}", "--spsp=0", "--btp=0", f"--http={port}")
        with self.assertRaisesRegex(Exception, port):
            await self.begin(serve, *words).ended
        await served.end()

    async def test_badPeer(self) -> None:
        with self.assertRaises(LocalError):
            await self.serve("--peer=a:plugin=nonsense")
