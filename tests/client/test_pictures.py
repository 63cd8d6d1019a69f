"""What a client sends as a picture."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from encoder.errors import SourceError
from encoder.preprocessing import decode_picture
from lodisc.client.calls import search
from lodisc.client.pictures import picture_bytes


def noise(mode, size=(9, 6)):
    channels = len(mode) if mode != "1" else 1
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)
    return Image.fromarray(pixels.squeeze()).convert(mode) if channels == 1 else Image.fromarray(pixels, mode)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "1", "P"])
def test_a_picture_of_pillow_loses_nothing(mode):
    image = noise("RGB").convert(mode)
    with Image.open(BytesIO(picture_bytes(image))) as sent:
        assert np.array_equal(np.asarray(sent.convert("RGBA")), np.asarray(image.convert("RGBA")))


@pytest.mark.parametrize("mode", ["CMYK", "F", "HSV", "YCbCr"])
def test_what_a_png_cannot_hold_is_sent_in_rgb(mode):
    image = noise("RGB").convert("F" if mode == "F" else mode)
    with Image.open(BytesIO(picture_bytes(image))) as sent:
        assert sent.mode == "RGB"


def test_a_turned_photograph_is_sent_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    noise("RGB").save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as turned:
        sent = decode_picture(picture_bytes(turned))
    expected = decode_picture((tmp_path / "turned.png").read_bytes())
    assert sent.size == (6, 9)
    assert np.array_equal(np.asarray(sent), np.asarray(expected))


def test_bytes_and_files_go_as_they_are(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"any bytes")
    assert picture_bytes(tmp_path / "a.bin") == picture_bytes(str(tmp_path / "a.bin")) == b"any bytes"
    assert picture_bytes(b"any bytes") == b"any bytes"
    with pytest.raises(SourceError):
        picture_bytes("https://example.org/a.jpg")


def test_one_picture_or_several(tmp_path):
    assert len(search(b"a").files) == 1
    assert len(search([b"a", b"b"]).files) == 2
