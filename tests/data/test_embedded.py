"""The data set that needs no download."""

import numpy as np

from fftdiff_jax.data.embedded import embedded_manifest
from fftdiff_jax.data.images import load_photo
from fftdiff_jax.data.manifest import read_manifest


def test_it_is_whole_repeatable_and_reused(tmp_path):
    path = embedded_manifest(tmp_path / "a")
    manifest = read_manifest(path).require_files()
    assert all(row.rainy is None for row in manifest.select("train"))
    assert all(row.rainy is not None for row in manifest.select("val"))
    names = {split: {r.clean.rsplit("/")[-1].split(".")[0].rsplit("_", 1)[0]
                     for r in manifest.select(split)} for split in ("train", "val")}  # fmt: skip
    assert not names["train"] & names["val"]
    assert len(manifest.select("val")) == 12
    for row in manifest.select("val"):
        clean, rainy = load_photo(row.clean), load_photo(row.rainy)
        assert clean.shape == rainy.shape
        assert (clean != rainy).any()

    times = {p: p.stat().st_mtime_ns for p in path.parent.rglob("*.*")}
    assert embedded_manifest(tmp_path / "a") == path
    assert {p: p.stat().st_mtime_ns for p in path.parent.rglob("*.*")} == times

    other = read_manifest(embedded_manifest(tmp_path / "b"))
    for one, two in zip(manifest, other, strict=True):
        np.testing.assert_array_equal(load_photo(one.clean), load_photo(two.clean))
        if one.rainy:
            np.testing.assert_array_equal(load_photo(one.rainy), load_photo(two.rainy))


def test_an_interrupted_writing_is_made_whole(tmp_path):
    path = embedded_manifest(tmp_path)
    path.unlink()  # what is there when the process ended before the manifest was written
    next((path.parent / "val").iterdir()).unlink()
    read_manifest(embedded_manifest(tmp_path)).require_files()
