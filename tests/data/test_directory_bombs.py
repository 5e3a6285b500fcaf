"""Directories of tags that name more bytes than there are: memory stays that of the file."""

import struct
import tracemalloc

import pytest

from fftdiff_jax.data import blocks, exif, images
from fftdiff_jax.errors import UserError
from tests.data import kinds

MEGABYTE = 2**20


def block_of(entries, value=400_000, claimed=400_000):
    """An EXIF block in which each of many tags names the same bytes."""
    at = 8 + 2 + 12 * entries + 4
    tags = b"".join(
        struct.pack("<HHII", 1000 + number, 1, claimed, at) for number in range(entries)
    )
    return b"II*\0" + struct.pack("<IH", 8, entries) + tags + bytes(4) + bytes(value)


@pytest.fixture
def peak():
    """The most bytes that were held, so far, in the test."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


def test_tags_of_a_tiff_share_the_bytes_of_its_file(tmp_path, peak):
    (tmp_path / "a.tif").write_bytes(block_of(2000))
    for read in (images.photo_size, images.load_photo_file):
        with pytest.raises(UserError, match="no pixels"):
            read(tmp_path / "a.tif")
    assert peak() < 16 * MEGABYTE


def test_a_value_beyond_the_end_of_a_tiff_costs_its_tag_alone(tmp_path):
    data = bytearray(kinds.tiff(kinds.colours(), photometric="rgb", software="somebody"))
    (start,) = struct.unpack_from("<I", data, 4)
    place = data.index(struct.pack("<HH", 305, 2), start)
    for claimed in (2**20, 2**32 - 1):
        struct.pack_into("<I", data, place + 4, claimed)
        (tmp_path / "a.tif").write_bytes(data)
        assert (images.load_photo_file(tmp_path / "a.tif").pixels == kinds.colours()).all()


def test_a_value_that_is_too_large_to_be_kept_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(exif, "_MOST_VALUE", 1000)
    tags = [(65000, 1, 2000, bytes(2000), True), (700, 1, 2000, bytes(2000), True)]
    data = kinds.tiff(kinds.colours(), photometric="rgb", extratags=tags)
    (tmp_path / "a.tif").write_bytes(data)
    photo = images.load_photo_file(tmp_path / "a.tif")
    assert photo.notes == ("tags XMP, 65000",)
    assert images.save_photo(tmp_path / "b.tif", photo.pixels, photo) == ()


def test_exif_of_a_png_and_of_a_jpeg_is_read_in_bounds(tmp_path, peak):
    block = block_of(2000)
    plain = kinds.encoded("PNG")
    (tmp_path / "a.png").write_bytes(plain[:33] + blocks.chunk(b"eXIf", block) + plain[33:])
    photo = images.load_photo_file(tmp_path / "a.png")
    images.save_photo(tmp_path / "b.png", photo.pixels, photo)
    assert images.load_photo_file(tmp_path / "b.png").description.exif == block
    parts = [block[at : at + 65_000] for at in range(0, len(block), 65_000)]
    segments = b"".join(
        b"\xff\xe1" + struct.pack(">H", len(part) + 8) + b"Exif\0\0" + part for part in parts
    )
    jpeg = kinds.encoded("JPEG")
    (tmp_path / "a.jpg").write_bytes(jpeg[:2] + segments + jpeg[2:])
    for read in (images.photo_size, images.load_photo_file):
        with pytest.raises(UserError, match="names far more bytes than it has"):
            read(tmp_path / "a.jpg")
    assert peak() < 16 * MEGABYTE


def test_an_entry_that_claims_too_much_is_no_bomb():
    assert not exif.is_bomb(block_of(3, claimed=2**32 - 1))
    assert not exif.is_bomb(kinds.exif_block())
    assert not exif.is_bomb(b"II*\0\xff\xff\xff\x7f")
