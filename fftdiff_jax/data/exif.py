"""EXIF blocks and the directories of TIFF files, as bytes: looked into, made upright, put together.

An EXIF block is a small TIFF file without a picture (Exif 2.32, CIPA DC-008; TIFF 6.0, Adobe 1992).
It is changed in place, so that what is in it stays to the last byte: texts of any encoding, notes
of camera makers, entries that nobody knows. What is broken in a block is passed over.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

ORIENTATION, EXIF_DIRECTORY, GPS_DIRECTORY = 274, 34665, 34853
_WIDTH, _HEIGHT = 40962, 40963
SIZES = {
    **{1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8},
    **{13: 4, 16: 8, 17: 8, 18: 8},
}
_WHOLE = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_MOST_ENTRIES = 4096  # of a directory; broken ones claim more
_MOST_VALUE, _MOST_BYTES = 2**26, 2**28  # of one tag, and of all tags of a file

Order = Literal["<", ">"]
Read = Callable[[int, int], bytes]  # (offset, count) -> as many bytes as there are


class Entry(NamedTuple):
    """One tag: the TIFF type, how many values, and these as they lie in the file.

    One that is too large to be read has no values.
    """

    kind: int
    length: int
    data: bytes

    def numbers(self, order: Order) -> tuple[int, ...]:
        """The values where they are whole numbers, in byte order "<" or ">"; else none."""
        code = _WHOLE.get(self.kind)
        return struct.unpack(f"{order}{self.length}{code}", self.data) if code else ()

    def ratios(self, order: Order) -> tuple[float, ...]:
        """The values where they are fractions; else none."""
        code = {5: "I", 10: "i"}.get(self.kind)
        if code is None:
            return tuple(map(float, self.numbers(order)))
        whole = struct.unpack(f"{order}{2 * self.length}{code}", self.data)
        return tuple(a / b if b else 0.0 for a, b in zip(whole[::2], whole[1::2], strict=True))


Directory = dict[int, Entry]


def byte_order(head: bytes) -> tuple[Order, bool, int] | None:
    """Byte order, whether offsets have 8 bytes (BigTIFF), and where the first directory lies."""
    orders: dict[bytes, Order] = {b"II": "<", b"MM": ">"}
    order = orders.get(head[:2])
    if order is None or len(head) < 8:
        return None
    (version,) = struct.unpack_from(f"{order}H", head, 2)
    if version == 43 and len(head) >= 16:
        return order, True, struct.unpack_from(f"{order}Q", head, 8)[0]
    return (order, False, struct.unpack_from(f"{order}I", head, 4)[0]) if version == 42 else None


def bounded(read: Read, size: int) -> Read:
    """`read` of a file of `size` bytes, which gives no more bytes than directories of it may have.

    Thousands of entries may each name the whole file as their value.
    """
    left = min(2 * size + 2**20, _MOST_BYTES)

    def some(offset: int, count: int) -> bytes:
        nonlocal left
        if offset >= size:
            return b""
        found = read(offset, min(count, size - offset, max(left, 0)))
        left -= len(found)
        return found

    return some


def read_directory(
    read: Read, offset: int, order: Order, big: bool = False
) -> tuple[Directory, int, dict[int, int]]:
    """The readable entries of a directory, where the next one lies, and where each value lies."""
    directory, places = {}, {}
    head, entry, inline = (8, 20, 8) if big else (2, 12, 4)
    found = read(offset, head)
    if len(found) < head:
        return {}, 0, {}
    (count,) = struct.unpack(f"{order}{'Q' if big else 'H'}", found)
    count = min(count, _MOST_ENTRIES)
    body = read(offset + head, count * entry + inline)
    for i in range(min(count, len(body) // entry)):
        tag, kind, number = struct.unpack_from(f"{order}HH{'Q' if big else 'I'}", body, i * entry)
        size = SIZES.get(kind, 0) * number
        at = i * entry + entry - inline
        place = offset + head + at
        if size > inline:
            (place,) = struct.unpack_from(f"{order}{'Q' if big else 'I'}", body, at)
        if size <= inline:
            data = body[at : at + size]
        else:
            data = read(place, size if size <= _MOST_VALUE else 1)
        if size > _MOST_VALUE and data:
            directory[tag] = Entry(kind, 0, b"")
        elif size and len(data) == size:
            directory[tag], places[tag] = Entry(kind, number, data), place
    rest = body[count * entry :]
    following = (
        struct.unpack(f"{order}{'Q' if big else 'I'}", rest)[0] if len(rest) == inline else 0
    )
    return directory, following, places


def orientation(block: bytes, otherwise: int = 1) -> int:
    """1 to 8, as an EXIF block says, or `otherwise`; 1 where what it says makes no sense."""
    start = byte_order(block)
    entry = _first_directory(block)[0].get(ORIENTATION)
    if start is None or entry is None:
        return otherwise
    value = next(iter(entry.numbers(start[0])), 1)
    return value if value in range(1, 9) else 1


def is_bomb(block: bytes) -> bool:
    """Whether a reader that takes all values of a block would take far more bytes than it has."""
    start = byte_order(block)
    if start is None or start[1]:
        return False
    order, _, offset = start
    body = block[offset + 2 :]
    entries = struct.iter_unpack(f"{order}HHII", body[: len(body) // 12 * 12])
    (count,) = struct.unpack(f"{order}H", block[offset : offset + 2].ljust(2, b"\0"))
    sizes = (
        min(SIZES.get(kind, 0) * number, len(block))
        for _, kind, number, _ in itertools.islice(entries, count)
    )
    return sum(sizes) > _MOST_BYTES


def upright(block: bytes, size: tuple[int, int] | None = None) -> bytes:
    """The block of a photo that has been turned upright, without its thumbnail.

    The thumbnail shows the photo as it was before. `size`, (width, height), replaces the one that
    the block names.
    """
    start = byte_order(block)
    if start is None:
        return block
    order, _, offset = start
    changed = bytearray(block)
    directory, following, places = _first_directory(block)

    def put(entry: Entry, place: int, value: int) -> None:
        code = _WHOLE.get(entry.kind)
        if code and entry.length == 1 and 0 <= value < 2 ** (8 * struct.calcsize(code) - 1):
            struct.pack_into(f"{order}{code}", changed, place, value)

    if ORIENTATION in directory:
        put(directory[ORIENTATION], places[ORIENTATION], 1)
    if following:
        (count,) = struct.unpack_from(f"{order}H", block, offset)
        struct.pack_into(f"{order}I", changed, offset + 2 + 12 * count, 0)
    pointer = directory.get(EXIF_DIRECTORY)
    if size and pointer and (inner := pointer.numbers(order)):
        entries, _, there = read_directory(_reader(block), inner[0], order)
        for tag, value in ((_WIDTH, size[0]), (_HEIGHT, size[1])):
            if tag in entries:
                put(entries[tag], there[tag], value)
    return bytes(changed)


def without(block: bytes, tag: int) -> bytes:
    """The block with a tag of its own directory cut out; what other tags say stays in its place."""
    start = byte_order(block)
    order, found = of_block(block)
    if start is None or tag not in found[0]:
        return block
    offset = start[2]
    (count,) = struct.unpack_from(f"{order}H", block, offset)
    entries = [block[at : at + 12] for at in range(offset + 2, offset + 2 + 12 * count, 12)]
    kept = [entry for entry in entries if struct.unpack_from(f"{order}H", entry)[0] != tag]
    head = struct.pack(f"{order}H", len(kept)) + b"".join(kept)
    rest = block[offset + 2 + 12 * count :]
    return block[:offset] + head + rest[:4] + bytes(12 * (count - len(kept))) + rest[4:]


def directories(read: Read, offset: int, order: Order, big: bool = False) -> dict[int, Directory]:
    """A directory under 0, and those of EXIF and of the place (GPS) under the tags naming them."""
    first = read_directory(read, offset, order, big)[0]
    found = {0: first}
    for tag in (EXIF_DIRECTORY, GPS_DIRECTORY):
        numbers = first[tag].numbers(order) if tag in first else ()
        inner = read_directory(read, numbers[0], order, big)[0] if numbers else {}
        if inner:
            found[tag] = inner
    return found


def of_block(block: bytes) -> tuple[Order, dict[int, Directory]]:
    """Byte order and directories of an EXIF block; none where it is broken."""
    start = byte_order(block)
    if start is None:
        return "<", {0: {}}
    return start[0], directories(_reader(block), start[2], start[0])


def to_block(order: Order, found: Mapping[int, Directory]) -> bytes:
    """An EXIF block of these directories."""
    first = dict(found[0])
    inner = b""
    start = 8 + len(
        packed(order, {**first, **dict.fromkeys(found.keys() - {0}, _pointer(order, 0))}, 8)
    )
    for tag in sorted(found.keys() - {0}):
        first[tag] = _pointer(order, start + len(inner))
        inner += packed(order, found[tag], start + len(inner))
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    return head + packed(order, first, 8) + inner


def packed(order: Order, directory: Directory, offset: int) -> bytes:
    """A directory that lies at `offset`, followed by its values; of an even number of bytes."""
    values = b""
    entries = struct.pack(f"{order}H", len(directory))
    start = offset + 2 + 12 * len(directory) + 4
    for tag, (kind, count, data) in sorted(directory.items()):
        field = data.ljust(4, b"\0")
        if len(data) > 4:
            field = struct.pack(f"{order}I", start + len(values))
            values += data + b"\0" * (len(data) % 2)
        entries += struct.pack(f"{order}HHI", tag, kind, count) + field
    return entries + b"\0\0\0\0" + values


def _pointer(order: Order, offset: int) -> Entry:
    return Entry(4, 1, struct.pack(f"{order}I", offset))


def _reader(block: bytes) -> Read:
    return bounded(lambda offset, count: block[offset : offset + count], len(block))


def _first_directory(block: bytes) -> tuple[Directory, int, dict[int, int]]:
    start = byte_order(block)
    return read_directory(_reader(block), start[2], start[0]) if start else ({}, 0, {})
