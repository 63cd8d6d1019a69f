"""The thirty species of the demo: ten genera of three, as data.

Within a genus everything is shared (wing outline, ground colour, veins, body, the colours and the total area of the
marks) but where the marks sit, how they are shaped or how they are arranged. Names are invented.

Lengths are in wing half-spans: the body is at x = 0, the wing tips near x = 1, y points from head to tail.
"""

import math
from dataclasses import dataclass

Colour = tuple[int, int, int]
Point = tuple[float, float]

# Total area of a species' marks on one side, as that of a disc of this radius. The whole insect is 2 wide.
MARK_RADIUS = 0.135


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One mark on the right side; the left has its mirror image.

    Attributes:
        shape: "disc", "ring", "bar", "triangle" or "square".
        at: its centre.
        share: of the total mark area of the species.
        angle_deg: of bars, triangles and squares, 0 along x.
    """

    shape: str
    at: Point
    share: float = 1.0
    angle_deg: float = 0.0

    @property
    def area(self) -> float:
        """In square half-spans."""
        return math.pi * MARK_RADIUS**2 * self.share


@dataclass(frozen=True, kw_only=True)
class Genus:
    """What the three species of a genus have in common.

    Attributes:
        name: of the genus.
        forewing, hindwing: control points of the right wings' outlines, closed and smoothed.
        scallops: number of waves along the outline of the hindwing, 0 for a smooth one.
        tail: length of the hindwing's tail, 0 for none.
        inner, outer: ground colour at the body and at the margin.
        border: colour of the margin.
        vein: colour of the veins.
        num_veins: of each wing.
        body: colour.
        mark, mark_edge: the colours of every mark.
    """

    name: str
    forewing: tuple[Point, ...]
    hindwing: tuple[Point, ...]
    scallops: int = 0
    tail: float = 0.0
    inner: Colour
    outer: Colour
    border: Colour
    vein: Colour
    num_veins: int
    body: Colour
    mark: Colour
    mark_edge: Colour


@dataclass(frozen=True, kw_only=True)
class Species:
    """One species.

    Attributes:
        number: 0 to 29, seeds its specimens.
        genus: what it shares with its two sisters.
        epithet: the second half of its name.
        marks: what sets it apart.
    """

    number: int
    genus: Genus
    epithet: str
    marks: tuple[Mark, ...]

    @property
    def name(self) -> str:
        """Genus and epithet."""
        return f"{self.genus.name} {self.epithet}"


# Places on the wings that lie inside every outline below.
FORE_APEX, FORE_CENTRE, FORE_BASE = (0.74, -0.44), (0.48, -0.32), (0.24, -0.20)
FORE_MARGIN = (0.66, -0.20)
HIND_CENTRE, HIND_OUTER, HIND_LOWER, HIND_INNER = (0.34, 0.24), (0.50, 0.18), (0.38, 0.42), (0.18, 0.28)

BROAD_FORE: tuple[Point, ...] = (
    (0.02, -0.14), (0.40, -0.52), (0.80, -0.66), (0.98, -0.58), (0.93, -0.28), (0.80, -0.03), (0.45, 0.02),
    (0.03, 0.02),
)  # fmt: skip
POINTED_FORE: tuple[Point, ...] = (
    (0.02, -0.14), (0.42, -0.56), (0.86, -0.76), (1.00, -0.72), (0.88, -0.34), (0.84, -0.04), (0.45, 0.03),
    (0.03, 0.02),
)  # fmt: skip
ROUND_FORE: tuple[Point, ...] = (
    (0.02, -0.14), (0.36, -0.58), (0.72, -0.70), (0.95, -0.52), (0.98, -0.24), (0.78, 0.00), (0.42, 0.04), (0.03, 0.02),
)  # fmt: skip
BROAD_HIND: tuple[Point, ...] = (
    (0.03, -0.04), (0.40, -0.02), (0.68, 0.06), (0.72, 0.30), (0.56, 0.56), (0.30, 0.62), (0.10, 0.44), (0.03, 0.20),
)  # fmt: skip
LONG_HIND: tuple[Point, ...] = (
    (0.03, -0.04), (0.38, -0.02), (0.66, 0.06), (0.68, 0.32), (0.58, 0.66), (0.32, 0.72), (0.09, 0.48), (0.03, 0.20),
)  # fmt: skip
ROUND_HIND: tuple[Point, ...] = (
    (0.03, -0.04), (0.42, -0.04), (0.72, 0.04), (0.78, 0.30), (0.60, 0.58), (0.30, 0.60), (0.08, 0.42), (0.03, 0.18),
)  # fmt: skip


def _one(shape: str, at: Point, angle_deg: float = 0.0) -> tuple[Mark, ...]:
    return (Mark(shape=shape, at=at, angle_deg=angle_deg),)


def _each(shape: str, *points: Point) -> tuple[Mark, ...]:
    """Equal marks that together have the area of one."""
    return tuple(Mark(shape=shape, at=point, share=1 / len(points)) for point in points)


_FAMILY: tuple[tuple[Genus, dict[str, tuple[Mark, ...]]], ...] = (
    (
        Genus(
            name="Auralis", forewing=BROAD_FORE, hindwing=BROAD_HIND, inner=(196, 98, 28), outer=(232, 150, 52),
            border=(52, 30, 20), vein=(110, 56, 20), num_veins=6, body=(60, 40, 30),
            mark=(250, 246, 232), mark_edge=(30, 22, 20),
        ),
        {
            "apicata": _one("disc", FORE_APEX),
            "centralis": _one("disc", FORE_CENTRE),
            "posterna": _one("disc", HIND_CENTRE),
        },
    ),
    (
        Genus(
            name="Beryllina", forewing=POINTED_FORE, hindwing=LONG_HIND, tail=0.16, inner=(28, 110, 104),
            outer=(70, 168, 150), border=(12, 44, 52), vein=(14, 74, 76), num_veins=5, body=(30, 44, 44),
            mark=(250, 226, 110), mark_edge=(16, 40, 44),
        ),
        {
            "annulata": _one("ring", FORE_CENTRE),
            "punctata": _one("disc", FORE_CENTRE),
            "virgata": _one("bar", FORE_CENTRE, -35),
        },
    ),
    (
        Genus(
            name="Cineralis", forewing=ROUND_FORE, hindwing=ROUND_HIND, scallops=9, inner=(120, 118, 124),
            outer=(176, 174, 178), border=(70, 68, 78), vein=(88, 86, 96), num_veins=8, body=(64, 60, 66),
            mark=(176, 34, 40), mark_edge=(40, 20, 24),
        ),
        {
            "lineata": _each("disc", (0.76, -0.48), (0.74, -0.29), (0.68, -0.10)),
            "triangula": _each("disc", (0.40, -0.42), (0.60, -0.30), (0.36, -0.20)),
            "dispersa": _each("disc", (0.72, -0.46), (0.30, -0.18), (0.46, 0.26)),
        },
    ),
    (
        Genus(
            name="Dorsatella", forewing=BROAD_FORE, hindwing=ROUND_HIND, inner=(70, 66, 150), outer=(112, 122, 206),
            border=(26, 24, 66), vein=(44, 42, 108), num_veins=7, body=(34, 32, 58),
            mark=(246, 180, 60), mark_edge=(28, 20, 44),
        ),
        {"externa": _one("ring", HIND_OUTER), "caudata": _one("ring", HIND_LOWER), "alta": _one("ring", FORE_APEX)},
    ),
    (
        Genus(
            name="Eburnea", forewing=POINTED_FORE, hindwing=BROAD_HIND, scallops=7, inner=(226, 214, 180),
            outer=(242, 236, 214), border=(150, 130, 96), vein=(186, 170, 132), num_veins=5, body=(120, 104, 80),
            mark=(60, 90, 60), mark_edge=(30, 40, 28),
        ),
        {
            "unica": _one("disc", FORE_CENTRE),
            "gemina": _each("disc", (0.36, -0.24), (0.70, -0.42)),
            "terna": _each("disc", (0.30, -0.20), (0.52, -0.34), (0.74, -0.48)),
        },
    ),
    (
        Genus(
            name="Ferruginia", forewing=ROUND_FORE, hindwing=LONG_HIND, inner=(124, 44, 34), outer=(168, 72, 52),
            border=(48, 18, 18), vein=(84, 28, 24), num_veins=6, body=(52, 28, 26),
            mark=(150, 214, 228), mark_edge=(24, 16, 22),
        ),
        {
            "radiata": _one("bar", (0.54, -0.30), -32),
            "transversa": _one("bar", (0.54, -0.30), 58),
            "subalaris": _one("bar", (0.38, 0.28), 58),
        },
    ),
    (
        Genus(
            name="Glaucopsis", forewing=BROAD_FORE, hindwing=LONG_HIND, tail=0.22, inner=(60, 120, 190),
            outer=(132, 186, 232), border=(30, 52, 92), vein=(50, 92, 150), num_veins=4, body=(40, 50, 70),
            mark=(24, 26, 40), mark_edge=(244, 244, 240),
        ),
        {
            "superna": _each("disc", FORE_APEX, FORE_BASE),
            "mediana": _each("disc", FORE_MARGIN, HIND_LOWER),
            "inferna": _each("disc", HIND_OUTER, HIND_INNER),
        },
    ),
    (
        Genus(
            name="Herbacea", forewing=ROUND_FORE, hindwing=BROAD_HIND, inner=(86, 130, 46), outer=(150, 184, 84),
            border=(40, 70, 26), vein=(62, 100, 36), num_veins=7, body=(60, 64, 34),
            mark=(236, 120, 150), mark_edge=(60, 26, 40),
        ),
        {
            "trigona": _one("triangle", (0.52, -0.32), -90),
            "oblonga": _one("bar", (0.52, -0.32)),
            "rotunda": _one("ring", (0.52, -0.32)),
        },
    ),
    (
        Genus(
            name="Ignicolor", forewing=POINTED_FORE, hindwing=ROUND_HIND, scallops=11, inner=(206, 52, 40),
            outer=(240, 108, 66), border=(60, 14, 20), vein=(140, 30, 28), num_veins=8, body=(44, 22, 24),
            mark=(36, 32, 92), mark_edge=(250, 220, 160),
        ),
        {
            "basalis": _one("square", (0.27, -0.20), 20),
            "distalis": _one("square", (0.72, -0.40), 20),
            "analis": _one("square", (0.40, 0.38), 20),
        },
    ),
    (
        Genus(
            name="Lunaria", forewing=ROUND_FORE, hindwing=ROUND_HIND, inner=(88, 60, 110), outer=(158, 124, 180),
            border=(44, 28, 60), vein=(66, 42, 88), num_veins=5, body=(50, 40, 58),
            mark=(214, 240, 150), mark_edge=(36, 24, 44),
        ),
        {
            "fasciata": _each("bar", (0.40, -0.26), (0.70, -0.38)),
            "oculata": _each("disc", (0.40, -0.26), (0.70, -0.38)),
            "signata": _each("disc", (0.70, -0.38), (0.42, 0.28)),
        },
    ),
)  # fmt: skip

SPECIES: tuple[Species, ...] = tuple(
    Species(number=3 * genus_number + number, genus=genus, epithet=epithet, marks=marks)
    for genus_number, (genus, sisters) in enumerate(_FAMILY)
    for number, (epithet, marks) in enumerate(sisters.items())
)
