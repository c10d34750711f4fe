"""
A test case that makes transcripts: the parts that each of them needs.

What our end does stands with the tests of the package, as it must be the same there.
"""

from __future__ import annotations

import os
from typing import Any

from scene import Peer, SceneTestCase
from transcripts import Recorder, finish, keep
from twisted.internet import reactor

from txilpstream import Account
from txilpstream.hub.accounts import AccountOptions
from txilpstream.test.support.ends import Chance, End, makeEnd, octetsOf
from txilpstream.test.support.replay import play

LIMITED = AccountOptions(maximumPacketAmount=2000)
"""What the hub takes in a packet, so that a payment takes some of them."""

AMOUNT = 5000

SAYS, ANSWERS = octetsOf(600), octetsOf(300, 1)
"""What the client says, and what the server answers."""

NONCE, RECEIPT_SECRET = octetsOf(16, 2), octetsOf(32, 3)

SERVER_SECRET = octetsOf(32, 4)

RECEIPTS = {"receiptNonce": NONCE.hex(), "receiptSecret": RECEIPT_SECRET.hex()}

WE_TAKE = {"serverSecret": SERVER_SECRET.hex(), **RECEIPTS}


class Recording(SceneTestCase):
    """Makes transcripts with one end of ours, each on an account that writes down."""

    async def recorded(
        self, transcript: dict[str, Any], options: AccountOptions | None = None
    ) -> Recorder:
        """An account that writes down, on the hub."""
        made: list[Recorder] = []

        def wrap(plugin: Any) -> Recorder:
            made.append(Recorder(reactor, plugin))
            return made[0]

        self.ownAccount = await self.account("ours", options, wrap)
        self.ownAccount.randomBytes = Chance(os.urandom(16))
        self.describe(transcript, self.ownAccount)
        return made[0]

    def describe(self, transcript: dict[str, Any], account: Account) -> None:
        """Say what our end learnt of itself."""
        transcript["account"] = {
            "address": account.address,
            "assetCode": account.assetCode,
            "assetScale": account.assetScale,
        }

    def begun(self, transcript: dict[str, Any], recorder: Recorder, account: Account) -> End:
        """Our end, which begins now."""
        transcript["begins"] = recorder.now()
        end = makeEnd(transcript, account)
        end.start()
        return end

    async def over(self, end: End) -> None:
        """Wait until our end has done what it does by itself."""
        await self.until(lambda: end.isOver)
        if end.failure is not None:
            end.failure.raiseException()

    async def kept(
        self, name: str, transcript: dict[str, Any], recorder: Recorder, end: End
    ) -> dict[str, Any]:
        """Finish a transcript when nothing more comes, and replay it."""
        await self.sleep(0.1)
        await self.until(lambda: recorder.isQuiet)
        finish(transcript, recorder, end.counted())
        read = keep(name, transcript, play)
        await end.stop()
        return read

    async def driver(self, role: str, peer: str, options: AccountOptions | None = None) -> Peer:
        """The peer's end, ready to be told what to do."""
        node = self.node("transcript.js", role, peer, self.btp("theirs", options))
        await node.hear("ready")
        return node
