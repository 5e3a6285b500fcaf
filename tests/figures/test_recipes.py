"""The table of a comparison says what its rows hold."""

from fftdiff_jax.figures.recipes import comparison_figure, comparison_table


def _row(recipe: str, seed: int, trained: int, psnr: float) -> dict:
    return {
        "recipe": recipe,
        "seed": seed,
        "training_steps": trained,
        "steps": 1,
        "draws": 0,
        "realism": 1.0,
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


def test_a_star_is_the_first_estimate_and_lines_are_draws():
    first = _row("a", 0, 90, 24.0) | {"lpips_vgg": 0.3}
    rows = [
        first,
        {**first, "recipe": "b", "psnr_y": 23.0},
        {**first, "recipe": "rainy", "steps": 0},
    ]
    for realism in (0.5, 1.0):
        for steps in (2, 1):
            drawn = {"steps": steps, "draws": 4, "realism": realism, "psnr_y": 20 + realism + steps}
            rows.append({**first, **drawn})
    figure = comparison_figure(rows)
    lines = {line.get_label(): line for line in figure.axes[0].get_lines()}
    assert set(lines) == {"a", "a, realism 0.5", "a, draws", "b", "rainy: 24.00 dB, 0.300"}
    points = {name: line.get_xydata().tolist() for name, line in lines.items()}
    assert points["a"] == [[1, 24]]
    assert points["b"] == [[1, 23]]
    assert points["a, realism 0.5"] == [[1, 21.5], [2, 22.5]]
    assert points["a, draws"] == [[1, 22], [2, 23]]
    assert lines["a"].get_marker() == lines["b"].get_marker() == "*"
    assert [lines[f"a, {x}"].get_linestyle() for x in ("draws", "realism 0.5")] == ["-", "--"]
    assert {lines[x].get_color() for x in ("a", "a, draws")} == {lines["a"].get_color()}


def test_realism_is_that_of_draws():
    rows = [_row("a", 0, 90, 24.0), _row("a", 0, 90, 22.0) | {"draws": 4, "realism": 0.5}]
    head, _, *lines = comparison_table(rows).splitlines()
    shown = [dict(zip(_cells(head), _cells(line), strict=True)) for line in lines]
    assert [(line["realism"], line["draws"]) for line in shown] == [("", "0"), ("0.5", "4")]
