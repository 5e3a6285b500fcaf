"""Makes a manifest of a data set of rain, and what can be made from a manifest.

  fftdiff-jax prepare --layout=rain1400 --root=DIR --output=FILE.csv
  fftdiff-jax prepare --output=FILE.csv --tfds --statistics --export_spectra

With --root the data set below it is searched for pairs, every pair is checked, and FILE.csv is
written with splits: those of folders called train, val and test, else by scene. Without --root an
existing FILE.csv is taken. Layouts:

  rain800    one picture a pair: the left half clean, the right half rainy (or --swap)
  rain1400   ground_truth/901.jpg with rainy_image/901_1.jpg ... 901_14.jpg
  rain100    norain-001.png with rain-001.png, in one folder, beside rainy/ or in two folders
  folders    two folders with the same names, found by their names or by --clean and --rainy
  regex      --rainy='rain/(\\d+)_\\d+\\.jpg' --clean='gt/\\1.jpg', both relative to --root
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from absl import flags

from fftdiff_jax.commands import shared
from fftdiff_jax.data.prepare.layouts import LAYOUTS
from fftdiff_jax.words import counted

LAYOUT = flags.DEFINE_enum("layout", None, list(LAYOUTS), "How the data set lies on disk.")
ROOT = flags.DEFINE_string("root", None, "Folder of the data set.")
OUTPUT = shared.define_output("The manifest: written with --root, else read.")
CLEAN = flags.DEFINE_string("clean", "", "folders: folder of clean photos. regex: a template.")
RAINY = flags.DEFINE_string("rainy", "", "folders: folder of rainy photos. regex: an expression.")
SWAP = flags.DEFINE_bool("swap", False, "rain800: the right half is the clean one.")
CHECK = flags.DEFINE_bool("check", True, "Decode every photo and leave bad pairs out.")
FOLDER_SPLITS = flags.DEFINE_bool(
    "folder_splits", True, "Folders called train, val and test are the splits."
)
CROP_SIZE = flags.DEFINE_integer(
    "crop_size", 64, "Pairs smaller than this are left out.", lower_bound=1
)
VAL_SHARE = flags.DEFINE_float("val_share", 0.1, "Share of the pairs for the split val.", 0.0, 1.0)
SEED = flags.DEFINE_integer("seed", 0, "Seed of the split.", lower_bound=0)
TFDS = flags.DEFINE_bool("tfds", False, "Write ArrayRecord shards, for data.source=tfds.")
SPECTRA = flags.DEFINE_bool(
    "export_spectra",
    False,
    "Write .npz files of all spectra and a CSV, for data.source=spectra.",
)
STATISTICS = flags.DEFINE_bool(
    "statistics", False, "Measure magnitudes and phases of the train pairs (a JSON and a picture)."
)
flags.DEFINE_alias("export-spectra", "export_spectra")


def main() -> None:
    from fftdiff_jax.errors import UserError

    output = shared.require("output", OUTPUT.value)
    if ROOT.value is not None:
        _prepare(ROOT.value, output)
    elif not (TFDS.value or SPECTRA.value or STATISTICS.value):
        raise UserError(
            "nothing to do; give --layout and --root to write a manifest, or --tfds, "
            "--export_spectra or --statistics to read one"
        )
    if TFDS.value:
        from fftdiff_jax.data.sources.shards import build_rain_pairs

        print(f"tfds: {build_rain_pairs(output, _bar('tfds'))}")
    if SPECTRA.value:
        from fftdiff_jax.data.prepare.export_spectra import export_spectra

        print(f"spectra: {export_spectra(output, _bar('spectra'))}")
    if STATISTICS.value:
        _measure(output)


def _measure(path: str) -> None:
    from fftdiff_jax.data.manifest import read_manifest
    from fftdiff_jax.data.prepare.statistics import measure_statistics, write_statistics

    manifest = read_manifest(path, "train")
    statistics = measure_statistics(manifest, progress=_bar("statistics"))
    text, picture = write_statistics(statistics, path)
    print(f"rain spectrum: {tuple(statistics['rain_spectrum'])}")
    print(f"statistics: {text} and {picture}")


def _bar(name: str) -> Callable[[Iterable, int], Iterable]:
    from tqdm import tqdm

    return lambda items, total: tqdm(items, total=total, desc=name, unit="pair", mininterval=0.5)


def _prepare(root: str, output: str) -> None:
    from fftdiff_jax.data.prepare.manifest_from_folder import prepare_manifest
    from fftdiff_jax.errors import UserError

    if LAYOUT.value is None:
        raise UserError(f"--layout is missing; one of {', '.join(LAYOUTS)}")
    report = prepare_manifest(
        LAYOUT.value,
        root,
        output,
        crop_size=CROP_SIZE.value,
        clean=CLEAN.value,
        rainy=RAINY.value,
        swap=SWAP.value,
        check=CHECK.value,
        folder_splits=FOLDER_SPLITS.value,
        val_share=VAL_SHARE.value,
        seed=SEED.value,
        progress=_bar("pairs"),
    )
    if report.scenes_csv:
        print(f"scenes and splits: as {report.scenes_csv} says")
    if report.by_folders:
        print(
            "splits: as folders called train, val and test say (--nofolder_splits splits all anew)"
        )
    for split, count in report.splits.items():
        scenes = counted(report.scenes_by_split[split], "scene")
        print(f"{split or 'no split'}: {counted(count, 'pair')} of {scenes}")
    if report.near_duplicates:
        photos = sum(len(group) for group in report.near_duplicates)
        example = ", ".join(report.near_duplicates[0][:3])
        scenes = counted(len(report.near_duplicates), "scene")
        print(
            f"near-duplicates: {counted(photos, 'clean photo')} show {scenes} (such as {example}); "
            "each scene is in one split" + ("" if not report.leaks else " but for those below")
        )
    if report.leaks:
        one, other = report.leaks[0]
        print(
            f"warning: {len(report.leaks)} times near-duplicates lie in different splits, as "
            f"{'folders say' if report.by_folders else 'scenes.csv says'} ({one} and {other})"
        )
    if report.unpaired:
        photos_left = counted(len(report.unpaired), "photo")
        print(f"without a partner: {photos_left} (such as {report.unpaired[0]})")
    if report.refused:
        print(f"refused: {counted(len(report.refused), 'pair')}, see {report.refused_csv}")
    halves = Path(output).with_name(f"{Path(output).stem}_photos")
    if LAYOUT.value == "rain800" and halves.is_dir():
        megabytes = sum(path.stat().st_size for path in halves.rglob("*.png")) / 1e6
        print(f"photos: {halves} (the halves of each picture, {megabytes:.0f} MB)")
    print(f"manifest: {report.manifest} ({counted(report.pairs, 'pair')})")
