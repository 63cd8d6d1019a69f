"""A catalogue's items with their neighbours, as the writers of findings share them."""

# N items, Q questions.

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from index.doctor.items import DoctorItems
from index.doctor.label_distance import codes_of
from index.doctor.mending import Mending
from index.doctor.neighbours import NOBODY, Neighbours
from index.evaluation_items import NONE

SHOWN = 4  # items of a group of evidence


@dataclass(frozen=True)
class Examined:
    """What findings are made of.

    Attributes:
        items: of the catalogue.
        members: positions of those whose content no earlier one has.
        neighbours: of the items that are asked, among the members.
        mending: writes the commands.
        row_of: row of each item that is asked, by its position.
    """

    items: DoctorItems
    members: NDArray[np.int64]
    neighbours: Neighbours
    mending: Mending
    row_of: dict[int, int] = field(default_factory=dict)

    def num_of_label(self, rank: str) -> NDArray[np.int64]:
        """Members of each label of a rank, by its number with homonyms apart."""
        codes = self.items.class_codes[rank][self.members]
        return np.bincount(codes[codes != NONE], minlength=len(self.items.classes[rank]))

    def ids(self, positions: Iterable[int]) -> tuple[str, ...]:
        """The ids of items."""
        return tuple(self.items.ids[position] for position in positions)

    def nearest_ids(self, row: int, rank: str | None = None, code: int = NONE) -> tuple[str, ...]:
        """The first few neighbours of the item in a row; of a label (homonyms apart) if one is given."""
        positions = self.neighbours.positions_QK[row]
        wanted = positions != NOBODY
        if rank is not None:
            one = Neighbours(self.neighbours.questions_Q[[row]], positions[None], self.neighbours.distances_QK[[row]])
            wanted &= codes_of(one, self.items.class_codes[rank])[0] == code
        return self.ids(positions[wanted][:SHOWN].tolist())
