"""The demo as a visitor sees it: in a browser, with good and with bad files."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
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
    flags = ["--checkpoint=model", f"--port={port}", "--max_megabytes=0.5", "--max_megapixels=0.2"]
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


@pytest.fixture
def demo(page: Page, address: str) -> Page:
    page.open(address)
    # Gradio builds the page piece by piece, in no order that it promises.
    for part in ("#photo input[type=file]", "#steps input[type=number]", "#restore", "#line"):
        page.wait(f"document.querySelector('{part}')", SECONDS)
    return page


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """Photos, and what is none."""
    folder = tmp_path_factory.mktemp("files")
    Image.fromarray(data.coffee()[:96, :128]).save(folder / "rainy.png")
    (folder / "text.png").write_text("no photo")
    whole = (folder / "rainy.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", (600, 400)).save(folder / "wide.png")
    noise = np.random.default_rng(0).integers(0, 256, (450, 440, 3), np.uint8)
    Image.fromarray(noise).save(folder / "heavy.png")
    return folder


def complaints(page: Page) -> list[str]:
    return [error for error in page.errors if HARMLESS not in error]


def choose(page: Page, path: Path) -> None:
    source = "document.querySelector('#photo img')?.src"
    before = page.value(source)
    page.upload("#photo input[type=file]", path)
    page.wait(f"{source} && {source} !== {json.dumps(before)}", SECONDS)


def set_slider(page: Page, name: str, value: int) -> None:
    page.value(
        f"(() => {{ const e = document.querySelector('#{name} input[type=number]');"
        f"e.value = {value}; e.dispatchEvent(new Event('input', {{bubbles: true}}));"
        "e.dispatchEvent(new Event('change', {bubbles: true})); e.blur(); })()"
    )


def said(page: Page) -> str:
    return page.value("document.querySelector('#line textarea, #line input').value")


def warning(page: Page) -> str:
    """The text of the box that says what is wrong; it is closed again."""
    page.wait("document.querySelector('.toast-body')", SECONDS)
    text = page.value("document.querySelector('.toast-body').innerText")
    page.value("document.querySelectorAll('.toast-close').forEach(e => e.click())")
    page.wait("!document.querySelector('.toast-body')", SECONDS)
    return text


def test_the_best_photo_is_asked_for_first_and_draws_can_be(demo: Page) -> None:
    ranges = demo.value(
        "[...document.querySelectorAll('#steps input[type=range], #draws input[type=range]')]"
        ".map(e => [e.min, e.max, e.value])"
    )
    assert ranges == [["1", "8", "1"], ["0", "8", "0"]]


def test_a_photo_is_restored_and_compared(demo: Page, files: Path, tmp_path: Path) -> None:
    choose(demo, files / "rainy.png")
    set_slider(demo, "steps", 2)
    set_slider(demo, "draws", 3)
    demo.click("#restore")
    demo.wait("document.querySelectorAll('#after img').length === 2", SECONDS)
    demo.wait(
        "[...document.querySelectorAll('#after img')].every(e => e.naturalWidth === 128)",
        SECONDS,
    )
    demo.wait("document.querySelector('#line textarea, #line input').value", SECONDS)
    assert re.match(r"128 × 96 pixels, 3 draws of 2 steps, [\d.]+ s; yellow in the map", said(demo))

    def handle() -> float:
        """Where the line between both photos stands, in pixels."""
        return demo.centre("#after .inner")[0]

    before = handle()
    x, y, _ = demo.centre("#after .inner")
    demo.mouse("mousePressed", x, y)
    for away in (20, 50, 80, 100):
        demo.mouse("mouseMoved", x + away, y)
    demo.mouse("mouseReleased", x + 100, y)
    deadline = time.monotonic() + SECONDS
    while handle() < before + 90 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert handle() == pytest.approx(before + 100, abs=10)
    for number, name in ((1, "spectrum"), (2, "spread")):
        demo.value(f"document.querySelectorAll('button[role=tab]')[{number}].click()")
        demo.wait(f"document.querySelector('#{name} img')", SECONDS)
    demo.keep_downloads(tmp_path)
    demo.click("#file")
    restored = tmp_path / "rainy_restored.png"
    deadline = time.monotonic() + SECONDS
    while not restored.exists() and time.monotonic() < deadline:
        demo.value("0")  # the browser is listened to meanwhile
        time.sleep(0.1)
    assert Image.open(restored).size == (128, 96)
    assert complaints(demo) == []


def test_bad_files_cost_one_line_and_nothing_else(demo: Page, files: Path) -> None:
    demo.click("#restore")
    assert "drop a photo first" in warning(demo)
    for name, reason in (
        ("text.png", "text.png: is not a picture"),
        ("cut.png", "cut.png: is damaged"),
        ("wide.png", "0.24 megapixels; this page takes 0.2"),
    ):
        choose(demo, files / name)
        demo.click("#restore")
        line = warning(demo)
        assert reason in line, line
        assert "/" not in line  # no path of this machine
        assert said(demo).startswith("not restored: ")
    demo.upload("#photo input[type=file]", files / "heavy.png")
    assert "size" in warning(demo).lower()
    choose(demo, files / "rainy.png")
    demo.click("#restore")
    line = "document.querySelector('#line textarea, #line input').value"
    demo.wait(f"{line} && !{line}.startsWith('not')", SECONDS)
    assert said(demo).startswith("128 × 96 pixels, the best photo, ")


def test_nothing_is_asked_of_other_machines(demo: Page, address: str) -> None:
    demo.wait("document.readyState === 'complete'")
    asked = demo.value("performance.getEntriesByType('resource').map(e => e.name)")
    assert asked
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
