"""Orbax checkpoints, and nothing of Orbax anywhere else.

A checkpoint holds four items: `weights` (the EMA parameters: all that restoring needs), `state`
(the rest of the training state), `position` (where the data stream and the log stand) and `config`,
and the checksums of their files. Orbax writes to a temporary folder and renames it, so that a
checkpoint either is complete or is not there. With several processes all of them write: arrays are
whole everywhere, and Orbax gives each process a part.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from jaxtyping import PyTree
from orbax.checkpoint import checkpoint_managers as policies

from fftdiff_jax import config as configuration
from fftdiff_jax.config import Config
from fftdiff_jax.errors import UserError
from fftdiff_jax.training import distributed
from fftdiff_jax.training.checksums import FILE as CHECKSUMS
from fftdiff_jax.training.checksums import damage, write_checksums
from fftdiff_jax.training.state import TrainState, abstract_state
from fftdiff_jax.weights import SUFFIX, WAY_OUT, read_weights, require_same_tree

FOLDER = "checkpoints"
BEST = "psnr_y"  # the validation score that decides which checkpoint is best
ITEMS = ("weights", "state", "position", "config")

_DAMAGED = ".damaged"  # ends the name of a checkpoint that was passed over
_REPLACED = ".replaced"  # ends the name of one while it is written again
_UNFINISHED = ".orbax-checkpoint-tmp"
_OTHER_TREE = "structures do not match"  # Orbax's words for other names of parameters
# A checkpoint on disk, with its temporary files, over the bytes of its arrays.
_DISK_SHARE = 1.1

_log = logging.getLogger(__name__)


class SaveError(UserError):
    """A checkpoint could not be written; the ones before it are as they were."""


class Checkpoints:
    """The checkpoints of one run: the newest two and the best one are kept."""

    def __init__(self, workdir: Path, *, read_only: bool = False) -> None:
        """Opens `workdir`/checkpoints, making it unless it is opened to read only."""
        self._folder = (workdir / FOLDER).absolute()
        self._read_only = read_only
        if not read_only and distributed.is_first():
            self._tidy()
        distributed.all_agree(True)  # nobody looks before it is tidy
        self._manager = _open(self._folder, read_only)

    def steps(self) -> list[int]:
        """The steps of the complete checkpoints, oldest first."""
        return sorted(self._manager.all_steps())

    def save(
        self,
        state: TrainState,
        config: Config,
        position: Mapping[str, Any],
        scores: Mapping[str, float] | None = None,
    ) -> None:
        """Writes the checkpoint of `state.step`; with `scores` it may become the best one.

        One of the same step is replaced.

        Raises:
          SaveError: it could not be written. What had been written of it is gone, and the
            checkpoints before it are as they were.
        """
        step = int(state.step)
        state = distributed.as_global(state)
        self._require_space(state)
        if step in self.steps():
            self._move(step, _REPLACED)
        problem = None
        try:
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    weights=ocp.args.StandardSave(state.ema_params),
                    state=ocp.args.StandardSave(_rest(state)),
                    position=ocp.args.JsonSave(dict(position)),
                    config=ocp.args.JsonSave(configuration.to_dict(config)),
                ),
                metrics=dict(scores) if scores else None,
                force=True,
            )
            if distributed.is_first():
                write_checksums(self._folder / str(step))
        except Exception as error:
            # Whatever a full disk or a lost file system makes Orbax raise.
            if distributed.is_lost_process(error):
                raise  # no fault of the disk: another start, with all processes, mends it
            if jax.process_count() > 1:
                # The others may be waiting inside Orbax: only a new start brings all together.
                raise UserError(
                    f"{self._folder}: step {step} could not be saved ({_first_line(error)}); free "
                    "some space, then the same command goes on from the checkpoint before"
                ) from error
            problem = error
        if problem is not None:
            self._forget(step)
            raise SaveError(
                f"{self._folder}: step {step} could not be saved ({_first_line(problem)}); the "
                "checkpoints before it are unharmed; free some space"
            ) from problem
        if distributed.is_first():
            shutil.rmtree(self._folder / f"{step}{_REPLACED}", ignore_errors=True)

    def restore(self, config: Config) -> tuple[TrainState, dict[str, Any]] | None:
        """The newest checkpoint that can be read, with its position; None when there is none.

        It may have been saved by another number of devices or processes. A damaged one is passed
        over, with a warning, for the one before it, and its folder is renamed to STEP.damaged.

        Raises:
          UserError: there are checkpoints, and none can be read.
        """
        shapes = _placed(abstract_state(config), distributed.on_every_device())
        reasons: list[tuple[int, str]] = []
        for step in reversed(self.steps()):
            wrong = damage(self._folder / str(step)) if distributed.is_first() else None
            if distributed.all_agree(wrong is None):
                try:
                    found = self._manager.restore(
                        step,
                        args=ocp.args.Composite(
                            weights=ocp.args.StandardRestore(shapes.ema_params),
                            state=ocp.args.StandardRestore(_rest(shapes)),
                            position=ocp.args.JsonRestore(),
                        ),
                    )
                except Exception as error:
                    # Whatever a truncated or altered file makes Orbax raise.
                    wrong = _first_line(error)
                if distributed.all_agree(wrong is None):
                    self._set_aside(reasons)
                    state = TrainState(ema_params=found["weights"], **found["state"])
                    return state, found["position"]
            reasons.append((step, wrong or "another process cannot read it"))
            _log.warning(
                "checkpoint of step %d cannot be read (%s), trying the one before", *reasons[-1]
            )
        if reasons:
            said = "; ".join(f"step {step}: {reason}" for step, reason in reasons)
            raise UserError(
                f"{self._folder}: no checkpoint can be read ({said}); "
                "move the folder away to start anew"
            )
        return None

    def config(self) -> Config | None:
        """The configuration in the newest checkpoint that has a whole one, or None.

        Raises:
          UserError: it is of another version, whose fields are not known.
        """
        for step in reversed(self.steps()):
            if damage(self._folder / str(step), ["config"]) is not None:
                continue
            try:
                found = self._manager.restore(
                    step, args=ocp.args.Composite(config=ocp.args.JsonRestore())
                )
            except Exception:
                continue  # restoring says what is wrong with this checkpoint
            try:
                return configuration.from_dict(found["config"])
            except UserError as error:
                raise UserError(
                    f"{self._folder.parent}: holds a run of another version ({error}); choose "
                    "another --workdir"
                ) from error
        return None

    def close(self) -> None:
        """Waits for writes that are under way."""
        self._manager.wait_until_finished()
        self._manager.close()

    def _tidy(self) -> None:
        """Puts right what a kill in the middle of a save left behind."""
        for path in self._folder.glob(f"*{_REPLACED}"):
            whole = path.with_name(path.name.removesuffix(_REPLACED))
            if whole.exists():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.rename(whole)
        for path in self._folder.glob(f"*{_UNFINISHED}*"):
            shutil.rmtree(path, ignore_errors=True)

    def _require_space(self, state: TrainState) -> None:
        """Raises SaveError in every process where the disk is known to be too full.

        UserError where the folder is gone: nothing that is trained could be kept.
        """
        need = int(_DISK_SHARE * sum(leaf.nbytes for leaf in jax.tree.leaves(state)))
        try:
            free = shutil.disk_usage(self._folder).free
        except FileNotFoundError as error:
            raise UserError(
                f"{self._folder} is gone, and with it what was saved; start the run again"
            ) from error
        if not distributed.all_agree(free > need):
            raise SaveError(
                f"{self._folder}: step {int(state.step)} could not be saved (it takes "
                f"{need / 1e6:.0f} MB, {free / 1e6:.0f} MB are free); the checkpoints before it "
                "are unharmed; free some space"
            )

    def _forget(self, step: int) -> None:
        """After a failed save: removes what was written, and opens the folder as it was before."""
        self._manager.close()
        folder = self._folder / str(step)
        if folder.exists() and not (folder / CHECKSUMS).exists():
            shutil.rmtree(folder, ignore_errors=True)
        self._tidy()
        self._manager = _open(self._folder, self._read_only)

    def _set_aside(self, steps: list[tuple[int, str]]) -> None:
        # A damaged one is newer than what training goes on from: it would be in the way.
        if not self._read_only:
            for step, _ in steps:
                self._move(step, _DAMAGED)

    def _move(self, step: int, ending: str) -> None:
        source, target = self._folder / str(step), self._folder / f"{step}{ending}"
        if distributed.is_first():
            shutil.rmtree(target, ignore_errors=True)
            source.rename(target)
        distributed.all_agree(True)  # nobody looks before it has moved
        self._manager.reload()


def load_weights(path: str | Path) -> tuple[PyTree, Config, int]:
    """The EMA weights to restore photos with, their configuration, and their step.

    Args:
      path: a run's folder, its checkpoints/, one step's folder, or a file of weights
        (weights.py), which has no step: 0. Of several steps the best one by validation score is
        taken, or the newest where nothing was scored.

    Raises:
      UserError: no complete checkpoint there, or its files were altered.
    """
    path = Path(path).expanduser().absolute()
    if path.suffix == SUFFIX:
        params, config = read_weights(path)
        try:
            require_same_tree(params, abstract_state(config).ema_params, str(path))
        except UserError as error:
            raise UserError(f"{error}; {WAY_OUT}") from error
        return params, config, 0
    folder, wanted = path, None
    if (path / FOLDER).is_dir():
        folder = path / FOLDER
    elif path.name.isdigit() and (path / "weights").is_dir():
        folder, wanted = path.parent, int(path.name)
    if folder.is_file():
        raise UserError(f"{path}: is neither a run's folder nor a file of weights ({SUFFIX})")
    if not folder.is_dir():
        raise UserError(f"{path}: there is no such folder; --checkpoint wants a run's folder")
    manager = _open(folder, read_only=True, alone=True)
    steps = sorted(manager.all_steps())
    if not steps:
        raise UserError(
            f"{path}: no complete checkpoint here; give a run's folder (the --workdir of training)"
        )
    step = wanted if wanted is not None else _best(manager, steps)
    try:
        wrong = damage(folder / str(step), ["weights", "config"])
        if wrong is not None:
            raise ValueError(wrong)
        found = manager.restore(step, args=ocp.args.Composite(config=ocp.args.JsonRestore()))
        config = configuration.from_dict(found["config"])
        shapes = _on_this_device(abstract_state(config).ema_params)
        found = manager.restore(
            step, args=ocp.args.Composite(weights=ocp.args.StandardRestore(shapes))
        )
    except UserError as error:
        raise UserError(
            f"{folder / str(step)}: written by another version ({error}); {WAY_OUT}"
        ) from error
    except Exception as error:
        if _OTHER_TREE in str(error):
            raise UserError(
                f"{folder / str(step)}: written by another version (its network has other layers); "
                f"{WAY_OUT}"
            ) from error
        raise UserError(
            f"{folder / str(step)}: the checkpoint cannot be read ({_first_line(error)})"
        ) from error
    finally:
        manager.close()
    return found["weights"], config, step


def _open(folder: Path, read_only: bool, alone: bool = False) -> ocp.CheckpointManager:
    """Opens a folder of checkpoints; `alone`: by this process, whatever the others do."""
    policy = policies.AnyPreservationPolicy(
        [
            policies.LatestN(2),
            policies.BestN(
                get_metric_fn=lambda scores: scores[BEST],
                n=1,
                keep_checkpoints_without_metrics=False,
            ),
        ]
    )
    options = ocp.CheckpointManagerOptions(
        preservation_policy=None if read_only else policy,
        # Without it Orbax does not write the scores that the policy and `_best` go by.
        best_fn=lambda scores: scores[BEST],
        create=not read_only,
        read_only=read_only,
        enable_async_checkpointing=False,
        multiprocessing_options=ocp.options.MultiprocessingOptions(
            primary_host=jax.process_index() if alone else 0,
            active_processes={jax.process_index()} if alone and jax.process_count() > 1 else None,
        ),
    )
    return ocp.CheckpointManager(folder, options=options, item_names=ITEMS)


def _best(manager: ocp.CheckpointManager, steps: list[int]) -> int:
    """The step of the highest score; the newest where nothing was scored."""
    scores = {step: manager.metrics(step) for step in steps}
    scored = {step: found[BEST] for step, found in scores.items() if found}
    return max(scored, key=scored.__getitem__) if scored else steps[-1]


def _rest(state: TrainState) -> dict[str, PyTree]:
    return {"step": state.step, "params": state.params, "opt_state": state.opt_state}


def _on_this_device(shapes: Any) -> Any:
    # Without a sharding of its own a checkpoint asks for the devices that it was saved on.
    return _placed(shapes, jax.sharding.SingleDeviceSharding(jax.local_devices()[0]))


def _placed(shapes: Any, sharding: jax.sharding.Sharding) -> Any:
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), shapes
    )


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return (lines[0] if lines else type(error).__name__)[:200]
