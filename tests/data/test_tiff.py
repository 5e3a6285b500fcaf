"""TIFF files of every layout: the right colours, and files that others open with the same ones."""

import struct

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from fftdiff_jax.data import exif, images
from fftdiff_jax.errors import UserError
from tests.data import kinds
from tests.data.trees import photo


def written(tmp_path, data, name="a.tif"):
    """What is read from a file, and the file that is written from it."""
    path, out = tmp_path / name, tmp_path / "out" / name
    path.write_bytes(data)
    like = images.load_photo_file(path)
    images.save_photo(out, like.pixels, like)
    return like, out


RGB = kinds.colours()
DEEP = (RGB.astype(np.uint16) << 8) + np.arange(56, dtype=np.uint16)[None, :, None]
GREY = RGB[..., 0]
PLAIN = {"photometric": "rgb"}


@pytest.mark.parametrize(
    ("data", "pixels"),
    [
        (kinds.tiff(RGB, **PLAIN), RGB),
        (kinds.tiff(RGB, bigtiff=True, **PLAIN), RGB),
        (kinds.tiff(RGB, byteorder=">", **PLAIN), RGB),
        (kinds.tiff(RGB, tile=(16, 32), **PLAIN), RGB),
        (kinds.tiff(np.moveaxis(RGB, -1, 0), planarconfig="separate", **PLAIN), RGB),
        (
            kinds.tiff(np.moveaxis(DEEP, -1, 0), planarconfig="separate", tile=(16, 16), **PLAIN),
            DEEP,
        ),
        (kinds.tiff(DEEP, byteorder=">", compression="zlib", predictor=True, **PLAIN), DEEP),
        (kinds.tiff(DEEP.astype(np.uint32) * 65537, **PLAIN), DEEP),
        (kinds.tiff(RGB, extratags=[(339, 3, 3, (1, 1, 1), True)], **PLAIN), RGB),
        (kinds.tiff(np.dstack([RGB, GREY]), extrasamples=["unspecified"], **PLAIN), RGB),
        (kinds.encoded("TIFF", compression="tiff_lzw"), RGB),
        (kinds.encoded("TIFF", compression="packbits"), RGB),
        (kinds.encoded("TIFF", Image.fromarray(RGB).quantize(256)), None),
    ],
)
def test_rgb_of_every_layout_is_read_and_written_exactly(tmp_path, data, pixels):
    like, out = written(tmp_path, data)
    if pixels is None:
        pixels = np.asarray(Image.open(tmp_path / "a.tif").convert("RGB"))
    np.testing.assert_array_equal(like.pixels, pixels)
    back = tifffile.imread(out)
    np.testing.assert_array_equal(back if pixels.dtype == back.dtype else back // 65537, pixels)
    if pixels.dtype == np.uint8:
        np.testing.assert_array_equal(np.asarray(Image.open(out).convert("RGB")), pixels)


@pytest.mark.parametrize(
    ("values", "white"),
    [
        (DEEP[..., 0], 65535),
        (DEEP[..., 0].astype(np.int32), 65535),
        ((DEEP[..., 0] >> 1).astype(np.int16), 32767),
        ((DEEP[..., 0].astype(np.int32) - 32768).astype(np.int16), None),
        ((GREY // 2).astype(np.int8), 127),
        (GREY.astype(np.int8), None),
        (DEEP[..., 0].astype(np.uint32) << 16, 2**32 - 1),
    ],
)
def test_grey_of_every_whole_type_keeps_its_numbers(tmp_path, values, white):
    like, out = written(tmp_path, kinds.tiff(values, photometric="minisblack"))
    back = tifffile.imread(out)
    assert back.dtype in (values.dtype, np.uint16)
    np.testing.assert_allclose(
        back.astype(float), values.astype(float), atol=2**16 + 1 if white == 2**32 - 1 else 0
    )
    assert like.grey
    if white:
        top = np.iinfo(like.pixels.dtype).max
        shown = like.pixels[..., 0] / top
        np.testing.assert_allclose(shown, values.astype(np.uint32) / white % 1, atol=1 / 255)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "uint32"])
@pytest.mark.parametrize("least", [0, "least"])
@pytest.mark.parametrize("after", ["dark", "bright", "any"])
@pytest.mark.parametrize("opacity", [False, True])
def test_changed_pixels_are_written_in_the_numbers_of_the_file(
    tmp_path, dtype, least, after, opacity
):
    """Or in plain ones, where the file would read as something else."""
    info = np.iinfo(dtype)
    low = 0 if least == 0 or dtype[-2:] == "32" else info.min
    high = {"int32": 65535}.get(dtype, info.max)
    ramp = np.linspace(low, high, 56 * 40).round().astype(np.int64).reshape(40, 56)
    values = np.dstack([ramp] * 3).astype(dtype)
    options = {"photometric": "rgb"}
    if opacity:
        values = np.dstack([values, values[..., 0]])
        options["extrasamples"] = ["unassalpha"]
    (tmp_path / "a.tif").write_bytes(kinds.tiff(values, **options))
    like = images.load_photo_file(tmp_path / "a.tif")
    top = np.iinfo(like.pixels.dtype).max
    shown = np.linspace(0, 1, 56 * 40 * 3).reshape(40, 56, 3)
    shown = {"dark": shown / 3, "bright": 0.6 + shown / 3, "any": shown}[after]
    pixels = (shown * top).round().astype(like.pixels.dtype)
    images.save_photo(tmp_path / "b.tif", pixels, like)
    back = images.load_photo_file(tmp_path / "b.tif")
    assert np.abs(back.pixels.astype(int) - pixels).max() <= 2
    if opacity:
        assert np.abs(back.alpha.astype(int) - like.alpha).max() <= 2


def test_fractions_and_ratings_stay_and_what_is_not_kept_is_named(tmp_path):
    primaries = (64, 100, 33, 100, 30, 100, 60, 100, 15, 100, 6, 100)
    tags = [(319, 5, 6, primaries, True), (18246, 3, 1, 4, True), (65000, 2, 3, "no", True)]
    data = kinds.tiff(RGB, resolution=(300, 300), extratags=tags, **PLAIN)
    like, out = written(tmp_path, data)
    found = tifffile.TiffFile(out).pages[0].tags
    assert found[319].value == primaries
    assert found[319].count == 6
    assert found[18246].value == 4
    assert like.notes == ("tags 65000",)
    with tifffile.TiffWriter(tmp_path / "c.tif") as file:
        file.write(RGB, subifds=1, metadata=None, **PLAIN)
        file.write(RGB[::2, ::2].copy(), metadata=None, **PLAIN)
    assert images.load_photo_file(tmp_path / "c.tif").notes == ("tags SubIFDs",)
    plain, _ = written(tmp_path, kinds.tiff(RGB, software="x", **PLAIN), "b.tif")
    assert plain.notes == ()


def test_twelve_bits_and_white_for_zero(tmp_path):
    values = (DEEP[..., 0] >> 4).reshape(-1, 2)
    packed = np.stack(
        [values[:, 0] >> 4, (values[:, 0] & 15) << 4 | values[:, 1] >> 8, values[:, 1] & 255], -1
    ).astype(np.uint8)
    tags = {256: 56, 257: 40, 258: 12, 259: 1, 262: 0, 277: 1, 278: 40, 279: packed.size}
    entries = {tag: exif.Entry(4, 1, struct.pack("<I", value)) for tag, value in tags.items()}
    head = 8 + 2 + 12 * 9 + 4
    entries[273] = exif.Entry(4, 1, struct.pack("<I", head))
    data = b"II*\0\x08\0\0\0" + exif.packed("<", entries, 8) + packed.tobytes()
    like, out = written(tmp_path, data)
    expected = 65535 - np.round(values.reshape(40, 56) * (65535 / 4095))
    assert np.abs(like.pixels[..., 0] - expected).max() <= 1
    np.testing.assert_array_equal(tifffile.imread(out), like.pixels[..., 0])


def test_colours_other_than_rgb_look_as_they_did(tmp_path):
    """Against the formula of JPEG, and against LittleCMS."""
    image = Image.fromarray(RGB)
    ycbcr = np.asarray(image.convert("YCbCr"))
    like, _ = written(tmp_path, kinds.tiff(ycbcr, photometric="ycbcr"))
    y, cb, cr = np.moveaxis(ycbcr.astype(float) - (0, 128, 128), -1, 0)
    rgb = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=-1)
    assert np.abs(like.pixels - np.clip(rgb, 0, 255)).max() <= 0.51
    lab = ImageCms.profileToProfile(
        image, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    like, out = written(tmp_path, kinds.encoded("TIFF", lab))
    assert np.abs(like.pixels.astype(int) - RGB).mean() < 1.5
    assert Image.open(out).mode == "RGB"
    assert any("L*a*b*" in note for note in like.notes)


def test_coarse_colour_of_ycbcr(tmp_path):
    """2 x 2 pixels share their colour, in units of four Y, one Cb, one Cr."""
    y = GREY.reshape(20, 2, 28, 2).swapaxes(1, 2).reshape(20, 28, 4)
    units = np.concatenate([y, np.full((20, 28, 2), (128, 168), np.uint8)], axis=-1)
    tags = {256: 56, 257: 40, 259: 1, 262: 6, 277: 3, 278: 40, 279: units.size}
    entries = {tag: exif.Entry(4, 1, struct.pack("<I", value)) for tag, value in tags.items()}
    entries[258] = exif.Entry(3, 3, struct.pack("<3H", 8, 8, 8))
    entries[273] = exif.Entry(4, 1, struct.pack("<I", 8 + 2 + 12 * 9 + 4 + 6))
    data = b"II*\0\x08\0\0\0" + exif.packed("<", entries, 8) + units.tobytes()
    like, _ = written(tmp_path, data)
    np.testing.assert_allclose(like.pixels[..., 0], np.minimum(GREY + 1.402 * 40, 255), atol=1)
    np.testing.assert_allclose(like.pixels[..., 2], GREY, atol=1)


@pytest.mark.parametrize("deep", [False, True])
def test_inks_keep_their_black(tmp_path, deep):
    inks = np.dstack([RGB // 2, photo(40, 56, 3)[..., 0]])
    inks = inks.astype(np.uint16) * 257 if deep else inks
    like, out = written(tmp_path, kinds.tiff(inks, photometric="separated"))
    back = tifffile.imread(out)
    top = np.iinfo(inks.dtype).max
    assert np.abs(back[..., 3].astype(int) - inks[..., 3]).max() <= 1
    shown = (top - inks[..., :3].astype(float)) * (top - inks[..., 3:].astype(float)) / top
    assert np.abs(like.pixels - shown).max() <= 1
    again = (top - back[..., :3].astype(float)) * (top - back[..., 3:].astype(float)) / top
    assert np.abs(again - shown).max() <= 0.01 * top


def test_multiplied_opacity_is_taken_out_of_the_colours(tmp_path):
    alpha = np.full((40, 56, 1), 128, np.uint8)
    multiplied = (RGB.astype(np.uint16) * 128 // 255).astype(np.uint8)
    data = kinds.tiff(np.dstack([multiplied, alpha]), extrasamples=["assocalpha"], **PLAIN)
    like, out = written(tmp_path, data)
    assert np.abs(like.pixels.astype(int) - RGB).max() <= 2
    assert tifffile.TiffFile(out).pages[0].extrasamples == (2,)
    assert (tifffile.imread(out)[..., 3] == 128).all()


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_turned_deep_tiff_comes_back_upright(tmp_path, orientation):
    stored = {
        2: DEEP[:, ::-1], 3: DEEP[::-1, ::-1], 4: DEEP[::-1], 5: DEEP.transpose(1, 0, 2),
        6: np.rot90(DEEP), 7: DEEP[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(DEEP, -1),
    }[orientation]  # fmt: skip
    data = kinds.tiff(
        np.ascontiguousarray(stored), extratags=[(274, 3, 1, orientation, True)], **PLAIN
    )
    _, out = written(tmp_path, data)
    assert images.photo_size(tmp_path / "a.tif") == (40, 56)
    np.testing.assert_array_equal(tifffile.imread(out), DEEP)
    assert 274 not in tifffile.TiffFile(out).pages[0].tags


def test_smaller_copies_are_no_further_photos(tmp_path):
    path = tmp_path / "a.tif"
    for marked in (True, False):
        with tifffile.TiffWriter(path) as file:
            file.write(RGB, metadata=None, **PLAIN)
            for step in (2, 4):
                small = np.ascontiguousarray(RGB[::step, ::step])
                file.write(small, subfiletype=int(marked), metadata=None, **PLAIN)
        like = images.load_photo_file(path)
        np.testing.assert_array_equal(like.pixels, RGB)
        assert like.notes == ("2 smaller copies of the picture",)
    with tifffile.TiffWriter(path) as file:
        for seed in (0, 1):
            file.write(kinds.colours(seed), metadata=None, **PLAIN)
    with pytest.raises(UserError, match="holds 2 pictures"):
        images.load_photo_file(path)


def test_what_describes_stays_and_what_stores_does_not(tmp_path):
    """EXIF, the place, texts that are no ASCII, XMP and IPTC, in both byte orders."""
    order, found = exif.of_block(kinds.exif_block(order=">"))
    source, out = tmp_path / "a.tif", tmp_path / "b.tif"
    block = exif.to_block(order, found)
    like = images.Photo(DEEP, file_format="TIFF", description=kinds.described(block))
    images.save_photo(source, DEEP, like)
    again = images.load_photo_file(source)
    images.save_photo(out, DEEP, again)
    for path in (source, out):
        page = tifffile.TiffFile(path).pages[0]
        assert kinds.TEXT in path.read_bytes()
        assert page.tags["ExifTag"].value["DateTimeOriginal"] == "2024:01:02 03:04:05"
        assert page.tags["GPSTag"].value["GPSLatitudeRef"] == "N"
        assert page.tags[700].value == b"<x:xmpmeta/>"
        assert page.tags[33723].valuebytecount == 8
    with_more = kinds.tiff(
        RGB, extratags=[(339, 3, 3, (1, 1, 1), True), (65000, 2, 3, "no", True)], **PLAIN
    )
    _, out = written(tmp_path, with_more, "c.tif")
    tags = tifffile.TiffFile(out).pages[0].tags
    assert 65000 not in tags


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (kinds.tiff(np.zeros((8, 8), np.float64)), "floating-point"),
        (kinds.tiff(np.zeros((8, 8), np.uint64)), "64 bits"),
        (kinds.tiff(RGB, extratags=[(50706, 1, 4, (1, 4, 0, 0), True)], **PLAIN), "raw file"),
        (
            kinds.tiff(RGB, **PLAIN).replace(
                struct.pack("<HHIH", 259, 3, 1, 1), struct.pack("<HHIH", 259, 3, 1, 34887)
            ),
            "compression 34887",
        ),
        (kinds.tiff(RGB, **PLAIN)[:-2000], "end is missing|damaged"),
    ],
)
def test_what_is_no_photo_is_one_line(tmp_path, data, reason):
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(UserError, match=reason) as caught:
        images.load_photo_file(tmp_path / "a.tif")
    assert "\n" not in str(caught.value)


def test_rows_of_a_strip_that_make_no_sense_are_all_rows(tmp_path):
    data = bytearray(kinds.tiff(RGB, **PLAIN))
    (start,) = struct.unpack_from("<I", data, 4)
    _, _, places = exif.read_directory(lambda at, count: bytes(data[at : at + count]), start, "<")
    struct.pack_into("<HHIi", data, places[278] - 8, 278, 9, 1, -5)
    like, _ = written(tmp_path, bytes(data))
    np.testing.assert_array_equal(like.pixels, RGB)


def test_strips_that_are_more_than_the_rows_need_are_no_photo(tmp_path):
    """Where the rows of a strip are said wrongly, the planes would be read from other places."""
    planes = np.moveaxis(RGB, -1, 0)
    data = bytearray(kinds.tiff(planes, planarconfig="separate", rowsperstrip=8, **PLAIN))
    (start,) = struct.unpack_from("<I", data, 4)
    _, _, places = exif.read_directory(lambda at, count: bytes(data[at : at + count]), start, "<")
    struct.pack_into("<HHII", data, places[278] - 8, 278, 4, 1, 2**31 + 1)
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(UserError, match="more strips or tiles than its rows need"):
        images.load_photo_file(tmp_path / "a.tif")
