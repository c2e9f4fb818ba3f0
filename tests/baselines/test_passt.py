"""PaSST: the front end against the package's numbers; the adapter over a stand-in and over the package."""

import re
import sys
from pathlib import Path
from types import ModuleType

import golden
import numpy as np
import patch_references as references
import pytest
import torch
from paths import DATA
from torch import nn

from evaluation.baselines import passt
from evaluation.errors import EvaluationError
from evaluation.models.systems import SYSTEMS

COPY = DATA / "passt_mel.npz"
(PARAMETERS,) = (s.parameters for s in SYSTEMS if s.module == "evaluation.baselines.passt")


def test_the_front_end_equals_the_packages() -> None:
    arrays = np.load(COPY)  # hear21passt 0.0.26 over the kaldi.py of torchaudio 2.11.0
    audio = torch.from_numpy(arrays["audio"].astype(np.float32) / 32768)
    found = passt.PasstMel()(audio[None])[0].numpy()
    logs = [5 * values - 4.5 for values in (found, arrays["log_mel"])]  # of the power and 1e-5
    golden.assert_equal_spectra(*logs, axis=0, roundings=40)  # equal to the bit where made, 19 on a Xeon


class StandInNetwork(nn.Module):
    """Gives logits and features of a picture [clips, 1, 128, frames], as the package's network does."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(128, 527)
        self.features = nn.Linear(128, 768)

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean = pictures.mean(dim=(1, 3))
        return self.head(mean), self.features(mean)


class StandInWrapper(nn.Module):
    """The interface of `hear21passt.wrapper.PasstBasicWrapper`, for windows of 160 ms every 50 ms."""

    def __init__(self, mel: nn.Module, net: nn.Module) -> None:
        super().__init__()
        self.mel, self.net, self.sample_rate = mel, net, mel.sr
        self.scene_embedding_size = self.timestamp_embedding_size = 1295

    def get_scene_embeddings(self, audio: torch.Tensor) -> torch.Tensor:
        return torch.cat(self.net(self.mel(audio).unsqueeze(1)), dim=1)

    def get_timestamp_embeddings(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        padded = nn.functional.pad(audio[:, None], (2560, 2560), mode="reflect")[:, 0]
        windows = padded.unfold(1, 5120, 1600)
        embeddings = torch.stack([self.get_scene_embeddings(w) for w in windows.unbind(1)], dim=1)
        times = torch.arange(windows.shape[1]) * 50.0
        return embeddings, times.expand(len(audio), -1)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    package, models = ModuleType("hear21passt"), ModuleType("hear21passt.models")
    network, wrapper = ModuleType("hear21passt.models.passt"), ModuleType("hear21passt.wrapper")

    def get_model(arch: str, *, pretrained: bool) -> nn.Module:
        print(f"the package prints its model {arch}")
        assert arch == "passt_s_swa_p16_128_ap476"
        assert not pretrained, "the package would download weights"
        return StandInNetwork()

    network.get_model, models.passt, wrapper.PasstBasicWrapper = get_model, network, StandInWrapper
    for module in (package, models, network, wrapper):
        monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    torch.save(StandInNetwork().state_dict(), tmp_path / "passt.pt")
    return tmp_path / "passt.pt"


@pytest.mark.usefixtures("stand_in")
def test_hear_rules(path: Path, capsys: pytest.CaptureFixture) -> None:
    model = passt.load_model(str(path))
    assert capsys.readouterr().out == ""
    assert torch.equal(model.net.head.weight, torch.load(path, weights_only=True)["head.weight"])
    references.check_hear_rules(passt, model, hop_ms=50)


@pytest.mark.usefixtures("stand_in")
def test_clips_shorter_than_a_window_are_filled_up(path: Path) -> None:
    embeddings, times = passt.get_timestamp_embeddings(torch.ones(3, 1), passt.load_model(str(path)))
    assert embeddings.shape == (3, 1, 1295)
    assert times.tolist() == [[0.0]] * 3


@pytest.mark.usefixtures("stand_in")
def test_a_tensor_out_of_place_is_named(tmp_path: Path) -> None:
    tensors = StandInNetwork().state_dict()
    torch.save({name: t for name, t in tensors.items() if name != "head.bias"}, tmp_path / "less.pt")
    with pytest.raises(EvaluationError, match=re.escape("'head.bias' is missing where the model has (527,)")):
        passt.load_model(str(tmp_path / "less.pt"))


def test_a_missing_package_says_how_to_install_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hear21passt", None)
    with pytest.raises(
        EvaluationError, match="run `pip install --no-deps hear21passt` and `pip install timm`"
    ):
        passt.load_model(str(path))


def test_missing_weights_say_where_they_come_from() -> None:
    with pytest.raises(EvaluationError, match=r"no passt-s-f128-p16-s10-ap\.476-swa\.pt in .*kkoutini/PaSST"):
        passt.load_model()


@pytest.mark.slow
def test_the_real_network_follows_hear(tmp_path: Path) -> None:
    try:
        network, _ = passt._package()
    except EvaluationError as error:
        pytest.skip(str(error))
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS
    torch.save(network.state_dict(), tmp_path / "passt.pt")
    model = passt.load_model(str(tmp_path / "passt.pt"))
    audio = references.sound(0.3, rate=32000)
    scenes = passt.get_scene_embeddings(audio, model)
    embeddings, times = passt.get_timestamp_embeddings(audio, model)
    assert scenes.shape == (2, model.scene_embedding_size)
    assert embeddings.shape == (2, 6, model.timestamp_embedding_size)
    assert times[0].tolist() == [0, 50, 100, 150, 200, 250]
    alone = passt.get_scene_embeddings(audio[1:], model)
    torch.testing.assert_close(alone, scenes[1:], rtol=1e-4, atol=1e-5)
