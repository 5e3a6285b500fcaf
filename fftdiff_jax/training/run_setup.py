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
from fftdiff_jax.data.pairs import require_scorable, warn_of_equal_pairs
from fftdiff_jax.data.sources.open import open_manifest
from fftdiff_jax.errors import UserError
from fftdiff_jax.method import rain_spectrum
from fftdiff_jax.training.cluster import processes

SPECTRUM_BATCHES = 8  # batches of training crops that the strength of rain is measured on
# What may change when a run is resumed; everything else would make it another run.
MAY_CHANGE = (
    "data.cache_dir",
    "data.cache_gigabytes",
    "data.fingerprint",
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


def open_data(config: Config) -> tuple[Manifest, Manifest | None]:
    """The pairs to train on, and those of the val split, None where there are none.

    Raises:
      UserError: the manifest cannot be used, a file is missing, a val photo cannot be scored, or
        the devices cannot share a batch evenly.
    """
    manifest = open_manifest(config.data)
    training_set = manifest.select("train" if manifest.has_splits else None).require_files()
    validation_set = _select_validation(manifest)
    if validation_set is not None:
        require_scorable(validation_set)
    if processes.is_first():
        for pairs in filter(None, (training_set, validation_set)):
            warn_of_equal_pairs(pairs)
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
