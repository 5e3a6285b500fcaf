"""Training from a configuration: data, state, steps, validation, checkpoints, evaluation."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import jax
from jaxtyping import Array

from fftdiff_jax import config as configuration
from fftdiff_jax.config import Config
from fftdiff_jax.data import pipeline
from fftdiff_jax.data.manifest import Manifest
from fftdiff_jax.errors import UserError
from fftdiff_jax.files import replacing, write_text
from fftdiff_jax.restore.open_weights import load_weights
from fftdiff_jax.restore.progress import PacedBar
from fftdiff_jax.restore.restorer import Restorer
from fftdiff_jax.restore.weights import abstract_params
from fftdiff_jax.training import run_setup
from fftdiff_jax.training.bookkeeping import Bookkeeping
from fftdiff_jax.training.checkpoints import Checkpoints
from fftdiff_jax.training.cluster import processes
from fftdiff_jax.training.cluster.signals import Interrupted, StopSignals
from fftdiff_jax.training.examples import Batch
from fftdiff_jax.training.lock import alone_in
from fftdiff_jax.training.log import NoLog, RunLog
from fftdiff_jax.training.losses import perceptual_network
from fftdiff_jax.training.position import Position
from fftdiff_jax.training.run_data import RunData
from fftdiff_jax.training.state import TrainState, create_state, start_from
from fftdiff_jax.training.step import make_train_step
from fftdiff_jax.training.validation import Validation

_EARLY = "ended before a step was taken; the same command goes on"


def train(
    config: Config,
    workdir: Path,
    *,
    progress: bool = True,
    stop: StopSignals | None = None,
    accept_changed_data: bool = False,
) -> dict[str, Any] | None:
    """Trains, or goes on where the run in `workdir` stopped, and evaluates the best weights.

    With several processes (see processes.py) each calls this alike; only the first one logs and
    evaluates.

    Args:
      config: the experiment.
      workdir: the run's folder; nothing is written outside it but the cache of decoded photos.
      progress: show a progress bar on standard error.
      stop: where signals are heard that ask the run to save and end; None: nowhere.
      accept_changed_data: go on with other pairs than those of the checkpoint.

    Returns:
      The summary of the final evaluation, or None where the manifest has no pairs to evaluate.

    Raises:
      UserError: the data, the configuration or the folder cannot be used; another trainer is at
        work there; the loss is no longer a number; or a checkpoint cannot be saved.
      Interrupted: `stop` was asked; all is saved.
    """
    workdir = workdir.expanduser().absolute()
    stop = stop or StopSignals()
    configuration.check(config)  # one that was made in Python is not checked yet
    abstract_params(config, "model")  # nor how large all of its fields together are
    training_set, validation_set = run_setup.open_data(config)

    run_setup.make_folder(workdir)
    _end_early(stop)
    data = RunData(config.data, training_set, validation_set)
    alone = jax.process_count() == 1
    waiting = (lambda: stop.check(_EARLY)) if alone else (lambda: None)
    with alone_in(workdir, waiting) as is_held:
        checkpoints = Checkpoints(workdir)
        config = run_setup.complete(config, checkpoints.config(), training_set, workdir)
        state, position = _start(config, checkpoints)
        if int(state.step) > 0:
            processes.first_does(
                lambda: data.require_same(position.data, workdir, accept_changed_data)
            )
        fingerprint = processes.first_does(data.fingerprint)
        if processes.is_first():
            write_text(
                workdir / "config.json", json.dumps(configuration.to_dict(config), indent=2) + "\n"
            )
        _end_early(stop)
        if int(state.step) < config.training.steps or position.unfinished:
            first, step = processes.is_first(), int(state.step)
            if first:
                _say_start(step, config.training.steps)
            unfinished_row = position.row is not None
            validation = Validation(config, validation_set) if validation_set else None
            log = RunLog(workdir, step, unfinished_row=unfinished_row) if first else NoLog()
            with (
                contextlib.closing(log),
                contextlib.closing(_device_batches(config, training_set, step)) as batches,
                _progress_bar(config.training.steps, step, shown=progress and first) as bar,
            ):
                books = Bookkeeping(
                    config, log, validation, checkpoints, bar.write, stop, fingerprint, is_held
                )
                _take_steps(books, bar, state, position, batches)
        checkpoints.close()

        if validation_set is None or not processes.is_first():
            return None
        with stop.at_once("training is finished; the same command makes the evaluation again"):
            return _evaluate(config, workdir, validation_set, progress)


def _take_steps(
    books: Bookkeeping,
    bar: PacedBar,
    state: TrainState,
    position: Position,
    batches: Iterator[Batch],
) -> None:
    """Takes the steps that are left.

    Args:
      books: does what is due between them.
      bar: counts them.
      state: before them.
      position: where the last run stopped.
      batches: of this process.

    Raises:
      Interrupted: a stop signal came; all is saved.
      UserError: a number is not finite, or something cannot be written.
    """
    training, losses = books.config.training, list(position.losses)
    train_step = make_train_step(books.config)
    perceptual = perceptual_network(books.config.diffusion)
    agreement = processes.Agreement()
    if position.unfinished:
        books.finish(state, losses, position.row)
    pending: list[dict[str, Array]] = []  # of steps whose numbers have not been fetched
    since, images = time.perf_counter(), 0
    first_step = int(state.step) + 1
    for step in range(first_step, training.steps + 1):
        state, numbers = train_step(state, next(batches), perceptual)
        if step == first_step:
            jax.block_until_ready(numbers)  # it has compiled: the time left counts from here on
        pending.append(numbers)
        images += training.batch_size
        signal, due = agreement.ask(books.stop.received), books.due(step)
        row = None
        # Fetching waits for the device, so it is done once a row; never saving what is not finite.
        if signal or any(due):
            fetched = _fetch(pending, step)
            losses += [numbers["loss"] for numbers in fetched]
            pending = []
        if due.row:
            speed = images / (time.perf_counter() - since)
            row = fetched[-1] | {"loss": sum(losses) / len(losses), "images_per_second": speed}
            bar.set_postfix(loss=f"{row['loss']:.4f}", refresh=False)
            losses, since, images = [], time.perf_counter(), 0
        if signal:
            books.end(state, losses, row, signal)
        if any(due):
            books.finish(state, losses, row)
        if due.validation or due.checkpoint:
            since, images = time.perf_counter(), 0
        bar.update()


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


def _say_start(done: int, steps: int) -> None:
    begun = f"going on from step {done} of {steps}; " if done else ""
    if done < steps:
        print(f"{begun}compiling (about 20 s)", flush=True)
    else:
        print(f"{begun}what was due after it is made up for", flush=True)


def _progress_bar(steps: int, done: int, *, shown: bool) -> PacedBar:
    return PacedBar(
        total=steps,
        initial=done,
        disable=not shown,
        unit="step",
        dynamic_ncols=True,
        mininterval=1.0,
    )


def _start(config: Config, checkpoints: Checkpoints) -> tuple[TrainState, Position]:
    """The state and the position of the newest checkpoint, or those of a new run."""
    restored = checkpoints.restore(config)
    state, position = restored or (_first_state(config), {})
    if restored is None or jax.process_count() == 1:
        state = processes.on_own_devices(state)
    try:
        return state, Position.from_dict(position)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise UserError(
            "the position in the newest checkpoint cannot be read; choose another --workdir"
        ) from error


def _first_state(config: Config) -> TrainState:
    """A fresh state, or one whose parameters are those of `training.initial_weights`."""
    state = create_state(config)
    source = config.training.initial_weights
    if not source:
        return state
    params, _, _ = load_weights(source)
    return start_from(state, params, f"training.initial_weights {source}")


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


def _end_early(stop: StopSignals) -> None:
    signal = processes.strongest(stop.received)
    if signal:
        raise Interrupted(signal, _EARLY)


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
