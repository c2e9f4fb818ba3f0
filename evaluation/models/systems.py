"""`hear-eval models`: the systems of Table 1 and the baselines, and where their weights are.

Sources. Data and its hours: Table 1 and section 4.1 of the paper; torchaudio's documentation of its pipelines
and the authors' own pages for what Table 1 only names. Parameters: counted in the model as it is built here,
without heads for pre-training; PaSST's in its package 0.0.26. Licences: the weights' pages on the hub, for
WavLM, whose page states none, torchaudio's documentation; the package's metadata for PaSST; the authors'
repositories for the rest. What no source at hand states is empty.
"""

import dataclasses
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.baselines.hub import HubModel
from evaluation.baselines.weights import ReleasedFile
from evaluation.errors import EvaluationError

TABLE1 = "table1"
BASELINES = "evaluation.baselines."
NO_WEIGHTS = "none"
DEFAULT_MODELS = ("hear_mwmae.mw_mae_t", "evaluation.baselines.hear_naive")
"""What a run evaluates that names no models."""


@dataclass(frozen=True)
class System:
    """One system: its row in Table 1 ("" for a baseline beside it), its HEAR module, and what is known of it.

    Sizes are numbers per embedding, the hop of timestamps is in ms, the sample rate in Hz, `data_hours` those
    of pre-training. `origin` says where weights come from, "" that there are none to be had.
    """

    row: str
    module: str
    parameters: int | None = None
    sample_rate: int | None = 16000
    scene_size: int | None = None
    timestamp_size: int | None = None
    hop_ms: float | None = None
    data: str = ""
    data_hours: int | None = None
    licence: str = ""
    origin: str = ""


HUB = "Hugging Face Hub, "
AUTHORS = "the authors' checkpoint, by `hear-mwmae convert`"
# fmt: off
SYSTEMS = (
    System("HEAR-Naive", BASELINES + "hear_naive", 0, 44100, 4096, 4096, 50),
    System("PaSST-base", BASELINES + "passt", 86_153_758, 32000, 1295, 1295, 50, "AS-5k", 5000,
           "Apache-2.0", "github.com/kkoutini/PaSST, network of the package hear21passt"),
    System("W2V2-base", BASELINES + "wav2vec2_base", 94_371_712, 16000, 768, 768, 20, "LS-960", 960,
           "Apache-2.0", HUB + "facebook/wav2vec2-base"),
    System("W2V2-large", BASELINES + "wav2vec2_large", 315_438_720, 16000, 1024, 1024, 20, "VP-100k", 100_000,
           "CC BY-NC 4.0", HUB + "facebook/wav2vec2-large-100k-voxpopuli"),
    System("WavLM-base", BASELINES + "wavlm_base", 94_381_936, 16000, 768, 768, 20, "LS-960", 960,
           "MIT", HUB + "microsoft/wavlm-base"),
    System("WavLM-large", BASELINES + "wavlm_large", 315_453_120, 16000, 1024, 1024, 20, "Mix-94k", 94_000,
           "MIT", HUB + "microsoft/wavlm-large"),
    System("HuBERT-base", BASELINES + "hubert_base", 94_371_712, 16000, 768, 768, 20, "LS-960", 960,
           "Apache-2.0", HUB + "facebook/hubert-base-ls960"),
    System("HuBERT-large", BASELINES + "hubert_large", 315_438_720, 16000, 1024, 1024, 20, "LL-60k", 60_000,
           "Apache-2.0", HUB + "facebook/hubert-large-ll60k"),
    System("SSaST-base", BASELINES + "ssast", 85_649_664, 16000, 768, 768, 160, "AS+LS", None,
           "BSD-3-Clause", "github.com/YuanGongND/ssast"),
    System("BEATs-iter3", BASELINES + "beats", 90_311_792, 16000, 768, 768, 160, "", None,
           "MIT", "github.com/microsoft/unilm, folder beats"),
    System("AudioMAE", BASELINES + "audio_mae", 85_648_128, 16000, 768, 768, 160, "AS-5k", 5000,
           "CC BY-NC 4.0", "github.com/facebookresearch/AudioMAE"),
    System("MAE-B-4x16-4l", "hear_mwmae.mae_b", 85_299_456, 16000, 3840, 3840, 40, "AS-5k", 5000,
           "", AUTHORS),
    System("MAE-B-5x5-4l", "hear_mwmae.mae_b_5x5", 85_569_024, 16000, 12288, 12288, 50, "AS-5k", 5000),
    System("MAE-L-4x16-8l", "hear_mwmae.mae_l_8l", 302_636_032, 16000, 5120, 5120, 40, "AS-5k", 5000),
    System("MW-MAE-B-4x16-4l", "hear_mwmae.mw_mae_b", 85_297_920, 16000, 3840, 3840, 40, "AS-5k", 5000,
           "", AUTHORS),
    System("MW-MAE-B-5x5-4l", "hear_mwmae.mw_mae_b_5x5", 85_567_488, 16000, 12288, 12288, 50, "AS-5k", 5000),
    System("MW-MAE-L-4x16-8l", "hear_mwmae.mw_mae_l_8l", 302_633_984, 16000, 5120, 5120, 40, "AS-5k", 5000),
    System("", "hear_mwmae.log_mel", 0, 16000, 160, 80, 10),
    System("", "hear_mwmae.random_init", 5_399_232, 16000, 960, 960, 40),
)
# fmt: on


def systems_of_table1() -> list[str]:
    """Return the HEAR modules of the rows of Table 1, in its order."""
    return [system.module for system in SYSTEMS if system.row]


def weights_of(module: str) -> HubModel | ReleasedFile | None:
    """Return what a system's weights are, None where it has none; EvaluationError: no such module."""
    package, _, name = module.rpartition(".")
    if package == "hear_mwmae" and module in systems_of_table1():
        remedy = f"make it with `hear-mwmae convert --model {name}` or by pre-training (pretrain.export)"
        return ReleasedFile(f"{name}.safetensors", remedy)
    try:
        return getattr(importlib.import_module(module), "WEIGHTS", None)
    except ImportError as error:
        raise EvaluationError(f"{module} cannot be imported: {error}") from error


def missing_weights(module: str) -> str:
    """Return the sentence on a system's missing weights, "" when they are on this machine or not needed."""
    try:
        weights = weights_of(module)
        if weights is not None and weights.locate() is None:
            weights.find()
    except EvaluationError as error:
        return f"{module}: {error}"
    return ""


def expand_systems(
    names: Sequence[str], *, skip_missing: bool, may_lack: str = ""
) -> tuple[list[str], list[str]]:
    """Return the models named, `table1` standing for its rows, and sentences on those left out.

    A row that is also named with weights has those. A row whose module begins with `may_lack` needs none.
    Raises EvaluationError: weights of Table 1 are missing and `skip_missing` is not set; it names them all.
    """
    if TABLE1 not in names:
        return list(names), []
    given = {name.partition("@")[0]: name for name in names}
    lacking = {}
    for module in systems_of_table1():
        needless = module in given or (may_lack and module.startswith(may_lack))
        if not needless and (sentence := missing_weights(module)):
            lacking[module] = sentence
    if lacking and not skip_missing:
        raise EvaluationError(
            f"{len(lacking)} systems of Table 1 are not on this machine; --skip-missing leaves them out:\n  "
            + "\n  ".join(lacking.values())
        )
    there = [given.get(module, module) for module in systems_of_table1() if module not in lacking]
    return [one for name in names for one in (there if name == TABLE1 else [name])], list(lacking.values())


def rows_of_systems() -> list[dict[str, Any]]:
    """Return what is known of every system, and `weights`: their path here, "" or "none"."""
    return [{**dataclasses.asdict(system), "weights": _place_of_weights(system.module)} for system in SYSTEMS]


def _place_of_weights(module: str) -> str:
    try:
        weights = weights_of(module)
        return NO_WEIGHTS if weights is None else str(weights.locate() or "")
    except EvaluationError:  # a package that it needs is not installed
        return ""


def download(names: Sequence[str]) -> list[Path]:
    """Fetch models into the hub's cache, by the names of modules here or on the hub; return their folders.

    Raises EvaluationError: a model that is not on the hub, or that cannot be fetched.
    """
    on_hub = [s.origin.removeprefix(HUB) for s in SYSTEMS if s.row and s.origin.startswith(HUB)]
    wanted = [name for given in names for name in (on_hub if given == TABLE1 else [given])]
    return [model.download() for model in map(_system_on_hub, wanted)]


def _system_on_hub(name: str) -> HubModel:
    modules = {system.module.rpartition(".")[2]: system.module for system in SYSTEMS}
    module = modules.get(name.removeprefix(BASELINES))
    weights = weights_of(module) if module else HubModel(name) if "/" in name else None
    if isinstance(weights, HubModel):
        return weights
    if isinstance(weights, ReleasedFile):
        raise EvaluationError(f"{name} is not on the hub: {weights.remedy}")
    raise EvaluationError(
        f"there are no weights of '{name}' to fetch; name a module of the list or OWNER/MODEL"
    )
