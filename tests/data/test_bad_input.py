"""Bad photos, manifests and settings, each refused in one line that says what and where."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from fftdiff_jax.config import DataConfig
from fftdiff_jax.data.manifest import read_manifest
from fftdiff_jax.data.pipeline import training_batches
from fftdiff_jax.errors import UserError
from tests.data.trees import pairs_csv, photo, save, wet


def png_head(width, height):
    def chunk(name, body):
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


def replace(data):
    def spoil(folder):
        (folder / "rainy/1.png").write_bytes(data)

    return spoil


def truncated_jpeg(folder):
    whole = save(folder / "whole.jpg", photo(200, 200)).read_bytes()
    (folder / "rainy/1.png").write_bytes(whole[: len(whole) // 2])


def truncated_png(folder):
    path = folder / "clean/1.png"
    path.write_bytes(path.read_bytes()[:-200])


def other_size(folder):
    save(folder / "rainy/1.png", photo(41, 48))


def turned_by_exif(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(wet(photo(40, 48))).save(folder / "rainy/1.png", exif=exif)


def too_small(folder):
    save(folder / "clean/1.png", photo(20, 48))
    save(folder / "rainy/1.png", photo(20, 48, 1))


def floating_point(folder):
    Image.fromarray(np.zeros((40, 48), np.float32)).save(folder / "rainy/1.tif")
    (folder / "rainy/1.tif").rename(folder / "rainy/1.png")


def missing(folder):
    (folder / "rainy/1.png").unlink()


def a_folder(folder):
    (folder / "rainy/1.png").unlink()
    (folder / "rainy/1.png").mkdir()


def a_pipe(folder):
    (folder / "rainy/1.png").unlink()
    os.mkfifo(folder / "rainy/1.png")


def a_link_to_itself(folder):
    (folder / "rainy/1.png").unlink()
    (folder / "rainy/1.png").symlink_to(folder / "rainy/1.png")


def deep_integers(folder):
    Image.fromarray(np.full((40, 48), 2**20, np.int32)).save(folder / "rainy/1.tif")
    (folder / "rainy/1.tif").rename(folder / "rainy/1.png")


PHOTOS = {
    "missing": (missing, "there is no such file"),
    "a folder": (a_folder, "is a folder, not a photo"),
    "empty": (replace(b""), "not a picture"),
    "text": (replace(b"<html>404 not found</html>"), "not a picture"),
    "random bytes": (replace(bytes(range(256)) * 9), "not a picture"),
    "a head alone": (replace(b"\x89PNG\r\n\x1a\n"), "not a picture|is damaged"),
    "truncated JPEG": (truncated_jpeg, "damaged|must be equal"),
    "truncated PNG": (truncated_png, "is damaged"),
    "decompression bomb": (replace(png_head(60_000, 60_000)), "too large"),
    "other sizes": (other_size, "48 x 40 and the rainy one 48 x 41"),
    "turned by EXIF": (turned_by_exif, "48 x 40 and the rainy one 40 x 48"),
    "smaller than a crop": (too_small, "smaller than a crop of 32"),
    "floating point": (floating_point, "cannot be used .floating-point"),
    "deep integers": (deep_integers, "more than 16 bits"),
    "a pipe": (a_pipe, "a pipe or a device"),
    "a link to itself": (a_link_to_itself, "symbolic links|cannot be"),
    "no pixels": (replace(png_head(0, 0)), "not a picture|is damaged"),
    "a gigapixel in one row": (replace(png_head(2**31 - 1, 1)), "too large"),
}


def one_line(error, *parts):
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 400
    for part in parts:
        assert part in message


def read_some(config, manifest):
    """Takes so many batches that each of the four pairs has been read."""
    with training_batches(config, manifest, batch_size=8, seed=0) as stream:
        for _ in range(4):
            next(stream)


@pytest.mark.parametrize("kind", PHOTOS)
def test_training_stops_at_a_bad_photo_with_its_row(tmp_path, kind):
    spoil, expected = PHOTOS[kind]
    csv = pairs_csv(tmp_path)
    spoil(tmp_path)
    config = DataConfig(cache_dir=str(tmp_path / "cache"), crop_size=32)
    with pytest.raises(UserError, match=expected) as caught:
        read_some(config, read_manifest(csv))
    one_line(caught, str(csv), "row 3")


@pytest.mark.parametrize("kind", PHOTOS)
def test_training_can_skip_bad_photos_and_says_which(tmp_path, kind):
    csv = pairs_csv(tmp_path)
    PHOTOS[kind][0](tmp_path)
    config = DataConfig(cache_dir=str(tmp_path / "cache"), crop_size=32, on_bad_pair="skip")
    with training_batches(config, read_manifest(csv), batch_size=8, seed=0) as stream:
        batches = [next(stream) for _ in range(4)]
    assert all(batch["clean"].shape == (8, 32, 32, 3) for batch in batches)
    (message,) = stream.skipped
    assert "row 3" in message


MANIFESTS = {
    "missing column": (
        "image_filepath,rain\na.png,b.png\n",
        "column image_rain_filepath is missing; found image_filepath, rain",
    ),
    "no header": ("a.png,b.png\n", "column image_filepath is missing; found a.png, b.png"),
    "semicolons": ("image_filepath;image_rain_filepath\na;b\n", "separate columns by commas"),
    "empty": ("", "is empty"),
    "blank lines": ("\n\n  \n", "is empty"),
    "header alone": ("image_filepath,image_rain_filepath\n", "no pairs"),
    "unquoted comma": (
        "image_filepath,image_rain_filepath\na, b.png,c.png\n",
        "row 2: has 3 fields where the header has 2",
    ),
    "no clean photo": ("image_filepath,image_rain_filepath\n,b.png\n", "row 2: image_filepath is"),
    "a pair twice": (
        "image_filepath,image_rain_filepath\na,b\nc,d\na,b\n",
        "row 4: names the same pair as row 2",
    ),
    "a column twice": ("image_filepath,image_rain_filepath,split,split\na,b,c,d\n", "twice"),
    "binary": ("image_filepath\0", "binary"),
}


@pytest.mark.parametrize("kind", MANIFESTS)
def test_a_bad_manifest_is_refused_in_one_line(tmp_path, kind):
    text, expected = MANIFESTS[kind]
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(UserError, match=expected) as caught:
        read_manifest(tmp_path / "bad.csv")
    one_line(caught, str(tmp_path / "bad.csv"))


def test_a_manifest_that_is_a_picture(tmp_path):
    save(tmp_path / "a.png", photo(8, 8))
    with pytest.raises(UserError, match=r"UTF-8|binary") as caught:
        read_manifest(tmp_path / "a.png")
    one_line(caught, "a.png")


def test_a_manifest_that_is_missing_or_a_folder(tmp_path):
    with pytest.raises(UserError, match="there is no such manifest") as caught:
        read_manifest(tmp_path / "none.csv")
    one_line(caught, "none.csv", "fftdiff-jax prepare")
    with pytest.raises(UserError, match="is no plain file") as caught:
        read_manifest(tmp_path)
    one_line(caught)


SETTINGS = {
    "rendered_rain": ({"rendered_rain": 1.5}, "data.rendered_rain is 1.5"),
    "crop_size": ({"crop_size": 0}, "crop_size"),
    "a crop larger than all photos": ({"crop_size": 64}, "smaller than a crop of 64"),
    "no shards": ({"source": "tfds"}, "fftdiff-jax prepare .* --tfds"),
    "no spectra": ({"source": "spectra"}, "fftdiff-jax prepare .* --export_spectra"),
}


@pytest.mark.parametrize("kind", SETTINGS)
def test_bad_settings_are_named(tmp_path, kind):
    fields, expected = SETTINGS[kind]
    manifest = read_manifest(pairs_csv(tmp_path))
    config = DataConfig(**({"cache_dir": str(tmp_path / "cache"), "crop_size": 32} | fields))
    with pytest.raises(UserError, match=expected) as caught:
        training_batches(config, manifest, batch_size=4, seed=0)
    one_line(caught)


def test_a_batch_that_the_processes_cannot_share(tmp_path):
    manifest = read_manifest(pairs_csv(tmp_path))
    config = DataConfig(cache_dir=str(tmp_path / "cache"), crop_size=32)
    with pytest.raises(UserError, match="cannot be shared by 3 processes"):
        training_batches(config, manifest, batch_size=8, seed=0, process_count=3)


def test_all_pairs_bad_is_said_even_when_skipping(tmp_path):
    csv = pairs_csv(tmp_path, count=1)
    (tmp_path / "clean/0.png").write_bytes(b"")
    config = DataConfig(cache_dir=str(tmp_path / "cache"), crop_size=32, on_bad_pair="skip")
    with pytest.raises(UserError, match="no pair can be used") as caught:
        training_batches(config, read_manifest(csv), batch_size=8, seed=0)
    one_line(caught, "row 2")
