"""What the doctor found: each finding one thing that a person can look at and mend."""

from collections import Counter
from dataclasses import dataclass

MISLABELLED = "mislabelled"
CONFLICT = "conflict"
DUPLICATE = "duplicate"
SPELLING = "spelling"
CONFUSABLE = "confusable"
SMALL_LABEL = "small-label"
OUTLIER = "outlier"
# In the order in which they are worth a person's time, with what a page calls them.
KINDS = {
    MISLABELLED: "labels that may be wrong, each with the estimated share of wrong ones among those as suspicious",
    CONFLICT: "the same picture under different labels",
    DUPLICATE: "the same picture more than once",
    SPELLING: "labels that differ only in spelling",
    CONFUSABLE: "labels that cannot be told apart",
    SMALL_LABEL: "labels with too few items",
    OUTLIER: "items that are far from everything",
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing to look at.

    Attributes:
        kind: one of KINDS.
        text: one sentence for a person.
        command: that mends it once a person agrees, to be pasted into a shell.
        rank: of the labels that it is about; None where it is about none.
        labels: that it is about, `alba (Rosa)` where a name is two labels; of a likely wrong one, the given and the
            suggested label.
        ids: items that it is about; of a picture that is there more than once, first the one to keep.
        evidence: items that show it, in groups that say what they are, such as the nearest of the suggested label.
        confidence: that the finding is right, in [0, 1]; None where there is no measure of it.
    """

    kind: str
    text: str
    command: str
    rank: str | None = None
    labels: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    evidence: tuple[tuple[str, tuple[str, ...]], ...] = ()
    confidence: float | None = None


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """All findings of a catalogue.

    Attributes:
        num_items: that were looked at.
        num_asked: of those, whose neighbours were looked for.
        findings: by kind in the order of KINDS, the strongest first.
        notes: what could not be judged and why, a sentence each.
        seconds: that it took.
    """

    num_items: int
    num_asked: int
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    seconds: float

    def counts(self) -> dict[str, int]:
        """Findings of each kind, none left out."""
        found = Counter(finding.kind for finding in self.findings)
        return {kind: found[kind] for kind in KINDS}
