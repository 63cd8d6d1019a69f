"""Wings and bodies laid flat: outlines, veins, colours and marks as textures, drawn once a genus or species.

A texture is an RGBA picture in the frame of `lodisc.demo.species` (half spans, right-hand side, y down), at
`TEXTURE_SCALE` pixels a unit with its origin at `TEXTURE_ORIGIN`. Arithmetic is limited to sums, products and
square roots of whole arrays, which are the same on every machine.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from lodisc.demo.affine import Affine, Point
from lodisc.demo.species import Colour, Genus, Mark, Shape, Species, Wing, WingForm

TEXTURE_SCALE = 280
TEXTURE_ORIGIN = (0.10, 1.15)  # of the frame's origin, from the texture's left and top
TEXTURE_SIZE = (350, 680)
OVERSAMPLING = 2

BODY_SIZE = (280, 560)
BODY_ORIGIN = (0.5, 1.0)


def smooth_curve(points: tuple[Point, ...], steps: int = 14) -> list[Point]:
    """A closed Catmull-Rom curve through the points."""
    curve = []
    count = len(points)
    for i in range(count):
        p0, p1, p2, p3 = (points[(i + k - 1) % count] for k in range(4))
        for step in range(steps):
            t = step / steps
            curve.append(
                tuple(
                    0.5
                    * (
                        2 * p1[k]
                        + (p2[k] - p0[k]) * t
                        + (2 * p0[k] - 5 * p1[k] + 4 * p2[k] - p3[k]) * t * t
                        + (3 * p1[k] - p0[k] - 3 * p2[k] + p3[k]) * t * t * t
                    )
                    for k in (0, 1)
                )
            )
    return [(x, y) for x, y in curve]


def wing_outline(form: WingForm) -> list[Point]:
    """The outline with its scallops, as a polygon of the right-hand wing."""
    curve = smooth_curve(form.outline)
    if not form.scallops:
        return curve
    first, last = _margin_range(curve)
    scalloped = list(curve)
    for i in range(first, last + 1):
        along = (i - first) / (last - first)
        wave = abs(math.sin(math.pi * along * form.scallops)) - 0.5
        x, y = curve[i]
        reach = math.hypot(x, y)
        scalloped[i] = (x + x / reach * form.depth * wave * 2, y + y / reach * form.depth * wave * 2)
    return scalloped


def _margin_range(curve: list[Point]) -> tuple[int, int]:
    """First and last index of the outer margin: what lies beyond 70 % of the farthest reach from the root."""
    reach = [math.hypot(x, y) for x, y in curve]
    far = [i for i, r in enumerate(reach) if r > 0.7 * max(reach)]
    return far[0], far[-1]


@lru_cache(maxsize=64)
def mark_shape(shape: Shape) -> tuple[Point, ...]:
    """A polygon of area 1 about its centre of mass."""
    around = [2 * math.pi * i / 40 for i in range(40)]
    if shape == "disc":
        points = [(math.cos(a), math.sin(a)) for a in around]
    elif shape == "bar":
        points = [(math.cos(a) + math.copysign(1.5, math.cos(a)), math.sin(a)) for a in around]
    elif shape == "triangle":
        points = [(math.cos(a), math.sin(a)) for a in (-math.pi / 2, math.pi / 6, 5 * math.pi / 6)]
    elif shape == "diamond":
        points = [(1.0, 0.0), (0.0, 1.45), (-1.0, 0.0), (0.0, -1.45)]
    else:
        outer = [(math.cos(a), math.sin(a)) for a in (math.pi * (-0.62 + 1.24 * i / 20) for i in range(21))]
        inner = [(0.62 * math.cos(a) - 0.30, 0.80 * math.sin(a)) for a in
                 (math.pi * (0.62 - 1.24 * i / 20) for i in range(21))]  # fmt: skip
        points = outer + inner
    area, centre_x, centre_y = 0.0, 0.0, 0.0
    for (x1, y1), (x2, y2) in zip(points, points[1:] + points[:1], strict=True):
        cross = x1 * y2 - x2 * y1
        area += cross / 2
        centre_x += (x1 + x2) * cross / 6
        centre_y += (y1 + y2) * cross / 6
    centre_x, centre_y, size = centre_x / area, centre_y / area, math.sqrt(abs(area))
    return tuple(((x - centre_x) / size, (y - centre_y) / size) for x, y in points)


def mark_outline(genus: Genus, mark: Mark, *, part: float = 1.0) -> list[Point]:
    """The polygon of a mark on the right-hand wing; `part` < 1 gives the similar polygon of that part of the area."""
    side = math.sqrt(genus.mark_area * mark.share * part)
    place = Affine.shift(*mark.at) @ Affine.turn(mark.angle_deg) @ Affine.scale(side, side)
    return [place(point) for point in mark_shape(mark.shape)]


def _to_texture(points: list[Point], scale: float) -> list[Point]:
    return [((x + TEXTURE_ORIGIN[0]) * scale, (y + TEXTURE_ORIGIN[1]) * scale) for x, y in points]


def _polygon_mask(polygons: list[list[Point]]) -> Image.Image:
    """Coverage of the polygons (their union), "L", texture size."""
    width, height = TEXTURE_SIZE
    mask = Image.new("L", (width * OVERSAMPLING, height * OVERSAMPLING))
    draw = ImageDraw.Draw(mask)
    for polygon in polygons:
        draw.polygon(_to_texture(polygon, TEXTURE_SCALE * OVERSAMPLING), fill=255)
    return mask.resize(TEXTURE_SIZE, Image.Resampling.BOX)


def _vein_mask(genus: Genus, form: WingForm, outline: list[Point]) -> Image.Image:
    """Veins that thin out towards the margin, "L", texture size."""
    width, height = TEXTURE_SIZE
    scale = TEXTURE_SCALE * OVERSAMPLING
    mask = Image.new("L", (width * OVERSAMPLING, height * OVERSAMPLING))
    draw = ImageDraw.Draw(mask)
    first, last = _margin_range(outline)
    root = (0.03, -0.04)
    hub = root
    if genus.veins == "cell":
        middle = outline[(first + last) // 2]
        hub = (root[0] + 0.36 * (middle[0] - root[0]), root[1] + 0.36 * (middle[1] - root[1]))
    ends = [outline[first + round((last - first) * (i + 0.5) / form.num_veins)] for i in range(form.num_veins)]
    rungs: list[list[Point]] = [[], []]
    for i, (end_x, end_y) in enumerate(ends):
        bow = 0.10 * (i / (form.num_veins - 1) - 0.5)
        start = hub if 0 < i < form.num_veins - 1 else root
        dx, dy = end_x - start[0], end_y - start[1]
        line = []
        for step in range(13):
            t = step / 12
            sag = 4 * t * (1 - t) * bow
            line.append((start[0] + dx * t - dy * sag, start[1] + dy * t + dx * sag))
        pixels = _to_texture(line, scale)
        for step in range(12):
            draw.line(pixels[step : step + 2], fill=255, width=max(2, round(7 - 5 * step / 12)))
        rungs[0].append(line[6])
        rungs[1].append(line[9])
    if genus.veins == "cell":
        draw.line(_to_texture([root, hub], scale), fill=255, width=8)
    if genus.veins == "ladder":
        for rung in rungs:
            draw.line(_to_texture(rung, scale), fill=220, width=3)
    return mask.resize(TEXTURE_SIZE, Image.Resampling.BOX)


def _unit(mask: Image.Image) -> NDArray[np.float32]:
    """A mask as numbers in [0, 1] with a last axis of 1, float32."""
    return np.asarray(mask, np.float32)[..., None] / np.float32(255)


def _mix(below: NDArray[np.float32], colour: Colour, amount: NDArray[np.float32]) -> NDArray[np.float32]:
    return below + (np.asarray(colour, np.float32) - below) * amount


def _smoothstep(x: NDArray[np.float32]) -> NDArray[np.float32]:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


@lru_cache(maxsize=32)
def _bare_wing(genus: Genus, wing: Wing) -> Image.Image:
    """A wing of the genus without marks, RGBA."""
    form: WingForm = getattr(genus, wing)
    outline = wing_outline(form)
    mask = _polygon_mask([outline])
    width, height = TEXTURE_SIZE
    x = (np.arange(width, dtype=np.float32)[None, :] / TEXTURE_SCALE) - TEXTURE_ORIGIN[0]
    y = (np.arange(height, dtype=np.float32)[:, None] / TEXTURE_SCALE) - TEXTURE_ORIGIN[1]
    reach = np.sqrt(x * x + y * y)[..., None].astype(np.float32)
    colour = np.zeros((height, width, 3), np.float32) + np.asarray(genus.ground, np.float32)
    colour = _mix(colour, genus.base, 1 - _smoothstep(reach / 0.55))
    # A wide soft sheen along the wing, lighter between the base and the margin.
    sheen = _smoothstep(1 - np.abs(reach - 0.55) / 0.4)
    colour = colour + (255 - colour) * sheen * np.float32(0.14)
    for at, band_width in genus.bands:
        ripple = 0.02 * np.sqrt(np.abs(x * y))[..., None]
        colour = _mix(colour, genus.margin, 0.75 * (1 - _smoothstep(np.abs(reach - at + ripple) / band_width / 1.5)))
    inside = _unit(mask.filter(ImageFilter.GaussianBlur(0.055 * TEXTURE_SCALE)))
    edge = np.clip((1 - inside) * 2, 0, 1) * _smoothstep((reach - 0.25) / 0.3)
    colour = _mix(colour, genus.margin, genus.fringe * _smoothstep(edge * 1.15))
    veins = _vein_mask(genus, form, outline).filter(ImageFilter.GaussianBlur(0.5))
    colour = _mix(colour, genus.vein, _unit(veins) * 0.8)
    rim = _unit(ImageChops.subtract(mask, mask.filter(ImageFilter.GaussianBlur(2.0))))
    colour = _mix(colour, genus.margin, np.clip(rim * 1.4, 0, 1))
    texture = Image.fromarray(np.clip(colour + 0.5, 0, 255).astype(np.uint8), "RGB")
    texture.putalpha(mask)
    return texture


@lru_cache(maxsize=64)
def wing_texture(species: Species, wing: Wing, *, marked: bool = True) -> Image.Image:
    """A right-hand wing of the species, RGBA; do not write to it."""
    genus = species.genus
    texture = _bare_wing(genus, wing).copy()
    for mark in species.marks if marked else ():
        if mark.wing != wing:
            continue
        inner, outer = (genus.border, genus.core) if mark.inverted else (genus.core, genus.border)
        part = 1 - genus.core_share if mark.inverted else genus.core_share
        for colour, outline in (
            (outer, mark_outline(genus, mark)),
            (inner, mark_outline(genus, mark, part=part)),
        ):
            texture.paste((*colour, 255), mask=_polygon_mask([outline]))
    return texture


@lru_cache(maxsize=16)
def body_texture(genus: Genus) -> Image.Image:
    """Body and antennae, RGBA, at `TEXTURE_SCALE` with the origin at `BODY_ORIGIN`."""
    width, height = BODY_SIZE
    scale = TEXTURE_SCALE * OVERSAMPLING
    size = (width * OVERSAMPLING, height * OVERSAMPLING)

    def place(points: list[Point]) -> list[Point]:
        return [((x + BODY_ORIGIN[0]) * scale, (y + BODY_ORIGIN[1]) * scale) for x, y in points]

    picture = Image.new("RGBA", size, (*genus.stripe, 0))
    draw = ImageDraw.Draw(picture)
    half, head_y, tail_y = genus.body_width / 2, -0.30, genus.body_length - 0.14
    for side in (-1, 1):
        line = [(side * (0.02 + 0.26 * t), head_y - 0.40 * t * (1.25 - 0.45 * t)) for t in (i / 10 for i in range(11))]
        draw.line(place(line), fill=(*genus.stripe, 255), width=7, joint="curve")
        if genus.antennae == "club":
            (x, y), r = place(line[-1:])[0], 0.026 * scale
            draw.ellipse((x - r, y - r, x + r, y + r), fill=(*genus.stripe, 255))
        if genus.antennae == "feather":
            for i, (x, y) in enumerate(line[1:]):
                barb = 0.075 * (1 - abs(i - 4) / 8)
                draw.line(place([(x + barb, y - 0.02), (x, y + 0.02), (x - barb, y - 0.02)]), (*genus.stripe, 220), 4)

    def ellipse(centre_y: float, half_width: float, half_height: float, colour: Colour) -> None:
        (left, top), (right, bottom) = place([(-half_width, centre_y - half_height), (half_width, centre_y + half_height)])
        draw.ellipse((left, top, right, bottom), fill=(*colour, 255))

    abdomen = (tail_y + 0.02) / 2
    ellipse(abdomen, half * 0.86, (tail_y - 0.02) / 2 + 0.06, genus.body)
    for i in range(5):
        y = 0.08 + (tail_y - 0.08) * i / 4.6
        ellipse(y, half * 0.80 * math.sqrt(max(0.05, 1 - ((y - abdomen) / (tail_y / 2 + 0.08)) ** 2)), 0.016, genus.stripe)
    ellipse(-0.09, half * 1.15, 0.16, genus.body)
    ellipse(head_y + 0.03, half * 0.74, 0.06, genus.stripe)
    flat = picture.resize(BODY_SIZE, Image.Resampling.BOX)
    # Round it: darker to the sides, lighter along the back.
    x = np.abs(np.arange(width, dtype=np.float32)[None, :, None] / TEXTURE_SCALE - BODY_ORIGIN[0]) / (half * 1.2)
    colour = np.asarray(flat, np.float32)[..., :3] * (1.22 - 0.5 * np.clip(x, 0, 1) ** 2)
    rounded = Image.fromarray(np.clip(colour + 0.5, 0, 255).astype(np.uint8), "RGB")
    rounded.putalpha(flat.getchannel("A"))
    return rounded
