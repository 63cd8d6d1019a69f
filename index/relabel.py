"""Other labels for items that are there: embedding, thumbnail, metadata and source stay as they are."""

from collections.abc import Iterable, Mapping
from itertools import islice

from index.catalogue import Catalogue
from index.items import Item, NewItem

AT_ONCE = 200  # items in one transaction


def relabel(
    catalogue: Catalogue, ids: Iterable[str], labels: Mapping[str, str], unset: Iterable[str] = ()
) -> tuple[int, list[str]]:
    """Give items labels; those of ranks that are not named stay.

    Args:
        catalogue: to write to.
        ids: of the items.
        labels: rank -> name, to have from now on.
        unset: ranks to have no label of from now on.

    Returns:
        How many items are labelled otherwise now, and the ids of which there is no item.

    Raises:
        CatalogueError: it cannot be written; transactions before that one are kept.
    """
    dropped = frozenset(unset)
    num_changed, missing, left = 0, list[str](), iter(ids)
    while some := list(islice(left, AT_ONCE)):
        changed = []
        for item_id in some:
            item = catalogue.get(item_id)
            if item is None:
                missing.append(item_id)
                continue
            new = {rank: name for rank, name in (item.labels | dict(labels)).items() if rank not in dropped}
            if new != item.labels:
                changed.append(_relabelled(catalogue, item, new))
        if changed:
            catalogue.put(changed)
            num_changed += len(changed)
    return num_changed, missing


def _relabelled(catalogue: Catalogue, item: Item, labels: dict[str, str]) -> NewItem:
    return NewItem(
        id=item.id, labels=labels, metadata=item.metadata, source=item.source, content_hash=item.content_hash,
        embedding=catalogue.embedding(item.id), thumbnail=catalogue.thumbnail(item.id) or b"",
    )  # fmt: skip
