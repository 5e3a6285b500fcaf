"""Training from a configuration: data, state, steps, validation, checkpoints, evaluation."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import shutil
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree
from tqdm import tqdm

from fftdiff_jax import config as configuration
from fftdiff_jax.config import Config
from fftdiff_jax.data import pipeline
from fftdiff_jax.data.manifest import Manifest
from fftdiff_jax.data.sources.open import open_manifest
from fftdiff_jax.errors import UserError
from fftdiff_jax.files import replacing, write_text
from fftdiff_jax.restore.open_weights import load_weights, require_same_tree
from fftdiff_jax.restore.restorer import Restorer
from fftdiff_jax.training import run_setup
from fftdiff_jax.training.checkpoints import Checkpoints, SaveError
from fftdiff_jax.training.cluster import processes
from fftdiff_jax.training.cluster.signals import Interrupted, Preemption
from fftdiff_jax.training.log import NoLog, RunLog
from fftdiff_jax.training.state import TrainState, create_state
from fftdiff_jax.training.step import Batch, config_at, make_train_step, perceptual_network
from fftdiff_jax.training.validation import Validation

_AGAIN = "the same command goes on from there"


def train(
    config: Config, workdir: Path, *, progress: bool = True, stop: Preemption | None = None
) -> dict[str, Any] | None:
    """Trains, or goes on where the run in `workdir` stopped, and evaluates the best weights.

    With several processes (see processes.py) each calls this alike; only the first one logs and
    evaluates.

    Args:
      config: the experiment.
      workdir: the run's folder; nothing is written outside it but the cache of decoded photos.
      progress: show a progress bar on standard error.
      stop: where signals are heard that ask the run to save and end; None: nowhere.

    Returns:
      The summary of the final evaluation, or None where the manifest has no pairs to evaluate.

    Raises:
      UserError: the data, the configuration or the folder cannot be used; the loss is no longer a
        number; or a checkpoint cannot be saved.
      Interrupted: `stop` was asked; all is saved.
    """
    workdir = workdir.expanduser().absolute()
    stop = stop or Preemption()
    run_setup.require_known(config)

    # ---- data ---------------------------------------------------------------------------------
    manifest = open_manifest(config.data)
    training_set = manifest.select("train" if manifest.has_splits else None).require_files()
    validation_set = run_setup.select_validation(manifest)
    if config.training.batch_size % jax.device_count():
        raise UserError(
            f"training.batch_size is {config.training.batch_size}; it must be a multiple of the "
            f"{jax.device_count()} devices"
        )

    # ---- configuration and state --------------------------------------------------------------
    run_setup.make_folder(workdir)
    _end_early(stop)
    checkpoints = Checkpoints(workdir)
    config = run_setup.complete(config, checkpoints.config(), training_set, workdir)
    restored = checkpoints.restore(config)
    state, position = restored or (_first_state(config), {"next_batch": 0, "losses": []})
    if restored is None or jax.process_count() == 1:
        state = processes.on_own_devices(state)
    first_step = int(state.step)
    if processes.is_first():
        write_text(
            workdir / "config.json", json.dumps(configuration.to_dict(config), indent=2) + "\n"
        )
    _end_early(stop)

    # ---- the loop -----------------------------------------------------------------------------
    owed = position.get("owed")
    if first_step < config.training.steps or owed:
        first = processes.is_first()
        owes_row = bool(owed and owed["row"])
        log = RunLog(workdir, first_step, owes_row=owes_row) if first else NoLog()
        validation = Validation(config, validation_set) if validation_set else None
        with (
            contextlib.closing(log),
            contextlib.closing(_device_batches(config, training_set, first_step)) as batches,
            tqdm(
                total=config.training.steps,
                initial=first_step,
                disable=not (progress and first),
                unit="step",
                dynamic_ncols=True,
                mininterval=1.0,
            ) as bar,
        ):
            run = _Run(config, log, validation, checkpoints, bar, stop)
            run.steps(state, list(position["losses"]), batches, owed)
    checkpoints.close()

    # ---- evaluation of the best weights -------------------------------------------------------
    if validation_set is None or not processes.is_first():
        return None
    with stop.at_once("training is finished; the same command makes the evaluation again"):
        return _evaluate(config, workdir, validation_set, progress)


class _Due(NamedTuple):
    """What is to be done after a step."""

    row: bool
    check: bool
    picture: bool
    save: bool


@dataclasses.dataclass
class _Run:
    """The steps of a run and what happens between them."""

    config: Config
    log: RunLog | NoLog
    validation: Validation | None
    checkpoints: Checkpoints
    bar: tqdm
    stop: Preemption

    def steps(
        self,
        state: TrainState,
        losses: list[float],
        batches: Iterator[Batch],
        owed: dict[str, Any] | None,
    ) -> None:
        """Runs the steps that are left.

        Args:
          state: before them.
          losses: of the log row that has been begun.
          batches: of this process.
          owed: what the last run was ended before: its log row, validation, picture.
        """
        training = self.config.training
        config, train_step = self.config, make_train_step(self.config)
        perceptual = perceptual_network(self.config)
        agreement = processes.Agreement()
        if owed:
            self._after(state, int(state.step), losses, owed["row"])
        pending: list[dict[str, Array]] = []  # of steps whose numbers have not been fetched
        since, images = time.perf_counter(), 0
        for step in range(int(state.step) + 1, training.steps + 1):
            if config != config_at(self.config, step):
                config = config_at(self.config, step)
                train_step = make_train_step(config)
            state, numbers = train_step(state, next(batches), perceptual)
            pending.append(numbers)
            images += training.batch_size
            wish, due = agreement.ask(self.stop.wish), self._due(step)
            row = None
            # Fetching waits for the device, so it is done once a row; never saving what is not
            # finite.
            if wish or any(due):
                last = _fetch(pending, step)
                losses += [numbers["loss"] for numbers in last]
                pending = []
            if due.row:
                elapsed = time.perf_counter() - since
                row = {
                    **last[-1],
                    "loss": sum(losses) / len(losses),
                    "images_per_second": images / elapsed,
                }
                self.bar.set_postfix(loss=f"{row['loss']:.4f}", refresh=False)
                losses, since, images = [], time.perf_counter(), 0
            if wish:
                self._end(state, step, losses, row, wish)
            if any(due):
                self._after(state, step, losses, row)
            if due.check or due.save:
                since, images = time.perf_counter(), 0
            self.bar.update()

    def _due(self, step: int) -> _Due:
        training, last = self.config.training, step == self.config.training.steps
        return _Due(
            row=last or step % training.log_every == 0,
            check=self.validation is not None and (last or step % training.evaluate_every == 0),
            picture=self.validation is not None and (last or step % training.sample_every == 0),
            save=last or step % training.checkpoint_every == 0,
        )

    def _after(
        self, state: TrainState, step: int, losses: list[float], row: dict[str, float] | None
    ) -> None:
        """Validates, logs, draws and saves, as far as it is due; a repeatable function of its
        arguments, so that a run that was ended before can make up for it.
        """
        due, scores, values = self._due(step), None, dict(row or {})
        params = _here(state.ema_params)
        if due.check and self.validation is not None:
            scores = _agreed_scores(self.validation, params, self.stop)
            if scores is None:
                wish = processes.strongest(self.stop.wish)
                self._end(state, step, losses, row, wish)
                return
            values |= {"val_psnr_y": scores["psnr_y"], "val_gain_y": scores["gain_y"]}
            self._say(
                f"step {step}: val {scores['psnr_y']:.2f} dB, gain {scores['gain_y']:+.2f} dB"
            )
        if values:
            self._tolerate(lambda: self.log.write(step, values))
        if due.picture and self.validation is not None and processes.is_first():
            picture = self.validation.picture(params)
            self._tolerate(lambda: self.log.picture(step, picture))
        if due.save or due.check:
            # Weights that have not been trained for draws yet are never the best ones of a run.
            whole = config_at(self.config, step) == self.config
            position = {"next_batch": step, "losses": losses}
            self._save(state, step, position, scores if whole else None)
            wish = processes.strongest(self.stop.wish)
            if wish:  # it came meanwhile: nothing is left to be saved
                raise Interrupted(wish, f"saved at step {step}; {_AGAIN}")

    def _end(
        self,
        state: TrainState,
        step: int,
        losses: list[float],
        row: dict[str, float] | None,
        wish: int,
    ) -> None:
        """Saves, with a note of what is left to do after this step, and ends the run."""
        due = self._due(step)
        position: dict[str, Any] = {"next_batch": step, "losses": losses}
        if row and not due.check:  # no scores will be added to it
            values = row
            self._tolerate(lambda: self.log.write(step, values))
            row = None
        if row or due.check or due.picture:
            position["owed"] = {"row": row}
        self.checkpoints.save(state, self.config, position)
        raise Interrupted(wish, f"saved at step {step}; {_AGAIN}")

    def _save(
        self,
        state: TrainState,
        step: int,
        position: dict[str, Any],
        scores: dict[str, float] | None,
    ) -> None:
        try:
            self.checkpoints.save(state, self.config, position, scores)
        except SaveError as error:
            # The last one is what the run was for.
            if self.config.training.on_save_error == "stop" or step == self.config.training.steps:
                raise
            self._say(f"warning: {error}; training goes on")

    def _tolerate(self, write: Callable[[], None]) -> None:
        try:
            write()
        except UserError as error:
            if self.config.training.on_save_error == "stop":
                raise
            self._say(f"warning: {error}; training goes on")

    def _say(self, line: str) -> None:
        if processes.is_first():
            self.bar.write(line)


def _agreed_scores(
    validation: Validation, params: PyTree, stop: Preemption
) -> dict[str, float] | None:
    """The first process's scores, in every process; None where it was asked to end meanwhile."""
    scores = None
    if processes.is_first():
        scores = validation.score(params, stopped=lambda: stop.wish > 0)
    whole, psnr_y, gain_y = processes.from_first(
        [0.0, 0.0, 0.0] if scores is None else [1.0, scores["psnr_y"], scores["gain_y"]]
    )
    return {"psnr_y": psnr_y, "gain_y": gain_y} if whole else None


def _here(params: PyTree) -> PyTree:
    """This process's own copy of arrays that are the same everywhere."""
    return jax.tree.map(lambda leaf: leaf.addressable_data(0), params)


def _fetch(pending: list[dict[str, Array]], step: int) -> list[dict[str, float]]:
    """Brings the numbers of the last steps to the host.

    Raises:
      UserError: one of them is not finite: which, and at which step first.
    """
    fetched = [
        {name: float(value) for name, value in numbers.items()}
        for numbers in jax.device_get(pending)
    ]
    for i, numbers in enumerate(fetched):
        bad = [name for name, value in numbers.items() if not math.isfinite(value)]
        if bad:
            raise UserError(
                f"step {step - len(fetched) + 1 + i}: {bad[0].replace('_', ' ')} is "
                f"{numbers[bad[0]]}; the last checkpoint is from before; try a lower "
                "training.learning_rate or training.clip_norm"
            )
    return fetched


def _first_state(config: Config) -> TrainState:
    """A fresh state, or one whose parameters are those of `training.initial_weights`."""
    state = create_state(config)
    source = config.training.initial_weights
    if not source:
        return state
    params, _, _ = load_weights(source)
    require_same_tree(params, state.params, f"training.initial_weights {source}")
    # Two copies: the step donates its buffers, and one buffer cannot be given away twice.
    params, ema = (jax.tree.map(jnp.array, params) for _ in range(2))
    return state.replace(params=params, ema_params=ema)


def _device_batches(config: Config, manifest: Manifest, first: int) -> Generator[Batch, None, None]:
    devices = jax.local_device_count()
    with pipeline.training_batches(
        config.data,
        manifest,
        batch_size=config.training.batch_size,
        seed=config.training.seed,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        start_batch=first,
    ) as stream:
        for batch in stream:
            shape = (devices, -1, *batch["clean"].shape[1:])
            yield Batch(batch["clean"].reshape(shape), batch["rainy"].reshape(shape))


def _end_early(stop: Preemption) -> None:
    wish = processes.strongest(stop.wish)
    if wish:
        raise Interrupted(wish, "ended before a step was taken; the same command goes on")


def _evaluate(
    config: Config, workdir: Path, validation_set: Manifest, progress: bool
) -> dict[str, Any] | None:
    # Late: the report and its figures are not needed to train.
    from fftdiff_jax.evaluation.evaluate import evaluate
    from fftdiff_jax.evaluation.settings import EvaluationSettings

    folder = workdir / "evaluation"
    limit = config.training.final_evaluation_limit
    settings = EvaluationSettings(limit=limit, restart=True, save_photos=False, progress=progress)
    summary = evaluate(Restorer.from_checkpoint(workdir), validation_set, folder, settings)
    for name in ("summary.json", "before_after.png"):
        with replacing(workdir / name) as temporary:
            shutil.copyfile(folder / name, temporary)
    return summary
