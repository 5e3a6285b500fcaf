"""What is done between two steps: log rows, validations, sample pictures and checkpoints."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import jax
from jaxtyping import PyTree

from fftdiff_jax.config import Config
from fftdiff_jax.errors import UserError
from fftdiff_jax.training.checkpoints import Checkpoints, SaveError
from fftdiff_jax.training.cluster import processes
from fftdiff_jax.training.cluster.signals import Interrupted, StopSignals
from fftdiff_jax.training.lock import IsHeld
from fftdiff_jax.training.log import NoLog, RunLog
from fftdiff_jax.training.position import Position
from fftdiff_jax.training.state import TrainState
from fftdiff_jax.training.validation import Validation


class Due(NamedTuple):
    """What is to be done after a step."""

    row: bool
    validation: bool
    picture: bool
    checkpoint: bool


@dataclasses.dataclass(frozen=True)
class Bookkeeping:
    """Does what is due after a step, or leaves a note of it in the checkpoint.

    Attributes:
      config: the experiment, as it holds at its end.
      log: of this process.
      validation: None where there is nothing to validate on.
      checkpoints: of the run.
      message: shows a line to the user; the first process alone calls it.
      stop: where signals are heard that ask the run to save and end.
      data: the fingerprint of the pairs, for the checkpoints.
      is_held: whether the run's folder is still this run's (lock.py).
    """

    config: Config
    log: RunLog | NoLog
    validation: Validation | None
    checkpoints: Checkpoints
    message: Callable[[str], None]
    stop: StopSignals
    data: Mapping[str, Any] | None = None
    is_held: IsHeld = lambda: True

    def due(self, step: int) -> Due:
        """What is to be done after this step; everything after the last one."""
        training, last = self.config.training, step == self.config.training.steps
        validates = self.validation is not None
        return Due(
            row=last or step % training.log_every == 0,
            validation=validates and (last or step % training.evaluate_every == 0),
            picture=validates and (last or step % training.sample_every == 0),
            checkpoint=last or step % training.checkpoint_every == 0,
        )

    def finish(
        self, state: TrainState, losses: Sequence[float], row: Mapping[str, float] | None
    ) -> None:
        """Validates, logs, draws and saves, as far as it is due after the state's step.

        A repeatable function of its arguments, so that a run which was stopped before can make up
        for it.

        Args:
          state: after the step.
          losses: of the steps since the last row.
          row: the row of this step, where one is due.

        Raises:
          Interrupted: a stop signal came meanwhile; all is saved.
          UserError: something cannot be written, and training shall stop then; or another trainer
            has taken the folder.
        """
        step, scores, values = int(state.step), None, dict(row or {})
        self._require_held()
        due, params = self.due(step), _here(state.ema_params)
        if due.validation and self.validation is not None:
            scores = _agreed_scores(self.validation, params, self.stop)
            if scores is None:
                self.end(state, losses, row, processes.strongest(self.stop.received))
            values |= {"val_psnr_y": scores["psnr_y"], "val_gain_y": scores["gain_y"]}
            self._show(
                f"step {step}: val {scores['psnr_y']:.2f} dB, gain {scores['gain_y']:+.2f} dB"
            )
        if values:
            self._tolerate(lambda: self.log.write(step, values))
        if due.picture and self.validation is not None and processes.is_first():
            picture = self.validation.picture(params)
            self._tolerate(lambda: self.log.picture(step, picture))
        if due.checkpoint or due.validation:
            self._save(state, Position(tuple(losses), data=self.data), scores)
            signal = processes.strongest(self.stop.received)
            if signal:  # it came meanwhile: nothing is left to be saved
                raise _interrupted(signal, step)

    def end(
        self,
        state: TrainState,
        losses: Sequence[float],
        row: Mapping[str, float] | None,
        signal: int,
    ) -> NoReturn:
        """Saves, with a note of what is left to do after this step, and ends the run.

        Raises:
          Interrupted: with the stop signal that asked for it.
          SaveError: the checkpoint could not be written.
          UserError: another trainer has taken the folder.
        """
        step = int(state.step)
        self._require_held()
        due = self.due(step)
        if row and not due.validation:  # no scores will be added to it
            values = row
            self._tolerate(lambda: self.log.write(step, values))
            row = None
        unfinished = bool(row or due.validation or due.picture)
        position = Position(tuple(losses), unfinished, row, self.data)
        self.checkpoints.save(state, self.config, position.to_dict())
        raise _interrupted(signal, step)

    def _save(
        self, state: TrainState, position: Position, scores: Mapping[str, float] | None
    ) -> None:
        step = int(state.step)
        # A draw's PSNR says little of how good it is: then the newest weights are the best.
        if self.config.training.freeze_first:
            scores = None
        try:
            self.checkpoints.save(state, self.config, position.to_dict(), scores)
        except SaveError as error:
            # The last one is what the run was for.
            if self.config.training.on_save_error == "stop" or step == self.config.training.steps:
                raise
            self._show(f"warning: {error}; training goes on")

    def _require_held(self) -> None:
        if not self.is_held():
            raise UserError(
                "another trainer has begun in the same --workdir; this one ends, and what it saved "
                "before is kept"
            )

    def _tolerate(self, write: Callable[[], None]) -> None:
        try:
            write()
        except UserError as error:
            if self.config.training.on_save_error == "stop":
                raise
            self._show(f"warning: {error}; training goes on")

    def _show(self, line: str) -> None:
        if processes.is_first():
            self.message(line)


def _interrupted(signal: int, step: int) -> Interrupted:
    return Interrupted(signal, f"saved at step {step}; the same command goes on from there")


def _agreed_scores(
    validation: Validation, params: PyTree, stop: StopSignals
) -> dict[str, float] | None:
    """The first process's scores, in every process; None where it was asked to end meanwhile."""
    scores = None
    if processes.is_first():
        scores = validation.score(params, stopped=lambda: stop.received > 0)
    whole, psnr_y, gain_y = processes.from_first(
        [0.0, 0.0, 0.0] if scores is None else [1.0, scores["psnr_y"], scores["gain_y"]]
    )
    return {"psnr_y": psnr_y, "gain_y": gain_y} if whole else None


def _here(params: PyTree) -> PyTree:
    """This process's own copy of arrays that are the same everywhere."""
    return jax.tree.map(lambda leaf: leaf.addressable_data(0), params)
