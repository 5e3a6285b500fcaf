"""Writing a video: segments of frames, and joining them with all else of the file they are from.

Every frame is encoded after those before it alone (no B-frames), so that frames leave the encoder
in their order with their own times, and segments are joined by putting one behind another.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fftdiff_jax.data.photo import turned
from fftdiff_jax.data.video.clip import Clip, Frame, conversion, opened, survey, video_stream
from fftdiff_jax.errors import UserError
from fftdiff_jax.files import replacing

if TYPE_CHECKING:
    from av.packet import Packet

SEGMENT = ".nut"  # a container that keeps any unit of time
# Hardly to be told from what went in; x265's scale lies about two higher for the same.
_X264 = {"crf": "16", "preset": "medium", "bf": "0"}
_X265 = {"preset": "medium", "x265-params": "crf=18:bframes=0:log-level=error"}
_BACK = {6: 8, 8: 6}  # the orientation that undoes one; the others undo themselves
_OF_THE_FILE = ("major_brand", "minor_version", "compatible_brands", "encoder", "DURATION")


class Joined(NamedTuple):
    """What became of the parts of a file.

    Attributes:
      not_kept: streams that the container has no place for, in words.
      sounds: packets of each stream of sound that was copied.
    """

    not_kept: tuple[str, ...]
    sounds: tuple[int, ...]


def write_segment(path: Path, clip: Clip, start: int, pixels: Iterable[Frame]) -> int:
    """Encodes upright frames, the first of which is number `start` of the clip; how many.

    Raises:
      UserError: they cannot be encoded or written.
    """
    import av

    encoder, pixel_format = encoding(clip)
    count = 0
    with replacing(path) as temporary, av.open(str(temporary), "w") as container:
        stream: Any = container.add_stream(
            encoder, rate=clip.rate, options=dict(_X265 if encoder == "libx265" else _X264)
        )
        stream.width, stream.height, stream.pix_fmt = clip.width, clip.height, pixel_format
        stream.codec_context.time_base = clip.time_base
        if clip.aspect:
            stream.sample_aspect_ratio = clip.aspect
        context = stream.codec_context
        (
            context.color_range,
            context.color_primaries,
            context.color_trc,
            context.colorspace,
        ) = clip.colours
        for count, frame in enumerate(pixels, 1):
            container.mux(stream.encode(_stored(frame, clip, pixel_format, start + count - 1)))
        container.mux(stream.encode(None))
    return count


def frame_count(path: Path) -> int:
    """How many frames a segment holds; 0 where it cannot be read."""
    import av

    try:
        with av.open(str(path)) as container:
            return sum(packet.size > 0 for packet in container.demux(video=0))
    except (OSError, ValueError, IndexError):
        return 0


def encoding(clip: Clip) -> tuple[str, str]:
    """The encoder and its pixel format: the clip's own where the encoder has it."""
    import av

    encoder = "libx265" if clip.codec == "hevc" or clip.bits > 8 else "libx264"
    formats = [one.name for one in av.Codec(encoder, "w").video_formats or ()]
    name = clip.pixel_format
    if name.startswith("yuvj"):  # the same, of full range by its name
        name = "yuv" + name.removeprefix("yuvj")
    odd = clip.width % 2 or clip.height % 2
    if name in formats and not (odd and ("420" in name or "422" in name)) and "a4" not in name:
        return encoder, name
    whole = odd or name.startswith(("rgb", "bgr", "gbr", "yuv444", "pal", "argb", "abgr"))
    return encoder, f"yuv{'444' if whole else '420'}p{'10le' if clip.bits > 8 else ''}"


def join(target: Path, clip: Clip, segments: Sequence[Path]) -> Joined:
    """Puts segments and the sound and subtitles of the clip's file into one file.

    Args:
      target: where to, a temporary name; its suffix says in which container.
      clip: whose frames the segments hold, all of them.
      segments: in order.

    Raises:
      UserError: it cannot be written, or the segments are not of this clip.
    """
    import av

    lost: list[str] = []
    sounds: dict[int, int] = {}
    with opened(clip.path) as source, av.open(str(segments[0])) as first:
        quick = target.suffix.lower() != ".mkv"  # QuickTime's family
        flags = "faststart+use_metadata_tags" if target.suffix.lower() == ".mov" else "faststart"
        options = {"movflags": flags} if quick else {}
        with av.open(str(target), "w", options=options) as container:
            video = container.add_stream_from_template(first.streams.video[0], opaque=True)
            video.time_base = clip.time_base
            if clip.matrix:
                video.set_display_matrix(clip.matrix)
            if quick and first.streams.video[0].codec_context.name == "hevc":
                video.codec_context.codec_tag = "hvc1"  # which Apple's players ask for
            original = video_stream(source, clip.path)
            video.metadata.update(_said(original.metadata))
            container.metadata.update(_said(source.metadata))
            copies = _copies(source, original, container, lost)
            if source.chapters():
                container.set_chapters(source.chapters())
            sounds = {copy.index: 0 for copy in copies.values() if copy.type == "audio"}
            packets = [_encoded(clip, segments, video), _copied(source, copies)]
            for _, packet in heapq.merge(*packets, key=lambda one: one[0]):
                if packet.stream.index in sounds:
                    sounds[packet.stream.index] += 1
                container.mux(packet)
    return Joined(tuple(lost), tuple(sounds.values()))


def require_whole(path: Path, clip: Clip, sounds: Sequence[int], name: Path) -> None:
    """Reads what was written: all frames, when and which way up they are shown, and the sound.

    Raises:
      UserError: something is missing; the message calls the file `name`.
    """
    found = survey(path)
    turn = clip.orientation == found.orientation
    size = (found.width, found.height) == (clip.width, clip.height)
    # Matroska counts in milliseconds.
    tolerance = max(float(found.time_base), float(clip.time_base), 1e-3)
    shown = [np.asarray(c.times, np.float64) * float(c.time_base) for c in (clip, found)]
    same = size and turn and len(clip.times) == len(found.times)
    if same:
        in_step = np.ptp(shown[1] - shown[0]) <= 2 * tolerance
        same = bool(in_step) and _sounds(path) == tuple(sounds)
    if not same:
        raise UserError(
            f"{name}: what was written reads as another video "
            f"({len(found.times)} of {len(clip.times)} frames); it is not kept"
        )


def _stored(frame: Frame, clip: Clip, pixel_format: str, number: int) -> Any:
    import av

    pixels = turned(frame, _BACK.get(clip.orientation, clip.orientation))
    kind = "rgb48le" if pixels.dtype == np.uint16 else "rgb24"
    *_, matrix = clip.colours
    stored = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=kind).reformat(
        format=pixel_format,
        interpolation=conversion(),
        dst_colorspace=matrix,
        dst_color_range=2 if clip.pixel_format.startswith("yuvj") else clip.colours[0],
    )
    stored.pts, stored.time_base = clip.times[number], clip.time_base
    return stored


def _encoded(
    clip: Clip, segments: Sequence[Path], stream: Any
) -> Iterator[tuple[Fraction, Packet[Any]]]:
    """The packets of all segments with the times of the clip."""
    import av

    ends = itertools.chain(clip.times[1:], [clip.times[-1] + clip.last])
    times = zip(clip.times, ends, strict=True)
    for path in segments:
        with av.open(str(path)) as container:
            for packet in container.demux(video=0):
                if packet.size == 0:
                    continue
                begin, end = next(times, (None, None))
                if begin is None or end is None:
                    raise UserError(f"{path}: holds more frames than the clip; delete its folder")
                packet.time_base, packet.pts, packet.dts = clip.time_base, begin, begin
                packet.duration, packet.stream = end - begin, stream
                yield begin * clip.time_base, packet
    if next(times, None) is not None:
        raise UserError(f"{segments[-1].parent}: frames are missing; delete this folder")


def _copied(source: Any, copies: dict[int, Any]) -> Iterator[tuple[Fraction, Packet[Any]]]:
    """The packets of what is copied, in the order of the file."""
    if not copies:
        return
    packets = source.demux([source.streams[index] for index in copies])
    while True:
        try:
            packet = next(packets, None)
        except (OSError, ValueError) as error:
            raise UserError(f"{source.name}: its sound cannot be read ({error})") from error
        if packet is None:
            return
        when = packet.pts if packet.dts is None else packet.dts
        if packet.size and when is not None:
            packet.stream = copies[packet.stream.index]
            yield when * packet.time_base, packet


def _copies(source: Any, video: Any, container: Any, lost: list[str]) -> dict[int, Any]:
    """Streams for the sound, the subtitles and the like, by the number of the source's."""
    copies = {}
    for stream in source.streams:
        if stream.type == "video":
            continue
        try:
            if stream.type not in ("audio", "subtitle"):
                raise ValueError
            copy = container.add_stream_from_template(stream, opaque=True)
        except (ValueError, OSError):
            lost.append(f"a stream of {stream.type or 'data'}, which has no place in the container")
            continue
        copy.metadata.update(_said(stream.metadata))
        copy.disposition = stream.disposition
        copies[stream.index] = copy
    return copies


def _said(metadata: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in metadata.items() if name not in _OF_THE_FILE}


def _sounds(path: Path) -> tuple[int, ...]:
    """How many packets of sound a file has, by stream."""
    with opened(path) as container:
        counts = {stream.index: 0 for stream in container.streams.audio}
        if counts:
            for packet in container.demux(list(container.streams.audio)):
                counts[packet.stream.index] += packet.size > 0
        return tuple(counts.values())
