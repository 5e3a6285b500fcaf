"""Pairs that cannot be scored, and pairs that are none: named by row before any work."""

import os
import shutil

import pytest

from fftdiff_jax.data.manifest import read_manifest
from fftdiff_jax.data.pairs import load_pair, require_scorable, warn_of_equal_pairs
from fftdiff_jax.errors import UserError
from tests.data.trees import pairs_csv, photo, save


def small(folder):
    for kind in ("clean", "rainy"):
        save(folder / kind / "2.png", photo(8, 8))


def unequal(folder):
    save(folder / "rainy/2.png", photo(41, 48))


def no_photo(folder):
    (folder / "rainy/2.png").write_bytes(b"none")


def missing(folder):
    (folder / "clean/2.png").unlink()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (small, "8 x 8 pixels; SSIM needs at least 11"),
        (unequal, "must be equal"),
        (no_photo, "not a picture"),
        (missing, "there is no file"),
    ],
)
def test_what_cannot_be_scored_is_named_by_row(tmp_path, spoil, said):
    csv = pairs_csv(tmp_path)
    require_scorable(read_manifest(csv))
    spoil(tmp_path)
    with pytest.raises(UserError, match=f"row 4: .*{said}") as refused:
        require_scorable(read_manifest(csv))
    assert "\n" not in str(refused.value)


def linked(clean, rainy):
    os.link(clean, rainy)


def pointed_to(clean, rainy):
    rainy.symlink_to(clean)


@pytest.mark.parametrize(
    ("make", "said"),
    [(linked, "one file"), (pointed_to, "one file"), (shutil.copyfile, "equal to the last byte")],
)
def test_equal_photos_of_a_pair_are_told_with_their_row(tmp_path, make, said, caplog):
    csv = pairs_csv(tmp_path)
    warn_of_equal_pairs(read_manifest(csv))
    assert caplog.text == ""
    for number in (1, 3):
        (tmp_path / f"rainy/{number}.png").unlink()
        make(tmp_path / f"clean/{number}.png", tmp_path / f"rainy/{number}.png")
    warn_of_equal_pairs(read_manifest(csv))
    (record,) = caplog.records
    assert f"row 3: both photos are {said}" in record.getMessage()
    assert "1 more pair" in record.getMessage()


def test_equal_pixels_in_two_files_are_told_once_they_are_read(tmp_path, caplog):
    manifest = read_manifest(pairs_csv(tmp_path))
    load_pair(manifest, manifest.rows[1])
    assert caplog.text == ""
    save(tmp_path / "rainy/1.png", photo(40, 48, 1), compress_level=0)
    load_pair(manifest, manifest.rows[1])
    assert "row 3: both photos show exactly the same" in caplog.text


def test_one_name_for_both_photos_is_told(tmp_path, caplog):
    csv = pairs_csv(tmp_path)
    csv.write_text(csv.read_text().replace("rainy/0.png", "clean/0.png"))
    warn_of_equal_pairs(read_manifest(csv))
    assert "row 2: both photos are one file" in caplog.text


def test_a_manifest_of_photos_without_rain_is_no_matter(tmp_path, caplog):
    csv = pairs_csv(tmp_path)
    csv.write_text(csv.read_text().replace("rainy/0.png", ""))
    warn_of_equal_pairs(read_manifest(csv))
    assert caplog.text == ""
