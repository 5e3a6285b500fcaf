"""Photos named in a file: texts, CSV and Parquet, and what is wrong with these."""

import builtins
import os
from pathlib import Path

import pytest

from fftdiff_jax.errors import UserError
from fftdiff_jax.restore.folders import plan
from fftdiff_jax.restore.lists import find_listed


def paths(place, column=None):
    root, found = find_listed(str(place), column)
    return root, [str(one.path) for one in found]


def test_a_text_names_a_photo_a_line(tmp_path):
    odd = os.fsencode(str(tmp_path)) + b"/a/\xff,x.png"
    lines = [b"\xef\xbb\xbfa/b.png", b"", b"a/sub/../b.png\r", odd, "a/雨.jpg ".encode()]
    (tmp_path / "list.txt").write_bytes(b"\n".join(lines))
    root, found = paths(tmp_path / "list.txt")
    assert root == tmp_path / "a"
    assert found == [str(tmp_path / "a" / n) for n in ("b.png", "\udcff,x.png", "雨.jpg ")]


def test_results_lie_as_the_listed_photos_do(tmp_path):
    (tmp_path / "list.txt").write_text("a/x.png\na/deep/x.png\n")
    listed = find_listed(str(tmp_path / "list.txt"))
    jobs = plan("list.txt", tmp_path / "out", listed=listed)
    places = [job.target.relative_to(tmp_path / "out") for job in jobs]
    assert places == [Path("x.png"), Path("deep/x.png")]


TABLE = {
    "image_filepath": ["c.png", "d.png"],
    "image_rain_filepath": ["r.png", None],
    "place": ["p/1.png", "p/2.png"],
    "bytes": [1, 2],
}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_tables_name_photos_in_a_column(tmp_path, kind):
    pandas = pytest.importorskip("pandas")
    place = tmp_path / f"list.{kind}"
    table = pandas.DataFrame(TABLE)
    if kind == "csv":
        table.to_csv(place, index=False)
    else:
        pytest.importorskip("pyarrow")
        table.to_parquet(place)
    assert paths(place) == (tmp_path, [str(tmp_path / "r.png")])
    assert paths(place, "place")[1] == [str(tmp_path / "p" / n) for n in ("1.png", "2.png")]
    with pytest.raises(UserError, match="has no column path; choose one with --column; found"):
        find_listed(str(place), "path")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("gone.txt", None, "there is no such file"),
        ("empty.txt", "\n\n", "names no photo"),
        ("zero.txt", "a\0b\n", "zero bytes"),
        ("two.csv", "a,b\nx,y\n", "has several columns; choose one with --column; found a, b"),
        ("none.csv", "", "has several columns; choose one with --column; found none"),
        ("bad.parquet", "no parquet", "cannot be read as Parquet"),
        ("folder.txt", Path.mkdir, "is no plain file"),
    ],
)
def test_wrong_lists_are_one_line(tmp_path, name, text, said):
    place = tmp_path / name
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    if callable(text):
        text(place)
    elif text is not None:
        place.write_text(text)
    with pytest.raises(UserError, match=said) as error:
        find_listed(str(place))
    assert len(str(error.value).splitlines()) == 1
    assert name in str(error.value)


def test_a_column_of_a_text_is_refused(tmp_path):
    (tmp_path / "list.txt").write_text("a.png\n")
    with pytest.raises(UserError, match=r"--column=x: is for tables"):
        find_listed(str(tmp_path / "list.txt"), "x")


def test_without_pyarrow_one_line_says_what_to_install(tmp_path, monkeypatch):
    usual = builtins.__import__

    def without(name, *rest, **named):
        if name.startswith("pyarrow"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return usual(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    (tmp_path / "list.parquet").write_bytes(b"")
    with pytest.raises(UserError, match="pip install pyarrow, or save the list as CSV"):
        find_listed(str(tmp_path / "list.parquet"))
