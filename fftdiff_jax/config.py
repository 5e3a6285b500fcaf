"""The configuration tree: frozen dataclasses, and the only place with defaults.

A recipe is an instance of `Config` (see experiments/configs). It is written to config.json in a
run's folder and into every checkpoint, so that a restorer can be rebuilt from the checkpoint alone.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

from fftdiff_jax.errors import UserError

Target = Literal["clean", "noise", "velocity"]

# Fields that are no more. Files that hold them still open as far as their weights fit.
RETIRED = (
    "diffusion.condition_dropout",
    "diffusion.draw_start",
    "diffusion.loss",
    "diffusion.snr_weight_limit",
    "model.self_conditioning",
    "sampling.guidance",
    "sampling.noise_scale",
    "sampling.resample",
)


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which pairs are read, and how crops are cut from them."""

    manifest: str = "embedded"  # a CSV, or "embedded": photos that ship inside scikit-image
    # The files themselves, ArrayRecord shards, or exported spectra (.npz).
    source: Literal["manifest", "tfds", "spectra"] = "manifest"
    cache_dir: str = ""  # decoded photos are kept here; empty: the user's cache folder
    cache_gigabytes: float = 4.0  # most disk that decoded photos may take
    crop_size: int = 64  # side of the square training crops, in pixels
    augment: bool = True  # flips and transposes, of both photos of a pair alike
    rendered_rain: float = 0.0  # share of the pairs' examples whose rain is rendered instead
    pair_repeats: int = 1  # how often a pair takes part for once that a photo without rain does
    toned_rain: float = 0.0  # share of rendered rain that changes the photo's tone as well
    streaks_dir: str = ""  # a folder of masks of photographed streaks; empty: none are rendered
    photographed_rain: float = 0.25  # share of rendered rain that is made of them
    workers: int = 0  # loader processes; 0: threads of the training process
    on_bad_pair: Literal["stop", "skip"] = "stop"  # at an unreadable pair; "skip" counts it
    shards_dir: str = ""  # a copy of FILE_tfds, on a node's own disk; empty: beside the manifest


@dataclasses.dataclass(frozen=True)
class RepresentationConfig:
    """How a pair of photos becomes a six-channel state (spectra.py)."""

    name: Literal["log_ratio", "signed_log", "complex"] = "log_ratio"
    phase: Literal["wrapped", "raw"] = "wrapped"  # to (-pi, pi], or raw in (-2 pi, 2 pi)
    # By the strength of rain beside the rainy photo's own spectrum, or by one number.
    normalisation: Literal["condition_aware", "constant"] = "condition_aware"
    # Root mean square of |clean - rainy| by radial frequency, measured on the training pairs:
    # first the constant term in units of sqrt(pixels), then octaves from 1/256 to 1/2 a pixel.
    # Empty: training measures it and writes it here before the first step.
    rain_spectrum: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The network (unet.py) and how it predicts (denoiser.py)."""

    # "direct" is a UNet over the spectrum as if it were a picture.
    prediction: Literal["image_consistent", "direct"] = "image_consistent"
    fold: int = 2  # fold x fold pixels become channels before the first convolution
    widths: tuple[int, ...] = (32, 64, 96)  # channels at each resolution
    blocks: tuple[int, ...] = (1, 2, 2)  # residual blocks at each resolution, down and up
    blocks_up: tuple[int, ...] = ()  # on the way up, where it takes fewer; empty: as many as down
    block: Literal["normed", "plain"] = "normed"  # RMSNorm and SiLU, or ReLU and no norm
    dtype: Literal["float32", "bfloat16"] = "float32"  # of the convolutions; masters stay float32


@dataclasses.dataclass(frozen=True)
class DiffusionConfig:
    """The forward process and what the network is trained to predict (diffusion.py)."""

    schedule: Literal["cosine", "linear"] = "cosine"  # "linear" is DDPM's
    noise: Literal["photo", "independent"] = "photo"  # Hermitian as real photos are, or not
    target: Target = "clean"  # what a direct network outputs
    spectrum_weight: float = 0.05  # of the spectrum's error, beside the photo's own
    perceptual_weight: float = 0.0  # of LPIPS (AlexNet)
    # Of each batch, trained for draws too; 0: the first estimate is all that is trained.
    draw_share: float = 0.25


@dataclasses.dataclass(frozen=True)
class SamplingConfig:
    """How photos are drawn (sampling.py).

    `Restorer.with_sampling` and `experiments.pack` change any field afterwards.
    """

    sampler: Literal["ddim", "ddpm", "dpm_solver"] = "ddim"  # the rule of a step
    steps: int = 1  # network evaluations a draw
    draws: int = 0  # samples whose mean is the restored photo; 0: the first estimate instead
    realism: float = 1.0  # how far a draw goes from the first estimate: 0 stays, 1 is the draw
    time_power: float = 1.5  # times of n steps are (1 - i/n)^time_power
    eta: float = 0.0  # DDIM's share of fresh noise: 0 is deterministic, 1 is DDPM-like
    mirror: bool = False  # the first estimate is the mean of two, one of the tile mirrored


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Optimisation, and how often what is written."""

    steps: int = 20_000  # updates in all
    batch_size: int = 16  # global: over all devices of all processes
    seed: int = 0  # of the first weights, the data order, crops and noise
    optimizer: Literal["adamw", "muon"] = "adamw"  # "muon" for the inner kernels (muon.py)
    learning_rate: float = 1e-3  # peak of AdamW's rate
    muon_rate: float = 0.02  # peak of Muon's rate: how far a step turns a kernel of norm 1
    # "cosine" decays to a hundredth all the way, "constant" to 0 in the last decay_steps alone.
    schedule: Literal["cosine", "constant"] = "cosine"
    decay_steps: int = 0  # last steps of "constant", in which the rates fall in a line to 0
    warmup_steps: int = 200  # steps of linear warm-up before the peak
    weight_decay: float = 1e-4  # of AdamW's kernels; biases and scales have none
    muon_weight_decay: float = 0.01  # of Muon's kernels
    clip_norm: float = 1.0  # largest global norm of a gradient
    ema_decay: float = 0.999  # of the averaged weights, which restore photos
    log_every: int = 20  # steps a row of metrics.csv
    checkpoint_every: int = 500  # steps between checkpoints
    evaluate_every: int = 1000  # steps between validations
    evaluate_photos: int = 16  # val photos (centre crops) scored at each validation
    evaluate_crop: int = 192  # side of those centre crops
    sample_every: int = 2000  # steps between sample pictures
    initial_weights: str = ""  # a run's folder or a file of weights to start from; empty: anew
    freeze_first: bool = (
        False  # the first estimate stays what initial_weights say; draws alone learn
    )
    final_evaluation_limit: int = 0  # photos scored when a run ends; 0: the whole val split
    on_save_error: Literal["continue", "stop"] = "continue"  # a full disk: try again later, or stop


@dataclasses.dataclass(frozen=True)
class Config:
    """A whole experiment."""

    data: DataConfig = DataConfig()
    representation: RepresentationConfig = RepresentationConfig()
    model: ModelConfig = ModelConfig()
    diffusion: DiffusionConfig = DiffusionConfig()
    sampling: SamplingConfig = SamplingConfig()
    training: TrainingConfig = TrainingConfig()


def to_dict(config: Config) -> dict[str, Any]:
    """Returns the tree as nested plain dictionaries, ready for JSON."""
    return dataclasses.asdict(config)


def from_dict(values: Mapping[str, Any], kind: type = Config, where: str = "config") -> Any:
    """Builds the frozen tree from nested dictionaries, missing fields taking their defaults.

    Lists become tuples and whole numbers become floats where the field says so.

    Raises:
      UserError: a field is unknown (the nearest one is named) or has the wrong type.
    """
    hints = typing.get_type_hints(kind)
    arguments = {}
    for name, value in values.items():
        path = f"{where}.{name}"
        if name not in hints:
            near = difflib.get_close_matches(name, hints, n=1)
            hint = f"; did you mean {where}.{near[0]}?" if near else f"; known: {', '.join(hints)}"
            raise UserError(f"{path}: there is no such field{hint}")
        arguments[name] = _convert(value, hints[name], path)
    return kind(**arguments)


def from_saved(values: Mapping[str, Any]) -> Config:
    """`from_dict` of what an earlier version may have written: fields in `RETIRED` are left out."""
    groups = {
        group: {name: value for name, value in fields.items() if f"{group}.{name}" not in RETIRED}
        if isinstance(fields, Mapping)
        else fields
        for group, fields in values.items()
    }
    return from_dict(groups)


def _convert(value: Any, kind: Any, path: str) -> Any:
    if typing.get_origin(kind) is Literal:
        choices = typing.get_args(kind)
        if value not in choices:
            known = ", ".join(map(str, choices))
            raise UserError(f"{path}: {value!r} is not a choice; known: {known}")
        return value
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise UserError(f"{path}: expected a group of fields, found {value!r}")
        return from_dict(value, typing.cast(type, kind), path)
    if isinstance(kind, types.GenericAlias):
        if not isinstance(value, (list, tuple)):
            raise UserError(f"{path}: expected a list like (32, 64), found {value!r}")
        return tuple(_convert(item, typing.get_args(kind)[0], path) for item in value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise UserError(f"{path}: expected {kind.__name__}, found {value!r}")
    return value
