"""Orbax checkpoints, and nothing of Orbax anywhere else.

A checkpoint holds four items: `weights` (the EMA parameters: all that restoring needs), `state`
(the rest of the training state), `position` (where the data stream and the log stand) and `config`.
Orbax writes to a temporary folder and renames it, so that a checkpoint either is complete or is
not there.
"""

from __future__ import annotations

import logging
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
from fftdiff_jax.training.state import TrainState, abstract_state

FOLDER = "checkpoints"
BEST = "psnr_y"  # the validation score that decides which checkpoint is best
ITEMS = ("weights", "state", "position", "config")

_log = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints of one run: the newest two and the best one are kept."""

    def __init__(self, workdir: Path, *, read_only: bool = False) -> None:
        """Opens `workdir`/checkpoints, making it unless it is opened to read only."""
        self._folder = (workdir / FOLDER).absolute()
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
        """Writes the checkpoint of `state.step`; with `scores` it may become the best one."""
        step = int(state.step)
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

    def restore(self, config: Config) -> tuple[TrainState, dict[str, Any]] | None:
        """The newest checkpoint that can be read, with its position; None when there is none.

        It may have been saved on another number of devices. A damaged one is passed over, with a
        warning, for the one before it.

        Raises:
          UserError: there are checkpoints, and none can be read.
        """
        shapes = _on_this_device(abstract_state(config))
        reasons = []
        for step in reversed(self.steps()):
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
                # Whatever a truncated or altered file makes Orbax raise: the one before is tried.
                reasons.append(f"step {step}: {_first_line(error)}")
                _log.warning("checkpoint of step %d cannot be read, trying the one before", step)
                continue
            state = TrainState(ema_params=found["weights"], **found["state"])
            return state, found["position"]
        if reasons:
            raise UserError(
                f"{self._folder}: no checkpoint can be read ({'; '.join(reasons)}); "
                "move the folder away to start anew"
            )
        return None

    def config(self) -> Config | None:
        """The configuration in the newest checkpoint, or None."""
        steps = self.steps()
        if not steps:
            return None
        found = self._manager.restore(
            steps[-1], args=ocp.args.Composite(config=ocp.args.JsonRestore())
        )
        return configuration.from_dict(found["config"])

    def close(self) -> None:
        """Waits for writes that are under way."""
        self._manager.wait_until_finished()
        self._manager.close()


def load_weights(path: str | Path) -> tuple[PyTree, Config, int]:
    """The EMA weights to restore photos with, their configuration, and their step.

    Args:
      path: a run's folder, its checkpoints/, or one step's folder. Of several steps the best one by
        validation score is taken, or the newest where nothing was scored.

    Raises:
      UserError: no complete checkpoint there.
    """
    path = Path(path).expanduser().absolute()
    folder, wanted = path, None
    if (path / FOLDER).is_dir():
        folder = path / FOLDER
    elif path.name.isdigit() and (path / "weights").is_dir():
        folder, wanted = path.parent, int(path.name)
    if not folder.is_dir():
        raise UserError(f"{path}: there is no such folder; --checkpoint wants a run's folder")
    manager = _open(folder, read_only=True)
    steps = sorted(manager.all_steps())
    if not steps:
        raise UserError(
            f"{path}: no complete checkpoint here; give a run's folder (the --workdir of training)"
        )
    step = wanted if wanted is not None else _best(manager, steps)
    try:
        found = manager.restore(step, args=ocp.args.Composite(config=ocp.args.JsonRestore()))
        config = configuration.from_dict(found["config"])
        shapes = _on_this_device(abstract_state(config).ema_params)
        found = manager.restore(
            step, args=ocp.args.Composite(weights=ocp.args.StandardRestore(shapes))
        )
    except UserError as error:
        raise UserError(f"{folder / str(step)}: written by another version ({error})") from error
    except Exception as error:
        raise UserError(
            f"{folder / str(step)}: the checkpoint cannot be read ({_first_line(error)})"
        ) from error
    finally:
        manager.close()
    return found["weights"], config, step


def _open(folder: Path, read_only: bool) -> ocp.CheckpointManager:
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
    sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), shapes
    )


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return (lines[0] if lines else type(error).__name__)[:200]
