"""Damaged, foreign and hostile bytes: a picture comes out or one of our errors, and never a warning."""

import random
import struct
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from pictures import drawn, file_bytes
from PIL import Image

from encoder.errors import (
    PictureError,
    PictureTooLargeError,
    SourceError,
    UndecodablePictureError,
    UnsupportedFormatError,
)
from encoder.preprocessing import FORMATS, decode_picture, read_picture

# Long enough to tell the format from, for every format.
SIGNATURE = 16


def test_empty_and_foreign_bytes():
    with pytest.raises(UndecodablePictureError, match="empty"):
        decode_picture(b"")
    for data in (b"hello, this is text" * 9, b"%PDF-1.7 ...", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"<svg xmlns=''/>", b"MZ"):
        with pytest.raises(UnsupportedFormatError, match="JPEG, PNG"):
            decode_picture(data)
    for file_format in ("ICO", "PPM", "TGA", "EPS", "PDF", "ICNS", "JPEG2000"):
        with pytest.raises(UnsupportedFormatError):
            decode_picture(file_bytes(Image.new("RGB", (16, 16)), file_format))


@pytest.mark.parametrize("file_format", FORMATS)
def test_cut_short_anywhere(file_format):
    data = file_bytes(drawn((90, 140, 30), 1), file_format)
    for length in range(SIGNATURE, len(data) - 64, 1 + len(data) // 60):
        with pytest.raises(UndecodablePictureError):
            decode_picture(data[:length])
    for length in range(1, SIGNATURE):
        with pytest.raises(PictureError):
            decode_picture(data[:length])


def test_a_cut_header_is_called_damaged_and_not_unsupported():
    data = file_bytes(drawn((90, 140, 30), 1), "JPEG")
    with pytest.raises(UndecodablePictureError, match=r"begins as JPEG, but .* cut short \(20 bytes\)"):
        decode_picture(data[:20])


def test_a_progressive_jpeg_cut_short_is_refused_too():
    data = file_bytes(drawn((90, 140, 30), 1), "JPEG", progressive=True)
    for length in range(SIGNATURE, len(data) - 64, 1 + len(data) // 60):
        with pytest.raises(UndecodablePictureError):
            decode_picture(data[:length])


def png_header(width, height):
    """A PNG that declares a size and has next to no data."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(8001, 8001), (60_000, 60_000), (2**31 - 1, 1), (2**31 - 1, 2**31 - 1)])
def test_huge_sizes_are_refused_before_decoding(size):
    with pytest.raises(PictureError) as caught:
        decode_picture(png_header(*size))
    if size[0] * size[1] < 2**40:
        assert isinstance(caught.value, PictureTooLargeError)


def test_the_pixel_limit_is_the_callers():
    data = file_bytes(Image.new("RGB", (100, 100)))
    assert decode_picture(data, max_pixels=10_000).size == (100, 100)
    with pytest.raises(PictureTooLargeError, match="100 x 100 = 10,000 pixels, at most 9,999"):
        decode_picture(data, max_pixels=9_999)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "exif",
    [b"MM\0*", b"II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\x03\0\xff\xff\xff\xff" * 3, b"no EXIF at all", b"MM\0*\0\0"],
    ids=["header only", "endless", "foreign", "cut"],
)
def test_a_whole_picture_with_broken_exif_is_a_picture(file_format, exif):
    picture = drawn((90, 140, 30), 1)
    prefix = b"Exif\0\0" if file_format == "JPEG" else b""
    assert decode_picture(file_bytes(picture, file_format, exif=prefix + exif)).size == picture.size


def originals():
    """One picture in every format, mode and layout that is accepted."""
    picture, second = drawn((60, 90, 200), 3, (40, 32)), drawn((200, 90, 20), 4, (40, 32))
    exif = Image.Exif()
    exif[0x0112] = 6
    several = {"save_all": True, "append_images": [second]}
    return [
        *(file_bytes(picture, name) for name in FORMATS),
        *(file_bytes(picture, name, exif=exif) for name in ("JPEG", "PNG", "WEBP", "TIFF")),
        *(file_bytes(picture, name, **several) for name in ("GIF", "WEBP", "PNG", "TIFF", "MPO")),
        *(file_bytes(picture.convert(mode)) for mode in ("1", "L", "P", "LA", "RGBA", "I;16")),
        *(file_bytes(picture.convert(mode), "TIFF") for mode in ("F", "I", "CMYK", "LAB")),
        *(file_bytes(picture, "TIFF", compression=name) for name in ("tiff_lzw", "jpeg", "tiff_adobe_deflate")),
        file_bytes(picture.convert("CMYK"), "JPEG"),
        file_bytes(picture, "JPEG", progressive=True, exif=exif),
    ]


def mutated(data, chance):
    """Bytes overwritten, most of them in the header; sometimes a piece cut out or the end cut off."""
    data = bytearray(data)
    for _ in range(chance.randint(1, 12)):
        position = chance.randrange(min(len(data), chance.choice([40, 200, len(data)])))
        data[position] = chance.choice([0, 255, chance.randrange(256)])
    if chance.random() < 0.3:
        cut = chance.randrange(len(data))
        data = data[:cut] + data[cut + chance.randrange(40) :]
    return bytes(data) if chance.random() < 0.8 else bytes(data[: chance.randrange(1, len(data))])


def test_mutated_pictures_raise_ours_or_nothing():
    chance, pictures = random.Random(11), originals()
    outcomes, messages = {"decoded": 0, "refused": 0}, []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for number in range(420):
            data = mutated(pictures[number % len(pictures)], chance)
            try:
                assert decode_picture(data, max_pixels=4_000_000, min_side_wanted=16).mode == "RGB"
                outcomes["decoded"] += 1
            except PictureError as error:
                outcomes["refused"] += 1
                messages.append(error.message)
    assert warned == []
    assert min(outcomes.values()) > 40
    assert not any("\n" in message for message in messages)


def test_threads_that_decode_leave_the_filters_of_warnings_as_they_were():
    """Pillow warns of this EXIF; with one filter list for all threads, a warning must not get out of any."""
    exif = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\x03\0\xff\xff\xff\xff" * 3
    data = file_bytes(drawn((90, 140, 30), 1), "JPEG", exif=exif)
    before, interval = list(warnings.filters), sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as pool:
            sizes = set(pool.map(lambda _: decode_picture(data).size, range(200)))
    finally:
        sys.setswitchinterval(interval)
    assert sizes == {(64, 48)}
    assert warnings.filters == before


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "x.png").write_bytes(b"content")
    assert read_picture(tmp_path / "x.png") == b"content"
    with pytest.raises(SourceError, match="does not exist"):
        read_picture(tmp_path / "none.png")
    with pytest.raises(UndecodablePictureError, match="is a folder; name the picture in it"):
        read_picture(tmp_path)
    with pytest.raises(UndecodablePictureError, match="Not a directory"):
        read_picture(tmp_path / "x.png" / "y.png")
    with pytest.raises(SourceError, match="null byte"):
        read_picture(tmp_path / "a\0b.png")
