"""From the bytes of a picture to the encoder's input. The only place where that happens.

Training's evaluation, export's parity check, bulk indexing and the service all call these two functions, so a picture
cannot be decoded or resized in one way there and in another here. Whatever the bytes are, the outcome is a picture or
one of our PictureErrors.

The mean and standard deviation are not applied here: they are part of the ONNX graph, so a preprocessed picture is a
quarter of the bytes of a float tensor in every queue it waits in.
"""

import threading
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError, features

from encoder.errors import (
    PictureError,
    PictureTooLargeError,
    SourceError,
    UndecodablePictureError,
    UnsupportedFormatError,
)
from encoder.manifest import Preprocessing

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", *(("AVIF",) if features.check("avif") else ()))
MAX_PIXELS = 64_000_000
# A JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, but never below this multiple of what is wanted, so that the
# final antialiased resize decides how the picture looks and not the JPEG decoder.
DRAFT_OVERSAMPLING = 2
# Indexing decodes for the thumbnail too. Were a query decoded for less, the same JPEG would come out at another of the
# decoder's sizes, and its embedding would not be quite the indexed one.
LEAST_SIDE_WANTED = 256
# Of the tiles in which a picture with transparency or of more than 8 bits becomes RGB.
TILE_SIDE = 1024

_RESAMPLING = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
}
# How a stored picture is turned upright, by the value of EXIF's orientation; 1 is upright.
_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class _QuietPillow:
    """Ignores Pillow's warnings while any thread decodes; our own limits and errors decide.

    `warnings.catch_warnings` alone is not enough: it swaps a list that all threads share, so two decodes that overlap
    would restore each other's filters out of order.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._saved = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._saved = warnings.catch_warnings()
                self._saved.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._saved.__exit__(None, None, None)


_quiet_pillow = _QuietPillow()


def read_picture(path: Path) -> bytes:
    """The bytes of a picture file.

    Raises:
        SourceError: there is no such file.
        UndecodablePictureError: it is there but cannot be read, or is a folder.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise SourceError(f"picture {path} does not exist") from error
    except IsADirectoryError as error:
        raise UndecodablePictureError(f"{path} is a folder; name the picture in it") from error
    except OSError as error:
        raise UndecodablePictureError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # a null byte, or what the file system cannot spell
        raise SourceError(f"{str(path)!r} cannot be the path of a file: {error}") from error


def decode_picture(data: bytes, *, max_pixels: int = MAX_PIXELS, min_side_wanted: int | None = None) -> Image.Image:
    """Decode bytes to an upright RGB picture.

    EXIF orientation is applied; transparency is laid over white; 16-bit values are scaled, not clipped; of an animation
    the first frame is taken. Embedded colour profiles are not applied. EXIF that cannot be read is passed over.

    Args:
        data: the whole file.
        max_pixels: refuse more than this, before decoding.
        min_side_wanted: the shortest side that will be needed. A JPEG much larger is decoded at a fraction of its size,
            several times faster.

    Raises:
        UnsupportedFormatError: not one of FORMATS.
        PictureTooLargeError: more than `max_pixels`.
        UndecodablePictureError: damaged, cut short, or empty.
    """
    if not data:
        raise UndecodablePictureError("the picture is empty (0 bytes)")
    try:
        with _quiet_pillow:
            return _decode(data, max_pixels, min_side_wanted)
    except PictureError:
        raise
    except Image.DecompressionBombError as error:
        raise PictureTooLargeError(f"the picture has more than {max_pixels:,} pixels") from error
    except Exception as error:  # on damaged files Pillow raises nearly everything, struct.error and zlib.error too
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UndecodablePictureError(f"the picture cannot be decoded: {reason}") from error


def _decode(data: bytes, max_pixels: int, min_side_wanted: int | None) -> Image.Image:
    try:
        picture: Image.Image = Image.open(BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        begins_as = _format_by_signature(data)
        if begins_as:
            raise UndecodablePictureError(
                f"the picture begins as {begins_as}, but its header is damaged or cut short ({len(data):,} bytes)"
            ) from error
        raise UnsupportedFormatError(f"not a picture of a format that is accepted ({', '.join(FORMATS)})") from error
    width, height = picture.size
    if width < 1 or height < 1:
        raise UndecodablePictureError(f"the picture is {width} x {height} pixels")
    if width * height > max_pixels:
        raise PictureTooLargeError(
            f"the picture has {width} x {height} = {width * height:,} pixels, at most {max_pixels:,} are accepted"
        )
    if min_side_wanted and picture.format in ("JPEG", "MPO"):  # MPO: a camera's JPEG with a second one behind it
        _draft(picture, min_side_wanted)
    picture.load()
    return _to_rgb(_upright(picture))


def _format_by_signature(data: bytes) -> str | None:
    """The accepted format that the first bytes announce, if any; for the wording of an error."""
    signatures = {
        "JPEG": data.startswith(b"\xff\xd8\xff"),
        "PNG": data.startswith(b"\x89PNG\r\n\x1a\n"),
        "GIF": data.startswith((b"GIF87a", b"GIF89a")),
        "TIFF": data.startswith((b"II*\0", b"MM\0*")),
        "WEBP": data.startswith(b"RIFF") and data[8:12] == b"WEBP",
        "BMP": data.startswith(b"BM"),
        "AVIF": data[4:12] in (b"ftypavif", b"ftypavis"),
    }
    return next((name for name, found in signatures.items() if found and name in FORMATS), None)


def _upright(picture: Image.Image) -> Image.Image:
    """Apply the EXIF orientation. Unreadable EXIF counts as none, as in every viewer: the picture itself is whole."""
    try:
        orientation = picture.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # Pillow's parser raises struct.error, SyntaxError, ...
        return picture
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return picture if turn is None else picture.transpose(turn)


def _draft(picture: Image.Image, min_side_wanted: int) -> None:
    """Ask the JPEG decoder for the smallest of its sizes whose shortest side still has the oversampling."""
    shortest = DRAFT_OVERSAMPLING * max(min_side_wanted, LEAST_SIDE_WANTED)
    width, height = picture.size
    scale = shortest / min(width, height)
    # A CMYK picture drafted to RGB would skip its inversion, so only the size is drafted, never the mode.
    assert isinstance(picture, ImageFile.ImageFile)
    picture.draft(picture.mode, (round(width * scale), round(height * scale)))


def _to_rgb(picture: Image.Image) -> Image.Image:
    """Any mode of Pillow's as RGB."""
    if picture.mode == "RGB" and "transparency" not in picture.info:
        return picture
    if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
        return _in_tiles(picture, partial(_scaled, white=_white_of(picture)))
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        return _in_tiles(picture, _over_white)
    return picture.convert("RGB")


def _in_tiles(picture: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """A picture as RGB, converted tile by tile: what lies between, up to 20 bytes a pixel, is never there of all."""
    whole = Image.new("RGB", picture.size)
    for box in _tiles(picture):
        whole.paste(convert(picture.crop(box)), box)
    return whole


def _tiles(picture: Image.Image) -> Iterator[tuple[int, int, int, int]]:
    """The boxes (left, top, right, bottom) of the tiles of a picture, the last of them smaller."""
    width, height = picture.size
    for left, top in product(range(0, width, TILE_SIDE), range(0, height, TILE_SIDE)):
        yield left, top, min(left + TILE_SIDE, width), min(top + TILE_SIDE, height)


def _over_white(picture: Image.Image) -> Image.Image:
    white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")


def _white_of(picture: Image.Image) -> float:
    """The value that becomes white in a greyscale picture of 16 or 32 bits or of floats.

    Integers are taken as 16-bit unless they are larger; then, and for floats above 1, it is the largest value.
    """
    usual = 1.0 if picture.mode == "F" else 65535.0
    if picture.mode.startswith("I;16"):
        return usual
    return max(usual, *(float(_finite(picture.crop(box)).max()) for box in _tiles(picture)))


def _scaled(picture: Image.Image, white: float) -> Image.Image:
    """A greyscale picture of 16 or 32 bits or of floats as 8 bits: scaled, never clipped."""
    values = _finite(picture)
    values *= 255.0 / white
    return Image.fromarray(np.rint(values, out=values).astype(np.uint8)).convert("RGB")


def _finite(picture: Image.Image) -> NDArray[np.float32]:
    """The values of a greyscale picture; negative ones and NaN, which become black, are 0."""
    values = np.asarray(picture, dtype=np.float32)
    return np.where(np.isfinite(values), values, np.float32(0)).clip(min=0)


def preprocess(picture: Image.Image, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Crop and resize an RGB picture as the manifest says, in one antialiased resampling.

    Args:
        picture: as `decode_picture` gives it.
        preprocessing: of the bundle.

    Returns:
        RGB, uint8, shape (S, S, 3).
    """
    side = preprocessing.image_size
    resized = picture.resize(
        (side, side),
        _RESAMPLING[preprocessing.interpolation],
        box=preprocessing.crop_box(*picture.size),
        reducing_gap=None,
    )
    return np.asarray(resized)
