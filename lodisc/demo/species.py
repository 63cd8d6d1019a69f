"""The 30 species as data: 10 genera of 3.

A genus has wing outlines, veins, colours and a body. Its species share all of that, and the two colours and the total
area of their marks; they differ only in where the marks sit and what shape they have. Lengths are in half wing spans:
the body lies along x = 0, the head looks towards negative y, and outlines are those of the right-hand wings.
"""

from dataclasses import dataclass, field
from typing import Literal

from lodisc.demo.affine import Point

Colour = tuple[int, int, int]
Wing = Literal["forewing", "hindwing"]
Shape = Literal["disc", "bar", "triangle", "crescent", "diamond"]


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A mark of one wing pair: a core in one colour inside a border in the other.

    Attributes:
        wing: the wing pair that carries it, left and right mirrored.
        at: its centre on the right-hand wing.
        share: its part of the area of all marks of one side.
        angle_deg: turned clockwise on the right-hand wing.
        inverted: the colours of core and border swapped, each keeping its area.
    """

    wing: Wing
    at: Point
    shape: Shape = "disc"
    share: float = 1.0
    angle_deg: float = 0.0
    inverted: bool = False


@dataclass(frozen=True, kw_only=True)
class WingForm:
    """Outline of a right-hand wing and how its veins run.

    Attributes:
        outline: points of a closed smooth curve, clockwise from the root.
        num_veins: veins from the root to the margin.
        scallops: waves along the outer margin, 0 for a smooth one.
        depth: height of the waves.
    """

    outline: tuple[Point, ...]
    num_veins: int = 7
    scallops: int = 0
    depth: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Genus:
    """What the three species of a genus have in common.

    Attributes:
        veins: "fan" straight from the root, "cell" from the end of a closed cell, "ladder" with cross veins.
        bands: dark cross bands, as (distance from the root, width).
        mark_area: area of all marks of one side, in squared half spans.
        core_share: part of the mark area that has the core colour.
        fringe: the strength of the dark margin, 0 to 1.
    """

    name: str
    forewing: WingForm
    hindwing: WingForm
    ground: Colour
    base: Colour
    margin: Colour
    vein: Colour
    core: Colour
    border: Colour
    body: Colour
    stripe: Colour
    veins: Literal["fan", "cell", "ladder"] = "fan"
    bands: tuple[tuple[float, float], ...] = ()
    body_length: float = 0.62
    body_width: float = 0.12
    antennae: Literal["club", "feather", "thread"] = "club"
    mark_area: float = 0.0616
    core_share: float = 0.45
    fringe: float = 0.7


@dataclass(frozen=True, kw_only=True)
class Species:
    """One species; `label` is the name its pictures are filed under."""

    genus: Genus
    epithet: str
    marks: tuple[Mark, ...] = field(default=())

    @property
    def label(self) -> str:
        """Genus and epithet."""
        return f"{self.genus.name} {self.epithet}"


def _round_fore() -> tuple[Point, ...]:
    return ((0.02, -0.14), (0.30, -0.50), (0.66, -0.80), (0.92, -0.86), (1.0, -0.66), (0.93, -0.36), (0.78, -0.10),
            (0.50, 0.02), (0.20, 0.03), (0.02, 0.0))  # fmt: skip


VELORA = Genus(
    name="Velora",
    forewing=WingForm(outline=_round_fore(), num_veins=8, scallops=5, depth=0.022),
    hindwing=WingForm(
        outline=((0.02, -0.08), (0.35, -0.12), (0.70, -0.06), (0.84, 0.18), (0.76, 0.46), (0.54, 0.66), (0.28, 0.66),
                 (0.10, 0.42), (0.02, 0.12)),
        scallops=6, depth=0.03,
    ),
    ground=(214, 122, 48), base=(150, 74, 36), margin=(74, 40, 28), vein=(120, 62, 32),
    core=(250, 232, 180), border=(38, 24, 34), body=(92, 58, 40), stripe=(52, 32, 26),
    veins="cell",
)  # fmt: skip
CYANESSA = Genus(
    name="Cyanessa",
    forewing=WingForm(
        outline=((0.02, -0.14), (0.24, -0.40), (0.58, -0.68), (0.90, -0.80), (1.0, -0.70), (0.90, -0.42), (0.80, -0.14),
                 (0.66, 0.06), (0.36, 0.06), (0.02, 0.0)),
        num_veins=9,
    ),
    hindwing=WingForm(
        outline=((0.02, -0.06), (0.36, -0.06), (0.68, 0.06), (0.76, 0.30), (0.66, 0.52), (0.46, 0.68), (0.24, 0.74),
                 (0.08, 0.46), (0.02, 0.12)),
        num_veins=8,
    ),
    ground=(72, 128, 204), base=(40, 76, 150), margin=(24, 30, 62), vein=(34, 60, 120),
    core=(246, 244, 226), border=(176, 54, 40), body=(48, 52, 74), stripe=(110, 130, 170),
    veins="fan", antennae="club", body_width=0.10,
)  # fmt: skip
MARMORIX = Genus(
    name="Marmorix",
    forewing=WingForm(
        outline=((0.02, -0.16), (0.34, -0.40), (0.68, -0.52), (0.98, -0.54), (1.0, -0.36), (0.88, -0.06), (0.70, 0.16),
                 (0.44, 0.16), (0.18, 0.06), (0.02, 0.02)),
        num_veins=7, scallops=7, depth=0.014,
    ),
    hindwing=WingForm(
        outline=((0.02, -0.04), (0.34, 0.02), (0.62, 0.12), (0.72, 0.34), (0.62, 0.56), (0.40, 0.64), (0.20, 0.56),
                 (0.06, 0.34), (0.02, 0.14)),
        num_veins=6, scallops=5, depth=0.018,
    ),
    ground=(162, 152, 138), base=(112, 102, 92), margin=(78, 70, 66), vein=(110, 100, 90),
    core=(196, 60, 52), border=(34, 30, 34), body=(120, 110, 100), stripe=(76, 70, 66),
    veins="cell", bands=((0.42, 0.035), (0.98, 0.03)), body_width=0.18, body_length=0.66, antennae="feather",
)  # fmt: skip
LUNAPHE = Genus(
    name="Lunaphe",
    forewing=WingForm(
        outline=((0.02, -0.16), (0.28, -0.50), (0.64, -0.72), (0.98, -0.74), (0.99, -0.66), (0.80, -0.40), (0.74, -0.14),
                 (0.60, 0.04), (0.30, 0.06), (0.02, 0.0)),
        num_veins=7,
    ),
    hindwing=WingForm(
        outline=((0.02, -0.06), (0.36, -0.06), (0.62, 0.02), (0.66, 0.24), (0.56, 0.48), (0.48, 0.66), (0.50, 0.90),
                 (0.58, 1.06), (0.46, 1.10), (0.36, 0.92), (0.30, 0.66), (0.14, 0.46), (0.02, 0.14)),
        num_veins=6,
    ),
    ground=(164, 208, 150), base=(206, 226, 190), margin=(110, 150, 96), vein=(126, 170, 114),
    core=(248, 214, 92), border=(112, 34, 74), body=(236, 232, 214), stripe=(198, 190, 160),
    veins="fan", body_width=0.15, body_length=0.54, antennae="feather", fringe=0.5,
)  # fmt: skip
CANDELIS = Genus(
    name="Candelis",
    forewing=WingForm(
        outline=((0.02, -0.12), (0.24, -0.52), (0.52, -0.84), (0.78, -0.98), (0.96, -0.88), (1.0, -0.58), (0.86, -0.26),
                 (0.62, -0.06), (0.30, 0.0), (0.02, 0.0)),
        num_veins=8,
    ),
    hindwing=WingForm(
        outline=((0.02, -0.08), (0.36, -0.14), (0.70, -0.06), (0.88, 0.16), (0.84, 0.42), (0.62, 0.62), (0.34, 0.64),
                 (0.12, 0.44), (0.02, 0.12)),
        num_veins=7,
    ),
    ground=(232, 228, 212), base=(196, 196, 190), margin=(96, 96, 104), vein=(168, 166, 160),
    core=(230, 110, 36), border=(40, 44, 58), body=(110, 108, 110), stripe=(70, 70, 78),
    veins="ladder", body_width=0.10, fringe=0.55,
)  # fmt: skip
NOCTAVIA = Genus(
    name="Noctavia",
    forewing=WingForm(
        outline=((0.02, -0.18), (0.40, -0.42), (0.76, -0.62), (1.0, -0.66), (0.97, -0.44), (0.84, -0.22), (0.66, -0.04),
                 (0.42, 0.06), (0.20, 0.06), (0.02, 0.02)),
        num_veins=7,
    ),
    hindwing=WingForm(
        outline=((0.02, -0.04), (0.34, -0.06), (0.62, 0.04), (0.74, 0.22), (0.70, 0.44), (0.50, 0.60), (0.26, 0.58),
                 (0.08, 0.38), (0.02, 0.14)),
        num_veins=6, scallops=8, depth=0.02,
    ),
    ground=(104, 78, 122), base=(62, 46, 78), margin=(40, 30, 50), vein=(74, 54, 90),
    core=(236, 196, 88), border=(226, 226, 232), body=(84, 66, 96), stripe=(210, 160, 90),
    veins="fan", bands=((0.86, 0.025),), body_width=0.2, body_length=0.72, antennae="thread", core_share=0.5,
)  # fmt: skip
FALCIDIA = Genus(
    name="Falcidia",
    forewing=WingForm(
        outline=((0.02, -0.14), (0.26, -0.46), (0.58, -0.74), (0.88, -0.82), (1.02, -0.68), (0.96, -0.62), (0.80, -0.54),
                 (0.74, -0.34), (0.80, -0.10), (0.62, 0.04), (0.30, 0.06), (0.02, 0.0)),
        num_veins=7,
    ),
    hindwing=WingForm(
        outline=((0.02, -0.08), (0.34, -0.12), (0.64, -0.02), (0.74, 0.20), (0.86, 0.40), (0.64, 0.52), (0.42, 0.66),
                 (0.22, 0.58), (0.08, 0.38), (0.02, 0.12)),
        num_veins=6,
    ),
    ground=(160, 78, 62), base=(112, 52, 48), margin=(66, 34, 38), vein=(106, 50, 46),
    core=(132, 200, 214), border=(30, 26, 40), body=(100, 56, 50), stripe=(60, 34, 34),
    veins="cell", body_width=0.13,
)  # fmt: skip
SERICOLIS = Genus(
    name="Sericolis",
    forewing=WingForm(
        outline=((0.02, -0.14), (0.30, -0.56), (0.68, -0.84), (0.96, -0.86), (1.0, -0.74), (0.84, -0.44), (0.70, -0.12),
                 (0.54, 0.02), (0.26, 0.02), (0.02, 0.0)),
        num_veins=9,
    ),
    hindwing=WingForm(
        outline=((0.02, -0.06), (0.34, -0.12), (0.60, -0.02), (0.70, 0.20), (0.66, 0.42), (0.52, 0.56), (0.46, 0.66),
                 (0.48, 0.86), (0.40, 0.88), (0.34, 0.66), (0.22, 0.60), (0.08, 0.36), (0.02, 0.12)),
        num_veins=7, scallops=0,
    ),
    ground=(238, 206, 84), base=(214, 168, 60), margin=(48, 42, 40), vein=(96, 82, 48),
    core=(70, 120, 196), border=(36, 30, 36), body=(60, 52, 44), stripe=(226, 190, 80),
    veins="ladder", body_width=0.11, fringe=0.9,
)  # fmt: skip
UMBRINDA = Genus(
    name="Umbrinda",
    forewing=WingForm(
        outline=((0.02, -0.16), (0.22, -0.44), (0.50, -0.66), (0.78, -0.74), (0.96, -0.62), (1.0, -0.34), (0.90, -0.08),
                 (0.68, 0.10), (0.36, 0.12), (0.02, 0.02)),
        num_veins=8, scallops=4, depth=0.03,
    ),
    hindwing=WingForm(
        outline=((0.02, -0.04), (0.36, 0.0), (0.66, 0.10), (0.80, 0.32), (0.72, 0.58), (0.50, 0.76), (0.26, 0.74),
                 (0.08, 0.48), (0.02, 0.14)),
        num_veins=7, scallops=5, depth=0.034,
    ),
    ground=(132, 134, 74), base=(90, 88, 52), margin=(58, 54, 38), vein=(88, 88, 50),
    core=(244, 240, 220), border=(28, 28, 30), body=(84, 76, 52), stripe=(50, 46, 36),
    veins="cell", bands=((0.50, 0.03),), body_width=0.13,
)  # fmt: skip
RHODALTA = Genus(
    name="Rhodalta",
    forewing=WingForm(
        outline=((0.02, -0.12), (0.36, -0.34), (0.70, -0.52), (0.98, -0.60), (1.0, -0.44), (0.90, -0.20), (0.72, 0.02),
                 (0.48, 0.10), (0.22, 0.08), (0.02, 0.02)),
        num_veins=6,
    ),
    hindwing=WingForm(
        outline=((0.02, -0.02), (0.32, 0.02), (0.58, 0.10), (0.72, 0.28), (0.74, 0.50), (0.62, 0.70), (0.42, 0.74),
                 (0.20, 0.56), (0.06, 0.34), (0.02, 0.12)),
        num_veins=6,
    ),
    ground=(216, 132, 150), base=(176, 84, 108), margin=(118, 52, 78), vein=(172, 90, 112),
    core=(250, 244, 224), border=(62, 92, 60), body=(196, 150, 120), stripe=(120, 70, 80),
    veins="ladder", body_width=0.16, body_length=0.6, antennae="thread", fringe=0.6,
)  # fmt: skip


def _pair(
    wing: Wing, first: Point, second: Point, shape: Shape = "disc", angle_deg: float = 0.0
) -> tuple[Mark, ...]:
    return tuple(
        Mark(wing=wing, at=at, shape=shape, share=0.5, angle_deg=angle_deg) for at in (first, second)
    )


SPECIES: tuple[Species, ...] = (
    # One eyespot; where it sits.
    Species(genus=VELORA, epithet="apicalis", marks=(Mark(wing="forewing", at=(0.78, -0.62)),)),
    Species(genus=VELORA, epithet="mediana", marks=(Mark(wing="forewing", at=(0.42, -0.26)),)),
    Species(genus=VELORA, epithet="postica", marks=(Mark(wing="hindwing", at=(0.54, 0.38)),)),
    # One mark in the middle of the forewing; its shape.
    Species(genus=CYANESSA, epithet="rotunda", marks=(Mark(wing="forewing", at=(0.62, -0.36)),)),
    Species(genus=CYANESSA, epithet="virgata",
            marks=(Mark(wing="forewing", at=(0.62, -0.36), shape="bar", angle_deg=60),)),
    Species(genus=CYANESSA, epithet="cuneata",
            marks=(Mark(wing="hindwing", at=(0.50, 0.36), shape="triangle", angle_deg=40),)),
    # Two spots; how they are arranged.
    Species(genus=MARMORIX, epithet="costalis", marks=_pair("forewing", (0.44, -0.26), (0.78, -0.34))),
    Species(genus=MARMORIX, epithet="terminata", marks=_pair("forewing", (0.82, -0.26), (0.62, 0.0))),
    Species(genus=MARMORIX, epithet="bipartita",
            marks=(Mark(wing="forewing", at=(0.56, -0.18), share=0.5),
                   Mark(wing="hindwing", at=(0.48, 0.40), share=0.5))),
    # One mark; ring or eye, and where.
    Species(genus=LUNAPHE, epithet="ocellata", marks=(Mark(wing="forewing", at=(0.52, -0.34)),)),
    Species(genus=LUNAPHE, epithet="annulata", marks=(Mark(wing="hindwing", at=(0.42, 0.30), inverted=True),)),
    Species(genus=LUNAPHE, epithet="baculata",
            marks=(Mark(wing="forewing", at=(0.52, -0.34), shape="bar", angle_deg=-30),)),
    # One large or two small.
    Species(genus=CANDELIS, epithet="simplex", marks=(Mark(wing="forewing", at=(0.70, -0.58)),)),
    Species(genus=CANDELIS, epithet="gemina", marks=_pair("forewing", (0.76, -0.74), (0.60, -0.28))),
    Species(genus=CANDELIS, epithet="fenestra", marks=_pair("hindwing", (0.66, 0.18), (0.42, 0.44))),
    # A crescent, a disc, a diamond.
    Species(genus=NOCTAVIA, epithet="lunigera",
            marks=(Mark(wing="forewing", at=(0.60, -0.32), shape="crescent", angle_deg=-40),)),
    Species(genus=NOCTAVIA, epithet="plenata", marks=(Mark(wing="hindwing", at=(0.48, 0.32)),)),
    Species(genus=NOCTAVIA, epithet="rhombea",
            marks=(Mark(wing="forewing", at=(0.78, -0.46), shape="diamond"),)),
    # A bar near the body, an eye outside it, a bar behind.
    Species(genus=FALCIDIA, epithet="vittata",
            marks=(Mark(wing="forewing", at=(0.36, -0.28), shape="bar", angle_deg=45),)),
    Species(genus=FALCIDIA, epithet="oculea", marks=(Mark(wing="forewing", at=(0.70, -0.62)),)),
    Species(genus=FALCIDIA, epithet="caudalis",
            marks=(Mark(wing="hindwing", at=(0.50, 0.34), shape="bar", angle_deg=-45),)),
    # Three spots in a row, in a triangle, one of them behind.
    Species(genus=SERICOLIS, epithet="seriata",
            marks=tuple(Mark(wing="forewing", at=at, share=1 / 3)
                        for at in ((0.80, -0.68), (0.66, -0.44), (0.54, -0.18)))),
    Species(genus=SERICOLIS, epithet="trigona",
            marks=tuple(Mark(wing="forewing", at=at, share=1 / 3)
                        for at in ((0.34, -0.40), (0.34, -0.14), (0.58, -0.34)))),
    Species(genus=SERICOLIS, epithet="dispersa",
            marks=(Mark(wing="forewing", at=(0.70, -0.58), share=1 / 3),
                   Mark(wing="hindwing", at=(0.52, 0.24), share=1 / 3),
                   Mark(wing="hindwing", at=(0.30, 0.44), share=1 / 3))),
    # Two marks; row or column, discs or triangles.
    Species(genus=UMBRINDA, epithet="marginata", marks=_pair("forewing", (0.80, -0.46), (0.74, -0.12))),
    Species(genus=UMBRINDA, epithet="radialis", marks=_pair("forewing", (0.34, -0.28), (0.64, -0.50))),
    Species(genus=UMBRINDA, epithet="dentata",
            marks=_pair("hindwing", (0.60, 0.36), (0.38, 0.56), "triangle", 135)),
    # An inverted eye, a diamond, a crescent; three places.
    Species(genus=RHODALTA, epithet="inversa", marks=(Mark(wing="forewing", at=(0.76, -0.32), inverted=True),)),
    Species(genus=RHODALTA, epithet="gemmata", marks=(Mark(wing="forewing", at=(0.44, -0.14), shape="diamond"),)),
    Species(genus=RHODALTA, epithet="falcata",
            marks=(Mark(wing="hindwing", at=(0.52, 0.44), shape="crescent", angle_deg=45),)),
)  # fmt: skip
