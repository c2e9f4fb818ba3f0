"""What all figures share: printed widths, type, marks that survive a grey printer, repeatable files.

Everything is drawn on `Figure` objects of its own; pyplot and its global state are never loaded.
"""

import io
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import matplotlib.style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from evaluation.files import write_atomically
from evaluation.report.figures.saved import SavedFigure
from tasks.names import printable

ONE_COLUMN = 3.5
TWO_COLUMNS = 7.16
"""Printed widths of a figure in a two-column paper, inches."""
MAX_HEIGHT = 9.0
"""Of a figure on a page that also holds its caption, inches."""
FONT = 8
"""Points at the printed size; nothing is smaller."""
CHARACTER = 0.068
"""Mean width of a character at `FONT`, inches."""
LINE = 0.15
"""Height of a line of text at `FONT`, inches."""
DPI = 200

GREY = "0.55"
BAR = "#9ecae1"
MARKED_HATCH = "////"
MISSING_HATCH = "xxxx"
HEAT = "YlGnBu"
"""From light to dark without turning back, so that its order survives without colour."""

COLOURS = ("#000000", "#D55E00", "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#7F7F7F")
MARKERS = ("o", "s", "^", "D", "v", "X", "P", "<")
DASHES = ("-", "--", "-.", ":")
MAX_LINES = len(MARKERS)
"""How many curves one figure tells apart."""

STYLE = {
    "font.size": FONT,
    "axes.titlesize": FONT,
    "axes.labelsize": FONT,
    "xtick.labelsize": FONT,
    "ytick.labelsize": FONT,
    "legend.fontsize": FONT,
    "figure.titlesize": FONT,
    "figure.labelsize": FONT,
    "font.family": "DejaVu Sans",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.linewidth": 0.4,
    "grid.color": "0.85",
    "hatch.linewidth": 0.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.frameon": False,
    "text.parse_math": False,  # a dollar in a name is a dollar
    "svg.hashsalt": "hear-mwmae",
    "svg.fonttype": "path",
}


class LineStyle(TypedDict):
    """What a curve looks like, as matplotlib takes it."""

    color: str
    marker: str
    linestyle: str
    markerfacecolor: str


@dataclass(frozen=True)
class Drawing:
    """A figure ready to be written: the stem of its files and the sentence that belongs below it."""

    name: str
    caption: str
    figure: Figure


@dataclass(frozen=True)
class LeftOut:
    """A figure that would say nothing or something wrong, and why, as a sentence."""

    name: str
    reason: str


@contextmanager
def drawing_style() -> Iterator[None]:
    """Hold matplotlib's settings at `STYLE` on top of its own defaults, whatever the user's are.

    What its font lacks stays an empty box without a word: captions and tables have every name as text.
    """
    with matplotlib.style.context(["default", STYLE]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a printed size in inches that lays itself out."""
    layout = ConstrainedLayoutEngine(w_pad=0.04, h_pad=0.04, wspace=0.02, hspace=0.04)
    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def width_for(needed: float) -> float:
    """Return the narrower printed width that holds `needed` inches, else the wider one."""
    return ONE_COLUMN if needed <= ONE_COLUMN else TWO_COLUMNS


def footer_lines(notes: Sequence[str], width: float) -> list[str]:
    """Return the notes wrapped to a figure's width in inches."""
    characters = int((width - 0.1) / CHARACTER)
    return [line for note in notes for line in textwrap.wrap(note, characters)]


def add_footer(figure: Figure, notes: Sequence[str]) -> None:
    """Print the notes below all panels, flush left."""
    lines = footer_lines(notes, figure.get_figwidth())
    if lines:
        figure.supxlabel("\n".join(lines), x=0.01, ha="left", linespacing=1.15)


def keep_to_percent(
    get_limits: Callable[[], tuple[float, float]], set_limits: Callable[[float, float], object]
) -> None:
    """End an axis of per cent soon after 0 and 100, however far an interval goes."""
    low, high = get_limits()
    set_limits(max(low, -3.0), min(high, 103.0))


def line_style(number: int) -> LineStyle:
    """Return how the curve of this number differs from the others: in colour, marker, filling and dashes."""
    colour = COLOURS[number % len(COLOURS)]
    return {
        "color": colour,
        "marker": MARKERS[number % len(MARKERS)],
        "linestyle": DASHES[number % len(DASHES)],
        "markerfacecolor": colour if number % 2 == 0 else "white",
    }


def save_figure(drawing: Drawing, directory: Path) -> SavedFigure:
    """Write NAME.png (200 dpi) and NAME.svg, each whole or not at all.

    The caption is in both files as their description. Equal drawings give equal bytes: no date, fixed
    names of SVG elements.
    """
    figure = drawing.figure
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    about = {"Title": drawing.name, "Description": printable(drawing.caption)}
    png, svg = io.BytesIO(), io.StringIO()
    figure.savefig(png, format="png", dpi=DPI, metadata={**about, "Software": None})
    figure.savefig(svg, format="svg", metadata={**about, "Date": None, "Creator": None})
    saved = SavedFigure(
        drawing.name, drawing.caption, directory / f"{drawing.name}.png", directory / f"{drawing.name}.svg"
    )
    write_atomically(saved.png, png.getvalue())
    write_atomically(saved.svg, svg.getvalue())
    return saved
