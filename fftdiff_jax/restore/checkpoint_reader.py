"""Reads weights from the checkpoints that training writes, by Orbax."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from jaxtyping import PyTree
from orbax.checkpoint import checkpoint_managers as policies

from fftdiff_jax import config as configuration
from fftdiff_jax.config import Config
from fftdiff_jax.errors import UserError
from fftdiff_jax.files import MOST_JSON
from fftdiff_jax.restore.checksums import damage, no_plain_file
from fftdiff_jax.restore.weights import FOLDER, SUFFIX, WAY_OUT, abstract_params, require_finite

BEST = "psnr_y"  # the validation score that decides which checkpoint is best
ITEMS = ("weights", "state", "position", "config")
# Most bytes on disk for each byte of the arrays, beside the files that describe them.
_MOST_DISK = 2
_OTHER_TREE = "structures do not match"  # Orbax's words for other names of parameters


def load_checkpoint(path: Path) -> tuple[PyTree, Config, int]:
    """The EMA weights of a run, their configuration, and their step.

    Args:
      path: a run's folder, its checkpoints/, or one step's folder, absolute. Of several steps the
        best one by validation score is taken, or the newest where nothing was scored.

    Raises:
      UserError: no complete checkpoint there, or its files were altered.
    """
    folder, wanted = path, None
    if (path / FOLDER).is_dir():
        folder = path / FOLDER
    elif path.name.isdecimal() and (path / "weights").is_dir():
        folder, wanted = path.parent, int(path.name)
    if folder.is_file():
        raise UserError(f"{path}: is neither a run's folder nor a file of weights ({SUFFIX})")
    if not folder.is_dir():
        raise UserError(f"{path}: there is no such folder; --checkpoint wants a run's folder")
    require_harmless(folder)
    manager = None
    try:
        manager = open_manager(folder, read_only=True, alone=True)
        steps = sorted(manager.all_steps())
        if not steps:
            raise UserError(
                f"{path}: no complete checkpoint here; give a run's folder (the --workdir of "
                "training)"
            )
        step = wanted if wanted is not None else _best(manager, steps)
        place = folder / str(step)
        config = _config(manager, step, place)
        params = _weights(manager, step, place, config)
    except UserError:
        raise
    except Exception as error:  # whatever a damaged file makes Orbax raise
        raise UserError(f"{folder}: the checkpoint cannot be read ({first_line(error)})") from error
    finally:
        if manager is not None:
            manager.close()
    return params, config, step


def _config(manager: ocp.CheckpointManager, step: int, place: Path) -> Config:
    _require_undamaged(place, "config")
    found = manager.restore(step, args=ocp.args.Composite(config=ocp.args.JsonRestore()))
    try:
        return configuration.from_saved(found["config"])
    except UserError as error:
        raise UserError(f"{place}: written by another version ({error}); {WAY_OUT}") from error


def _weights(manager: ocp.CheckpointManager, step: int, place: Path, config: Config) -> PyTree:
    shapes = _on_this_device(abstract_params(config, str(place)))
    taken = sum(path.stat().st_size for path in (place / "weights").rglob("*") if path.is_file())
    if taken > _MOST_DISK * sum(4 * leaf.size for leaf in jax.tree.leaves(shapes)) + MOST_JSON:
        raise UserError(f"{place}: its weights take {taken / 1e6:,.0f} MB, more than its network")
    _require_undamaged(place, "weights")
    try:
        found = manager.restore(
            step, args=ocp.args.Composite(weights=ocp.args.StandardRestore(shapes))
        )
    except Exception as error:
        if _OTHER_TREE not in str(error):
            raise
        raise UserError(
            f"{place}: written by another version (its network has other layers); {WAY_OUT}"
        ) from error
    require_finite(found["weights"], str(place))
    return found["weights"]


def _require_undamaged(place: Path, item: str) -> None:
    wrong = damage(place, [item])
    if wrong is not None:
        raise UserError(f"{place}: the checkpoint cannot be read ({wrong})")


def require_harmless(folder: Path) -> None:
    """Raises `UserError` for what Orbax would wait for, or read into memory whole, whatever it is.

    That is: pipes and devices, and files that describe others and have no end.
    """
    strange = no_plain_file(folder)
    if strange is not None:
        raise UserError(f"{folder}: {strange} is no plain file; this is no run's folder")
    for path in folder.rglob("*"):
        inside = path.relative_to(folder).parts
        grows = len(inside) > 2 and inside[1] in ("weights", "state", "position")
        if path.is_file() and not grows and path.stat().st_size > MOST_JSON:
            raise UserError(f"{path}: is over {MOST_JSON // 10**6} MB; this is no run's folder")


def open_manager(folder: Path, read_only: bool, alone: bool = False) -> ocp.CheckpointManager:
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
    found = {step: manager.metrics(step) for step in steps}
    scored = {step: float(scores[BEST]) for step, scores in found.items() if scores}
    if not all(map(math.isfinite, scored.values())):
        raise ValueError(f"{BEST} is not finite")
    return max(scored, key=scored.__getitem__) if scored else steps[-1]


def _on_this_device(shapes: Any) -> Any:
    # Without a sharding of its own a checkpoint asks for the devices that it was saved on.
    return placed(shapes, jax.sharding.SingleDeviceSharding(jax.local_devices()[0]))


def placed(shapes: Any, sharding: jax.sharding.Sharding) -> Any:
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), shapes
    )


def first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return (lines[0] if lines else type(error).__name__)[:200]
