"""Tests of C{txilpstream.trace.page}."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from txilpstream.trace.page import headline, makePage, roundTripText, startText, title, totals
from txilpstream.trace.test.test_series import gather, sent


class WordTests(SynchronousTestCase):
    """The words around a picture."""

    def test_title(self) -> None:
        """A title of its own, or one for all."""
        data = gather()
        self.assertEqual(title(data), "Trace of a STREAM connection (seen from the client)")
        data.header.title, data.header.vantage = "a\ntry", ""
        self.assertEqual(title(data), "a?try")

    def test_headline(self) -> None:
        """Packets, outcomes, seconds; an error if there was one."""
        self.assertEqual(headline(gather()), "the trace has no events")
        self.assertEqual(
            headline(gather(sent(0.0, 1), (0.05, "packetFulfilled", {"sequence": 1}))),
            "1 packet sent in 50 ms: 1 fulfilled, 0 rejected",
        )
        data = gather(
            sent(0.0, 1),
            sent(1.0, 2),
            (12.0, "packetDoubted", {}),
            (12.345, "connectionClosed", {"error": "it is gone"}),
        )
        self.assertEqual(
            headline(data),
            "2 packets sent in 12.3 s: 0 fulfilled, 0 rejected, 1 without answer; closed with an"
            " error: it is gone",
        )

    def test_roundTrip(self) -> None:
        """Typical, shortest and longest."""
        self.assertEqual(roundTripText(gather()), "")
        answers = [(1.0, "packetFulfilled", {"roundTrip": trip}) for trip in (0.05, 0.123, 2.0)]
        self.assertEqual(roundTripText(gather(*answers)), "median 123 ms, from 50 ms to 2.00 s")

    def test_start(self) -> None:
        """The time of day, where there is one."""
        data = gather()
        for startedAt, expected in (
            (1785580000.5, "2026-08-01 10:26:40 UTC"),
            (None, ""),
            (1e30, ""),
            (float("inf"), ""),
        ):
            data.header.startedAt = startedAt
            self.assertEqual(startText(data), expected)

    def test_totals(self) -> None:
        """Everything that was counted has a line and a unit, and nothing else has."""
        self.assertEqual(
            [label for label, value in totals(gather())],
            [
                "First event",
                "Duration",
                "Packets sent",
                "Packets fulfilled",
                "Packets rejected",
                "Connection",
            ],
        )
        data = gather(
            sent(0.0, 1, isProbe=True),
            (1.0, "packetFulfilled", {"amount": 1000, "delivered": 920, "bytes": 16384}),
            (1.0, "packetRejected", {"code": "T04"}),
            (1.0, "packetRejected", {"code": "F99", "isByPeer": True}),
            (1.0, "lateAnswer", {}),
            (1.0, "rateLearned", {"low": "1/2", "high": "3/4"}),
            (2.0, "connectionClosed", {"error": "it is gone"}),
        )
        rows = dict(totals(data))
        for label, value in (
            ("Rejected with F99 Application Error, by the peer", "1"),
            ("Rejected with T04 Insufficient Liquidity", "1"),
            ("Packets answered after all, too late", "1"),
            ("Probes", "1"),
            ("Money that left for good", "1,000 source units"),
            ("Delivered, as the peer claims", "920 destination units"),
            ("Application data delivered", "16,384 bytes"),
            ("Exchange rate", "from 0.5 to 0.75 destination units per source unit"),
            ("Connection", "closed after 2.00 s with an error: it is gone"),
        ):
            self.assertEqual(rows[label], value)
        closed = gather((2.0, "connectionClosed", {"error": None}))
        self.assertEqual(dict(totals(closed))["Connection"], "closed after 2.00 s")


class _Reader(HTMLParser):
    """Sees whether every element that was opened is closed, and what is linked."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, tag


class PageTests(SynchronousTestCase):
    """L{makePage}."""

    def test_page(self) -> None:
        """A whole page in one file, in which nothing is a tag that others wrote."""
        data = gather(
            sent(0.0, 1),
            (1.0, "packetRejected", {"code": '<b>"'}),
            (1.0, "connectionClosed", {"error": "<script>&"}),
        )
        data.header.title = "<i onload='x'>\""
        page = makePage(data, '<?xml version="1.0"?>\n<!DOCTYPE svg>\n<svg width="1"><g></g></svg>')
        reader = _Reader()
        reader.feed(page)
        reader.close()
        self.assertEqual((reader.open, reader.links), ([], []))
        self.assertEqual(reader.seen.count("svg"), 1)
        self.assertEqual(reader.seen.count("dt"), 4)
        for tag in ("script", "b", "i"):
            self.assertNotIn(tag, reader.seen)
        self.assertNotIn("<?xml", page)
        self.assertIn("&lt;script&gt;&amp;", page)
