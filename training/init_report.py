"""What became of the weights that a run begins with, for a person and for those who must know."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class InitReport:
    """What became of a file of weights.

    Attributes:
        source: where it came from.
        layout: the key layout it was recognised as.
        loaded: how many of our tensors it filled.
        kept_random: our tensors that it does not have.
        unused: its tensors that have no place here (heads, mask tokens).
        resampled: the grids of the position embeddings, (theirs, ours), where they differ.
        continued: the parts of a run of ours that go on where it ended; empty for other weights.
        anew: its parts that do not fit here and begin anew, with why.
    """

    source: str
    layout: str
    loaded: int
    kept_random: list[str]
    unused: list[str]
    resampled: tuple[int, int] | None
    continued: list[str] = field(default_factory=list)
    anew: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The report for a person."""
        lines = [f"initial weights: {self.loaded} tensors of {self.source} ({self.layout} layout)"]
        if self.continued:
            lines.append(f"  continued: {', '.join(self.continued)}")
        if self.anew:
            lines.append(f"  begun anew: {'; '.join(self.anew)}")
        if self.resampled is not None:
            lines.append(
                f"  position embeddings resampled from {self.resampled[0]} to {self.resampled[1]} patches a side"
            )
        if self.kept_random:
            lines.append(f"  not in the file, left random: {', '.join(self.kept_random)}")
        if self.unused:
            lines.append(f"  in the file, without a place here: {', '.join(self.unused)}")
        return lines
