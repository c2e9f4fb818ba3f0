"""Encoders of the Hugging Face kind: tiny ones, saved and loaded as the real ones, without a network."""

import importlib
import json
import socket
from hashlib import sha256
from pathlib import Path

import pytest
import torch

transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra `baselines`)")

import hub_models  # noqa: E402
from patch_references import check_hear_rules, check_layers, sound  # noqa: E402

from evaluation.baselines import hubert_base, huggingface  # noqa: E402
from evaluation.baselines.hub import HubModel  # noqa: E402
from evaluation.errors import EvaluationError  # noqa: E402
from evaluation.models.hear_model import HearModel  # noqa: E402
from evaluation.models.spec import ModelSpec  # noqa: E402

LAYERS = ["input", "block1", "block2"]
SHORT_MODULES = (
    "wav2vec2_base",
    "wav2vec2_large",
    "hubert_base",
    "hubert_large",
    "wavlm_base",
    "wavlm_large",
)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a test reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: hub_models.save(kind, tmp_path_factory.mktemp(kind)) for kind in hub_models.KINDS}


def copy_of(folder: Path, target: Path, **changes: object) -> Path:
    """A copy of a model's folder with other entries in config.json."""
    target.mkdir()
    for file in folder.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**config, **changes}))
    return target


@pytest.mark.parametrize("kind", hub_models.KINDS)
def test_hear_rules(folders: dict[str, Path], kind: str) -> None:
    check_hear_rules(huggingface, huggingface.load_model(folders[kind]), hop_ms=100 if kind == "ast" else 20)


@pytest.mark.parametrize("kind", hub_models.KINDS)
def test_layers(folders: dict[str, Path], kind: str) -> None:
    check_layers(huggingface, huggingface.load_model(folders[kind]), LAYERS)


@pytest.mark.parametrize("kind", hub_models.WAVEFORM)
def test_embeddings_are_the_librarys_own(folders: dict[str, Path], kind: str) -> None:
    clip = sound(1.3, clips=1)[0]
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folders[kind])
    network = transformers.AutoModel.from_pretrained(folders[kind]).eval()
    inputs = extractor(clip.numpy(), sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        expected = network(inputs["input_values"]).last_hidden_state
    model = huggingface.load_model(folders[kind])
    embeddings, times = huggingface.get_timestamp_embeddings(clip[None], model)
    torch.testing.assert_close(embeddings, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(
        huggingface.get_scene_embeddings(clip[None], model), expected.mean(dim=1), rtol=0, atol=1e-6
    )
    assert times[0, :3].tolist() == [12.5, 32.5, 52.5]


@pytest.mark.parametrize("kind", ["wav2vec2-base", "wavlm-large", "whisper", "ast"])
def test_a_clip_does_not_hear_its_batch_mates(folders: dict[str, Path], kind: str) -> None:
    model = huggingface.load_model(folders[kind])
    audio = sound(11.0, clips=3)
    together, _ = huggingface.get_timestamp_embeddings(audio, model)
    alone = [huggingface.get_timestamp_embeddings(clip[None], model)[0] for clip in audio]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=2e-5)


@pytest.mark.parametrize("kind", ["wav2vec2-base", "whisper", "ast"])
def test_an_encoder_hears_the_sound_at_the_time_it_states(folders: dict[str, Path], kind: str) -> None:
    model = huggingface.load_model(folders[kind])
    one = sound(6.0, clips=1)
    other = one.clone()
    other[:, 64000:67200] = one[:, 80000:83200]  # 4.0 to 4.2 s
    (before, times), (after, _) = (
        huggingface.get_timestamp_embeddings(audio, model, layers=["input"])[0] for audio in (one, other)
    )
    change = (after - before).abs().sum(dim=2)[0]
    loudest = times[0, change.topk(2).indices]
    assert (loudest > 3900).all()
    assert (loudest < 4300).all()


def test_input_is_normalised_as_the_feature_extractor_says(folders: dict[str, Path]) -> None:
    audio = sound(1.0, clips=1)
    for kind, normalised in (("hubert-base", True), ("wavlm-base", False)):
        prepared = huggingface.load_model(folders[kind]).prepare(audio)
        assert (abs(float(prepared.std()) - 1) < 1e-3) == normalised
        assert torch.equal(prepared, audio) != normalised


def test_without_a_feature_extractor_a_waveform_encoder_takes_the_librarys_default(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = copy_of(folders["wav2vec2-large"], tmp_path / "voxpopuli")
    (folder / "preprocessor_config.json").unlink()
    audio = sound(1.0)
    plain, own = (huggingface.load_model(path) for path in (folder, folders["wav2vec2-large"]))
    assert torch.equal(
        huggingface.get_scene_embeddings(audio, plain), huggingface.get_scene_embeddings(audio, own)
    )


@pytest.mark.parametrize(
    ("kind", "parts", "frames", "hop"),
    [("hubert-base", 3, 3249, 20), ("whisper", 3, 3250, 20), ("ast", 7, 650, 100)],
)
def test_long_sound_is_cut_into_equal_parts(
    folders: dict[str, Path], kind: str, parts: int, frames: int, hop: int
) -> None:
    model = huggingface.load_model(folders[kind])
    lengths = []
    encode = model.encode
    model.encode = lambda audio, layers: lengths.append(audio.shape[1]) or encode(audio, layers)
    embeddings, times = huggingface.get_timestamp_embeddings(sound(65.0, clips=1), model)
    assert len(lengths) == parts
    assert max(lengths) <= model.grid.window + (model.grid.hop * (1499 if hop == 20 else 100))
    assert max(lengths) - min(lengths) <= model.grid.hop
    assert embeddings.shape[1] == times.shape[1] == frames
    assert (times.diff(dim=1) - hop).abs().max() < 1e-2


def test_a_part_as_long_as_the_encoder_bears(folders: dict[str, Path]) -> None:
    model = huggingface.load_model(folders["ast"])
    for samples in (163279, 163280, 164080, 164879):  # 101 columns; one more has its middle in the last
        frames, _ = huggingface.get_timestamp_embeddings(torch.zeros(1, samples), model)
        assert frames.shape[1] == 1 + (samples - 1400) // 1600


def test_scenes_are_the_mean_over_all_frames_of_long_sound(folders: dict[str, Path]) -> None:
    model = huggingface.load_model(folders["wavlm-base"])
    audio = sound(65.0, clips=1)
    frames, _ = huggingface.get_timestamp_embeddings(audio, model)
    torch.testing.assert_close(
        huggingface.get_scene_embeddings(audio, model), frames.mean(dim=1), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("name", SHORT_MODULES)
def test_every_short_module_loads_its_own_model(
    folders: dict[str, Path], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module(f"evaluation.baselines.{name}")
    shape = {"model_type": module.WEIGHTS.shape["model_type"]}
    monkeypatch.setattr(module, "WEIGHTS", HubModel(module.WEIGHTS.name, shape))
    model = module.load_model(folders[name.replace("_", "-")])
    assert module.get_scene_embeddings(sound(1.0), model).shape == (2, 16)
    other = folders["hubert-base" if "hubert" not in name else "wavlm-base"]
    with pytest.raises(
        EvaluationError, match=r"is not .*: its model_type is '\w+' instead of '\w+'; load it as"
    ):
        module.load_model(other)


def test_a_model_is_found_in_the_weights_folder_and_in_the_hubs_cache(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = HubModel("owner/tiny")
    assert model.locate() is None
    (tmp_path / "weights").mkdir()
    snapshot = tmp_path / "hub" / "models--owner--tiny" / "snapshots" / "abc"
    snapshot.parent.mkdir(parents=True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    copy_of(folders["hubert-base"], snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("abc")
    assert model.locate() == snapshot
    monkeypatch.setenv("HEAR_MWMAE_WEIGHTS", str(tmp_path / "weights"))
    chosen = copy_of(folders["hubert-base"], tmp_path / "weights" / "tiny")
    assert model.locate() == chosen
    spec = ModelSpec("evaluation.baselines.huggingface", "owner/tiny")
    assert HearModel(spec, "cpu").scene_embedding_size == 16


def test_mistakes_are_one_sentence(folders: dict[str, Path], tmp_path: Path) -> None:
    cases = {
        "": r"^name a model: evaluation.baselines.huggingface@openai/whisper-base$",
        "owner/none": r"^owner/none is not on this machine, .*; fetch it with `hear-eval models",
        "/no/such/folder": r"^/no/such/folder is not on this machine, neither a folder nor",
        str(tmp_path): r"holds no model of the Hugging Face kind: it needs config.json",
    }
    for name, sentence in cases.items():
        with pytest.raises(EvaluationError, match=sentence):
            huggingface.load_model(name)
    with pytest.raises(EvaluationError, match=r"hubert-base-ls960 is not on this machine"):
        hubert_base.load_model()
    deeper = copy_of(folders["hubert-base"], tmp_path / "deeper", num_hidden_layers=3)
    with pytest.raises(EvaluationError, match=r"lack \d+ parameters of the encoder, \S+layers.2\S+ for one"):
        huggingface.load_model(deeper)
    own_code = {
        "model_type": "unheard-of",
        "auto_map": {"AutoConfig": "own.Config", "AutoModel": "own.Model"},
    }
    stranger = copy_of(folders["hubert-base"], tmp_path / "stranger", **own_code)
    with pytest.raises(EvaluationError, match=r"stranger is of no kind that transformers knows by itself"):
        huggingface.load_model(stranger)
    cut = copy_of(folders["hubert-base"], tmp_path / "cut")
    (cut / "model.safetensors").write_bytes((cut / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(EvaluationError, match=r"cut cannot be loaded: "):
        huggingface.load_model(cut)


@pytest.mark.parametrize(("kind", "extractor"), [("ClapAudio", "Clap"), ("SEW", "Wav2Vec2")])
def test_a_kind_without_a_known_time_axis_is_refused(kind: str, extractor: str) -> None:
    config = getattr(transformers, f"{kind}Config")()
    with pytest.raises(EvaluationError, match=r"^it is of the kind '\w+', whose output has no time axis"):
        huggingface.layout_of(config, getattr(transformers, f"{extractor}FeatureExtractor")(), "it")


@pytest.mark.parametrize(
    ("kind", "class_name", "prefix"),
    [("wav2vec2-base", "Wav2Vec2ForPreTraining", "wav2vec2."), ("wavlm-large", "WavLMModel", "")],
)
def test_files_with_the_names_of_the_first_releases(
    folders: dict[str, Path], tmp_path: Path, kind: str, class_name: str, prefix: str
) -> None:
    """The published files have heads of pre-training and names of an older weight norm, and are pickled."""
    folder = copy_of(folders[kind], tmp_path / "old", architectures=[class_name])
    (folder / "model.safetensors").unlink()
    tensors = transformers.AutoModel.from_pretrained(folders[kind]).state_dict()
    norm = "parametrizations.weight.original"
    old = {f"{prefix}{k.replace(f'{norm}0', 'weight_g').replace(f'{norm}1', 'weight_v')}": t
           for k, t in tensors.items()}  # fmt: skip
    assert f"{prefix}encoder.pos_conv_embed.conv.weight_g" in old
    torch.save(
        old | ({"project_q.weight": torch.zeros(3, 3)} if prefix else {}), folder / "pytorch_model.bin"
    )
    found, expected = (
        huggingface.get_scene_embeddings(sound(1.0), huggingface.load_model(path))
        for path in (folder, folders[kind])
    )
    assert torch.equal(found, expected)


def test_a_half_precision_file_is_computed_in_float32(folders: dict[str, Path], tmp_path: Path) -> None:
    model = transformers.AutoModel.from_pretrained(folders["hubert-base"]).half()
    model.save_pretrained(tmp_path)
    loaded = huggingface.load_model(tmp_path)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}


def test_download_asks_for_one_kind_of_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = []
    monkeypatch.setattr("huggingface_hub.list_repo_files", lambda name: ["config.json", "pytorch_model.bin"])
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download",
        lambda name, allow_patterns: asked.append(allow_patterns) or tmp_path,
    )
    assert HubModel("owner/old").download() == tmp_path
    assert asked == [["*.json", "pytorch_model*.bin*"]]
    damaged = tmp_path / sha256(b"content").hexdigest()  # the cache names blobs so, and links to them
    damaged.write_bytes(b"content")
    (tmp_path / "pytorch_model.bin").symlink_to(damaged)
    assert HubModel("owner/old").download() == tmp_path
    damaged.write_bytes(b"cont")
    with pytest.raises(EvaluationError, match=rf"^{damaged} is damaged: its SHA-256 is .*fetch it again"):
        HubModel("owner/old").download()

    def fail(name: str) -> None:
        raise LookupError("no route to\nhost")

    monkeypatch.setattr("huggingface_hub.list_repo_files", fail)
    with pytest.raises(
        EvaluationError, match=r"^owner/old cannot be fetched: LookupError: no route to host$"
    ):
        HubModel("owner/old").download()
