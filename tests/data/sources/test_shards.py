"""ArrayRecord shards: the original bytes, and the same batches as the files."""

import dataclasses

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from fftdiff_jax.config import DataConfig
from fftdiff_jax.data.images import photo_size
from fftdiff_jax.data.manifest import read_manifest
from fftdiff_jax.data.pipeline import training_batches
from fftdiff_jax.data.sources.shards import RainPairs, build_rain_pairs, tfds_folder
from fftdiff_jax.errors import UserError
from tests.data.trees import pairs_csv, photo, save, wet


@pytest.fixture
def csv(tmp_path):
    """Two splits in a mixed order, a JPEG turned by EXIF, a grey PNG, and a clean photo alone."""
    path = pairs_csv(tmp_path, count=5, split=lambda i: ["train", "val"][i % 2])
    exif = Image.Exif()
    exif[0x0112] = 6
    clean = photo(40, 48, seed=9)
    for name, pixels in (("c", clean), ("r", wet(clean))):
        Image.fromarray(np.rot90(pixels)).save(tmp_path / f"{name}.jpg", exif=exif, quality=95)
    save(tmp_path / "grey.png", clean[..., 0])
    with open(path, "a") as file:
        file.write("c.jpg,r.jpg,train\ngrey.png,,train\n")
    return path


@pytest.mark.parametrize("split", ["train", "val", None])
def test_shards_give_the_batches_that_the_files_give(csv, tmp_path, split):
    build_rain_pairs(csv)
    manifest = read_manifest(csv, split)
    config = DataConfig(cache_dir=str(tmp_path / "one"), crop_size=16, rendered_rain=0.2)
    other = dataclasses.replace(config, cache_dir=str(tmp_path / "two"), source="tfds")
    with (
        training_batches(config, manifest, batch_size=8, seed=1) as files,
        training_batches(other, manifest, batch_size=8, seed=1) as shards,
    ):
        for _ in range(6):
            one, two = next(files), next(shards)
            np.testing.assert_array_equal(one["clean"], two["clean"])
            np.testing.assert_array_equal(one["rainy"], two["rainy"])


def test_worker_processes_read_shards(csv, tmp_path):
    build_rain_pairs(csv)
    manifest = read_manifest(csv, "train")
    config = DataConfig(cache_dir=str(tmp_path / "c"), crop_size=16, source="tfds")
    with training_batches(config, manifest, batch_size=8, seed=1) as alone:
        batches = [next(alone) for _ in range(3)]
    config = dataclasses.replace(config, workers=2, cache_dir=str(tmp_path / "d"))
    with training_batches(config, manifest, batch_size=8, seed=1) as stream:
        for batch in batches:
            np.testing.assert_array_equal(next(stream)["rainy"], batch["rainy"])


def test_photos_keep_their_bytes_and_the_shards_are_an_ordinary_data_set(csv):
    folder = build_rain_pairs(csv)
    (info,) = folder.rglob("dataset_info.json")
    assert list(info.parent.glob("*.array_record*"))
    skip = tfds.decode.SkipDecoding()
    source = tfds.builder_from_directory(info.parent).as_data_source(
        split="train", decoders={"clean": skip, "rainy": skip}
    )
    rows = list(read_manifest(csv, "train"))
    assert len(source) == len(rows)
    for record, row in zip(source, rows, strict=True):
        with open(row.clean, "rb") as file:
            assert bytes(record["clean"]) == file.read()
        assert record["row"] == row.number
        assert bool(record["has_rainy"]) == (row.rainy is not None)
    assert photo_size(bytes(source[3]["clean"])) == (40, 48)


def test_the_builder_can_be_used_as_any_other(csv, tmp_path):
    builder = RainPairs(manifest=csv, data_dir=str(tmp_path / "own"))
    builder.download_and_prepare(file_format="array_record")
    assert builder.info.splits["val"].num_examples == 2
    record = builder.as_data_source(split="val")[0]
    np.testing.assert_array_equal(record["clean"], photo(40, 48, seed=1))


def test_finished_shards_are_kept_and_unfinished_or_old_ones_made_again(csv):
    folder = build_rain_pairs(csv)
    (index,) = folder.glob("index.json")
    before = index.stat().st_mtime_ns
    build_rain_pairs(csv)
    assert index.stat().st_mtime_ns == before
    index.unlink()  # as after an interruption
    build_rain_pairs(csv)
    assert index.is_file()

    lines = csv.read_text().splitlines()
    csv.write_text("\n".join([lines[0], *lines[:0:-1]]))
    config = DataConfig(cache_dir=str(csv.parent / "c"), crop_size=16, source="tfds")
    with pytest.raises(UserError, match=r"has changed since .*fftdiff-jax prepare .*--tfds"):
        training_batches(config, read_manifest(csv), batch_size=4, seed=0)
    build_rain_pairs(csv)
    training_batches(config, read_manifest(csv), batch_size=4, seed=0).close()


def test_a_bad_photo_is_named_before_anything_is_written(csv):
    (csv.parent / "rainy/2.png").write_bytes(b"bad")
    with pytest.raises(UserError, match=r"row 4: .*2.png: is not a picture"):
        build_rain_pairs(csv)
    assert not tfds_folder(csv).exists()
