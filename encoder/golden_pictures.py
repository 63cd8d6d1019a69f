"""Drawn pictures in every format and oddity that preprocessing handles: what a bundle is verified by.

A model that answers differently in service than in training mostly does so here: a resize without antialiasing, red and
blue exchanged, an orientation ignored, transparency over black. Their bytes are stored in the bundle with what the
network makes of them, since another version of an encoder library would write other bytes.
"""

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, features

_ORIENTATION = 0x0112


def draw_golden_pictures() -> dict[str, bytes]:
    """The files, by name, in a fixed order."""
    return dict(_files())


def _files() -> Iterator[tuple[str, bytes]]:
    scene = _scene(200, 150)
    yield "baseline.jpg", _saved(scene, "JPEG", quality=90)
    yield "progressive.jpg", _saved(scene, "JPEG", quality=80, progressive=True)
    yield "subsampled.jpg", _saved(scene, "JPEG", quality=60, subsampling=2)
    yield "grey.jpg", _saved(scene.convert("L"), "JPEG")
    yield "cmyk.jpg", _saved(scene.convert("CMYK"), "JPEG")
    for orientation in (3, 6, 7):
        exif = Image.Exif()
        exif[_ORIENTATION] = orientation
        yield f"orientation-{orientation}.jpg", _saved(scene, "JPEG", exif=exif)
    yield "large.jpg", _saved(_scene(1600, 1200), "JPEG", quality=50)  # decoded at a fraction of its size
    yield "rgb.png", _saved(scene, "PNG")
    yield "alpha.png", _saved(_with_alpha(scene), "PNG")
    yield "palette.png", _saved(scene.quantize(64), "PNG")
    yield "palette-transparent.png", _saved(scene.quantize(32), "PNG", transparency=0)
    yield "one-bit.png", _saved(scene.convert("1"), "PNG")
    yield "grey-alpha.png", _saved(_with_alpha(scene).convert("LA"), "PNG")
    yield "sixteen-bit.png", _saved(_sixteen_bit(scene), "PNG")
    yield "lossy.webp", _saved(scene, "WEBP", quality=80)
    yield "lossless-alpha.webp", _saved(_with_alpha(scene), "WEBP", lossless=True)
    yield "lzw.tif", _saved(_scene(96, 72), "TIFF", compression="tiff_lzw")
    yield "cmyk.tif", _saved(_scene(72, 96).convert("CMYK"), "TIFF", compression="tiff_lzw")
    yield "animated.gif", _saved(scene, "GIF", save_all=True, append_images=[_scene(200, 150, turn=1.5)])
    yield "rows.bmp", _saved(_scene(97, 50), "BMP")
    if features.check("avif"):
        yield "still.avif", _saved(scene, "AVIF", quality=70)
    yield "tall.png", _saved(_scene(60, 480), "PNG")
    yield "wide.jpg", _saved(_scene(700, 50), "JPEG")
    yield "tiny.png", _saved(_scene(7, 5), "PNG")


def _scene(width: int, height: int, turn: float = 0.0) -> Image.Image:
    """Fine stripes, a gradient of each channel its own way, and a disc off centre: nothing in it is symmetric."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    y, x = y / height, x / width
    stripes = 0.5 + 0.5 * np.sin(2 * np.pi * (x * np.cos(turn) * 40 + y * 23))
    red = 0.15 + 0.7 * x + 0.15 * stripes
    green = 0.2 + 0.6 * y * (1 - x) + 0.1 * stripes
    blue = 0.85 - 0.6 * y - 0.2 * stripes * x
    disc = (x - 0.3) ** 2 + ((y - 0.62) * height / width) ** 2 < 0.02
    red, green, blue = (np.where(disc, value, channel) for value, channel in ((0.9, red), (0.75, green), (0.1, blue)))
    pixels = np.stack([red, green, blue], axis=-1).clip(0, 1) * 255
    return Image.fromarray(np.rint(pixels).astype(np.uint8))


def _with_alpha(scene: Image.Image) -> Image.Image:
    ramp = np.linspace(0, 255, scene.width, dtype=np.uint8)
    alpha = Image.fromarray(np.broadcast_to(ramp, (scene.height, scene.width)).copy())
    with_alpha = scene.copy()
    with_alpha.putalpha(alpha)
    return with_alpha


def _sixteen_bit(scene: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(scene.convert("L")).astype(np.uint16) * 257)


def _saved(picture: Image.Image, file_format: str, **options: Any) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()
