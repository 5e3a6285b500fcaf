"""Evaluation with a restorer that needs no training: scores, pictures, refusals."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fftdiff_jax.data.images import load_photo, save_png
from fftdiff_jax.data.manifest import Manifest, read_manifest, write_manifest
from fftdiff_jax.errors import UserError
from fftdiff_jax.evaluation.evaluate import weights_digest
from fftdiff_jax.evaluation.records import read_results
from fftdiff_jax.evaluation.summary import bootstrap_interval, choose_shown
from fftdiff_jax.metrics import realism
from fftdiff_jax.metrics.scores import score_photos
from fftdiff_jax.pixels import to_uint8
from tests.evaluation import evaluate, table
from tests.fakes import BlurringRestorer


def test_scores_are_those_of_the_saved_photos(manifest: Manifest, tmp_path: Path) -> None:
    summary = evaluate(BlurringRestorer(), manifest, tmp_path / "out", draws=3)
    rows = table(tmp_path / "out")
    assert [row["file"] for row in rows] == [f"pairs/rainy, {i}.png" for i in range(5)]
    assert [row["row"] for row in rows] == ["2", "3", "4", "5", "6"]
    saved = sorted((tmp_path / "out" / "restored").iterdir())
    for row, pair, path in zip(rows, manifest, saved, strict=True):
        clean = load_photo(pair.clean)
        assert (int(row["height"]), int(row["width"])) == clean.shape[:2]
        for kind, photo in (("rainy", load_photo(str(pair.rainy))), ("restored", load_photo(path))):
            for name, value in score_photos(photo, clean).items():
                assert float(row[f"{kind}_{name}"]) == pytest.approx(value, abs=1e-6)
    assert summary is not None
    assert summary == json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["num_images"], summary["steps"], summary["draws"]) == (5, 2, 3)
    for kind in ("rainy", "restored"):
        for name in ("psnr_y", "ssim_y", "psnr_rgb", "ssim_rgb"):
            mean = np.mean([float(row[f"{kind}_{name}"]) for row in rows])
            assert summary[kind][name] == pytest.approx(mean, abs=1e-5)
    low, high = summary["intervals"]["gain"]["psnr_y"]
    assert low < summary["gain"]["psnr_y"] < high
    assert summary["calibration"]["draws"] == 3
    with Image.open(tmp_path / "out" / "before_after.png") as picture:
        assert picture.width > 1000


def test_without_draws_the_best_photo_is_scored(manifest: Manifest, tmp_path: Path) -> None:
    """And nothing is calibrated: it has no spread."""
    restorer = BlurringRestorer()
    summary = evaluate(restorer, manifest, tmp_path, draws=0, limit=1, lpips_nets=())
    assert summary["draws"] == 0
    assert "calibration" not in summary
    photo = load_photo(str(manifest.rows[0].rainy))
    saved = load_photo(next((tmp_path / "restored").iterdir()))
    np.testing.assert_array_equal(saved, to_uint8(restorer.sample_float(photo, draws=0)[0]))
    assert np.abs(restorer.sample_float(photo, draws=1)[0] - saved / 255).max() > 0.01


def test_lpips_is_left_out_where_a_photo_is_too_small(manifest: Manifest, tmp_path: Path) -> None:
    evaluate(BlurringRestorer(), manifest, tmp_path / "out")
    measured = [row["restored_lpips"] != "" for row in table(tmp_path / "out")]
    assert measured == [True, True, True, False, True]
    summary, _ = read_results(tmp_path / "out")
    assert "lpips" not in summary["restored"]  # a mean over other photos would be misread
    three = evaluate(BlurringRestorer(), manifest, tmp_path / "three", limit=3)
    assert three is not None
    assert three["restored"]["lpips"] > 0


@pytest.mark.slow
def test_lpips_with_both_networks(manifest: Manifest, tmp_path: Path) -> None:
    nets = ("vgg16", "alexnet")
    summary = evaluate(BlurringRestorer(), manifest, tmp_path, limit=2, lpips_nets=nets)
    for scores in (summary["restored"], summary["rainy"], summary["gain"]):
        assert {"lpips", "lpips_vgg"} <= set(scores)
    assert summary["restored"]["lpips"] != summary["restored"]["lpips_vgg"]
    with open(tmp_path / "metrics.csv", newline="") as file:
        for row in csv.DictReader(file):
            assert float(row["restored_lpips_vgg"]) > 0
    # Where VGG16 is asked for, sets of photos are compared too: those that are saved.
    saved = [load_photo(path) for path in sorted((tmp_path / "restored").iterdir())]
    rainy, clean = (
        [load_photo(str(getattr(row, kind))) for row in manifest.rows[:2]]
        for kind in ("rainy", "clean")
    )
    for name, shown in (("restored", saved), ("rainy", rainy)):
        found = summary["realism"][name]
        expected = realism.compare(
            *([realism.features(x) for x in some] for some in (shown, clean))
        )
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-3)
    # Of a photo that an earlier version has scored there are no features.
    next((tmp_path / "features").iterdir()).unlink()
    again = evaluate(BlurringRestorer(), manifest, tmp_path, limit=2, lpips_nets=nets)
    assert again["restored"] == summary["restored"]
    assert "realism" not in again
    with pytest.raises(UserError, match="lpips"):
        evaluate(BlurringRestorer(), manifest, tmp_path, limit=2)


def test_an_unknown_network_of_lpips_is_refused(manifest: Manifest, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no network 'resnet'"):
        evaluate(BlurringRestorer(), manifest, tmp_path, lpips_nets=("resnet",))


def test_unequal_sizes_are_refused_before_the_first_photo(
    manifest: Manifest, tmp_path: Path
) -> None:
    path = str(manifest.rows[3].rainy)
    save_png(path, np.zeros((21, 49, 3), np.uint8))
    restorer = BlurringRestorer()
    with pytest.raises(
        UserError, match=r"row 5: .*rainy, 3\.png 49 x 21 pixels; they must be equal"
    ):
        evaluate(restorer, manifest, tmp_path / "out")
    assert restorer.calls == []
    assert not (tmp_path / "out").exists()
    # A limit that leaves the pair out evaluates the others.
    assert evaluate(restorer, manifest, tmp_path / "out", limit=3, lpips_nets=()) is not None


def test_a_pair_without_a_rainy_photo_is_refused(manifest: Manifest, tmp_path: Path) -> None:
    rows = [(row.clean, None if i == 1 else row.rainy, "") for i, row in enumerate(manifest)]
    write_manifest(tmp_path / "some.csv", rows)
    with pytest.raises(UserError, match="row 3: has no rainy photo"):
        evaluate(BlurringRestorer(), read_manifest(tmp_path / "some.csv"), tmp_path / "out")


def test_a_missing_photo_is_refused(manifest: Manifest, tmp_path: Path) -> None:
    Path(manifest.rows[4].clean).unlink()
    with pytest.raises(UserError, match=r"row 6: there is no file .*clean, 4\.png"):
        evaluate(BlurringRestorer(), manifest, tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"draws": -1}, "draws is -1"),
        ({"process": (2, 2)}, "count from 0"),
        ({"restart": True, "process": (0, 2)}, "would discard what other processes do"),
    ],
)
def test_senseless_numbers_are_refused(
    manifest: Manifest, tmp_path: Path, options: dict, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        evaluate(BlurringRestorer(), manifest, tmp_path / "out", **options)


def test_photos_need_not_be_kept(manifest: Manifest, tmp_path: Path) -> None:
    kept = evaluate(BlurringRestorer(), manifest, tmp_path / "kept", lpips_nets=())
    lost = evaluate(
        BlurringRestorer(), manifest, tmp_path / "lost", lpips_nets=(), save_photos=False
    )
    assert kept is not None
    assert lost is not None
    assert kept["restored"] == lost["restored"]
    assert not (tmp_path / "lost" / "restored").exists()
    with (
        Image.open(tmp_path / "kept" / "before_after.png") as a,
        Image.open(tmp_path / "lost" / "before_after.png") as b,
    ):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_the_bootstrap_agrees_with_theory(rng: np.random.Generator) -> None:
    values = rng.normal(3, 2, (400, 2))
    intervals = bootstrap_interval(values)
    assert intervals.shape == (2, 2)
    for column, (low, high) in zip(values.T, intervals, strict=True):
        half = 1.96 * column.std(ddof=1) / np.sqrt(len(column))
        assert low == pytest.approx(column.mean() - half, abs=0.05 * half)
        assert high == pytest.approx(column.mean() + half, abs=0.05 * half)
    # A gain that is the same for every photo is certain, however much the photos differ.
    np.testing.assert_allclose(bootstrap_interval(np.full((30, 1), 1.5)), [[1.5, 1.5]])


def test_worst_median_and_best_are_shown(manifest: Manifest, tmp_path: Path) -> None:
    evaluate(BlurringRestorer(), manifest, tmp_path / "out", lpips_nets=())
    _, results = read_results(tmp_path / "out")
    gains = sorted(result.gain for result in results)
    assert [shown.gain for shown in choose_shown(results)] == [gains[0], gains[2], gains[4]]
    assert len(choose_shown(results[:1])) == 1
    assert len(choose_shown(results[:2])) == 2


def test_digests_tell_weights_apart() -> None:
    weights = {"a": np.arange(4.0), "b": {"c": np.zeros(2)}}
    assert weights_digest(weights) == weights_digest({"b": {"c": np.zeros(2)}, "a": np.arange(4.0)})
    assert weights_digest(weights) != weights_digest({"a": np.arange(4.0), "b": {"c": np.ones(2)}})
    assert weights_digest(weights) != weights_digest({"a": np.arange(4.0), "d": {"c": np.zeros(2)}})
