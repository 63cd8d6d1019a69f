"""Affine maps of the plane in closed form, so that a pose is the same numbers on every machine.

Points are (x, y) with y pointing down, as in pictures. A map is immutable; `a @ b` applies `b` first.
"""

import math
from dataclasses import dataclass

Point = tuple[float, float]


@dataclass(frozen=True)
class Affine:
    """x' = a x + b y + c, y' = d x + e y + f."""

    a: float = 1.0
    b: float = 0.0
    c: float = 0.0
    d: float = 0.0
    e: float = 1.0
    f: float = 0.0

    @staticmethod
    def turn(angle_deg: float, about: Point = (0.0, 0.0)) -> "Affine":
        """Turn clockwise as seen in the picture, about a fixed point."""
        cos, sin = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
        x, y = about
        return Affine(cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y)

    @staticmethod
    def scale(x: float, y: float) -> "Affine":
        """Stretch along the axes; a negative factor mirrors."""
        return Affine(a=x, e=y)

    @staticmethod
    def shift(x: float, y: float) -> "Affine":
        """Move by (x, y)."""
        return Affine(c=x, f=y)

    def __matmul__(self, other: "Affine") -> "Affine":
        return Affine(
            self.a * other.a + self.b * other.d,
            self.a * other.b + self.b * other.e,
            self.a * other.c + self.b * other.f + self.c,
            self.d * other.a + self.e * other.d,
            self.d * other.b + self.e * other.e,
            self.d * other.c + self.e * other.f + self.f,
        )

    def __call__(self, point: Point) -> Point:
        x, y = point
        return self.a * x + self.b * y + self.c, self.d * x + self.e * y + self.f

    def inverse(self) -> "Affine":
        """The map that undoes this one; its determinant must not be 0."""
        det = self.a * self.e - self.b * self.d
        a, b, d, e = self.e / det, -self.b / det, -self.d / det, self.a / det
        return Affine(a, b, -(a * self.c + b * self.f), d, e, -(d * self.c + e * self.f))

    def coefficients(self) -> tuple[float, float, float, float, float, float]:
        """In the order of `PIL.Image.Image.transform`."""
        return self.a, self.b, self.c, self.d, self.e, self.f
