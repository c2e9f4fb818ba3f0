"""Batches: against the plain way of making them, for any hosts and workers, and after a restart."""

import contextlib
import hashlib
import multiprocessing
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from paths import ROOT
from sounds import tone, write, write_tones

from hear_mwmae import frontend
from hear_mwmae.errors import UserError
from hear_mwmae.pretrain.data.batch_plans import TrainingPlan, ValidationPlan
from hear_mwmae.pretrain.data.crops import Normalisation, Variation, widen, write_crop
from hear_mwmae.pretrain.data.loader import (
    BatchIterator,
    ClipSet,
    hash_position,
    load_clips,
    training_batches,
    validation_batches,
)
from hear_mwmae.pretrain.data.log_mel import standardise
from hear_mwmae.pretrain.data.prepare import Options, prepare
from hear_mwmae.pretrain.data.records import DecodedClip, ShardReader

FRAMES = 100
SECONDS = [1.0 + 0.05 * number for number in range(37)] + [0.2, 0.0, 0.99]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty-one clips in three shards: most of 1 to 2.8 s, three shorter than a crop, one silent."""
    parent = tmp_path_factory.mktemp("loader")
    sounds = write_tones(parent / "sounds", SECONDS)
    write(sounds / "silence.wav", np.zeros(32000))
    prepare([sounds], parent / "out", options=Options(shard_clips=16), workers=1)
    return parent / "out"


@pytest.fixture(scope="module")
def clips(folder: Path) -> ClipSet:
    return load_clips(folder)


def stored_clip(clips: ClipSet, number: int) -> DecodedClip:
    manifest = clips.manifest
    reader = ShardReader([manifest.path(s) for s in manifest.shards], [s.clips for s in manifest.shards])
    clip = reader.read(clips.shards[number], clips.rows[number], frames=clips.frames[number])
    assert clip.id == clips.ids[number].as_py()
    return clip


def whole_clip(clips: ClipSet, number: int) -> np.ndarray:
    """A clip the plain way: all of it in float32, then standardised."""
    return standardise(stored_clip(clips, number).log_mel.astype(np.float32))


def crop(clip: np.ndarray, first: int) -> np.ndarray:
    """A crop the plain way; the torch side's chunks say how a short clip is filled."""
    if len(clip) >= FRAMES:
        return clip[first : first + FRAMES]
    return frontend.split_chunks(torch.from_numpy(clip)[None], FRAMES)[0, 0].numpy()


def take(batches: BatchIterator, count: int) -> list[np.ndarray]:
    found = [np.array(next(batches)) for _ in range(count)]
    batches.close()
    return found


def test_every_row_is_a_crop_of_the_standardised_clip(clips: ClipSet) -> None:
    plan = TrainingPlan(len(clips), 24, 3, 5, 0, 1)
    for step, batch in enumerate(take(make(clips, crops_per_clip=3, batch_size=24), 12)):
        assert batch.dtype == np.float32
        chosen = plan.clips_of(step)
        offsets = plan.offsets(step, np.maximum(clips.frames[chosen] - FRAMES, 0) + 1)
        plain = [crop(whole_clip(clips, c), o) for c, row in zip(chosen, offsets, strict=True) for o in row]
        assert np.array_equal(batch, np.stack(plain))


VARIED = {"normalisation": Normalisation(-5.0, 3.0), "roll": True, "gain": True}


def test_every_row_is_a_varied_crop_of_its_clip(clips: ClipSet) -> None:
    plan = TrainingPlan(len(clips), 24, 3, 5, 0, 1, roll=True, gain=True)
    expected = np.empty((FRAMES, 80), np.float32)
    for step, batch in enumerate(take(make(clips, crops_per_clip=3, batch_size=24, **VARIED), 6)):
        chosen = plan.clips_of(step)
        lengths = clips.frames[chosen]
        offsets = plan.offsets(step, np.maximum(lengths - FRAMES, 0) + 1)
        starts, gains = plan.starts(step, lengths), plan.gains(step)
        for row, (number, crop_number) in zip(batch, np.ndindex(offsets.shape), strict=True):
            place = number, crop_number
            variation = Variation(int(starts[place]), gains[place])
            clip = stored_clip(clips, chosen[number])
            write_crop(clip, int(offsets[place]), expected, VARIED["normalisation"], variation)
            assert np.array_equal(row, expected)


def make(clips: ClipSet, **options: object) -> BatchIterator:
    settings = {"batch_size": 8, "seed": 5, "frames": FRAMES}
    return training_batches(clips, **(settings | options))


def test_widening_is_exact() -> None:
    values = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    values = values[np.isfinite(values)]
    out = np.empty(len(values), np.float32)
    widen(values, out)
    assert out.tobytes() == values.astype(np.float32).tobytes()


@pytest.mark.parametrize("hosts", [2, 4])
@pytest.mark.parametrize(("crops", "varied"), [(1, {}), (2, {}), (2, VARIED)])
def test_hosts_share_the_rows_of_the_same_batches(
    clips: ClipSet, hosts: int, crops: int, varied: dict[str, object]
) -> None:
    alone = take(make(clips, crops_per_clip=crops, **varied), 14)
    parts = [
        take(make(clips, crops_per_clip=crops, process_index=host, process_count=hosts, **varied), 14)
        for host in range(hosts)
    ]
    for batch, *shares in zip(alone, *parts, strict=True):
        assert np.array_equal(batch, np.concatenate(shares))


@pytest.mark.parametrize("varied", [{}, VARIED])
def test_threads_and_workers_change_nothing(clips: ClipSet, varied: dict[str, object]) -> None:
    alone = take(make(clips, threads=0, **varied), 12)
    for options in ({"threads": 3}, {"workers": 1, "threads": 0}, {"workers": 2, "threads": 1}):
        assert np.array_equal(alone, take(make(clips, **options, **varied), 12))


def test_a_varied_run_continues_bit_for_bit(clips: ClipSet) -> None:
    whole = take(make(clips, **VARIED), 9)
    batches = make(clips, **VARIED)
    batches.set_state({"step": 6})
    assert np.array_equal(whole[6:], take(batches, 3))


def test_an_epoch_takes_every_clip_once_but_for_a_changing_remainder() -> None:
    plan = TrainingPlan(41, 16, 2, 0, 0, 1)
    assert plan.batches_per_epoch == 41 * 2 // 16
    left_out = []
    for epoch in range(6):
        steps = range(5 * epoch, 5 * epoch + 5)
        taken = np.concatenate([plan.clips_of(step) for step in steps])
        assert len(taken) == len(set(taken)) == 40
        left_out.append((set(range(41)) - set(taken)).pop())
    assert len(set(left_out)) > 2
    assert not np.array_equal(plan.clips_of(0), plan.clips_of(5))
    other_seed = TrainingPlan(41, 16, 2, 1, 0, 1)
    assert not np.array_equal(plan.clips_of(0), other_seed.clips_of(0))


def test_offsets_are_uniform_up_to_the_last_one() -> None:
    plan = TrainingPlan(64, 256, 4, 0, 0, 1)
    choices = np.full(64, 5)
    counts = Counter(np.concatenate([plan.offsets(step, choices).ravel() for step in range(40)]).tolist())
    assert sorted(counts) == [0, 1, 2, 3, 4]
    # Of 10240 draws 2048 +- 40.5 each; five deviations.
    assert all(abs(count - 2048) < 203 for count in counts.values())
    assert not plan.offsets(0, np.ones(64, np.int64)).any()


def test_a_roll_begins_at_any_frame_and_a_gain_is_symmetric_about_1() -> None:
    plan = TrainingPlan(64, 256, 4, 0, 0, 1, roll=True, gain=True)
    lengths = np.resize([1, 5], 64)
    starts = np.stack([plan.starts(step, lengths) for step in range(80)])
    assert not starts[:, ::2].any()
    counts = Counter(starts[:, 1::2].ravel().tolist())
    assert sorted(counts) == [0, 1, 2, 3, 4]
    # Of 10240 draws 2048 +- 40.5 each; five deviations.
    assert all(abs(count - 2048) < 203 for count in counts.values())
    gains = np.stack([plan.gains(step) for step in range(80)])
    assert gains.shape == (80, 64, 4)
    assert 0.5 < gains.min() < 0.7 < 1.3 < gains.max() < 1.5
    # Beta(10, 10) has the variance 1 / 84; five deviations of the mean and of the variance of 20480.
    assert abs(gains.mean() - 1) < 5 * (1 / 84 / gains.size) ** 0.5
    assert abs(gains.var() * 84 - 1) < 5 * (2 / gains.size) ** 0.5


def test_variations_are_drawn_beside_the_order_and_the_offsets() -> None:
    plain, varied = TrainingPlan(64, 32, 4, 3, 0, 1), TrainingPlan(64, 32, 4, 3, 0, 1, roll=True, gain=True)
    lengths = np.full(8, 1000)
    for step in range(3):
        assert np.array_equal(plain.clips_of(step), varied.clips_of(step))
        assert np.array_equal(plain.offsets(step, lengths), varied.offsets(step, lengths))
        assert not plain.starts(step, lengths).any()
        assert (plain.gains(step) == 1).all()
        offsets, starts, gains = (
            varied.offsets(step, lengths),
            varied.starts(step, lengths),
            varied.gains(step),
        )
        assert np.abs(np.corrcoef([offsets.ravel(), starts.ravel(), gains.ravel()])[0, 1:]).max() < 0.7
        assert len(np.unique(starts)) > 20
        assert len(np.unique(gains)) == 32
    other = TrainingPlan(64, 32, 4, 4, 0, 1, roll=True, gain=True)
    assert not np.array_equal(other.starts(0, lengths), varied.starts(0, lengths))
    assert not np.array_equal(other.gains(0), varied.gains(0))


def test_crops_of_one_clip_lie_side_by_side_and_cost_one_read(
    clips: ClipSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, reads = ShardReader.read, []
    monkeypatch.setattr(ShardReader, "read", lambda self, *a, **k: reads.append(a) or read(self, *a, **k))
    [batch] = take(make(clips, crops_per_clip=4, threads=0), 1)
    assert len(reads) == 2
    first, second = (whole_clip(clips, c) for c in TrainingPlan(len(clips), 8, 4, 5, 0, 1).clips_of(0))
    for row, clip in zip(batch, [first] * 4 + [second] * 4, strict=True):
        assert any(np.array_equal(row, crop(clip, o)) for o in range(max(1, len(clip) - FRAMES + 1)))


RESTARTED = """
import hashlib, json, sys
from hear_mwmae.pretrain.data.loader import load_clips, training_batches

if __name__ == "__main__":
    folder, state, workers = sys.argv[1:]
    batches = training_batches(load_clips(folder), frames=100, batch_size=8, seed=5, workers=int(workers))
    batches.set_state(json.loads(state))
    hashes = [hashlib.sha256(next(batches).tobytes()).hexdigest() for _ in range(3)]
    print(*hashes, batches.get_state()["step"])
    batches.close()
"""


@pytest.mark.parametrize("workers", [0, 2])
def test_a_saved_position_continues_bit_for_bit_in_a_new_process(
    clips: ClipSet, folder: Path, tmp_path: Path, workers: int
) -> None:
    batches = make(clips)
    for _ in range(7):
        next(batches)
    state = batches.get_state()
    expected = [hashlib.sha256(batch.tobytes()).hexdigest() for batch in take(batches, 3)]
    program = tmp_path / "restarted.py"
    program.write_text(RESTARTED)
    command = [sys.executable, str(program), str(folder), '{"step": 7}', str(workers)]
    found = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}
    )
    assert state == {"step": 7}
    assert found.stdout.split() == [*expected, "10"]


def test_the_position_can_be_set_back_in_a_running_iterator(clips: ClipSet) -> None:
    batches = make(clips)
    first = [np.array(next(batches)) for _ in range(4)]
    batches.set_state({"step": 1})
    assert np.array_equal(first[1:], take(batches, 3))


def test_a_fraction_holds_every_smaller_one(folder: Path, clips: ClipSet) -> None:
    kept = {f: set(load_clips(folder, data_fraction=f).ids.to_pylist()) for f in (0.1, 0.3, 0.7, 1.0)}
    assert kept[0.1] < kept[0.3] < kept[0.7] < kept[1.0] == set(clips.ids.to_pylist())
    part = load_clips(folder, data_fraction=0.3)
    assert whole_clip(part, 2).shape == (part.frames[2], 80)
    with pytest.raises(UserError, match=r"a data fraction of 1e-05 leaves none of the 41 clips"):
        load_clips(folder, data_fraction=1e-5)


def test_hash_positions_are_uniform_and_never_change() -> None:
    positions = np.array([hash_position(f"speech/{number}.wav") for number in range(20000)])
    # Deviation of a share p of 20000: sqrt(p (1 - p) / 20000) <= 0.0035; five of them.
    for share in (0.01, 0.1, 0.5, 0.9):
        assert abs(np.mean(positions < share) - share) < 5 * (share * (1 - share) / 20000) ** 0.5
    digest = hashlib.sha256(b"a.wav").hexdigest()
    assert hash_position("a.wav") == int(digest[:12], 16) / 16**12


def test_short_and_silent_clips_are_filled(clips: ClipSet) -> None:
    batch = np.concatenate(list(validation_batches(clips, frames=FRAMES, batch_size=10)))
    row = dict(zip(clips.ids.to_pylist(), batch, strict=True))
    assert np.isfinite(batch).all()
    assert not row["silence.wav"].any()
    # 0.2 s are 21 frames, which come back and forth: period 40.
    short = row["037.wav"]
    assert np.array_equal(short[:40], np.concatenate([short[:21], short[19:0:-1]]))
    assert np.array_equal(short[40:100], short[:60])
    assert short[:21].std() == pytest.approx(1, abs=1e-6)


def test_validation_takes_the_centre_of_every_clip_once(clips: ClipSet) -> None:
    batches = list(validation_batches(clips, frames=FRAMES, batch_size=16))
    assert [len(batch) for batch in batches] == [16, 16, 9]
    for number, row in enumerate(np.concatenate(batches)):
        clip = whole_clip(clips, number)
        assert np.array_equal(row, crop(clip, max(0, (len(clip) - FRAMES) // 2)))


def test_validation_is_normalised_as_the_model_says(clips: ClipSet) -> None:
    normalisation = VARIED["normalisation"]
    (batch,) = validation_batches(clips, frames=FRAMES, batch_size=41, normalisation=normalisation)
    for number, row in enumerate(batch):
        values = stored_clip(clips, number).log_mel.astype(np.float32)
        values = values[max(0, (len(values) - FRAMES) // 2) :][:FRAMES]
        values = np.pad(values, ((0, FRAMES - len(values)), (0, 0)))
        assert np.array_equal(row, (values - np.float32(-5)) / np.float32(6))


def test_the_centre_is_the_released_one(shared: Path) -> None:
    with np.load(shared / "golden" / "sample_spec.npz") as arrays:
        clip, expected = arrays["normalised2"], arrays["center_crop2"]
    [[offset]] = ValidationPlan(1, 1).offsets(0, np.array([len(clip) - 200 + 1]))
    assert np.array_equal(clip[offset : offset + 200], expected)


def test_batches_that_do_not_divide_are_refused(clips: ClipSet) -> None:
    with pytest.raises(UserError, match=r"A batch of 8 is no multiple of crops per clip x hosts \(3 x 1\)"):
        make(clips, crops_per_clip=3)
    with pytest.raises(UserError, match=r"no multiple of crops per clip x hosts \(2 x 3\)"):
        make(clips, crops_per_clip=2, process_count=3)
    with pytest.raises(UserError, match="41 clips give 41 crops, too few for one batch of 64"):
        make(clips, batch_size=64)
    next(make(clips, batch_size=64, crops_per_clip=2))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_record_is_named(folder: Path, tmp_path: Path, workers: int) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    shard = tmp_path / "copy" / "clips-00001.array_record"
    data = bytearray(shard.read_bytes())
    data[1000:100000:1000] = bytes(len(range(1000, 100000, 1000)))
    shard.write_bytes(data)
    batches = make(load_clips(tmp_path / "copy"), workers=workers)
    with pytest.raises(UserError, match=r"clips-00001.array_record: record \d+ is damaged .*--verify DIR"):
        take(batches, 5)


def test_a_shard_that_lost_records_is_named(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    clips = load_clips(tmp_path / "copy")
    first, last = (tmp_path / "copy" / f"clips-0000{number}.array_record" for number in (0, 2))
    shutil.copy(last, first)
    with pytest.raises(UserError, match=r"clips-00000.array_record: holds 9 clips, not 16"):
        take(make(clips), 5)


def test_an_index_of_other_clips_is_noticed(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    clips = load_clips(tmp_path / "copy")
    first, second = (tmp_path / "copy" / f"clips-0000{number}.array_record" for number in (0, 1))
    shutil.copy(second, first)
    with pytest.raises(UserError, match=r"has \d+ frames, not \d+ as in the index"):
        take(make(clips), 5)


def test_batches_of_long_clips_are_whole(tmp_path: Path) -> None:
    sounds = tmp_path / "sounds"
    for number in range(4):
        write(sounds / f"{number}.flac", tone(10, seed=number))
    prepare([sounds], tmp_path / "out", workers=1)
    batches = training_batches(load_clips(tmp_path / "out"), frames=200, batch_size=64, crops_per_clip=16)
    [batch] = take(batches, 1)
    assert batch.shape == (64, 200, 80)
    assert batch.flags.c_contiguous
    assert len({row.tobytes() for row in batch}) > 60


def test_too_little_shared_memory_is_a_sentence(clips: ClipSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1e5))
    with pytest.raises(UserError, match=r"2 processes .* need 1 MB .* 0 MB are free: lower --workers"):
        training_batches(clips, frames=FRAMES, batch_size=4, workers=2)
    training_batches(clips, frames=FRAMES, batch_size=4).close()


def test_a_sigterm_to_all_processes_leaves_the_workers_to_the_run(clips: ClipSet) -> None:
    with contextlib.closing(training_batches(clips, frames=FRAMES, batch_size=4, workers=1)) as batches:
        next(batches)
        for worker in multiprocessing.active_children():
            worker.terminate()
        assert len(take(batches, 200)) == 200


def test_a_worker_that_is_killed_is_one_sentence(clips: ClipSet) -> None:
    with contextlib.closing(training_batches(clips, frames=FRAMES, batch_size=4, workers=1)) as batches:
        next(batches)
        for worker in multiprocessing.active_children():
            worker.kill()
        with pytest.raises(UserError, match="A process that reads the data was ended"):
            take(batches, 1000)


def test_workers_end_with_a_killed_process(folder: Path) -> None:
    """They inherit its output, which ends with the last of them."""
    program = (
        "import sys, time\n"
        "from hear_mwmae.pretrain.data.loader import load_clips, training_batches\n"
        "if __name__ == '__main__':\n"
        "    batches = training_batches(load_clips(sys.argv[1]), frames=100, batch_size=4, workers=2)\n"
        "    print(next(batches).shape, flush=True)\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "(4, 100, 80)\n"
        process.kill()
        assert process.communicate(timeout=120) == ("", None)
