"""Checkpoints of a run, written by Orbax in the background and whole or not at all.

A run's directory holds `config.json` (the settings and the content hash of the data) and
`checkpoints/<step>/` with the parameters, the optimiser's moments, the step, the key of the masks and where
each process stood in the data.
"""

import dataclasses
import json
import shutil
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jaxtyping import Array, Bool, PyTree
from orbax.checkpoint import checkpoint_managers as policies

from hear_mwmae.errors import UserError, first_line
from hear_mwmae.files import Signature, signature, write_text
from hear_mwmae.json_files import read_json
from hear_mwmae.names import printable
from hear_mwmae.pretrain.data.batch_plans import ENDLESS
from hear_mwmae.pretrain.data.manifest import file_sha256
from hear_mwmae.pretrain.hosts import gather_json, on_any_host
from hear_mwmae.pretrain.settings import CONFIG_FILE, RunSettings
from hear_mwmae.pretrain.training.step import TrainState

Result = TypeVar("Result")
Settings = TypeVar("Settings", bound=RunSettings)
CHECKPOINTS = "checkpoints"
DAMAGED = "damaged"
KEPT = 3
# Free space that a checkpoint needs, in its arrays' size.
ROOM = 1.1
SEAL_FILE = "sha256.json"
UNFINISHED = "*.orbax-checkpoint-tmp*"


@dataclasses.dataclass(frozen=True)
class Restored:
    """What a checkpoint held."""

    state: TrainState
    data_state: dict[str, int]
    """Where this process stood in the data."""
    step: int


class _Milestones(policies.EveryNStepsClosest):
    """Keeps the checkpoint nearest to every multiple of so many steps, 0 excepted."""

    def should_preserve(
        self, checkpoints: Sequence[policies.PolicyCheckpointInfo], *, context: policies.PreservationContext
    ) -> list[bool]:
        nearest = super().should_preserve(checkpoints, context=context)
        return [
            kept and round(checkpoint.step / self.interval_steps) > 0
            for kept, checkpoint in zip(nearest, checkpoints, strict=True)
        ]


class Checkpoints:
    """The checkpoints of one run: the last three, and for good the one nearest to every `keep_every` steps.

    Use it as a context: leaving it waits until what is being written is complete.

    Raises:
        UserError: the directory holds checkpoints of other settings or other data.
    """

    def __init__(self, workdir: Path, config: RunSettings, data_hash: str, *, keep_every: int = 0) -> None:
        self._workdir = workdir
        self._folder = (workdir / CHECKPOINTS).resolve()
        kept = [policies.LatestN(KEPT)]
        if keep_every:
            kept.append(_Milestones(keep_every))
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policies.AnyPreservationPolicy(kept),
            cleanup_tmp_directories=True,
            async_options=ocp.AsyncOptions(post_finalization_callback=self._seal_unfinished),
        )
        self._manager = ocp.CheckpointManager(self._folder, options=options)
        if self._manager.all_steps():
            _check_same_run(workdir, config, data_hash)
        elif jax.process_index() == 0:
            _write_config(workdir, config, data_hash)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._manager.close()
        # What ended the run says more than what it does to the checkpoint under way.
        except Exception:
            if kind is None:
                raise

    @property
    def latest_step(self) -> int | None:
        """Updates that the newest checkpoint holds, or None without one."""
        return self._manager.latest_step()

    def save(self, state: TrainState, data_state: object, step: int) -> None:
        """Begin to write a checkpoint; it replaces none, and counts once it is complete.

        Raises:
            UserError: this one, or the one before, cannot be written.
        """
        if step == self.latest_step:
            return
        self._check_room(state)
        data = {"processes": gather_json(data_state)}
        items = ocp.args.Composite(state=ocp.args.StandardSave(state), data=ocp.args.JsonSave(data))
        try:
            self._manager.save(step, args=items, force=True)
        # It may be the one before that failed, in the background, with nearly any exception.
        except Exception as error:
            raise self._unwritable(error) from error

    def _check_room(self, state: TrainState) -> None:
        """Find a full disk before half a checkpoint is on it."""
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves((state.params, state.opt_state)))
        free = shutil.disk_usage(self._folder).free
        if on_any_host(free < ROOM * needed):
            raise UserError(
                f"{printable(self._folder)}: a checkpoint takes {needed / 1e6:.0f} MB and only "
                f"{free / 1e6:.0f} MB are free; the one before is kept. Make room, and run the same "
                "command to go on."
            )

    def _seal_unfinished(self) -> None:
        """Seal the checkpoint that is complete and about to get its name; there is one at a time."""
        if jax.process_index() == 0:
            for folder in self._folder.glob(UNFINISHED):
                seal(folder)

    def wait(self) -> None:
        """Return when the last checkpoint is complete.

        Raises:
            UserError: it cannot be written.
        """
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: Exception) -> Exception:
        if isinstance(error, jax.errors.JaxRuntimeError):
            return error
        for half in self._folder.glob(UNFINISHED):
            shutil.rmtree(half, ignore_errors=True)
        return UserError(
            f"{printable(self._folder)}: a checkpoint cannot be written ({first_line(error)}); run the "
            "same command to go on from the one before."
        )

    def restore(self, like: TrainState) -> Restored | None:
        """Return the newest checkpoint that can be read, or None if there is no checkpoint at all.

        `like` has the shapes and shardings wanted. Newer checkpoints that cannot be read are moved to the
        folder `damaged`, with a warning.

        Raises:
            UserError: there are checkpoints and none can be read.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        problem = ""
        for position, step in enumerate(steps):
            restored, folder = None, self._folder / str(step)
            before = _signatures(folder)
            new_problem = find_damage(folder)
            # All hosts read or none does: reading waits for the others.
            if not on_any_host(bool(new_problem)):
                restored, new_problem = _attempt(partial(self._restore_step, step, like), folder, before)
            if not on_any_host(restored is None):
                self._set_aside(steps[:position], problem)
                return restored
            problem = new_problem or "as another host found"
        if steps:
            raise UserError(
                f"{printable(self._workdir / CHECKPOINTS)}: none of the {len(steps)} checkpoints can be read "
                f"({problem}); restore them from a copy, or start again with another --workdir."
            )
        return None

    def _restore_step(self, step: int, like: TrainState) -> Restored:
        items = ocp.args.Composite(state=ocp.args.StandardRestore(like), data=ocp.args.JsonRestore())
        found = self._manager.restore(step, args=items)
        state = found["state"]
        if int(state.step) != step or not _all_finite((state.params, state.opt_state)):
            raise ValueError("its values are not finite, or of another step")
        return Restored(state, _own_data_state(found["data"]["processes"]), step)

    def _set_aside(self, steps: Sequence[int], problem: str) -> None:
        if not steps:
            return
        if jax.process_index() == 0:
            folder = self._workdir / DAMAGED
            folder.mkdir(exist_ok=True)
            for step in steps:
                number = sum(1 for _ in folder.glob(f"{step}*"))
                (self._folder / str(step)).rename(folder / f"{step}_{number}")
            listed = ", ".join(map(str, steps))
            warnings.warn(
                f"{printable(self._workdir)}: the checkpoint of step {listed} cannot be read ({problem}); "
                f"it was moved to {DAMAGED}/, and the run goes on from the one before.",
                stacklevel=3,
            )
        on_any_host(False)  # Nobody looks for checkpoints before the damaged ones are away.
        self._manager.reload()


def _own_data_state(states: Sequence[Any]) -> dict[str, int]:
    """Return this process's entry, or the common one if the number of processes has changed since.

    Raises:
        UserError: the entries differ and were written by another number of processes.
        ValueError: an entry is no position.
    """
    for state in states:
        if state.keys() != {"step"} or type(state["step"]) is not int or not 0 <= state["step"] < ENDLESS:
            raise ValueError("its position in the data is none")
    if len(states) == jax.process_count():
        return states[jax.process_index()]
    if any(state != states[0] for state in states):
        raise UserError(
            f"The checkpoint was written by {len(states)} processes, which stood at different places of the "
            f"data: go on with as many, not with {jax.process_count()}."
        )
    return states[0]


def _write_config(workdir: Path, config: RunSettings, data_hash: str) -> None:
    workdir.mkdir(parents=True, exist_ok=True)
    text = json.dumps(
        {"train": json.loads(config.to_json()), "data_hash": data_hash}, indent=1, sort_keys=True
    )
    write_text(workdir / CONFIG_FILE, text)


def read_config(workdir: Path, kind: type[Settings]) -> tuple[Settings, str]:
    """Return the settings of a run and the content hash of its data.

    Raises:
        UserError: the directory holds no run, one of another kind, or one of a version whose settings have
            other names.
    """
    path = workdir / CONFIG_FILE
    try:
        values = read_json(path)
        return kind.from_json(json.dumps(values["train"])), str(values["data_hash"])
    except OSError as error:
        raise UserError(
            f"{printable(path)}: cannot be read ({error.strerror}), so {printable(workdir)} is no "
            "directory of a run."
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        reason = str(error).rstrip(".").removeprefix(f"{printable(path)} ")
        raise UserError(f"{printable(path)}: not the settings of a run of this version ({reason}).") from None


def _check_same_run(workdir: Path, config: RunSettings, data_hash: str) -> None:
    stored, stored_hash = read_config(workdir, type(config))
    # What is out of memory must be able to go on in smaller parts.
    may_change = {"accumulation_steps": config.accumulation_steps}
    difference = _first_difference(dataclasses.asdict(stored) | may_change, dataclasses.asdict(config))
    if difference:
        name, before, now = difference
        raise UserError(
            f"{printable(workdir)} holds a run with {name} = {before!r}, not {now!r}: go on with the same "
            "settings, or start another run in another --workdir."
        )
    if stored_hash != data_hash:
        raise UserError(
            f"{printable(workdir)} holds a run on other data (content hash {stored_hash}, not "
            f"{data_hash}): go on with the same --data, or start another run in another --workdir."
        )


def _first_difference(stored: dict, given: dict, prefix: str = "") -> tuple[str, object, object] | None:
    for name, value in given.items():
        if isinstance(value, dict):
            difference = _first_difference(stored[name], value, f"{prefix}{name}.")
            if difference:
                return difference
        elif stored[name] != value:
            return prefix + name, stored[name], value
    return None


def restore_params(workdir: Path, step: int | None = None) -> tuple[dict, int]:
    """Return the parameters of a run as numpy arrays, of one step or of the newest checkpoint, and the step.

    Raises:
        UserError: there is no such checkpoint, or it cannot be read.
    """
    folder = workdir / CHECKPOINTS
    steps = sorted(int(path.name) for path in folder.glob("*") if path.name.isdecimal())
    if not steps or (step is not None and step not in steps):
        wanted = "no checkpoint" if step is None else f"no checkpoint of step {step}"
        raise UserError(
            f"{printable(folder)}: there is {wanted}; found {', '.join(map(str, steps)) or 'none'}."
        )
    step = steps[-1] if step is None else step
    here = folder / str(step)
    before = _signatures(here)
    params, problem = None, find_damage(here)
    if not problem:
        params, problem = _attempt(partial(_read_params, folder.resolve(), step), here, before)
    if params is None:
        raise UserError(f"{printable(here)}: this checkpoint cannot be read ({problem}).")
    return params, step


def _signatures(folder: Path) -> dict[str, Signature]:
    return {str(path): signature(path) for path in _sealed_files(folder)}


def _attempt(
    read: Callable[[], Result], folder: Path, before: dict[str, Signature]
) -> tuple[Result | None, str]:
    """Return what was read of a checkpoint and "", or None and why it cannot be read."""
    try:
        found = read()
        if _signatures(folder) != before:
            return None, "its files were changed while they were read"
        return found, ""
    # What is wrong with an intact file can surface as nearly any exception of the layers that read it.
    except Exception as error:
        if isinstance(error, UserError | MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
            raise
        return None, first_line(error).partition(". See full")[0]


def seal(folder: Path) -> None:
    """Write the SHA-256 of every file of a checkpoint into it."""
    sums = {name: file_sha256(path) for name, path in _by_name(folder).items()}
    write_text(folder / SEAL_FILE, json.dumps(sums, indent=1))


def find_damage(folder: Path) -> str:
    """Return what is missing, added or changed in a checkpoint since it was sealed, or "" if nothing is."""
    try:
        sums = read_json(folder / SEAL_FILE)
    except (OSError, UserError):
        sums = None
    if not isinstance(sums, dict) or not {"state", "data"} <= {name.partition("/")[0] for name in sums}:
        return f"{SEAL_FILE} is missing or damaged"
    files = _by_name(folder)
    for name in sorted(sums.keys() | files.keys()):
        if name not in files:
            return f"{printable(name)} is missing"
        if name not in sums or file_sha256(files[name]) != sums[name]:
            return f"{printable(name)} is damaged"
    return ""


def _by_name(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in _sealed_files(folder)}


def _sealed_files(folder: Path) -> list[Path]:
    """Return the files of both items; Orbax's own notes beside them may still change."""
    files = [path for item in ("state", "data") for path in sorted((folder / item).rglob("*"))]
    return [path for path in files if path.is_file()]


@jax.jit
def _all_finite(tree: PyTree[Array]) -> Bool[Array, ""]:
    floats = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in floats]).all()


def _read_params(folder: Path, step: int) -> dict:
    handlers = {"state": ocp.PyTreeCheckpointHandler(), "data": ocp.JsonCheckpointHandler()}
    options = ocp.CheckpointManagerOptions(create=False)
    with ocp.CheckpointManager(folder, options=options, item_handlers=handlers) as manager:
        params = manager.item_metadata(step)["state"].tree["params"]
        like = {"params": jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), params)}
        as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), like)
        request = ocp.args.PyTreeRestore(item=like, restore_args=as_numpy, partial_restore=True)
        return manager.restore(step, args=ocp.args.Composite(state=request))["state"]["params"]
