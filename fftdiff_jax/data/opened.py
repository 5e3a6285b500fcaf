"""Pictures opened by Pillow, and its many errors turned into one line each."""

from __future__ import annotations

import errno
import io
import os
import stat
import warnings
from typing import Any, BinaryIO

from PIL import Image, PngImagePlugin, UnidentifiedImageError, features

from fftdiff_jax.data import blocks
from fftdiff_jax.data.formats import kind_of
from fftdiff_jax.errors import UserError

# The size at which Pillow itself refuses a picture as a decompression bomb (about 179 million).
MAX_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 89_478_485)
# What Pillow may take a file for, whatever it is called: others run programs of their own
# (PostScript), or hold no photos.
FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "DIB", "PPM", "GIF", "AVIF", "JPEG2000")
_HEIF_LACKS = "is a HEIC, which needs pillow-heif; pip install 'fftdiff-jax[heic]'"

# Pillow warns at half of that; one rule, with one line, is enough.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# Bytes of a compressed text or profile of a PNG, and of all. Pillow's megabyte is less than some
# XMP of long work, or a profile of a printer.
PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY = 2**24, 2**26


class UnusableError(Exception):
    """A whole picture of a kind that is no photo here."""


class TooLargeError(Exception):
    """A picture of more pixels than a photo may have."""


def require_pixels(height: int, width: int, most: int = MAX_PIXELS) -> None:
    """Raises `UnusableError` for a picture without pixels, `TooLargeError` for one of too many."""
    if height < 1 or width < 1:
        raise UnusableError("it has no pixels")
    if height * width > most:
        raise TooLargeError


class Opened:
    """A file of a picture; a context manager.

    Whatever is raised in the block becomes a `UserError` in one line: the file is missing, may not
    be read, is no picture, is damaged, or has over `MAX_PIXELS` pixels.

    Attributes:
      name: what messages call it.
      kind: the format that its first bytes are those of, or nothing.
      file: open for reading.
    """

    file: BinaryIO

    def __init__(self, source: str | os.PathLike[str] | bytes, name: str):
        """Takes a path, or the bytes of a file."""
        self._source, self.name, self.kind = source, name, ""
        self._image: Image.Image | None = None

    def __enter__(self) -> Opened:
        try:
            self.file = self._open()
            self.kind = kind_of(self.head(64))
        except Exception as error:
            raise self._refusal(error) from error
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self.file.close()
        if isinstance(error, Exception) and not isinstance(error, UserError):
            raise self._refusal(error) from error

    def head(self, count: int) -> bytes:
        """The first bytes of the file."""
        self.file.seek(0)
        return self.file.read(count)

    def image(self) -> Image.Image:
        """The picture as Pillow opens it, its pixels not yet decoded; each time anew."""
        if self.kind == "JPEG" and blocks.holds_bomb(self.file):  # Pillow would read it
            raise UnusableError("its EXIF names far more bytes than it has; remove that first")
        self.file.seek(0)
        self._image = Image.open(self.file, formats=self._formats())
        require_pixels(self._image.height, self._image.width)
        return self._image

    def decoded(self) -> Image.Image:
        """The picture that `image` opened last, decoded to its end."""
        image = self._image or self.image()
        image.load()
        return image

    def _open(self) -> BinaryIO:
        if isinstance(self._source, bytes):
            return io.BytesIO(self._source)
        if _waits_for_ever(self._source):
            raise UnusableError("is a pipe or a device, not a file")
        return open(self._source, "rb")

    def _formats(self) -> tuple[str, ...]:
        if self.kind == "AVIF" and not features.check("avif"):
            raise UnusableError(
                "AVIF, which needs a Pillow of 11.3 or later; pip install -U pillow"
            )
        if self.kind != "HEIF":
            return FORMATS
        try:
            import pillow_heif
        except ImportError:
            raise UserError(f"{self.name}: {_HEIF_LACKS}") from None
        pillow_heif.register_heif_opener()
        return ("HEIF",)

    def _refusal(self, error: Exception) -> UserError:
        name = self.name
        if isinstance(error, UserError):
            return error
        if isinstance(error, (Image.DecompressionBombError, TooLargeError)):
            return UserError(
                f"{name}: too large, over {MAX_PIXELS // 10**6} million pixels; "
                "cut or shrink it first"
            )
        if isinstance(error, FileNotFoundError):
            return UserError(f"{name}: there is no such file")
        if isinstance(error, IsADirectoryError):
            return UserError(f"{name}: is a folder, not a photo")
        if isinstance(error, PermissionError):
            return UserError(f"{name}: may not be read; check its permissions")
        if isinstance(error, UnidentifiedImageError) and self.kind:
            return UserError(
                f"{name}: is damaged, or of a rare kind, though it begins as a {self.kind} does"
            )
        if isinstance(error, UnidentifiedImageError):
            return UserError(f"{name}: is not a picture in a known format (or is empty)")
        if isinstance(error, UnusableError):
            return UserError(f"{name}: cannot be used ({error})")
        if isinstance(error, OSError) and error.errno in (errno.ELOOP, errno.ENAMETOOLONG):
            return UserError(f"{name}: cannot be opened ({(error.strerror or '').lower()})")
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        if reason.startswith("Unsupported"):
            return UserError(f"{name}: cannot be used ({reason}); save it as PNG or TIFF")
        return UserError(f"{name}: is damaged and cannot be decoded ({reason})")


def _waits_for_ever(path: str | os.PathLike[str]) -> bool:
    mode = os.stat(path).st_mode
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
