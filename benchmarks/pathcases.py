"""
The cases of C{paths}: what is sent over which path, and what must come of it.

Every case is a function from options to figures. Variants of a path (seeds, round trips, sizes) are
lists at the top; a short run takes the first of each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from measure import Figure, Options
from simulation import BIN, PLENTY, Meter, World

from txilpstream.testing import (
    Hop,
    LiquidityBucket,
    Loss,
    MaximumPacketAmount,
    MoneyInFlight,
    PacketRate,
    RejectWith,
)

AMOUNT = 1000
"""Units that the largest packet carries."""

RAFIKI = 10_000 / 60
"""Packets per second that Rafiki lets pass by default."""

SETTLED = 10.0
"""Seconds at the beginning of which the share of rejects is not asked."""

CHANGED = 20.0
"""Seconds between two changes of a path's capacity."""

SHARED = 200.0
"""Packets per second of the path that connections share."""

Variant = TypeVar("Variant")


def variants(options: Options, *all_: Variant) -> Sequence[Variant]:
    """All variants of a path, or the first in a short run."""
    return all_[:1] if options.isSmoke else all_


def seconds(options: Options, full: float, smoke: float) -> float:
    """How long a path is used, in virtual time."""
    return smoke if options.isSmoke else full


def begin(hops: Sequence[Hop], total: int = PLENTY, **place: Any) -> tuple[World, Any, float]:
    """Offer money on one connection; gives the world, the stream and the moment."""
    world = World([MaximumPacketAmount(AMOUNT), *hops], **place)
    _, stream = world.connect()
    start = world.settle()
    stream.setSendMax(total)
    return world, stream, start


def atMost(name: str, values: Iterable[float], unit: str, goal: float) -> Figure:
    """The largest of several values."""
    return Figure(name, max(values), unit, goal)


def atLeast(name: str, values: Iterable[float], unit: str, goal: float) -> Figure:
    """The smallest of several values."""
    return Figure(name, min(values), unit, goal, isLeast=True)


# --- 1. The largest packet alone ---------------------------------------------------------------


def measureLargest(options: Options) -> list[Figure]:
    """Nothing but F08 at 1/10,000 of the amount."""
    figures = []
    for withAmounts in (True, False):
        reached, steady = [], []
        count = options.count(10_000, 4_000)
        world = World([MaximumPacketAmount(AMOUNT, withAmounts)])
        _, stream = world.connect()
        start = world.settle()
        stream.setSendMax(count * AMOUNT)
        world.run(60.0, lambda s=stream, n=count: s.totalSent == n * AMOUNT)
        end = world.clock.seconds()
        reached.append(world.meter.reached(2000, start))
        first = int((start + reached[-1]) / BIN) * BIN - BIN
        last = int(end / BIN) * BIN
        steady.append(world.meter.packets(first, last) / max(BIN, last - first))
        how = "with" if withAmounts else "without"
        name = f"F08 {how} amounts, 50 ms"
        figures.append(atLeast(f"{name}: steady", steady, "packets/s", 2000))
        figures.append(atMost(f"{name}: 2,000 packets/s after", reached, "s", 1.0))
    return figures


# --- 2. Packets per time ------------------------------------------------------------------------


def measureBuckets(options: Options) -> list[Figure]:
    """A bucket of packets that answers T05."""
    figures = []
    span = seconds(options, 300.0, 20.0)
    for burst in (10_000, 10):
        used, rejected = [], []
        for roundTrip, seed in variants(options, (0.05, 1), (0.2, 3)):
            hops = [PacketRate(RAFIKI, burst)]
            world, _, start = begin(hops, roundTrip=roundTrip, seed=seed)
            world.run(span)
            meter = world.meter
            capacity = burst + RAFIKI * span
            used.append(100 * meter.packets(start, start + span) / capacity)
            rejected.append(meter.share(start + SETTLED, start + span))
        name = f"T05, 10,000 packets/min, burst {burst:,}"
        figures.append(atLeast(f"{name}: used", used, "%", 99))
        figures.append(atMost(f"{name}: rejected", rejected, "%", 0.8))
    return figures


# --- 3. Money per time, money in flight, and capacity that changes ------------------------------


def measureLiquidity(options: Options) -> list[Figure]:
    """T04 from a bucket that is refilled, and from a limit on money in flight."""
    figures = []
    span = seconds(options, 60.0, 12.0)
    for name, capacity in variants(
        options,
        ("T04, bucket", 10 * AMOUNT),
        ("T04, bucket, largest packet never fits", AMOUNT * 7 // 10),
    ):
        used, rejected = [], []
        for perSecond, roundTrip in variants(
            options, (100 * AMOUNT, 0.05), (20 * AMOUNT, 0.01), (20 * AMOUNT, 0.2)
        ):
            hops = [LiquidityBucket(capacity, perSecond)]
            world, _, start = begin(hops, roundTrip=roundTrip)
            world.run(span)
            meter = world.meter
            took = meter.units(start + SETTLED, start + span)
            used.append(100 * took / (perSecond * (span - SETTLED)))
            rejected.append(meter.share(start + SETTLED, start + span))
        figures.append(atLeast(f"{name}: used", used, "%", 98))
        figures.append(atMost(f"{name}: rejected", rejected, "%", 1.5))
    for name, limit in variants(
        options,
        ("T04, in flight", AMOUNT * 55 // 10),
        ("T04, in flight, largest packet never fits", AMOUNT * 7 // 10),
    ):
        used, rejected = [], []
        for roundTrip in variants(options, 0.05, 0.2):
            world, _, start = begin([MoneyInFlight(limit)], roundTrip=roundTrip, near=0.0)
            world.run(span)
            meter = world.meter
            took = meter.units(start + SETTLED, start + span)
            used.append(100 * took * roundTrip / (limit * (span - SETTLED)))
            rejected.append(meter.share(start + SETTLED, start + span))
        figures.append(atLeast(f"{name}: used", used, "%", 98))
        figures.append(atMost(f"{name}: rejected", rejected, "%", 1.5))
    return figures


class Changing:
    """A hop whose capacity is halved, then doubled again."""

    def __init__(self, kind: str, perSecond: float) -> None:
        """
        @param kind: the code that it answers, or C{"in flight"}.
        @param perSecond: packets of the largest amount that it takes.
        """
        self._kind = kind
        self._perSecond = perSecond
        self.place = {"roundTrip": 0.05, "near": 0.0}
        self.hops = self.build(1.0)

    def build(self, part: float) -> list[Hop]:
        """Hops with so large a part of the capacity."""
        perSecond = part * self._perSecond
        if self._kind == "T05":
            return [PacketRate(perSecond, 50)]
        if self._kind == "T04":
            return [LiquidityBucket(10 * AMOUNT, int(perSecond * AMOUNT))]
        return [MoneyInFlight(int(perSecond * AMOUNT * self.place["roundTrip"]))]


class Switch(Hop):
    """Lets packets through one of several hops, which may be exchanged."""

    def __init__(self, hop: Hop) -> None:
        super().__init__(direction="left")
        self.hop = hop
        self._taken: dict[object, Hop] = {}

    def receivePrepare(self, packet: Any) -> Any:
        """Ask the hop of the moment."""
        self.hop.path, self.hop.address = self.path, self.address
        self._taken[packet] = self.hop
        verdict = self.hop.receivePrepare(packet)
        if verdict is not None:
            del self._taken[packet]
        return verdict

    def receiveReply(self, packet: Any) -> Any:
        """Tell the hop that let the packet pass."""
        return self._taken.pop(packet).receiveReply(packet)


def measureChanges(options: Options) -> list[Figure]:
    """The capacity is halved, then doubled: what comes through ten seconds later."""
    figures = []
    for kind in variants(options, "T05", "T04", "in flight"):
        off: dict[str, list[float]] = {"halved": [], "doubled": []}
        for perSecond in variants(options, 200.0, 500.0):
            changing = Changing(kind, perSecond)
            switch = Switch(changing.hops[0])
            world, _, start = begin([switch], **changing.place)
            world.run(CHANGED)
            for name, part in (("halved", 0.5), ("doubled", 1.0)):
                switch.hop = changing.build(part)[0]
                start += CHANGED
                world.run(start + CHANGED - world.clock.seconds())
                took = world.meter.units(start + SETTLED, start + SETTLED + 2) / 2
                off[name].append(abs(100 * took / (part * perSecond * AMOUNT) - 100))
        for name, values in off.items():
            figures.append(atMost(f"{kind}, {name}: off after 10 s", values, "%", 10))
    return figures


# --- 4. Rejects that say nothing -----------------------------------------------------------------


def throughput(meter: Meter, start: float, end: float) -> float:
    """Packets per second from one moment to another."""
    return meter.packets(start, end) / (end - start)


def measureTemporary(options: Options) -> list[Figure]:
    """Some packets are answered T00 at random, on a path without limits and on one with."""
    figures = []
    for share, goal in variants(options, (20, 40), (5, 75), (1, 90)):
        free, limited = [], []
        for seed in variants(options, 1, 2):
            count = options.count(10_000, 1_500)
            took = []
            for chance in (0, share / 100):
                hops = [RejectWith("T00", chance)]
                world, stream, start = begin(hops, count * AMOUNT, seed=seed)
                world.run(60.0, lambda s=stream, n=count: s.totalSent == n * AMOUNT)
                took.append(world.clock.seconds() - start)
            free.append(100 * took[0] / took[1])
            span = seconds(options, 60.0, 8.0)
            rates = []
            for chance in (0, share / 100):
                hops = [RejectWith("T00", chance), PacketRate(RAFIKI, 100)]
                world, _, start = begin(hops, seed=seed)
                world.run(span)
                rates.append(throughput(world.meter, start, start + span))
            limited.append(100 * rates[1] / rates[0])
        figures.append(atLeast(f"T00 for {share} %: throughput", free, "%", goal))
        figures.append(atLeast(f"T00 for {share} %, T05 too: throughput", limited, "%", goal))
    return figures


def measureLoss(options: Options) -> list[Figure]:
    """A bucket of packets that answers T00."""
    used, rejected = [], []
    span = seconds(options, 120.0, 30.0)
    for perSecond, burst, seed in variants(
        options, (RAFIKI, 10, 1), (RAFIKI, 1000, 2), (500.0, 100, 3)
    ):
        world, _, start = begin([PacketRate(perSecond, burst, "T00")], seed=seed)
        world.run(span)
        meter = world.meter
        capacity = perSecond * (span - SETTLED)
        used.append(100 * meter.packets(start + SETTLED, start + span) / capacity)
        rejected.append(meter.share(start + SETTLED, start + span))
    return [
        atLeast("bucket that answers T00: used", used, "%", 90),
        atMost("bucket that answers T00: rejected", rejected, "%", 5),
    ]


def measureSilence(options: Options) -> list[Figure]:
    """One packet in a hundred is never answered: nothing hangs, and every unit is accounted for."""
    missing, waiting = [], []
    for seed in variants(options, 1, 2, 3):
        count = options.count(3_000, 1_000)
        world, stream, start = begin([Loss(0.005, 0.005)], 0, seed=seed)
        results: list[Any] = []
        stream.sendMoney(count * AMOUNT).addBoth(results.append)
        world.run(600.0, lambda r=results: bool(r))
        total = stream.totalSent + stream.totalInDoubt
        missing.append(abs(count * AMOUNT - total))
        waiting.append(world.clock.seconds() - start)
    return [
        atMost("1 % without an answer: units unaccounted for", missing, "", 0),
        atMost("1 % without an answer: over after", waiting, "s", 120),
    ]


# --- 5. Several connections ---------------------------------------------------------------------


def shares(world: World, start: float, end: float) -> list[int]:
    """Packets of each connection from one moment to another."""
    first, last = round(start / BIN), round(end / BIN)
    return [
        sum(count for slice_, count in slices.items() if first <= slice_ < last)
        for slices in world.meter.bySender.values()
    ]


def measureFairness(options: Options) -> list[Figure]:
    """Connections share a bottleneck, each begun three seconds after the one before."""
    figures = []
    for count in variants(options, 2, 10):
        index, used = [], []
        for burst, seed, roundTrip in variants(
            options, (10, 1, 0.05), (200, 2, 0.05), (10, 3, 0.1), (200, 4, 0.02)
        ):
            hops = [MaximumPacketAmount(AMOUNT), PacketRate(SHARED, burst)]
            world = World(hops, roundTrip=roundTrip, seed=seed)
            begun = world.settle()
            for _ in range(count):
                world.connect()[1].setSendMax(PLENTY)
                last = world.clock.seconds()
                begun += 3.0
                world.run(begun - last)
            start = world.settle() - 3.0 + seconds(options, 60.0, 30.0)
            end = start + seconds(options, 90.0, 30.0)
            world.run(end - world.clock.seconds())
            packets = shares(world, start, end)
            squares = sum(each * each for each in packets)
            index.append(sum(packets) ** 2 / (len(packets) * squares))
            used.append(100 * sum(packets) / (SHARED * (end - start)))
        figures.append(atLeast(f"{count} connections: Jain's index", index, "", 0.97))
        figures.append(atLeast(f"{count} connections: used", used, "%", 97))
    return figures
