"""Tables and temporary names."""

import csv
import os
from pathlib import Path

import pytest

from fftdiff_jax.data.cache import PhotoCache
from fftdiff_jax.data.manifest import Manifest, read_manifest, write_manifest
from fftdiff_jax.data.prepare.scenes import read_scenes
from fftdiff_jax.data.sources.exported import SpectraSource
from fftdiff_jax.errors import UserError
from fftdiff_jax.files import csv_text, read_csv, replacing


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


HEAD = "file,scene,split\n"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ((HEAD + "a\0b,c,d\n").encode(), "a binary file"),
        (HEAD.encode("utf-16"), "not a CSV in UTF-8"),
        (HEAD.encode("utf-16-le"), "a binary file"),
        ((HEAD + "ä,c,d\n").encode("latin-1"), "not a CSV in UTF-8"),
        ((HEAD + "a" * 200_000).encode(), "row 2: is not valid CSV"),
        (None, "is no plain file"),
    ],
    ids=["a zero byte", "utf-16", "utf-16 without a mark", "latin-1", "a long cell", "a device"],
)
def test_what_is_no_csv_is_one_line_whoever_reads_it(tmp_path, data, reason):
    if data is None:
        path = Path("/dev/zero")
        readers = [read_csv, read_manifest, read_scenes]
    else:
        path = tmp_path / "pairs_spectra" / "spectra.csv"
        path.parent.mkdir()
        path.write_bytes(data)
        manifest = Manifest(str(tmp_path / "pairs.csv"), ())
        readers = [
            *(read_csv, read_manifest, read_scenes),
            lambda _: SpectraSource(manifest, PhotoCache(tmp_path, 0)),
        ]
    for read in readers:
        with pytest.raises(UserError, match=reason):
            read(path)


def test_a_csv_of_a_spreadsheet_is_read(tmp_path):
    """With a mark of UTF-8, ends of lines of Windows, a name of two lines, and empty rows."""
    text = "\ufeff" + HEAD.replace("\n", "\r\n") + '"a\nb",1,train\r\n,,\r\n"c, d",2,val\r\n'
    (tmp_path / "a.csv").write_bytes(text.encode())
    assert read_scenes(tmp_path / "a.csv") == {"a\nb": ("1", "train"), "c, d": ("2", "val")}
    assert [line for line, _ in read_csv(tmp_path / "a.csv")] == [1, 3, 5]
