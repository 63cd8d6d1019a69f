"""Outlines as arrays of points, shape (N, 2): smoothed wings, mark shapes of a given area, the pose of a specimen."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lodisc.insects.species import Genus, Mark, Point

Points = NDArray[np.float64]

# A ring's hole has this radius as a share of the outer one; a bar is this many times as long as wide.
RING_HOLE = 0.6
BAR_ASPECT = 3.2


@dataclass(frozen=True, kw_only=True)
class Pose:
    """How a specimen lies in the picture.

    Attributes:
        centre: of the insect in pixels.
        half_span: pixels of one half-span.
        angle_deg: turned clockwise.
        opening: width of the right and of the left wings as a share of the full width; less is foreshortened.
        squeeze: height as a share of the full height.
    """

    centre: Point
    half_span: float
    angle_deg: float
    opening: tuple[float, float]
    squeeze: float

    def place(self, points_N2: Points, *, mirrored: bool) -> Points:
        """Pixels of points of the right side, or of their mirror image on the left."""
        opening = self.opening[1] if mirrored else self.opening[0]
        x = points_N2[:, 0] * opening * (-1 if mirrored else 1)
        y = points_N2[:, 1] * self.squeeze
        angle = math.radians(self.angle_deg)
        turned = np.stack(
            [x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)], axis=1
        )
        placed: Points = turned * self.half_span + np.asarray(self.centre)
        return placed


def smooth_outline(control_K2: Points, points_per_piece: int = 12) -> Points:
    """A closed Catmull-Rom curve through the control points."""
    before, after = np.roll(control_K2, 1, axis=0), np.roll(control_K2, -1, axis=0)
    beyond = np.roll(control_K2, -2, axis=0)
    t = np.linspace(0, 1, points_per_piece, endpoint=False)[None, :, None]
    p0, p1, p2, p3 = (points[:, None, :] for points in (before, control_K2, after, beyond))
    curve: Points = 0.5 * (
        2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3
    )
    return curve.reshape(-1, 2)


def wing_outlines(genus: Genus) -> dict[str, Points]:
    """Outlines of the right forewing and hindwing."""
    forewing = smooth_outline(np.asarray(genus.forewing))
    control = [list(point) for point in genus.hindwing]
    if genus.tail:
        corner = 4  # the control point at the lower outer corner
        x, y = control[corner]
        control[corner : corner + 1] = [
            [x + 0.03, y - 0.03], [x + 0.02, y + genus.tail], [x - 0.06, y + genus.tail], [x - 0.09, y + 0.02],
        ]  # fmt: skip
    hindwing = smooth_outline(np.asarray(control))
    if genus.scallops:
        centre = hindwing.mean(axis=0)
        offset = hindwing - centre
        phase = np.linspace(0, 2 * math.pi * genus.scallops, len(hindwing))
        outward = np.clip(offset[:, 0] + offset[:, 1], 0, 0.3) / 0.3  # the margin, not the side at the body
        hindwing = centre + offset * (1 + 0.05 * np.sin(phase) * outward)[:, None]
    return {"hindwing": hindwing, "forewing": forewing}


def mark_outlines(mark: Mark) -> list[Points]:
    """The outline of a mark of the right side, and of its hole if it is a ring."""
    centre = np.asarray(mark.at)
    if mark.shape == "disc":
        return [_polygon(centre, math.sqrt(mark.area / math.pi), 40, 0.0)]
    if mark.shape == "ring":
        radius = math.sqrt(mark.area / (math.pi * (1 - RING_HOLE**2)))
        return [_polygon(centre, radius, 40, 0.0), _polygon(centre, radius * RING_HOLE, 40, 0.0)]
    if mark.shape in ("bar", "square"):
        aspect = BAR_ASPECT if mark.shape == "bar" else 1.0
        width = math.sqrt(mark.area / aspect)
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [width * aspect / 2, width / 2]
        angle = math.radians(mark.angle_deg)
        turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        return [centre + corners @ turn]
    if mark.shape == "triangle":
        side = math.sqrt(mark.area * 4 / math.sqrt(3))
        return [_polygon(centre, side / math.sqrt(3), 3, math.radians(mark.angle_deg))]
    raise ValueError(f"unknown mark shape {mark.shape!r}")


def _polygon(centre: Points, radius: float, corners: int, start: float) -> Points:
    angle = start + np.linspace(0, 2 * math.pi, corners, endpoint=False)
    return centre + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def polygon_area(points_N2: Points) -> float:
    """Area by the shoelace formula."""
    x, y = points_N2[:, 0], points_N2[:, 1]
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)
