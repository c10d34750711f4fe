"""
The end of streams and connections between our ends and those of ilp-protocol-stream.

Each end of theirs and ours has money and data to send when one of them closes: at once, and then
another one in good order. Afterwards nobody's books may be short of what another end counted.
"""

from __future__ import annotations

from typing import Any

from streamends import Keeper, StreamTestCase, content
from twisted.internet.error import ConnectionDone

from txilpstream import ErrorCode, StreamLost, StreamRefused
from txilpstream.hub.accounts import AccountOptions

PACKET = 100
"""Units in a packet, so that much money takes a long time."""

SMALL = AccountOptions(maximumPacketAmount=PACKET)

OVERTAKEN = "its reason can be lost: it answers what came meanwhile with StreamStateError."

MUCH = 10**9
"""Units that nobody waits for."""

MANY = 1 << 23
"""Bytes that nobody waits for."""

WINDOW = 1 << 14

FINITE = 5000
"""Units that are waited for, and ..."""

SIZE = 30_000
"""... bytes: as many as it takes after a stream has closed, see L{EndTests.test_manyStreams}."""


class EndTests:
    """What is the same whoever is the client."""

    async def begin(self: Any) -> Keeper:
        """A stream on which either end has more money and data to send than it ever will."""
        keeper: Keeper = await self.open()
        keeper.transport.pauseProducing()
        keeper.transport.offerMoney(MUCH)
        keeper.transport.write(bytes(MANY))
        self.order(keeper, "offer", amount=MUCH)
        self.order(keeper, "write", seed="", size=MANY)
        await self.streamReport(keeper, lambda said: int(said["received"]) and said["bytes"])
        await self.until(lambda: keeper.amounts)
        return keeper

    async def meetSmall(self: Any) -> None:
        """Open a connection whose packets carry little."""
        await self.meet(us=SMALL, them=SMALL, options={"streamWindow": WINDOW})

    async def whenEnded(self: Any, keeper: Keeper) -> dict[str, Any]:
        """Wait until both ends of a stream are over; gives what the peer says of it."""
        await self.until(lambda: keeper.lost is not None)
        return await self.streamReport(keeper, lambda said: said["isClosed"])

    async def checkOrderly(self: Any, keeper: Keeper) -> None:
        """See that all that we had to send is there."""
        said = await self.whenEnded(keeper)
        self.assertIs(keeper.lost.type, ConnectionDone)
        self.assertEqual((said["bytes"], said["received"]), (SIZE, str(FINITE)))
        self.assertEqual((said["isEnded"], said["errors"]), (True, []))

    def checkRefused(self: Any, keeper: Keeper, code: int, message: str) -> None:
        """See that we know why a stream was destroyed, unless the reason was overtaken."""
        self.assertIs(keeper.lost.type, StreamRefused)
        if keeper.lost.value.code == ErrorCode.STREAM_STATE_ERROR:
            code, message = ErrorCode.STREAM_STATE_ERROR, "Stream is already closed"
        self.assertEqual(keeper.lost.value.code, code)
        self.assertIn(message, keeper.lost.value.message)

    async def test_weCloseStream(self: Any) -> None:
        """Aborted, it ends at both ends; closed, all that we had to send arrives first."""
        await self.meetSmall()
        keeper = await self.begin()
        keeper.transport.abortConnection()
        said = await self.whenEnded(keeper)
        self.assertLess(said["bytes"], MANY)
        await self.checkBooks(PACKET)
        keeper = await self.open()
        keeper.transport.offerMoney(FINITE)
        keeper.transport.write(content("ours", SIZE))
        keeper.transport.loseConnection()
        await self.checkOrderly(keeper)
        await self.checkBooks(PACKET)
        outcome = "Aborted, the books agree; closed, all that we had to send arrives first."
        self.cell("close-stream-us", self.peer, self.role, outcome)

    async def test_theyCloseStream(self: Any) -> None:
        """Destroyed, it ends at both ends; ended, all that it had to send arrives first."""
        await self.meetSmall()
        keeper = await self.begin()
        self.order(keeper, "destroy", message="no more")
        await self.whenEnded(keeper)
        self.checkRefused(keeper, ErrorCode.APPLICATION_ERROR, "no more")
        await self.checkBooks(PACKET)
        keeper = await self.open()
        self.order(keeper, "offer", amount=FINITE)
        self.order(keeper, "write", seed="theirs", size=SIZE)
        self.order(keeper, "end")
        said = await self.whenEnded(keeper)
        self.assertIs(keeper.lost.type, ConnectionDone)
        self.assertEqual((keeper.size, keeper.transport.totalReceived), (SIZE, FINITE))
        self.assertEqual(said["sent"], str(FINITE))
        await self.checkBooks(PACKET)
        outcome = "Destroyed, the books agree; ended, all that it had to send arrives first."
        self.cell("close-stream-peer", self.peer, self.role, outcome, OVERTAKEN)

    async def test_weCloseConnection(self: Any) -> None:
        """Aborted, it knows why; closed, all that we had to send arrives first."""
        await self.meetSmall()
        keeper = await self.begin()
        self.connection.abort("that was all")
        await self.connection.whenClosed()
        said = await self.whenReport(lambda said: said["isClosed"])
        self.assertIn("that was all", said["errors"][0])
        await self.checkBooks(PACKET)
        await self.meetAgain()
        keeper = await self.open()
        keeper.transport.offerMoney(FINITE)
        keeper.transport.write(content("ours", SIZE))
        await self.connection.close()
        await self.checkOrderly(keeper)
        await self.whenReport(lambda said: said["isClosed"] and not said["errors"])
        await self.checkBooks(PACKET)
        outcome = "Aborted, the books agree; closed, all that we had to send arrives first."
        self.cell("close-connection-us", self.peer, self.role, outcome)

    async def test_theyCloseConnection(self: Any) -> None:
        """Destroyed, we know why; ended, all that it had to send arrives first."""
        await self.meetSmall()
        keeper = await self.begin()
        await self.theirs.ask("closed", do="abort", message="that was all")
        await self.whenEnded(keeper)
        self.checkRefused(keeper, ErrorCode.INTERNAL_ERROR, "that was all")
        await self.connection.whenClosed()
        await self.checkBooks(PACKET)
        await self.meetAgain()
        keeper = await self.open()
        self.order(keeper, "offer", amount=FINITE)
        self.order(keeper, "write", seed="theirs", size=SIZE)
        await self.theirs.ask("closed", do="close")
        await self.whenEnded(keeper)
        await self.connection.whenClosed()
        self.assertEqual((keeper.size, keeper.transport.totalReceived), (SIZE, FINITE))
        self.assertIs(keeper.lost.type, ConnectionDone)
        await self.checkBooks(PACKET)
        outcome = "Destroyed, the books agree; ended, all that it had to send arrives first."
        self.cell("close-connection-peer", self.peer, self.role, outcome, OVERTAKEN)

    async def test_manyStreams(self: Any) -> None:
        """One stream after the other, each with a little data of ours, on one connection."""
        await self.meet()
        for _ in range(12):
            keeper = await self.open()
            keeper.transport.write(content("ours", 8000))
            keeper.transport.loseConnection()
            said = await self.whenEnded(keeper)
            self.assertEqual((said["bytes"], said["errors"]), (8000, []))
        outcome = "Closed, so does a little data on each of a dozen streams in a row."
        self.cell("close-stream-us", self.peer, self.role, outcome)

    async def test_closeAfterData(self: Any) -> None:
        """One stream after the other, each closed by the peer as soon as it has written."""
        await self.meet()
        for number in range(10):
            if self.role == "payer":
                streamID = (await self.theirs.ask("opened", do="open"))["stream"]
            else:
                streamID = (await self.open()).transport.streamID
            self.theirs.say(do="write", stream=streamID, seed="theirs", size=8000)
            self.theirs.say(do="end", stream=streamID)
            await self.until(lambda number=number: len(self.factory.made) > number)
            keeper = self.factory.made[-1]
            said = await self.whenEnded(keeper)
            self.assertEqual((keeper.size, said["errors"]), (8000, []))
            self.assertIs(keeper.lost.type, ConnectionDone)
        outcome = "Ended when it has just written, that arrives first."
        fault = "its close can come before its data."
        self.cell("close-stream-peer", self.peer, self.role, outcome, fault)

    async def test_ourPatience(self: Any) -> None:
        """After our time without a packet the connection is over at both ends."""
        await self.meet(options={"idleTimeout": 1.0})
        keeper = await self.open()
        await self.whenEnded(keeper)
        self.assertIs(keeper.lost.type, StreamLost)
        await self.connection.whenClosed()
        await self.whenReport(lambda said: said["isClosed"])
        outcome = "After our time we end the connection, and it follows."
        self.cell("idle", self.peer, self.role, outcome)

    async def test_theirPatience(self: Any) -> None:
        """After its time without a packet the connection is over at both ends."""
        await self.meet(theirOptions={"idleTimeout": 1000})
        keeper = await self.open()
        await self.whenEnded(keeper)
        self.assertIs(keeper.lost.type, StreamRefused)
        self.assertIn("inactivity", str(keeper.lost.value))
        await self.connection.whenClosed()
        await self.whenReport(lambda said: said["isClosed"])
        outcome = "After its time it ends the connection, and we know why."
        self.cell("idle", self.peer, self.role, outcome)


class PayerTests(EndTests, StreamTestCase):
    """It is the client."""


class PayeeTests(EndTests, StreamTestCase):
    """It is the server."""

    role = "payee"


class AlphaPayerTests(PayerTests):
    """The latest is the client."""

    peer = "ilp-protocol-stream-alpha"


class AlphaPayeeTests(PayeeTests):
    """The latest is the server."""

    peer = "ilp-protocol-stream-alpha"
