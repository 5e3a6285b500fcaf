"""The table of a comparison says what its rows hold."""

from fftdiff_jax.figures.recipes import comparison_figure, comparison_table


def _row(recipe: str, seed: int, trained: int, psnr: float) -> dict:
    return {
        "recipe": recipe,
        "seed": seed,
        "training_steps": trained,
        "steps": 1,
        "draws": 1,
        "noise_scale": 1.0,
        "psnr_y": psnr,
    }


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|\n").split("|")]


def test_seeds_are_one_line_with_mean_and_deviation():
    rows = [_row("a", 0, 90, 24.0), _row("a", 1, 90, 24.0), _row("a", 2, 120, 27.0)]
    rows += [_row("b", 0, 100, 25.0), _row("b", 1, 100, 25.0)]
    head, _, first, second = comparison_table(rows).splitlines()
    shown = dict(zip(_cells(head), _cells(first), strict=True))
    assert shown["recipe"] == "a"
    assert shown["seeds"] == "3"
    assert shown["training steps"] == "100 ± 17"  # of 90, 90 and 120: root of 300
    assert shown["PSNR Y"] == "25.00 ± 1.73"  # of 24, 24 and 27: root of 3
    assert "SSIM Y" not in shown  # no row has it
    shown = dict(zip(_cells(head), _cells(second), strict=True))
    assert (shown["training steps"], shown["PSNR Y"]) == ("100", "25.00 ± 0.00")


def test_the_rainy_photos_were_not_trained():
    line = comparison_table([_row("rainy", 0, 100, 20.0)]).splitlines()[-1]
    assert _cells(line)[:3] == ["rainy", "1", ""]


def test_results_of_before_are_shown_under_the_names_of_today():
    row = _row("a", 0, 90, 24.0) | {"lpips_alexnet": 0.25, "lpips_vgg16": 0.5}
    head, _, line = comparison_table([row]).splitlines()
    shown = dict(zip(_cells(head), _cells(line), strict=True))
    assert (shown["LPIPS"], shown["LPIPS VGG"]) == ("0.2500", "0.5000")
    comparison_figure([row, {**row, "recipe": "rainy", "steps": 0}])
