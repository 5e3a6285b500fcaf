"""What the figures show, read back from the figures."""

import subprocess
import sys
from pathlib import Path

import matplotlib.figure
import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image
from skimage import data as photos

from fftdiff_jax import figures
from fftdiff_jax.errors import UserError
from fftdiff_jax.metrics import calibration


def curves(figure: matplotlib.figure.Figure, axes: int = 0) -> dict[str, np.ndarray]:
    """The labelled lines of one axes as (points, 2)."""
    lines = figure.axes[axes].get_lines()
    return {str(line.get_label()): np.asarray(line.get_xydata()) for line in lines}


def titles(figure: matplotlib.figure.Figure) -> list[str]:
    return [ax.get_title() for ax in figure.axes if ax.get_title()]


def panel(figure: matplotlib.figure.Figure, title: str) -> Axes:
    return next(ax for ax in figure.axes if ax.get_title().startswith(title))


def cat(height: int = 45, width: int = 61) -> np.ndarray:
    return photos.chelsea()[100 : 100 + height, 150 : 150 + width]


def test_figures_need_no_display_and_leave_no_state() -> None:
    code = "import sys, fftdiff_jax.figures; print('matplotlib.pyplot' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_saving_is_whole_or_not_at_all(tmp_path: Path) -> None:
    figure = figures.gains(np.array([20.0, 25.0]), np.array([22.0, 27.0]))
    figures.save(tmp_path / "new" / "gains.png", figure)
    with Image.open(tmp_path / "new" / "gains.png") as picture:
        assert picture.width > 500
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written"):
        figures.save(tmp_path / "file" / "gains.png", figure)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "new"]


@pytest.mark.parametrize("degrees", [0.0, 20.0, -35.0, 80.0])
def test_rain_is_found_at_the_angle_where_it_is(degrees: float) -> None:
    rows, columns = np.meshgrid(
        *(np.fft.fftshift(np.fft.fftfreq(size)) for size in (129, 128)), indexing="ij"
    )
    direction = np.deg2rad(degrees)
    # A wave whose crests march towards `degrees`, counted upwards from the right.
    along = columns * np.cos(direction) - rows * np.sin(direction)
    aside = columns * np.sin(direction) + rows * np.cos(direction)
    log_ratio = np.exp(-((np.abs(aside) / (0.1 * np.abs(along) + 1e-3)) ** 2))
    figure = figures.where_rain_lives(log_ratio)
    for label, points in curves(figure, 1).items():
        if label.startswith("1/4") or label.startswith("1/8"):
            assert abs(points[points[:, 1].argmax(), 0] - degrees) <= 5
            assert points[:, 1].max() == pytest.approx(20 / np.log(10), rel=0.25)


def test_errors_are_drawn_as_root_mean_squares() -> None:
    edges = calibration.FREQUENCIES
    power = np.geomspace(1, 1e-4, len(edges) - 1)
    power[0] = np.nan  # a ring that no photo had
    lines = curves(figures.error_by_frequency(edges, 4 * power, power, np.zeros(0)))
    assert set(lines) == {"rainy", "restored"}
    np.testing.assert_allclose(lines["rainy"][:, 1], 2 * np.sqrt(power[1:]))
    assert lines["restored"][0, 0] == pytest.approx(1.5 / 64)
    assert "spread of the draws" in curves(figures.error_by_frequency(edges, power, power, power))


def test_an_honest_spread_lies_on_the_diagonal() -> None:
    edges = calibration.SPREADS
    share = np.zeros(len(edges) - 1)
    share[10:14] = 0.25
    middles = np.sqrt(edges[1:] * edges[:-1])
    figure = figures.spread_against_error(edges, share, share * middles**2)
    line = next(line for line in figure.axes[0].get_lines() if len(line.get_xdata()) == 4)
    points = np.asarray(line.get_xydata())
    np.testing.assert_allclose(points[:, 0], points[:, 1])
    np.testing.assert_allclose(points[:, 0], 255 * middles[10:14])


def test_coverage_shows_both_curves() -> None:
    lines = curves(figures.coverage([0.5, 0.8], [0.3, 0.6], [0.5, 0.8]))
    np.testing.assert_allclose(lines["as drawn"], [[0.5, 0.3], [0.8, 0.6]])
    np.testing.assert_allclose(lines["after one scalar"], [[0.5, 0.5], [0.8, 0.8]])
    assert "after one scalar" not in curves(figures.coverage([0.5, 0.8], [0.3, 0.6]))


def test_the_dial_joins_the_steps_of_one_model_in_order() -> None:
    points = [
        {"name": "a", "draws": 1, "steps": n, "psnr_y": 24 - n / 10, "lpips": 0.2 - n / 100}
        for n in (4, 1, 8)
    ]
    near = curves(figures.perception_distortion(points, {"psnr_y": 23.0, "lpips": 0.25}))
    np.testing.assert_allclose(near["a, 1 draw"][:, 0], [0.19, 0.16, 0.12])
    best = [{"name": "a", "draws": 0, "steps": 1, "psnr_y": 24.5, "lpips": 0.25}]
    assert "a, best photo" in curves(figures.perception_distortion(best))
    np.testing.assert_allclose(near["rainy photos (0.250, 23.00 dB)"], [[0.25, 23.0]])
    # So far off that the points would fall together: then in the legend alone.
    far = curves(figures.perception_distortion(points, {"psnr_y": 12.0, "lpips": 0.25}))
    assert far["rainy photos (0.250, 12.00 dB)"].size == 0


@pytest.mark.parametrize("shape", [(45, 61), (32, 32), (70, 33)])
def test_pictures_of_any_shape(shape: tuple[int, int], rng: np.random.Generator) -> None:
    clean = cat(*shape)
    rainy = np.clip(clean + 60 * (rng.random((1, shape[1], 1)) > 0.8), 0, 255).astype(np.uint8)
    draws = np.clip(clean / 255 + 0.02 * rng.standard_normal((4, *clean.shape)), 0, 1)
    made = {
        "magnitude ratio": figures.pair_with_spectra(clean, rainy),
        "step 2": figures.sampling_path(rainy, draws[:2], ["step 1", "step 2"]),
        "step 1": figures.sampling_path(rainy, draws[:1], ["step 1"], draws[:1]),
        "t = 1": figures.noising(
            draws, rng.standard_normal((4, *shape, 6)), ["a", "b", "c", "t = 1"]
        ),
        "spread of 4 draws": figures.draws_and_spread(rainy, draws, clean),
        "mean of 4 draws": figures.draws_and_spread(rainy, draws),
        "clean": figures.before_after([("one", [rainy, clean, clean], ["20 dB", "30 dB", ""])]),
    }
    for title, figure in made.items():
        figure.canvas.draw()
        assert title in titles(figure)
    assert "error of their mean" in titles(made["spread of 4 draws"])
    assert "error of their mean" not in titles(made["mean of 4 draws"])


def test_the_spread_map_is_the_standard_deviation_in_grey_levels(rng: np.random.Generator) -> None:
    clean = cat()
    draws = 0.5 + 0.1 * rng.standard_normal((200, 20, 30, 3))
    figure = figures.draws_and_spread(clean[:20, :30], draws)
    shown = panel(figure, "spread of 200").images[0].get_array()
    assert np.mean(shown) == pytest.approx(25.5, rel=0.02)


def test_equal_photos_make_no_empty_scale() -> None:
    photo = np.full((16, 20, 3), 128, np.uint8)
    figures.pair_with_spectra(photo, photo).canvas.draw()
    figures.draws_and_spread(photo, np.full((2, 16, 20, 3), 0.5), photo).canvas.draw()


def test_maps_say_their_units_and_phases_are_cyclic() -> None:
    """Every colour bar has a unit; -pi and pi share a colour, and no mean of angles is drawn."""
    clean = cat()
    figure = figures.pair_with_spectra(clean, np.roll(clean, 3, axis=1))
    bars = [ax for panel in figure.axes for ax in panel.child_axes]
    assert sorted(bar.get_ylabel() for bar in bars) == [
        *["dB"] * 3,
        "grey levels",
        *["radians"] * 3,
    ]
    phase = panel(figure, "phase difference").images[0]
    np.testing.assert_allclose(phase.to_rgba(-np.pi), phase.to_rgba(np.pi), atol=0.02)
    assert phase.get_interpolation() == "nearest"
    assert phase.norm.vmin == pytest.approx(-np.pi)


def test_a_path_is_measured_against_the_rainy_photo() -> None:
    """Half the brightness is 6 dB less at every frequency."""
    photo = cat() / 255
    figure = figures.sampling_path(photo, photo[None] / 2, ["step 1"])
    change = figure.axes[5].images[0].get_array()
    assert np.median(change) == pytest.approx(-6.02, abs=0.05)


def test_colour_bars_are_as_tall_as_their_maps() -> None:
    clean = cat(40, 80)
    figure = figures.pair_with_spectra(clean, clean // 2)
    figure.canvas.draw()
    for ax in figure.axes:
        for bar in ax.child_axes:
            heights = [a.get_window_extent().height for a in (ax, bar)]
            assert heights[0] == pytest.approx(heights[1], rel=0.02)
