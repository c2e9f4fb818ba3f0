"""Makes the compact fixtures beside this file from the full set: `python make.py FULL_SET`.

The full set holds what the released MW-MAE code (github SarthakYadav/mwmae-jax-official, commit db33ed9)
computed with seeded random weights of a small model (width 64, depth 2, 4 heads). The checkpoints keep their
parameters, byte for byte, and their layout; the optimiser's moments, all zero, are cut to a few numbers.
"""

import sys
from pathlib import Path

import msgpack
import numpy as np

HERE = Path(__file__).parent
CHECKPOINTS = ("mwmae_small_float32", "mae_small_float32")
SCENES = ("201samples", "3frames", "0p5s", "1s", "200frames", "2s", "2p5s", "400frames", "5s")
TIMESTAMPS = ("201samples", "3frames", "0p5s", "2s")
SAMPLES = 80000


def small_checkpoint(full: Path, name: str) -> None:
    """Write a checkpoint directory without the bulk of its optimiser state."""
    source, target = full / f"ckpt_{name}", HERE / f"ckpt_{name}"
    target.mkdir(exist_ok=True)
    state = msgpack.unpackb((source / "checkpoint_7").read_bytes(), strict_map_key=False)
    moments = state["opt_state"]["0"]
    for part in ("mu", "nu"):
        moments[part] = {"pos_embed": msgpack.ExtType(1, msgpack.packb(((2,), "float32", bytes(8))))}
    state["buffers"] = {}
    (target / "checkpoint_7").write_bytes(msgpack.packb(state))
    (target / "config.json").write_bytes((source / "config.json").read_bytes())


def main(full: Path) -> None:
    """Write all fixtures."""
    log_mel = np.load(full / "logmel_torchaudio.npz")
    arrays = {
        "audio_int16": log_mel["audio_int16"][:, :SAMPLES],
        "log_mel_2s": log_mel["logmel_2s"],
        "log_mel_201samples": log_mel["logmel_201samples"],
        "log_mel_zeros_1s": log_mel["logmel_zeros_1s"],
        "imgs": np.load(full / "pretrain_mae_small_float32.npz")["imgs"],
        "position_codes_50x5": np.load(full / "extras.npz")["pos2d/50x5/f32"],
        "position_codes_40x16": np.load(full / "extras.npz")["pos2d/40x16/f32"],
    }
    for name in CHECKPOINTS:
        small_checkpoint(full, name)
        pretrain, embed = np.load(full / f"pretrain_{name}.npz"), np.load(full / f"embed_{name}.npz")
        arrays[f"{name}/forward_features"] = pretrain["forward_features"]
        for length in SCENES:
            keys = ("n_samples", "scene", "ts_ms") + (("ts_emb",) if length in TIMESTAMPS else ())
            arrays |= {f"{name}/{length}/{key}": embed[f"{length}/{key}"] for key in keys}
    np.savez_compressed(HERE / "golden.npz", **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
