"""The page of the demo, in Gradio. Importing it takes seconds."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from fftdiff_jax.commands import demo_parts, demo_photos, demo_view
from fftdiff_jax.commands.demo_errors import Blocks, line_of
from fftdiff_jax.commands.demo_line import Line, Stopped, Task
from fftdiff_jax.commands.demo_parts import Uploaded
from fftdiff_jax.commands.demo_photos import Result
from fftdiff_jax.commands.demo_walls import Walls
from fftdiff_jax.commands.demo_wishes import Wishes
from fftdiff_jax.errors import UserError
from fftdiff_jax.restore.restorer import Restorer

# Names alone: no font is asked from a server.
FONT = ("system-ui", "sans-serif")
MONOSPACE = ("ui-monospace", "monospace")
KEPT_SECONDS = 3600  # uploads and results are deleted after this
STOPPED = "<p class='empty'>Stopped. Open this tab again to draw the map.</p>"
# On a phone the outcome lies below what is pressed.
SHOW_OUTCOME = "() => document.querySelector('#outcome').scrollIntoView({behavior: 'smooth'})"

Update = dict[Any, Any]  # new values by component


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one visitor may ask for, and how many may wait."""

    megabytes: float = 100
    megapixels: float = 64
    photos: int = 50
    waiting: int = 16


class Page:
    """The page and its server."""

    def __init__(self, restorer: Restorer, limits: Limits) -> None:
        """Builds the page; nothing is served yet."""
        self._limits, self._wishes = limits, Wishes(restorer)
        self._line = Line(limits.waiting)
        self._results = tempfile.TemporaryDirectory(prefix="fftdiff-demo-")
        self._ended = threading.Event()
        cleaning = (KEPT_SECONDS // 4, KEPT_SECONDS)
        with Blocks(
            title=demo_view.TITLE, analytics_enabled=False, delete_cache=cleaning
        ) as self.blocks:
            self.parts = demo_parts.build(self._wishes, KEPT_SECONDS)
            self._connect()

    def launch(self, host: str, port: int, names: Iterable[str] = ()) -> None:
        """Serves in the background, to requests for `host` or `names` alone (demo_walls.py)."""
        self.blocks.queue(max_size=4 * self._limits.waiting, default_concurrency_limit=1)
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
            theme=gr.themes.Default(primary_hue="blue", font=FONT, font_mono=MONOSPACE),
            head=demo_view.head(),
            app_kwargs={"middleware": [Middleware(Walls, host=host, names=names)]},
        )

    def wait(self) -> None:
        """Blocks until the process is interrupted."""
        while not self._ended.wait(1.0):
            pass

    def close(self) -> None:
        """Stops serving and what is going on, and deletes what is left of the results."""
        self._ended.set()
        self._line.close()
        self.blocks.close(verbose=False)
        self._results.cleanup()

    def dropped(self, files: Uploaded) -> Update:
        """Shows the first of what was dropped, small, and clears what is left of earlier photos."""
        refusals, shown, painted = [], demo_view.EMPTY, demo_view.brush(None)
        if files:
            path, name = files[0]
            try:
                photo = demo_photos.load(path, name, self._limits.megapixels)
                small = demo_photos.shrunk(photo.pixels)
                shown = demo_view.picture(small, f"{name}, before")
                painted = demo_view.brush(small if len(files) == 1 else None)
            except Exception as error:
                refusals.append(line_of(error))
        return {
            self.parts.said: demo_view.outcome([], refusals),
            self.parts.after: shown,
            self.parts.brush: painted,
            self.parts.mask: "",
            self.parts.offers: gr.Column(visible=not files),
            **self._offered([]),
        }

    def restore(
        self, files: Uploaded, strength: str, way: str, mask: str, request: gr.Request
    ) -> Iterator[Update]:
        """What the button does: restores all photos, and says how far it is meanwhile.

        Photos that cannot be restored are named with the reason; a stop keeps those that are done.
        """
        parts = self.parts
        results: list[Result] = []
        refusals: list[str] = []
        ended = ""
        yield {**self._at_work(True), parts.said: "", **self._offered([])}
        try:
            restorer, wish = self._wishes.read(strength, way, mask)
            if not files:
                raise UserError("drop a photo first")
            if len(files) > self._limits.photos:
                most = self._limits.photos
                raise UserError(f"these are {len(files)} photos; this page takes {most} at a time")
            folder = self._new_folder()

            def work(task: Task) -> None:
                for number, (path, name) in enumerate(files, 1):
                    job = demo_photos.Job(path, name, folder, self._limits.megapixels)
                    of_all = f"photo {number} of {len(files)}, " if files[1:] else ""
                    try:
                        results.append(demo_photos.restore(restorer, job, wish, task, of_all))
                    except Stopped:
                        raise
                    except Exception as error:
                        refusals.append(line_of(error))

            shown = False
            for update in self._told(request, work):
                yield update
                if results and not shown:  # the first of several can be looked at already
                    shown = True
                    yield {parts.after: _compared(results[0])}
        except Stopped:
            ended = "stopped"
            if files[1:]:
                ended += f" after {len(results) + len(refusals)} of {len(files)} photos"
        except Exception as error:
            refusals.append(line_of(error))
        yield {
            **self._at_work(False),
            parts.said: demo_view.outcome(results, refusals, ended),
            **self._offered(results),
        }

    def show(self, results: list[Result], picked: int | None) -> Update:
        """Shows another of several photos."""
        result = _picked(results, picked)
        if result is None:
            return {self.parts.after: gr.skip()}
        return {
            self.parts.after: _compared(result),
            self.parts.file: gr.DownloadButton(value=str(result.target)),
            **self._front(),
        }

    def guess(
        self, results: list[Result], picked: int | None, maps: dict[Path, str], request: gr.Request
    ) -> Iterator[Update]:
        """What opening the tab of the map does: draws it, unless that is done already."""
        parts = self.parts
        result = _picked(results, picked)
        if result is None or result.target in maps:
            yield {parts.guesses: maps[result.target] if result else demo_view.NOTHING}
            return
        yield {**self._at_work(True), parts.guesses: ""}
        try:
            found = yield from self._told(
                request, lambda task: demo_photos.guesses(self._wishes.restorer, result, task)
            )
            shown = demo_view.guesses(found, result.name)
            maps = {result.target: shown}
        except Stopped:
            shown = STOPPED
        except Exception as error:
            shown = demo_view.outcome([], [line_of(error)])
        yield {**self._at_work(False), parts.guesses: shown, parts.maps: maps}

    def spectrum(self, results: list[Result], picked: int | None) -> str:
        """What opening the tab of the spectrum does."""
        result = _picked(results, picked)
        if result is None:
            return demo_view.NOTHING
        try:
            pair = demo_photos.spectra(result.pair())
        except Exception as error:
            return demo_view.outcome([], [line_of(error)])
        return demo_view.comparison(pair, f"{result.name}, magnitudes of frequencies")

    def stop(self, request: gr.Request) -> None:
        """Ends what a visitor has asked for at its next tile; also when the page is left."""
        self._line.stop(_visitor(request))

    def _told(
        self, request: gr.Request, work: Callable[[Task], Any]
    ) -> Generator[Update, None, Any]:
        """How far some work is, as updates of the page; its result at the end."""
        running = self._line.run(_visitor(request), work)
        try:
            while True:
                yield {self.parts.progress: demo_view.progress(next(running))}
        except StopIteration as end:
            return end.value
        finally:
            running.close()

    def _at_work(self, working: bool) -> Update:
        return {
            self.parts.working: gr.Row(visible=working),
            self.parts.go: gr.Button(interactive=not working),
            self.parts.progress: demo_view.progress(demo_view.STARTING if working else None),
        }

    def _offered(self, results: list[Result]) -> Update:
        """What is there to look at and to download, of these results."""
        parts = self.parts
        names = [(result.name, i) for i, result in enumerate(results)]
        several = len(results) > 1
        archive = None
        with suppress(OSError):  # a full disk: each photo can still be downloaded by itself
            archive = str(demo_photos.zipped(results)) if several else None
        update = {
            parts.results: results,
            parts.picked: gr.Dropdown(choices=names, value=0 if results else None, visible=several),
            parts.file: gr.DownloadButton(
                value=str(results[0].target) if results else None,
                visible=bool(results),
            ),
            parts.all_files: gr.DownloadButton(value=archive, visible=archive is not None),
            **self._front(),
        }
        return {**update, parts.after: _compared(results[0])} if results else update

    def _front(self) -> Update:
        """The photo's tab before the others, which are drawn anew when they are opened."""
        return {
            self.parts.tabs: gr.Tabs(selected="photo"),
            self.parts.guesses: demo_view.NOTHING,
            self.parts.spectrum: demo_view.NOTHING,
        }

    def _new_folder(self) -> Path:
        """An empty folder for results; those of an hour ago are deleted."""
        for old in Path(self._results.name).iterdir():
            with suppress(OSError):
                if old.stat().st_mtime < time.time() - KEPT_SECONDS:
                    shutil.rmtree(old)
        return Path(tempfile.mkdtemp(dir=self._results.name))

    def _example(self, number: int) -> list[str]:
        """A copy of a photo that comes with the installation, as if it had been dropped."""
        path = demo_parts.example_photos()[number]
        return [shutil.copy(path, str(self._new_folder()))]

    def _connect(self) -> None:
        parts = self.parts
        front = [parts.tabs, parts.guesses, parts.spectrum]
        offered = [parts.results, parts.picked, parts.file, parts.all_files, parts.after, *front]
        at_work = [parts.working, parts.go, parts.progress]
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        # The line of `Line` is the only one: Gradio's own would not let visitors stop in it.
        at_once: dict[str, Any] = {"show_progress": "hidden", "concurrency_limit": None}
        parts.photos.change(
            self.dropped,
            parts.photos,
            [parts.said, parts.brush, parts.mask, parts.offers, *offered],
            show_progress="minimal",
            show_progress_on=parts.after,
            api_visibility="private",
        )
        parts.go.click(None, js=SHOW_OUTCOME, **quiet)
        parts.go.click(
            self.restore,
            [parts.photos, parts.strength, parts.way, parts.mask],
            [*at_work, parts.said, *offered],
            api_name="restore",
            **at_once,
        )
        parts.stop.click(self.stop, api_name="stop", queue=False, show_progress="hidden")
        parts.picked.input(
            self.show, [parts.results, parts.picked], [parts.after, parts.file, *front], **quiet
        )
        parts.guess_tab.select(
            self.guess,
            [parts.results, parts.picked, parts.maps],
            [*at_work, parts.guesses, parts.maps],
            api_visibility="private",
            **at_once,
        )
        parts.spectrum_tab.select(
            self.spectrum, [parts.results, parts.picked], parts.spectrum, **quiet
        )
        parts.examples.click(self._example, parts.examples, parts.photos, **quiet)
        self.blocks.unload(self.stop)


def _visitor(request: gr.Request) -> str:
    return str(request.session_hash)


def _picked(results: list[Result], picked: int | None) -> Result | None:
    if not results:
        return None
    known = isinstance(picked, int) and 0 <= picked < len(results)
    return results[picked] if known and picked is not None else results[0]


def _compared(result: Result) -> str:
    try:
        return demo_view.comparison(result.pair(), result.name)
    except UserError as error:
        return demo_view.outcome([], [str(error)])
