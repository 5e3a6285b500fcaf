"""A manifest's pairs as a TFDS data set: ArrayRecord shards with the photos' original bytes.

Few large files suit a cluster's file system better than many small ones. TensorFlow is not needed,
neither for writing nor for reading.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8

from fftdiff_jax.data.cache import PhotoCache
from fftdiff_jax.data.images import decode_photo, load_photo
from fftdiff_jax.data.manifest import Manifest, Row, read_manifest
from fftdiff_jax.data.sources.base import PairSource
from fftdiff_jax.errors import UserError
from fftdiff_jax.files import write_text

_INDEX = "index.json"
_ALL = "train"  # the split of a manifest that has none
# Stands for the rainy photo of a row that has none: one grey pixel.
_NOTHING = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGNoaGgAAAMEAYFL09IQAAAAAElFTkSuQmCC"
)


class RainPairs(tfds.core.GeneratorBasedBuilder):
    """TFDS builder whose configuration is a manifest.

    Features: clean and rainy (encoded photos), has_rainy, row (the manifest's) and image_filepath
    (of the clean photo, as the manifest resolves it). Examples keep the manifest's order.
    """

    VERSION = tfds.core.Version("1.0.0")
    # A builder of a package is looked up there for its description; this one has its own.
    pkg_dir_path = Path(__file__).parent

    def __init__(
        self,
        *,
        manifest: str | os.PathLike[str],
        progress: Callable[[Iterable, int], Iterable] = lambda items, total: items,
        **options: Any,
    ):
        """Describes the data set of `manifest`; `progress` wraps the rows as they are written."""
        self._manifest = read_manifest(manifest)
        self._progress = progress
        name = re.sub(r"\W+", "_", Path(manifest).stem) or "manifest"
        self._own_config = tfds.core.BuilderConfig(name=name, version=self.VERSION)
        super().__init__(config=self._own_config, **options)

    def get_builder_config(self, name: str, version: Any) -> tfds.core.BuilderConfig:
        """Every manifest is a configuration of its own, and none is registered beforehand."""
        del name, version
        return self._own_config

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {
                "clean": tfds.features.Image(),
                "rainy": tfds.features.Image(),
                "has_rainy": np.bool_,
                "row": np.int64,
                "image_filepath": tfds.features.Text(),
            }
        )
        return tfds.core.DatasetInfo(
            builder=self,
            description="Clean and rainy photos, as a manifest pairs them.",
            features=features,
            supervised_keys=("rainy", "clean"),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict]]]:
        del dl_manager  # nothing is downloaded
        return {split: self._generate_examples(rows) for split, rows in _by_split(self._manifest)}

    def _generate_examples(self, rows: list[Row]) -> Iterator[tuple[int, dict]]:
        for row in self._progress(rows, len(rows)):
            yield (
                row.number,
                {
                    "clean": _file_bytes(row.clean),
                    "rainy": _file_bytes(row.rainy),
                    "has_rainy": row.rainy is not None,
                    "row": row.number,
                    "image_filepath": row.clean,
                },
            )


class TfdsSource(PairSource):
    """The pairs of a manifest, read from the shards that `build_rain_pairs` wrote for it."""

    def __init__(self, manifest: Manifest, cache: PhotoCache, folder: str = ""):
        """Opens the shards in `folder`, a copy of FILE_tfds; "": that beside the manifest.

        Raises:
          UserError: there are none for this manifest, or it has changed since.
        """
        super().__init__(manifest, cache)
        self.folder = Path(folder).expanduser() if folder else tfds_folder(manifest.path)
        index = _read_index(self.folder, manifest.path)
        self._rows = {
            row["row"]: (row["split"], row["position"], row["clean"], row["rainy"])
            for row in index["rows"]
        }
        self._built, self._shards = index["built"], str(self.folder / index["shards"])
        self._sources: dict[str, Any] = {}

    def size(self, index: int, rainy: bool) -> tuple[int, int]:
        height, width = self._entry(index)[3 if rainy else 2]
        return height, width

    def version(self, index: int, rainy: bool) -> str:
        row = self.manifest.rows[index]
        return f"{self.folder}|{self._built}|{row.rainy if rainy else row.clean}"

    def stamp(self, index: int, by: str) -> str:
        del index, by
        return str(self._built)  # shards are written once, and as a whole

    def decode(self, index: int, rainy: bool) -> UInt8[np.ndarray, "h w 3"]:
        split, position = self._entry(index)[:2]
        record = self._source(split)[position]
        row = self.manifest.rows[index]
        name = str(row.rainy if rainy else row.clean)
        return decode_photo(bytes(record["rainy" if rainy else "clean"]), name)

    def _entry(self, index: int) -> tuple:
        return self._rows[self.manifest.rows[index].number]

    def _source(self, split: str) -> Any:
        if split not in self._sources:
            builder = tfds.builder_from_directory(self._shards)
            self._sources[split] = builder.as_data_source(
                split=split,
                decoders={
                    "clean": tfds.decode.SkipDecoding(),
                    "rainy": tfds.decode.SkipDecoding(),
                },
            )
        return self._sources[split]

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_sources": {}}


def build_rain_pairs(
    manifest_path: str | os.PathLike[str],
    progress: Callable[[Iterable, int], Iterable] = lambda items, total: items,
) -> Path:
    """Writes the shards of a whole manifest beside it, in FILE_tfds, and returns that folder.

    Shards that are there and fit the manifest are kept. The folder's index is written last, so a
    run that was interrupted is not taken for a whole one.

    Raises:
      UserError: a photo is missing or bad, or the folder cannot be written.
    """
    manifest = read_manifest(manifest_path).require_files()
    folder = tfds_folder(manifest_path)
    try:
        _read_index(folder, manifest_path)
        return folder
    except UserError:
        pass
    rows = [
        {"row": row.number, "split": split, "position": position}
        | {
            "clean": _size(manifest, row, row.clean),
            "rainy": None if row.rainy is None else _size(manifest, row, row.rainy),
        }
        for split, members in _by_split(manifest)
        for position, row in enumerate(members)
    ]
    try:
        if folder.exists():
            shutil.rmtree(folder)
        builder = RainPairs(manifest=manifest_path, progress=progress, data_dir=str(folder))
        with _quiet():
            builder.download_and_prepare(file_format="array_record")
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error})") from error
    index = {
        "manifest_sha256": _digest(manifest_path),
        "built": os.stat(folder).st_mtime_ns,
        "shards": Path(builder.data_dir).relative_to(folder).as_posix(),
        "rows": rows,
    }
    write_text(folder / _INDEX, json.dumps(index))
    return folder


def tfds_folder(manifest_path: str | os.PathLike[str]) -> Path:
    """The folder of a manifest's shards: FILE_tfds beside FILE.csv."""
    path = Path(manifest_path).expanduser().absolute()
    return path.with_name(path.stem + "_tfds")


def _read_index(folder: Path, manifest_path: str | os.PathLike[str]) -> dict[str, Any]:
    again = f"run fftdiff-jax prepare --output={manifest_path} --tfds"
    try:
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        known = index["manifest_sha256"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(f"{folder}: holds no finished TFDS data set; {again}") from error
    if known != _digest(manifest_path):
        raise UserError(f"{manifest_path}: has changed since {folder} was made; {again}")
    return index


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps TFDS from reporting a download that is none, and from bars beside the caller's."""
    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        tfds.enable_progress_bar()


def _digest(path: str | os.PathLike[str]) -> str:
    return hashlib.sha256(Path(path).expanduser().read_bytes()).hexdigest()


def _by_split(manifest: Manifest) -> list[tuple[str, list[Row]]]:
    splits: dict[str, list[Row]] = {}
    for row in manifest.rows:
        splits.setdefault(re.sub(r"\W+", "_", row.split) or _ALL, []).append(row)
    return sorted(splits.items())


def _size(manifest: Manifest, row: Row, path: str) -> tuple[int, int]:
    try:
        return _decoded_size(path)
    except UserError as error:
        raise UserError(f"{manifest.where(row)}: {error}") from error


@functools.lru_cache(maxsize=4096)
def _decoded_size(path: str) -> tuple[int, int]:
    height, width = load_photo(path).shape[:2]
    return height, width


def _file_bytes(path: str | None) -> Any:
    if path is None:
        return io.BytesIO(_NOTHING)
    return io.BytesIO(Path(path).read_bytes())
