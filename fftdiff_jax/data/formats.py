"""The formats of pictures and videos by names and first bytes; imports no library of them."""

from __future__ import annotations

SUFFIXES = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), "JPEG"),
    **dict.fromkeys((".png", ".apng"), "PNG"),
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
    **dict.fromkeys((".heic", ".heif", ".hif"), "HEIF"),
    **dict.fromkeys((".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"), "JPEG2000"),
    **dict.fromkeys((".ppm", ".pgm", ".pbm", ".pnm"), "PPM"),
    **{".webp": "WEBP", ".avif": "AVIF", ".bmp": "BMP", ".dib": "DIB", ".gif": "GIF"},
}
PHOTO_SUFFIXES = tuple(SUFFIXES)
# Containers of video that are read, and what each is written as.
VIDEO_SUFFIXES = {
    **{suffix: suffix for suffix in (".mp4", ".m4v", ".mov", ".mkv")},
    **dict.fromkeys((".webm", ".avi", ".3gp", ".mts", ".m2ts", ".mpg", ".mpeg", ".wmv"), ".mkv"),
}
# Pictures that are no photos here: named, so that nobody waits for them.
_RAW = (
    *("3fr", "arw", "cr2", "cr3", "crw", "dcr", "dng", "erf", "fff", "iiq", "k25", "kdc", "mef"),
    *("mos", "mrw", "nef", "nrw", "orf", "pef", "raf", "raw", "rw2", "rwl", "sr2", "srf", "srw"),
    "x3f",
)
_OTHERS = (
    *("psd", "psb", "xcf", "kra", "tga", "exr", "hdr", "pic", "jxl", "jxr", "wdp", "hdp", "avifs"),
    *("heics", "heifs", "jps", "pns", "dds", "ico", "cur", "icns", "pcx", "pcd", "sgi", "rgb"),
    *("rgba", "bw", "ras", "sun", "xbm", "xpm", "qoi", "pfm", "pam", "fits", "fit", "eps", "svg"),
    *("emf", "wmf", "flif", "bpg", "j2", "jls", "jng", "mng", "dcm", "djvu"),
)
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_STARTS = {
    **{b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"GIF87a": "GIF", b"GIF89a": "GIF"},
    **{b"II*\0": "TIFF", b"MM\0*": "TIFF", b"II+\0": "TIFF", b"MM\0+": "TIFF"},
    **{b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG2000", b"\xff\x4f\xff\x51": "JPEG2000"},
}


def other_picture(suffix: str) -> str:
    """What a file with such a suffix is, in words, where it is a picture of no known format."""
    ending = suffix.lower().removeprefix(".")
    if ending in _RAW:
        return "a camera's raw file"
    return f"a picture of the kind {ending}" if ending in _OTHERS else ""


def kind_of(head: bytes) -> str:
    """The format that the first bytes of a file (up to 64) are those of, or nothing.

    Known are those whose first bytes no text has: not BMP and PNM.
    """
    if head[4:8] == b"ftyp":
        brands = [head[i : i + 4] for i in (8, *range(16, len(head) - 3, 4))]
        if b"avif" in brands:
            return "AVIF"
        return "HEIF" if any(brand in _HEIF_BRANDS for brand in brands) else ""
    if head[:4] == b"RIFF":
        return "WEBP" if head[8:12] == b"WEBP" else ""
    return next((name for start, name in _STARTS.items() if head.startswith(start)), "")
