"""The page with no server, in a browser: against Python, offline, with and without threads.

With -s it prints what docs/page.md shows: differences, and seconds a megapixel.
"""

import functools
import http.server
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from fftdiff_jax.commands import static_page
from fftdiff_jax.errors import UserError
from fftdiff_jax.restore.restorer import Restorer
from tests.browser.chromium import Page, find_chromium
from tests.commands import environment

pytest.importorskip("jax2onnx", reason="pip install -e '.[export]'")
pytestmark = pytest.mark.browser

# Chromium warns where it is asked for a graphics processor and has none.
HARMLESS = "No available adapters"
PHOTOS = ("chelsea_1_single.png", "coffee_2_shower.png", "rocket_4_near.png")
SECONDS = 300
STATUS = "document.querySelector('#status')?.textContent ?? ''"


class Server:
    """Serves a folder, as any server of static files does, and says what it was asked for."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_request(self, *_: object) -> None:
                asked.append(f"{self.command} {self.path}")

            def log_message(self, *_: object) -> None: ...

        handler = functools.partial(Handler, directory=str(folder))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self._server.server_port}/"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The page, made by its command."""
    if find_chromium() is None:
        pytest.skip("no Chromium here; on Debian: apt-get install chromium")
    try:
        static_page.find_runtime()
    except UserError as error:
        pytest.skip(str(error))
    place = tmp_path_factory.mktemp("static")
    command = [sys.executable, "-m", "fftdiff_jax", "export", "--format=page", "-o", "page"]
    result = subprocess.run(
        command, cwd=place, env=environment(), capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "grey levels from JAX" in result.stdout
    return place / "page"


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    server = Server(folder)
    yield server
    server.close()


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    photo = np.random.default_rng(0).integers(0, 256, (70, 150, 3), np.uint8)
    path = tmp_path_factory.mktemp("small") / "small photo.png"
    Image.fromarray(photo).save(path)
    return path


def open_page(page: Page, address: str) -> str:
    """Waits until the network is loaded; says on what it runs."""
    page.open(address)
    device = "document.documentElement?.dataset.device"
    page.wait(f"{device} || document.querySelector('#status.failed')", SECONDS)
    assert page.value(device), page.value(STATUS)
    return page.value(device)


def restore(page: Page, path: Path, into: Path) -> np.ndarray:
    page.keep_downloads(into)
    page.upload("#file", path)
    page.wait("/^Done/.test(document.querySelector('#status').textContent)", SECONDS)
    page.click("#png")
    page.wait("/^Saved/.test(document.querySelector('#status').textContent)", SECONDS)
    written = into / f"{path.stem}_restored.png"
    end = time.monotonic() + 30
    while not written.exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    return np.asarray(Image.open(written))


def complaints(page: Page) -> list[str]:
    return [error for error in page.errors if HARMLESS not in error]


def processor_seconds() -> float:
    """Of this process's children, the browser's among them, that are alive."""
    total = 0.0
    for child in psutil.Process().children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def test_it_is_what_python_gives(page: Page, server: Server, pairs_of_the_box, tmp_path):
    """To one grey level at most; and no photo is sent anywhere."""
    restorer = Restorer.pretrained()
    device = open_page(page, server.address)
    before = len(server.asked)
    for path in pairs_of_the_box:
        rainy = np.asarray(Image.open(path))
        megapixels = rainy.shape[0] * rainy.shape[1] / 1e6
        restorer(rainy[:64, :64]), restorer(rainy)  # compiles
        begin = time.process_time()
        expected = restorer(rainy).astype(int)
        python = (time.process_time() - begin) / megapixels
        begin = processor_seconds()
        found = restore(page, path, tmp_path).astype(int)
        browser = (processor_seconds() - begin) / megapixels
        difference = np.abs(found - expected)
        print(
            f"\n| {path.stem} | {rainy.shape[1]} x {rainy.shape[0]} | {difference.max()} | "
            f"{100 * (difference > 0).mean():.4f} % | {python:.1f} | {browser:.1f} ({device}) |"
        )
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.001
    # A browser asks by itself whether there is a newer service worker.
    assert set(server.asked[before:]) <= {"GET /service_worker.js"}
    assert complaints(page) == []


@pytest.fixture(scope="module")
def pairs_of_the_box() -> list[Path]:
    """Rainy photos that come with the installation."""
    from fftdiff_jax.config import DataConfig
    from fftdiff_jax.data.sources.open import open_manifest

    manifest = open_manifest(DataConfig(manifest="embedded"), "val")
    rainy = {Path(row.rainy).name: Path(row.rainy) for row in manifest.rows if row.rainy}
    return [rainy[name] for name in PHOTOS]


def test_it_works_without_a_network_after_the_first_visit(page, server, small, tmp_path):
    open_page(page, server.address)
    assert page.value("crossOriginIsolated")  # by the service worker: threads are allowed
    server.close()
    page.value("document.documentElement.dataset.device = ''")
    open_page(page, server.address)
    found = restore(page, small, tmp_path)
    expected = Restorer.pretrained()(np.asarray(Image.open(small)))
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert complaints(page) == []


@pytest.mark.parametrize(
    ("query", "isolated", "device"),
    [("?alone", False, "1 thread"), ("?threads=2&device=wasm", True, "2 threads")],
)
def test_threads_where_they_are_allowed(page, server, small, tmp_path, query, isolated, device):
    assert open_page(page, server.address + query) == device
    assert page.value("crossOriginIsolated") == isolated
    found = restore(page, small, tmp_path)
    expected = Restorer.pretrained()(np.asarray(Image.open(small)))
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert complaints(page) == []


def test_a_photo_is_stopped_and_what_is_none_is_said(page, server, small, tmp_path):
    open_page(page, server.address)
    text = tmp_path / "text.png"
    text.write_text("no photo")
    page.upload("#file", text)
    page.wait("document.querySelector('#status.failed')", SECONDS)
    assert page.value(STATUS).startswith("text.png: this browser cannot read it as a photo")
    large = tmp_path / "large.png"
    Image.new("RGB", (1500, 1100), (90, 120, 60)).save(large)
    page.upload("#file", large)
    page.click("#stop")
    page.wait("/^Stopped/.test(document.querySelector('#status').textContent)", SECONDS)
    assert page.value("document.querySelector('#view').hidden")
    assert restore(page, small, tmp_path).shape == (70, 150, 3)
    assert complaints(page) == []


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_result_and_download_are_seen_at_once_and_by_keyboard(server, small, width, height):
    binary = find_chromium()
    assert binary
    tall = small.with_name("tall.png")
    Image.new("RGB", (300, 700), (90, 120, 60)).save(tall)
    with Page(binary, width=width, height=height) as page:
        open_page(page, server.address)
        # A finger cannot drop: pressing the large field asks for a photo, as the button does.
        assert page.value("document.querySelector('#drop').control.id") == "file"
        for path in (small, tall):
            page.upload("#file", path)
            page.wait("/^Done/.test(document.querySelector('#status').textContent)", SECONDS)
            for part in ("#jpeg", "#png", "#frame"):
                box = page.value(
                    f"(b => [b.left, b.top, b.right, b.bottom, b.width])"
                    f"(document.querySelector('{part}').getBoundingClientRect())"
                )
                assert min(box[:2]) >= 0, part
                assert box[2] <= width, part
                assert box[3] <= height, part
                assert box[4] > 40, part
        assert page.value("document.activeElement.id") == "slider"
        page.key("ArrowRight", 39)
        assert page.value("document.querySelector('#slider').value") == "51"
        unnamed = page.value(
            "[...document.querySelectorAll('button, input, canvas, progress')].filter(e => "
            "!e.textContent.trim() && !e.getAttribute('aria-label')).map(e => e.id)"
        )
        assert unnamed == []
        assert complaints(page) == []
