"""An evaluation that was interrupted, shared or begun by an earlier version goes on."""

import csv
from pathlib import Path

import numpy as np
import pytest

from fftdiff_jax.data.manifest import Manifest
from fftdiff_jax.errors import UserError
from fftdiff_jax.evaluation.records import ResultFolder, read_results
from tests.evaluation import evaluate, table, without_seconds
from tests.fakes import BlurringRestorer


def test_an_interrupted_evaluation_goes_on(manifest: Manifest, tmp_path: Path) -> None:
    whole = evaluate(BlurringRestorer(), manifest, tmp_path / "whole", lpips_nets=())
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        evaluate(BlurringRestorer(stop_after=3), manifest, out, lpips_nets=())
    assert len(table(out)) == 2  # the first call compiles
    assert not (out / "summary.json").exists()
    for name in ("metrics.csv", "diagnostics.jsonl"):
        with open(out / name, "a") as file:
            file.write("pairs/rainy 2.png,4,4")  # what a crash in the middle of a line leaves
    restorer = BlurringRestorer()
    again = evaluate(restorer, manifest, out, lpips_nets=())
    assert len(restorer.calls) == 1 + 3
    assert without_seconds(table(out)) == without_seconds(table(tmp_path / "whole"))
    assert whole is not None
    assert again is not None
    assert again["restored"] == whole["restored"]
    finished = BlurringRestorer()
    evaluate(finished, manifest, out, lpips_nets=())
    assert finished.calls == []


def test_a_photo_with_half_of_its_record_is_restored_again(
    manifest: Manifest, tmp_path: Path
) -> None:
    evaluate(BlurringRestorer(), manifest, tmp_path, lpips_nets=())
    before = without_seconds(table(tmp_path))
    details = tmp_path / "diagnostics.jsonl"
    lines = details.read_text().splitlines(keepends=True)
    details.write_text("".join(lines[:2] + lines[3:]))
    restorer = BlurringRestorer()
    evaluate(restorer, manifest, tmp_path, lpips_nets=())
    assert restorer.calls[1:] == [(48, 48, 3)]
    summary, results = read_results(tmp_path)
    assert summary["num_images"] == len(results) == 5
    assert without_seconds(table(tmp_path)) == before


def test_a_larger_limit_goes_on(manifest: Manifest, tmp_path: Path) -> None:
    two = evaluate(BlurringRestorer(), manifest, tmp_path, limit=2, lpips_nets=())
    restorer = BlurringRestorer()
    five = evaluate(restorer, manifest, tmp_path, lpips_nets=())
    assert two is not None
    assert five is not None
    assert (two["num_images"], five["num_images"]) == (2, 5)
    assert len(restorer.calls) == 1 + 3


@pytest.mark.parametrize(
    "options",
    [{"steps": 3}, {"draws": 2}, {"seed": 1}, {"lpips_nets": ("alexnet",)}, {"model": "other"}],
)
def test_results_of_other_settings_are_not_mixed(
    manifest: Manifest, tmp_path: Path, options: dict
) -> None:
    evaluate(BlurringRestorer(), manifest, tmp_path, limit=1, lpips_nets=())
    before = table(tmp_path)
    with pytest.raises(UserError, match=f"holds results of {next(iter(options))[:5]}") as refusal:
        evaluate(BlurringRestorer(), manifest, tmp_path, limit=1, **{"lpips_nets": ()} | options)
    assert "\n" not in str(refusal.value)
    assert table(tmp_path) == before


def test_restart_discards_what_was_there(manifest: Manifest, tmp_path: Path) -> None:
    evaluate(BlurringRestorer(), manifest, tmp_path / "out", lpips_nets=())
    summary = evaluate(
        BlurringRestorer(),
        manifest,
        tmp_path / "out",
        lpips_nets=(),
        steps=5,
        limit=2,
        restart=True,
    )
    assert summary is not None
    assert summary["steps"] == 5
    assert len(table(tmp_path / "out")) == 2
    assert len(list((tmp_path / "out" / "restored").iterdir())) == 2


def test_a_folder_with_another_table_is_left_alone(manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,loss\n1,0.5\n")
    for restart in (False, True):
        with pytest.raises(UserError, match=r"has a metrics\.csv that no evaluation wrote"):
            evaluate(BlurringRestorer(), manifest, tmp_path, restart=restart)
    assert (tmp_path / "metrics.csv").read_text() == "step,loss\n1,0.5\n"


@pytest.mark.parametrize("count", [2, 7])
def test_processes_share_the_pairs_and_the_last_one_merges(
    manifest: Manifest, tmp_path: Path, count: int
) -> None:
    single = evaluate(BlurringRestorer(), manifest, tmp_path / "single", lpips_nets=())
    merged = []
    seen = 0
    for index in reversed(range(count)):
        restorer = BlurringRestorer()
        merged.append(
            evaluate(
                restorer,
                manifest,
                tmp_path / "shared",
                lpips_nets=(),
                process=(index, count),
            )
        )
        seen += max(0, len(restorer.calls) - 1)
    assert seen == 5
    assert merged[:-1] == [None] * (count - 1)
    assert merged[-1] is not None
    assert single is not None
    assert merged[-1]["restored"] == single["restored"]
    expected = without_seconds(table(tmp_path / "single"))
    assert without_seconds(table(tmp_path / "shared")) == expected


def test_a_damaged_photo_is_named_with_its_row_and_the_others_are_kept(
    manifest: Manifest, tmp_path: Path
) -> None:
    path = Path(str(manifest.rows[2].rainy))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"row 4: .*rainy, 2\.png"):
        evaluate(BlurringRestorer(), manifest, tmp_path / "out", lpips_nets=())
    assert len(table(tmp_path / "out")) == 2
    path.write_bytes(content)
    restorer = BlurringRestorer()
    evaluate(restorer, manifest, tmp_path / "out", lpips_nets=())
    assert len(restorer.calls) == 1 + 3


def test_records_survive_the_way_to_disk(manifest: Manifest, tmp_path: Path) -> None:
    evaluate(BlurringRestorer(), manifest, tmp_path / "out", draws=4)
    _, results = read_results(tmp_path / "out")
    assert len(results) == 5
    again = ResultFolder(tmp_path / "again")
    again.open({})
    for result in results:
        again.append(result)
    read = again.read()
    for result in results:
        other = read[result.row]
        assert other.file == result.file
        assert other.restored["psnr_y"] == pytest.approx(result.restored["psnr_y"], abs=1e-6)
        np.testing.assert_allclose(
            other.diagnostics.ratio_share, result.diagnostics.ratio_share, rtol=1e-5
        )


def test_a_table_of_before_a_score_was_known_is_read_and_gone_on_with(
    manifest: Manifest, tmp_path: Path
) -> None:
    whole = evaluate(BlurringRestorer(), manifest, tmp_path, lpips_nets=())
    older = [row for row in table(tmp_path) if row["row"] != "6"]
    for row in older:
        for name in ("rainy_tone", "restored_tone"):
            del row[name]
    with open(tmp_path / "metrics.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, older[0])
        writer.writeheader()
        writer.writerows(older)
    _, results = read_results(tmp_path)
    assert all(np.isnan(result.restored["tone"]) for result in results)
    assert all(np.isfinite(result.restored["psnr_y"]) for result in results)
    again = evaluate(BlurringRestorer(), manifest, tmp_path, lpips_nets=())
    assert [row["restored_tone"] != "" for row in table(tmp_path)] == [False] * 4 + [True]
    assert again["restored"] == {k: v for k, v in whole["restored"].items() if k != "tone"}
