"""Tests of C{txilpstream.cli.options}: what the commands that pay read and show."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from txilpstream.amounts import Ratio
from txilpstream.cli.options import (
    addTermArguments,
    asPlain,
    checkTerms,
    fromUnits,
    inUnits,
    readTerms,
)
from txilpstream.errors import LocalError, RejectSeen
from txilpstream.interfaces import PaymentResult

USD = ("USD", 9)
EUR = ("EUR", 2)


class TermTests(SynchronousTestCase):
    """Words of a command become terms."""

    def terms(self, *words: str, source: Any = USD, destination: Any = EUR) -> dict[str, Any]:
        """What is meant by the words after the destination."""
        parser = ArgumentParser()
        addTermArguments(parser)
        options = parser.parse_args(["$alice.example", *words])
        checkTerms(options)
        return readTerms(options, source, destination)

    def test_plain(self) -> None:
        self.assertEqual(self.terms("5"), {"sourceAmount": 5, "slippage": Ratio(1, 100)})
        self.assertEqual(
            self.terms("5", "--deliver", "--max-source=70", "--slippage=0"),
            {"destinationAmount": 5, "maxSourceAmount": 70, "slippage": Ratio(0)},
        )

    def test_units(self) -> None:
        """Decimals of the asset that the amount is of."""
        self.assertEqual(self.terms("1.25", "--units")["sourceAmount"], 1_250_000_000)
        terms = self.terms("1.25", "--units", "--deliver", "--max-source=2")
        self.assertEqual((terms["destinationAmount"], terms["maxSourceAmount"]), (125, 2 * 10**9))

    def test_unitsUnknown(self) -> None:
        with self.assertRaisesRegex(LocalError, "not known"):
            self.terms("1.25", "--units", source=None)

    def test_tooFine(self) -> None:
        with self.assertRaisesRegex(LocalError, "EUR has 2 decimals"):
            fromUnits("AMOUNT", "1.255", EUR)

    def test_bad(self) -> None:
        for words in (
            ["0"],
            ["-5"],
            ["1.5"],
            ["1e3"],
            [str(2**64)],
            ["0.0", "--units"],
            ["x", "--units"],
            ["5", "--max-source=0"],
            ["5", "--slippage=2"],
            ["5", "--slippage=x"],
            ["5", "--timeout=0"],
            ["5", "--timeout=nan"],
            ["5", "--timeout=soon"],
            ["5", "--timeout=86401"],
        ):
            with self.assertRaises(LocalError, msg=str(words)):
                self.terms(*words)

    def test_timeout(self) -> None:
        parser = ArgumentParser()
        addTermArguments(parser)
        self.assertEqual(checkTerms(parser.parse_args(["x", "1", "--timeout=2.5"]))[1], 2.5)


class ShownTests(SynchronousTestCase):
    """What people and programs get to see."""

    def test_inUnits(self) -> None:
        self.assertEqual(inUnits(1_250_000_000, USD), "1,250,000,000 (1.250000000 USD)")
        self.assertEqual(inUnits(1250, ("JPY", 0)), "1,250 (1,250 JPY)")
        self.assertEqual(inUnits(1250, None), "1,250")

    def test_asPlain(self) -> None:
        """A result has the names of its attributes, and the rejects have theirs."""
        reject = RejectSeen("T04", "Insufficient Liquidity", "test.hub", "", 5, 2)
        result = PaymentResult(10, 5, 4, 4, 1, (reject,), None, b"\x01")
        plain = asPlain(result)
        self.assertEqual(plain["sent"], 5)
        self.assertEqual(plain["rejects"][0]["count"], 2)
        self.assertEqual((plain["receipt"], plain["isComplete"]), ("AQ==", False))
        self.assertEqual(asPlain(Ratio(5, 4)), "5/4")
