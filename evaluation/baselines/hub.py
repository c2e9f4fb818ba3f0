"""Models of the Hugging Face Hub: found in a folder or in the hub's cache, fetched only by `download`."""

import contextlib
import hashlib
import importlib
import re
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
        with contextlib.suppress(ValueError):  # a name that no model on the hub can have
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
                    f"{self.name} is not on this machine, neither a folder nor in the hub's cache; fetch it "
                    f"with `hear-eval models --download {self.name}`, or name a folder with its "
                    "config.json and model.safetensors"
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
        """Fetch the model into the hub's cache and return its folder.

        Raises EvaluationError: that failed, or a file has not the SHA-256 that the hub states.
        """
        hub = package("huggingface_hub")
        try:
            safe = "model.safetensors" in " ".join(hub.list_repo_files(self.name))
            weights = "model*.safetensors*" if safe else "pytorch_model*.bin*"
            folder = Path(hub.snapshot_download(self.name, allow_patterns=["*.json", weights]))
        except Exception as error:  # whatever the hub's client says of names, rights and networks
            text = " ".join(str(error).split())
            raise EvaluationError(f"{self.name} cannot be fetched: {type(error).__name__}: {text}") from error
        _check_content(folder)
        return folder


def package(name: str) -> ModuleType:
    """Import a package of the extra `baselines`; EvaluationError when it is not installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise EvaluationError(
            f"models of the Hugging Face kind need the package '{error.name}': pip install -e '.[baselines]'"
        ) from error


def _check_content(folder: Path) -> None:
    """Raise EvaluationError for a damaged file; the hub's cache names large ones after their SHA-256."""
    for path in (file.resolve() for file in folder.iterdir()):
        if re.fullmatch("[0-9a-f]{64}", path.name):
            with open(path, "rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != path.name:
                raise EvaluationError(
                    f"{path} is damaged: its SHA-256 is {found}; delete it and fetch it again"
                )


def _has_weights(folder: Path) -> bool:
    return (folder / "config.json").is_file() and any((folder / file).is_file() for file in WEIGHTS_FILES)
