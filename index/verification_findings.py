"""What looking through a catalogue found: one check a promise, with the first examples and what mends the rest."""

from array import array
from dataclasses import dataclass, field
from typing import Any, Literal

FEW = 5  # examples that are kept

# catalogue: what it must be like. cache: what is derived of it, and searched around where it is damaged. source:
# whether the pictures are still what was indexed. leftover: of a kill, which does nothing but take space.
Kind = Literal["catalogue", "cache", "source", "leftover"]


@dataclass(kw_only=True)
class Check:
    """One promise, and where it does not hold.

    Attributes:
        name: one word.
        promise: what was looked for.
        kind: of what; see `Kind`.
        looked_at: things that were looked at.
        found: faults.
        repaired: of those, that are gone.
        examples: the first faults, one line each.
        rows: of the catalogue, where the faults are of rows.
        remedy: the command that mends what is left.
        note: what else there is to say, as why something was not looked at.
    """

    name: str
    promise: str
    kind: Kind = "catalogue"
    looked_at: int = 0
    found: int = 0
    repaired: int = 0
    examples: list[str] = field(default_factory=list)
    rows: "array[int]" = field(default_factory=lambda: array("q"))
    remedy: str | None = None
    note: str | None = None

    def add(self, example: str, row: int | None = None) -> None:
        """Count a fault."""
        self.found += 1
        if len(self.examples) < FEW:
            self.examples.append(example)
        if row is not None:
            self.rows.append(row)

    @property
    def remaining(self) -> int:
        """Faults that are still there."""
        return self.found - self.repaired

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "check": self.name, "promise": self.promise, "kind": self.kind, "looked_at": self.looked_at,
            "found": self.found, "repaired": self.repaired, "remaining": self.remaining, "examples": self.examples,
            "remedy": self.remedy if self.remaining else None, "note": self.note,
        }  # fmt: skip


@dataclass(frozen=True)
class Report:
    """All checks of one catalogue."""

    checks: tuple[Check, ...]

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong any more; leftovers are not wrong."""
        return not any(check.remaining for check in self.checks if check.kind != "leftover")

    def of(self, name: str) -> Check:
        """One check by its name."""
        return next(check for check in self.checks if check.name == name)

    def after_repair(self, again: "Report") -> "Report":
        """What the same checks say once everything was repaired that can be: repaired is what is not found again.

        Args:
            again: of the same catalogue; it may hold more checks, where there was no looking further the first time.
        """
        before = {check.name: check for check in self.checks}
        for check in again.checks:
            first = before.get(check.name)
            if first is not None:
                check.repaired = max(0, first.found - check.found)
                check.found += check.repaired
                check.examples = check.examples or first.examples
                check.note = first.note or check.note  # what a repair says of itself before what is there now
        return again
