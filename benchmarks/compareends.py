"""
Our ends in processes of their own, on a connector of the peers': C{compare.py} speaks JSON in
lines to them, as to C{interop/client.js} and C{interop/server.js}.

    python compareends.py server|client PLUGIN
"""

from __future__ import annotations

import json
import sys
from time import perf_counter, process_time
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.stdio import StandardIO
from twisted.internet.task import react
from twisted.protocols.basic import LineReceiver
from zope.interface import implementer

from txilpstream import (
    Account,
    Credentials,
    IMoneyReceiver,
    StreamClient,
    StreamFactory,
    StreamProtocol,
    StreamServer,
    pluginFromString,
)

IN_FLIGHT = 100
"""
Packets: the connector's HTTP plugin opens a connection for each, and at ten times as many it takes
a third more of its processor for each; over BTP it makes no difference.
"""


@implementer(IMoneyReceiver)
class Till(StreamProtocol):
    """
    Takes money.

    @cvar amount: all of it, in units.
    """

    amount = 0

    def moneyReceived(self, amount: int) -> None:
        """Count it."""
        Till.amount += amount


class Conversation(LineReceiver):
    """Lines of JSON; the end of the input ends the process."""

    delimiter = b"\n"

    def __init__(self) -> None:
        self.done: Deferred[None] = Deferred()

    def say(self, event: str, **values: Any) -> None:
        """Say one thing."""
        self.sendLine(json.dumps({"event": event, **values}).encode())

    def connectionLost(self, reason: Any = None) -> None:
        """Nobody speaks any more."""
        self.done.callback(None)


class ServerEnd(Conversation):
    """Gives credentials, and says what came."""

    def __init__(self, server: StreamServer) -> None:
        super().__init__()
        self.server = server

    def lineReceived(self, line: bytes) -> None:
        """Say what is wanted."""
        if json.loads(line)["wanted"] == "totals":
            self.say("totals", amount=str(Till.amount))
            return
        credentials = self.server.generateCredentials()
        secret = credentials.sharedSecret.hex()
        self.say("credentials", address=credentials.destinationAddress, secret=secret)


class ClientEnd(Conversation):
    """Pays on a connection for each payment."""

    def __init__(self, account: Account) -> None:
        super().__init__()
        self.account = account

    def lineReceived(self, line: bytes) -> None:
        """Pay, and say how it went."""
        paying = Deferred.fromCoroutine(self.pay(json.loads(line)))
        paying.addErrback(lambda failure: self.say("error", message=failure.getErrorMessage()))

    async def pay(self, order: dict[str, Any]) -> None:
        """The time is that of the money alone, the connection open: so it is in client.js."""
        credentials = Credentials(order["address"], bytes.fromhex(order["secret"]))
        client = StreamClient(self.account)
        connection = await client.connect(credentials, maximumInFlight=IN_FLIGHT)
        opened = await connection.openStream(StreamFactory.forProtocol(StreamProtocol))
        transport: Any = opened.transport
        began, spent = perf_counter(), process_time()
        result = await transport.sendMoney(int(order["amount"]))
        self.say(
            "paid",
            sent=str(result.sent),
            delivered=str(result.deliveredClaimed),
            seconds=perf_counter() - began,
            cpu=process_time() - spent,
        )
        await connection.close()


async def main(reactor: Any, kind: str, where: str) -> None:
    """Speak until nobody does any more."""
    account = await Account.open(reactor, pluginFromString(reactor, where))
    speaker: Conversation
    if kind == "server":
        server = StreamServer(account)
        await server.listen(Factory.forProtocol(Till))
        speaker = ServerEnd(server)
    else:
        speaker = ClientEnd(account)
    StandardIO(speaker)
    speaker.say("listening" if kind == "server" else "ready")
    await speaker.done
    await account.close()


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, *sys.argv[1:])))
