"""Models of the Hugging Face Hub: found in a folder or in the hub's cache, fetched only by `download`."""

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from evaluation.baselines.weights import folders
from evaluation.errors import EvaluationError

WEIGHTS_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)

BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
LARGE = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
}


@dataclass(frozen=True)
class HubModel:
    """A model by its name on the hub, `owner/model`.

    `shape` says what a model of that name is, in the words of its configuration (`model_type` first of all);
    a folder that holds another one is refused. {} takes any.
    """

    name: str
    shape: dict[str, Any] = field(default_factory=dict)

    def locate(self) -> Path | None:
        """Return the model's folder in $HEAR_MWMAE_WEIGHTS, by the name after the slash, or the hub's."""
        for folder in folders():
            if _has_weights(candidate := folder / self.name.rpartition("/")[2]):
                return candidate
        cached = package("huggingface_hub").try_to_load_from_cache
        for file in ("config.json", *WEIGHTS_FILES):
            if isinstance(path := cached(self.name, file), str) and _has_weights(Path(path).parent):
                return Path(path).parent
        return None

    def find(self, given: str = "") -> Path:
        """Return the folder given or else the model's own; EvaluationError when there is no model in it."""
        if not given:
            path = self.locate()
            if path is None:
                raise EvaluationError(
                    f"{self.name} is not on this machine; fetch it with `python -m evaluation.models "
                    f"--download {self.name}`, or name a folder with its config.json and model.safetensors"
                )
            return path
        path = Path(given).expanduser()
        if not _has_weights(path):
            raise EvaluationError(
                f"{path} holds no model of the Hugging Face kind: it needs config.json and one of "
                f"{', '.join(WEIGHTS_FILES)}; correct the path"
            )
        return path

    def download(self) -> Path:
        """Fetch the model into the hub's cache and return its folder; EvaluationError when that fails."""
        hub = package("huggingface_hub")
        try:
            safe = "model.safetensors" in " ".join(hub.list_repo_files(self.name))
            weights = "model*.safetensors*" if safe else "pytorch_model*.bin*"
            return Path(hub.snapshot_download(self.name, allow_patterns=["*.json", weights]))
        except Exception as error:  # whatever the hub's client says of names, rights and networks
            text = " ".join(str(error).split())
            raise EvaluationError(f"{self.name} cannot be fetched: {type(error).__name__}: {text}") from error


def package(name: str) -> ModuleType:
    """Import a package of the extra `baselines`; EvaluationError when it is not installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise EvaluationError(
            f"models of the Hugging Face kind need the package '{error.name}': pip install -e '.[baselines]'"
        ) from error


def _has_weights(folder: Path) -> bool:
    return (folder / "config.json").is_file() and any((folder / file).is_file() for file in WEIGHTS_FILES)
