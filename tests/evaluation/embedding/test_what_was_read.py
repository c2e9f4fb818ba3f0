"""An entry of the store is of what its key says: what changes between plan and end is found and named."""

import dataclasses
import importlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from run_helpers import arguments, ledger_lines
from tiny_task import make_task, write_wav

from evaluation.embedding.embed import embed_task, is_embedded, store_entry
from evaluation.embedding.store import DIGESTS_FILE, StoreEntry
from evaluation.errors import EvaluationError
from evaluation.models.hear_model import HearModel
from evaluation.models.marks import mark_file
from evaluation.models.spec import ModelSpec
from evaluation.run import main as run_main
from tasks import Task, TaskError, read_task, resample_task

HOOKED = """
import pathlib, sys
import numpy as np
import torch

class Model(torch.nn.Module):
    sample_rate = 16000
    scene_embedding_size = 3
    def __init__(self, path):
        super().__init__()
        {weights}

def load_model(model_file_path=""):
    return Model(model_file_path)

def get_scene_embeddings(audio, model):
    for hook in HOOKS:
        hook()
    return audio[:, :3] * model.scale

HOOKS = []
{more}
"""
SEEN = "self.scale = torch.nn.Parameter(torch.load(path, weights_only=True))"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Write a module and return its name; HOOKS of it are called with every batch."""
    monkeypatch.syspath_prepend(str(tmp_path))
    names = []

    def write(name: str, *, weights: str = SEEN, more: str = "") -> str:
        (tmp_path / f"{name}.py").write_text(HOOKED.format(weights=weights, more=more))
        importlib.invalidate_caches()
        names.append(name)
        return name

    yield write
    for name in names:
        sys.modules.pop(name, None)


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return read_task(make_task(tmp_path / "tiny-v1-full", rate=16000))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.save(torch.ones(3), tmp_path / "w.pt")
    torch.save(torch.full((3,), 1000.0), tmp_path / "other.pt")
    return tmp_path / "w.pt"


def embed(model: HearModel, task: Task, cache: Path) -> tuple[StoreEntry, list[str]]:
    warnings: list[str] = []
    entry = store_entry(model, task, cache)
    embed_task(model, task, [entry], cache, advance=lambda n: None, warn=warnings.append)
    return entry, warnings


def planned_and_then(
    hook: Callable[[], object], name: str, weights: Path, task: Task, cache: Path
) -> tuple[HearModel, StoreEntry]:
    """Return a model and its entry, as planned; the hook is called while it embeds."""
    model = HearModel(ModelSpec(name, str(weights)), "cpu")
    sys.modules[name].HOOKS.append(hook)
    return model, store_entry(model, task, cache)


def test_weights_that_are_replaced_while_another_model_embeds(
    write: Callable[..., str], weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    make_task(tmp_path / "tasks" / "tiny-v1-full", rate=16000)
    shutil.copy(weights, good := tmp_path / "good.pt")
    write("read_first", more="HOOKS.append(lambda: pathlib.Path(REPLACED).write_bytes(OTHER))")
    write("read_second")
    first = importlib.import_module("read_first")
    first.REPLACED, first.OTHER = str(weights), (tmp_path / "other.pt").read_bytes()
    models = (f"read_first@{good}", f"read_second@{weights}")
    line = arguments(tmp_path / "tasks", tmp_path, "--preset", "quick", "--seeds", "1", models=models)
    assert run_main([*line, "--cache", str(tmp_path / "cache")]) == 1
    assert f"{weights} has changed since read_second was loaded" in capsys.readouterr().err
    assert len(ledger_lines(tmp_path / "default")) == 1, "the other model's fit"
    first.OTHER = good.read_bytes()
    weights.write_bytes(first.OTHER)
    assert run_main([*line, "--cache", str(tmp_path / "cache")]) == 0
    means = {
        float(np.abs(np.load(file)).mean()) for file in (tmp_path / "cache" / "embeddings").rglob("test.npy")
    }
    assert len(means) == 1, "both models have the same weights"


@pytest.mark.parametrize("what", ["weights", "source", "clip", "list", "weights and back"])
def test_what_changes_while_it_is_embedded_is_named_and_nothing_is_kept(
    write: Callable[..., str], weights: Path, task: Task, tmp_path: Path, what: str
) -> None:
    name = write("read_during")
    clip = task.audio_path("train", "train-3.wav", 16000)
    changed = {
        "weights": weights,
        "source": tmp_path / "read_during.py",
        "clip": clip,
        "list": task.path / "train.json",
        "weights and back": weights,
    }[what]

    before = changed.read_bytes()

    def change() -> None:
        content = changed.read_bytes()
        if content != before:
            return
        if what == "list":
            changed.write_text(changed.read_text() + " ")
        else:
            changed.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        if what == "weights and back":
            changed.write_bytes(content)

    if what == "clip":
        model, entry = planned_and_then(lambda: None, name, weights, task, tmp_path / "cache")
        change()
    else:
        model, entry = planned_and_then(change, name, weights, task, tmp_path / "cache")
    if what == "weights and back":
        embed_task(model, task, [entry], tmp_path / "cache", advance=lambda n: None, warn=pytest.fail)
        assert is_embedded(entry, task)
        return
    with pytest.raises((EvaluationError, TaskError), match=f"{changed.name} has changed"):
        embed_task(model, task, [entry], tmp_path / "cache", advance=lambda n: None, warn=pytest.fail)
    assert not list(entry.path.glob("*.npy"))


def test_lists_that_change_between_reading_and_planning(
    write: Callable[..., str], weights: Path, task: Task, tmp_path: Path
) -> None:
    model = HearModel(ModelSpec(write("read_lists"), str(weights)), "cpu")
    entries = json.loads((task.path / "train.json").read_text())
    (task.path / "train.json").write_text(json.dumps(dict(reversed(entries.items()))))
    with pytest.raises(EvaluationError, match="tiny-v1-full has changed since it was read"):
        store_entry(model, task, tmp_path / "cache")


def test_a_file_that_changes_while_the_model_loads(
    write: Callable[..., str], weights: Path, tmp_path: Path
) -> None:
    write("read_loading", weights=f"{SEEN}; pathlib.Path(path).write_bytes(b'others')")
    with pytest.raises(EvaluationError, match=r"w\.pt changed while read_loading was loaded"):
        HearModel(ModelSpec("read_loading", str(weights)), "cpu")


def test_a_changed_source_is_another_model_only_where_it_is_imported_again(
    write: Callable[..., str], weights: Path, tmp_path: Path
) -> None:
    name = write("read_source")
    before = HearModel(ModelSpec(name, str(weights)), "cpu")
    with open(tmp_path / f"{name}.py", "a") as file:
        file.write("\nA = 1\n")
    same = HearModel(ModelSpec(name, str(weights)), "cpu")
    assert same.fingerprint == before.fingerprint, "Python still runs the code that it has read"
    with pytest.raises(EvaluationError, match=r"read_source\.py has changed"):
        same.check_unchanged()
    del sys.modules[name]
    assert HearModel(ModelSpec(name, str(weights)), "cpu").fingerprint != before.fingerprint


def test_a_resampled_clip_is_the_one_that_was_made(
    write: Callable[..., str], weights: Path, tmp_path: Path
) -> None:
    task = read_task(make_task(tmp_path / "tiny48-v1-full", rate=48000, task_name="tiny48"))
    source = resample_task(task, 16000, tmp_path / "cache" / "audio")
    write_wav(source.audio_path("train", "train-0.wav", 16000), np.full(4000, 0.25), 16000)
    model = HearModel(ModelSpec(write("read_made"), str(weights)), "cpu")
    with pytest.raises(
        TaskError, match=r"train-0\.wav in the cache is damaged; delete .* and it is made again"
    ):
        embed(model, task, tmp_path / "cache")


def test_a_clip_that_cannot_be_used_is_not_called_damage_of_the_cache(
    write: Callable[..., str], weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = read_task(make_task(tmp_path / "tiny48-v1-full", rate=48000, task_name="tiny48"))

    def refuse(path: Path, rate: int) -> None:
        raise TaskError(f"{path} is empty (no samples); restore it.")

    model = HearModel(ModelSpec(write("read_unusable"), str(weights)), "cpu")
    resample_task(task, 16000, tmp_path / "cache" / "audio")
    monkeypatch.setattr("evaluation.embedding.content.read_clip_and_digest", refuse)
    with pytest.raises(TaskError, match="is empty") as caught:
        embed(model, task, tmp_path / "cache")
    assert "damaged" not in str(caught.value)


HIDDEN = "self.scale = torch.from_numpy(np.load({path!r}))"


def test_hidden_weights_that_python_reads_are_part_of_the_model(
    write: Callable[..., str], tmp_path: Path
) -> None:
    path = tmp_path / "hidden.npy"
    name = write("read_hidden", weights=HIDDEN.format(path=str(path)))
    fingerprints = set()
    for value in (1.0, 2.0):
        np.save(path, np.full(3, value, np.float32))
        model = HearModel(ModelSpec(name), "cpu")
        fingerprints.add(model.fingerprint)
        assert (model.read_files, model.unseen) == ([path], True)
    assert len(fingerprints) == 2


def test_hidden_weights_beside_ones_that_are_seen(write: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / "hidden.npy"
    dummy = "self.dummy = torch.nn.Parameter(torch.zeros(1000))"
    name = write("read_dummy", weights=f"{dummy}; {HIDDEN.format(path=str(path))}")
    fingerprints = set()
    for value in (1.0, 2.0):
        np.save(path, np.full(3, value, np.float32))
        fingerprints.add(HearModel(ModelSpec(name), "cpu").fingerprint)
    assert len(fingerprints) == 2


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="this system tells of no mapped files")
def test_hidden_weights_that_a_library_maps_are_part_of_the_model(
    write: Callable[..., str], tmp_path: Path
) -> None:
    """As TFLite does; `os.open` with a number stands for opening a file past Python."""
    path = tmp_path / "hidden.tflite"
    top = "import ctypes, mmap\nlibrary = ctypes.CDLL(None, use_errno=True)"
    opening = f"mmap.mmap(library.open({str(path).encode()!r}, 0), 0, prot=mmap.PROT_READ)"
    name = write("read_mapped", weights=f"self.scale = 2; self.map = {opening}", more=top)
    fingerprints = set()
    for value in (b"1", b"2"):
        path.write_bytes(value * 5000)
        model = HearModel(ModelSpec(name), "cpu")
        fingerprints.add(model.fingerprint)
        assert model.read_files == [path]
        model._model.map.close()
    assert len(fingerprints) == 2


def test_what_a_module_writes_itself_is_no_part_of_it(write: Callable[..., str], tmp_path: Path) -> None:
    index, made = tmp_path / "index.json", tmp_path / "made.json"
    index.write_text("0")
    name = write(
        "read_writes",
        weights=f"""self.scale = 2; index, made = pathlib.Path({str(index)!r}), pathlib.Path({str(made)!r})
        n = int(index.read_text()); index.write_text(str(n + 1))
        made.write_text(str(n)); made.read_text()""",
    )
    first, second = (HearModel(ModelSpec(name), "cpu") for _ in range(2))
    assert first.read_files == second.read_files == []
    assert first.fingerprint == second.fingerprint


def test_weights_that_are_others_at_each_loading(
    write: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    make_task(tmp_path / "tasks" / "tiny-v1-full", rate=16000)
    drawn = "self.scale = torch.nn.Parameter(torch.rand(3, generator={}))"
    name = write("read_drawn", weights=drawn.format("torch.Generator().manual_seed(torch.seed() % 2**31)"))
    line = arguments(tmp_path / "tasks", tmp_path, "--preset", "quick", "--seeds", "1")
    assert run_main([*line, "--models", name]) == 1
    assert "read_drawn has other weights each time it is loaded" in capsys.readouterr().err
    name = write("read_seeded", weights=drawn.format("None"))
    assert run_main([*line, "--models", name, "--run", "seeded"]) == 0, "the global generators start alike"


@pytest.mark.parametrize(("memory", "times"), [("1", 1), ("1e-9", 2)])
def test_a_model_of_a_file_is_loaded_once_as_far_as_memory_goes(
    write: Callable[..., str], tmp_path: Path, memory: str, times: int
) -> None:
    make_task(tmp_path / "tasks" / "tiny-v1-full", rate=16000)
    torch.save(torch.ones(3), tmp_path / "w.pt")
    loaded = tmp_path / "loaded"
    count = f"with open({str(loaded)!r}, 'a') as file: file.write('x')"
    name = write(f"read_counted_{times}", weights=f"{SEEN}\n        {count}")
    line = arguments(tmp_path / "tasks", tmp_path, "--preset", "quick", "--seeds", "1")
    line = [*line, "--models", f"{name}@{tmp_path / 'w.pt'}"]
    assert run_main([*line, "--max-memory", memory]) == 0
    assert len(loaded.read_text()) == times
    assert run_main(line) == 0
    assert len(loaded.read_text()) == times + 1, "what is embedded is only looked at"


def test_files_that_a_module_names_are_part_of_it(write: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "named").mkdir()
    (tmp_path / "named" / "a.onnx").write_bytes(b"1")
    name = write("read_named", weights="self.scale = 2", more='WEIGHT_FILES = ["named"]')
    before = HearModel(ModelSpec(name), "cpu")
    assert not before.unseen
    (tmp_path / "named" / "a.onnx").write_bytes(b"2")
    assert HearModel(ModelSpec(name), "cpu").fingerprint != before.fingerprint


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ('["nowhere.onnx"]', "nowhere.onnx, where no file is"),
        ("3", "WEIGHT_FILES is 3; give a list of paths"),
    ],
)
def test_files_that_a_module_cannot_name(write: Callable[..., str], said: str, sentence: str) -> None:
    name = write(f"read_wrong_{len(said)}", weights="self.scale = 2", more=f"WEIGHT_FILES = {said}")
    with pytest.raises(EvaluationError, match=sentence):
        HearModel(ModelSpec(name), "cpu")


@pytest.mark.parametrize(("said", "warns"), [("", True), ("WEIGHT_FILES = []", False)])
def test_a_plan_is_loud_about_a_model_without_weights(
    write: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture, said: str, warns: bool
) -> None:
    make_task(tmp_path / "tasks" / "tiny-v1-full", rate=16000)
    name = write(f"read_none_{warns}", weights="self.scale = 2", more=said)
    assert run_main([*arguments(tmp_path / "tasks", tmp_path, models=(name,)), "--plan-only"]) == 0
    assert ("warning: no weights of" in capsys.readouterr().out) == warns


def test_a_module_that_is_seen_whole_has_the_fingerprint_that_it_had(
    write: Callable[..., str], weights: Path
) -> None:
    """What the hash is over, in order: written out here, so that it is not changed by accident."""
    import hashlib

    name = write("read_plain")
    model = HearModel(ModelSpec(name, str(weights)), "cpu")
    settings = {"module": name, "sample_rate": 16000, "options": {}}
    whole = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    source = Path(sys.modules[name].__file__)
    whole.update(source.name.encode() + mark_file(source, source=True).digest)
    whole.update(weights.name.encode() + hashlib.sha256(weights.read_bytes()).digest())
    whole.update(b"scale torch.float32 (3,)" + np.ones(3, np.float32).tobytes())
    assert model.fingerprint == whole.hexdigest()


def test_what_is_read_only_later_is_told(write: Callable[..., str], task: Task, tmp_path: Path) -> None:
    np.save(tmp_path / "late.npy", np.ones(3))
    name = write("read_late", weights="self.scale = 2")
    model = HearModel(ModelSpec(name), "cpu")
    sys.modules[name].HOOKS.append(lambda: np.load(tmp_path / "late.npy"))
    _, warnings = embed(model, task, tmp_path / "cache")
    assert [text for text in warnings if "read_late reads late.npy while it embeds" in text]


def test_a_model_whose_weights_change_while_it_embeds_is_told(
    write: Callable[..., str], weights: Path, task: Task, tmp_path: Path
) -> None:
    model = HearModel(ModelSpec(write("read_learns"), str(weights)), "cpu")
    sys.modules["read_learns"].HOOKS.append(lambda: model._model.scale.add_(1e-9 + 1e-6))
    _, warnings = embed(model, task, tmp_path / "cache")
    assert [text for text in warnings if "changes its own weights while it embeds (scale" in text]


@pytest.fixture
def stored(write: Callable[..., str], weights: Path, task: Task, tmp_path: Path) -> StoreEntry:
    return embed(HearModel(ModelSpec(write("read_stored"), str(weights)), "cpu"), task, tmp_path / "cache")[0]


def test_a_value_that_changes_in_the_store_is_found_when_it_is_read(stored: StoreEntry, task: Task) -> None:
    path = stored.path / "valid.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert is_embedded(stored, task), "its shape is right"
    for _ in range(2):
        with pytest.raises(EvaluationError, match=r"valid\.npy is not what was stored.*delete that file"):
            stored.read("valid")
    assert stored.read("train").shape == (4, 3)


def test_a_value_that_changes_later_in_a_process_is_found_too(stored: StoreEntry) -> None:
    stored.read("valid")
    path = stored.path / "valid.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(EvaluationError, match="is not what was stored"):
        stored.read("valid")


@pytest.mark.parametrize("content", [None, "{}", "[]", "{", '{"valid.npy": "0"}', '{"valid.npy": 3}', "\xff"])
def test_embeddings_without_a_digest_are_not_stored(
    stored: StoreEntry, task: Task, content: str | None, tmp_path: Path
) -> None:
    path = stored.path / DIGESTS_FILE
    path.unlink()
    if content is not None:
        path.write_bytes(content.encode("latin-1"))
    assert not is_embedded(stored, task)
    with pytest.raises(EvaluationError, match=r"valid\.npy has no SHA-256"):
        stored.read("valid")


def test_arrays_are_hashed_once(stored: StoreEntry, monkeypatch: pytest.MonkeyPatch) -> None:
    stored.read("valid")
    monkeypatch.setattr("evaluation.embedding.store.mark_file", pytest.fail)
    stored.read("valid")


def test_a_full_disk_leaves_no_half_of_an_array(
    write: Callable[..., str], weights: Path, task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = HearModel(ModelSpec(write("read_full"), str(weights)), "cpu")
    entry = store_entry(model, task, tmp_path / "cache")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        embed_task(model, task, [entry], tmp_path / "cache", advance=lambda n: None, warn=pytest.fail)
    left = {path.name for path in entry.path.iterdir()}
    assert left <= {".lock"}


def test_times_of_another_shape_are_not_known(stored: StoreEntry, task: Task) -> None:
    path = stored.path / "times.json"
    assert stored.embedding_time(task.clips) is not None
    times = json.loads(path.read_text())
    for wrong in ("x", None, [], 10**30, -1):
        changed = {split: {**one, "seconds": wrong} for split, one in times.items()}
        path.write_text(json.dumps(changed))
        assert stored.embedding_time(task.clips) is None
    path.write_text("[" * 10_000)
    assert stored.embedding_time(task.clips) is None


def test_labels_that_are_the_same_leave_the_key_alone(
    write: Callable[..., str], weights: Path, task: Task, tmp_path: Path
) -> None:
    model = HearModel(ModelSpec(write("read_key"), str(weights)), "cpu")
    one = store_entry(model, task, tmp_path / "a")
    two = store_entry(model, dataclasses.replace(task), tmp_path / "b")
    assert one.key == two.key
