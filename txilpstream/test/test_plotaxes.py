"""Tests of C{txilpstream.plotaxes}, as far as nothing is drawn."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txilpstream import plotaxes
from txilpstream.plotaxes import byteScaleOf, roundWords, scaleOf, stepsOf
from txilpstream.trace.series import Series


class UnitTests(SynchronousTestCase):
    """Units in which numbers are short."""

    def test_scale(self) -> None:
        """Words for large amounts; small ones are written as they are."""
        for amount, expected in (
            (0, (1, "")),
            (9_999, (1, "")),
            (10_000, (1e3, "thousand ")),
            (5e9, (1e9, "billion ")),
            (2**64, (1e18, "quintillion ")),
        ):
            self.assertEqual(scaleOf(amount), expected)

    def test_words(self) -> None:
        """Round numbers."""
        for value, expected in (
            (0.0, "0"),
            (1_000.0, "1,000"),
            (1e4, "10 thousand"),
            (1e7, "10 million"),
        ):
            self.assertEqual(roundWords(value), expected)

    def test_bytes(self) -> None:
        """Powers of 1024."""
        for count, unit in (
            (1023, "bytes"),
            (1024, "KiB"),
            (1 << 20, "MiB"),
            (1 << 30, "GiB"),
            (1 << 45, "TiB"),
        ):
            self.assertEqual(byteScaleOf(count)[1], unit)

    def test_steps(self) -> None:
        """The last value lasts until the end."""
        series = Series()
        series.add(1.0, 5.0)
        self.assertEqual(stepsOf(series, 9.0), ([1.0, 9.0], [5.0, 5.0]))

    def test_public(self) -> None:
        """All names are there."""
        for name in plotaxes.__all__:
            self.assertTrue(hasattr(plotaxes, name), name)
