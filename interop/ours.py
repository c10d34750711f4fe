"""
Our own ends in a process of their own, spoken to as the drivers in JavaScript are.

    python ours.py server PLUGIN
    python ours.py client PLUGIN

Each line of input is one JSON object, and so is each line of output.
"""

from __future__ import annotations

import json
import sys
from time import perf_counter, process_time
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.stdio import StandardIO
from twisted.internet.task import react
from twisted.protocols.basic import LineReceiver

from txilpstream import Account, Credentials, PaymentError, StreamServer, pay
from txilpstream.plugins.registry import pluginFromString
from txilpstream.service.receiver import Accounts, ReceivingFactory


class Conversation(LineReceiver):
    """Lines of JSON; the end of the input ends the process."""

    delimiter = b"\n"

    def __init__(self) -> None:
        self.done: Deferred[None] = Deferred()

    def say(self, event: str, **values: Any) -> None:
        """Say one thing."""
        self.sendLine(json.dumps({"event": event, **values}).encode())

    def lineReceived(self, line: bytes) -> None:
        """Hear one thing."""
        self.heard(json.loads(line))

    def heard(self, order: dict[str, Any]) -> None:
        """What was said."""

    def connectionLost(self, reason: Any = None) -> None:
        """Nobody speaks any more."""
        self.done.callback(None)


class Server(Conversation):
    """Takes everything."""

    def __init__(self, accounts: Accounts, server: StreamServer) -> None:
        super().__init__()
        self.accounts = accounts
        self.server = server

    def heard(self, order: dict[str, Any]) -> None:
        """Say new credentials, or the totals."""
        if order["wanted"] == "totals":
            self.say("totals", amount=str(self.accounts.total), bytes=self.accounts.size)
            return
        credentials = self.server.generateCredentials()
        secret = credentials.sharedSecret.hex()
        self.say("credentials", address=credentials.destinationAddress, secret=secret)


class Client(Conversation):
    """Pays what it is told, one payment after the other."""

    def __init__(self, account: Account) -> None:
        super().__init__()
        self.account = account
        self.last: Deferred[None] | None = None

    def heard(self, order: dict[str, Any]) -> None:
        """Pay after what was asked for before."""
        before, self.last = self.last, Deferred()
        Deferred.fromCoroutine(self.pay(order, before, self.last))

    async def pay(self, order: dict[str, Any], before: Any, done: Any) -> None:
        """Make one payment."""
        if before is not None:
            await before
        credentials = Credentials(order["address"], bytes.fromhex(order["secret"]))
        data = order.get("data", "").encode()
        began, cpu = perf_counter(), process_time()
        problem = ""
        try:
            result = await pay(
                self.account, credentials, sourceAmount=int(order["amount"]), data=data
            )
        except PaymentError as error:
            result, problem = error.result, str(error)
        self.say(
            "paid",
            sent=str(result.sent),
            delivered=str(result.deliveredClaimed),
            inDoubt=str(result.inDoubt),
            problem=problem,
            seconds=perf_counter() - began,
            cpu=process_time() - cpu,
        )
        done.callback(None)


async def main(reactor: Any, kind: str, where: str) -> None:
    """Speak until nobody does any more."""
    account = await Account.open(reactor, pluginFromString(reactor, where))
    speaker: Conversation
    if kind == "server":
        accounts = Accounts(reactor)
        server = StreamServer(account)
        await server.listen(ReceivingFactory(accounts))
        speaker = Server(accounts, server)
        StandardIO(speaker)
        speaker.say("listening")
    else:
        speaker = Client(account)
        StandardIO(speaker)
        speaker.say("ready")
    await speaker.done
    await account.close()


react(lambda reactor: Deferred.fromCoroutine(main(reactor, *sys.argv[1:])))
