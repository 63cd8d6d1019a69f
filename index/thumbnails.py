"""Small pictures for people: WebP, longest side 256 pixels, upright."""

from io import BytesIO

from PIL import Image

from encoder.preprocessing import decode_picture

LONGEST_SIDE = 256
QUALITY = 80


def thumbnail_of(picture: Image.Image) -> bytes:
    """The thumbnail of a decoded picture, which is left as it is."""
    small = picture.copy()
    small.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BICUBIC)
    buffer = BytesIO()
    small.save(buffer, "WEBP", quality=QUALITY)
    return buffer.getvalue()


def make_thumbnail(data: bytes) -> bytes:
    """The thumbnail of a picture file.

    Raises:
        PictureError: it cannot be decoded.
    """
    return thumbnail_of(decode_picture(data, min_side_wanted=LONGEST_SIDE))
