"""The parts of the demo's page: where they stand, and what they are called."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from fftdiff_jax.commands import demo_view
from fftdiff_jax.commands.demo_wishes import STRENGTH_HINT, STRENGTH_WORDS, Wishes
from fftdiff_jax.commands.shared import read_pairs
from fftdiff_jax.data.formats import PHOTO_SUFFIXES
from fftdiff_jax.errors import UserError

EXAMPLES = (2, 5, 10)  # rows of the embedded validation photos
Uploaded = list[tuple[Path, str]]  # where each file lies here, and its name


@dataclasses.dataclass(frozen=True)
class Parts:
    """What visitors see, from top to bottom, and what the page keeps for them."""

    photos: gr.File
    go: gr.Button
    strength: gr.Radio
    way: gr.Radio
    brush: gr.HTML
    mask: gr.Textbox
    offers: gr.Column
    examples: gr.Dataset
    working: gr.Row
    progress: gr.HTML
    stop: gr.Button
    said: gr.HTML
    tabs: gr.Tabs
    after: gr.HTML
    guess_tab: gr.Tab
    guesses: gr.HTML
    spectrum_tab: gr.Tab
    spectrum: gr.HTML
    picked: gr.Dropdown
    file: gr.DownloadButton
    all_files: gr.DownloadButton
    results: gr.State
    maps: gr.State


def build(wishes: Wishes, kept_seconds: int) -> Parts:
    """Builds the parts within the `gr.Blocks` that is open."""
    gr.HTML(demo_view.HEAD, elem_id="head")
    found: dict[str, Any] = {}
    with gr.Row():
        with gr.Column(scale=1, min_width=320):
            found |= _choice(wishes)
        with gr.Column(scale=2, min_width=320, elem_id="outcome"):
            found |= _outcome(wishes)
    for name in ("results", "maps"):
        found[name] = gr.State([] if name == "results" else {}, time_to_live=kept_seconds)
    return Parts(**found)


def _choice(wishes: Wishes) -> dict[str, Any]:
    """Photos, the button, and what few need."""
    photos = gr.File(
        label="Rainy photos",
        file_count="multiple",
        file_types=["image", *sorted(PHOTO_SUFFIXES)],
        height=180,
        elem_id="photos",
    )
    photos.preprocess = functools.partial(  # type: ignore[method-assign, assignment]
        uploaded, folder=photos.GRADIO_CACHE
    )
    go = gr.Button("Remove the rain", variant="primary", size="lg", elem_id="restore")
    with gr.Accordion("Advanced", open=False, elem_id="advanced"):
        strength = gr.Radio(
            [(words, name) for name, words in STRENGTH_WORDS.items()],
            value="full",
            label="How much",
            info=STRENGTH_HINT,
            elem_id="strength",
        )
        way = gr.Radio(wishes.ways, value=wishes.ways[0][1], label="How", elem_id="way")
        brush = gr.HTML(demo_view.brush(None), elem_id="brush")
        mask = gr.Textbox("", visible="hidden", elem_id="mask", max_lines=1)
    for part in (strength, way, mask):  # `Wishes.read` says what is wrong with a value
        part.preprocess = as_it_is  # type: ignore[method-assign]
    with gr.Column(elem_id="offers") as offers:
        examples = gr.Dataset(
            components=[gr.Image(visible=False, label="Photo", type="filepath")],
            samples=[[path] for path in example_photos()],
            label="No photo at hand? Take one of these",
            type="index",
            elem_id="examples",
        )
    return {
        "photos": photos,
        "go": go,
        "strength": strength,
        "way": way,
        "brush": brush,
        "mask": mask,
        "offers": offers,
        "examples": examples,
    }


def _outcome(wishes: Wishes) -> dict[str, Any]:
    """How far it is, and what came of it."""
    with gr.Row(visible=False, elem_id="working") as working:
        progress = gr.HTML(elem_id="progress")
        stop = gr.Button("Stop", variant="stop", elem_id="stop")
    said = gr.HTML(elem_id="said")
    with gr.Tabs(selected="photo", elem_id="tabs") as tabs:
        with gr.Tab("Photo", id="photo"):
            after = gr.HTML(demo_view.EMPTY, elem_id="after")
        with gr.Tab("Where it guesses", id="guesses", visible=wishes.draws) as guess_tab:
            guesses = gr.HTML(demo_view.NOTHING, elem_id="guesses")
        with gr.Tab("Spectrum", id="spectrum") as spectrum_tab:
            spectrum = gr.HTML(demo_view.NOTHING, elem_id="spectrum")
    picked = gr.Dropdown([], label="Shown", visible=False, elem_id="picked", filterable=False)
    picked.preprocess = as_it_is  # type: ignore[method-assign]
    with gr.Row(elem_id="downloads"):
        file = gr.DownloadButton(
            "Download the photo", variant="primary", visible=False, elem_id="file"
        )
        all_files = gr.DownloadButton("All as a zip", visible=False, elem_id="all_files")
    return {
        "working": working,
        "progress": progress,
        "stop": stop,
        "said": said,
        "tabs": tabs,
        "after": after,
        "guess_tab": guess_tab,
        "guesses": guesses,
        "spectrum_tab": spectrum_tab,
        "spectrum": spectrum,
        "picked": picked,
        "file": file,
        "all_files": all_files,
    }


def as_it_is(payload: Any) -> Any:
    """In place of Gradio's own reading of a value, whose errors are no lines for visitors."""
    return payload


def uploaded(payload: Any, folder: str) -> Uploaded:
    """Where uploaded photos lie; Gradio itself looks only at paths that are marked as files.

    Raises:
      UserError: one lies elsewhere on this machine.
    """
    if payload is None:
        return []
    files: Sequence[Any] = getattr(payload, "root", [payload])  # several are a model with a root
    found = []
    for file in files:
        path = os.path.realpath(getattr(file, "path", None) or "")
        if not Path(path).is_relative_to(os.path.realpath(folder)):
            raise UserError("this photo was not dropped on the page")
        found.append((Path(path), Path(path).name))
    return found


def example_photos() -> list[str]:
    """Rainy photos that come with the installation."""
    manifest = read_pairs("embedded", "val")
    return [row.rainy for i in EXAMPLES if (row := manifest.rows[i]).rainy]
