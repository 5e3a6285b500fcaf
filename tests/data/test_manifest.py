"""The CSV: what is read back is what was written, from any folder."""

import os
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fftdiff_jax.data.manifest import portable_path, read_manifest, write_manifest
from fftdiff_jax.errors import UserError

NAMES = st.text(string.ascii_letters + string.digits + " ,\"'äß雨-_", min_size=1, max_size=12).map(
    lambda text: "p" + text.strip() + ".png"
)


@given(
    rows=st.lists(st.tuples(NAMES, st.none() | NAMES, st.sampled_from(["train", "val"])),
                  min_size=1, max_size=8, unique_by=lambda row: row[:2]),
)  # fmt: skip
@settings(deadline=None)
def test_what_is_written_is_read(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("m")
    absolute = [(str(folder / c), r and str(folder / r), split) for c, r, split in rows]
    write_manifest(folder / "m.csv", absolute)
    manifest = read_manifest(folder / "m.csv")
    assert [(row.clean, row.rainy, row.split) for row in manifest] == absolute
    assert [row.number for row in manifest] == list(range(2, len(rows) + 2))
    assert manifest.has_splits


def test_paths_are_relative_to_the_csv_not_to_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/m.csv").write_text(
        "image_filepath,image_rain_filepath\nclean/a.png,../b.png\n/abs/c.png,\n"
    )
    monkeypatch.chdir(tmp_path)
    first, second = read_manifest("data/m.csv")
    assert first.clean == str(tmp_path / "data/clean/a.png")
    assert first.rainy == str(tmp_path / "b.png")
    assert (second.clean, second.rainy) == ("/abs/c.png", None)


def test_a_moved_data_set_still_works(tmp_path):
    write_manifest(tmp_path / "a/m.csv", [(str(tmp_path / "a/x.png"), None, "")])
    os.rename(tmp_path / "a", tmp_path / "b")
    (row,) = read_manifest(tmp_path / "b/m.csv")
    assert row.clean == str(tmp_path / "b/x.png")


def test_spreadsheets_may_add_a_mark_columns_and_their_line_ends(tmp_path):
    text = (
        "\ufeffnote,image_rain_filepath,image_filepath\r\nx, r.png ,c.png\r\n\r\ny,r2.png,c.png\r\n"
    )
    (tmp_path / "m.csv").write_bytes(text.encode())
    manifest = read_manifest(tmp_path / "m.csv")
    assert [os.path.basename(row.rainy) for row in manifest] == ["r.png", "r2.png"]
    assert [row.number for row in manifest] == [2, 4]  # the lines an editor shows
    assert not manifest.has_splits


def test_splits_are_selected_and_a_manifest_without_them_belongs_to_all(tmp_path):
    path = tmp_path / "m.csv"
    write_manifest(path, [("/a", "/b", "train"), ("/c", "/d", "val"), ("/e", "/f", "train")])
    assert [row.clean for row in read_manifest(path, "train")] == ["/a", "/e"]
    assert len(read_manifest(path, "val")) == 1
    with pytest.raises(UserError, match="no row has the split 'test'; found train: 2, val: 1"):
        read_manifest(path, "test")
    write_manifest(path, [("/a", "/b", "")])
    assert len(read_manifest(path, "val")) == 1


def test_the_first_missing_file_is_named_with_its_row(tmp_path):
    (tmp_path / "a.png").write_text("")
    write_manifest(tmp_path / "m.csv", [(str(tmp_path / n), None, "") for n in ("a.png", "b", "c")])
    with pytest.raises(UserError, match=r"row 3: there is no file .*b \(and 1 more files\)"):
        read_manifest(tmp_path / "m.csv").require_files()


def test_nothing_is_written_for_no_pairs(tmp_path):
    with pytest.raises(UserError, match="no pairs"):
        write_manifest(tmp_path / "m.csv", [])
    assert list(tmp_path.iterdir()) == []


def test_portable_paths(tmp_path):
    assert portable_path(tmp_path / "a/b.png", tmp_path) == "a/b.png"
    assert portable_path("/x/b.png", tmp_path) == "/x/b.png"
