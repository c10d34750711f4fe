"""
What two ends told each other, written down so that it can be replayed without the peer.

The plugin here writes each packet with its reply as it passes, and changes nothing; the format is
explained in the manual.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from time import time
from typing import Any

from matrix import PEERS, versions
from scene import HERE
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IPushProducer,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from zope.interface import implementer

from txilpstream import IPlugin

FOLDER = HERE.parent / "txilpstream" / "test" / "transcripts"

WANTED = "TXILPSTREAM_TRANSCRIPTS"
"""The environment variable that says C{write} to have the files made anew."""


@implementer(IPlugin)
class Recorder:
    """
    Writes down what passes through a plugin.

    @ivar epoch: when it began, in seconds since 1970.
    @ivar events: each Prepare and each reply, in order: C{at} (seconds since it began), C{by}
        (C{us} or C{peer}), C{packet} (a number that a Prepare and its reply share) and C{octets}.
    """

    def __init__(self, reactor: IReactorTime, plugin: Any) -> None:
        self.epoch = time()
        self.events: list[dict[str, Any]] = []
        self._reactor = reactor
        self._began = reactor.seconds()
        self._plugin = plugin
        self._count = 0

    def now(self) -> float:
        """Seconds since it began, to the microsecond."""
        return round(self._reactor.seconds() - self._began, 6)

    def _write(self, by: str, number: int, octets: bytes) -> bytes:
        event = {"at": self.now(), "by": by, "packet": number, "octets": octets.hex()}
        self.events.append(event)
        return octets

    def _prepare(self, by: str, octets: bytes) -> int:
        number = self._count
        self._count += 1
        self._write(by, number, octets)
        return number

    @property
    def isQuiet(self) -> bool:
        """Whether every Prepare has its reply."""
        return len(self.events) == 2 * self._count

    def connect(self) -> Deferred[None]:
        """As the plugin does."""
        done: Deferred[None] = self._plugin.connect()
        return done

    def disconnect(self) -> Deferred[None]:
        """As the plugin does."""
        done: Deferred[None] = self._plugin.disconnect()
        return done

    def isConnected(self) -> bool:
        """As the plugin says."""
        return bool(self._plugin.isConnected())

    def sendData(self, data: bytes) -> Deferred[bytes]:
        """Write it down, and the reply when it comes."""
        number = self._prepare("us", data)
        answered: Deferred[bytes] = self._plugin.sendData(data)
        return answered.addCallback(lambda reply: self._write("peer", number, reply))

    def registerDataHandler(self, handler: Any) -> None:
        """Let a handler answer, and write down what it says."""

        def answer(data: bytes) -> Any:
            number = self._prepare("peer", data)
            reply = handler(data)
            if isinstance(reply, Deferred):
                return reply.addCallback(lambda octets: self._write("us", number, octets))
            return self._write("us", number, reply)

        self._plugin.registerDataHandler(answer)

    def deregisterDataHandler(self) -> None:
        """As the plugin does."""
        self._plugin.deregisterDataHandler()

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        """As the plugin does."""
        self._plugin.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """As the plugin does."""
        self._plugin.unregisterProducer()


class _Tap(ProtocolWrapper):
    """Writes down the octets of one connection."""

    def makeConnection(self, transport: Any) -> None:
        """It begins."""
        self.tap = self.factory.tap
        super().makeConnection(transport)

    def dataReceived(self, data: bytes) -> None:
        """The peer's."""
        self.tap.append({"by": "peer", "octets": data.hex()})
        super().dataReceived(data)

    def write(self, data: bytes) -> None:
        """Ours."""
        self.tap.append({"by": "us", "octets": data.hex()})
        super().write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Ours, in pieces."""
        self.write(b"".join(data))


@implementer(IStreamServerEndpoint)
class TappedEndpoint:
    """
    Listens on this machine and writes down what is said on its one connection.

    @ivar events: C{by} and C{octets} of each chunk.
    """

    def __init__(self, reactor: Any) -> None:
        self.events: list[dict[str, Any]] = []
        self._endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listen on a free port."""
        factory = WrappingFactory(protocolFactory)
        factory.protocol = _Tap
        factory.tap = self.events  # type: ignore[attr-defined]
        factory.noisy = False
        return self._endpoint.listen(factory)


def begin(peer: str, role: str, end: dict[str, Any]) -> dict[str, Any]:
    """
    A transcript without packets.

    @param peer: its name in L{PEERS}.
    @param role: what it is: C{payer}, C{payee} or C{path}.
    @param end: what our end is told.
    """
    version = versions()[peer]
    return {"peer": PEERS[peer], "version": version, "role": role, "end": end}


def finish(transcript: dict[str, Any], recorder: Recorder, counted: dict[str, Any]) -> None:
    """
    Put in what was recorded.

    @param counted: what our end counted.
    """
    assert recorder.isQuiet, "a packet has no reply yet"
    transcript.update(epoch=recorder.epoch, events=recorder.events, counted=counted)


def keep(
    name: str, transcript: dict[str, Any], player: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """
    Replay a transcript and, if that is asked for, write it into the tests of the package.

    @param player: plays it as JSON gives it back, and raises if that cannot be.
    @return: the transcript as JSON gives it back.
    """
    head = {key: value for key, value in transcript.items() if key != "events"}
    events = ",\n  ".join(json.dumps(event) for event in transcript["events"])
    text = json.dumps(head, indent=1)[:-2] + f',\n "events": [\n  {events}\n ]\n}}\n'
    read: dict[str, Any] = json.loads(text)
    player(read)
    if os.environ.get(WANTED) == "write":
        (FOLDER / f"{name}.json").write_text(text, encoding="ascii")
    return read
