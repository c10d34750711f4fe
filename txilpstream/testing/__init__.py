"""
A whole Interledger path without a network, for tests of whatever uses txilpstream.

L{SimulatedPath} has two ends, which are plugins, and between them a list of hops: latency, an
exchange rate, limits, and everything that goes wrong on real paths. Time comes from the reactor
that is passed (C{twisted.internet.task.Clock} makes it virtual), and chance from a seed, so that
a run can be repeated to the last packet::

    clock = Clock()
    path = SimulatedPath(
        clock,
        hops=[Latency(0.025), Rate(Ratio(9, 10)), MaximumPacketAmount(1000), Loss(0.01)],
        seed=7,
    )

The path keeps the books: what it took at one end and gave at the other, see L{PathCounters}. A hop
of your own is a subclass of L{Hop}.
"""

from txilpstream.testing.delays import Latency, Reorder
from txilpstream.testing.faults import (
    Duplicate,
    Loss,
    RejectWith,
    SwapReplies,
    TamperAmount,
    TamperData,
)
from txilpstream.testing.hop import Direction, Gone, Hop, Side, Transit
from txilpstream.testing.limits import (
    Expiry,
    LiquidityBucket,
    MaximumPacketAmount,
    MoneyInFlight,
    PacketRate,
)
from txilpstream.testing.path import PathCounters, PathEnd, SimulatedPath
from txilpstream.testing.rates import Rate, linearDrift

__all__ = [
    "Direction",
    "Duplicate",
    "Expiry",
    "Gone",
    "Hop",
    "Latency",
    "LiquidityBucket",
    "Loss",
    "MaximumPacketAmount",
    "MoneyInFlight",
    "PacketRate",
    "PathCounters",
    "PathEnd",
    "Rate",
    "RejectWith",
    "Reorder",
    "Side",
    "SimulatedPath",
    "SwapReplies",
    "TamperAmount",
    "TamperData",
    "Transit",
    "linearDrift",
]
