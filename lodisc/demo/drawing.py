"""One specimen: a species in a pose, in a light, on a background, sometimes with something in front of it.

A specimen is a function of its species and its number alone: no clock, no `hash()`, no global random state, so it is
the same pixels in every process. Whoever knows the species can name it in every picture: of each mark at least
one of the two mirrored sides stays visible.
"""

from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from lodisc.demo.affine import Affine, Point
from lodisc.demo.scenery import background, occluder
from lodisc.demo.species import Genus, Species, Wing
from lodisc.demo.wings import (
    BODY_ORIGIN,
    TEXTURE_ORIGIN,
    TEXTURE_SCALE,
    body_texture,
    mark_outline,
    wing_outline,
    wing_texture,
)

# Raised when the pictures change: sets of different versions are never mixed.
DRAWING_VERSION = 1
PICTURE_SIZE = 256
SUPERSAMPLING = 2
OCCLUDED_SHARE = 0.4
# A mark counts as visible where at most this part of it is hidden.
HIDDEN_LIMIT = 0.35

SIDES = (("left", -1.0), ("right", 1.0))
WINGS: tuple[Wing, ...] = ("hindwing", "forewing")  # in the order they are drawn


@dataclass(frozen=True)
class DrawnMark:
    """Where one mark is in the picture.

    Attributes:
        mark: index into the species' marks; left and right share it.
        part: the wing that carries it, as "left_forewing"; left as seen in the picture with the head up.
        x: centre in pixels from the left.
        y: centre in pixels from the top.
        radius: of the smallest disc about the centre that holds the mark, pixels.
        visible: not hidden by what crosses the picture.
    """

    mark: int
    part: str
    x: float
    y: float
    radius: float
    visible: bool


@dataclass(frozen=True)
class Specimen:
    """A picture, RGB, PICTURE_SIZE square, and its marks."""

    image: Image.Image
    marks: tuple[DrawnMark, ...]


@dataclass(frozen=True)
class _Pose:
    """Maps from the frame of each wing, and of the body, to picture pixels."""

    wings: dict[tuple[str, Wing], Affine]
    body: Affine
    centre: Point
    reach: float


def draw_specimen(species: Species, number: int, *, marked: bool = True) -> Specimen:
    """Draw specimen `number` (any integer) of a species.

    Args:
        species: what to draw.
        number: which individual; the same number of another species has another pose, light and background.
        marked: False leaves the marks out and changes nothing else; for checking where they are.

    Returns:
        The picture and where its marks are.
    """
    rng = Random(f"lodisc demo/{species.label}/{number}")
    pose = _draw_pose(rng, species.genus)
    insect = _draw_insect(species, pose, marked)
    canvas = background(rng, PICTURE_SIZE)
    canvas = _cast_shadow(rng, canvas, insect.getchannel("A"), pose.reach)
    variation = np.asarray([rng.uniform(0.93, 1.07) for _ in range(3)], np.float32)
    canvas = _lay_over(canvas, insect, variation)
    front = _draw_occluder(rng, species, pose)
    if front is not None:
        canvas = _cast_shadow(rng, canvas, front.getchannel("A"), pose.reach * 0.5)
        canvas = _lay_over(canvas, front, np.ones(3, np.float32))
    return Specimen(_photograph(rng, canvas), _marks_in_picture(species, pose, front))


def _draw_pose(rng: Random, genus: Genus) -> _Pose:
    """Scale, turn and place the insect so that it stays within the picture."""
    span = rng.uniform(0.60, 0.92) * PICTURE_SIZE
    turn = Affine.turn(rng.uniform(-35, 35))
    opening = {"forewing": rng.uniform(-7, 7), "hindwing": rng.uniform(-5, 5)}
    wings: dict[tuple[str, Wing], Affine] = {}
    for side, sign in SIDES:
        lift = rng.uniform(0.86, 1.0)
        for wing in WINGS:
            open_wing = Affine.turn(opening[wing] + rng.uniform(-2, 2), about=(0.02, -0.06))
            wings[side, wing] = turn @ Affine.scale(sign * lift, 1.0) @ open_wing
    # The middle of what the wings cover comes to the middle of the picture, give or take the room there is.
    covered = [
        to_insect(point) for (_, wing), to_insect in wings.items() for point in wing_outline(getattr(genus, wing))
    ]
    left, right = min(x for x, _ in covered), max(x for x, _ in covered)
    top, bottom = min(y for _, y in covered), max(y for _, y in covered)
    scale = min(span / 2, 0.94 * PICTURE_SIZE / max(right - left, bottom - top))
    room_x = max(0.0, 0.97 * PICTURE_SIZE - scale * (right - left)) / 2
    room_y = max(0.0, 0.97 * PICTURE_SIZE - scale * (bottom - top)) / 2
    move_x = PICTURE_SIZE / 2 - scale * (left + right) / 2 + rng.uniform(-1, 1) * min(room_x, 24)
    move_y = PICTURE_SIZE / 2 - scale * (top + bottom) / 2 + rng.uniform(-1, 1) * min(room_y, 24)
    place = Affine.shift(move_x, move_y) @ Affine.scale(scale, scale)
    return _Pose(
        wings={key: place @ wing_map for key, wing_map in wings.items()},
        body=place @ turn,
        centre=place((0.0, 0.0)),
        reach=scale,
    )


def _draw_insect(species: Species, pose: _Pose, marked: bool) -> Image.Image:
    """The insect alone, RGBA, PICTURE_SIZE square."""
    side_px = PICTURE_SIZE * SUPERSAMPLING
    layer = Image.new("RGBA", (side_px, side_px))
    for wing in WINGS:
        texture = wing_texture(species, wing, marked=marked)
        for side, _ in SIDES:
            _place_texture(layer, texture, TEXTURE_ORIGIN, pose.wings[side, wing])
    _place_texture(layer, body_texture(species.genus), BODY_ORIGIN, pose.body)
    return layer.resize((PICTURE_SIZE, PICTURE_SIZE), Image.Resampling.BOX)


def _place_texture(layer: Image.Image, texture: Image.Image, origin: Point, place: Affine) -> None:
    """Lay a texture over the layer, resampling only the box that it covers."""
    box = texture.getchannel("A").getbbox()
    assert box is not None, "a wing or body has no pixel"
    to_layer = (
        Affine.scale(SUPERSAMPLING, SUPERSAMPLING)
        @ place
        @ Affine.shift(-origin[0], -origin[1])
        @ Affine.scale(1 / TEXTURE_SCALE, 1 / TEXTURE_SCALE)
    )
    corners = [to_layer((x, y)) for x in (box[0], box[2]) for y in (box[1], box[3])]
    left = max(0, int(min(x for x, _ in corners)) - 1)
    top = max(0, int(min(y for _, y in corners)) - 1)
    right = min(layer.width, int(max(x for x, _ in corners)) + 2)
    bottom = min(layer.height, int(max(y for _, y in corners)) + 2)
    to_texture = to_layer.inverse() @ Affine.shift(left, top)
    patch = texture.transform(
        (right - left, bottom - top),
        Image.Transform.AFFINE,
        to_texture.coefficients(),
        resample=Image.Resampling.BILINEAR,
    )
    layer.alpha_composite(patch, (left, top))


def _cast_shadow(
    rng: Random, canvas: NDArray[np.float32], alpha: Image.Image, reach: float
) -> NDArray[np.float32]:
    """Darken the canvas where something above it takes the light."""
    offset = (round(rng.uniform(-0.07, 0.07) * reach), round(rng.uniform(0.02, 0.09) * reach))
    shadow = Image.new("L", alpha.size)
    shadow.paste(alpha, offset)
    soft = shadow.filter(ImageFilter.GaussianBlur(rng.uniform(0.03, 0.06) * reach))
    depth = np.float32(rng.uniform(0.25, 0.5) / 255)
    return canvas * (1 - depth * np.asarray(soft, np.float32)[..., None])


def _lay_over(
    canvas: NDArray[np.float32], layer: Image.Image, gain: NDArray[np.float32]
) -> NDArray[np.float32]:
    pixels = np.asarray(layer, np.float32)
    alpha = pixels[..., 3:] / np.float32(255)
    return canvas + (np.clip(pixels[..., :3] * gain, 0, 255) - canvas) * alpha


def _draw_occluder(rng: Random, species: Species, pose: _Pose) -> Image.Image | None:
    """Something in front in `OCCLUDED_SHARE` of the pictures; drawn anew where it would hide a mark on both sides."""
    if rng.random() >= OCCLUDED_SHARE:
        return None
    for _ in range(20):
        front = occluder(rng, PICTURE_SIZE, pose.centre, pose.reach)
        marks = _marks_in_picture(species, pose, front)
        if {mark.mark for mark in marks if mark.visible} == set(range(len(species.marks))):
            return front
    return None


def _marks_in_picture(species: Species, pose: _Pose, front: Image.Image | None) -> tuple[DrawnMark, ...]:
    alpha = None if front is None else np.asarray(front.getchannel("A"))
    last = PICTURE_SIZE - 1
    marks = []
    for index, mark in enumerate(species.marks):
        outline = mark_outline(species.genus, mark)
        for side, _ in SIDES:
            place = pose.wings[side, mark.wing]
            x, y = place(mark.at)
            edge = [place(point) for point in outline]
            radius = max(((px - x) ** 2 + (py - y) ** 2) ** 0.5 for px, py in edge)
            hidden = 0.0
            if alpha is not None:
                rings = [(x + (px - x) * r, y + (py - y) * r) for r in (0.3, 0.65, 0.95) for px, py in edge]
                covers = [alpha[min(last, max(0, int(py))), min(last, max(0, int(px)))] for px, py in rings]
                hidden = sum(int(value) > 127 for value in covers) / len(covers)
            marks.append(DrawnMark(index, f"{side}_{mark.wing}", x, y, radius, hidden <= HIDDEN_LIMIT))
    return tuple(marks)


def _photograph(rng: Random, canvas: NDArray[np.float32]) -> Image.Image:
    """Light, tint, a slight blur and grain."""
    size = canvas.shape[0]
    brightness, warmth = rng.uniform(0.78, 1.16), rng.uniform(-0.10, 0.10)
    tint = np.asarray([1 + warmth, 1.0, 1 - warmth], np.float32) * np.float32(brightness)
    slope_x, slope_y = rng.uniform(-0.16, 0.16), rng.uniform(-0.16, 0.16)
    ramp = np.arange(size, dtype=np.float32) / np.float32(size) - np.float32(0.5)
    light = 1 + np.float32(slope_x) * ramp[None, :, None] + np.float32(slope_y) * ramp[:, None, None]
    grain = np.frombuffer(rng.randbytes(size * size), np.uint8).reshape(size, size, 1).astype(np.float32)
    strength = np.float32(rng.uniform(2.0, 10.0) / 255)
    lit = canvas * light * tint + (grain - np.float32(127.5)) * strength
    picture = Image.fromarray(np.clip(lit + np.float32(0.5), 0, 255).astype(np.uint8), "RGB")
    blur = rng.uniform(0.0, 0.7)
    return picture.filter(ImageFilter.GaussianBlur(blur)) if blur > 0.3 else picture
