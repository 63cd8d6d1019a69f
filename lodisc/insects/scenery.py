"""What surrounds a specimen and must not decide: background, occluder, light, noise. All drawn from one generator."""

import math

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFilter

Pixels = NDArray[np.float32]

BACKGROUNDS = ("paper", "foliage", "bark", "sky", "stone")


def as_colour(values: ArrayLike) -> Pixels:
    """Red, green and blue as float32, so that what is computed with them stays float32."""
    return np.asarray(values, dtype=np.float32)


def background(kind: str, side: int, rng: Generator) -> Pixels:
    """A backdrop of one kind in a muted colour of its own, float32 RGB in 0..255, shape (side, side, 3)."""
    level = as_colour(rng.uniform(95, 215) + rng.uniform(-12, 12, 3))
    if kind == "paper":
        field = level + _noise(side, (6, 6), rng) * 5
    elif kind == "foliage":
        green = level * as_colour([0.86, 1.0, 0.76])
        field = green + _noise(side, (9, 9), rng, grey=True) * 9 + _noise(side, (4, 4), rng) * 7
    elif kind == "bark":
        brown = level * as_colour([1.0, 0.9, 0.78])
        lengthwise = (5, 48) if rng.random() < 0.5 else (48, 5)
        field = brown + _noise(side, lengthwise, rng, grey=True) * 10 + _noise(side, (8, 8), rng) * 4
    elif kind == "sky":
        down = np.linspace(-1, 1, side, dtype=np.float32)[:, None, None]
        field = level + down * as_colour(rng.uniform(-28, 28, 3)) + np.zeros((side, side, 3), np.float32)
    elif kind == "stone":
        field = level + _noise(side, (64, 64), rng, grey=True) * 11
    else:
        raise ValueError(f"unknown background {kind!r}")
    clipped: Pixels = np.clip(field, 0, 255)
    return clipped


def _noise(side: int, cells: tuple[int, int], rng: Generator, *, grey: bool = False) -> Pixels:
    """Smooth noise of about unit variance, shape (side, side, 3)."""
    layers = []
    for _ in range(1 if grey else 3):
        coarse = rng.standard_normal((cells[1], cells[0])).astype(np.float32)
        layers.append(np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)))
    return np.stack(layers * (3 if grey else 1), axis=2)


def occluder(side: int, centre: tuple[float, float], reach: float, rng: Generator) -> tuple[Image.Image, Pixels]:
    """A blade, leaf or fingertip that comes in from an edge and covers a small part of the insect.

    Args:
        side: of the canvas in pixels.
        centre: of the insect.
        reach: half-span of the insect in pixels.
        rng: the specimen's.

    Returns:
        Its mask ("L") and its colour, float32, shape (3,).
    """
    towards = rng.uniform(0, 2 * math.pi)
    stop = reach * rng.uniform(0.45, 0.8)  # how far from the insect's centre it ends
    tip = np.array(centre) + stop * np.array([math.cos(towards), math.sin(towards)])
    lean = towards + rng.uniform(-0.7, 0.7)
    along = np.array([math.cos(lean), math.sin(lean)])
    across = np.array([-along[1], along[0]])
    kind = rng.integers(3)
    width = reach * (rng.uniform(0.04, 0.07), rng.uniform(0.10, 0.16), rng.uniform(0.14, 0.2))[kind]
    length = side * 1.5
    t = np.linspace(0, 1, 30)
    # Half width along it: a blade widens slowly, a leaf swells and narrows, a fingertip is round at once.
    profile = (t**0.4, np.sin(np.pi * np.clip(t * 2.2, 0, 1)) + 0.08, np.minimum(1, np.sqrt(t * 14)))[kind]
    middle = tip + np.outer(t * length * (1 if kind != 1 else 0.6), along)
    bend = np.outer(np.sin(t * math.pi) * reach * rng.uniform(-0.2, 0.2), across)
    edge = np.outer(profile * width, across)
    mask = Image.new("L", (side, side))
    points = np.concatenate([middle + bend + edge, (middle + bend - edge)[::-1]])
    ImageDraw.Draw(mask).polygon([tuple(point) for point in points.tolist()], fill=255)
    colours = (
        [rng.uniform(70, 130), rng.uniform(110, 170), rng.uniform(40, 80)],
        [rng.uniform(50, 150), rng.uniform(80, 140), rng.uniform(30, 70)],
        [rng.uniform(190, 230), rng.uniform(150, 180), rng.uniform(120, 150)],
    )
    return mask, as_colour(colours[kind])


def light(picture: Pixels, rng: Generator) -> Pixels:
    """Brightness, a warm or cold tint, and a soft gradient across the picture."""
    side = len(picture)
    warmth = rng.uniform(-0.10, 0.10)
    tint = as_colour([1 + warmth, 1.0, 1 - warmth]) * np.float32(rng.uniform(0.72, 1.18))
    direction = rng.uniform(0, 2 * math.pi)
    ramp = np.linspace(-1, 1, side, dtype=np.float32)
    slope = ramp[None, :] * math.cos(direction) + ramp[:, None] * math.sin(direction)
    gradient: Pixels = 1 + np.float32(rng.uniform(0, 0.22)) * slope[:, :, None].astype(np.float32)
    return picture * tint * gradient


def camera(picture: Pixels, rng: Generator) -> Image.Image:
    """A little blur and sensor noise, and the result as an 8-bit picture."""
    image = Image.fromarray(np.clip(np.rint(picture), 0, 255).astype(np.uint8))
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.8)))
    noisy = np.asarray(image, np.float32) + rng.standard_normal(picture.shape, np.float32) * np.float32(
        rng.uniform(1, 5)
    )
    return Image.fromarray(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))
