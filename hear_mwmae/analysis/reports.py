"""Files and the section of the page that are made of one sound."""

import math
from pathlib import Path

import numpy as np
from jaxtyping import Float

from hear_mwmae.analysis.concealment import Concealment
from hear_mwmae.analysis.folder import OutputFolder
from hear_mwmae.analysis.front_ends import SAMPLE_RATE
from hear_mwmae.analysis.page import Player, Section
from hear_mwmae.analysis.pictures import FIGURE_1, draw_concealment, draw_reconstruction
from hear_mwmae.analysis.reconstruction import Reconstruction, sounds_of
from hear_mwmae.analysis.trained import TrainedModel
from hear_mwmae.names import printable

RECONSTRUCTION_NOTES = (
    "The original is the recording, at 16 kHz. Masked and output have no phases: their log-mels are turned "
    "into power by least squares, and phases are found by Griffin and Lim's iterations, which is heard.",
    "Only grey cells come from the model; the others are pasted back. The error is the root of the mean "
    "square error of the grey cells.",
)
CONCEALMENT_NOTES = (
    "LSD: log-spectral distance over the lost frames, of log-mels. SNR: signal-to-noise ratio over the lost "
    "samples; silence has 0 dB. Phases are not predicted but found by Griffin and Lim's iterations: even the "
    "true log-mels have a low SNR, and of two sounds with arbitrary phases the quieter has the higher one.",
    "Interpolation draws log-mels straight from the last received frame to the next one. Received samples "
    "stay, but for 5 ms beside each span, over which the sound put there fades.",
)


def write_reconstruction(
    folder: OutputFolder,
    source: Path,
    samples: Float[np.ndarray, " samples"],
    reconstruction: Reconstruction,
    model: TrainedModel,
    *,
    seed: int,
) -> Section:
    """Write the picture and, of a model whose output has a level, the three sounds of one file."""
    name, text = folder.name_for(source), summary_of(reconstruction, len(samples))
    title = f"{printable(source.name)}: {text}"
    picture = folder.write_picture(name, draw_reconstruction(reconstruction, model.front_end, title))
    players = []
    if not model.config.norm_pix_loss:
        sounds = (samples, *sounds_of(reconstruction, model.front_end, len(samples), seed=seed))
        for label, sound in zip(FIGURE_1, sounds, strict=True):
            players.append(Player(label, folder.write_sound(f"{name}.{label}", sound)))
    alt = "Three spectrograms above each other: original, masked, output."
    return Section(printable(source.name), text, picture, alt, players)


def summary_of(reconstruction: Reconstruction, samples: int) -> str:
    """Return length, hidden share and error as a text."""
    return (
        f"{samples / SAMPLE_RATE:.2f} s, {100 * reconstruction.hidden:.1f} % hidden, error there "
        f"{reconstruction.error_db:.1f} dB"
    )


def write_concealment(
    folder: OutputFolder, source: Path, concealment: Concealment, model: TrainedModel
) -> Section:
    """Write the picture and the sounds of one file."""
    name = folder.name_for(source)
    seconds, share = len(concealment.original) / SAMPLE_RATE, float(concealment.lost.mean())
    frames, spans = float(concealment.lost_frames.mean()), len(concealment.spans)
    text = (
        f"{seconds:.2f} s, {100 * frames:.1f} % of the frames and {100 * share:.1f} % of the samples lost in "
        f"{spans} span{'s' if spans > 1 else ''}"
    )
    title = f"{printable(source.name)}: {text}"
    picture = folder.write_picture(name, draw_concealment(concealment, model.front_end, title))
    sounds = {
        "original": concealment.original,
        "received": concealment.silence.sound,
        "interpolated": concealment.interpolation.sound,
        "concealed": concealment.model.sound,
    }
    players = [Player(label, folder.write_sound(f"{name}.{label}", sound)) for label, sound in sounds.items()]
    alt = "Log-mels and waveforms in three rows: original, received, concealed; lost spans are marked."
    return Section(printable(source.name), text, picture, alt, players, measures_of(concealment))


def measures_of(concealment: Concealment) -> list[tuple[str, str, str]]:
    """Return a table of both measures, its head first."""
    head = ("in place of what is lost", "LSD (dB)", "SNR (dB)")
    rows = ((one.name, _number(one.distance), _number(one.ratio)) for one in concealment.repairs)
    return [head, *rows]


def _number(value: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else "–"
