"""One specimen: a picture, and where its marks truly are.

A function of the species and the specimen's number alone: the same pixels on every run.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from lodisc.insects.geometry import Points, Pose, mark_outlines, wing_outlines
from lodisc.insects.scenery import BACKGROUNDS, as_colour, background, camera, light, occluder
from lodisc.insects.species import Colour, Genus, Species

SIDE = 256
# Drawn this much larger, then reduced, for smooth edges.
OVERSAMPLING = 2
CANVAS = SIDE * OVERSAMPLING
# A mark of which less is to be seen counts as hidden.
VISIBLE_SHARE = 0.7
OCCLUDED_SHARE = 0.4
# The family's look is changed by raising this; pictures of different versions are never mixed.
DRAWING_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class MarkRegion:
    """Where a mark is in the finished picture.

    Attributes:
        part: "left" or "right", and the number of the mark: "left_0".
        x, y: its centre in pixels.
        radius: of the circle around it that holds it all, in pixels.
        visible: not hidden by the occluder.
    """

    part: str
    x: float
    y: float
    radius: float
    visible: bool


@dataclass(frozen=True)
class Specimen:
    """A finished picture (RGB, SIDE x SIDE) and its marks."""

    image: Image.Image
    marks: list[MarkRegion]


def draw_specimen(species: Species, number: int, *, with_marks: bool = True) -> Specimen:
    """Draw specimen `number` of a species.

    Args:
        species: what to draw.
        number: 0-based; each number is another individual, pose, light and background.
        with_marks: False leaves the marks away and everything else as it is, to see where they were.
    """
    rng = np.random.default_rng([DRAWING_VERSION, species.number, number])
    pose = _pose(rng)
    canvas = background(BACKGROUNDS[rng.integers(len(BACKGROUNDS))], CANVAS, rng)
    _shadow(canvas, species.genus, pose, rng)
    _wings(canvas, species.genus, pose, rng)
    if with_marks:
        _marks(canvas, species, pose)
    _body(canvas, species.genus, pose)
    hiding = _occlude(canvas, species, pose, rng)
    reduced = canvas.reshape(SIDE, OVERSAMPLING, SIDE, OVERSAMPLING, 3).mean(axis=(1, 3))
    return Specimen(camera(light(reduced, rng), rng), _mark_regions(species, pose, hiding))


def _pose(rng: Generator) -> Pose:
    span = rng.uniform(0.68, 0.94) * CANVAS
    slack = (CANVAS - span) / 2
    return Pose(
        centre=(CANVAS / 2 + rng.uniform(-0.7, 0.7) * slack, CANVAS / 2 + rng.uniform(-0.7, 0.7) * slack),
        half_span=span / 2,
        angle_deg=rng.uniform(-30, 30),
        opening=(rng.uniform(0.85, 1.0), rng.uniform(0.85, 1.0)),
        squeeze=rng.uniform(0.88, 1.0),
    )


def _mask(points: Points) -> Image.Image:
    mask = Image.new("L", (CANVAS, CANVAS))
    ImageDraw.Draw(mask).polygon([tuple(point) for point in points.tolist()], fill=255)
    return mask


def _paint(canvas: NDArray[np.float32], mask: Image.Image, colour: NDArray[np.float32], opacity: float = 1.0) -> None:
    """Lay a colour, or a picture of colours, over the canvas where the mask is."""
    box = mask.getbbox()
    if box is None:
        return
    left, top, right, bottom = box
    window = (slice(top, bottom), slice(left, right))
    alpha = np.asarray(mask, np.float32)[window][:, :, None] * np.float32(opacity / 255)
    laid = colour[window] if colour.ndim == 3 else colour
    canvas[window] += (laid - canvas[window]) * alpha


def _shadow(canvas: NDArray[np.float32], genus: Genus, pose: Pose, rng: Generator) -> None:
    offset = rng.uniform(-1, 1, 2) * 0.05 * pose.half_span + [0, 0.03 * pose.half_span]
    shadow = Image.new("L", (CANVAS, CANVAS))
    draw = ImageDraw.Draw(shadow)
    for outline in wing_outlines(genus).values():
        for mirrored in (False, True):
            points = pose.place(outline, mirrored=mirrored) + offset
            draw.polygon([tuple(point) for point in points.tolist()], fill=255)
    shadow = shadow.reduce(4).filter(ImageFilter.GaussianBlur(3)).resize((CANVAS, CANVAS))
    _paint(canvas, shadow, as_colour([20, 20, 26]), rng.uniform(0.25, 0.45))


def _wings(canvas: NDArray[np.float32], genus: Genus, pose: Pose, rng: Generator) -> None:
    vary = as_colour(rng.normal(0, 5, 3))  # individuals differ a little
    y, x = np.mgrid[0:CANVAS, 0:CANVAS].astype(np.float32)
    distance = np.hypot(x - pose.centre[0], y - pose.centre[1]) / np.float32(pose.half_span)
    outwards = np.clip((distance - 0.15) / 0.8, 0, 1)[:, :, None]
    ground = as_colour(genus.inner) * (1 - outwards) + as_colour(genus.outer) * outwards + vary
    for part, outline in wing_outlines(genus).items():
        for mirrored in (False, True):
            points = pose.place(outline, mirrored=mirrored)
            mask = _mask(points)
            _paint(canvas, mask, ground)
            _veins(canvas, genus, part, outline, pose, mirrored, mask)
            _border(canvas, genus, points, pose)


def _veins(
    canvas: NDArray[np.float32],
    genus: Genus,
    part: str,
    outline: Points,
    pose: Pose,
    mirrored: bool,
    wing: Image.Image,
) -> None:
    root = np.array([0.05, -0.06]) if part == "forewing" else np.array([0.05, 0.08])
    far = outline[np.hypot(*(outline - root).T) > 0.35]
    ends = far[np.linspace(0, len(far) - 1, genus.num_veins + 2).astype(int)[1:-1]]
    lines = Image.new("L", (CANVAS, CANVAS))
    draw = ImageDraw.Draw(lines)
    for end in ends:
        points = pose.place(np.stack([root, end]), mirrored=mirrored)
        draw.line([tuple(point) for point in points.tolist()], fill=255, width=max(1, round(pose.half_span / 130)))
    empty = Image.new("L", lines.size)
    _paint(canvas, Image.composite(lines, empty, wing), as_colour(genus.vein), 0.7)


def _border(canvas: NDArray[np.float32], genus: Genus, points: Points, pose: Pose) -> None:
    lines = Image.new("L", (CANVAS, CANVAS))
    closed = [tuple(point) for point in np.concatenate([points, points[:1]]).tolist()]
    ImageDraw.Draw(lines).line(closed, fill=255, width=max(2, round(pose.half_span / 42)), joint="curve")
    _paint(canvas, lines, as_colour(genus.border), 0.9)


def _marks(canvas: NDArray[np.float32], species: Species, pose: Pose) -> None:
    for mark in species.marks:
        for mirrored in (False, True):
            outer, *holes = [pose.place(outline, mirrored=mirrored) for outline in mark_outlines(mark)]
            mask = _mask(outer)
            edges = Image.new("L", (CANVAS, CANVAS))
            for outline in (outer, *holes):
                closed = [tuple(point) for point in np.concatenate([outline, outline[:1]]).tolist()]
                ImageDraw.Draw(edges).line(closed, fill=255, width=max(2, round(pose.half_span / 60)), joint="curve")
            for hole in holes:
                ImageDraw.Draw(mask).polygon([tuple(point) for point in hole.tolist()], fill=0)
            _paint(canvas, mask, as_colour(species.genus.mark))
            _paint(canvas, edges, as_colour(species.genus.mark_edge))


def _body(canvas: NDArray[np.float32], genus: Genus, pose: Pose) -> None:
    angle = np.linspace(0, 2 * math.pi, 40, endpoint=False)
    for centre_y, width, height in ((0.10, 0.045, 0.32), (-0.16, 0.06, 0.12), (-0.31, 0.05, 0.055)):
        ellipse = np.stack([width * np.cos(angle), centre_y + height * np.sin(angle)], axis=1)
        _paint(canvas, _mask(pose.place(ellipse, mirrored=False)), _tone(genus.body, 1.0))
        _paint(
            canvas,
            _mask(pose.place(ellipse * [0.4, 0.85] + [0, centre_y * 0.15], mirrored=False)),
            _tone(genus.body, 1.5),
        )
    feelers = Image.new("L", (CANVAS, CANVAS))
    t = np.linspace(0, 1, 12)
    feeler = np.stack([0.02 + 0.26 * t**1.3, -0.34 - 0.34 * t**0.8], axis=1)
    for mirrored in (False, True):
        points = pose.place(feeler, mirrored=mirrored).tolist()
        ImageDraw.Draw(feelers).line(
            [tuple(point) for point in points], fill=255, width=max(2, round(pose.half_span / 90))
        )
    _paint(canvas, feelers, _tone(genus.body, 0.8))


def _tone(colour: Colour, factor: float) -> NDArray[np.float32]:
    return as_colour(np.clip(as_colour(colour) * np.float32(factor), 0, 255))


def _occlude(canvas: NDArray[np.float32], species: Species, pose: Pose, rng: Generator) -> Image.Image | None:
    """Lay something over a small part of the insect in some pictures; its mask, or None.

    Never so that every mark of one kind is hidden on both sides: the species stays tellable.
    """
    wanted = rng.random() < OCCLUDED_SHARE
    for _ in range(20 if wanted else 0):
        mask, colour = occluder(CANVAS, pose.centre, pose.half_span, rng)
        regions = _mark_regions(species, pose, mask)
        seen = {region.part.split("_")[1] for region in regions if region.visible}
        if len(seen) == len(species.marks):
            shade = np.float32(rng.uniform(0.85, 1.1))
            _paint(canvas, mask.filter(ImageFilter.GaussianBlur(1)), colour * shade)
            return mask
    return None


def _mark_regions(species: Species, pose: Pose, hiding: Image.Image | None) -> list[MarkRegion]:
    """Centre and extent of every mark in pixels of the finished picture."""
    hidden = None if hiding is None else np.asarray(hiding) > 0
    regions = []
    for side, mirrored in (("left", True), ("right", False)):
        for number, mark in enumerate(species.marks):
            outline = pose.place(mark_outlines(mark)[0], mirrored=mirrored)
            centre = pose.place(np.asarray([mark.at]), mirrored=mirrored)[0]
            radius = float(np.hypot(*(outline - centre).T).max())
            inside = np.asarray(_mask(outline)) > 0
            covered = 0.0 if hidden is None else float((inside & hidden).sum() / inside.sum())
            regions.append(
                MarkRegion(
                    part=f"{side}_{number}",
                    x=float(centre[0]) / OVERSAMPLING,
                    y=float(centre[1]) / OVERSAMPLING,
                    radius=radius / OVERSAMPLING,
                    visible=covered <= 1 - VISIBLE_SHARE,
                )
            )
    return regions
