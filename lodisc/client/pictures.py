"""A picture as a request carries it: bytes of a file, whatever it was given as."""

import os
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageOps

from encoder.preprocessing import read_picture

# The bytes of a picture file, the path of one, or a picture of Pillow's.
Picture = bytes | str | os.PathLike[str] | Image.Image
PNG_MODES = frozenset({"1", "L", "LA", "I;16", "P", "RGB", "RGBA"})


def as_sequence(pictures: Picture | Sequence[Picture]) -> Sequence[Picture]:
    """One picture as a sequence of one; a sequence as it is."""
    return [pictures] if isinstance(pictures, bytes | str | os.PathLike | Image.Image) else pictures


def picture_bytes(picture: Picture) -> bytes:
    """The file to send.

    A picture of Pillow's is sent as a PNG, which loses nothing, after it was turned upright: its EXIF stays behind.

    Raises:
        SourceError: there is no file of that path. A URL is none: neither client nor server fetches one.
        UndecodablePictureError: it is there but cannot be read.
    """
    if isinstance(picture, bytes):
        return picture
    if isinstance(picture, Image.Image):
        upright = ImageOps.exif_transpose(picture)
        if upright.mode not in PNG_MODES:
            upright = upright.convert("RGB")
        buffer = BytesIO()
        upright.save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()
    return read_picture(Path(picture))
