"""Reading a video: what a file says of its frames, and the frames as upright photos."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8, UInt16

from fftdiff_jax.data.photo import turned
from fftdiff_jax.errors import UserError

if TYPE_CHECKING:
    import av
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

Frame = UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"]

# EXIF's number of a quarter turn, by the first four of a display matrix's whole numbers.
_ORIENTATIONS = {
    **{(1, 0, 0, 1): 1, (-1, 0, 0, 1): 2, (-1, 0, 0, -1): 3, (1, 0, 0, -1): 4},
    **{(0, 1, 1, 0): 5, (0, 1, -1, 0): 6, (0, -1, -1, 0): 7, (0, -1, 1, 0): 8},
}


@dataclasses.dataclass(frozen=True)
class Clip:
    """The frames of a video file, and how they are shown.

    Attributes:
      path: of the file.
      times: when each frame is shown, in units of `time_base`, rising.
      last: for how long the last one is.
      time_base: seconds of a unit.
      rate: frames a second, on average.
      codec: FFmpeg's name of it.
      pixel_format: FFmpeg's name of it.
      bits: of a channel.
      width, height: as the frames are stored.
      aspect: width of a stored pixel over its height.
      colours: range, primaries, transfer function and matrix, in FFmpeg's numbers.
      matrix: of the display, nine whole numbers; none where frames are shown as they are stored.
      notes: what of the file is not kept, in words.
    """

    path: Path
    times: tuple[int, ...]
    last: int
    time_base: Fraction
    rate: Fraction
    codec: str
    pixel_format: str
    bits: int
    width: int
    height: int
    aspect: Fraction | None
    colours: tuple[int, int, int, int]
    matrix: tuple[int, ...] | None
    notes: tuple[str, ...]

    @property
    def orientation(self) -> int:
        """What turns stored frames upright, in EXIF's numbers; 1 where it is no quarter turn."""
        if self.matrix is None:
            return 1
        a, b, _, c, d = (int(np.sign(n)) if abs(n) > 1 << 8 else 0 for n in self.matrix[:5])
        return _ORIENTATIONS.get((a, b, c, d), 1)

    @property
    def seconds(self) -> float:
        """From the first frame to the end of the last."""
        return float((self.times[-1] + self.last - self.times[0]) * self.time_base)


def survey(path: Path) -> Clip:
    """Reads a video once from end to end, so that damage is found before the work begins.

    Raises:
      UserError: the file is missing, holds no video, is damaged, or its frames change their size.
    """
    with opened(path) as container:
        stream = video_stream(container, path)
        first: VideoFrame | None = None
        times: list[int] = []
        last, interlaced = 0, False
        for frame in _decoded(container, stream, path):
            if first is None:
                first = frame
            if (frame.width, frame.height) != (first.width, first.height):
                raise UserError(
                    f"{path}: frame {len(times) + 1} is {frame.width} x {frame.height} pixels and "
                    f"the first {first.width} x {first.height}; cut the video there"
                )
            least = times[-1] + 1 if times else None
            time = frame.pts
            if time is None:  # raw streams and some old containers have no times
                time = times[-1] + last if times else 0
            times.append(time if least is None else max(time, least))
            last = max(frame.duration or _mean_duration(stream), 1)
            interlaced |= frame.interlaced_frame
        if first is None:
            raise UserError(f"{path}: no frame of its video can be read")
        depth = max((part.bits for part in first.format.components), default=8)
        return Clip(
            path=path,
            times=tuple(times),
            last=last,
            time_base=Fraction(stream.time_base or Fraction(1, 1000)),
            rate=Fraction(stream.average_rate or stream.guessed_rate or 25).limit_denominator(9999),
            codec=stream.codec_context.name,
            pixel_format=first.format.name,
            bits=depth,
            width=first.width,
            height=first.height,
            aspect=stream.sample_aspect_ratio or None,
            colours=(
                stream.color_range,
                stream.color_primaries,
                stream.color_trc,
                stream.colorspace,
            ),
            matrix=_matrix(first),
            notes=_notes(container, first, interlaced),
        )


def frames(clip: Clip, start: int = 0) -> Iterator[Frame]:
    """Yields upright RGB from frame number `start` on: uint8, or uint16 beyond 8 bits a channel.

    Raises:
      UserError: a frame cannot be read.
    """
    with opened(clip.path) as container:
        stream = video_stream(container, clip.path)
        wanted = itertools.islice(_decoded(container, stream, clip.path), start, len(clip.times))
        for frame in wanted:
            yield upright(frame, clip)


def upright(frame: VideoFrame, clip: Clip) -> Frame:
    """One decoded frame as RGB over the full range of its type."""
    kind = "rgb48le" if clip.bits > 8 else "rgb24"
    pixels = frame.reformat(format=kind, interpolation=conversion()).to_ndarray()
    return turned(pixels, clip.orientation)


def conversion() -> int:
    """How brightness and colours are turned into RGB and back, without a shift in rounding.

    Not bilinear: with these flags FFmpeg 8 makes wrong blues of 16 bits by it.
    """
    from av.video.reformatter import Interpolation as Way

    return Way.BICUBIC | Way.ACCURATE_RND | Way.FULL_CHR_H_INT | Way.FULL_CHR_H_INP


@contextlib.contextmanager
def opened(path: Path) -> Iterator[av.container.InputContainer]:
    """A video file, open; `UserError` where it cannot be, or PyAV is missing."""
    try:
        import av
    except ModuleNotFoundError as error:
        raise UserError(f"{path}: a video needs PyAV; pip install 'fftdiff-jax[video]'") from error
    if not path.is_file():
        raise UserError(f"{path}: there is no such video")
    try:
        # A path that looks like an address is none: only files are opened.
        container = av.open(f"file:{os.fspath(path)}", options={"protocol_whitelist": "file"})
    except (OSError, ValueError, MemoryError) as error:
        raise UserError(f"{path}: is no video that can be read ({_reason(error)})") from error
    with container:
        yield container


def video_stream(container: av.container.InputContainer, path: Path) -> VideoStream:
    """The video of a file, which is no picture of its cover; `UserError` where there is none."""
    from av.stream import Disposition

    for stream in container.streams.video:
        if stream.codec_context and not stream.disposition & Disposition.attached_pic:
            stream.thread_type = "AUTO"
            return stream
    raise UserError(f"{path}: holds no video")


def _decoded(
    container: av.container.InputContainer, stream: VideoStream, path: Path
) -> Iterator[VideoFrame]:
    """The frames, in the order in which they are shown."""
    number = 0
    try:
        for frame in container.decode(stream):
            number += 1
            yield frame
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: is damaged after frame {number} ({_reason(error)}); repair or cut it first"
        ) from error


def _mean_duration(stream: VideoStream) -> int:
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    return round(1 / (rate * (stream.time_base or Fraction(1, 1000))))


def _matrix(frame: VideoFrame) -> tuple[int, ...] | None:
    data = _side_data(frame).get("DISPLAYMATRIX")
    return None if data is None else tuple(int(n) for n in np.frombuffer(bytes(data), np.int32))


def _side_data(frame: Any) -> dict[str, Any]:
    """What comes with a frame, by FFmpeg's names."""
    return {data.type.name: data for data in frame.side_data}


def _notes(container: Any, first: VideoFrame, interlaced: bool) -> tuple[str, ...]:
    lost = []
    if len(container.streams.video) > 1:
        lost.append("further pictures: one video is kept")
    if interlaced:
        lost.append("interlacing: frames are written whole")
    if any(part.is_alpha for part in first.format.components):
        lost.append("transparency")
    kinds = set(_side_data(first))
    if kinds & {"MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL", "DYNAMIC_HDR_PLUS"}:
        lost.append("what is said of the display that it was graded on")
    if kinds & {"DOVI_METADATA", "DOVI_RPU_BUFFER"}:
        lost.append("Dolby Vision")
    return tuple(lost)


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split())[:120]
