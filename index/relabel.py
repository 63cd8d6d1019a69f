"""Other labels for items that are there: embedding, thumbnail, metadata and source stay as they are.

In a folder an item is read and written in one transaction, so that nothing is undone of what others write meanwhile. In
Milvus there are none: what is written to an item between its reading and its writing is lost.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from encoder.errors import NotFoundError
from index.catalogue import Catalogue
from index.items import Item, NewItem
from index.ranks import with_labels
from index.sqlite_catalogue import SqliteCatalogue

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
        if isinstance(catalogue, SqliteCatalogue):
            changed, lacking = catalogue.relabel(some, labels, dropped)
        else:
            changed, lacking = _put_relabelled(catalogue, some, labels, dropped)
        num_changed += changed
        missing += lacking
    return num_changed, missing


def _put_relabelled(
    catalogue: Catalogue, ids: Sequence[str], labels: Mapping[str, str], dropped: frozenset[str]
) -> tuple[int, list[str]]:
    """As `relabel`, where there are no transactions."""
    changed, missing = list[NewItem](), list[str]()
    for item_id in ids:
        item = catalogue.get(item_id)
        try:
            if item is None:
                missing.append(item_id)
            elif (new := with_labels(item.labels, labels, dropped)) != item.labels:
                changed.append(_relabelled(catalogue, item, new))
        except NotFoundError:  # deleted since
            missing.append(item_id)
    if changed:
        catalogue.put(changed)
    return len(changed), missing


def _relabelled(catalogue: Catalogue, item: Item, labels: dict[str, str]) -> NewItem:
    return NewItem(
        id=item.id, labels=labels, metadata=item.metadata, source=item.source, content_hash=item.content_hash,
        embedding=catalogue.embedding(item.id), thumbnail=catalogue.thumbnail(item.id) or b"",
    )  # fmt: skip
