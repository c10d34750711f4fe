"""
What C{compare.py} measures: for each contest the work of both sides, and what is read from it.

The work of both sides is the same, written once; where one of them cannot do as much in the time,
its own count is named. Letters are those of the list in C{docs/comparison.rst}.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from comparepaths import Network
from compareprocesses import node, once, python

Result = dict[str, Any]

MIB = 1 << 20

STREAM = "ilp-protocol-stream"
RECEIVER = "stream-receiver"
PAY = "pay"
PAY_ALPHA = "pay-alpha"

OPERATIONS = [
    *(
        f"{packet}: {operation}"
        for packet in ("money", "reply", "data")
        for operation in ("encode", "decode", "encode and seal", "open and decode")
    ),
    *(
        f"ILP {packet}: {operation}"
        for packet in ("Prepare", "Fulfill")
        for operation in ("encode", "decode")
    ),
]
"""As both sides name them."""


@dataclass(frozen=True)
class Measure:
    """
    One figure of a contest.

    @ivar letter: the item of the list that it belongs to.
    @ivar unit: what it is counted in.
    @ivar read: takes it from a result.
    @ivar isRate: whether more of it is better.
    @ivar goal: the ratio, ours to theirs: at least that for a rate, at most for a cost.
    """

    letter: str
    unit: str
    read: Callable[[Result], float]
    isRate: bool = False
    goal: float | None = None


@dataclass(frozen=True)
class Contest:
    """
    Work that each side does in a process of its own, which ends with it.

    @ivar name: what is done.
    @ivar peer: with which package the other side does it, by its name in C{interop/package.json}.
    @ivar ours: the word for C{compareours.py}.
    @ivar theirs: the word for C{interop/bench.js}.
    @ivar order: the work.
    @ivar smoke: what is different of it in a short run.
    @ivar oursOnly: what is different of it for our side, whatever else.
    """

    name: str
    peer: str
    ours: str
    theirs: str
    order: Result
    smoke: Result
    measures: list[Measure]
    oursOnly: Result = field(default_factory=dict)

    def open(self, isSmoke: bool) -> Callable[[str], Result]:
        """What measures a side once."""

        def measure(side: str) -> Result:
            order = {**self.order, **(self.smoke if isSmoke else {})}
            if side == "ours":
                order |= {} if isSmoke else self.oursOnly
                return once(python("compareours.py", self.ours, json.dumps(order)))
            return once(node("bench.js", self.theirs, json.dumps(order)))

        return measure

    def close(self) -> None:
        """Nothing is left."""


class PathContest:
    """
    A payment through the peers' connectors.

    @ivar name: what is done.
    @ivar peer: as in L{Contest}.
    """

    def __init__(self, name: str, isHTTP: bool, packets: int, goal: float) -> None:
        self.name = name
        self.peer = STREAM
        self._isHTTP = isHTTP
        self._packets = packets
        self._network: Network | None = None
        self.measures = [
            Measure("f", "packets/s", perSecond, True, goal),
            Measure("f", "µs of CPU per packet, client and server", endsCPU, goal=1 / goal),
            Measure(
                "f", "µs of CPU per packet, connectors", lambda found: perPacket(found, "path")
            ),
            Measure("g", "MiB at most, client", lambda found: found["peak"]["client"], goal=1),
            Measure("g", "MiB at most, server", lambda found: found["peak"]["server"], goal=1),
        ]

    def open(self, isSmoke: bool) -> Callable[[str], Result]:
        """
        Start the network; gives what measures a side once.

        @raise Failed: if something does not start.
        """
        packets = 100 if isSmoke else self._packets
        self._network = network = Network(self._isHTTP, packets // 4)
        network.open()
        return lambda side: network.pay(side, packets)

    def close(self) -> None:
        """End the network."""
        if self._network is not None:
            self._network.close()
            self._network = None


def perSecond(found: Result) -> float:
    """How many per second of time on the wall."""
    return float(found["count"] / found["wall"])


def perPacket(found: Result, who: str) -> float:
    """µs of processor time of one of several processes."""
    return float(found["cpu"][who] / found["count"] * 1e6)


def endsCPU(found: Result) -> float:
    """µs of processor time of both ends."""
    return perPacket(found, "client") + perPacket(found, "server")


def pathCPU(found: Result) -> float:
    """µs of processor time of all connectors."""
    return perPacket(found, "path")


def cpuEach(found: Result) -> float:
    """µs of processor time of one packet or connection."""
    return float(found["cpu"] / found["count"] * 1e6)


def peak(found: Result) -> float:
    """MiB."""
    return float(found["peak"])


MEMORY = Measure("g", "MiB at most", peak, goal=1)


def operation(name: str, found: Result) -> float:
    """How often an operation was done per second of processor time."""
    return float(found["rates"][name])


def packets(letter: str, goal: float) -> list[Measure]:
    """Packets of money by both measures, and the memory."""
    return [
        Measure(letter, "packets/s", perSecond, True, goal),
        Measure(letter, "µs of CPU per packet", cpuEach, goal=1 / goal),
        MEMORY,
    ]


def _data(letter: str, goal: float, isCPU: bool) -> list[Measure]:
    speed = Measure(letter, "MB/s", lambda found: perSecond(found) / 1e6, True, goal)
    cost = Measure(
        letter,
        "ms of CPU per MB",
        lambda found: found["cpu"] * 1e3 / (found["count"] / 1e6),
        goal=1 / goal,
    )
    return [speed, cost, MEMORY] if isCPU else [speed, MEMORY]


def _receiving(name: str, peer: str, ours: str, theirs: str, goal: float) -> Contest:
    order = {"count": 10000, "warm": 5000, "inFlight": 100}
    smoke = {"count": 1000, "warm": 100}
    return Contest(name, peer, ours, theirs, order, smoke, packets("b", goal))


def _first(name: str, rate: str, goal: float | None) -> Contest:
    order = {"count": 9, "oneWayMs": 25, "rate": rate}
    measure = Measure("d", "ms", lambda found: found["wall"] * 1e3, goal=goal)
    return Contest(name, STREAM, "first", "first", order, {"count": 3}, [measure, MEMORY])


def _far(peer: str, word: str, order: Result, smoke: Result, goal: float, own: Result) -> Contest:
    name = f"money, 50 ms round trip, {order['count']} packets"
    if own:
        name = f"money, 50 ms round trip, some {FAR_SECONDS} seconds"
    order = {**order, "oneWayMs": 25}
    measures = [Measure("e", "packets/s", perSecond, True, goal), MEMORY]
    return Contest(name, peer, "money", word, order, smoke, measures, own)


FAR_SECONDS = 5
"""How long each side sends over the long path where the peer's rate is the same from its first
packet on, one in flight, and a payment as large as ours would take it ten minutes."""

LOCAL_DATA = {"count": 64 * MIB, "warm": 32 * MIB}
FAR_DATA = {"count": 3 * MIB // 2, "warm": 0, "oneWayMs": 25}

CONTESTS: list[Contest | PathContest] = [
    Contest(
        "money, both ends in one process",
        STREAM,
        "money",
        "money",
        {"count": 20000, "warm": 2000},
        {"count": 1000, "warm": 100},
        packets("a", 3),
    ),
    _receiving("receiving alone: our server", STREAM, "server", "server", 2),
    _receiving("receiving alone: our server", RECEIVER, "server", "receiver", 1.5),
    _receiving("receiving alone: our stateless receiver", RECEIVER, "receiver", "receiver", 1.5),
    Contest(
        "data, both ends in one process",
        STREAM,
        "data",
        "data",
        LOCAL_DATA,
        {"count": 4 * MIB, "warm": MIB},
        _data("c", 3, True),
    ),
    Contest(
        "connections opened and closed, both ends in one process",
        STREAM,
        "setup",
        "setup",
        {"count": 500, "warm": 100},
        {"count": 50, "warm": 10},
        [
            Measure("d", "per second", perSecond, True),
            Measure("d", "µs of CPU per connection", cpuEach),
            MEMORY,
        ],
    ),
    _first("first unit, 50 ms round trip, as each side comes", "default", 0.5),
    _first("first unit, 50 ms round trip, any rate accepted", "any", 0.5),
    _first("first unit, 50 ms round trip, rate asked for by both", "measured", None),
    _first("first unit, 50 ms round trip, rate given to both", "given", None),
    _far(STREAM, "money", {"count": 90, "warm": 2}, {"count": 20}, 100, {"count": 12000}),
    _far(PAY, "pay", {"count": 2000, "warm": 0}, {"count": 200}, 15, {}),
    _far(PAY_ALPHA, "pay-alpha", {"count": 1000, "warm": 0}, {"count": 50}, 15, {}),
    Contest(
        f"data, 50 ms round trip, some {FAR_SECONDS} seconds",
        STREAM,
        "data",
        "data",
        FAR_DATA,
        {"count": MIB // 2},
        _data("e", 50, False),
        {"count": 80 * MIB},
    ),
    PathContest("money, ilp-connector over BTP between processes", False, 2000, 3),
    PathContest("money, two ilp-connectors over HTTP between processes", True, 1000, 2),
    Contest(
        "codec",
        STREAM,
        "codec",
        "codec",
        {"seconds": 0.3},
        {"seconds": 0.03},
        [
            *[
                Measure("h", f"{name}, per second of CPU", partial(operation, name), True)
                for name in OPERATIONS
            ],
            MEMORY,
        ],
    ),
]
"""In the order in which they run."""
