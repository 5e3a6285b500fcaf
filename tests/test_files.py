"""Tables and temporary names."""

import csv
import os

import pytest

from fftdiff_jax.data.manifest import read_manifest, write_manifest
from fftdiff_jax.files import csv_text, replacing


def test_no_cell_is_run_by_a_spreadsheet():
    rows = [["=1+1", "+x", "-x", "@x", "\tx", "x=1", "-1.5", "+2", -3, ""]]
    (cells,) = csv.reader(csv_text(rows).splitlines())
    assert cells == ["'=1+1", "'+x", "'-x", "'@x", "'\tx", "x=1", "-1.5", "+2", "-3", ""]


def test_photos_called_like_formulas_keep_their_place_in_a_manifest(tmp_path):
    names = ("=cmd()|1.png", "-a.png", "@b.png", "+c.png")
    rows = [(str(tmp_path / name), None, "") for name in names]
    write_manifest(tmp_path / "pairs.csv", rows)
    text = (tmp_path / "pairs.csv").read_text()
    assert not any(line.startswith(tuple("=+-@")) for line in text.splitlines())
    assert [row.clean for row in read_manifest(tmp_path / "pairs.csv")] == [row[0] for row in rows]


@pytest.mark.parametrize("name", ["N" * 255, "N" * 251 + ".png", "." + "N" * 254])
def test_names_may_be_as_long_as_the_file_system_allows(tmp_path, name):
    with replacing(tmp_path / name) as temporary:
        temporary.write_text("x")
        assert temporary.name.startswith(".")
    assert os.listdir(tmp_path) == [name]
