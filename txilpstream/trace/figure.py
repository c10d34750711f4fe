"""
A picture of a trace: four panels over the same seconds.

It takes matplotlib, which is imported only when something is drawn. The same trace gives the same
picture, octet for octet, with the same matplotlib.
"""

from __future__ import annotations

import io
import os
import warnings
from typing import TYPE_CHECKING, Any, Final

from txilpstream.errors import LocalError
from txilpstream.trace.page import headline, makePage, startText, title
from txilpstream.trace.panels import drawAmounts, drawDelivery, drawFlight, drawRejects
from txilpstream.trace.series import TraceData

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PANELS", "SUFFIXES", "checkSuffix", "drawFigure", "render"]

SUFFIXES: Final = (".svg", ".png", ".pdf", ".html")
"""What a picture's file may end with."""

PANELS: Final = (drawAmounts, drawFlight, drawRejects, drawDelivery)
"""What draws each panel, from above; how to read them is in C{page}."""

_SIZE: Final = (12.5, 3.25 * len(PANELS))
"""Inches."""

_SETTINGS: Final[Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9.5,
    "text.parse_math": False,  # a dollar sign in what others wrote is no formula
    "svg.hashsalt": "txilpstream",
    "svg.fonttype": "path",
    "axes.spines.top": False,
    "axes.edgecolor": "#999999",
    "axes.grid": True,
    "axes.grid.axis": "both",
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "hatch.linewidth": 0.7,
    "savefig.dpi": 120,
}


def checkSuffix(path: str | os.PathLike[str]) -> str:
    """
    Say what kind of picture a path asks for.

    @return: one of L{SUFFIXES}.
    @raise LocalError: if it is none of them.
    """
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    if suffix not in SUFFIXES:
        raise LocalError(
            f"a picture's file ends with {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}, not"
            f" {'with ' + repr(suffix[:20]) if suffix else 'without a suffix'}"
        )
    return suffix


def render(data: TraceData, suffix: str) -> bytes:
    """
    Draw a picture.

    @param suffix: one of L{SUFFIXES}.
    @return: the octets of its file.
    @raise ImportError: if there is no matplotlib; says what to do.
    """
    try:
        import matplotlib
        from matplotlib import rcdefaults
    except ImportError as error:
        why = "" if isinstance(error, ModuleNotFoundError) else f" ({error})"
        raise ImportError(
            f"drawing needs matplotlib: pip install 'txilpstream[plot]'{why}"
        ) from None
    kind = "svg" if suffix == ".html" else suffix[1:]
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[kind]
    octets = io.BytesIO()
    with warnings.catch_warnings(), matplotlib.rc_context():
        # A title may be in a script that the font does not have; boxes are what it gets.
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        drawFigure(data).savefig(octets, format=kind, metadata=undated)
    if suffix == ".html":
        return makePage(data, octets.getvalue().decode("utf-8")).encode("utf-8")
    return octets.getvalue()


def drawFigure(data: TraceData) -> Figure:
    """
    Draw the panels; L{render} makes the settings that they look best with.

    @raise ImportError: if there is no matplotlib.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    figure = Figure(figsize=_SIZE)
    panels = figure.subplots(len(PANELS), 1, sharex=True)
    figure.subplots_adjust(left=0.105, right=0.72, top=0.895, bottom=0.045, hspace=0.42)
    for text, height, size, weight in (
        (title(data), 0.978, 15, "bold"),
        (headline(data), 0.957, 10.5, "normal"),
    ):
        figure.text(0.105, height, text, size=size, weight=weight, va="center")
    for draw, panel in zip(PANELS, panels, strict=True):
        draw(panel, data)
    last = panels[-1]
    seconds = data.end - data.start or 1.0
    last.set_xlim(data.start - seconds * 0.01, data.start + seconds * 1.01)
    last.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    started = startText(data)
    last.set_xlabel("seconds since the first event" + (f" ({started})" if started else ""))
    return figure
