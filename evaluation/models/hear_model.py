"""Any HEAR-API module, by name: torch, TensorFlow or Keras, called with numpy and answering with numpy.

TensorFlow and Keras are never imported here: a model that needs them has imported them itself.

The HEAR API knows no layers. A module that wants its layers probed (`--layers`) says which there are and
takes one more argument, which changes nothing for whoever does not give it:

    model.layer_embedding_sizes: Mapping[str, int]
        The layers' names (letters, digits and `._-`) from the first to the last, each with the length of its
        embeddings; those of scenes and of timestamps are equally long.
    get_scene_embeddings(audio, model, layers=["block1", "norm"]) -> [[clips, size], [clips, size]]
    get_timestamp_embeddings(audio, model, layers=["block1", "norm"]) -> [(embeddings, times), ...]
        A list of what the function gives without `layers`, one for each name in the order asked for, from one
        pass of the network. The last layer of all should be what it gives without `layers`.

Weights that no framework sees (a network in a plain list, a TFLite or ONNX file) are told from others by
their files: those given after `@`, those that Python opens while the module is imported and the model loaded,
and those that the module names, relative to its own folder:

    WEIGHT_FILES = ["encoder.onnx"]        # [] says that there are none
"""

import copy
import functools
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from evaluation.errors import EvaluationError
from evaluation.models.code import code_digest, functions_of
from evaluation.models.fingerprint import Kind, fingerprint, named_weights, weights_digest
from evaluation.models.loading import (
    all_sources,
    changed_sentence,
    given_module,
    import_module,
    in_words,
    load_model,
)
from evaluation.models.marks import FileMark, changed_file
from evaluation.models.opened import Opened
from evaluation.models.spec import ModelSpec
from tasks.names import printable

SAMPLE_RATES = (1000, 192_000)
"""Lowest and highest sample rate (Hz) that is believed: others are kHz, lengths or slips of the pen."""

MOST_NUMBERS = 1_000_000
"""Longest embedding that is believed; the longest of Table 1 have 4096 numbers."""

MOST_LAYERS = 10_000


Answer = tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]
"""Embeddings [clips, frames, dim] and times [clips, frames] from a module that answers as HEAR states."""


class HearModel:
    """A loaded HEAR model: its attributes, checked, and its embeddings as float32 numpy arrays.

    Attributes:
        spec, device, kind, sample_rate (Hz), scene_embedding_size, timestamp_embedding_size: What it is. A
            module without timestamp embeddings is refused only when the last is asked for.
        layer_embedding_sizes: The layers that it exposes, see the module's text; empty for most.
        pretrained: False only when the model itself says that its weights are random.
        n_parameters, n_fixed: Numbers that are trained (all weights where the model is not torch's), and
            those that never are: torch's buffers, such as a window or a random projection.
        n_bytes: What all of them take in memory.
        fingerprint: Hash of weights, module source, options and sample rate, see
            `evaluation.models.fingerprint`.
        files: Every file that the answers depend on, as it was when it was read.
        drawn: Whether no file but its source is behind it, so that its weights are drawn or computed.
        unseen: Whether there are no numbers of the model that its framework knows of, and nobody said in
            which files they are.
    """

    def __init__(self, spec: ModelSpec, device: str = "auto"):
        """Import and load the model; raise EvaluationError, naming the module, for whatever it lacks."""
        self.spec = spec
        given = spec.given is not None
        imported = given_module(spec.module, spec.given) if given else import_module(spec.module)
        loaded = load_model(imported, spec.module, spec.weights, spec.options)
        self._module, self._model = imported.module, loaded.model
        self._surroundings = loaded.surroundings
        self.kind = _kind(self._model, spec.module)
        self.device = torch_device(device)
        if self.kind == "torch":
            self._asked(lambda: self._model.to(self.device).eval(), f"cannot be moved to {self.device}")
        self.sample_rate = self._rate()
        self.scene_embedding_size = self._integer("scene_embedding_size", MOST_NUMBERS)
        self.layer_embedding_sizes = self._layers()
        self.pretrained = self._attribute("pretrained", True) is not False
        weights = self._weights()
        self.n_bytes = sum(array.nbytes for _, array in weights)
        self.n_parameters, self.n_fixed = sum(array.size for _, array in weights), 0
        if self.kind == "torch":
            self.n_parameters = sum(tensor.numel() for tensor in self._model.parameters())
            self.n_fixed = sum(tensor.numel() for tensor in self._model.buffers())
        settings = {"module": spec.module, "sample_rate": self.sample_rate, "options": dict(spec.options)}
        if given:
            settings["code"] = code_digest(functions_of(self._module))
        sources = {} if given else all_sources(self._module, spec.module)
        read = {**loaded.read, **({} if weights else loaded.mapped)}
        read = {path: mark for path, mark in read.items() if path not in sources}
        named_and_read = {**loaded.named, **read}
        self.fingerprint = fingerprint(settings, sources, loaded.given, weights, named_and_read)
        self.files: Mapping[Path, FileMark] = {**sources, **loaded.given, **named_and_read}
        self.read_files = sorted(named_and_read)
        self.drawn = not (loaded.given or named_and_read)
        self.unseen = not (weights or loaded.given or hasattr(self._module, "WEIGHT_FILES"))
        self.read_later: dict[Path, None] = {}
        self._weights_then = weights_digest(weights)

    def check_unchanged(self) -> None:
        """Raise EvaluationError, naming it, when a file that the answers depend on is another by now."""
        if path := changed_file(self.files):
            raise EvaluationError(changed_sentence(path, self.spec.module))

    def changed_weight(self) -> str:
        """Return the name of a weight that has changed since the model was loaded, "" for none."""
        now = weights_digest(self._weights())
        return next((name for name, one in self._weights_then.items() if now.get(name) != one), "")

    def _weights(self) -> list[tuple[str, np.ndarray]]:
        return self._asked(lambda: list(named_weights(self._model, self.kind)), "has weights that fail")

    def _asked(self, question: Callable[[], Any], what: str) -> Any:
        """Ask the model something; EvaluationError, saying `what`, for whatever it raises."""
        try:
            with self._surroundings.entered():
                return question()
        except Exception as error:
            raise EvaluationError(f"{self.spec.module}: its model {what}: {in_words(error)}") from error

    def _attribute(self, name: str, default: Any) -> Any:
        return self._asked(lambda: getattr(self._model, name, default), f"fails when asked for {name}")

    @functools.cached_property
    def timestamp_embedding_size(self) -> int:
        """Length of one timestamp embedding; EvaluationError when the module has none."""
        if not callable(getattr(self._module, "get_timestamp_embeddings", None)):
            raise EvaluationError(
                f"{self.spec.module} has no function get_timestamp_embeddings, which tasks of events need; "
                "leave those tasks out, or add it"
            )
        return self._integer("timestamp_embedding_size", MOST_NUMBERS)

    def embedding_size(self, embedding_type: str) -> int:
        """Return the length of an embedding for tasks of this type, "scene" or "event"."""
        size = self.timestamp_embedding_size if embedding_type == "event" else self.scene_embedding_size
        return self.layer_embedding_sizes[self.spec.layer] if self.spec.layer else size

    def at_layers(self, wanted: Sequence[str]) -> list["HearModel"]:
        """Return the model once for each layer wanted: names, "last", "all" or, if empty, what it is.

        A model that exposes no layers is what it is for "last" and "all" too. Raises EvaluationError, naming
        the module and its layers, for a name that it does not have.
        """
        names = list(self.layer_embedding_sizes)
        meant = {"all": names, "last": names[-1:]}
        if strangers := [name for name in wanted if name not in (*names, *meant)]:
            there = f"it has {', '.join(names)}" if names else "it exposes none; leave --layers out"
            raise EvaluationError(f"{self.spec.module} has no layer '{strangers[0]}': {there}")
        chosen = {layer for name in wanted for layer in meant.get(name, [name])}
        return [self._at(layer) for layer in names if layer in chosen] or [self]

    def _at(self, layer: str) -> "HearModel":
        one = copy.copy(self)
        one.spec = replace(self.spec, layer=layer)
        return one

    def _layers(self) -> dict[str, int]:
        sizes = self._attribute("layer_embedding_sizes", {})
        if not isinstance(sizes, Mapping) or not all(
            isinstance(name, str) and re.fullmatch(r"[\w.-]+", name) and _is_size(size)
            for name, size in sizes.items()
        ):
            raise EvaluationError(
                f"the model of {self.spec.module} has layer_embedding_sizes = {_short(sizes)}; give "
                f"a mapping from names of letters, digits and ._- to integers from 1 to {MOST_NUMBERS}"
            )
        if len(sizes) > MOST_LAYERS:
            raise EvaluationError(
                f"the model of {self.spec.module} has {len(sizes)} layers; at most {MOST_LAYERS} are believed"
            )
        return dict(sizes)

    def _rate(self) -> int:
        lowest, highest = SAMPLE_RATES
        rate = self._integer("sample_rate", None)
        if not lowest <= rate <= highest:
            raise EvaluationError(
                f"the model of {self.spec.module} has sample_rate = {_short(rate)}; "
                f"it is given in Hz, from {lowest} to {highest} (16 kHz is 16000)"
            )
        return rate

    def _integer(self, name: str, most: int | None) -> int:
        value = self._attribute(name, None)
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value <= 0:
            raise EvaluationError(
                f"the model of {self.spec.module} has {name} = {_short(value)}; HEAR wants a positive integer"
            )
        if most is not None and value > most:
            raise EvaluationError(
                f"the model of {self.spec.module} has {name} = {_short(value)}; at most {most} is believed"
            )
        return int(value)

    def scene_embeddings(self, audio: Float[np.ndarray, "clips samples"]) -> Float[np.ndarray, "..."]:
        """Return the scene embeddings [clips, dim] of equal-length clips; any exception passes through."""
        return self.layer_scene_embeddings(audio, [self.spec.layer])[0]

    def timestamp_embeddings(self, audio: Float[np.ndarray, "clips samples"]) -> Answer:
        """Return the embeddings of every frame and their times (ms, float64); exceptions pass through."""
        return self.layer_timestamp_embeddings(audio, [self.spec.layer])[0]

    def layer_scene_embeddings(
        self, audio: Float[np.ndarray, "clips samples"], layers: Sequence[str]
    ) -> list[Float[np.ndarray, "..."]]:
        """Return the scene embeddings that each of these layers gives; [""] is the model as it is."""
        return [_to_numpy(result) for result in self._answers("get_scene_embeddings", audio, layers)]

    def layer_timestamp_embeddings(
        self, audio: Float[np.ndarray, "clips samples"], layers: Sequence[str]
    ) -> list[Answer]:
        """Return the frames' embeddings and times that each of these layers gives; [""] as above."""
        answers = self._answers("get_timestamp_embeddings", audio, layers)
        return [(_to_numpy(embeddings), _to_numpy(times, np.float64)) for embeddings, times in answers]

    def flops(
        self, function: str, audio: Float[np.ndarray, "clips samples"], layers: Sequence[str]
    ) -> float | None:
        """Return the floating-point operations of one call of `function` for these layers.

        Counted by torch in matrix products, convolutions and attention, a multiplication and an addition
        being two; recurrent networks and Fourier transforms are not counted. None where nothing can be
        counted, as in models that are not torch's.
        """
        if self.kind != "torch":
            return None
        fast = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)  # it hides its products
        attention = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops}
        try:
            with FlopCounterMode(display=False, custom_mapping=attention) as counter:
                self._answers(function, audio, layers)
        except Exception:  # somebody else's code, which has embedded this clip without being counted
            return None
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)
        return float(counter.get_total_flops()) or None

    def _answers(self, function: str, audio: np.ndarray, layers: Sequence[str]) -> Sequence[Any]:
        """Call the module with sound of its own: what it does to it changes nothing here."""
        given = audio.copy()
        with self._surroundings.entered() as opened, torch.no_grad():
            call = functools.partial(getattr(self._module, function), self._tensor(given), self._model)
            answers = [call()] if list(layers) == [""] else call(layers=list(layers))
        self._note(opened)
        self.writes_input = self.writes_input or not np.array_equal(given, audio)
        if not isinstance(answers, list | tuple) or len(answers) != len(layers):
            raise EvaluationError(
                f"{self.spec.module}: {function} with {len(layers)} layers must return a list of as many"
            )
        return answers

    writes_input = False
    """Whether the module was seen to change the sound that it was given."""

    def _note(self, opened: Opened) -> None:
        """Note the data files that a call has opened and that the fingerprint knows nothing of."""
        for path in opened.data_files(None):
            if path not in self.files:
                self.read_later[path] = None

    def _tensor(self, audio: np.ndarray) -> Any:
        if self.kind == "torch":
            return torch.from_numpy(audio).to(self.device)
        if self.kind == "keras":
            return sys.modules["keras"].ops.convert_to_tensor(audio)
        return sys.modules["tensorflow"].convert_to_tensor(audio)


def _attention_flops(
    query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any
) -> int:
    """Return the operations of attention between tensors of these shapes; torch knows only CUDA's kernels."""
    return sdpa_flop_count(query, key, value)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MOST_NUMBERS


def _short(value: Any) -> str:
    """Return a value of somebody else's as text that fits a line, whatever it is."""
    if isinstance(value, int) and value.bit_length() > 200:
        return "an integer of more than 60 digits"
    text = printable(repr(value))
    return text if len(text) <= 100 else f"{text[:100]}..."


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
        raise EvaluationError(f"the device '{device}' cannot be used: {in_words(error)}") from error
    return chosen


def _to_numpy(result: Any, dtype: type[np.floating] = np.float32) -> Float[np.ndarray, "..."]:
    if isinstance(result, torch.Tensor):
        if result.is_complex():
            raise TypeError("its answer has complex numbers")
        return result.detach().cpu().to(getattr(torch, dtype.__name__)).numpy()
    if hasattr(result, "numpy"):
        result = result.numpy()
    return np.asarray(result, dtype=dtype)
