"""Restores folders of test images without a network, and says which came out right.

    pip install imagecodecs pillow-heif
    python -m experiments.corpora FOLDER...        up to 3 MB and 3 megapixels a file

Every file is restored by a network that changes nothing, and source and result are read by decoders
of others: Pillow, imagecodecs (libraries of its own), tifffile and libheif. Right means that one of
them sees in the source what is restored, within a grey level of 255, and one sees the same in the
result, within six (some formats lose a little); colours count where they can be seen. Signed TIFFs
and deep grey HEICs, which they show otherwise, are named as "no decoder agrees" and are to be
compared by hand. Each file has a process of its own, and a minute.
"""

from __future__ import annotations

import collections
import contextlib
import io
import multiprocessing
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pillow_heif
import tifffile
from PIL import Image

from fftdiff_jax.data import images
from fftdiff_jax.data.formats import SUFFIXES, VIDEO_SUFFIXES
from fftdiff_jax.errors import UserError
from fftdiff_jax.restore import folders, one_by_one

MOST_BYTES, MOST_PIXELS, SECONDS = 3_000_000, 3_000_000, 60
OF_SOURCE, OF_RESULT = 1.0, 6.0  # grey levels of 255
ORIENTATION = 274
_TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


class Same:
    """Stands for a restorer that changes nothing."""

    default_draws = 0

    def __call__(self, photo: np.ndarray, **options: Any) -> np.ndarray:
        """The photo."""
        return photo


def rgba(pixels: np.ndarray, most: float | None = None) -> np.ndarray:
    """Grey, RGB, with opacity or without, as RGBA in [0, 1]; `most`: the largest number."""
    most = most or (1.0 if pixels.dtype == bool else float(np.iinfo(pixels.dtype).max))
    values = np.atleast_3d(pixels) / most
    one = np.ones_like(values[..., :1])
    if values.shape[-1] < 3:
        opacity = values[..., 1:] if values.shape[-1] == 2 else one
        return np.concatenate([values[..., :1]] * 3 + [opacity], -1)
    return values[..., :4] if values.shape[-1] >= 4 else np.concatenate([values, one], -1)


def from_inks(inks: np.ndarray) -> np.ndarray:
    """C, M, Y and K in [0, 1] as RGBA."""
    colours = (1 - inks[..., :3]) * (1 - inks[..., 3:4])
    return np.concatenate([colours, np.ones_like(colours[..., :1])], -1)


def by_pillow(data: bytes, kind: str) -> np.ndarray:
    """What Pillow sees."""
    image = Image.open(io.BytesIO(data))
    # Pillow turns TIFFs, and libheif HEICs, by themselves.
    turn = 1 if kind in ("TIFF", "HEIF") else image.getexif().get(ORIENTATION, 1)
    image.load()
    if image.mode.startswith("I"):
        numbers = np.asarray(image).astype(np.int64)
        pixels = rgba(numbers.clip(0, 65535).astype(np.uint16))
        clear = image.info.get("transparency")
        if isinstance(clear, int):
            pixels[..., 3] = numbers != clear
    elif image.mode == "CMYK":
        pixels = from_inks(np.asarray(image) / 255)
    else:
        pixels = rgba(np.asarray(image.convert("RGBA")))
    return _TURNS.get(turn, lambda a: a)(pixels)


def by_imagecodecs(data: bytes, kind: str) -> np.ndarray:
    """What the libraries of imagecodecs see."""
    decoders = {
        "PNG": imagecodecs.png_decode,
        "JPEG": lambda d: imagecodecs.jpeg8_decode(d, outcolorspace="RGB"),
        "WEBP": imagecodecs.webp_decode,
        "AVIF": imagecodecs.avif_decode,
        "HEIF": imagecodecs.heif_decode,
        "JPEG2000": imagecodecs.jpeg2k_decode,
        "BMP": lambda d: imagecodecs.bmp_decode(d, asrgb=True),
        "DIB": lambda d: imagecodecs.bmp_decode(d, asrgb=True),
        "GIF": lambda d: imagecodecs.gif_decode(d, asrgb=True),
    }
    pixels = decoders[kind](data)
    if kind == "GIF" and pixels.ndim == 4:
        pixels = pixels[0]
    # 10 and 12 bits come in the low bits of 16.
    most = {"AVIF": _avif_most(data)}.get(kind)
    if most is None and pixels.dtype == np.uint16:
        most = next(m for m in (1023, 4095, 65535) if pixels.max() <= m)
    turn = 1
    if kind in ("PNG", "JPEG", "WEBP", "AVIF"):
        with contextlib.suppress(Exception):
            turn = Image.open(io.BytesIO(data)).getexif().get(ORIENTATION, 1)
    return _TURNS.get(turn, lambda a: a)(rgba(pixels, most if pixels.dtype == np.uint16 else None))


def _avif_most(data: bytes) -> int:
    """By the flags of its av1C box: high_bitdepth and twelve_bit."""
    flags = data[data.find(b"av1C") + 6]
    return 4095 if flags & 0x20 else 1023 if flags & 0x40 else 255


def by_tifffile(data: bytes, kind: str) -> np.ndarray:
    """What tifffile sees of the plain kinds: grey, RGB, palettes, inks."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page: Any = file.pages[0]
        pixels, photometric = page.asarray(), int(page.photometric)
        if page.planarconfig == 2 and page.samplesperpixel > 1:
            pixels = np.moveaxis(pixels, 0, -1)
        if pixels.dtype.kind not in "ub" or photometric in (6, 8, 9):
            raise ValueError("not shown plainly")
        turn = page.tags.get(ORIENTATION)
        bits = np.ravel(page.bitspersample)[0]
        if photometric == 3:
            table = page.colormap.T
            seen = rgba((table[pixels] >> 8 if table.max() > 255 else table[pixels]).astype("u1"))
        else:
            values = pixels / (2.0**bits - 1) if pixels.dtype != bool else pixels.astype(float)
            values = 1 - values if photometric == 0 else values
            seen = from_inks(values) if photometric == 5 else rgba(values, 1.0)
        if seen.shape[-1] == 4 and photometric != 5:
            extra = int(page.extrasamples[0]) if page.extrasamples else 0
            if extra == 0:
                seen[..., 3] = 1
            elif extra == 1:  # colours were multiplied by the opacity
                seen[..., :3] = (seen[..., :3] / np.maximum(seen[..., 3:], 1e-9)).clip(0, 1)
    return _TURNS.get(int(turn.value) if turn else 1, lambda a: a)(seen)


def by_libheif(data: bytes, kind: str) -> np.ndarray:
    """What libheif sees, all bits."""
    return rgba(np.asarray(pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)))


def seen_by_others(data: bytes, kind: str) -> Iterator[np.ndarray]:
    """What each decoder sees that can read it."""
    readers: list[Callable[[bytes, str], np.ndarray]] = [by_pillow]
    readers.append({"TIFF": by_tifffile, "HEIF": by_libheif}.get(kind, by_imagecodecs))
    if kind == "HEIF":
        readers.append(by_imagecodecs)
    for reader in readers:
        with contextlib.suppress(Exception):
            yield reader(data, kind)


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """Grey levels between two pictures: of opacity, or of colours where they can be seen."""
    if a.shape != b.shape:
        return float("inf")
    visible = np.minimum(a[..., 3], b[..., 3]) > 0
    colours = np.abs(a[..., :3] - b[..., :3]).mean(-1)
    opacity = np.abs(a[..., 3] - b[..., 3]).mean()
    return 255 * max(float(opacity), float((colours * visible).sum() / max(visible.sum(), 1)))


def judge(job: folders.Job) -> str:
    """What became of a file: "right", "refused: REASON", "wrong: WHY", or "large", not counted."""
    kind = SUFFIXES[job.source.suffix.lower()]
    with contextlib.suppress(UserError):
        height, width = images.photo_size(job.source)
        if height * width > MOST_PIXELS:
            return "large"
    outcome = one_by_one.restore(Same(), job)  # type: ignore[arg-type]
    if outcome.refusal:
        return f"refused: {outcome.refusal}"
    photo = images.load_photo_file(job.source)
    opacity = np.full(photo.pixels.shape[:2], np.iinfo(photo.pixels.dtype).max, photo.pixels.dtype)
    ours = rgba(np.dstack([photo.pixels, opacity if photo.alpha is None else photo.alpha]))
    for place, most in ((job.source, OF_SOURCE), (job.target, OF_RESULT)):
        found = [difference(ours, seen) for seen in seen_by_others(place.read_bytes(), kind)]
        if min(found, default=np.inf) > most:
            levels = ", ".join(f"{one:.2f}" for one in found) or "none can read it"
            return f"wrong: no decoder agrees on {place.name} ({levels})"
    return "right"


def _answer(job: folders.Job, pipe: Any) -> None:
    warnings.simplefilter("ignore")
    pipe.send(judge(job))


def in_a_process(job: folders.Job) -> str:
    """`judge`, but a crash or a hang is an answer too."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(job, theirs))
    process.start()
    theirs.close()
    try:
        return str(ours.recv()) if ours.poll(SECONDS) else f"wrong: no answer in {SECONDS} s"
    except EOFError:
        process.join()
        return f"wrong: its process ended with {process.exitcode}"
    finally:
        process.kill()
        process.join()


def main(paths: list[str]) -> int:
    """Prints the table, what is wrong, and with --refusals why the rest was refused."""
    pillow_heif.register_heif_opener()
    verbose = "--refusals" in paths
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    with tempfile.TemporaryDirectory() as output:
        for number, path in enumerate(path for path in paths if path != "--refusals"):
            for job in folders.plan(path, Path(output) / str(number)):
                suffix = job.source.suffix.lower()
                if suffix in VIDEO_SUFFIXES or suffix not in SUFFIXES:
                    continue
                if job.source.is_file() and job.source.stat().st_size > MOST_BYTES:
                    continue
                found = in_a_process(job)
                word = found.split(":")[0]
                counts[SUFFIXES[suffix]][word] += 1
                if word == "wrong" or (verbose and word == "refused"):
                    print(f"{job.source}: {found}", flush=True)
    print("| | files | right | refused | wrong |\n|---|---|---|---|---|")
    for kind, of in sorted(counts.items()):
        words = [of[word] for word in ("right", "refused", "wrong")]
        print(f"| {kind} | {sum(words)} | {' | '.join(map(str, words))} |")
    return 1 if any(of["wrong"] for of in counts.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
