"""Pictures as the bytes of files, format by format.

Pillow writes most; tifffile writes TIFF. What neither can is written here: PNG and PNM of 16 bits a
channel, BMP with opacity (PNG, third edition, W3C 2025; Microsoft's BITMAPV4HEADER).
"""

from __future__ import annotations

import functools
import io
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tifffile
from jaxtyping import Shaped
from PIL import Image

from fftdiff_jax.data import blocks, boxes, exif, extensions, tiff
from fftdiff_jax.data.photo import Description, Photo, Stored, in_strips

QUALITY = 95
_MOST_COMMENT = 65000  # bytes, of a JPEG 2000
STRIP_ROWS = 256  # of a PNG: held at a time in the file's own form
_TIFF_STRIP_ROWS = 64

# A picture: grey (h, w), RGB (h, w, 3) or inks (h, w, 4), and opacity.
Samples = Shaped[np.ndarray, "h w *c"]
Opacity = Shaped[np.ndarray, "h w"] | None


def jpeg(samples: Samples, alpha: Opacity, like: Photo, own: bool) -> list[bytes]:
    """A JPEG; opacity is left out."""
    mode = "CMYK" if samples.ndim == 3 and samples.shape[-1] == 4 else None
    image = Image.fromarray(samples)
    if mode:
        image = Image.frombytes("CMYK", image.size, samples.tobytes())
    said = like.description
    options = {"dpi": said.resolution, "icc_profile": said.icc}
    encoded = _pillow(image, "JPEG", quality=QUALITY, subsampling=0, **options)
    return list(blocks.into_jpeg(encoded, said, own))


def png(samples: Samples, alpha: Opacity, like: Photo, own: bool) -> list[bytes]:
    """A PNG."""
    if samples.dtype == np.uint8:
        encoded = _pillow(_image(samples, alpha), "PNG")
    else:
        encoded = b"".join(_deep_png(samples, alpha))
    return list(blocks.into_png(encoded, like.description, own))


def webp(samples: Samples, alpha: Opacity, like: Photo, own: bool) -> list[bytes]:
    """A WebP, without loss if the photo's was."""
    options = {"lossless": like.lossless and own, "exact": True, "quality": QUALITY}
    return [_pillow(_image(samples, alpha), "WEBP", **options, **_blocks(like.description))]


def avif(samples: Samples, alpha: Opacity, like: Photo, own: bool) -> list[bytes]:
    """An AVIF."""
    said = _blocks(like.description)
    if said["exif"]:  # with an orientation, Pillow would write all of it anew, and texts as ASCII
        said["exif"] = exif.without(said["exif"], exif.ORIENTATION)
    return [_pillow(_image(samples, alpha), "AVIF", quality=QUALITY, subsampling="4:4:4", **said)]


def heif(samples: Samples, alpha: Opacity, like: Photo, own: bool) -> list[bytes]:
    """A HEIC."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    image = _image(samples, alpha)
    options = {
        "enc_params": {"preset": "ultrafast"}
    }  # as good, a tenth larger, in an eighth of the time
    return [_pillow(image, "HEIF", quality=QUALITY, **options, **_blocks(like.description))]


def jpeg2000(samples: Samples, alpha: Opacity, like: Photo, own: bool, bare: bool) -> list[bytes]:
    """A JPEG 2000 without loss; `bare`: the codestream alone."""
    image = _image(samples, alpha)
    said = like.description
    comment = (said.comment or b"")[:_MOST_COMMENT] or None
    encoded = _pillow(image, "JPEG2000", no_jp2=bare, mct=int(samples.ndim == 3), comment=comment)
    return list(boxes.into(encoded, said, own))


def gif(samples: Samples, alpha: Opacity, like: Photo, own: bool) -> list[bytes]:
    """A GIF, of 256 colours; one of them is transparent where opacity is less than a half."""
    image = Image.fromarray(samples)
    options: dict[str, Any] = {"comment": like.description.comment}
    if alpha is not None:
        image = image.convert("RGB").quantize(255)
        indices = np.array(image)
        indices[alpha < 128] = 255
        palette = image.getpalette() or []
        image = Image.fromarray(indices)
        image.putpalette(palette + [0] * (768 - len(palette)))
        options["transparency"] = 255
    encoded = _pillow(image, "GIF", optimize=False, **options)
    return extensions.into(encoded, like.description, own)


def pnm(samples: Samples, alpha: Opacity, like: Photo, own: bool) -> list[bytes]:
    """A portable grey or pixel map."""
    height, width = samples.shape[:2]
    kind, white = (5 if samples.ndim == 2 else 6), np.iinfo(samples.dtype).max
    lines = (like.description.comment or b"").splitlines()
    comment = b"".join(b"# " + line + b"\n" for line in lines)
    head = b"P%d\n%b%d %d\n%d\n" % (kind, comment, width, height, white)
    return [head, samples.astype(samples.dtype.newbyteorder(">")).tobytes()]


def bmp(samples: Samples, alpha: Opacity, like: Photo, own: bool, kind: str) -> list[bytes]:
    """A bitmap of Windows', or one without the head of a file ("DIB")."""
    if alpha is None:
        options = {"dpi": like.description.resolution}
        return [_pillow(Image.fromarray(samples), kind, **options)]
    height, width = alpha.shape
    rgb = samples if samples.ndim == 3 else samples[..., None].repeat(3, axis=-1)
    body = np.concatenate([rgb[::-1, :, ::-1], alpha[::-1, :, None]], axis=-1).tobytes()
    metre = [round(value / 0.0254) for value in like.description.resolution or (0, 0)]
    masks = (0x00FF0000, 0x0000FF00, 0x000000FF, 0xFF000000)
    head = struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, 3, len(body), *metre, 0, 0)
    head += struct.pack("<4I", *masks) + b"BGRs" + b"\0" * 48
    file = struct.pack("<2sIHHI", b"BM", 14 + len(head) + len(body), 0, 0, 14 + len(head))
    return [file if kind == "BMP" else b"", head, body]


def tif(samples: Samples, alpha: Opacity, like: Photo, own: bool) -> list[bytes]:
    """A TIFF, deflated, with the directories of what was said in its own form."""
    said = like.description
    order, found = exif.of_block(said.exif) if said.exif else ("<", {0: {}})
    found = tiff.describing(found)
    tags = dict(found[0])
    for tag, body in ((tiff.XMP, said.xmp), (tiff.IPTC, said.iptc)):
        if body:
            tags[tag] = exif.Entry(1 if tag == tiff.XMP else 7, len(body), body)
    if own:
        for name, body in said.blocks:
            tags[int(name)] = exif.Entry(7, len(body), body)
    inner = {tag: directory for tag, directory in found.items() if tag}
    # tifffile refuses to write these tags: their neighbours, free in between, keep the places.
    tags |= {tag - 1: exif.Entry(4, 1, b"\0\0\0\0") for tag in inner}
    channels = [samples[..., None] if samples.ndim == 2 else samples]
    if alpha is not None:
        channels.append(alpha[..., None])
    if like.stored is not None and own:
        channels = _as_stored(channels, like.stored)
    pixels = np.concatenate(channels, axis=-1) if len(channels) > 1 else channels[0]
    colours = {1: "minisblack", 3: "rgb", 4: "separated"}[channels[0].shape[-1]]
    file = io.BytesIO()
    tifffile.imwrite(
        file,
        pixels[..., 0] if pixels.shape[-1] == 1 else pixels,
        byteorder=order,
        photometric=colours,
        planarconfig="contig" if pixels.shape[-1] > 1 else None,
        extrasamples=None if alpha is None else ["unassalpha"],
        compression="zlib",
        predictor=True,
        rowsperstrip=_TIFF_STRIP_ROWS,
        iccprofile=said.icc,
        resolution=said.resolution,
        resolutionunit=None if said.resolution is None else "INCH",
        metadata=None,
        software=False,
        extratags=[
            (tag, entry.kind, entry.length, _for_tifffile(entry, order), True)
            for tag, entry in tags.items()
        ],
    )
    return [_with_directories(file.getvalue(), order, inner)]


def _for_tifffile(entry: exif.Entry, order: exif.Order) -> bytes | tuple[int, ...]:
    """The values of a tag; of fractions in bytes tifffile would count twice as many."""
    if entry.kind not in (5, 10):
        return entry.data
    return struct.unpack(f"{order}{2 * entry.length}{'I' if entry.kind == 5 else 'i'}", entry.data)


def _with_directories(encoded: bytes, order: exif.Order, inner: dict[int, exif.Directory]) -> bytes:
    """A TIFF with further directories at its end, which its own points to."""
    changed = bytearray(encoded)
    start = exif.byte_order(encoded)
    assert start is not None
    _, _, places = exif.read_directory(lambda at, n: encoded[at : at + n], start[2], order)
    for tag, directory in inner.items():
        changed += b"\0" * (len(changed) % 2)
        struct.pack_into(f"{order}HHII", changed, places[tag - 1] - 8, tag, 4, 1, len(changed))
        changed += exif.packed(order, directory, len(changed))
    return bytes(changed)


def _as_stored(channels: Sequence[np.ndarray], stored: Stored) -> list[np.ndarray]:
    """Samples in the range of numbers that the photo's file had.

    As they are where nothing in the file would tell that range from another one.
    """
    top, span = int(np.iinfo(channels[0].dtype).max), stored.white - stored.black

    def scaled(some: np.ndarray) -> np.ndarray:
        values = (some.astype(np.int64) * span + top // 2) // top + stored.black
        return values.astype(stored.dtype)  # modulo its range, where the file's numbers were so

    found = [in_strips(scaled, samples) for samples in channels]
    for samples in found:
        size, signed = samples.dtype.itemsize, samples.dtype.kind == "i"
        if tiff.range_of(samples.view(f"u{size}"), 8 * size, signed) != stored:
            return list(channels)
    return found


def _pillow(image: Image.Image, file_format: str, **options: Any) -> bytes:
    # Into memory: into a file, Pillow passes over a disk that is full.
    buffer = io.BytesIO()
    given = {name: value for name, value in options.items() if value is not None}
    image.save(buffer, format=file_format, **given)
    return buffer.getvalue()


def _blocks(said: Description) -> dict[str, Any]:
    return {"icc_profile": said.icc, "exif": said.exif, "xmp": said.xmp}


def _image(samples: Samples, alpha: Opacity) -> Image.Image:
    image = Image.fromarray(samples)
    if alpha is not None:
        image.putalpha(Image.fromarray(alpha))
    return image


def _deep_png(samples: Samples, alpha: Opacity) -> Iterator[bytes]:
    planes = [samples[..., None] if samples.ndim == 2 else samples]
    if alpha is not None:
        planes.append(alpha[..., None])
    height, width = samples.shape[:2]
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[sum(plane.shape[-1] for plane in planes)]
    yield b"\x89PNG\r\n\x1a\n"
    yield blocks.chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))
    for part in _compressed(planes):
        yield blocks.chunk(b"IDAT", part)
    yield blocks.chunk(b"IEND", b"")


def _compressed(planes: Sequence[np.ndarray]) -> Iterator[bytes]:
    """The pixels as filtered and compressed bytes, some rows in memory at a time."""
    squeeze = zlib.compressobj(6)
    above = None
    for top in range(0, len(planes[0]), STRIP_ROWS):
        strips = [plane[top : top + STRIP_ROWS] for plane in planes]
        pixels = np.concatenate(strips, axis=-1).astype(">u2")
        rows = pixels.reshape(len(pixels), -1).view(np.uint8)
        above = np.zeros_like(rows[:1]) if above is None else above
        up = np.diff(rows, axis=0, prepend=above)  # modulo 256, as filter 2 says
        above = rows[-1:]
        filtered = np.concatenate([np.full((len(rows), 1), 2, np.uint8), up], axis=1)
        part = squeeze.compress(filtered.tobytes())
        if part:
            yield part
    yield squeeze.flush()


ENCODERS: dict[str, Callable[..., list[bytes]]] = {
    **{"JPEG": jpeg, "PNG": png, "WEBP": webp, "AVIF": avif, "HEIF": heif, "GIF": gif},
    **{"PPM": pnm, "TIFF": tif},
    **{kind: functools.partial(bmp, kind=kind) for kind in ("BMP", "DIB")},
    "JPEG2000": functools.partial(jpeg2000, bare=False),
}
