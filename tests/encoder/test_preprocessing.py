"""Every odd picture becomes the upright RGB picture that a person sees, or one of our errors."""

import random
import struct
import warnings
import zlib
from io import BytesIO

import numpy as np
import pytest
from pictures import drawn, file_bytes
from PIL import Image

from encoder.errors import PictureError, PictureTooLargeError, UndecodablePictureError, UnsupportedFormatError
from encoder.manifest import Preprocessing
from encoder.preprocessing import FORMATS, decode_picture, preprocess


def pixels(picture):
    return np.asarray(picture).astype(int)


def preprocessing(side=32, resize="shortest_side", crop_fraction=1.0, interpolation="bicubic"):
    return Preprocessing(
        image_size=side, resize=resize, crop_fraction=crop_fraction, interpolation=interpolation,
        mean=(0.5, 0.5, 0.5), std=(1.0, 1.0, 1.0),
    )  # fmt: skip


@pytest.fixture
def picture():
    """Red to the right, green downwards: upright or not can be told."""
    y, x = np.mgrid[0:40, 0:60]
    return Image.fromarray(np.stack([x * 4, y * 6, np.full_like(x, 90)], axis=2).astype(np.uint8))


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "TIFF"])
def test_lossless_formats_are_exact(picture, file_format):
    assert np.array_equal(pixels(decode_picture(file_bytes(picture, file_format))), pixels(picture))


@pytest.mark.parametrize("options", [{"quality": 95}, {"quality": 95, "progressive": True}])
def test_jpeg_is_close(picture, options):
    decoded = decode_picture(file_bytes(picture, "JPEG", subsampling=0, **options))
    assert np.abs(pixels(decoded) - pixels(picture)).max() <= 8


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied(picture, orientation, file_format):
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    stored = picture if orientation == 1 else picture.transpose(undo[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95} if file_format == "JPEG" else {"lossless": True} if file_format == "WEBP" else {}
    decoded = decode_picture(file_bytes(stored, file_format, exif=exif, **options))
    assert decoded.size == (60, 40)
    assert np.abs(pixels(decoded) - pixels(picture)).max() <= 16


def test_transparency_is_laid_over_white():
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[:2] = (200, 0, 0, 255)
    rgba[2:] = (200, 0, 0, 128)
    rgba[3] = (9, 9, 9, 0)
    found = pixels(decode_picture(file_bytes(Image.fromarray(rgba))))
    assert found[0, 0].tolist() == [200, 0, 0]
    assert np.abs(found[2, 0] - [227, 127, 127]).max() <= 1
    assert found[3, 0].tolist() == [255, 255, 255]


def test_grey_with_alpha():
    la = Image.merge("LA", [Image.new("L", (2, 2), 40), Image.new("L", (2, 2), 0)])
    assert pixels(decode_picture(file_bytes(la))).min() == 255


def test_palette_with_a_transparent_colour():
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 100, 50] + [0] * 762)
    palette.putpixel((1, 0), 1)
    found = pixels(decode_picture(file_bytes(palette, "PNG", transparency=0)))
    assert found[0].tolist() == [[255, 255, 255], [200, 100, 50]]
    assert pixels(decode_picture(file_bytes(palette, "GIF")))[0, 0].tolist() == [10, 20, 30]


def test_one_bit():
    bits = Image.new("1", (8, 8))
    bits.putpixel((3, 3), 1)
    found = pixels(decode_picture(file_bytes(bits)))
    assert found[3, 3].tolist() == [255] * 3
    assert found.sum() == 3 * 255


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_16_bits_are_scaled_and_not_clipped(file_format):
    values = np.array([[0, 257, 25700, 65535]], np.uint16)
    found = pixels(decode_picture(file_bytes(Image.fromarray(values), file_format)))
    assert found[0, :, 0].tolist() == [0, 1, 100, 255]


def test_float_tiff():
    values = np.array([[0.0, 0.5, 1.0, np.nan]], np.float32)
    found = pixels(decode_picture(file_bytes(Image.fromarray(values), "TIFF")))
    assert found[0, :, 0].tolist() == [0, 128, 255, 0]


def test_cmyk_jpeg_as_adobe_writes_it(picture):
    """Pillow writes CMYK JPEGs with Adobe's marker, that is inverted; they must not come out as negatives."""
    decoded = decode_picture(file_bytes(picture.convert("CMYK"), "JPEG", quality=95), min_side_wanted=8)
    assert np.abs(pixels(decoded) - pixels(picture.resize(decoded.size))).mean() < 12


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_several(file_format):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ((250, 0, 0), (0, 250, 0))]
    options = {"lossless": True} if file_format == "WEBP" else {}
    data = file_bytes(frames[0], file_format, save_all=True, append_images=frames[1:], **options)
    assert pixels(decode_picture(data))[8, 8].tolist() == [250, 0, 0]


def test_a_large_jpeg_is_decoded_small_and_looks_the_same():
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (90, 120, 3), np.uint8))
    data = file_bytes(small.resize((4000, 3000), Image.Resampling.BICUBIC), "JPEG", quality=90)
    drafted = decode_picture(data, min_side_wanted=224)
    assert 448 <= min(drafted.size) < 3000
    whole, fast = (preprocess(one, preprocessing(224)).astype(int) for one in (decode_picture(data), drafted))
    assert np.abs(whole - fast).mean() < 1.0


def test_draft_never_goes_below_twice_what_is_wanted():
    for side in (300, 500, 900, 1700):
        data = file_bytes(Image.new("RGB", (side, side)), "JPEG")
        assert decode_picture(data, min_side_wanted=100).size[0] >= min(200, side)


def test_crop_boxes_by_hand():
    assert preprocessing().crop_box(60, 40) == (10, 0, 50, 40)
    assert preprocessing().crop_box(40, 61) == (0, 10.5, 40, 50.5)
    assert preprocessing(crop_fraction=0.5).crop_box(60, 40) == (20, 10, 40, 30)
    assert preprocessing(resize="stretch").crop_box(60, 40) == (0, 0, 60, 40)


def test_preprocess_is_crop_and_resize(picture):
    expected = picture.crop((10, 0, 50, 40)).resize((32, 32), Image.Resampling.BICUBIC)
    found = preprocess(picture, preprocessing())
    assert found.dtype == np.uint8
    assert found.shape == (32, 32, 3)
    # Cropping first leaves nothing beyond the edge to interpolate with; inside, both are the same.
    assert np.array_equal(found[4:-4, 4:-4], np.asarray(expected)[4:-4, 4:-4])
    stretched = picture.resize((32, 32), Image.Resampling.BILINEAR)
    assert np.array_equal(preprocess(picture, preprocessing(resize="stretch", interpolation="bilinear")), stretched)


def test_the_smallest_picture():
    assert preprocess(decode_picture(file_bytes(Image.new("RGB", (1, 1), (7, 8, 9)))), preprocessing()).shape == (
        32,
        32,
        3,
    )
    assert preprocess(decode_picture(file_bytes(Image.new("RGB", (1, 999)))), preprocessing()).shape == (32, 32, 3)


def test_empty_and_foreign_bytes():
    with pytest.raises(UndecodablePictureError, match="empty"):
        decode_picture(b"")
    for data in (b"hello, this is text" * 9, b"%PDF-1.7 ...", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"<svg xmlns=''/>", b"MZ"):
        with pytest.raises(UnsupportedFormatError, match="JPEG, PNG"):
            decode_picture(data)
    for file_format in ("ICO", "PPM", "TGA"):
        with pytest.raises(UnsupportedFormatError):
            decode_picture(file_bytes(Image.new("RGB", (16, 16)), file_format))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"])
def test_cut_short_anywhere(file_format):
    data = file_bytes(drawn((90, 140, 30), 1), file_format)
    for share in (0.1, 0.3, 0.5, 0.7, 0.9):
        with pytest.raises(PictureError):
            decode_picture(data[: int(len(data) * share)])


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


def test_mutated_pictures_raise_ours_or_nothing():
    """Flipped bytes, cuts and repeats in every format: a picture comes out or a PictureError, and no warning."""
    chance = random.Random(11)
    originals = [file_bytes(drawn((60, 90, 200), 3), name) for name in FORMATS if name != "AVIF"]
    exif = Image.Exif()
    exif[0x0112] = 6
    originals.append(file_bytes(drawn((10, 90, 20), 4), "JPEG", exif=exif, progressive=True))
    outcomes, messages = {"decoded": 0, "refused": 0}, []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in range(400):
            data = bytearray(originals[number % len(originals)])
            for _ in range(chance.randint(1, 12)):
                position = chance.randrange(min(len(data), 200) if chance.random() < 0.5 else len(data))
                data[position] = chance.randrange(256)
            if chance.random() < 0.3:
                cut = chance.randrange(len(data))
                data = data[:cut] + data[cut + chance.randrange(40) :]
            try:
                assert decode_picture(bytes(data), min_side_wanted=16).mode == "RGB"
                outcomes["decoded"] += 1
            except PictureError as error:
                outcomes["refused"] += 1
                messages.append(error.message)
    assert min(outcomes.values()) > 40
    assert not any("\n" in message for message in messages)


def test_the_caller_s_bytes_and_picture_are_left_alone(picture):
    before = picture.tobytes()
    preprocess(picture, preprocessing())
    assert picture.tobytes() == before
    assert BytesIO(before).read() == before
