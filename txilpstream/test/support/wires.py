"""
Our listening ends of BTP and of ILP over HTTP in a transcript, octet by octet.

As with STREAM the same code plays them when a transcript is made and when it is replayed. An end
lets one token in, answers each Prepare alike and, where there is a way back, asks something itself
when it was asked.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.internet.task import Clock

from txilpstream.plugins.base import PluginBase
from txilpstream.plugins.btp.server import BTPServer, BTPServerPlugin
from txilpstream.plugins.http.server import PrepareServer
from txilpstream.test.support.ends import Chance
from txilpstream.test.support.httppeers import Endpoint
from txilpstream.test.support.replay import isSame
from txilpstream.test.support.sockets import RawTransport

__all__ = ["WALL", "WireEnd", "playWire"]

WALL: Final = 1_700_000_000.0
"""The time that our responses bear, in seconds since the epoch."""


class WireEnd:
    """
    A server of one kind.

    @ivar server: listens once C{server.start()} is called.
    """

    def __init__(self, told: dict[str, Any], reactor: Any, endpoint: IStreamServerEndpoint) -> None:
        """
        @param told: C{kind} (C{btp} or C{http}), C{token}, C{answer} and, for BTP, C{ask}: packets
            in hexadecimal digits.
        """
        self.told = told
        self._reactor = reactor
        self._asked: list[str] = []
        self._answered: list[str] = []
        self._link: Any
        self.server: Any
        if told["kind"] == "btp":
            self._link = BTPServerPlugin(reactor, randomBytes=Chance(b""), wallClock=lambda: WALL)
            self.server = BTPServer(reactor, endpoint, self._admitNamed, wallClock=lambda: WALL)
        else:
            self._link = PluginBase()
            self.server = PrepareServer(reactor, endpoint, self._admit, wallClock=lambda: WALL)
        self._link.registerDataHandler(self._answer)

    def _admit(self, token: str) -> Any:
        return self._link if token == self.told["token"] else None

    def _admitNamed(self, name: str, token: str) -> Any:
        return self._admit(token)

    def _answer(self, prepare: bytes) -> bytes:
        self._asked.append(prepare.hex())
        if self.told["kind"] == "btp":
            self._reactor.callLater(0, self._ask)
        return bytes.fromhex(self.told["answer"])

    def _ask(self) -> None:
        answered = self._link.sendData(bytes.fromhex(self.told["ask"]))
        answered.addCallback(lambda reply: self._answered.append(reply.hex()))

    def counted(self) -> dict[str, Any]:
        """What was asked, and what was answered."""
        return {"asked": self._asked, "answered": self._answered}


def playWire(transcript: dict[str, Any]) -> None:
    """
    Play a transcript of octets: what the peer wrote is read, and what we write is what we wrote.

    @raise CannotReplay: if it is not.
    """
    clock = Clock()
    endpoint = Endpoint()
    end = WireEnd(transcript["end"], clock, endpoint)
    end.server.start()
    transport = RawTransport()
    protocol = endpoint.factory.buildProtocol(None)
    protocol.makeConnection(transport)
    for event in transcript["events"]:
        octets = bytes.fromhex(event["octets"])
        if event["by"] == "peer":
            protocol.dataReceived(octets)
            clock.advance(0)
        else:
            written = transport.value()[: len(octets)]
            isSame("what our end writes", octets.hex(), written.hex())
            rest = transport.value()[len(octets) :]
            transport.clear()
            transport.write(rest)
    isSame("what our end writes in the end", "", transport.value().hex())
    isSame("what our end counted", transcript["counted"], end.counted())
