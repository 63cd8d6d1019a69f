"""Every odd picture becomes the upright RGB picture that a person sees, or one of our errors."""

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pictures import file_bytes
from PIL import Image

from encoder.manifest import Preprocessing
from encoder.preprocessing import decode_picture, preprocess


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


def test_a_transparent_colour_of_true_colour_and_grey():
    colours = Image.new("RGB", (2, 1), (10, 20, 30))
    colours.putpixel((1, 0), (200, 100, 50))
    found = pixels(decode_picture(file_bytes(colours, "PNG", transparency=(10, 20, 30))))
    assert found[0].tolist() == [[255, 255, 255], [200, 100, 50]]
    greys = Image.fromarray(np.array([[10, 200]], np.uint8))
    found = pixels(decode_picture(file_bytes(greys, "PNG", transparency=10)))
    assert found[0, :, 0].tolist() == [255, 200]


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


@pytest.mark.parametrize("byte_order", ["I;16", "I;16B"])
def test_16_bits_in_both_byte_orders_and_turned(byte_order):
    values = np.array([[0, 25700, 65535]], ">u2" if byte_order == "I;16B" else "<u2")
    stored = Image.frombytes(byte_order, (3, 1), values.tobytes())
    exif = Image.Exif()
    exif[0x0112] = 6
    found = pixels(decode_picture(file_bytes(stored, "TIFF", exif=exif)))
    assert found[:, :, 0].tolist() == [[0], [100], [255]]


def test_32_bits_are_taken_as_16_unless_larger():
    for values, expected in (([0, 25700, 65535], [0, 100, 255]), ([-5, 600_000, 1_000_000], [0, 153, 255])):
        found = pixels(decode_picture(file_bytes(Image.fromarray(np.array([values], np.int32)), "TIFF")))
        assert found[0, :, 0].tolist() == expected


def test_float_tiff():
    values = np.array([[0.0, 0.5, 1.0, np.nan]], np.float32)
    found = pixels(decode_picture(file_bytes(Image.fromarray(values), "TIFF")))
    assert found[0, :, 0].tolist() == [0, 128, 255, 0]


def test_floats_beyond_one_are_scaled():
    values = np.array([[-3.0, 100.0, 200.0, np.inf]], np.float32)
    found = pixels(decode_picture(file_bytes(Image.fromarray(values), "TIFF")))
    assert found[0, :, 0].tolist() == [0, 128, 255, 0]


def _of_many_values(kind):
    generator = np.random.default_rng(3)
    if kind == "float":
        return Image.fromarray(generator.normal(0, 900, (40, 60)).astype(np.float32)), "TIFF", {}
    if kind == "32 bits":
        return Image.fromarray(generator.integers(-5, 1_000_000, (40, 60)).astype(np.int32)), "TIFF", {}
    if kind == "16 bits":
        return Image.fromarray(generator.integers(0, 65536, (40, 60)).astype(np.uint16)), "PNG", {}
    rgba = Image.fromarray(generator.integers(0, 256, (40, 60, 4)).astype(np.uint8))
    if kind == "palette":
        return rgba.convert("RGB").quantize(50), "PNG", {"transparency": 7}
    return (rgba.convert("LA") if kind == "grey and alpha" else rgba), "PNG", {}


@pytest.mark.parametrize("kind", ["alpha", "grey and alpha", "palette", "16 bits", "32 bits", "float"])
def test_of_the_tiles_in_which_it_is_converted_nothing_is_seen(monkeypatch, kind):
    stored, file_format, options = _of_many_values(kind)
    data = file_bytes(stored, file_format, **options)
    at_once = pixels(decode_picture(data))
    assert len(np.unique(at_once)) > 20
    monkeypatch.setattr("encoder.preprocessing.TILE_SIDE", 7)
    assert np.array_equal(pixels(decode_picture(data)), at_once)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")
@pytest.mark.parametrize("kind", ["alpha", "16 bits"])
def test_a_picture_to_be_converted_takes_little_more_memory_than_file_and_result(tmp_path, kind):
    side = 3000
    grey = Image.fromarray(np.full((side, side), 25700, np.uint16))
    stored = Image.new("RGBA", (side, side), (200, 0, 0, 128)) if kind == "alpha" else grey
    (tmp_path / "large.png").write_bytes(file_bytes(stored))
    script = (
        "import re, sys; from pathlib import Path; from encoder.preprocessing import decode_picture\n"
        "def peak(): return int(re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text())[1]) * 1024\n"
        "data = Path(sys.argv[1]).read_bytes(); before = peak(); decode_picture(data); print(peak() - before)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "large.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert int(done.stdout) / side**2 < 12  # 4 bytes a pixel of each, and a tile


def test_cmyk_tiff_is_exact(picture):
    assert np.array_equal(pixels(decode_picture(file_bytes(picture.convert("CMYK"), "TIFF"))), pixels(picture))


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


def test_the_jpeg_of_a_stereo_camera_is_drafted_too():
    """MPO: a JPEG with a second one behind it, as many telephones write it."""
    large, second = Image.new("RGB", (1600, 1200), (9, 90, 200)), Image.new("RGB", (1600, 1200))
    decoded = decode_picture(file_bytes(large, "MPO", save_all=True, append_images=[second]), min_side_wanted=100)
    assert decoded.size == (800, 600)
    assert np.abs(pixels(decoded) - (9, 90, 200)).max() <= 3


def test_a_png_is_not_drafted(picture):
    assert decode_picture(file_bytes(picture), min_side_wanted=4).size == (60, 40)


def test_draft_never_goes_below_twice_what_is_wanted():
    for side in (300, 500, 900, 1700):
        data = file_bytes(Image.new("RGB", (side, side)), "JPEG")
        assert decode_picture(data, min_side_wanted=100).size[0] >= min(200, side)


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


def test_the_caller_s_bytes_and_picture_are_left_alone(picture):
    before = picture.tobytes()
    preprocess(picture, preprocessing())
    assert picture.tobytes() == before
    assert BytesIO(before).read() == before


def test_a_query_is_decoded_as_the_indexed_picture_was():
    """Indexing asks for the side of a thumbnail, a query for that of the encoder: the same pixels must come out."""
    data = file_bytes(Image.effect_noise((3000, 2000), 80).convert("RGB"), "JPEG")
    query, indexed = decode_picture(data, min_side_wanted=96), decode_picture(data, min_side_wanted=256)
    assert query.size == indexed.size
    assert query.tobytes() == indexed.tobytes()
