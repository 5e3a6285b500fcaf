"""What files say of their photos comes back, and what does not is said."""

import dataclasses
import struct

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from fftdiff_jax.data import exif, images
from fftdiff_jax.data.photo import Description
from fftdiff_jax.errors import UserError
from tests.data import kinds


def written(tmp_path, data, name):
    """What was read, what the written file says, its bytes, and what was not kept."""
    path, out = tmp_path / name, tmp_path / "out" / name
    path.write_bytes(data)
    like = images.load_photo_file(path)
    lost = images.save_photo(out, like.pixels, like)
    return like, images.load_photo_file(out), out.read_bytes(), (*like.notes, *lost)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "HEIF", "TIFF"])
def test_exif_and_xmp_stay_to_the_last_byte_but_for_the_orientation(tmp_path, kind):
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    block = kinds.exif_block(6, note=b"\1offsets of a maker\xff")
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r tiff:Orientation="6" t="J\xc3\xb6rg"/></x:xmpmeta>'
    )
    options = {"exif": (b"Exif\0\0" if kind == "JPEG" else b"") + block}
    if kind == "AVIF":  # Pillow would write the texts anew
        upright = exif.without(exif.upright(block), exif.ORIENTATION)
        options["exif"] = upright
    if kind == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode())
    elif kind != "TIFF":
        options["xmp"] = xmp
    if kind == "TIFF":
        like = images.Photo(kinds.colours(), file_format="TIFF", description=kinds.described(block))
        images.save_photo(tmp_path / "first.tif", like.pixels, like)
        data = (tmp_path / "first.tif").read_bytes()
    else:
        data = kinds.encoded(kind, **options)
    _, back, raw, lost = written(tmp_path, data, f"a.{kind.lower().replace('heif', 'heic')}")
    assert kinds.TEXT in raw
    assert b"\1offsets of a maker\xff" in raw
    assert exif.orientation(back.description.exif) == 1
    assert b'Orientation="6"' not in back.description.xmp
    if kind != "TIFF":
        assert "Jörg".encode() in back.description.xmp
        assert back.pixels.shape == (56, 40, 3)
    assert not lost


def test_exif_of_two_segments_and_a_broken_one_stay(tmp_path):
    block = kinds.exif_block(note=bytes(range(256)) * 350)
    plain = kinds.encoded("JPEG")
    parts = [block[i : i + 65527] for i in range(0, len(block), 65527)]
    segments = b"".join(
        b"\xff\xe1" + struct.pack(">H", len(part) + 8) + b"Exif\0\0" + part for part in parts
    )
    _, back, _, _ = written(tmp_path, plain[:2] + segments + plain[2:], "long.jpg")
    assert back.description.exif == block
    broken = kinds.exif_block()[:-30]  # its last directory is cut
    segment = b"\xff\xe1" + struct.pack(">H", len(broken) + 8) + b"Exif\0\0" + broken
    _, back, _, _ = written(tmp_path, plain[:2] + segment + plain[2:], "broken.jpg")
    assert back.description.exif == broken


def test_segments_of_a_jpeg_that_describe_stay(tmp_path):
    plain = kinds.encoded("JPEG", comment=b"J\xf6rg was here", icc_profile=kinds.srgb())
    iptc = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x08\x1c\x02\x05\0\x03abc"
    maker = b"\xff\xe9" + struct.pack(">H", 8) + b"hello\0"
    data = plain[:2] + b"\xff\xed" + struct.pack(">H", len(iptc) + 2) + iptc + maker + plain[2:]
    _, back, raw, _ = written(tmp_path, data, "a.jpg")
    assert iptc in raw
    assert maker in raw
    assert back.description.comment == b"J\xf6rg was here"
    assert back.description.icc == kinds.srgb()
    assert raw.count(b"ICC_PROFILE\0") == 1


def test_the_thumbnail_of_the_rainy_photo_goes():
    own = {274: exif.Entry(3, 1, b"\x06\0")}
    block = bytearray(exif.to_block("<", {0: own}))
    block[8 + 2 + 12 : 8 + 2 + 12 + 4] = struct.pack("<I", 500)  # where a thumbnail would lie
    upright = exif.upright(bytes(block))
    assert exif.orientation(upright) == 1
    assert upright[22:26] == b"\0\0\0\0"


def test_colours_of_a_png_are_shown_as_before(tmp_path):
    info = PngImagePlugin.PngInfo()
    chunks = {b"gAMA": struct.pack(">I", 100000), b"cHRM": bytes(range(32)), b"sRGB": b"\0"}
    for name, body in chunks.items():
        info.add(name, body)
    info.add_text("Author", "Jörg", zip=True)
    for image in (None, Image.fromarray(kinds.colours()[..., 0].astype(np.uint16) * 257)):
        data = kinds.encoded("PNG", image, pnginfo=info, dpi=(300, 300))
        _, back, raw, _ = written(tmp_path, data, "a.png")
        assert all(name + body in raw for name, body in chunks.items())
        assert b"zTXt" in raw
        assert round(back.description.resolution[0]) == 300
        assert raw.index(b"gAMA") < raw.index(b"IDAT")


def test_boxes_of_a_jpeg2000_stay(tmp_path):
    box = struct.pack(">I4s", 8 + 16 + 4, b"uuid") + bytes(16) + b"said"
    _, _, raw, _ = written(tmp_path, kinds.encoded("JPEG2000") + box, "a.jp2")
    assert raw.endswith(box)


def test_webp_without_loss_stays_so(tmp_path):
    data = kinds.every_format()["lossless.webp"]
    like, back, _, _ = written(tmp_path, data, "a.webp")
    assert like.lossless
    assert back.lossless
    np.testing.assert_array_equal(back.pixels, like.pixels)
    like, back, _, _ = written(tmp_path, kinds.every_format()["loss.webp"], "b.webp")
    assert not like.lossless
    assert not back.lossless


def transparent_gif(tmp_path):
    image = Image.fromarray(kinds.colours()).quantize(100)
    indices = np.array(image)
    indices[:10] = 99
    other = Image.fromarray(indices)
    other.putpalette(image.getpalette())
    return kinds.encoded("GIF", other, transparency=99)


def transparent_bmp(tmp_path):
    rgba = kinds.every_format()["lossless.webp"]
    (tmp_path / "x.webp").write_bytes(rgba)
    like = images.load_photo_file(tmp_path / "x.webp")
    images.save_photo(tmp_path / "x.bmp", like.pixels, like)
    return (tmp_path / "x.bmp").read_bytes()


@pytest.mark.parametrize(("make", "name"), [(transparent_gif, "a.gif"), (transparent_bmp, "a.bmp")])
def test_transparency_of_gif_and_bmp_stays(tmp_path, make, name):
    like, back, _, lost = written(tmp_path, make(tmp_path), name)
    assert like.alpha is not None
    assert len(np.unique(like.alpha)) > 1
    np.testing.assert_array_equal(back.alpha, like.alpha)
    assert not lost


@pytest.mark.parametrize(
    "name", ["deep.ppm", "deep.tiff", "deep.png", "alpha.png", "grey_alpha.png", "key.png"]
)
def test_sixteen_bits_come_whole_with_their_opacity(tmp_path, name, rng):
    """A dark ramp has more than four levels, and opacity has 16 bits too."""
    ramp = np.tile(np.arange(56, dtype=np.uint16) * 18, (40, 1))
    rgb = np.dstack([ramp, ramp + 1, ramp + 2])
    alpha = rng.integers(0, 65536, (40, 56), dtype=np.uint16)
    with_alpha = name in ("alpha.png", "grey_alpha.png")
    grey = name == "grey_alpha.png"
    like = images.Photo(rgb, alpha if with_alpha else None, grey)
    images.save_photo(tmp_path / name, rgb, like)
    if name == "key.png":  # one colour is transparent
        raw = (tmp_path / name).read_bytes()
        key = struct.pack(">I4s3H", 6, b"tRNS", 18, 19, 20) + b"\0\0\0\0"
        import zlib

        key = key[:-4] + struct.pack(">I", zlib.crc32(key[4:-4]))
        (tmp_path / name).write_bytes(raw[:33] + key + raw[33:])
        with_alpha, alpha = True, np.where((rgb == (18, 19, 20)).all(-1), 0, 65535)
    found, back, _, _ = written(tmp_path, (tmp_path / name).read_bytes(), name)
    for photo in (found, back):
        assert photo.bits == 16
        if not grey:
            np.testing.assert_array_equal(photo.pixels, rgb)
        if with_alpha:
            np.testing.assert_array_equal(photo.alpha, alpha)


def test_inks_of_a_jpeg_keep_their_black(tmp_path):
    inks = np.full((40, 56, 4), (30, 60, 90, 200), np.uint8)
    inks[:, ::2, 3] = 255
    image = Image.frombytes("CMYK", (56, 40), inks.tobytes())
    _, _, raw, _ = written(tmp_path, kinds.encoded("JPEG", image, quality=98), "a.jpg")
    (tmp_path / "b.jpg").write_bytes(raw)
    back = np.asarray(Image.open(tmp_path / "b.jpg"))
    assert back[..., 3].max() > 250
    assert np.abs(back.astype(int).sum(-1) - inks.astype(int).sum(-1))[:, 1::2].mean() < 12


def test_what_another_format_cannot_hold_is_said(tmp_path):
    like = images.Photo(
        kinds.colours().astype(np.uint16) * 257,
        np.zeros(kinds.SHAPE, np.uint16),
        file_format="TIFF",
        description=kinds.described(kinds.exif_block()),
    )
    lost = images.save_photo(tmp_path / "a.bmp", like.pixels, like)
    assert lost == ("EXIF", "XMP", "IPTC", "more than 8 bits a channel, rounded to 8")
    assert "transparency" in images.save_photo(tmp_path / "a.jpg", like.pixels, like)


def test_further_pictures_and_films_are_said(tmp_path):
    frames = [Image.fromarray(kinds.colours(seed)) for seed in (0, 1)]
    data = kinds.encoded("MPO", frames[0], save_all=True, append_images=frames[1:])
    _, _, raw, lost = written(tmp_path, data, "a.mpo")
    assert lost == ("1 further pictures in the file",)
    assert b"MPF\0" not in raw
    xmp = b"<x GCamera:MotionPhoto='1'/>"
    _, _, _, lost = written(tmp_path, kinds.encoded("JPEG", xmp=xmp), "b.jpg")
    assert lost == ("the film",)


@pytest.mark.parametrize("name", ["page.png", "page.jpg", "page.tif"])
def test_postscript_is_never_run_whatever_it_is_called(tmp_path, monkeypatch, name):
    from PIL import EpsImagePlugin

    def run(*args, **named):
        raise AssertionError("reached Ghostscript")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", run)
    Image.fromarray(kinds.colours()).save(tmp_path / "page.eps")
    (tmp_path / "page.eps").rename(tmp_path / name)
    for read in (images.load_photo, images.load_photo_file, images.photo_size):
        with pytest.raises(UserError, match="not a picture in a known format"):
            read(tmp_path / name)


def test_without_its_library_a_heic_names_it(tmp_path, monkeypatch):
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40))
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    with pytest.raises(UserError, match=r"pip install 'fftdiff-jax\[heic\]'"):
        images.load_photo(tmp_path / "a.jpg")


@pytest.mark.parametrize("name", sorted(kinds.every_format()))
def test_every_format_comes_back_as_it_was(tmp_path, name):
    like, back, _, _ = written(tmp_path, kinds.every_format()[name], name)
    assert back.pixels.shape == like.pixels.shape
    assert back.pixels.dtype == like.pixels.dtype
    assert (back.grey, back.file_format) == (like.grey, like.file_format)
    scale = 255 / np.iinfo(like.pixels.dtype).max
    assert np.abs(back.pixels.astype(float) - like.pixels).mean() * scale < 4


def test_what_reads_as_another_picture_is_not_kept(tmp_path, monkeypatch):
    """A writer that writes rubbish, or half of it, must not leave a photo behind."""
    like = images.Photo(kinds.colours())
    whole = images.ENCODERS["PNG"]
    for spoiled in (lambda *a, **n: [b"".join(whole(*a, **n))[:-700]], lambda *a, **n: [b"no"]):
        monkeypatch.setitem(images.ENCODERS, "PNG", spoiled)
        with pytest.raises(UserError):
            images.save_photo(tmp_path / "a.png", like.pixels, like)
        assert list(tmp_path.iterdir()) == []
    monkeypatch.setitem(
        images.ENCODERS,
        "PNG",
        lambda samples, *a, **n: whole(np.ascontiguousarray(255 - samples), *a, **n),
    )
    with pytest.raises(UserError, match="another picture"):
        images.save_photo(tmp_path / "a.png", like.pixels, like)
    assert list(tmp_path.iterdir()) == []


def segment(mark, body):
    return b"\xff" + bytes([mark]) + struct.pack(">H", len(body) + 2) + body


def resource(number, body):
    head = b"8BIM" + struct.pack(">HHI", number, 0, len(body))
    return head + body + b"\0" * (len(body) % 2)


def test_colours_comments_and_resolution_of_a_jpeg2000_stay(tmp_path):
    like = images.Photo(
        kinds.colours(),
        file_format="JPEG2000",
        description=Description(
            icc=kinds.srgb(), comment=b"J\xf6rg was here", resolution=(300, 8e5)
        ),
    )
    images.save_photo(tmp_path / "first.jp2", like.pixels, like)
    data = (tmp_path / "first.jp2").read_bytes()
    _, back, raw, lost = written(tmp_path, data, "a.jp2")
    assert (back.description.icc, back.description.comment) == (kinds.srgb(), b"J\xf6rg was here")
    np.testing.assert_allclose(back.description.resolution, (300, 8e5), rtol=1e-4)
    assert raw.count(b"colr") == raw.count(b"res ") == 1
    assert not lost
    # One that JPX allows with any profile is written as JP2 has it; a codestream has no place.
    _, back, raw, _ = written(tmp_path, data.replace(b"colr\2", b"colr\3"), "b.jp2")
    assert b"colr\2" in raw
    assert back.description.icc == kinds.srgb()
    _, _, _, lost = written(tmp_path, data, "c.j2k")
    assert lost == ("the colour profile",)
    # Colours that have a number and are neither sRGB nor grey keep it.
    at = data.index(b"colr")
    numbered = struct.pack(">I4sBBBI", 15, b"colr", 1, 0, 0, 21)
    rest = data[at - 4 + 8 + 3 + len(kinds.srgb()) :]
    shorter = struct.pack(">I", int.from_bytes(data[32:36], "big") - len(kinds.srgb()) + 4)
    assert data[36:40] == b"jp2h"
    _, _, raw, _ = written(
        tmp_path, data[:32] + shorter + data[36 : at - 4] + numbered + rest, "d.jp2"
    )
    assert numbered in raw


def test_the_profile_of_inks_is_not_given_to_the_rgb_of_a_jpeg2000(tmp_path):
    profile = b"\2\0\0a profile of inks"
    like = images.Photo(
        kinds.colours(),
        black=np.zeros(kinds.SHAPE, np.uint8),
        file_format="JPEG2000",
        description=Description(icc=profile[3:], blocks=((b"colr", profile),)),
    )
    lost = images.save_photo(tmp_path / "a.jp2", like.pixels, like)
    assert lost == ("inks: it is written as RGB",)
    assert profile not in (tmp_path / "a.jp2").read_bytes()


@pytest.mark.parametrize("white", [255, 65535])
def test_comments_of_a_pnm_stay(tmp_path, white):
    body = bytes(8 * 9 * 3 * (1 if white == 255 else 2))
    head = b"P6\n# J\xf6rg\n#was here\n 8 # wide\n9\n# " + 3000 * b"x" + b"\n%d\n" % white
    like, back, raw, lost = written(tmp_path, head + body, "a.ppm")
    assert like.description.comment == b"J\xf6rg\nwas here\nwide\n" + 3000 * b"x"
    assert back.description.comment == like.description.comment
    assert like.bits == back.bits == (8 if white == 255 else 16)
    assert raw.startswith(b"P6\n# J\xf6rg\n# was here\n")
    assert not lost


def test_a_deep_pnm_in_text_may_hold_comments_and_much_space(tmp_path):
    values = np.arange(64) * 1000
    lines = b"\n".join(b"%d   # level" % value for value in values)
    like, back, _, _ = written(tmp_path, b"P2\n8 8\n65535\n" + lines, "a.pgm")
    for photo in (like, back):
        np.testing.assert_array_equal(photo.pixels[..., 0].ravel(), values)


def test_the_profile_of_a_bitmap_is_named(tmp_path):
    pixels = bytes(8 * 8 * 3)
    head = struct.pack("<IiiHHIIiiII", 124, 8, 8, 1, 24, 0, len(pixels), 0, 0, 0, 0)
    head += bytes(16) + b"DEBM" + bytes(48) + struct.pack("<IIII", 4, 124 + 192, 588, 0)
    data = struct.pack("<2sIHHI", b"BM", 14 + 124 + 192 + 588, 0, 0, 14 + 124)
    like, _, _, lost = written(tmp_path, data + head + pixels + kinds.srgb(), "a.bmp")
    assert like.description.icc == kinds.srgb()
    assert lost == ("the colour profile",)


def test_extensions_of_a_gif_stay(tmp_path):
    xmp = b"<x:xmpmeta>J\xc3\xb6rg</x:xmpmeta>"
    profile = kinds.srgb()
    parts = [profile[i : i + 255] for i in range(0, len(profile), 255)]
    extensions = b"\x21\xff\x0bXMP DataXMP" + xmp + bytes([1, *range(255, -1, -1), 0])
    extensions += b"\x21\xff\x0bICCRGBG1012"
    extensions += b"".join(bytes([len(part)]) + part for part in parts) + b"\0"
    plain = kinds.encoded("GIF", comment=b"hello")
    start = 13 + (3 << (plain[10] & 7) + 1)
    data = b"GIF89a" + plain[6:start] + extensions + plain[start:]
    like, back, raw, lost = written(tmp_path, data, "a.gif")
    assert like.description.xmp == xmp
    assert like.description.icc == profile
    assert back.description == like.description
    assert extensions in raw
    assert not lost
    # What a PNG says goes into a GIF, and back.
    png = kinds.encoded("PNG", icc_profile=profile)
    (tmp_path / "b.png").write_bytes(png)
    photo = images.load_photo_file(tmp_path / "b.png")
    assert images.save_photo(tmp_path / "b.gif", photo.pixels, photo) == ()
    assert images.load_photo_file(tmp_path / "b.gif").description.icc == profile


@pytest.mark.parametrize("large", [b"", bytes(90_000)])
def test_photoshops_resources_stay_without_the_small_picture(tmp_path, large):
    """They may fill several segments, and the picture may lie across them."""
    small = b"\xff\xd8 a small picture of the rain" + large
    before, after = resource(1028, b"\x1c\x02\x05\0\3abc"), resource(2000, b"a path")
    whole = before + resource(1036, small) + after
    mark = b"Photoshop 3.0\0"
    segments = b"".join(
        segment(0xED, mark + whole[i : i + 60_000]) for i in range(0, len(whole), 60_000)
    )
    plain = kinds.encoded("JPEG")
    like, _, raw, lost = written(tmp_path, plain[:2] + segments + plain[2:], "a.jpg")
    assert mark + before + after in raw
    assert b"a small picture" not in raw
    assert like.description.iptc == b"\x1c\x02\x05\0\3abc"
    assert not lost
    data = kinds.tiff(kinds.colours(), photometric="rgb", extratags=[(34377, 7, 0, whole, True)])
    _, _, raw, lost = written(tmp_path, data, "a.tif")
    assert before + after in raw
    assert b"a small picture" not in raw
    assert not lost


def test_the_orientation_in_compressed_xmp_is_made_upright(tmp_path):
    import zlib

    from fftdiff_jax.data import blocks

    body = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b'<r tiff:Orientation="6"/>')
    plain = kinds.encoded("PNG")
    data = plain[:33] + blocks.chunk(b"iTXt", body) + plain[33:]
    like, back, _, _ = written(tmp_path, data, "a.png")
    assert like.pixels.shape == back.pixels.shape == (56, 40, 3)
    assert b'Orientation="1"' in back.description.xmp


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("progressive", [False, True])
def test_bytes_behind_a_picture_are_told(tmp_path, kind, progressive):
    data = kinds.encoded(kind, **({"progressive": progressive} if kind == "JPEG" else {}))
    name = f"a.{kind.lower()}"
    for padding in (b"", b"\0\0\n"):
        assert written(tmp_path, data + padding, name)[3] == ()
    assert written(tmp_path, data + b"a film", name)[3] == ("6 bytes behind the picture",)


def test_colours_of_a_film_are_told(tmp_path):
    """AVIF and HEIC may number their colours: BT.2020 with PQ, for example."""
    data = kinds.encoded("AVIF")
    at = data.index(b"colrnclx") + 8
    changed = data[:at] + struct.pack(">HH", 9, 16) + data[at + 4 :]
    assert any("9/16 of H.273" in note for note in written(tmp_path, changed, "a.avif")[3])
    assert written(tmp_path, data, "b.avif")[3] == ()


def test_what_one_format_alone_holds_is_named_in_others(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add(b"gAMA", struct.pack(">I", 100000))
    info.add_text("Author", "somebody")
    data = kinds.encoded("PNG", pnginfo=info, dpi=(300, 300))
    (tmp_path / "a.jpg").write_bytes(data)
    like = images.load_photo_file(tmp_path / "a.jpg")
    lost = images.save_photo(tmp_path / "b.jpg", like.pixels, like)
    assert lost == ("what PNG alone holds (gAMA, tEXt)",)
    large = dataclasses.replace(like, description=Description(xmp=bytes(70_000)))
    assert images.save_photo(tmp_path / "c.jpg", like.pixels, large) == ("XMP",)


def test_captions_of_a_jpeg_go_into_other_formats_and_are_named_by_themselves(tmp_path):
    """A JPEG that is called otherwise: its captions are no thing that JPEG alone holds."""
    caption = resource(1028, b"\x1c\x02\x05\0\3abc")
    plain = kinds.encoded("JPEG")

    def lost(name, body):
        data = plain[:2] + segment(0xED, b"Photoshop 3.0\0" + body) + plain[2:]
        return written(tmp_path, data, name)

    _, back, _, not_kept = lost("a.tif", caption + resource(1061, bytes(16)))
    assert back.description.iptc == b"\x1c\x02\x05\0\3abc"
    assert not not_kept
    assert lost("a.png", caption)[3] == ("IPTC",)
    not_kept = lost("b.png", caption + resource(2000, b"a path"))[3]
    assert not_kept == ("IPTC", "what JPEG alone holds (resources of Photoshop)")
    data = kinds.tiff(kinds.colours(), extratags=[(34377, 7, 0, resource(2000, b"x"), True)])
    not_kept = written(tmp_path, data, "c.jpg")[3]
    assert not_kept == ("what TIFF alone holds (resources of Photoshop)",)


@pytest.mark.parametrize("said", [b'tiff:Orientation="6"', b"tiff:Orientation = '6'"])
@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_an_orientation_in_xmp_alone_turns_the_photo(tmp_path, kind, said):
    """Whatever is called upright afterwards was turned before, however it was written."""
    like, back, _, _ = written(
        tmp_path, kinds.encoded(kind, xmp=b"<r %b/>" % said), f"a.{kind.lower()}"
    )
    assert like.pixels.shape == back.pixels.shape == (56, 40, 3)
    assert b"6" not in back.description.xmp
