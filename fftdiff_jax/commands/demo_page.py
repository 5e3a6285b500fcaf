"""The page of the demo, in Gradio. Importing it takes seconds."""

from __future__ import annotations

import dataclasses
import tempfile
import threading
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from fftdiff_jax.commands.command_line import explain
from fftdiff_jax.commands.demo_walls import Walls
from fftdiff_jax.commands.shared import read_pairs
from fftdiff_jax.data.images import load_photo_file, photo_size, save_photo
from fftdiff_jax.errors import UserError
from fftdiff_jax.restore import notebook
from fftdiff_jax.restore.restorer import Restorer

TITLE = "Rain removal by diffusion over spectra"
HEAD = f"""# {TITLE}
Drop a rainy photo, up to {{megabytes:g}} MB and {{megapixels:g}} megapixels. Without draws you get
the best photo, which is nearest on average; a draw is one photo that may be true, and several show
where the model is sure and where it guesses. Photos stay on this machine.
"""
MOST_STEPS = MOST_DRAWS = 8
EXAMPLES = (2, 5, 10)  # rows of the embedded validation photos
# Names alone: no font is asked from a server.
FONT = ("system-ui", "sans-serif")
MONOSPACE = ("ui-monospace", "monospace")
KEPT_SECONDS = 3600  # uploads and results are deleted after this


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one visitor may ask for."""

    megabytes: float = 20
    megapixels: float = 4
    waiting: int = 16


class Page:
    """The page and its server."""

    def __init__(self, restorer: Restorer, limits: Limits) -> None:
        self._restorer, self._limits = restorer, limits
        self._results = tempfile.TemporaryDirectory(prefix="fftdiff-demo-")
        self._ended = threading.Event()
        self._most_steps = max(MOST_STEPS, restorer.default_steps)
        self._most_draws = max(MOST_DRAWS, restorer.default_draws)
        self.blocks = self._build()

    def launch(self, host: str, port: int, names: Iterable[str] = ()) -> None:
        """Serves in the background, to requests for `host` or `names` alone (demo_walls.py)."""
        self.blocks.queue(max_size=self._limits.waiting, default_concurrency_limit=1)
        theme = gr.themes.Base(font=FONT, font_mono=MONOSPACE)
        self.blocks.launch(
            server_name=host,
            server_port=port,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            max_file_size=f"{round(self._limits.megabytes * 1000)}kb",
            footer_links=[],
            enable_monitoring=False,
            ssr_mode=False,
            theme=theme,
            app_kwargs={"middleware": [Middleware(Walls, host=host, names=names)]},
        )

    def wait(self) -> None:
        """Blocks until the process is interrupted."""
        while not self._ended.wait(1.0):
            pass

    def close(self) -> None:
        """Stops serving and deletes what is left of the results."""
        self._ended.set()
        self.blocks.close(verbose=False)
        self._results.cleanup()

    def restore(self, path: str | None, steps: Any, draws: Any) -> tuple[Any, ...]:
        """What the button does.

        Returns:
          The photo before and after, its spectrum before and after, the map of the spread, one line
          about them, and the button with the restored file. Where the photo cannot be restored, the
          line says why, a box says it too, and what an earlier photo left is cleared.
        """
        try:
            steps = self._number("steps", steps, 1, self._most_steps)
            draws = self._number("draws", draws, 0, self._most_draws)
            return self._restore(path, steps, draws)
        except UserError as error:
            line = str(error)
        except Exception as error:
            known = explain(error)
            if known is None:
                traceback.print_exc()  # a mistake of this program, which its owner is to see
            line = known or "a mistake of this program; its log says more"
        # Not gr.Error: it would write "Error" over every part of the page.
        gr.Warning(line)
        return None, None, None, f"not restored: {line}", _file_button(None)

    def _number(self, name: str, value: Any, least: int, most: int) -> int:
        """What a slider says, or who asks without a browser."""
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1:
            raise UserError(f"{name} is no whole number")
        if not least <= value <= most:
            raise UserError(f"{name} is {value:g}; this page takes {least} to {most}")
        return int(value)

    def _restore(self, path: str | None, steps: int, draws: int) -> tuple[Any, ...]:
        if not path:
            raise UserError("drop a photo first")
        name = Path(path).name
        try:
            height, width = photo_size(path, name)
            self._require_size(height, width)
            photo = load_photo_file(path)
        except UserError as error:
            # Visitors know their file by its name, not by where it lies here.
            raise UserError(str(error).replace(str(path), name)) from error
        begin = time.perf_counter()
        look = notebook.look(self._restorer, photo.pixels, draws=draws, steps=steps)
        seconds = time.perf_counter() - begin
        folder = tempfile.mkdtemp(dir=self._results.name)
        target = Path(folder) / f"{Path(path).stem[:60]}_restored{Path(path).suffix.lower()}"
        lost = [*photo.notes, *save_photo(target, look.draws.mean(axis=0), photo)]
        way = f"{draws} draw{'s' * (draws > 1)} of {steps} step{'s' * (steps > 1)}"
        line = (
            f"{width} \u00d7 {height} pixels, {way if draws else 'the best photo'}, {seconds:.1f} s"
        )
        if lost:
            line += f"; not kept: {', '.join(lost)}"
        spread = None
        if draws > 1:
            spread, limit = look.spread_picture()
            line += f"; yellow in the map of the spread: {limit:.1f} of 255 grey levels"
        pair, spectra = (look.rainy, look.restored), look.spectrum_pictures()
        return pair, spectra, spread, line, _file_button(str(target))

    def _require_size(self, height: int, width: int) -> None:
        pixels = height * width / 1e6
        if pixels > self._limits.megapixels:
            raise UserError(
                f"the photo has {pixels:.2g} megapixels; this page takes "
                f"{self._limits.megapixels:g}; shrink it, or use fftdiff-jax, which has "
                "no such limit"
            )

    def _build(self) -> gr.Blocks:
        defaults = self._restorer.default_steps, self._restorer.default_draws
        cleaning = (KEPT_SECONDS // 4, KEPT_SECONDS)
        with _Blocks(title=TITLE, analytics_enabled=False, delete_cache=cleaning) as blocks:
            gr.Markdown(HEAD.format(**dataclasses.asdict(self._limits)))
            with gr.Row():
                with gr.Column(scale=1):
                    photo = gr.Image(
                        label="Rainy photo",
                        height=260,
                        sources=["upload", "clipboard"],
                        type="filepath",
                        image_mode=None,
                        elem_id="photo",
                    )
                    # `data.images` opens it, and says what is wrong with it.
                    photo.preprocess = _as_path  # type: ignore[method-assign]
                    steps = gr.Slider(
                        1,
                        self._most_steps,
                        defaults[0],
                        step=1,
                        label="Steps",
                        elem_id="steps",
                    )
                    draws = gr.Slider(
                        0,
                        self._most_draws,
                        defaults[1],
                        step=1,
                        label="Draws (0: the best photo)",
                        elem_id="draws",
                    )
                    for slider in (steps, draws):  # `restore` says what is wrong with a number
                        slider.preprocess = _as_it_is  # type: ignore[method-assign]
                    button = gr.Button("Remove the rain", variant="primary", elem_id="restore")
                    gr.Examples(_examples(), photo, cache_examples=False, label="Or one of these")
                with gr.Column(scale=2):
                    with gr.Tab("Photo"):
                        after = gr.ImageSlider(
                            label="Before and after",
                            elem_id="after",
                            interactive=False,
                            format="png",
                        )
                    with gr.Tab("Spectrum"):
                        spectrum = gr.ImageSlider(
                            label="Magnitudes before and after, in decibels; coarse in the middle",
                            format="png",
                            elem_id="spectrum",
                            interactive=False,
                        )
                    with gr.Tab("Spread"):
                        spread = gr.Image(
                            label="Where the draws differ: yellow most (2 draws or more)",
                            elem_id="spread",
                            interactive=False,
                            buttons=["fullscreen", "download"],
                        )
                    line = gr.Textbox(label="What was done", elem_id="line", interactive=False)
                    file = gr.DownloadButton(
                        "Download the restored photo", elem_id="file", interactive=False
                    )
            button.click(
                self.restore,
                [photo, steps, draws],
                [after, spectrum, spread, line, file],
                api_name="restore",
                concurrency_limit=1,
            )
        return blocks


class _Blocks(gr.Blocks):
    """Gradio's, but what is wrong with the values of a call is one line for who made it."""

    async def process_api(self, *args: Any, **named: Any) -> dict[str, Any]:
        """See Gradio; `Page.restore` raises nothing, so an error is one of the values."""
        try:
            return await super().process_api(*args, **named)
        except Exception as error:
            line = " ".join(str(error).split())[:200] or type(error).__name__
            raise gr.Error(f"these values cannot be used ({line})", print_exception=False) from None


def _as_it_is(payload: Any) -> Any:
    return payload


def _file_button(path: str | None) -> gr.DownloadButton:
    """The button, which can be pressed where there is a file."""
    return gr.DownloadButton(value=path, interactive=path is not None)


def _as_path(payload: Any) -> str | None:
    return None if payload is None else payload.path


def _examples() -> list[list[str]]:
    """Rainy photos that come with the installation."""
    manifest = read_pairs("embedded", "val")
    return [[row.rainy] for i in EXAMPLES if (row := manifest.rows[i]).rainy]
