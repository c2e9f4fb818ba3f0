"""Pictures of any size and kind become records of one size, cut where they should be."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from hear_mwmae.cli.prepare import main
from hear_mwmae.pretrain.data.images import read_image
from hear_mwmae.pretrain.data.loader import load_clips, training_batches
from hear_mwmae.pretrain.data.manifest import read_manifest
from hear_mwmae.pretrain.model.mae import patchify


def gradient(width: int, height: int) -> Image.Image:
    """Red grows from left to right, green from top to bottom."""
    red, green = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([red, green, np.zeros_like(red)], axis=2).astype(np.uint8))


def test_the_centre_of_a_wide_picture_is_kept(tmp_path: Path) -> None:
    gradient(448, 224).save(tmp_path / "wide.png")
    pixels = read_image(tmp_path / "wide.png").reshape(224, 224, 3)
    assert pixels[:, 0, 0] == pytest.approx(0.25, abs=0.01)
    assert pixels[:, -1, 0] == pytest.approx(0.75, abs=0.01)
    assert pixels[0, :, 1] == pytest.approx(0, abs=0.01)
    assert pixels[-1, :, 1] == pytest.approx(1, abs=0.01)
    assert not pixels[:, :, 2].any()


def test_a_patch_is_a_square_of_pixels(tmp_path: Path) -> None:
    gradient(224, 224).save(tmp_path / "square.png")
    pixels = read_image(tmp_path / "square.png")
    patch = np.asarray(patchify(jnp.asarray(pixels[None]), (16, 48)))[0, 14 + 2]
    assert np.array_equal(patch.reshape(16, 16, 3), pixels.reshape(224, 224, 3)[16:32, 32:48])


def test_pictures_are_prepared_and_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "pictures" / "class a"
    folder.mkdir(parents=True)
    gradient(300, 240).save(folder / "a.JPG")
    gradient(64, 640).convert("L").save(folder / "grey.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
    out = tmp_path / "data"
    assert main([str(tmp_path / "pictures"), "--images", "--out", str(out), "--workers", "1"]) == 0
    assert "2 pictures in 1 shards" in capsys.readouterr().out
    manifest = read_manifest(out)
    assert (manifest.front_end, manifest.bands, manifest.hours, manifest.unreadable) == ("rgb_224", 672, 0, 1)
    assert "class a/broken.jpg\tcannot be decoded" in (out / "unreadable.txt").read_text()
    batches = training_batches(load_clips(out), frames=224, batch_size=2)
    batch = next(batches)
    batches.close()
    assert batch.shape == (2, 224, 672)
    assert abs(batch.mean(axis=(1, 2))).max() < 1e-3
    assert batch.std(axis=(1, 2)) == pytest.approx(1, abs=1e-3)
