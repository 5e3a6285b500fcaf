"""Small files of every kind that a photographer may have, made for tests."""

import functools
import io
import struct

import numpy as np
import tifffile
from PIL import Image, ImageCms, PngImagePlugin

from fftdiff_jax.data import exif
from tests.data.trees import photo

SHAPE = (40, 56)
TEXT = "Jörg Ünal © 雨".encode()


def exif_block(orientation=1, order="<", note=b"maker's own"):
    """An EXIF block with a text that is no ASCII, and with an EXIF and a GPS directory."""

    def short(value):
        return exif.Entry(3, 1, struct.pack(f"{order}H", value))

    own = {
        **{271: exif.Entry(2, 6, b"Maker\0"), 274: short(orientation)},
        315: exif.Entry(2, len(TEXT) + 1, TEXT + b"\0"),
    }
    shot = {
        36867: exif.Entry(2, 20, b"2024:01:02 03:04:05\0"),
        37500: exif.Entry(7, len(note), note),
    }
    return exif.to_block(order, {0: own, 34665: shot, 34853: {1: exif.Entry(2, 2, b"N\0")}})


def colours(seed=0):
    """RGB that JPEG keeps well: smooth, and bright enough to be told from black."""
    return (photo(*SHAPE, seed) // 2 + 60).astype(np.uint8)


def encoded(file_format, image=None, **options):
    """The bytes of a file of Pillow's."""
    buffer = io.BytesIO()
    (image or Image.fromarray(colours())).save(buffer, format=file_format, **options)
    return buffer.getvalue()


def tiff(pixels, **options):
    """The bytes of a TIFF of tifffile's."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, metadata=None, **options)
    return buffer.getvalue()


def every_format():
    """Name -> bytes: one small file of each format that is read and written."""
    rgb, grey = colours(), colours()[..., 0]
    alpha = np.tile(np.linspace(0, 255, SHAPE[1]).astype(np.uint8), (SHAPE[0], 1))
    rgba = Image.fromarray(np.dstack([rgb, alpha]))
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "hello")
    deep = (rgb.astype(np.uint16) << 8) + 7
    found = {
        "rgb.jpg": encoded("JPEG", exif=exif_block(6), comment=b"hello"),
        "grey.jpe": encoded("JPEG", Image.fromarray(grey)),
        "inks.jpg": encoded("JPEG", Image.fromarray(rgb).convert("CMYK")),
        "rgb.png": encoded("PNG", pnginfo=info, exif=exif_block(3)),
        "alpha.png": encoded("PNG", rgba),
        "grey16.png": encoded("PNG", Image.fromarray(grey.astype(np.uint16) * 257)),
        "palette.png": encoded("PNG", Image.fromarray(rgb).quantize(16)),
        "rgb.tif": tiff(rgb),
        "deep.tiff": tiff(deep, compression="zlib", predictor=True),
        "planes.tif": tiff(np.moveaxis(rgb, -1, 0), photometric="rgb", planarconfig="separate"),
        "lzw.tif": encoded("TIFF", compression="tiff_lzw"),
        "fax.tif": encoded("TIFF", Image.fromarray(grey > 100), compression="group4"),
        "jpeg.tif": encoded("TIFF", compression="jpeg"),
        "loss.webp": encoded("WEBP"),
        "lossless.webp": encoded("WEBP", rgba, lossless=True),
        "rgb.avif": encoded("AVIF"),
        "rgb.jp2": encoded("JPEG2000"),
        "bare.j2k": encoded("JPEG2000", no_jp2=True),
        "rgb.bmp": encoded("BMP"),
        "grey.pgm": encoded("PPM", Image.fromarray(grey)),
        "rgb.ppm": encoded("PPM"),
        "deep.ppm": b"P6\n56 40\n65535\n" + deep.astype(">u2").tobytes(),
        "rgb.gif": encoded("GIF"),
    }
    try:
        import pillow_heif
    except ImportError:
        return found
    pillow_heif.register_heif_opener()
    return {**found, "phone.heic": encoded("HEIF")}


@functools.cache  # it holds the time
def srgb():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def described(block):
    """A description with this EXIF block, XMP and IPTC."""
    from fftdiff_jax.data.photo import Description

    return Description(exif=block, xmp=b"<x:xmpmeta/>", iptc=b"\x1c\x02\x05\0\x03abc")
