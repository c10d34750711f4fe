"""Data between our ends and those of ilp-protocol-stream, with money beside it, and padded."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from streamends import Keeper, Scale, StreamTestCase, content

PADDED = 1500
"""Octets of each of our STREAM packets in the test of padding."""

THEIR_PADDED = 32767
"""Octets of each of the peer's, if it pads."""


def hashOf(seed: str, size: int) -> str:
    """SHA-256 of what is written."""
    return sha256(content(seed, size)).hexdigest()


class DataTests:
    """What is the same whoever is the client."""

    async def writeBoth(self: Any, keeper: Keeper, size: int) -> None:
        """Let both ends write on a stream."""
        self.order(keeper, "write", seed=f"theirs {size}", size=size)
        keeper.transport.write(content(f"ours {size}", size))

    async def checkBoth(self: Any, keeper: Keeper, size: int) -> None:
        """Wait until both ends have what the other wrote, and compare it."""
        said = await self.streamReport(
            keeper, lambda said: said["bytes"] >= size or said["isClosed"]
        )
        await self.until(lambda: keeper.size >= size or keeper.lost is not None, 20)
        self.assertEqual((said["bytes"], keeper.size), (size, size))
        self.assertEqual(said["sha256"], hashOf(f"ours {size}", size))
        self.assertEqual(keeper.digest.hexdigest(), hashOf(f"theirs {size}", size))

    async def exchange(self: Any, row: str, size: int) -> None:
        """Let both ends write on one stream, close it, and see that both have got all of it."""
        await self.meet()
        keeper = await self.open()
        await self.writeBoth(keeper, size)
        await self.checkBoth(keeper, size)
        if self.role == "payer":
            self.order(keeper, "end")
        else:
            keeper.transport.loseConnection()
        said = await self.streamReport(keeper, lambda said: said["isClosed"])
        await self.until(lambda: keeper.lost is not None)
        self.assertEqual(keeper.lost.type.__name__, "ConnectionDone")
        self.assertEqual((said["isEnded"], said["errors"]), (True, []))
        outcome = "Equal at both ends; then the client closes the stream."
        self.cell(row, self.peer, self.role, outcome)

    async def test_nothing(self: Any) -> None:
        """A stream on which nothing is written."""
        await self.exchange("data-0", 0)

    async def test_byte(self: Any) -> None:
        """One byte."""
        await self.exchange("data-1", 1)

    async def test_windowful(self: Any) -> None:
        """As much as fits in the window of a stream at first."""
        await self.exchange("data-16k", 1 << 14)

    async def test_much(self: Any) -> None:
        """Many windows full."""
        await self.exchange("data-5m", 5 << 20)

    async def test_money(self: Any) -> None:
        """Money and data on the same streams, both ways."""
        await self.meet()
        keepers = [await self.open() for _ in range(2)]
        size, amount = 200_000, 1000
        for keeper in keepers:
            await self.writeBoth(keeper, size)
            for total in (amount, 2 * amount):
                self.order(keeper, "offer", amount=total)
                keeper.transport.offerMoney(amount)
        for keeper in keepers:
            await self.checkBoth(keeper, size)
        totals = (4 * amount, 4 * amount)
        await self.whenReport(lambda said: (int(said["sent"]), int(said["received"])) == totals)
        await self.checkBooks()
        for keeper in keepers:
            self.assertEqual(keeper.transport.totalReceived, 2 * amount)
        outcome = "Both arrive on two streams, both ways."
        self.cell("money-data", self.peer, self.role, outcome)

    async def test_padding(self: Any) -> None:
        """Whatever is in them, packets have one size each way."""
        scales: list[Scale] = []

        def weigh(plugin: Any) -> Scale:
            scales.append(Scale(plugin))
            return scales[0]

        await self.meet(wrap=weigh, options={"padTo": PADDED}, theirOptions={"enablePadding": True})
        scale = scales[0]
        opened = await self.open()
        self.order(opened, "offer", amount=1)
        await self.whenReport(lambda said: said["sent"] == "1")
        self.assertLess(min(scale.came), 1000)
        scale.sent.clear()
        scale.came.clear()
        await self.writeBoth(opened, 100)
        self.order(opened, "offer", amount=1000)
        opened.transport.offerMoney(1000)
        await self.checkBoth(opened, 100)
        await self.whenReport(lambda said: said["received"] == said["sent"] == "1000")
        await self.checkBooks()
        for sizes, padded in ((scale.sent, PADDED), (scale.came, THEIR_PADDED)):
            self.assertGreater(len(sizes), 1)
            self.assertLess(max(sizes) - min(sizes), 8)
            self.assertGreater(min(sizes), padded)
            self.assertLess(max(sizes), padded + 300)
        outcome = "Both ends pad, each to a size of its own, and money and data arrive."
        fault = "its probes of the rate are not padded."
        self.cell("padding", self.peer, self.role, outcome, fault)


class PayerTests(DataTests, StreamTestCase):
    """It is the client."""


class PayeeTests(DataTests, StreamTestCase):
    """It is the server."""

    role = "payee"


class AlphaPayerTests(PayerTests):
    """The latest is the client."""

    peer = "ilp-protocol-stream-alpha"


class AlphaPayeeTests(PayeeTests):
    """The latest is the server."""

    peer = "ilp-protocol-stream-alpha"
