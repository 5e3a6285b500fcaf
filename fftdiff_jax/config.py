"""The configuration tree: frozen dataclasses, and the only place with defaults.

A recipe is an instance of `Config` (see experiments/configs). It is written to config.json in a
run's folder and into every checkpoint, so that a restorer can be rebuilt from the checkpoint alone.
"""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fftdiff_jax import ranges
from fftdiff_jax.errors import UserError
from fftdiff_jax.ranges import Lengths, Range

Target = Literal["clean", "noise", "velocity"]

# Ranges that several fields have. They also bound what weights from elsewhere can ask for.
Share = Annotated[float, Range(0, 1)]
Weight = Annotated[float, Range(0, 1000)]
Count = Annotated[int, Range(1, 1_000_000_000)]
CountOrNone = Annotated[int, Range(0, 1_000_000_000)]
Steps = Annotated[int, Range(1, 1000)]
Draws = Annotated[int, Range(0, 1000)]
Width = Annotated[int, Range(1, 4096)]
Blocks = Annotated[int, Range(1, 32)]
Resolutions = Lengths(range(1, 7))
RAIN_NUMBERS = 9  # of a table of rain's strength: see `representation.rain_spectrum`

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
    # most disk that decoded photos may take
    cache_gigabytes: Annotated[float, Range(0, 1_000_000)] = 4.0
    crop_size: Annotated[int, Range(8, 4096)] = 64  # side of the square training crops, in pixels
    augment: bool = True  # flips and transposes, of both photos of a pair alike
    # crops are of photos enlarged or shrunk by up to this factor, both of a pair alike
    rescale: Annotated[float, Range(1, 4)] = 1.0
    retoned: Share = 0.0  # share of crops whose exposure and colours change, both of a pair alike
    rendered_rain: Share = 0.0  # share of the pairs' examples whose rain is rendered instead
    rain_on_rain: Share = 0.0  # share of rainy photos that rain is rendered on as well
    dry: Share = 0.0  # share of examples without rain, which are to stay as they are
    # how often a pair takes part for once that a photo without rain does
    pair_repeats: Annotated[int, Range(1, 1000)] = 1
    toned_rain: Share = 0.0  # share of rendered rain that changes the photo's tone as well
    compressed: Share = 0.0  # share of rendered rain that is saved as JPEG, as shared photos are
    streaks_dir: str = ""  # a folder of masks of photographed streaks; empty: none are rendered
    photographed_rain: Share = 0.25  # share of rendered rain that is made of them
    # loader processes; 0: threads of the training process
    workers: Annotated[int, Range(0, 1024)] = 0
    on_bad_pair: Literal["stop", "skip"] = "stop"  # at an unreadable pair; "skip" counts it
    # How a run that goes on notices that a photo was changed: by its size and time, or every byte.
    fingerprint: Literal["times", "contents"] = "times"
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
    rain_spectrum: Annotated[
        tuple[Annotated[float, Range(1e-6, 1_000_000)], ...], Lengths((0, RAIN_NUMBERS))
    ] = ()


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The network (unet.py) and how it predicts (denoiser.py)."""

    # "direct" is a UNet over the spectrum as if it were a picture.
    prediction: Literal["image_consistent", "direct"] = "image_consistent"
    # fold x fold pixels become channels before the first convolution
    fold: Annotated[int, Range(1, 8)] = 2
    widths: Annotated[tuple[Width, ...], Resolutions] = (32, 64, 96)  # channels at each resolution
    # residual blocks at each resolution, down and up
    blocks: Annotated[tuple[Blocks, ...], Resolutions] = (1, 2, 2)
    # on the way up, where it takes fewer; empty: as many as down
    blocks_up: Annotated[tuple[Blocks, ...], Lengths(range(6))] = ()
    block: Literal["normed", "plain"] = "normed"  # RMSNorm and SiLU, or ReLU and no norm
    dtype: Literal["float32", "bfloat16"] = "float32"  # of the convolutions; masters stay float32


@dataclasses.dataclass(frozen=True)
class DiffusionConfig:
    """The forward process and what the network is trained to predict (diffusion.py)."""

    schedule: Literal["cosine", "linear"] = "cosine"  # "linear" is DDPM's
    noise: Literal["photo", "independent"] = "photo"  # Hermitian as real photos are, or not
    target: Target = "clean"  # what a direct network outputs
    spectrum_weight: Weight = 0.05  # of the spectrum's error, beside the photo's own
    perceptual_weight: Weight = 0.0  # of LPIPS (AlexNet)
    # Of each batch, trained for draws too; 0: the first estimate is all that is trained.
    draw_share: Share = 0.25


@dataclasses.dataclass(frozen=True)
class SamplingConfig:
    """How photos are drawn (sampling.py).

    `Restorer.with_sampling` and `experiments.pack` change any field afterwards.
    """

    sampler: Literal["ddim", "ddpm", "dpm_solver"] = "ddim"  # the rule of a step
    steps: Steps = 1  # network evaluations a draw
    draws: Draws = 0  # samples whose mean is the restored photo; 0: the first estimate instead
    realism: Share = 1.0  # how far a draw goes from the first estimate: 0 stays, 1 is the draw
    # times of n steps are (1 - i/n)^time_power
    time_power: Annotated[float, Range(0.01, 100)] = 1.5
    eta: Share = 0.0  # DDIM's share of fresh noise: 0 is deterministic, 1 is DDPM-like
    mirror: bool = False  # the first estimate is the mean of two, one of the tile mirrored


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Optimisation, and how often what is written."""

    steps: Count = 20_000  # updates in all
    # global: over all devices of all processes
    batch_size: Annotated[int, Range(1, 1_000_000)] = 16
    # of the first weights, the data order, crops and noise
    seed: Annotated[int, Range(0, 4_294_967_295)] = 0
    optimizer: Literal["adamw", "muon"] = "adamw"  # "muon" for the inner kernels (muon.py)
    learning_rate: Annotated[float, Range(0, 1000)] = 1e-3  # peak of AdamW's rate
    # peak of Muon's rate: how far a step turns a kernel of norm 1
    muon_rate: Annotated[float, Range(0, 1000)] = 0.02
    # "cosine" decays to a hundredth all the way, "constant" to 0 in the last decay_steps alone.
    schedule: Literal["cosine", "constant"] = "cosine"
    decay_steps: CountOrNone = 0  # last steps of "constant", in which the rates fall in a line to 0
    warmup_steps: CountOrNone = 200  # steps of linear warm-up before the peak
    weight_decay: Weight = 1e-4  # of AdamW's kernels; biases and scales have none
    muon_weight_decay: Weight = 0.01  # of Muon's kernels
    # largest global norm of a gradient
    clip_norm: Annotated[float, Range(0, 1e38, above=True)] = 1.0
    # of the averaged weights, which restore photos
    ema_decay: Annotated[float, Range(0, 1, below=True)] = 0.999
    log_every: Count = 20  # steps a row of metrics.csv
    checkpoint_every: Count = 500  # steps between checkpoints
    evaluate_every: Count = 1000  # steps between validations
    # val photos (centre crops) scored at each validation
    evaluate_photos: Annotated[int, Range(1, 1_000_000)] = 16
    evaluate_crop: Annotated[int, Range(16, 4096)] = 192  # side of those centre crops
    sample_every: Count = 2000  # steps between sample pictures
    initial_weights: str = ""  # a run's folder or a file of weights to start from; empty: anew
    # the first estimate stays what initial_weights say; draws alone learn
    freeze_first: bool = False
    final_evaluation_limit: CountOrNone = 0  # photos scored when a run ends; 0: the whole val split
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


def from_dict(values: Any, kind: type = Config, where: str = "config") -> Any:
    """Builds the frozen tree from nested dictionaries, missing fields taking their defaults.

    Lists become tuples and whole numbers become floats where the field says so.

    Raises:
      UserError: a field is unknown (the nearest one is named), has the wrong type, is out of its
        range, or does not fit another one.
    """
    if not isinstance(values, Mapping):
        raise UserError(f"{where}: expected a group of fields, found {ranges.shown(values)}")
    hints = typing.get_type_hints(kind, include_extras=True)
    arguments = {}
    for name, value in values.items():
        if name not in hints:
            near = difflib.get_close_matches(str(name)[:64], hints, n=1)
            hint = f"; did you mean {where}.{near[0]}?" if near else f"; known: {', '.join(hints)}"
            known = str(name).isidentifier() and len(name) <= 64
            path = f"{where}.{name}" if known else f"{where}: {ranges.shown(name)}"
            raise UserError(f"{path}: there is no such field{hint}")
        path, hint = f"{where}.{name}", hints[name]
        group = dataclasses.is_dataclass(hint)
        arguments[name] = from_dict(value, hint, path) if group else ranges.read(value, hint, path)
    found = kind(**arguments)
    if isinstance(found, Config):
        _require_fitting(found)
    return found


def check(config: Config) -> None:
    """Raises `UserError` for a field of another type than declared, out of range, or ill-fitting.

    For configurations that were made in Python; `from_dict` has checked what it returns.
    """
    from_dict(to_dict(config))


def from_saved(values: Any) -> Config:
    """`from_dict` of what an earlier version may have written: fields in `RETIRED` are left out."""
    if not isinstance(values, Mapping):
        return from_dict(values)
    groups = {
        group: {name: value for name, value in fields.items() if f"{group}.{name}" not in RETIRED}
        if isinstance(fields, Mapping)
        else fields
        for group, fields in values.items()
    }
    return from_dict(groups)


def _require_fitting(config: Config) -> None:
    """Raises `UserError` where fields that are right by themselves do not go together."""
    model = config.model
    if len(model.widths) != len(model.blocks):
        raise UserError(
            f"model.widths has {len(model.widths)} resolutions and model.blocks "
            f"{len(model.blocks)}; they must have as many"
        )
    if model.blocks_up and len(model.blocks_up) != len(model.widths) - 1:
        raise UserError(
            f"model.blocks_up has {len(model.blocks_up)} resolutions; it takes one fewer than "
            f"model.widths, which has {len(model.widths)}, or none"
        )
    share, draws = config.diffusion.draw_share, config.sampling.draws
    if config.training.freeze_first and (not config.training.initial_weights or share == 0):
        raise UserError(
            "training.freeze_first wants training.initial_weights, whose first estimate stays, and "
            "a diffusion.draw_share above 0, or nothing is trained"
        )
    direct = model.prediction == "direct"
    if not direct and config.diffusion.noise != "photo":
        raise UserError('diffusion.noise must be "photo" where the network sees photos')
    if direct and draws < 1:
        raise UserError(
            f"sampling.draws is {draws}; a direct network has no first estimate: take 1 or more"
        )
    if not direct and share == 0 and draws > 0:
        raise UserError(
            f"sampling.draws is {draws}, but no draws are trained: diffusion.draw_share is 0"
        )
