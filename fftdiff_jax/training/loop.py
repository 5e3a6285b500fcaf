"""Training from a configuration: data, state, steps, validation, checkpoints, evaluation."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from tqdm import tqdm

from fftdiff_jax import config as configuration
from fftdiff_jax import diffusion, metrics, sampling, spectra
from fftdiff_jax.config import Config
from fftdiff_jax.data import pipeline
from fftdiff_jax.data.embedded import embedded_manifest
from fftdiff_jax.data.manifest import Manifest, read_manifest
from fftdiff_jax.data.sources import cache_folder
from fftdiff_jax.denoiser import require_prediction
from fftdiff_jax.errors import UserError
from fftdiff_jax.files import replacing, write_text
from fftdiff_jax.restoration import Restorer
from fftdiff_jax.training.checkpoints import Checkpoints
from fftdiff_jax.training.log import RunLog
from fftdiff_jax.training.state import TrainState, create_state
from fftdiff_jax.training.step import Batch, make_train_step
from fftdiff_jax.training.validation import Validation

_log = logging.getLogger(__name__)

SPECTRUM_BATCHES = 8  # batches of training crops that the strength of rain is measured on
# What may change when a run is resumed; everything else would make it another run.
MAY_CHANGE = (
    "data.cache_dir",
    "data.cache_gigabytes",
    "data.workers",
    "training.log_every",
    "training.checkpoint_every",
    "training.evaluate_every",
    "training.sample_every",
    "training.final_evaluation_limit",
    "sampling",
)


def train(config: Config, workdir: Path, *, progress: bool = True) -> dict[str, Any] | None:
    """Trains, or goes on where the run in `workdir` stopped, and evaluates the best weights.

    Args:
      config: the experiment.
      workdir: the run's folder; nothing is written outside it but the cache of decoded photos.
      progress: show a progress bar on standard error.

    Returns:
      The summary of the final evaluation, or None where the manifest has no pairs to evaluate.

    Raises:
      UserError: the data, the configuration or the folder cannot be used; or the loss is no longer
        a number.
    """
    workdir = workdir.expanduser().absolute()
    _require_known(config)

    # ---- data ---------------------------------------------------------------------------------
    manifest = _open_manifest(config)
    training_set = manifest.select("train" if manifest.has_splits else None).require_files()
    validation_set = _validation_set(manifest)
    devices = jax.local_device_count()
    if config.training.batch_size % (devices * jax.process_count()):
        raise UserError(
            f"training.batch_size is {config.training.batch_size}; it must be a multiple of the "
            f"{devices * jax.process_count()} devices"
        )

    # ---- configuration and state --------------------------------------------------------------
    _make_folder(workdir)
    checkpoints = Checkpoints(workdir)
    config = _complete(config, checkpoints.config(), training_set, workdir)
    restored = checkpoints.restore(config)
    state, position = restored or (create_state(config), {"next_batch": 0, "losses": []})
    first_step = int(state.step)
    if jax.process_index() == 0:
        write_text(
            workdir / "config.json", json.dumps(configuration.to_dict(config), indent=2) + "\n"
        )

    # ---- the loop -----------------------------------------------------------------------------
    if first_step < config.training.steps:
        log = RunLog(workdir, first_step)
        validation = Validation(config, validation_set) if validation_set else None
        batches = _device_batches(config, training_set, position["next_batch"])
        with tqdm(
            total=config.training.steps,
            initial=first_step,
            disable=not progress,
            unit="step",
            dynamic_ncols=True,
            mininterval=1.0,
        ) as bar:
            _loop(
                config, state, list(position["losses"]), batches, log, validation, checkpoints, bar
            )
        log.close()
    checkpoints.close()

    # ---- evaluation of the best weights -------------------------------------------------------
    return _evaluate(config, workdir, validation_set, progress)


def _loop(
    config: Config,
    state: TrainState,
    losses: list[float],
    batches: Iterator[Batch],
    log: RunLog,
    validation: Validation | None,
    checkpoints: Checkpoints,
    bar: tqdm,
) -> None:
    """Runs the steps that are left. `losses` holds those of the log row that has been begun."""
    training = config.training
    train_step = make_train_step(config)
    perceptual = None
    if config.diffusion.perceptual_weight > 0:
        perceptual = metrics.perceptual_params("alexnet")
    pending: list[dict[str, Array]] = []  # of steps whose numbers have not been fetched
    since, images = time.perf_counter(), 0
    for step in range(int(state.step) + 1, training.steps + 1):
        state, numbers = train_step(state, next(batches), perceptual)
        pending.append(numbers)
        images += training.batch_size
        row_due = step % training.log_every == 0 or step == training.steps
        save_due = step % training.checkpoint_every == 0 or step == training.steps
        check_due = validation and (step % training.evaluate_every == 0 or step == training.steps)
        # Fetching waits for the device, so it is done once a row; never saving what is not finite.
        if row_due or save_due or check_due:
            last = _fetch(pending, step)
            losses += [numbers["loss"] for numbers in last]
            pending = []
        scores: dict[str, float] = {}
        if row_due:
            elapsed = time.perf_counter() - since
            values = {
                **last[-1],
                "loss": sum(losses) / len(losses),
                "images_per_second": images / elapsed,
            }
            bar.set_postfix(loss=f"{values['loss']:.4f}", refresh=False)
            losses, since, images = [], time.perf_counter(), 0
        else:
            values = {}
        if check_due and validation:
            scores = validation.score(state.ema_params)
            values |= {"val_psnr_y": scores["psnr_y"], "val_gain_y": scores["gain_y"]}
            bar.write(
                f"step {step}: val {scores['psnr_y']:.2f} dB, gain {scores['gain_y']:+.2f} dB"
            )
        if values:
            log.write(step, values)
        if validation and (step % training.sample_every == 0 or step == training.steps):
            log.picture(step, validation.picture(state.ema_params))
        if save_due or check_due:
            checkpoints.save(state, config, {"next_batch": step, "losses": losses}, scores)
        if check_due or save_due:
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


def _device_batches(config: Config, manifest: Manifest, first: int) -> Iterator[Batch]:
    devices = jax.local_device_count()
    stream = pipeline.training_batches(
        config.data,
        manifest,
        batch_size=config.training.batch_size,
        seed=config.training.seed,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        start_batch=first,
    )
    for batch in stream:
        shape = (devices, -1, *batch["clean"].shape[1:])
        yield Batch(batch["clean"].reshape(shape), batch["rainy"].reshape(shape))


def _require_known(config: Config) -> None:
    """Raises `UserError` for a name that no registry knows, before anything is read or written."""
    spectra.make_representation(config.representation)
    spectra.make_noise(config.diffusion.noise)
    diffusion.make_schedule(config.diffusion.schedule)
    diffusion.require_target(config.diffusion.target)
    sampling.make_sampler(config.sampling.sampler)
    require_prediction(config.model.prediction)
    make_train_step(config)


def _open_manifest(config: Config) -> Manifest:
    if config.data.manifest == "embedded":
        return read_manifest(embedded_manifest(cache_folder(config.data)))
    return read_manifest(config.data.manifest)


def _validation_set(manifest: Manifest) -> Manifest | None:
    if not manifest.has_splits:
        return None
    rows = tuple(row for row in manifest if row.split == "val" and row.rainy)
    return dataclasses.replace(manifest, rows=rows).require_files() if rows else None


def _make_folder(workdir: Path) -> None:
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--workdir {workdir}: cannot be made ({error.strerror})") from error
    if not os.access(workdir, os.W_OK):
        raise UserError(f"--workdir {workdir}: no permission to write there")


def _complete(
    config: Config, before: Config | None, training_set: Manifest, workdir: Path
) -> Config:
    """Fills in what is measured, or takes it from the run that is resumed."""
    representation = config.representation
    measured = representation.rain_spectrum
    if before is not None:
        measured = measured or before.representation.rain_spectrum
    elif not measured and representation.normalisation != "constant":
        measured = _measure(config, training_set)
    representation = dataclasses.replace(representation, rain_spectrum=measured)
    config = dataclasses.replace(config, representation=representation)
    if before is not None:
        _require_same(config, before, workdir)
    return config


def _measure(config: Config, training_set: Manifest) -> tuple[float, ...]:
    stream = pipeline.training_batches(
        config.data, training_set, batch_size=64, seed=config.training.seed
    )
    some = [next(stream) for _ in range(SPECTRUM_BATCHES)]
    clean, rainy = (
        jnp.asarray(np.concatenate([batch[k] for batch in some]), jnp.float32) / 255
        for k in ("clean", "rainy")
    )
    return spectra.measure_rain_spectrum(clean, rainy)


def _require_same(config: Config, before: Config, workdir: Path) -> None:
    now, then = _flat(configuration.to_dict(config)), _flat(configuration.to_dict(before))
    for name, value in now.items():
        allowed = any(name == field or name.startswith(field + ".") for field in MAY_CHANGE)
        if value != then.get(name) and not allowed:
            raise UserError(
                f"{workdir}: holds a run with {name}={then.get(name)!r}, not {value!r}; resume it "
                "with the same configuration or choose another --workdir"
            )


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _evaluate(
    config: Config, workdir: Path, validation_set: Manifest | None, progress: bool
) -> dict[str, Any] | None:
    if validation_set is None or jax.process_index() != 0:
        return None
    # Late: the report and its figures are not needed to train.
    from fftdiff_jax.evaluation import evaluate

    folder = workdir / "evaluation"
    summary = evaluate(
        Restorer.from_checkpoint(workdir),
        validation_set,
        folder,
        limit=config.training.final_evaluation_limit or None,
        restart=True,
        save_photos=False,
        progress=progress,
    )
    for name in ("summary.json", "before_after.png"):
        with replacing(workdir / name) as temporary:
            shutil.copyfile(folder / name, temporary)
    return summary
