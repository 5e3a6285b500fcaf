"""Small videos of every kind, for tests; needs PyAV."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

QUARTER = 1 << 16  # 1 in a display matrix
SIZE = (96, 64)  # width, height


def picture(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Frame `number`: a saturated bar that moves over grey, and a bright upper left corner."""
    pixels = np.full((size[1], size[0], 3), 60, np.uint8)
    left = 24 + 2 * number % (size[0] - 48)
    pixels[24:, left : left + 24] = (200, 120, 40)
    pixels[:16, :16] = 230
    return pixels


def write_clip(
    path: Path,
    frames: int = 40,
    *,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    time_base: Fraction = Fraction(1, 15360),
    sound: str = "aac",
    matrix: Sequence[int] | None = None,
    tagged: bool = True,
    delay: float = 0.0,
) -> Path:
    """Frames of `picture` that last a thirtieth or a fifteenth of a second, and a tone.

    `delay` is when the sound begins. `tagged`: BT.709 is said.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    tick = max(1, round(Fraction(1, 30) / time_base))
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=30)
        video.width, video.height, video.pix_fmt = *SIZE, pixel_format
        context = video.codec_context
        context.time_base = time_base
        if tagged:
            context.color_range = context.colorspace = 1
            context.color_primaries = context.color_trc = 1
        if matrix:
            video.set_display_matrix(matrix)
        audio = container.add_stream(sound, rate=48000) if sound else None
        time = 0
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24").reformat(
                format=pixel_format, dst_colorspace=1
            )
            frame.pts, frame.time_base = time, time_base
            time += tick * (1 + (number % 3 == 0))
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio is not None:
            container.metadata["title"] = "rain"
            begin = round(48000 * delay)
            for start in range(0, round(48000 * float(time * time_base)), 1024):
                tone = np.sin(np.arange(start, start + 1024) * 0.05, dtype=np.float32)
                piece = av.AudioFrame.from_ndarray(
                    np.stack([tone, tone]), format="fltp", layout="stereo"
                )
                piece.sample_rate, piece.pts = 48000, begin + start
                piece.time_base = Fraction(1, 48000)
                container.mux(audio.encode(piece))
            container.mux(audio.encode(None))
    return path


def sound_of(path: Path) -> list[tuple[bytes, float]]:
    """All packets of sound: their bytes, and when each is heard, in seconds."""
    with av.open(str(path)) as container:
        packets = list(container.demux(audio=0))
        return [(bytes(p), float(p.pts * p.time_base)) for p in packets if p.size]
