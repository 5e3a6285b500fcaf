"""Pictures opened by Pillow, and its many errors turned into one line each."""

from __future__ import annotations

import errno
import io
import os
import stat
import warnings
from typing import Any

from PIL import Image, UnidentifiedImageError

from fftdiff_jax.errors import UserError

# The size at which Pillow itself refuses a picture as a decompression bomb (about 179 million).
MAX_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 89_478_485)

# Pillow warns at half of that; one rule, with one line, is enough.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class UnusableError(Exception):
    """A whole picture of a kind that is no photo here."""


class Opened:
    """A picture whose head was read; a context manager.

    Whatever Pillow raises, here or in the block, becomes a `UserError` in one line: the file is
    missing, may not be read, is no picture, is damaged, or has over `MAX_PIXELS` pixels.
    """

    def __init__(self, source: str | os.PathLike[str] | bytes, name: str):
        """Takes a path, or the bytes of a file; messages name it `name`."""
        self._source, self._name = source, name
        self._image: Image.Image | None = None

    def __enter__(self) -> Image.Image:
        source = io.BytesIO(self._source) if isinstance(self._source, bytes) else self._source
        try:
            if not isinstance(source, io.BytesIO) and _waits_for_ever(source):
                raise UnusableError("is a pipe or a device, not a file")
            image = self._image = Image.open(source)
        except Exception as error:
            raise self._refusal(error) from error
        if image.width * image.height > MAX_PIXELS:
            image.close()
            raise self._too_large()
        return image

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if self._image is not None:
            self._image.close()
        if isinstance(error, Exception) and not isinstance(error, UserError):
            raise self._refusal(error) from error

    def _too_large(self) -> UserError:
        return UserError(
            f"{self._name}: too large, over {MAX_PIXELS // 10**6} million pixels; "
            "cut or shrink it first"
        )

    def _refusal(self, error: Exception) -> UserError:
        name = self._name
        if isinstance(error, Image.DecompressionBombError):
            return self._too_large()
        if isinstance(error, FileNotFoundError):
            return UserError(f"{name}: there is no such file")
        if isinstance(error, IsADirectoryError):
            return UserError(f"{name}: is a folder, not a photo")
        if isinstance(error, PermissionError):
            return UserError(f"{name}: may not be read; check its permissions")
        if isinstance(error, UnidentifiedImageError):
            return UserError(f"{name}: is not a picture in a known format (or is empty)")
        if isinstance(error, UnusableError):
            return UserError(f"{name}: cannot be used ({error})")
        if isinstance(error, OSError) and error.errno in (errno.ELOOP, errno.ENAMETOOLONG):
            return UserError(f"{name}: cannot be opened ({(error.strerror or '').lower()})")
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        return UserError(f"{name}: is damaged and cannot be decoded ({reason})")


def _waits_for_ever(path: str | os.PathLike[str]) -> bool:
    mode = os.stat(path).st_mode
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
