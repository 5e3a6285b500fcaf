"""The demo as a visitor sees it: in a browser, with good and with bad files."""

import base64
import io
import json
import re
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from fftdiff_jax.training.checkpoints import Checkpoints
from fftdiff_jax.training.state import create_state
from tests.browser.chromium import Page
from tests.commands import environment

pytest.importorskip("gradio", reason="pip install -e '.[demo]'")
pytestmark = pytest.mark.browser

# Gradio's own client says this whenever it closes a stream of events; it means nothing.
HARMLESS = "Method not implemented."
SECONDS = 120


@pytest.fixture(scope="module")
def address(tmp_path_factory, tiny_restorer) -> Iterator[str]:
    """A demo of a small network, started as a command; Ctrl-C ends it with exit code 0."""
    folder = tmp_path_factory.mktemp("demo")
    checkpoints = Checkpoints(folder / "model")
    state = create_state(tiny_restorer.config)
    checkpoints.save(state, tiny_restorer.config, {})
    checkpoints.close()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    flags = ["--checkpoint=model", f"--port={port}", "--max_megabytes=0.5", "--max_megapixels=0.5"]
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments.demo", *flags],
        cwd=folder,
        env=environment(GRADIO_TEMP_DIR=str(folder / "uploads")),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("ready: "):
            break
    assert said[-1].startswith("ready: "), "".join(said)
    yield f"http://127.0.0.1:{port}"
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=60)[0]
    assert process.returncode == 0, rest
    assert "Traceback" not in rest


WIDTHS = pytest.mark.parametrize("page", [(1280, 800), (390, 844)], indirect=True, ids=str)


@pytest.fixture
def demo(page: Page, address: str) -> Page:
    page.open(address)
    # Gradio builds the page piece by piece, in no order that it promises.
    for part in ("#photos input[type=file]", "#restore", "#after", "#said[role=status]"):
        page.wait(f"document.querySelector('{part}')", SECONDS)
    return page


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """Photos, and what is none."""
    folder = tmp_path_factory.mktemp("files")
    Image.fromarray(data.coffee()[:96, :128]).save(folder / "rainy.png")
    Image.fromarray(data.coffee()[:390, :260]).save(folder / "upright.jpg")
    Image.fromarray(np.tile(data.coffee()[:100, :100], (7, 7, 1))).save(folder / "long.jpg")
    (folder / "text.png").write_text("no photo")
    whole = (folder / "rainy.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", (1000, 700)).save(folder / "wide.png")
    noise = np.random.default_rng(0).integers(0, 256, (450, 440, 3), np.uint8)
    Image.fromarray(noise).save(folder / "heavy.png")
    return folder


def complaints(page: Page) -> list[str]:
    return [error for error in page.errors if HARMLESS not in error]


def clear(page: Page) -> None:
    """Takes away the photos that are chosen, if there are any."""
    button = "document.querySelector('#photos [aria-label=Clear]')"
    if page.value(f"Boolean({button})"):
        page.value(f"{button}.click()")
        page.wait(f"!{button} && document.querySelector('#photos input[type=file]')", SECONDS)
        page.wait("!document.querySelector('#said p')", SECONDS)  # the server's answer
    page.wait("document.querySelector('#after .empty')", SECONDS)


def choose(page: Page, *paths: Path) -> None:
    """Chooses photos in place of those that are chosen already, and waits for the first one."""
    clear(page)
    page.upload("#photos input[type=file]", *paths)
    page.wait("document.querySelector('#after img, #said .bad')", SECONDS)


def said(page: Page) -> str:
    """What came of the photos, once they are done."""
    page.wait("document.querySelector('#said p')", SECONDS)
    return page.value("document.querySelector('#said').innerText")


def come_into_view(page: Page, *selectors: str) -> None:
    """Waits until all of these are wholly in view: the page scrolls smoothly."""
    page.wait(
        f"{json.dumps(selectors)}.every(s => {{"
        "const b = document.querySelector(s)?.getBoundingClientRect();"
        "return b?.width && b.top >= 0 && b.left >= 0"
        "&& b.bottom <= innerHeight && b.right <= innerWidth; })"
    )


@WIDTHS
def test_a_photo_is_restored_and_what_counts_is_in_view(
    demo: Page, files: Path, tmp_path: Path
) -> None:
    choose(demo, files / "upright.jpg")
    demo.click("#restore")
    assert re.match(r"upright.jpg: 260 × 390 pixels in [\d.]+ s", said(demo))
    demo.wait("document.querySelector('#file')", SECONDS)
    come_into_view(demo, "#said", "#after .compare", "#file")
    assert demo.value("document.documentElement.scrollWidth <= innerWidth")
    assert demo.value("document.querySelectorAll('#tabs [role=tab]').length") == 3
    demo.keep_downloads(tmp_path)
    demo.click("#file")
    restored = tmp_path / "upright_restored.jpg"
    deadline = time.monotonic() + SECONDS
    while not restored.exists() and time.monotonic() < deadline:
        demo.value("0")  # the browser is listened to meanwhile
        time.sleep(0.1)
    assert Image.open(restored).size == (260, 390)
    assert complaints(demo) == []


@WIDTHS
def test_the_map_is_drawn_when_its_tab_is_opened(demo: Page, files: Path) -> None:
    choose(demo, files / "rainy.png")
    demo.click("#restore")
    said(demo)
    assert demo.value("document.querySelectorAll('#guesses img').length") == 0
    demo.value("document.querySelectorAll('#tabs [role=tab]')[1].click()")
    demo.wait("document.querySelectorAll('#guesses img').length === 4", SECONDS)
    assert "Yellow is guessed" in demo.value("document.querySelector('#guesses').innerText")
    demo.value("document.querySelectorAll('#tabs [role=tab]')[2].click()")
    demo.wait("document.querySelectorAll('#spectrum img').length === 2", SECONDS)
    assert complaints(demo) == []


def test_the_mouse_and_the_keyboard_move_the_slider(demo: Page, files: Path) -> None:
    choose(demo, files / "rainy.png")
    demo.click("#restore")
    said(demo)
    demo.wait("document.querySelector('#after .compare')", SECONDS)
    at = "document.querySelector('#after .compare').style.getPropertyValue('--at')"
    x, y, width = demo.centre("#after .compare")
    demo.mouse("mousePressed", x + width / 4, y)
    demo.mouse("mouseReleased", x + width / 4, y)
    placed = float(demo.value(at).rstrip("%"))
    assert placed == pytest.approx(75, abs=8)  # the thumb of a range has a width of its own
    demo.key("ArrowLeft", 37)
    assert float(demo.value(at).rstrip("%")) == placed - 1


@WIDTHS
def test_stop_is_in_view_and_keeps_the_photos_that_are_done(demo: Page, files: Path) -> None:
    count = 30  # they take seconds: enough to scroll, and to press the button
    choose(demo, files / "rainy.png", *[files / "long.jpg"] * (count - 1))
    demo.click("#restore")
    demo.wait("document.querySelector('#progress progress')", SECONDS)
    come_into_view(demo, "#progress", "#stop")
    number = "Number(document.querySelector('#progress').innerText.match(/photo (\\d+) of/)?.[1])"
    demo.wait(f"{number} >= 2", SECONDS)
    demo.click("#stop")
    line = said(demo)
    done = re.search(rf"stopped after (\d+) of {count} photos", line)
    assert done, line
    assert 1 <= int(done[1]) < count
    demo.wait("document.querySelector('#file')", SECONDS)
    demo.wait("!document.querySelector('#restore').disabled", SECONDS)
    assert complaints(demo) == []


def test_several_photos_come_in_one_zip_and_can_be_looked_at(
    demo: Page, files: Path, tmp_path: Path
) -> None:
    choose(demo, files / "rainy.png", files / "cut.png", files / "upright.jpg")
    demo.click("#restore")
    lines = said(demo)
    assert "2 photos restored" in lines
    assert "not restored: cut.png: is damaged" in lines
    demo.wait("document.querySelector('#all_files') && document.querySelector('#picked')", SECONDS)
    demo.keep_downloads(tmp_path)
    demo.click("#all_files")
    archive = tmp_path / "restored_photos.zip"
    deadline = time.monotonic() + SECONDS
    while not archive.exists() and time.monotonic() < deadline:
        demo.value("0")
        time.sleep(0.1)
    names = zipfile.ZipFile(archive).namelist()
    assert names == ["rainy_restored.png", "upright_restored.jpg"]


def test_a_pasted_photo_is_taken(demo: Page) -> None:
    demo.value(
        "(() => { const c = document.createElement('canvas'); c.width = 150; c.height = 70;"
        "c.toBlob(blob => { const d = new DataTransfer();"
        "d.items.add(new File([blob], 'image.png', {type: 'image/png'}));"
        "document.body.dispatchEvent(new ClipboardEvent('paste',"
        "{clipboardData: d, bubbles: true, cancelable: true})); }); })()"
    )
    demo.wait("document.querySelector('#after img')?.naturalWidth === 150", SECONDS)
    assert "image.png" in demo.value("document.querySelector('#after img').alt")


def test_what_is_painted_is_sent_as_a_mask(demo: Page, files: Path) -> None:
    choose(demo, files / "rainy.png")
    demo.click("#advanced button")
    demo.wait("document.querySelector('.brush canvas')", SECONDS)
    x, y, width = demo.centre(".brush canvas")
    demo.mouse("mousePressed", x - width / 4, y)
    demo.mouse("mouseMoved", x + width / 4, y)
    demo.mouse("mouseReleased", x + width / 4, y)
    mask = "document.querySelector('#mask textarea, #mask input').value"
    demo.wait(f"{mask}.startsWith('data:image/png')", SECONDS)
    content = base64.b64decode(demo.value(mask).partition(",")[2])
    painted = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
    assert painted.shape == (96, 128)
    assert (painted[48, 40], painted[48, 90], painted[5, 64]) == (255, 255, 0)
    demo.click("[data-clear]")
    assert demo.value(mask) == ""


def test_every_control_has_a_name(demo: Page, files: Path) -> None:
    """As a screen reader asks for it: a label, a title or text; also what is built anew."""
    choose(demo, files / "rainy.png")
    clear(demo)
    demo.wait("document.querySelector('#examples button')", SECONDS)
    demo.value("document.querySelector('#advanced button').click()")
    demo.wait("document.querySelector('#strength input')", SECONDS)
    nameless = demo.value(
        "[...document.querySelectorAll('button, input, select, textarea, canvas, img')]"
        ".filter(e => e.checkVisibility() || e.type === 'file')"
        ".filter(e => !e.closest('[aria-hidden=true]')).filter(e =>"
        "!(e.ariaLabel || e.title || e.hasAttribute('alt') || e.innerText?.trim()"
        "|| e.labels?.length))"
        ".map(e => e.outerHTML.slice(0, 200))"
    )
    assert nameless == []
    words = demo.value("document.querySelector('#advanced').innerText")
    assert "Gentle" in words
    assert demo.value("document.querySelectorAll('#advanced input[type=range]').length") == 0


def test_bad_files_cost_one_line_and_nothing_else(demo: Page, files: Path) -> None:
    demo.click("#restore")
    assert said(demo) == "not restored: drop a photo first"
    for name, reason in (
        ("text.png", "text.png: is not a picture"),
        ("cut.png", "cut.png: is damaged"),
        ("wide.png", "wide.png: has 0.7 megapixels; this page takes 0.5"),
    ):
        choose(demo, files / name)
        demo.wait(f"document.querySelector('#said').innerText.includes('{name}')", SECONDS)
        line = said(demo)
        assert line.startswith(f"not restored: {reason}"), line
        assert "/" not in line  # no path of this machine
    clear(demo)
    demo.upload("#photos input[type=file]", files / "heavy.png")
    demo.wait("document.querySelector('.toast-body')", SECONDS)
    assert "size" in demo.value("document.querySelector('.toast-body').innerText").lower()


def test_nothing_is_asked_of_other_machines(demo: Page, address: str) -> None:
    demo.wait("document.readyState === 'complete'")
    asked = demo.value("performance.getEntriesByType('resource').map(e => e.name)")
    assert asked
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
