"""What tells the pairs of a run from others: rows and photos, wherever they lie."""

import json
import os
import shutil

import numpy as np
import pytest

from fftdiff_jax.config import DataConfig
from fftdiff_jax.data.images import save_png
from fftdiff_jax.data.manifest import read_manifest, write_manifest
from fftdiff_jax.errors import UserError
from fftdiff_jax.training.run_data import RunData
from tests import tiny


@pytest.fixture
def csv(tmp_path):
    return tiny.write_pairs(tmp_path / "pairs")


def data_of(csv, **fields):
    config = DataConfig(str(csv), cache_dir=str(csv.parent / "cache"), crop_size=32, **fields)
    return RunData(config, read_manifest(csv), None)


def saved(data, by=None):
    """As it comes back from a checkpoint."""
    return json.loads(json.dumps(data.fingerprint(by)))


def lines(csv, order):
    text = csv.read_text().splitlines()
    csv.write_text("\n".join([text[0], *(text[1 + i] for i in order)]) + "\n")


def another_photo(csv):
    shutil.copyfile(csv.parent / "rainy_2.png", csv.parent / "rainy_1.png")


def touched(csv):
    os.utime(csv.parent / "clean_3.png", ns=(0, 0))


def same_size_and_time(csv):
    path = csv.parent / "rainy_1.png"
    status, content = path.stat(), bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def other_split(csv):
    csv.write_text(csv.read_text().replace("rainy_1.png,train", "rainy_1.png,val"))


CHANGES = {
    "a row removed": (lambda csv: lines(csv, [0, 1, 3]), "times", "row 4"),
    "the last row removed": (lambda csv: lines(csv, [0, 1, 2]), "times", "has 3 pairs"),
    "rows reordered": (lambda csv: lines(csv, [0, 2, 1, 3]), "times", "row 3"),
    "a row added": (lambda csv: tiny.write_pairs(csv.parent, 5), "times", "has 5 pairs"),
    "a row in another split": (other_split, "times", "row 3"),
    "a photo replaced": (another_photo, "times", "row 3.*rainy_1"),
    "a photo written anew": (touched, "times", "row 5.*clean_3"),
    "a photo replaced, by contents": (another_photo, "contents", "row 3.*rainy_1"),
    "one byte, by contents": (same_size_and_time, "contents", "row 3.*rainy_1"),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_change_is_refused_by_row_and_accepted_when_asked(tmp_path, csv, kind, caplog):
    change, by, said = CHANGES[kind]
    before = saved(data_of(csv), by)
    data_of(csv).require_same(before, tmp_path, accept=False)
    change(csv)
    with pytest.raises(UserError, match=f"{said}.*--accept_changed_data") as refused:
        data_of(csv).require_same(before, tmp_path, accept=False)
    assert "\n" not in str(refused.value)
    data_of(csv).require_same(before, tmp_path, accept=True)
    assert "accepted" in caplog.text


def test_other_masks_of_streaks_are_noticed(tmp_path, csv):
    masks = tmp_path / "masks"
    save_png(masks / "a.png", np.zeros((16, 16, 3), np.uint8))
    data = data_of(csv, streaks_dir=str(masks))
    before = saved(data)
    data.require_same(before, tmp_path, accept=False)
    save_png(masks / "a.png", np.zeros((17, 16, 3), np.uint8))
    with pytest.raises(UserError, match="other masks than then"):
        data.require_same(before, tmp_path, accept=False)


def test_what_is_no_change(tmp_path, csv):
    times, contents = saved(data_of(csv), "times"), saved(data_of(csv), "contents")
    moved = tmp_path / "elsewhere"
    shutil.copytree(csv.parent, moved)  # keeps the times
    for before in (times, contents):
        data_of(moved / "pairs.csv").require_same(before, tmp_path, accept=False)
    touched(csv)
    data_of(csv).require_same(contents, tmp_path, accept=False)  # as the checkpoint was made
    csv.write_text("\n".join(csv.read_text().splitlines()) + "\n\n")
    data_of(csv).require_same(contents, tmp_path, accept=False)


def embedded(folder, time):
    save_png(folder / "a.png", np.zeros((16, 16, 3), np.uint8))
    os.utime(folder / "a.png", ns=(time, time))
    write_manifest(folder / "embedded.csv", [(str(folder / "a.png"), None, "train")])
    return RunData(DataConfig(), read_manifest(folder / "embedded.csv"), None)


def test_the_embedded_photos_may_be_made_anew_in_another_cache(tmp_path):
    before = saved(embedded(tmp_path / "one", 0))
    embedded(tmp_path / "two", 10**18).require_same(before, tmp_path, accept=False)


def test_a_checkpoint_of_before_is_accepted_with_a_line(tmp_path, csv, caplog):
    data_of(csv).require_same(None, tmp_path, accept=False)
    assert "has no fingerprint" in caplog.text


@pytest.mark.parametrize(
    "wrong", [[], {}, {"by": 3}, "x", {"by": "times", "rows": 7, "photos": ""}]
)
def test_a_damaged_fingerprint_is_one_line(tmp_path, csv, wrong):
    with pytest.raises(UserError, match="damaged"):
        data_of(csv).require_same(wrong, tmp_path, accept=False)
