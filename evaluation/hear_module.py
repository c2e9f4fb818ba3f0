"""Any HEAR-API module, by name: torch, TensorFlow or Keras, called with numpy and answering with numpy.

TensorFlow and Keras are never imported here: a model that needs them has imported them itself.

The HEAR API knows no layers. A module that wants its layers probed (`--layers`) says which there are and takes
one more argument, which changes nothing for whoever does not give it:

    model.layer_embedding_sizes: Mapping[str, int]
        The layers' names (letters, digits and `._-`) from the first to the last, each with the length of its
        embeddings; those of scenes and of timestamps are equally long.
    get_scene_embeddings(audio, model, layers=["block1", "norm"]) -> [[clips, size], [clips, size]]
    get_timestamp_embeddings(audio, model, layers=["block1", "norm"]) -> [(embeddings, times), ...]
        A list of what the function gives without `layers`, one for each name in the order asked for, from one
        pass of the network. The last layer of all should be what it gives without `layers`.
"""

import functools
import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from evaluation.errors import EvaluationError
from evaluation.fingerprint import Kind, fingerprint, named_weights


@dataclass(frozen=True)
class ModelSpec:
    """What the user asked for: a HEAR module, the weights for it (or "") and options of its `load_model`."""

    module: str
    weights: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The model's name in tables: `module` or `module@weights`."""
        name = f"{self.module}@{self.weights}" if self.weights else self.module
        settings = ",".join(f"{key}={value}" for key, value in sorted(self.options.items()))
        return f"{name}[{settings}]" if settings else name


def parse_model(text: str, options: Mapping[str, Any] | None = None) -> ModelSpec:
    """Read `MODULE` or `MODULE@WEIGHTS`; a weights path that does not exist raises EvaluationError."""
    module, _, weights = text.partition("@")
    if not module:
        raise EvaluationError(f"'{text}' names no module; write MODULE or MODULE@WEIGHTS")
    if weights and not Path(weights).expanduser().exists():
        raise EvaluationError(f"the weights '{weights}' given for {module} do not exist; correct the path")
    return ModelSpec(module, str(Path(weights).expanduser()) if weights else "", options or {})


class HearModel:
    """A loaded HEAR model: its attributes, checked, and its embeddings as float32 numpy arrays.

    Attributes
    ----------
    spec, kind, sample_rate (Hz), scene_embedding_size, timestamp_embedding_size
        What it is. A module without timestamp embeddings is refused only when the last is asked for.
    pretrained
        False only when the model itself says that its weights are random.
    n_parameters
        Number of weights (buffers included).
    fingerprint
        Hash of weights, module source, options and sample rate, see `evaluation.fingerprint`.
    """

    def __init__(self, spec: ModelSpec, device: str = "auto"):
        """Import and load the model; raise EvaluationError, naming the module, for whatever it lacks."""
        self.spec = spec
        self._module = _import(spec.module)
        self._model = _load(self._module, spec)
        self.kind = _kind(self._model, spec.module)
        self._device = torch_device(device)
        if self.kind == "torch":
            try:
                self._model.to(self._device).eval()
            except Exception as error:
                raise EvaluationError(
                    f"{spec.module}: its model cannot be moved to {self._device}: {_in_words(error)}"
                ) from error
        self.sample_rate = self._integer("sample_rate")
        self.scene_embedding_size = self._integer("scene_embedding_size")
        self.pretrained = getattr(self._model, "pretrained", True) is not False
        try:
            weights = list(named_weights(self._model, self.kind))
        except Exception as error:
            raise EvaluationError(f"{spec.module}: its weights cannot be read: {_in_words(error)}") from error
        self.n_parameters = sum(array.size for _, array in weights)
        settings = {"module": spec.module, "sample_rate": self.sample_rate, "options": dict(spec.options)}
        self.fingerprint = fingerprint(settings, self._module, weights, spec.weights)

    @functools.cached_property
    def timestamp_embedding_size(self) -> int:
        """Length of one timestamp embedding; EvaluationError when the module has none."""
        if not callable(getattr(self._module, "get_timestamp_embeddings", None)):
            raise EvaluationError(
                f"{self.spec.module} has no function get_timestamp_embeddings, which tasks of events need; "
                "leave those tasks out, or add it"
            )
        return self._integer("timestamp_embedding_size")

    def embedding_size(self, embedding_type: str) -> int:
        """Return the length of an embedding for tasks of this type, "scene" or "event"."""
        return self.timestamp_embedding_size if embedding_type == "event" else self.scene_embedding_size

    def _integer(self, name: str) -> int:
        value = getattr(self._model, name, None)
        if not isinstance(value, int | np.integer) or value <= 0:
            raise EvaluationError(
                f"the model of {self.spec.module} has {name} = {value!r}; HEAR wants a positive integer"
            )
        return int(value)

    def scene_embeddings(self, audio: Float[np.ndarray, "clips samples"]) -> Float[np.ndarray, "clips dim"]:
        """Return the scene embeddings of equal-length clips; any exception of the module passes through."""
        with torch.no_grad():
            result = self._module.get_scene_embeddings(self._tensor(audio), self._model)
        return _to_numpy(result)

    def timestamp_embeddings(
        self, audio: Float[np.ndarray, "clips samples"]
    ) -> tuple[Float[np.ndarray, "clips frames dim"], Float[np.ndarray, "clips frames"]]:
        """Return the embeddings of every frame and their times (ms, float64); exceptions pass through."""
        with torch.no_grad():
            embeddings, times = self._module.get_timestamp_embeddings(self._tensor(audio), self._model)
        return _to_numpy(embeddings), _to_numpy(times, np.float64)

    def _tensor(self, audio: np.ndarray) -> Any:
        if self.kind == "torch":
            return torch.from_numpy(audio).to(self._device)
        if self.kind == "keras":
            return sys.modules["keras"].ops.convert_to_tensor(audio)
        return sys.modules["tensorflow"].convert_to_tensor(audio)


def _import(name: str) -> ModuleType:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            raise EvaluationError(
                f"there is no module '{name}'; install it, or put its folder on PYTHONPATH"
            ) from error
        raise EvaluationError(f"{name} needs the package '{error.name}'; install it") from error
    except (Exception, SystemExit) as error:
        raise EvaluationError(f"importing {name} failed: {_in_words(error)}") from error
    for function in ("load_model", "get_scene_embeddings"):
        if not callable(getattr(module, function, None)):
            raise EvaluationError(f"{name} is not a HEAR module: it has no function {function}")
    return module


def _load(module: ModuleType, spec: ModelSpec) -> Any:
    arguments = (spec.weights,) if spec.weights else ()
    try:
        return module.load_model(*arguments, **spec.options)
    except (Exception, SystemExit) as error:
        call = ", ".join([*map(repr, arguments), *(f"{k}={v!r}" for k, v in spec.options.items())])
        remedy = "" if spec.weights else f" (weights are given as {spec.module}@WEIGHTS)"
        raise EvaluationError(
            f"{spec.module}: load_model({call}) failed: {_in_words(error)}{remedy}"
        ) from error


def _in_words(error: BaseException) -> str:
    """Return an exception of somebody else's code as one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _kind(model: Any, name: str) -> Kind:
    if isinstance(model, torch.nn.Module):
        return "torch"
    bases = {base.__module__.partition(".")[0] for base in type(model).__mro__}
    if "keras" in bases:
        return "keras"
    if "tensorflow" in bases:
        return "tensorflow"
    raise EvaluationError(
        f"load_model of {name} returned a {type(model).__name__}; "
        "it must be a torch.nn.Module, a tf.Module or a Keras model"
    )


def torch_device(device: str) -> torch.device:
    """Return the device named, "auto" being CUDA if present; raise EvaluationError if it cannot be used."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise EvaluationError(f"the device '{device}' cannot be used: {_in_words(error)}") from error
    return chosen


def _to_numpy(result: Any, dtype: type[np.floating] = np.float32) -> Float[np.ndarray, "..."]:
    if isinstance(result, torch.Tensor):
        return result.detach().cpu().to(getattr(torch, dtype.__name__)).numpy()
    if hasattr(result, "numpy"):
        result = result.numpy()
    return np.asarray(result, dtype=dtype)
