"""Every common kind of picture in, and the same kind out."""

import functools
import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, PngImagePlugin

from fftdiff_jax.data import blocks, encoders, images
from fftdiff_jax.data.photo import Description, Photo
from fftdiff_jax.errors import UserError
from tests.data import kinds
from tests.data.trees import photo, save


def exif_with(orientation, **more):
    exif = Image.Exif()
    exif[0x0112] = orientation
    for tag, value in more.items():
        exif[int(tag[1:], 16)] = value
    return exif


@functools.cache  # a profile holds the second it was made in
def srgb():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def test_a_plain_png_is_read_exactly(tmp_path):
    pixels = photo(21, 34)
    loaded = images.load_photo(save(tmp_path / "a.png", pixels))
    np.testing.assert_array_equal(loaded, pixels)
    assert loaded.dtype == np.uint8
    assert loaded.flags.writeable


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_exif_orientation_is_applied(tmp_path, orientation, suffix):
    upright = photo(20, 30)
    # How a camera stores an upright scene for each orientation, by the EXIF standard's table.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif_with(orientation))
    np.testing.assert_array_equal(images.load_photo(path), upright)
    assert images.photo_size(path) == (20, 30)


def test_grey_is_repeated(tmp_path):
    grey = photo(16, 16)[..., 0]
    loaded = images.load_photo(save(tmp_path / "a.png", grey))
    np.testing.assert_array_equal(loaded, np.repeat(grey[..., None], 3, axis=-1))


def test_sixteen_bit_grey_is_scaled(tmp_path):
    values = np.array([[0, 257, 32768, 65535]] * 4, np.uint16)
    loaded = images.load_photo(save(tmp_path / "a.png", values))
    np.testing.assert_array_equal(loaded[0, :, 0], [0, 1, 128, 255])


def test_alpha_is_dropped_without_compositing(tmp_path):
    pixels = photo(16, 16)
    alpha = np.zeros((16, 16, 1), np.uint8)
    path = save(tmp_path / "a.png", np.concatenate([pixels, alpha], axis=-1))
    np.testing.assert_array_equal(images.load_photo(path), pixels)


@pytest.mark.parametrize("transparency", [None, 3, bytes([0, 128, 255])])
def test_palettes_become_their_colours(tmp_path, transparency):
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 10, 20, 30, 200, 100, 50])
    image.putpixel((2, 5), 2)
    options = {} if transparency is None else {"transparency": transparency}
    image.save(tmp_path / "a.png", **options)
    loaded = images.load_photo(tmp_path / "a.png")
    assert loaded[0, 0].tolist() == [10, 20, 30]
    assert loaded[5, 2].tolist() == [200, 100, 50]


def test_cmyk_and_bilevel_are_read(tmp_path):
    Image.new("CMYK", (9, 7), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    red = images.load_photo(tmp_path / "a.jpg")
    assert red.shape == (7, 9, 3)
    assert (abs(red[0, 0].astype(int) - [255, 0, 0]) <= 3).all()
    Image.new("1", (9, 7), 1).save(tmp_path / "b.png")
    assert (images.load_photo(tmp_path / "b.png") == 255).all()


def test_decoding_bytes_equals_reading_the_file(tmp_path):
    path = save(tmp_path / "a.jpg", photo(30, 20))
    np.testing.assert_array_equal(
        images.decode_photo(path.read_bytes(), "name"), images.load_photo(path)
    )


def test_save_png_leaves_nothing_behind_when_it_fails(tmp_path):
    with pytest.raises((UserError, TypeError)):
        images.save_png(tmp_path / "a.png", np.zeros((2, 2, 7), np.float32))
    assert list(tmp_path.iterdir()) == []


def restored(tmp_path, path, change=0):
    """Reads a photo, changes its pixels, writes it as it was, and opens the result."""
    like = images.load_photo_file(path)
    out = tmp_path / "out" / path.name
    top = np.iinfo(like.pixels.dtype).max
    pixels = np.clip(like.pixels.astype(int) + change, 0, top).astype(like.pixels.dtype)
    images.save_photo(out, pixels, like)
    assert not [p for p in out.parent.iterdir() if p.name.startswith(".")]  # no temporary file
    return like, Image.open(out)


def test_a_jpeg_keeps_profile_exif_and_resolution_and_is_upright(tmp_path):
    path = tmp_path / "a.jpg"
    exif = exif_with(6, x010f="Maker", x9003="2024:01:02 03:04:05")
    Image.fromarray(photo(40, 60)).save(path, exif=exif, icc_profile=srgb(), dpi=(300, 300))
    like, out = restored(tmp_path, path)
    assert out.format == "JPEG"
    assert out.size == (40, 60)  # stored as 60 wide, 40 high, and turned
    assert out.getexif()[0x0112] == 1
    assert out.getexif()[0x010F] == "Maker"
    assert out.info["icc_profile"] == srgb()
    assert tuple(round(v) for v in out.info["dpi"]) == (300, 300)
    assert np.abs(np.asarray(out).astype(int) - like.pixels).mean() < 3


def test_grey_stays_grey(tmp_path):
    grey = photo(20, 20)[..., 1]
    path = save(tmp_path / "a.png", grey)
    _, out = restored(tmp_path, path)
    assert out.mode == "L"
    np.testing.assert_array_equal(np.asarray(out), grey)


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_alpha_is_given_back(tmp_path, suffix):
    pixels = photo(20, 24)
    alpha = np.tile(np.arange(24, dtype=np.uint8) * 10 + 5, (20, 1))
    rgba = np.concatenate([pixels, alpha[..., None]], axis=-1)
    path = save(tmp_path / f"a.{suffix}", rgba, **({"lossless": True} if suffix == "webp" else {}))
    _, out = restored(tmp_path, path)
    assert out.mode == "RGBA"
    np.testing.assert_array_equal(np.asarray(out)[..., 3], alpha)


def test_grey_with_alpha_and_palette_with_alpha(tmp_path):
    both = np.stack([photo(12, 12)[..., 0], np.full((12, 12), 77, np.uint8)], axis=-1)
    path = save(tmp_path / "a.png", both)
    _, out = restored(tmp_path, path)
    assert out.mode == "LA"
    np.testing.assert_array_equal(np.asarray(out), both)
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.save(tmp_path / "p.png", transparency=bytes([255, 40]))
    _, out = restored(tmp_path, tmp_path / "p.png")
    assert out.mode == "RGBA"
    assert out.getpixel((0, 0)) == (10, 20, 30, 40)


def test_sixteen_bit_grey_stays_sixteen_bit(tmp_path):
    values = (photo(16, 16)[..., 0].astype(np.uint16)) * 257
    path = save(tmp_path / "a.png", values)
    like, out = restored(tmp_path, path)
    assert like.bits == 16
    assert out.mode.startswith("I;16")
    np.testing.assert_array_equal(np.asarray(out), values)


def deep_samples(png):
    """Decodes a 16-bit PNG whose rows are filtered by difference with the row above."""
    width, height, channels = *struct.unpack(">II", png[16:24]), {2: 3, 6: 4}[png[25]]
    place, squeezed = 8, b""
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        if png[place + 4 : place + 8] == b"IDAT":
            squeezed += png[place + 8 : place + 8 + length]
        place += length + 12
    rows = np.frombuffer(zlib.decompress(squeezed), np.uint8)
    rows = rows.reshape(height, -1)
    assert (rows[:, 0] == 2).all()
    samples = np.cumsum(rows[:, 1:], axis=0, dtype=np.uint8)
    return samples.reshape(-1).view(">u2").reshape(height, width, channels)


@pytest.mark.parametrize("with_alpha", [False, True])
@pytest.mark.parametrize("height", [12, 2 * encoders.STRIP_ROWS + 1])
def test_sixteen_bit_colour_stays_sixteen_bit(tmp_path, with_alpha, height):
    fine = photo(height, 15).astype(np.uint16) * 256 + 93
    alpha = np.full((height, 15), 200 * 257 + 1, np.uint16) if with_alpha else None
    said = Description(icc=srgb(), resolution=(150.0, 150.0))
    path = tmp_path / "a.png"
    images.save_photo(path, fine, Photo(fine, alpha, description=said))
    data = path.read_bytes()
    assert data[24] == 16  # the bit depth of the PNG header
    assert data[25] == (6 if with_alpha else 2)
    np.testing.assert_array_equal(deep_samples(data)[..., :3], fine)
    back = images.load_photo_file(path)
    assert back.bits == 16
    assert back.description.icc == srgb()
    assert tuple(round(v) for v in back.description.resolution) == (150, 150)
    np.testing.assert_array_equal(back.pixels, fine)
    if with_alpha:
        np.testing.assert_array_equal(back.alpha, alpha)


@pytest.mark.parametrize("channels", [3, 4])
def test_sixteen_bit_tiffs_keep_their_bits(tmp_path, rng, channels):
    """Pillow reads and writes them with 8 bits; a scanner's photo must not lose the others."""
    values = rng.integers(0, 65536, (40, 30, channels), dtype=np.uint16)
    tifffile.imwrite(
        tmp_path / "a.tif",
        values,
        photometric="rgb",
        extrasamples=["unassalpha"] if channels == 4 else None,
        iccprofile=srgb(),
        resolution=(300, 300),
        resolutionunit="INCH",
        extratags=[(271, 2, 6, "Maker", True)],
    )
    like = images.load_photo_file(tmp_path / "a.tif")
    assert like.bits == 16
    np.testing.assert_array_equal(like.pixels, values[..., :3])
    images.save_photo(tmp_path / "out.tif", values[..., :3], like)
    with tifffile.TiffFile(tmp_path / "out.tif") as out:
        np.testing.assert_array_equal(out.asarray(), values)
        assert out.pages[0].tags["Make"].value == "Maker"
    back = images.load_photo_file(tmp_path / "out.tif")
    assert back.description.icc == srgb()
    assert back.description.resolution == (300, 300)


def test_sixteen_bit_grey_with_alpha_in_a_tiff(tmp_path, rng):
    grey = rng.integers(0, 65536, (20, 30, 1), dtype=np.uint16)
    alpha = rng.integers(0, 65536, (20, 30), dtype=np.uint16)
    like = Photo(np.zeros((20, 30, 3), np.uint16), alpha, True, file_format="TIFF")
    images.save_photo(tmp_path / "a.tif", grey.repeat(3, -1), like)
    both = tifffile.imread(tmp_path / "a.tif")
    np.testing.assert_array_equal(both[..., 1], alpha)
    assert np.abs(both[..., 0].astype(int) - grey[..., 0]).max() <= 1


@pytest.mark.parametrize("height", [1, 600])
def test_grey_and_rounding_do_not_depend_on_strips(tmp_path, rng, height):
    values = rng.random((height, 5, 3), np.float32)
    grey = Photo(np.zeros((height, 5, 3), np.uint8), grey=True)
    images.save_photo(tmp_path / "a.png", values, grey)
    expected = np.floor(values.astype(np.float64) * 255 + 0.5) @ [0.299, 0.587, 0.114] + 0.5
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), expected.astype(int))


@pytest.mark.parametrize(
    ("values", "reason"),
    [(np.zeros((8, 8), np.float32), "floating-point"), (np.full((8, 8), 2**20), "16 bits")],
)
def test_whole_pictures_of_other_kinds_are_not_called_damaged(tmp_path, values, reason):
    Image.fromarray(values if values.dtype == np.float32 else values.astype(np.int32)).save(
        tmp_path / "a.tif"
    )
    with pytest.raises(UserError, match=f"cannot be used .*{reason}"):
        images.load_photo(tmp_path / "a.tif")


def test_float_pixels_are_rounded_and_clipped(tmp_path):
    values = np.array([[[-0.5, 0.5, 2.0]], [[0.0, 0.1, 1.0]]], np.float32)
    images.save_photo(tmp_path / "a.png", values, Photo(np.zeros((2, 1, 3), np.uint8)))
    back = images.load_photo(tmp_path / "a.png")
    assert back.reshape(-1).tolist() == [0, 128, 255, 0, 26, 255]


def test_cmyk_stays_cmyk(tmp_path):
    Image.fromarray(photo(20, 20)).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    _, out = restored(tmp_path, tmp_path / "a.jpg")
    assert out.mode == "CMYK"


def test_a_suffix_of_another_format_wins(tmp_path):
    like = images.load_photo_file(save(tmp_path / "a.jpg", photo(20, 20)))
    images.save_photo(tmp_path / "b.png", like.pixels, like)
    assert Image.open(tmp_path / "b.png").format == "PNG"


def test_broken_exif_does_not_cost_the_photo(tmp_path):
    pixels = photo(16, 16)
    info = PngImagePlugin.PngInfo()
    info.add(b"eXIf", b"Exif\0\0II*\0\xff\xff\xff\xff")
    Image.fromarray(pixels).save(tmp_path / "a.png", pnginfo=info)
    np.testing.assert_array_equal(images.load_photo(tmp_path / "a.png"), pixels)
    like, _ = restored(tmp_path, tmp_path / "a.png")
    np.testing.assert_array_equal(like.pixels, pixels)


def test_an_animation_is_not_one_photo(tmp_path):
    frames = [Image.fromarray(photo(8, 8, seed)) for seed in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(UserError, match="one photo a file"):
        images.load_photo_file(tmp_path / "a.gif")


def test_alpha_of_another_size_is_refused(tmp_path):
    like = Photo(photo(8, 8), alpha=np.zeros((4, 4), np.uint8))
    with pytest.raises(UserError, match="alpha"):
        images.save_photo(tmp_path / "a.png", photo(8, 8), like)
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_folder_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written") as caught:
        images.save_png(tmp_path / "file" / "a.png", photo(4, 4))
    assert "\n" not in str(caught.value)


def test_the_size_of_bytes_is_read_from_their_head():
    buffer = io.BytesIO()
    Image.fromarray(photo(10, 20)).save(buffer, format="JPEG", exif=exif_with(8))
    assert images.photo_size(buffer.getvalue()[:700], "name") == (20, 10)


def test_a_link_to_itself_is_not_called_damaged(tmp_path):
    (tmp_path / "loop.png").symlink_to("loop.png")
    with pytest.raises(UserError, match=r"cannot be opened \(too many levels"):
        images.load_photo(tmp_path / "loop.png")


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_the_transparent_level_of_a_grey_png_of_few_bits(tmp_path, bits):
    """The file names it in its own bits; Pillow's pixels have 8."""
    levels = np.arange(64).reshape(8, 8) % 2**bits
    single = (levels[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    packed = np.packbits(single.reshape(8, -1).astype(np.uint8), axis=1)
    rows = b"".join(b"\0" + row.tobytes() for row in packed)
    key = 2**bits // 2
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        blocks.chunk(name, body)
        for name, body in (
            (b"IHDR", struct.pack(">IIBBBBB", 8, 8, bits, 0, 0, 0, 0)),
            (b"tRNS", struct.pack(">H", key)),
            (b"IDAT", zlib.compress(rows)),
            (b"IEND", b""),
        )
    )
    for name, content in (("a.png", data), ("b.png", None)):
        if content:
            (tmp_path / name).write_bytes(content)
        like = images.load_photo_file(tmp_path / name)
        np.testing.assert_array_equal(like.alpha == 0, levels == key)
        np.testing.assert_array_equal(like.pixels[..., 0], levels * 255 // (2**bits - 1))
        images.save_photo(tmp_path / "b.png", like.pixels, like)


def test_a_png_may_say_more_than_a_megabyte(tmp_path):
    plain, text = (
        kinds.encoded("PNG"),
        b"Raw profile type xmp\0\0" + zlib.compress(bytes(3_000_000)),
    )
    (tmp_path / "a.png").write_bytes(plain[:33] + blocks.chunk(b"zTXt", text) + plain[33:])
    like = images.load_photo_file(tmp_path / "a.png")
    images.save_photo(tmp_path / "b.png", like.pixels, like)
    assert text in (tmp_path / "b.png").read_bytes()


def test_a_kind_of_bitmap_that_is_not_read_is_not_called_damaged(tmp_path):
    head = struct.pack("<IiiHHIIiiII", 40, 8, 8, 1, 16, 3, 128, 0, 0, 0, 0)
    masks = struct.pack("<3I", 0xF00, 0xF0, 0xF)
    file = struct.pack("<2sIHHI", b"BM", 66 + 128, 0, 0, 66)
    (tmp_path / "a.bmp").write_bytes(file + head + masks + bytes(128))
    with pytest.raises(UserError, match=r"cannot be used \(Unsupported BMP .* save it as PNG"):
        images.load_photo_file(tmp_path / "a.bmp")
