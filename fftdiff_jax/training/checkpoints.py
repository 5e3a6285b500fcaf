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

from fftdiff_jax import config as configuration
from fftdiff_jax.config import Config
from fftdiff_jax.errors import UserError
from fftdiff_jax.restore.checkpoint_reader import (
    FOLDER,
    first_line,
    open_manager,
    placed,
    require_harmless,
)
from fftdiff_jax.restore.checksums import FILE as CHECKSUMS
from fftdiff_jax.restore.checksums import damage, write_checksums
from fftdiff_jax.training.cluster import processes
from fftdiff_jax.training.state import TrainState, abstract_state

_DAMAGED = ".damaged"  # ends the name of a checkpoint that was passed over
_REPLACED = ".replaced"  # ends the name of one while it is written again
_UNFINISHED = ".orbax-checkpoint-tmp"
# Bytes of a checkpoint on disk, with its temporary files, for each byte of its arrays.
_DISK_BYTES = 1.1

_log = logging.getLogger(__name__)


class SaveError(UserError):
    """A checkpoint could not be written; the ones before it are as they were."""


class Checkpoints:
    """The checkpoints of one run: the newest two and the best one are kept."""

    def __init__(self, workdir: Path, *, read_only: bool = False) -> None:
        """Opens `workdir`/checkpoints; makes and tidies it unless it is opened to read only.

        Raises:
          UserError: what lies there is no run's.
        """
        self._folder = (workdir / FOLDER).absolute()
        self._read_only = read_only
        processes.first_does(self._prepare)  # nobody looks before it is tidy
        self._manager = open_manager(self._folder, read_only)

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
        """Writes the checkpoint of `state.step`, in place of one of the same step.

        Args:
          state: all of it is saved.
          config: the experiment.
          position: what `restore` gives back beside the state; plain values, ready for JSON.
          scores: of the averaged weights, with the key psnr_y; without scores the checkpoint never
            counts as the best one.

        Raises:
          SaveError: it could not be written. What had been written of it is gone, and the
            checkpoints before it are as they were.
          UserError: the folder is gone; or, of several processes, one could not write.
        """
        step = int(state.step)
        state = processes.as_global(state)
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
            if processes.is_first():
                write_checksums(self._folder / str(step))
        except Exception as error:
            # Whatever a full disk or a lost file system makes Orbax raise.
            if processes.is_lost_process(error):
                raise  # no fault of the disk: another start, with all processes, mends it
            if jax.process_count() > 1:
                # The others may be waiting inside Orbax: only a new start brings all together.
                raise UserError(
                    f"{self._folder}: step {step} could not be saved ({first_line(error)}); free "
                    "some space, then the same command goes on from the checkpoint before"
                ) from error
            problem = error
        if problem is not None:
            self._forget(step)
            raise SaveError(
                f"{self._folder}: step {step} could not be saved ({first_line(problem)}); the "
                "checkpoints before it are unharmed; free some space"
            ) from problem
        if processes.is_first():
            shutil.rmtree(self._folder / f"{step}{_REPLACED}", ignore_errors=True)

    def restore(self, config: Config) -> tuple[TrainState, dict[str, Any]] | None:
        """The newest checkpoint that can be read, with its position; None when there is none.

        It may have been saved by another number of devices or processes. A damaged one is passed
        over, with a warning, for the one before it, and its folder is renamed to STEP.damaged.

        Raises:
          UserError: there are checkpoints, and none can be read.
        """
        shapes = placed(abstract_state(config), processes.on_every_device())
        reasons: list[tuple[int, str]] = []
        for step in reversed(self.steps()):
            wrong = damage(self._folder / str(step)) if processes.is_first() else None
            if processes.all_agree(wrong is None):
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
                    wrong = first_line(error)
                if processes.all_agree(wrong is None):
                    self._set_aside(reasons)
                    state = TrainState(ema_params=found["weights"], **found["state"])
                    return state, found["position"]
            reasons.append((step, wrong or "another process cannot read it"))
            _log.warning(
                "checkpoint of step %d cannot be read (%s), trying the one before", *reasons[-1]
            )
        if reasons:
            listed = "; ".join(f"step {step}: {reason}" for step, reason in reasons)
            raise UserError(
                f"{self._folder}: no checkpoint can be read ({listed}); "
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
                continue  # `restore` reports what is wrong with this checkpoint
            try:
                return configuration.from_saved(found["config"])
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

    def _prepare(self) -> None:
        require_harmless(self._folder)
        if not self._read_only:
            self._tidy()

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
        need = int(_DISK_BYTES * sum(leaf.nbytes for leaf in jax.tree.leaves(state)))
        try:
            free = shutil.disk_usage(self._folder).free
        except FileNotFoundError as error:
            raise UserError(
                f"{self._folder} is gone, and with it what was saved; start the run again"
            ) from error
        if not processes.all_agree(free > need):
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
        self._manager = open_manager(self._folder, self._read_only)

    def _set_aside(self, steps: list[tuple[int, str]]) -> None:
        # A damaged one is newer than what training goes on from: it would be in the way.
        if not self._read_only:
            for step, _ in steps:
                self._move(step, _DAMAGED)

    def _move(self, step: int, ending: str) -> None:
        source, target = self._folder / str(step), self._folder / f"{step}{ending}"
        if processes.is_first():
            shutil.rmtree(target, ignore_errors=True)
            source.rename(target)
        processes.all_agree(True)  # nobody looks before it has moved
        self._manager.reload()


def _rest(state: TrainState) -> dict[str, PyTree]:
    return {"step": state.step, "params": state.params, "opt_state": state.opt_state}
