"""What stands before a run's first step: its folder, its data, and one configuration for good."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fftdiff_jax import config as configuration
from fftdiff_jax.config import Config
from fftdiff_jax.data import pipeline
from fftdiff_jax.data.manifest import Manifest
from fftdiff_jax.data.sources.open import open_manifest
from fftdiff_jax.errors import UserError
from fftdiff_jax.method import rain_spectrum
from fftdiff_jax.training.cluster import processes

SPECTRUM_BATCHES = 8  # batches of training crops that the strength of rain is measured on
# What may change when a run is resumed; everything else would make it another run.
MAY_CHANGE = (
    "data.cache_dir",
    "data.cache_gigabytes",
    "data.workers",
    "data.shards_dir",
    "training.log_every",
    "training.checkpoint_every",
    "training.evaluate_every",
    "training.sample_every",
    "training.final_evaluation_limit",
    "training.on_save_error",
    "sampling",
)
# Under a rate that stays constant the steps so far do not depend on where it is to end.
MAY_CHANGE_IF_CONSTANT = ("training.steps", "training.decay_steps")


def require_known(config: Config) -> None:
    """Raises `UserError` for what no run can have, before anything is read or written."""
    configuration.from_dict(configuration.to_dict(config))  # a recipe's choices were not checked
    model, table = config.model, config.representation.rain_spectrum
    if not model.widths or len(model.widths) != len(model.blocks):
        raise UserError(
            f"model.widths has {len(model.widths)} resolutions and model.blocks "
            f"{len(model.blocks)}; they must have as many, and at least one"
        )
    if min(*model.widths, *model.blocks, *model.blocks_up, model.fold) < 1:
        raise UserError(
            "model.widths, model.blocks, model.blocks_up and model.fold must be at least 1"
        )
    if model.blocks_up and len(model.blocks_up) != len(model.widths) - 1:
        raise UserError(
            f"model.blocks_up has {len(model.blocks_up)} resolutions; it takes one fewer than "
            f"model.widths, which has {len(model.widths)}, or none"
        )
    if table and len(table) != 1 + len(rain_spectrum.KNOT_FREQUENCIES):
        raise UserError(
            f"representation.rain_spectrum has {len(table)} numbers; it takes "
            f"{1 + len(rain_spectrum.KNOT_FREQUENCIES)}, or none to be measured"
        )
    training = config.training
    counts = {
        name: getattr(training, name)
        for name in (
            *("steps", "batch_size", "log_every", "checkpoint_every", "evaluate_every"),
            *("sample_every", "evaluate_photos", "evaluate_crop"),
        )
    }
    for name, value in counts.items():
        if value < 1:
            raise UserError(f"training.{name} is {value}; it must be at least 1")
    share = config.diffusion.draw_share
    if not 0 <= share <= 1:
        raise UserError(f"diffusion.draw_share is {share}; it is a share, from 0 to 1")
    if training.freeze_first and (not training.initial_weights or share == 0):
        raise UserError(
            "training.freeze_first wants training.initial_weights, whose first estimate stays, and "
            "a diffusion.draw_share above 0, or nothing is trained"
        )
    if model.prediction == "image_consistent" and config.diffusion.noise != "photo":
        raise UserError('diffusion.noise must be "photo" where the network sees photos')
    draws = config.sampling.draws
    if model.prediction == "direct" and draws < 1:
        raise UserError(
            f"sampling.draws is {draws}; a direct network has no first estimate: take 1 or more"
        )
    if model.prediction == "image_consistent" and share == 0 and draws > 0:
        raise UserError(
            f"sampling.draws is {draws}, but no draws are trained: diffusion.draw_share is 0"
        )


def open_data(config: Config) -> tuple[Manifest, Manifest | None]:
    """The pairs to train on, and those of the val split, None where there are none.

    Raises:
      UserError: the manifest cannot be used, a file is missing, or the devices cannot share a batch
        evenly.
    """
    manifest = open_manifest(config.data)
    training_set = manifest.select("train" if manifest.has_splits else None).require_files()
    validation_set = _select_validation(manifest)
    if config.training.batch_size % jax.device_count():
        raise UserError(
            f"training.batch_size is {config.training.batch_size}; it must be a multiple of the "
            f"{jax.device_count()} devices"
        )
    return training_set, validation_set


def _select_validation(manifest: Manifest) -> Manifest | None:
    if not manifest.has_splits:
        return None
    rows = tuple(row for row in manifest if row.split == "val" and row.rainy)
    return dataclasses.replace(manifest, rows=rows).require_files() if rows else None


def make_folder(workdir: Path) -> None:
    """Makes the run's folder; raises `UserError` where nothing can be written there."""
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--workdir {workdir}: cannot be made ({error.strerror})") from error
    if not os.access(workdir, os.W_OK):
        raise UserError(f"--workdir {workdir}: no permission to write there")


def complete(
    config: Config, before: Config | None, training_set: Manifest, workdir: Path
) -> Config:
    """Fills in what is measured, or takes it from the run that is resumed.

    Args:
      config: as it was asked for; `before`: the one in the run's checkpoint, if there is one.
      training_set: the pairs that rain's strength is measured on.
      workdir: the run's folder, for messages.

    Raises:
      UserError: the two differ in a field that makes another run.
    """
    representation = config.representation
    measured = representation.rain_spectrum
    if before is not None:
        measured = measured or before.representation.rain_spectrum
    elif not measured and representation.normalisation != "constant":
        # It is compiled into the step, which has to be the same program in every process.
        measured = tuple(processes.from_first(_measure(config, training_set)))
    representation = dataclasses.replace(representation, rain_spectrum=measured)
    config = dataclasses.replace(config, representation=representation)
    if before is not None:
        _require_same(config, before, workdir)
    return config


def _measure(config: Config, training_set: Manifest) -> tuple[float, ...]:
    with pipeline.training_batches(
        config.data, training_set, batch_size=64, seed=config.training.seed
    ) as stream:
        some = [next(stream) for _ in range(SPECTRUM_BATCHES)]
    clean = np.concatenate([batch["clean"] for batch in some])
    rainy = np.concatenate([batch["rainy"] for batch in some])
    return rain_spectrum.measure_rain_spectrum(
        jnp.asarray(clean, jnp.float32) / 255, jnp.asarray(rainy, jnp.float32) / 255
    )


def _require_same(config: Config, before: Config, workdir: Path) -> None:
    now, then = _flat(configuration.to_dict(config)), _flat(configuration.to_dict(before))
    fields: tuple[str, ...] = MAY_CHANGE
    if config.training.schedule == "constant":
        fields += MAY_CHANGE_IF_CONSTANT
    for name, value in now.items():
        allowed = any(name == field or name.startswith(field + ".") for field in fields)
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
