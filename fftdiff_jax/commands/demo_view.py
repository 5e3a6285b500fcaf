"""What the demo shows as HTML, in which names of files stay text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from jaxtyping import UInt8

from fftdiff_jax.commands.demo_line import Progress
from fftdiff_jax.commands.demo_photos import Guesses, Pair, Result, as_url, shrunk

TITLE = "Take the rain out of photos"
HEAD = f"<h1>{TITLE}</h1><p>Your photos stay on the machine that serves this page.</p>"
EMPTY = "<p class='empty'>Your photo will stand here.</p>"
NOTHING = "<p class='empty'>Restore a photo first.</p>"
STARTING = Progress("starting")
_BRUSH_PIXELS = 640  # of the longer side of what is painted on


def head() -> str:
    """The page's own style and script. (Gradio would put its class before each of the rules.)"""
    style, script = (
        Path(__file__).with_name(f"demo_page.{suffix}").read_text(encoding="utf-8")
        for suffix in ("css", "js")
    )
    return f"<style>{style}</style><script>{script}</script>"


def picture(pixels: UInt8, label: str) -> str:
    """One photo, with its label as its words."""
    return f"<figure class='one'><img src='{as_url(pixels)}' alt='{escape(label)}'></figure>"


def comparison(pair: Pair, label: str, words: tuple[str, str] = ("before", "after")) -> str:
    """Two pictures on each other, and a slider that says how much of the first is seen."""
    return (
        "<figure class='compare'>"
        f"<img src='{as_url(pair.after)}' alt='{escape(label)}: {words[1]}'>"
        f"<img class='over' src='{as_url(pair.before)}' alt='{escape(label)}: {words[0]}'>"
        "<span class='line' aria-hidden='true'></span>"
        f"<span class='left' aria-hidden='true'>{words[0]}</span>"
        f"<span class='right' aria-hidden='true'>{words[1]}</span>"
        f"<input type='range' min='0' max='100' value='50' aria-label='How much is shown of "
        f"{words[0]}, from the left, in percent'></figure>"
    )


def guesses(found: Guesses, label: str) -> str:
    """The map, and below it photos that may be true."""
    height, width = found.draws.shape[1:3]
    drawn = "".join(
        f"<img src='{as_url(draw)}' alt='{escape(label)}: possible photo {i}'>"
        for i, draw in enumerate(found.draws, 1)
    )
    return (
        f"{picture(found.map, f'{label}: map of where it is guessed')}"
        "<p>Yellow is guessed, blue is sure, by how much eight possible photos differ "
        f"(at {width} × {height} pixels). Three of them:</p><div class='draws'>{drawn}</div>"
    )


def brush(pixels: UInt8 | None) -> str:
    """A photo on which to paint what stays as it is; a picture of a mask may be taken as well."""
    if pixels is None:
        return "<p class='hint'>Drop a single photo to paint what must stay as it is.</p>"
    return (
        "<p class='hint'>Paint over what must stay as it is, such as a railing or writing.</p>"
        f"<figure class='brush'><img src='{as_url(shrunk(pixels, _BRUSH_PIXELS))}' alt=''>"
        "<canvas aria-label='Paint with the mouse or a finger'></canvas></figure>"
        "<div class='tools'><button type='button' data-clear>Clear</button>"
        "<label>or a mask from a file (white stays)"
        "<input type='file' accept='image/*' data-mask></label></div>"
    )


def progress(now: Progress | None) -> str:
    """A bar with words; nothing where nothing is going on."""
    if now is None:
        return ""
    share = "" if now.share is None else f" value='{now.share:.3f}'"
    words = escape(now.words)
    return f"<progress max='1'{share} aria-label='{words}'></progress><p>{words}</p>"


def outcome(results: Sequence[Result], refusals: Iterable[str], ended: str = "") -> str:
    """What came of all photos, in lines: what is restored, is to be looked at, and is not.

    Args:
      results: of the photos that were restored.
      refusals: why others were not.
      ended: why it ended early.
    """
    lines: list[tuple[str, str]] = []
    if len(results) == 1:
        (height, width), seconds = results[0].size, results[0].seconds
        took = _span(seconds, 1)
        lines.append(("good", f"{results[0].name}: {width} × {height} pixels in {took}"))
    elif results:
        seconds = sum(result.seconds for result in results)
        lines.append(("good", f"{len(results)} photos restored in {_span(seconds)}"))
    for result in results:
        lines += [("warn", f"warning: {result.name}: {line}") for line in result.warnings]
        if result.not_kept:
            lines.append(("", f"not kept: {result.name}: {'; '.join(result.not_kept)}"))
    lines += [("bad", f"not restored: {line}") for line in refusals]
    if ended:
        lines.append(("bad", ended))
    return "".join(f"<p class='{kind}'>{escape(line)}</p>" for kind, line in lines)


def _span(seconds: float, digits: int = 0) -> str:
    return f"{seconds:.{digits}f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
