"""
The words around a picture of a trace: its headline, its totals, and a page that holds them all.

Whatever stands in a trace may have been written by others: in the page it is escaped.
"""

from __future__ import annotations

import html
import math
import statistics
from datetime import datetime, timezone
from typing import Final

from txilpstream.trace.series import TraceData, cleanText, rejectName

__all__ = ["headline", "makePage", "roundTripText", "startText", "title", "totals"]

_READING: Final = (
    (
        "Packet amount",
        "Money travels in packets. Each mark is one packet, as high as its amount; its colour and"
        " shape say how it ended. The line is the largest amount that the sender believes the path"
        " takes: it falls when a connector says &ldquo;amount too large&rdquo; (F08), and the"
        " sender looks for the exact limit, then tries from time to time whether more is possible."
        " Packets of amount 0 carry data only.",
    ),
    (
        "Packets in flight and pacing",
        "In flight are packets that have no answer yet; a long path needs more of them. The pacing"
        " rate is how many packets a second the sender allows itself. Where it is higher than what"
        " was sent, something else held the sender back: nothing was left to send, the amount in"
        " flight, or the peer&rsquo;s limits. Grey is time in which it waited on purpose.",
    ),
    (
        "Rejects",
        "A rejected packet costs time and no money. T04 means that a connector had no liquidity"
        " left, T05 that too many packets came, F08 that one was too large, and F99 by the peer"
        " that the receiver did not want it as it was. Some rejects are how a sender learns; many"
        " over a long time mean that it has not learned. Black are packets that nobody answered:"
        " their money is in doubt.",
    ),
    (
        "Delivered",
        "What arrived so far, money and application data. A straight line is a steady rate; a flat"
        " part is a stall, and the panels above it show why.",
    ),
)
"""How to read each panel, as HTML."""

_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;color:#222;background:#fff;max-width:1200px;"
    "margin:2em auto;padding:0 1em}svg{width:100%;height:auto}h1{font-size:1.5em}"
    "h2{font-size:1.2em;margin-top:2em}table{border-collapse:collapse}"
    "th,td{text-align:left;padding:.25em 1.5em .25em 0;border-bottom:1px solid #ddd;"
    "font-weight:normal}td{font-variant-numeric:tabular-nums}dt{font-weight:bold}"
    "dd{margin:0 0 .8em 0;max-width:50em}"
)


def title(data: TraceData) -> str:
    """What the picture is of."""
    name = cleanText(data.header.title) or "Trace of a STREAM connection"
    vantage = cleanText(data.header.vantage)
    return f"{name} (seen from the {vantage})" if vantage else name


def headline(data: TraceData) -> str:
    """The totals in one sentence."""
    sent, seconds = data.counts["packetSent"], data.end - data.start
    rejected, doubted = data.counts["packetRejected"], data.counts["packetDoubted"]
    if not data.counts:
        return "the trace has no events"
    text = (
        f"{sent:,} packet{'' if sent == 1 else 's'} sent in {_seconds(seconds)}: "
        f"{data.counts['packetFulfilled']:,} fulfilled, {rejected:,} rejected"
    )
    if doubted:
        text += f", {doubted:,} without answer"
    if data.error:
        text += f"; closed with an error: {data.error}"
    return text


def roundTripText(data: TraceData) -> str:
    """How long answers took, or an empty string if there were none."""
    if not data.roundTrips:
        return ""
    typical, least, most = (
        _seconds(value)
        for value in (
            statistics.median_low(data.roundTrips),
            min(data.roundTrips),
            max(data.roundTrips),
        )
    )
    return f"median {typical}, from {least} to {most}"


def startText(data: TraceData) -> str:
    """When the first event was, or an empty string."""
    startedAt = data.header.startedAt
    if startedAt is None or not math.isfinite(startedAt):
        return ""
    try:
        moment = datetime.fromtimestamp(startedAt, timezone.utc)
    except (OverflowError, ValueError, OSError):
        return ""
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def totals(data: TraceData) -> list[tuple[str, str]]:
    """All that was counted, with units; what there is none of is left out, but for packets."""
    counts, sums = data.counts, data.sums
    rows = [
        ("First event", startText(data)),
        ("Duration", _seconds(data.end - data.start)),
        ("Packets sent", f"{counts['packetSent']:,}"),
        ("Packets fulfilled", f"{counts['packetFulfilled']:,}"),
        ("Packets rejected", f"{counts['packetRejected']:,}"),
    ]
    for (code, isByPeer), times in sorted(data.rejects.items()):
        rows.append((f"Rejected with {rejectName(code, isByPeer)}", f"{len(times):,}"))
    rows += [
        (label, f"{counts[name]:,}" if counts[name] else "")
        for label, name in (
            ("Packets without answer in time", "packetDoubted"),
            ("Packets answered after all, too late", "lateAnswer"),
            ("Packets that could not be handed on", "packetNotSent"),
            ("Offers of money that failed", "moneyFailed"),
        )
    ]
    rows += [("Probes", f"{len(data.probes):,}" if data.probes else "")]
    rows += [
        (label, f"{sums[name]:,} {unit}" if sums[name] else "")
        for label, name, unit in (
            ("Money that left for good", "sourceAmount", "source units"),
            ("Delivered, as the peer claims", "delivered", "destination units"),
            ("Delivered at least", "deliveredMinimum", "destination units"),
            ("Application data delivered", "bytes", "bytes"),
            ("Money received by this end", "received", "units of this end"),
        )
    ]
    rows += [
        ("Exchange rate", data.rate),
        ("Round trip", roundTripText(data)),
        ("Connection", _closing(data)),
    ]
    return [(label, value) for label, value in rows if value]


def _closing(data: TraceData) -> str:
    if data.closedAt is None:
        return "still open when the trace ended"
    return f"closed after {_seconds(data.closedAt - data.start)}" + (
        f" with an error: {data.error}" if data.error else ""
    )


def _seconds(value: float) -> str:
    """A time in a unit that suits it."""
    return f"{value:,.1f} s" if value >= 10 else f"{value:.2f} s" if value >= 1 else _short(value)


def _short(value: float) -> str:
    return f"{value * 1000:.3g} ms" if value < 0.1 else f"{value * 1000:.0f} ms"


def makePage(data: TraceData, svg: str) -> str:
    """
    A page that needs nothing but itself.

    @param svg: the picture; what stands before its C{<svg>} is left out.
    """
    name, sentence = html.escape(title(data)), html.escape(headline(data))
    picture = svg[svg.index("<svg") :].replace(
        "<svg", f'<svg role="img" aria-label="{name}: {sentence}"', 1
    )
    rows = "\n".join(
        f"<tr><th scope='row'>{html.escape(label)}</th><td>{html.escape(value)}</td></tr>"
        for label, value in totals(data)
    )
    reading = "\n".join(f"<dt>{label}</dt><dd>{text}</dd>" for label, text in _READING)
    return (
        "<!DOCTYPE html>\n"
        f'<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{name}</title>\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{name}</h1>\n<p>{sentence}.</p>\n{picture}\n"
        f"<h2>Totals</h2>\n<table>\n{rows}\n</table>\n"
        f"<h2>How to read this</h2>\n<dl>\n{reading}\n</dl>\n</body>\n</html>\n"
    )
