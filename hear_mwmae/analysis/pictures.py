"""Figures 1 and 2 of Audio-MAE's supplement: three spectrograms, or three of them beside their sounds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from hear_mwmae.analysis.concealment import Concealment, Spans
from hear_mwmae.analysis.front_ends import FRAME_LENGTH, HOP_LENGTH, SAMPLE_RATE, FrontEnd
from hear_mwmae.analysis.measures import DB_PER_NEPER
from hear_mwmae.analysis.reconstruction import Reconstruction

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

DPI = 110
COLOURS, NO_COLOUR, LOST_COLOUR, WAVE_COLOUR = "magma", "#d0d0d0", "#d62728", "#1f3b5c"
HERTZ = (125, 500, 1000, 2000, 4000)
DYNAMIC_RANGE = 80.0
"""From the loudest cell of the original down to what is black, in dB."""
NARROWEST, WIDEST, INCHES_PER_SECOND = 7.0, 16.0, 0.9
# The page and the players name what the rows are.
FIGURE_1, FIGURE_2 = ("original", "masked", "output"), ("original", "received", "concealed")


def draw_reconstruction(reconstruction: Reconstruction, front_end: FrontEnd, title: str) -> "Figure":
    """Draw original, masked input and output above each other."""
    rows = (
        reconstruction.original,
        np.where(reconstruction.masked, np.nan, reconstruction.original),
        reconstruction.output,
    )
    figure, axes = _figure(1, _seconds(reconstruction.original), title)
    images = [
        _draw_log_mel(axis, row, rows[0], front_end) for axis, row in zip(axes[:, 0], rows, strict=True)
    ]
    _finish(figure, axes, images[0], FIGURE_1)
    return figure


def draw_concealment(concealment: Concealment, front_end: FrontEnd, title: str) -> "Figure":
    """Draw original, received and concealed above each other: log-mels on the left, sound on the right."""
    received = np.where(concealment.lost_frames[:, None], np.nan, concealment.log_mel)
    rows = (
        (concealment.log_mel, concealment.original),
        (received, concealment.silence.sound),
        (concealment.model.log_mel, concealment.model.sound),
    )
    figure, axes = _figure(2, _seconds(concealment.log_mel), title)
    limit = 1.05 * float(np.abs(concealment.original).max())
    for (left, right), (log_mel, sound) in zip(axes, rows, strict=True):
        image = _draw_log_mel(left, log_mel, concealment.log_mel, front_end)
        _draw_sound(right, sound, limit)
        _mark(left, concealment.spans, 0.0)
        _mark(right, concealment.spans, 0.18)
    axes[0, 0].set_title("log-mel spectrogram", fontsize="medium")
    axes[0, 1].set_title("sound", fontsize="medium")
    _finish(figure, axes, image, FIGURE_2)
    return figure


def _figure(columns: int, seconds: float, title: str) -> tuple["Figure", np.ndarray]:
    """A figure of three rows, without pyplot, which would keep it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width = min(max(NARROWEST, INCHES_PER_SECOND * seconds * columns), WIDEST)
    figure = Figure(figsize=(max(width, 4.5 * columns + 1), 6.2), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize="medium", parse_math=False)
    return figure, figure.subplots(3, columns, squeeze=False, sharex=True)


def _seconds(log_mel: Float[np.ndarray, "frames bands"]) -> float:
    return len(log_mel) * HOP_LENGTH / SAMPLE_RATE


def _draw_log_mel(
    axis: "Axes",
    log_mel: Float[np.ndarray, "frames bands"],
    original: Float[np.ndarray, "frames bands"],
    front_end: FrontEnd,
) -> "AxesImage":
    """Draw in dB, coloured by the original's loudest cell; a frame lies around the middle of its samples."""
    loudest = DB_PER_NEPER * float(original.max())
    first = (front_end.first_sample + (FRAME_LENGTH - HOP_LENGTH) / 2) / SAMPLE_RATE
    image = axis.imshow(
        DB_PER_NEPER * log_mel.T - loudest,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap=COLOURS,
        vmin=-DYNAMIC_RANGE,
        vmax=0,
        extent=(first, first + _seconds(log_mel), -0.5, front_end.bands - 0.5),
    )
    axis.set_facecolor(NO_COLOUR)
    axis.set_xlim(0, first + _seconds(log_mel))
    ticks = np.interp(HERTZ, front_end.centres_hz, np.arange(front_end.bands))
    axis.set_yticks(ticks, [f"{hertz // 1000} k" if hertz >= 1000 else str(hertz) for hertz in HERTZ])
    return image


def _draw_sound(axis: "Axes", sound: Float[np.ndarray, " samples"], limit: float) -> None:
    axis.plot(np.arange(len(sound)) / SAMPLE_RATE, sound, linewidth=0.5, color=WAVE_COLOUR, scalex=False)
    axis.set_ylim(-limit, limit)


def _mark(axis: "Axes", spans: Spans, opacity: float) -> None:
    """Mark lost spans: a bar along the lower edge, and a shade."""
    for begin, end in spans:
        axis.axvspan(begin, end, color=LOST_COLOUR, alpha=opacity, linewidth=0)
        axis.axvspan(begin, end, ymax=0.025, color=LOST_COLOUR, linewidth=0)


def _finish(figure: "Figure", axes: np.ndarray, image: "AxesImage", names: Sequence[str]) -> None:
    for row, name in zip(axes, names, strict=True):
        row[0].set_ylabel(f"{name}\nHz")
        row[0].yaxis.label.set_linespacing(1.6)
    for axis in axes[-1]:
        axis.set_xlabel("s")
    bar = figure.colorbar(image, ax=axes[:, 0], location="right", pad=0.01, aspect=40)
    bar.set_label("dB re the loudest cell of the original")
