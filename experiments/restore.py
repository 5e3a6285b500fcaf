"""Removes rain from photos.

    python -m experiments.restore --checkpoint=runs/mine --input=PHOTO_OR_FOLDER --output=restored

A folder is searched with all its subfolders; names, sizes and formats stay. The input is never
written to.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from experiments import _cli
from fftdiff_jax.data.images import PHOTO_SUFFIXES, load_photo_file, save_photo
from fftdiff_jax.errors import UserError

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "a run's folder, or one of its checkpoints")
_INPUT = flags.DEFINE_string(
    "input", None, "a photo, a folder of photos, or a pattern like 'a/*.jpg'"
)
_OUTPUT = flags.DEFINE_string("output", None, "folder for the restored photos; made when missing")
_STEPS = flags.DEFINE_integer("steps", None, "network evaluations a draw", lower_bound=1)
_DRAWS = flags.DEFINE_integer("draws", None, "draws whose mean is the photo", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "of the draws", lower_bound=0)
_UNCERTAINTY = flags.DEFINE_bool(
    "uncertainty", False, "also write NAME.uncertainty.png: the draws' spread, white at 0.1"
)
_PROGRESS = flags.DEFINE_bool("progress", True, "show a progress bar")
_COMPILATION_CACHE = flags.DEFINE_string(
    "compilation_cache",
    "~/.cache/fftdiff_jax/xla",
    "compiled programs are kept here between runs; empty: not at all",
)


def main() -> int:
    """Restores what the flags name; 1 when a photo could not be."""
    checkpoint = _cli.require("checkpoint", _CHECKPOINT.value)
    photos = find_photos(_cli.require("input", _INPUT.value))
    output = Path(_cli.require("output", _OUTPUT.value)).expanduser().absolute()
    targets = [output / relative for _, relative in photos]
    for (source, _), target in zip(photos, targets, strict=True):
        if target.exists() and target.samefile(source):
            raise UserError(f"--output {output}: would overwrite {source}; choose another folder")
    print(
        f"restoring {len(photos)} photo{'s' if len(photos) != 1 else ''} into {output}", flush=True
    )
    _cli.prepare_jax(_COMPILATION_CACHE.value)
    from tqdm import tqdm

    from fftdiff_jax.restoration import Restorer

    restorer = Restorer.from_checkpoint(checkpoint)
    refused = []
    pairs = list(zip(photos, targets, strict=True))
    for (source, _), target in tqdm(pairs, unit="photo", disable=not _PROGRESS.value):
        try:
            _restore(restorer, source, target)
        except UserError as error:
            refused.append(str(error))
    print(f"{len(photos) - len(refused)} restored: {output}")
    for reason in refused:
        print(f"not restored: {reason}")
    return 1 if refused else 0


def _restore(restorer, source: Path, target: Path) -> None:
    from fftdiff_jax.data.images import save_png
    from fftdiff_jax.restoration import to_uint8

    photo = load_photo_file(source)
    draws = _DRAWS.value or restorer.default_draws
    if not _UNCERTAINTY.value:
        restored = restorer.mean_float(
            photo.pixels, draws=draws, steps=_STEPS.value, seed=_SEED.value
        )
        save_photo(target, restored, photo)
        return
    samples = restorer.sample_float(
        photo.pixels, draws=max(draws, 2), steps=_STEPS.value, seed=_SEED.value
    )
    save_photo(target, samples.mean(axis=0), photo)
    spread = samples.std(axis=0, ddof=1).mean(axis=-1, keepdims=True)
    save_png(
        target.with_name(f"{target.stem}.uncertainty.png"), to_uint8(spread.repeat(3, -1) / 0.1)
    )


def find_photos(pattern: str) -> list[tuple[Path, Path]]:
    """The photos that --input names, each with its path below the output folder.

    Raises:
      UserError: nothing there, or no photo in it.
    """
    path = Path(pattern).expanduser()
    if path.is_file():
        return [(path.absolute(), Path(path.name))]
    if path.is_dir():
        root, found = path, sorted(path.rglob("*"))
    else:
        root = _fixed_part(path)
        found = sorted(root.glob(str(path.relative_to(root)))) if root != path else []
        if not found:
            raise UserError(f"--input {pattern}: there is no such photo or folder")
    photos = [p for p in found if p.suffix.lower() in PHOTO_SUFFIXES and p.is_file()]
    if not photos:
        known = ", ".join(sorted(PHOTO_SUFFIXES))
        raise UserError(f"--input {pattern}: no photo there (looked for {known})")
    return [(p.absolute(), p.relative_to(root)) for p in photos]


def _fixed_part(path: Path) -> Path:
    """The folders of a pattern before its first wildcard."""
    fixed = Path(path.anchor) if path.is_absolute() else Path()
    for part in path.parts[1 if path.is_absolute() else 0 :]:
        if any(mark in part for mark in "*?["):
            return fixed
        fixed = fixed / part
    return fixed


if __name__ == "__main__":
    _cli.run(main)
