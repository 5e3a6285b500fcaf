"""The report as a reader sees it: in a browser, by mouse and by keyboard."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fftdiff_jax.data.images import save_png
from fftdiff_jax.data.manifest import Manifest, read_manifest, write_manifest
from fftdiff_jax.evaluation.models import Model, evaluate_models
from fftdiff_jax.evaluation.settings import EvaluationSettings
from tests.browser.chromium import Page
from tests.fakes import BlurringRestorer

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=alert(1)> {{entries}} & 'q'"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Five white photos whose rainy twins are grey; one name would like to be markup."""
    folder = tmp_path_factory.mktemp("report")
    rng = np.random.default_rng(0)
    rows = []
    for i in range(5):
        height, width = 60 + 10 * i, 90
        clean = np.full((height, width, 3), 255, np.uint8)
        rainy = clean - (rng.random((1, width, 1)) > 0.9 - 0.15 * i) * np.uint8(90)
        name = HOSTILE if i == 2 else f"photo {i}"
        paths = [folder / kind / f"{name}.png" for kind in ("clean", "rainy")]
        save_png(paths[0], clean)
        save_png(paths[1], rainy)
        rows.append((str(paths[0]), str(paths[1]), ""))
    write_manifest(folder / "pairs.csv", rows)
    return read_manifest(folder / "pairs.csv")


def model(name: str, noise: float) -> Model:
    return Model(f"runs/{name}", BlurringRestorer(noise), {"w": np.full(1, noise)}, 100)


@pytest.fixture(scope="module")
def single(manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of one model with several draws."""
    folder = tmp_path_factory.mktemp("single")
    evaluate_models([model("one", 0.1)], manifest, folder, EvaluationSettings(draws=3))
    return folder / "report.html"


@pytest.fixture(scope="module")
def several(manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of two models at two numbers of steps."""
    folder = tmp_path_factory.mktemp("several")
    models = [model("one", 0.1), model("two", 0.3)]
    evaluate_models(models, manifest, folder, steps=[1, 4])
    return folder / "report.html"


def column(page: Page, number: int) -> list[str]:
    """The cells of a column of the photos' table, as they stand."""
    return page.value(
        "[...document.querySelector('.photos tbody').rows]"
        f".map(row => row.cells[{number}].dataset.value)"
    )


def test_the_file_needs_nothing_else(single: Path) -> None:
    text = single.read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)=["'](?!data:)""", text)
    assert not re.search(r"https?://|@import|url\(", text)
    assert "{{" not in text.replace("{{entries}}", "")
    assert len(text) < 5_000_000


def test_nothing_is_complained_about(page: Page, single: Path) -> None:
    page.open(single.as_uri())
    assert page.errors == []
    assert page.value("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert page.value("document.documentElement.scrollWidth <= window.innerWidth")


def test_the_mouse_drags_the_slider(page: Page, single: Path) -> None:
    page.open(single.as_uri())
    at = "document.querySelector('.slider').style.getPropertyValue('--at')"
    assert page.value(at) == "50%"
    x, y, width = page.centre(".slider")
    page.mouse("mousePressed", x, y)
    page.mouse("mouseMoved", x + width / 4, y)
    page.mouse("mouseReleased", x + width / 4, y)
    assert float(page.value(at).rstrip("%")) == pytest.approx(75, abs=1)
    seen = page.value("getComputedStyle(document.querySelector('.slider .over')).clipPath")
    assert "75%" in seen or re.search(r"2[45](\.\d+)?%", seen)
    page.mouse("mouseMoved", x - width / 4, y, pressed=False)
    before = float(page.value(at).rstrip("%"))
    assert before == pytest.approx(75, abs=1)  # the button is up: the mouse only passes
    page.key("ArrowLeft", 37)
    assert float(page.value(at).rstrip("%")) == pytest.approx(before - 0.5)
    assert page.errors == []


def test_what_is_left_of_the_slider_is_rainy(page: Page, single: Path, tmp_path: Path) -> None:
    page.open(single.as_uri())
    page.centre("figure:last-child .slider")  # the strongest rain is shown last
    rectangle = page.value(
        "(() => { const b = document.querySelector('figure:last-child .slider')"
        ".getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]; })()"
    )
    page.screenshot(tmp_path / "shot.png")
    with Image.open(tmp_path / "shot.png") as shot:
        grey = np.asarray(shot.convert("L"), float)
    left, top, right, bottom = (round(side) for side in rectangle)
    middle, margin = (left + right) // 2, 8
    rainy = grey[top + 40 : bottom - margin, left + margin : middle - margin]
    restored = grey[top + 40 : bottom - margin, middle + margin : right - margin]
    # Blurring keeps the mean of the streaks and takes their contrast.
    assert rainy.std() > 1.5 * restored.std()


def test_the_clean_photo_is_shown_on_request(page: Page, single: Path) -> None:
    page.open(single.as_uri())
    figure = "document.querySelector('figure')"
    hidden = (
        f"[{figure}.querySelector('.restored').hidden, {figure}.querySelector('.clean').hidden]"
    )
    assert page.value(hidden) == [False, True]
    page.click("figure input.truth")
    assert page.value(hidden) == [True, False]
    assert page.value(f"{figure}.querySelector('.right').textContent") == "clean"
    page.click("figure input.truth")
    assert page.value(hidden) == [False, True]


def test_a_click_on_a_heading_sorts_the_table(page: Page, single: Path) -> None:
    page.open(single.as_uri())
    rows = column(page, 1)
    assert rows == ["2", "3", "4", "5", "6"]
    gains = [float(value) for value in column(page, 3)]
    assert gains != sorted(gains)
    page.click(".photos th:nth-child(4) button")
    assert [float(value) for value in column(page, 3)] == sorted(gains)
    page.click(".photos th:nth-child(4) button")
    assert [float(value) for value in column(page, 3)] == sorted(gains, reverse=True)
    heading = "document.querySelector('.photos th:nth-child(4)').getAttribute('aria-sort')"
    assert page.value(heading) == "descending"
    page.click(".photos th:nth-child(2) button")
    assert column(page, 1) == rows
    assert page.errors == []


def test_headings_tell_which_values_are_better(page: Page, single: Path) -> None:
    page.open(single.as_uri())
    tips = page.value(
        "Object.fromEntries([...document.querySelectorAll('.photos th')]"
        ".map(head => [head.textContent, head.title]))"
    )
    assert tips["PSNR Y"].endswith("higher is better")
    assert tips["tone"].endswith("lower is better")
    assert tips["tone rainy"] == tips["tone"]
    assert tips["seconds"] == ""


def test_sizes_sort_by_pixels_and_names_by_name(page: Page, single: Path) -> None:
    page.open(single.as_uri())
    page.click(".photos th:nth-child(3) button")
    assert column(page, 2) == [str(90 * height) for height in (60, 70, 80, 90, 100)]
    page.click(".photos th:nth-child(1) button")
    assert len(set(column(page, 0))) == 5


def test_names_of_files_stay_text(page: Page, single: Path) -> None:
    page.open(single.as_uri())
    assert f"rainy/{HOSTILE}.png" in column(page, 0)
    assert page.value("document.querySelectorAll('img[src=x]').length") == 0
    assert page.errors == []


def test_tabs_choose_between_models_and_steps(page: Page, several: Path) -> None:
    page.open(several.as_uri())
    assert page.value("document.querySelectorAll('.tabs button').length") == 4
    shown = "[...document.querySelectorAll('section')].map(s => !s.hidden)"
    assert page.value(shown) == [True, False, False, False]
    page.click(".tabs button:nth-child(3)")
    assert page.value(shown) == [False, False, True, False]
    table = "document.querySelector('table.sortable').tBodies[0].rows"
    assert page.value(f"{table}.length") == 5
    assert page.value(f"[...{table}].map(row => row.cells[0].textContent)") == [
        "rainy photos", "one", "one", "two", "two",
    ]  # fmt: skip
    page.click("table.sortable th:nth-child(2) button")
    assert page.value(f"{table}[4].cells[0].textContent") == "rainy photos"  # without a number
    assert page.errors == []


def test_errors_of_a_page_are_noticed(page: Page, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text("<script>console.error('one'); setTimeout(() => missing())</script>")
    page.open(bad.as_uri())
    page.value("1")
    assert len(page.errors) >= 2
