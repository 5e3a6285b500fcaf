"""Names and tables of several models."""

import pytest

from fftdiff_jax.evaluation.models import Comparison, Entry, Model, distinct_names
from tests.fakes import BlurringRestorer


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["runs/a", "runs/b"], ["a", "b"]),
        (["one/run", "two/run"], ["one_run", "two_run"]),
        (["runs/a/checkpoints/500", "runs/b/checkpoints/500"],
         ["a_checkpoints_500", "b_checkpoints_500"]),
        (["runs/a", "runs/a"], ["a_1", "a_2"]),
        (["x/a", "a"], ["x_a", None]),
    ],
)  # fmt: skip
def test_names_are_as_short_as_they_can_be_told_apart(paths: list, names: list) -> None:
    found = distinct_names(paths)
    assert len(set(found)) == len(found)
    assert all("/" not in name for name in found)
    for name, expected in zip(found, names, strict=True):
        assert expected in (None, name)


def summary(psnr: float, **more: object) -> dict:
    scores = {"psnr_y": psnr, "ssim_y": 0.8, "psnr_rgb": psnr - 2, "ssim_rgb": 0.7}
    return {
        "num_images": 3, "steps": 4, "draws": 2, "seconds_per_image": 1.5,
        "rainy": {**scores, "psnr_y": 22.0}, "restored": scores,
        "gain": {"psnr_y": psnr - 22}, "intervals": {}, **more,
    }  # fmt: skip


def test_the_table_says_what_is_known(tmp_path) -> None:
    calibrated = {"scalar": 1.5, "coverage": {"80": 0.6}, "calibrated_coverage": {"80": 0.79}}
    entries = (
        Entry("a", BlurringRestorer(), tmp_path, summary(25.0)),
        Entry(
            "longer name",
            BlurringRestorer(),
            tmp_path,
            summary(24.0, intervals={"gain": {"psnr_y": [1.0, 3.0]}}, calibration=calibrated),
        ),
    )
    lines = Comparison(entries, ()).text().splitlines()
    assert [len(line) for line in lines[2:4]] == [len(lines[0])] * 2
    assert lines[1].split() == ["rainy", "22.00", "0.8000", "23.00", "0.7000"]
    assert lines[2].split()[:4] == ["a", "4", "2", "25.00"]
    assert lines[4] == "a: +3.00 dB on Y"
    assert "(95 %: +1.00 to +3.00)" in lines[5]
    assert "hold 60 % of the pixels, 79 % when multiplied by 1.50" in lines[5]


def test_results_of_another_way_to_sample_are_not_mixed_with_these(tiny_restorer) -> None:
    """Whether the way is asked for, or is the weights' own."""
    usual = Model.of(tiny_restorer).digest()
    asked = Model.of(tiny_restorer, mirror=True).digest()
    own = Model.of(tiny_restorer.with_sampling(mirror=True)).digest()
    assert asked == own != usual
    assert Model.of(tiny_restorer, mirror=False).digest() == usual
    # Steps and draws are told apart by the table itself.
    assert Model.of(tiny_restorer.with_sampling(steps=4, draws=8)).digest() == usual
