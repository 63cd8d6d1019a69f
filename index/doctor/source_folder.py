"""The sub-folder of a source in which a picture gets a label: `index.sources.folder` backwards."""

from collections.abc import Mapping, Sequence

from index.ranks import folder_ranks
from index.sources.picture import DEFAULT_RANKS


def folder_of(labels: Mapping[str, str], rank: str, declared: Sequence[str]) -> list[str] | None:
    """The folders for more pictures of an item's label, the outermost first; None if folders cannot give it.

    Folders are counted, so none may be left out: one that is to have a finer label of its own, or a coarser one that
    the item lacks, is called by its rank in capitals.

    Args:
        labels: of an item.
        rank: of the label.
        declared: ranks of the catalogue, finest first.
    """
    order = folder_ranks(len(declared) + len(DEFAULT_RANKS) + len(labels), declared, DEFAULT_RANKS)
    if rank not in order:
        return None
    own, coarsest = order.index(rank), max(place for place, name in enumerate(order) if name in labels)
    # Fewer folders than declared ranks are the coarsest of them; from there on, and where none are, all count.
    places = range(own, len(declared)) if coarsest < len(declared) else range(coarsest + 1)
    folders = [
        labels[order[place]] if place >= own and order[place] in labels else order[place].upper()
        for place in reversed(places)
    ]
    return None if any("/" in name or name.startswith(".") for name in folders) else folders
