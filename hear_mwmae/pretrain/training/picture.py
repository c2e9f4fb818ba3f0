"""Pictures of what a model makes of masked clips: the log-mel, what it sees of it, what it puts there."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, UInt8

from hear_mwmae.files import replacing
from hear_mwmae.pretrain.model.mae import Params, forward, patchify, restore_patches, unpatchify
from hear_mwmae.pretrain.model.masks import mask_noise
from hear_mwmae.pretrain.settings import TrainConfig
from hear_mwmae.pretrain.training.step import TrainState, gather_on

FOLDER = "pictures"
CLIPS = 4
MASK_SEED = 7
ROWS = ("log-mel", "visible", "reconstruction")
INCHES = (3.2, 1.5)
DPI = 100

Clips = Float[np.ndarray, "clips frames bands"]


class Pictures:
    """Paints the same clips under the same masks again and again, into the run's folder `pictures`."""

    def __init__(
        self, config: TrainConfig, clips: Clips, workdir: Path, mesh: Mesh, shardings: TrainState
    ) -> None:
        self._config = config
        self._clips = clips
        self._folder = workdir / FOLDER
        everywhere = NamedSharding(mesh, PartitionSpec())
        self._reconstruct = jax.jit(
            lambda params, clips: reconstruct(params, clips, config, mesh),
            in_shardings=(shardings.params, everywhere),
            out_shardings=everywhere,
        )

    def paint(self, params: Params, step: int) -> tuple[Path, UInt8[np.ndarray, "height width 3"]]:
        """Paint the clips as after `step` updates; all processes must call it together."""
        reconstruction, masked = map(np.asarray, self._reconstruct(params, self._clips))
        pixels = paint_rows(self._clips, reconstruction, masked)
        path = self._folder / f"step_{step:06d}.png"
        if jax.process_index() == 0:
            self._folder.mkdir(exist_ok=True)
            _write_png(path, pixels)
        return path, pixels


def reconstruct(
    params: Params, clips: Float[Array, "clips frames bands"], config: TrainConfig, mesh: Mesh
) -> tuple[Float[Array, "clips frames bands"], Bool[Array, "clips frames bands"]]:
    """Return the clips with their masked patches as the model predicts them, and where those are.

    A model trained with `norm_pix_loss` predicts the shape of a patch only: its true mean and deviation are
    put back.
    """
    noise = mask_noise(jax.random.key(MASK_SEED), len(clips), config.model.mask_draws)
    dtype = jnp.dtype(config.precision)
    out = forward(params, clips, noise, config.model, dtype=dtype, gather=gather_on(mesh))
    prediction = out["prediction"]
    truth = patchify(clips, config.model.patch_size)
    if config.model.norm_pix_loss:
        prediction = restore_patches(prediction, truth, config.model)
    masked = jnp.broadcast_to(out["mask"][..., None] > 0, truth.shape)
    pasted = jnp.where(masked, prediction, truth)
    return unpatchify(pasted, config.model), unpatchify(masked, config.model)


def paint_rows(
    clips: Clips, reconstruction: Clips, masked: Bool[np.ndarray, "clips frames bands"]
) -> UInt8[np.ndarray, "height width 3"]:
    """Paint one column per clip: the log-mel, it without its masked patches, and the reconstruction."""
    # Imported here, as it takes long and most processes of a run never paint.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = len(clips)
    figure = Figure(figsize=(INCHES[0] * columns, INCHES[1] * len(ROWS)), dpi=DPI, layout="constrained")
    axes = figure.subplots(len(ROWS), columns, squeeze=False)
    visible = np.where(masked, np.nan, clips)
    for column in range(columns):
        low, high = np.percentile(clips[column], (1, 99))
        for row, images in enumerate((clips, visible, reconstruction)):
            axis = axes[row, column]
            axis.imshow(images[column].T, origin="lower", aspect="auto", vmin=low, vmax=high, cmap="magma")
            axis.set(xticks=[], yticks=[], facecolor="lightgrey")
            if column == 0:
                axis.set_ylabel(ROWS[row])
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _write_png(path: Path, pixels: UInt8[np.ndarray, "height width 3"]) -> None:
    from matplotlib.image import imsave

    with replacing(path) as temporary:
        imsave(temporary, pixels, format="png")
