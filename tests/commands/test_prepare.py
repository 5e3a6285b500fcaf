"""The command line, run as a user runs it: from another folder, in a process of its own."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fftdiff_jax.data.images import load_photo
from fftdiff_jax.data.manifest import read_manifest
from tests.commands import processor_seconds
from tests.data.trees import pairs_csv, photo, save, wet

ROOT = Path(__file__).parents[2]


@pytest.fixture
def prepare(tmp_path):
    def run(*flags):
        return subprocess.run(
            [sys.executable, "-m", "experiments.prepare", *flags],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), "PATH": "", "JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


def refuses(result, *parts):
    assert result.returncode == 1
    (line,) = [line for line in result.stderr.replace("\r", "\n").splitlines() if "error" in line]
    assert line.startswith("error: ")
    assert "Traceback" not in result.stderr
    for part in parts:
        assert part in line


def done(result):
    assert result.returncode == 0, result.stderr
    return result.stdout


def rain1400(root, scenes=6, rains=3):
    for scene in range(scenes):
        clean = photo(70, 80, seed=scene)
        save(root / f"ground_truth/{scene}.jpg", clean, quality=95)
        for i in range(rains):
            save(root / f"rainy_image/{scene}_{i + 1}.jpg", wet(clean, seed=i), quality=95)


def test_rain1400_is_split_by_scene_and_reported(prepare, tmp_path):
    rain1400(tmp_path / "data")
    # Scene 6 is scene 0 again, smaller and compressed harder.
    again = Image.fromarray(photo(70, 80, seed=0)).resize((76, 66))
    again.save(tmp_path / "data/ground_truth/6.jpg", quality=60)
    save(tmp_path / "data/rainy_image/6_1.jpg", wet(np.asarray(again)), quality=60)
    save(tmp_path / "data/ground_truth/7.jpg", photo(70, 80, seed=7))
    said = done(prepare("--layout=rain1400", "--root=data", "--output=out/rain.csv",
                        "--val_share=0.3"))  # fmt: skip
    manifest = read_manifest(tmp_path / "out/rain.csv").require_files()
    assert len(manifest) == 19
    report = json.loads((tmp_path / "out/rain_report.json").read_text())
    assert report["pairs"] == 19
    assert [Path(path).name for path in report["unpaired"]] == ["7.jpg"]
    assert len(report["near_duplicates"]) == 1
    splits = {}
    for row in manifest:
        splits.setdefault(Path(row.clean).stem, set()).add(row.split)
        assert Path(row.rainy).stem.split("_")[0] == Path(row.clean).stem
    assert all(len(found) == 1 for found in splits.values())
    assert splits["0"] == splits["6"]
    assert {row.split for row in manifest} == {"train", "val"}
    val = len(manifest.select("val"))
    assert f"val: {val} pairs" in said
    assert "2 clean photos show 1 scene (such as ground_truth/0.jpg, ground_truth/6.jpg)" in said
    assert "without a partner: 1 photo (" in said
    assert f"manifest: {tmp_path / 'out/rain.csv'} (19 pairs)" in said

    first = (tmp_path / "out/rain.csv").read_bytes()
    done(prepare("--layout=rain1400", "--root=data", "--output=out/rain.csv", "--val_share=0.3"))
    assert (tmp_path / "out/rain.csv").read_bytes() == first


@pytest.mark.parametrize("swap", [False, True])
def test_rain800_pictures_are_separated_without_loss(prepare, tmp_path, swap):
    for i in range(4):
        clean = photo(70, 80, seed=i)
        halves = [clean, wet(clean)]
        if i == 3:
            halves.insert(1, clean[:, :1])  # an odd width: the middle column belongs to neither
        save(tmp_path / f"data/{i}.png", np.concatenate(halves, axis=1))
    done(prepare("--layout=rain800", "--root=data", "--output=data/m.csv", f"--swap={swap}"))
    manifest = read_manifest(tmp_path / "data/m.csv").require_files()
    assert len(manifest) == 4
    for i, row in enumerate(manifest):
        clean = photo(70, 80, seed=i)
        left, right = (row.rainy, row.clean) if swap else (row.clean, row.rainy)
        np.testing.assert_array_equal(load_photo(left), clean)
        np.testing.assert_array_equal(load_photo(right), wet(clean))
    # Again: neither the halves that were written nor the manifest are taken for pictures.
    done(prepare("--layout=rain800", "--root=data", "--output=data/m.csv", f"--swap={swap}"))
    assert len(read_manifest(tmp_path / "data/m.csv")) == 4


def test_a_scenes_file_decides(prepare, tmp_path):
    for i in range(3):
        clean = photo(70, 80, seed=i // 2)  # 0 and 1 look the same, but are said to differ
        save(tmp_path / f"data/pairs/{i}.png", np.concatenate([clean, wet(clean, i)], axis=1))
    scenes = tmp_path / "data/scenes.csv"
    scenes.write_text(
        "file,scene,split\npairs/0.png,a,train\npairs/1.png,b,val\npairs/2.png,c,val\n"
    )
    said = done(prepare("--layout=rain800", "--root=data", "--output=m.csv"))
    assert [row.split for row in read_manifest(tmp_path / "m.csv")] == ["train", "val", "val"]
    assert "warning: 1 times near-duplicates lie in different splits, as scenes.csv says" in said
    # The same from the folder below; a scenes.csv above that is about other photos is left alone.
    said = done(prepare("--layout=rain800", "--root=data/pairs", "--output=below.csv"))
    assert f"as {scenes} says" in said
    assert [row.split for row in read_manifest(tmp_path / "below.csv")] == ["train", "val", "val"]
    (tmp_path / "scenes.csv").write_text("file,scene,split\nother.png,a,train\n")
    scenes.rename(tmp_path / "kept.csv")
    done(prepare("--layout=rain800", "--root=data", "--output=alone.csv"))
    first, second, _ = read_manifest(tmp_path / "alone.csv")
    assert first.split == second.split  # near-duplicates
    scenes.write_text("file,scene,split\npairs/0.png,a,train\npairs/1.png,b,val\n")
    refuses(
        prepare("--layout=rain800", "--root=data", "--output=m.csv"), "nothing about pairs/2.png"
    )


def test_folders_called_train_and_test_are_the_splits(prepare, tmp_path):
    """A published test set is not trained on, and it is said what was done."""
    for split, numbers in (("train", range(10)), ("data_test", range(10, 13))):
        for i in numbers:
            clean = photo(70, 80, seed=i if i < 12 else 0)  # the last one is a training photo
            save(tmp_path / f"data/{split}/gt/{i}.png", clean)
            save(tmp_path / f"data/{split}/input/{i}.png", wet(clean))
    command = ("--layout=folders", "--root=data", "--output=m.csv", "--val_share=0.2")
    said = done(prepare(*command))
    splits = {int(Path(row.rainy).stem): row.split for row in read_manifest(tmp_path / "m.csv")}
    assert [splits[i] for i in (10, 11, 12)] == ["test"] * 3
    assert sorted(splits[i] for i in range(10)) == ["train"] * 8 + ["val"] * 2
    assert "splits: as folders called train, val and test say" in said
    assert "test: 3 pairs of 3 scenes" in said
    assert "different splits, as folders say (data_test/gt/12.png and train/gt/0.png)" in said
    said = done(prepare(*command, "--nofolder_splits"))
    assert {row.split for row in read_manifest(tmp_path / "m.csv")} == {"train", "val"}
    assert "splits: as folders" not in said


def test_bad_pairs_are_left_out_and_listed_with_reasons(prepare, tmp_path):
    rain1400(tmp_path / "data", scenes=9, rains=1)
    rainy = tmp_path / "data/rainy_image"
    whole = (rainy / "0_1.jpg").read_bytes()
    (rainy / "0_1.jpg").write_bytes(whole[: len(whole) // 2])
    (rainy / "1_1.jpg").write_bytes(b"")
    save(rainy / "2_1.jpg", photo(71, 80))
    (rainy / "3_1.jpg").write_bytes((tmp_path / "data/ground_truth/3.jpg").read_bytes())
    save(tmp_path / "data/ground_truth/4.jpg", photo(30, 80))
    save(rainy / "4_1.jpg", wet(photo(30, 80)))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(wet(photo(70, 80, seed=5))).save(rainy / "5_1.jpg", exif=exif)
    turned = np.ascontiguousarray(np.rot90(wet(photo(70, 80, seed=6))))
    Image.fromarray(turned).save(rainy / "6_1.jpg", exif=exif)  # upright again: a good pair
    save(tmp_path / "data/ground_truth/9.jpg", photo(70, 80, seed=9))
    os.mkfifo(rainy / "9_1.jpg")  # would be waited for without an end
    for folder, name in (("ground_truth", b"\xff.jpg"), ("rainy_image", b"\xff_1.jpg")):
        path = os.fsencode(tmp_path / "data" / folder) + b"/" + name
        Image.fromarray(photo(70, 80, seed=len(name))).save(path)
    said = done(prepare("--layout=rain1400", "--root=data", "--output=m.csv"))
    assert [Path(row.clean).stem for row in read_manifest(tmp_path / "m.csv")] == ["6", "7", "8"]
    assert "refused: 8 pairs" in said
    with open(tmp_path / "m_refused.csv", newline="") as file:
        reasons = {Path(row["image_filepath"]).stem: row["reason"] for row in csv.DictReader(file)}
    assert "damaged" in reasons["0"]
    assert "not a picture" in reasons["1"]
    assert (
        reasons["2"]
        == "the clean photo is 80 x 70 and the rainy one 80 x 71 pixels; they must be equal"
    )
    assert "the same" in reasons["3"]
    assert reasons["4"] == "80 x 30 pixels are smaller than a crop of 64"
    assert (
        reasons["5"]
        == "the clean photo is 80 x 70 and the rainy one 70 x 80 pixels; they must be equal"
    )
    assert "a pipe" in reasons["9"]
    assert reasons["\\udcff"] == "a name is not valid Unicode; rename the file"
    assert len(reasons) == 8

    done(prepare("--layout=rain1400", "--root=data", "--output=m.csv", "--nocheck"))
    assert len(read_manifest(tmp_path / "m.csv")) == 10
    assert "Unicode" in (tmp_path / "m_refused.csv").read_text()
    refuses(
        prepare("--layout=rain1400", "--root=data", "--output=n.csv", "--crop_size=500"),
        "all 11 pairs were refused",
        "n_refused.csv",
    )
    assert not (tmp_path / "n.csv").exists()


def test_other_layouts(prepare, tmp_path):
    for i in range(3):
        clean = photo(70, 80, seed=i)
        save(tmp_path / f"a/norain-{i}.png", clean)
        save(tmp_path / f"a/rainy/rain-{i}.png", wet(clean))
        save(tmp_path / f"b/gt/{i}.png", clean)
        save(tmp_path / f"b/input/{i}.jpg", wet(clean))
        save(tmp_path / f"c/p{i}_dry.png", clean)
        save(tmp_path / f"c/p{i}_wet.png", wet(clean))
    done(prepare("--layout=rain100", "--root=a", "--output=a.csv", "--val_share=0"))
    done(prepare("--layout=folders", "--root=b", "--output=b.csv", "--val_share=1"))
    done(prepare("--layout=regex", "--root=c", r"--rainy=(p\d)_wet\.png", r"--clean=\1_dry.png",
                 "--output=c.csv"))  # fmt: skip
    for name, splits in (("a", {"train"}), ("b", {"val"}), ("c", {"train", "val"})):
        manifest = read_manifest(tmp_path / f"{name}.csv").require_files()
        assert len(manifest) == 3
        assert {row.split for row in manifest} == splits


def test_shards_spectra_and_statistics_of_a_manifest(prepare, tmp_path):
    pairs_csv(tmp_path, count=3, split=lambda i: ["train", "val"][i == 2])
    said = done(prepare("--output=pairs.csv", "--tfds", "--export-spectra", "--statistics"))
    assert list((tmp_path / "pairs_tfds").rglob("*.array_record*"))
    with open(tmp_path / "pairs_spectra/spectra.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    with np.load(tmp_path / "pairs_spectra" / rows[0]["diff_npz_filepath"]) as arrays:
        assert arrays["mag_and_phase"].shape == (40, 48, 6)
    statistics = json.loads((tmp_path / "pairs_statistics.json").read_text())
    assert statistics["pairs"] == 2  # of the train split
    assert (tmp_path / "pairs_statistics.png").stat().st_size > 10_000
    assert "rain spectrum: (" in said


MISTAKES = {
    "nothing to do": (["--output=m.csv"], ["nothing to do"]),
    "no layout": (["--root=.", "--output=m.csv"], ["--layout is missing"]),
    "no such root": (["--layout=rain100", "--root=x", "--output=m.csv"], ["no such folder"]),
    "not a csv": (["--layout=rain100", "--root=.", "--output=m.txt"], ["must end in .csv"]),
    "no such manifest": (["--output=none.csv", "--tfds"], ["there is no such manifest"]),
    "a stray word": (["--output=m.csv", "tfds"], ["unexpected argument 'tfds'"]),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_mistakes_are_one_line(prepare, tmp_path, kind):
    flags, parts = MISTAKES[kind]
    refuses(prepare(*flags), *parts)
    assert list(tmp_path.iterdir()) == []


def test_help_is_quick(prepare):
    begin = processor_seconds()
    result = prepare("--help")
    assert processor_seconds() - begin < 1
    assert "rain1400   ground_truth/901.jpg" in result.stdout
