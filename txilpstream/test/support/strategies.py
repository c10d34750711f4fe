"""
Property tests: a decorator that tries the same values in each run, and strategies for packets.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from txilpstream.amounts import U64_MAX
from txilpstream.wire import frames, ilp
from txilpstream.wire.packet import StreamPacket

SHARE: Final = int(os.environ.get("TXILPSTREAM_EXAMPLES") or 100)
"""Percent of the values that property tests are made for; fewer where the rest was tried before."""


def forAll(
    *strategies: st.SearchStrategy[Any], examples: int = 100
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """
    Run a test method for values of these strategies: the same values each time, without a
    deadline, so that a slow or busy machine changes nothing.
    """
    chosen = settings(
        derandomize=True,
        deadline=None,
        database=None,
        max_examples=max(1, examples * SHARE // 100),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        return chosen(given(*strategies)(test))

    return decorate


octets: Final = st.binary(max_size=300)
"""Any octets, with lengths on both sides of where a length prefix grows."""

uint8: Final = st.integers(0, 255)

uint64: Final = st.one_of(
    st.integers(0, 300), st.integers(0, U64_MAX), st.sampled_from([2**32 - 1, 2**63, U64_MAX])
)

texts: Final = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)

segments: Final = st.text("abcXYZ019_~-", min_size=1, max_size=8)

addresses: Final = st.builds(
    lambda scheme, parts: ".".join([scheme, *parts]),
    st.sampled_from(["g", "private", "example", "peer", "self", "test", "test1", "local"]),
    st.lists(segments, min_size=1, max_size=4),
)

milliseconds: Final = st.integers(0, 253402300799999)
"""Times from 1970 to the end of 9999."""

anyFrame: Final[st.SearchStrategy[frames.Frame]] = st.one_of(
    st.builds(frames.ConnectionClose, uint8, texts),
    st.builds(frames.ConnectionNewAddress, st.one_of(st.just(""), addresses)),
    st.builds(frames.ConnectionMaxData, uint64),
    st.builds(frames.ConnectionDataBlocked, uint64),
    st.builds(frames.ConnectionMaxStreamID, uint64),
    st.builds(frames.ConnectionStreamIDBlocked, uint64),
    st.builds(frames.ConnectionAssetDetails, texts, uint8),
    st.builds(frames.StreamClose, uint64, uint8, texts),
    st.builds(frames.StreamMoney, uint64, uint64),
    st.builds(frames.StreamMaxMoney, uint64, uint64, uint64),
    st.builds(frames.StreamMoneyBlocked, uint64, uint64, uint64),
    st.builds(frames.StreamData, uint64, st.integers(0, U64_MAX - 300), octets),
    st.builds(frames.StreamMaxData, uint64, uint64),
    st.builds(frames.StreamDataBlocked, uint64, uint64),
    st.builds(frames.StreamReceipt, uint64, octets),
)

streamPackets: Final = st.builds(
    StreamPacket,
    uint64,
    st.sampled_from([ilp.PREPARE, ilp.FULFILL, ilp.REJECT]),
    uint64,
    st.lists(anyFrame, max_size=6),
)

prepares: Final = st.builds(
    ilp.Prepare,
    uint64,
    milliseconds.map(lambda value: ilp.encodeTimestamp(value / 1000)),
    st.binary(min_size=32, max_size=32),
    addresses,
    octets,
)

fulfills: Final = st.builds(ilp.Fulfill, st.binary(min_size=32, max_size=32), octets)

rejects: Final = st.builds(
    ilp.Reject,
    st.sampled_from([*ilp.ERROR_NAMES, "X42"]),
    st.one_of(st.just(""), addresses),
    texts,
    octets,
)


def encodeAny(packet: ilp.Prepare | ilp.Fulfill | ilp.Reject) -> bytes:
    """The octets of any ILP packet."""
    if isinstance(packet, ilp.Prepare):
        return ilp.encodePrepare(
            packet.amount,
            packet.timestamp,
            packet.executionCondition,
            packet.destination,
            packet.data,
        )
    if isinstance(packet, ilp.Fulfill):
        return ilp.encodeFulfill(packet.fulfillment, packet.data)
    return ilp.encodeReject(packet.code, packet.triggeredBy, packet.message, packet.data)


@st.composite
def mutated(draw: st.DrawFn, valid: st.SearchStrategy[bytes]) -> bytes:
    """Valid octets after a few changes: some overwritten, taken out, put in, or cut off."""
    changed = bytearray(draw(valid))
    for _ in range(draw(st.integers(1, 4))):
        pos = draw(st.integers(0, len(changed)))
        action = draw(st.sampled_from(["overwrite", "remove", "insert", "truncate"]))
        if action == "overwrite":
            changed[pos : pos + 1] = bytes([draw(uint8)])
        elif action == "remove":
            del changed[pos : pos + draw(st.integers(1, 4))]
        elif action == "insert":
            changed[pos:pos] = draw(st.binary(min_size=1, max_size=4))
        else:
            del changed[pos:]
    return bytes(changed)
