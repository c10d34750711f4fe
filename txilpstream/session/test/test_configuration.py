"""Tests of C{txilpstream.session.configuration}."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from txilpstream.amounts import U64_MAX, Ratio
from txilpstream.crypto.keys import SessionKeys
from txilpstream.errors import LocalError
from txilpstream.session.configuration import (
    ANSWER_MARGIN,
    MAX_FRAGMENT_SIZE,
    SessionConfiguration,
    SessionOptions,
)
from txilpstream.wire import ilp
from txilpstream.wire.address import MAX_ADDRESS_LENGTH
from txilpstream.wire.frames import StreamData
from txilpstream.wire.packet import encodePacket

BOUNDS = [
    ("maximumPacketAmount", 1, U64_MAX),
    ("maximumPacketsPerSecond", 1, 1_000_000),
    ("maximumInFlight", 1, 100_000),
    ("streamWindow", 1, 1 << 40),
    ("connectionWindow", 1, 1 << 40),
    ("maximumStreamID", 0, U64_MAX),
    ("fragmentSize", 1, MAX_FRAGMENT_SIZE),
    ("maximumPacketCount", 2, 1 << 31),
    ("padTo", 0, MAX_FRAGMENT_SIZE),
    ("sourceAssetScale", 0, 255),
]

NAN = float("nan")


def configure(**fields: Any) -> SessionConfiguration:
    """A configuration with these fields, of whatever type."""
    return SessionConfiguration(**fields)


def optionHints() -> dict[str, Any]:
    """The types of options as they are written."""
    return dict(SessionOptions.__annotations__)


class SessionConfigurationTests(SynchronousTestCase):
    """What is a configuration."""

    def test_defaults(self) -> None:
        """The defaults are in their own bounds, and nobody changes them afterwards."""
        configuration = SessionConfiguration()
        self.assertRaises(FrozenInstanceError, setattr, configuration, "padTo", 1)
        self.assertIs(configuration.minimumRate, None)
        self.assertFalse(configuration.acceptAnyRate)

    def test_options(self) -> None:
        """An application may set every field but what credentials and addresses say."""
        types = SessionConfiguration.__annotations__
        options = {name: hint.__forward_arg__ for name, hint in optionHints().items()}
        self.assertEqual(options, {name: types[name] for name in options})
        self.assertEqual(
            set(types) - set(options),
            {
                *("isServer", "destinationAddress", "sourceAddress", "connectionTag"),
                *("encryptedBefore", "receiptNonce", "receiptSecret"),
            },
        )

    def test_padTo(self) -> None:
        """Data is cut so that its packets are no larger than others; less is left as it is."""
        for padTo, asked, fragmentSize in (
            (0, 31000, 31000),
            (31000, 31000, 30800),
            (2000, 31000, 1800),
            (2000, 1000, 1000),
            (300, 31000, 150),
            (1, 31000, 64),
            (1, 10, 10),
        ):
            configuration = SessionConfiguration(padTo=padTo, fragmentSize=asked)
            self.assertEqual(configuration.fragmentSize, fragmentSize)

    def test_functions(self) -> None:
        """What is to be a function is one, or nothing."""
        given: Any = "fast"
        for name in ("congestionControl", "trace"):
            error = self.assertRaises(LocalError, SessionConfiguration, **{name: given})
            self.assertIn(f"{name} is a string of 4 characters: it takes a function", str(error))

    def test_secret(self) -> None:
        """What is shown of a configuration does not hold the secret of the receipts."""
        secret = b"S" * 32
        configuration = SessionConfiguration(receiptNonce=bytes(16), receiptSecret=secret)
        self.assertEqual(configuration.receiptSecret, secret)
        self.assertNotIn("SSS", repr(configuration))

    def test_amounts(self) -> None:
        """Each limit has its own limits; the error names all of it."""
        for name, least, most in BOUNDS:
            for value in (least, most):
                self.assertEqual(getattr(configure(**{name: value}), name), value)
            for value in (least - 1, most + 1):
                error = self.assertRaises(LocalError, configure, **{name: value})
                self.assertIn(f"{name} is {value}: it must be from {least} to {most}", str(error))
            self.assertRaises(LocalError, configure, **{name: 1.5})

    def test_addresses(self) -> None:
        """Addresses are valid or empty."""
        for name in ("destinationAddress", "sourceAddress"):
            for value in ("", "g.acme.bob"):
                self.assertEqual(getattr(configure(**{name: value}), name), value)
            error = self.assertRaises(LocalError, configure, **{name: "nonsense"})
            self.assertIn("'nonsense'", str(error))

    def test_slippage(self) -> None:
        """No more than all can be lost."""
        for good in (Ratio(0), Ratio(1)):
            self.assertEqual(SessionConfiguration(slippage=good).slippage, good)
        error = self.assertRaises(LocalError, configure, slippage=Ratio(101, 100))
        self.assertEqual(str(error), "the slippage 101/100 must be from 0 to 1")

    def test_times(self) -> None:
        """Times have limits, and what is not a number is beyond them."""
        for value in (1.0, 3600.0):
            self.assertEqual(
                SessionConfiguration(packetExpiry=value, deadlineSinceFulfill=4000).packetExpiry,
                value,
            )
        for value in (1.0, 1e9):
            self.assertEqual(SessionConfiguration(idleTimeout=value).idleTimeout, value)
        for name, bad in (
            ("packetExpiry", (0, 0.9, 3601, NAN)),
            ("idleTimeout", (-1, 0.9, 2e9, NAN, float("inf"))),
        ):
            for value in bad:
                error = self.assertRaises(
                    LocalError, configure, deadlineSinceFulfill=1e6, **{name: value}
                )
                self.assertIn(f"{name} is {value} ", str(error))

    def test_expirySpread(self) -> None:
        """A packet has at least a second, whatever is taken from its time."""
        for value in (0, 0.5, 29):
            self.assertEqual(SessionConfiguration(expirySpread=value).expirySpread, value)
        for bad in (-0.1, 29.5, NAN):
            error = self.assertRaises(LocalError, configure, expirySpread=bad)
            self.assertEqual(
                str(error),
                f"expirySpread is {bad} s: it must be from 0 to 1 s less than the packetExpiry of "
                "30.0 s",
            )
        error = self.assertRaises(LocalError, configure, expirySpread="1")
        self.assertIn("a number of seconds", str(error))

    def test_deadline(self) -> None:
        """
        The deadline outlasts a packet that is never answered. One that is not a number would
        never have come.
        """
        least = 10 + ANSWER_MARGIN
        configure(packetExpiry=10.0, deadlineSinceFulfill=least + 0.1)
        for value in (least, 0.0, -1.0, NAN):
            error = self.assertRaises(
                LocalError, configure, packetExpiry=10.0, deadlineSinceFulfill=value
            )
            self.assertEqual(
                str(error),
                f"deadlineSinceFulfill is {value} s: it must be more than the packet expiry of "
                f"10.0 s and {ANSWER_MARGIN} s",
            )

    def test_fragmentSize(self) -> None:
        """The largest fragment fits into what the strictest peer takes."""
        frame = StreamData(U64_MAX, U64_MAX - MAX_FRAGMENT_SIZE, bytes(MAX_FRAGMENT_SIZE))
        plain = encodePacket(U64_MAX, ilp.PREPARE, U64_MAX, [frame])
        envelope = SessionKeys(bytes(32)).seal(plain, bytes(12))
        address = "g." + "a" * (MAX_ADDRESS_LENGTH - 2)
        octets = ilp.encodePrepare(U64_MAX, ilp.encodeTimestamp(0), bytes(32), address, envelope)
        self.assertLessEqual(len(octets), 32767)
