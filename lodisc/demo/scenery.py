"""What lies behind and before the insect: backgrounds and the things that cross it.

All colours are drawn independently of the species. Every function takes a seeded `random.Random` and uses nothing
else that varies.
"""

import math
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from lodisc.demo.affine import Affine, Point
from lodisc.demo.species import Colour

BACKGROUNDS = ("paper", "foliage", "bark", "sky", "stone")


def _noise(rng: Random, cols: int, rows: int, size: int) -> NDArray[np.float32]:
    """Smooth noise in [0, 1] with `cols` x `rows` cells, float32, shape (size, size, 1)."""
    cells = Image.frombytes("L", (cols, rows), rng.randbytes(cols * rows))
    smooth = cells.resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(smooth, np.float32)[..., None] / np.float32(255)


def _hsv(hue: float, saturation: float, value: float) -> Colour:
    """A colour from hue, saturation and value, each in [0, 1]; the hue wraps."""
    channels = []
    for offset in (5, 3, 1):
        k = (offset + hue * 6) % 6
        channels.append(round(255 * (value - value * saturation * max(0.0, min(k, 4 - k, 1)))))
    return channels[0], channels[1], channels[2]


def _blend(low: Colour, high: Colour, amount: NDArray[np.float32]) -> NDArray[np.float32]:
    first, second = np.asarray(low, np.float32), np.asarray(high, np.float32)
    return first + (second - first) * amount


def background(rng: Random, size: int) -> NDArray[np.float32]:
    """A background, float32 in [0, 255], shape (size, size, 3)."""
    kind = rng.choice(BACKGROUNDS)
    hue = rng.random()
    if kind == "paper":
        low = _hsv(hue, rng.uniform(0.02, 0.22), rng.uniform(0.62, 0.82))
        high = _hsv(hue + rng.uniform(-0.05, 0.05), rng.uniform(0.02, 0.18), rng.uniform(0.84, 0.97))
        fibres = _noise(rng, size // 2, size // 2, size)
        return _blend(low, high, 0.75 * _noise(rng, 3, 3, size) + 0.25 * fibres)
    if kind == "sky":
        low = _hsv(hue, rng.uniform(0.15, 0.5), rng.uniform(0.5, 0.75))
        high = _hsv(hue + rng.uniform(-0.12, 0.12), rng.uniform(0.03, 0.25), rng.uniform(0.8, 0.97))
        ramp = np.arange(size, dtype=np.float32)[:, None, None] / np.float32(size)
        return _blend(low, high, np.clip(0.75 * ramp + 0.4 * _noise(rng, 4, 5, size) - 0.05, 0, 1))
    if kind == "stone":
        grey = rng.uniform(0.35, 0.75)
        low = _hsv(hue, rng.uniform(0.03, 0.2), grey - 0.15)
        high = _hsv(hue + rng.uniform(-0.2, 0.2), rng.uniform(0.03, 0.2), grey + 0.18)
        speckle = _noise(rng, size // 3, size // 3, size)
        return _blend(low, high, 0.5 * _noise(rng, 5, 5, size) + 0.2 * _noise(rng, 20, 20, size) + 0.3 * speckle)
    if kind == "bark":
        low = _hsv(hue, rng.uniform(0.1, 0.4), rng.uniform(0.2, 0.35))
        high = _hsv(hue + rng.uniform(-0.06, 0.06), rng.uniform(0.1, 0.35), rng.uniform(0.5, 0.75))
        ridges = 0.55 * _noise(rng, 14, 3, size) + 0.3 * _noise(rng, 50, 7, size)
        grain = ridges + 0.15 * _noise(rng, 110, 40, size)
        return _blend(low, high, grain if rng.random() < 0.5 else grain.transpose(1, 0, 2))
    return _foliage(rng, size, hue)


def _foliage(rng: Random, size: int, hue: float) -> NDArray[np.float32]:
    """Leaves out of focus."""
    small = size // 4
    picture = Image.new("RGB", (small, small), _hsv(hue, 0.45, rng.uniform(0.2, 0.5)))
    draw = ImageDraw.Draw(picture)
    for _ in range(26):
        x, y, r = rng.uniform(0, small), rng.uniform(0, small), rng.uniform(4, 13)
        colour = _hsv(hue + rng.uniform(-0.07, 0.07), rng.uniform(0.2, 0.55), rng.uniform(0.25, 0.8))
        draw.ellipse((x - r, y - r * rng.uniform(0.4, 1), x + r, y + r), fill=colour)
    blurred = picture.filter(ImageFilter.GaussianBlur(rng.uniform(1.5, 3.5)))
    return np.asarray(blurred.resize((size, size), Image.Resampling.BICUBIC), np.float32)


def occluder(rng: Random, size: int, centre: Point, reach: float) -> Image.Image:
    """A leaf, a blade of grass or a fingertip that crosses a small part of the insect.

    Args:
        rng: source of all draws.
        size: side of the picture in pixels.
        centre: where the insect is.
        reach: half its span in pixels.

    Returns:
        RGBA, size x size, transparent where nothing is in front.
    """
    kind = rng.choice(("leaf", "blade", "finger"))
    heading = rng.uniform(0, 360)
    aside = rng.uniform(0.25, 0.8) * reach
    length = size * 1.5
    along = [i / 24 for i in range(25)]
    spine: list[Point] = []
    if kind == "blade":
        half = rng.uniform(0.05, 0.08) * reach
        bow = rng.uniform(-0.25, 0.25) * reach
        spine = [((t - 0.5) * length, aside + 4 * bow * t * (1 - t)) for t in along]
        outline = [(x, y - half) for x, y in spine] + [(x, y + half) for x, y in reversed(spine)]
    elif kind == "leaf":
        half, tip = rng.uniform(0.14, 0.24) * reach, rng.uniform(0.1, 0.5) * reach
        spine = [(tip + t * length * 0.5, aside) for t in along]
        widths = [half * 4 * t**0.7 * (1 - t) for t in along]
        outline = [(x, y - width) for (x, y), width in zip(spine, widths, strict=True)]
        outline += [(x, y + width) for (x, y), width in zip(reversed(spine), reversed(widths), strict=True)]
    else:
        half, tip = rng.uniform(0.13, 0.19) * reach, rng.uniform(0.3, 0.6) * reach
        arc = [math.pi * (0.5 + i / 16) for i in range(17)]
        outline = [(tip + half + half * math.cos(a), aside + half * math.sin(a)) for a in arc]
        outline += [(length, aside - half * 1.1), (length, aside + half * 1.1)]
    colour = (
        _hsv(rng.uniform(0.03, 0.08), rng.uniform(0.25, 0.6), rng.uniform(0.45, 0.9))
        if kind == "finger"
        else _hsv(rng.uniform(0.08, 0.42), rng.uniform(0.3, 0.65), rng.uniform(0.3, 0.7))
    )
    place = Affine.shift(*centre) @ Affine.turn(heading)
    large = Affine.scale(2, 2) @ place
    mask = Image.new("L", (size * 2, size * 2))
    ImageDraw.Draw(mask).polygon([large(point) for point in outline], fill=255)
    mask = mask.resize((size, size), Image.Resampling.BOX)
    # Lit in the middle, darker at its edge.
    inside = np.asarray(mask.filter(ImageFilter.GaussianBlur(half * 0.6)), np.float32)[..., None]
    shaded = np.asarray(colour, np.float32) * (np.float32(0.55) + np.float32(0.6 / 255) * inside)
    layer = Image.fromarray(np.clip(shaded, 0, 255).astype(np.uint8), "RGB")
    if spine:
        dark = (colour[0] * 2 // 3, colour[1] * 2 // 3, colour[2] * 2 // 3)
        ImageDraw.Draw(layer).line([place(point) for point in spine], fill=dark, width=2, joint="curve")
    layer.putalpha(mask)
    return layer
