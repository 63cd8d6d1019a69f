"""A catalogue in Milvus; see `index.catalogue` for what it promises and `index.milvus.schema` for how it is kept.

Every call reads with strong consistency: what a call that has returned wrote is seen by the next one, of any process.

Less than a folder promises, because Milvus has no transactions: a put or delete of many items is made of several calls,
each of which is whole, so one that fails half-way has done a part and may be repeated; and of two at once that delete
one item, both may count it. A server searches with its own index (AUTOINDEX), whose recall is not measured here.
"""

# Q queries, D embedding dim.

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymilvus import MilvusClient

from encoder.errors import NotFoundError
from index.catalogue import check_search
from index.filled import Filled
from index.filter_expression import ID, fields_of
from index.filter_fields import unknown_field
from index.filter_parser import parse_filter
from index.items import CatalogueStats, Item, ItemPage, Match, NewItem, Record
from index.label_tally import Tally, in_rank_order
from index.milvus.address import MilvusAddress
from index.milvus.client import TIMEOUT_S, disconnect
from index.milvus.facts import content_token, existence_token
from index.milvus.faults import milvus_faults
from index.milvus.filters import expression_of, has_any
from index.milvus.schema import PREFIX, embedding_of, item_of, row_of, thumbnail_of
from index.milvus.spelling import read_text, spelt_text
from index.text import is_text
from index.vectors import pack

_PAGE = 1000
_RECORDS = 200  # with their wide values
_KEYS = 1000  # named in one expression
_ROWS_BYTES = 8 * 2**20  # of one call; a server takes 64 MB by default
_MATCHES = 4000  # of one call


class MilvusCatalogue(Filled):
    """An open catalogue in Milvus; made by `index.milvus.opening`.

    Args:
        path: the folder of this machine that names it.
        address: where it is.
        client: connected; the catalogue closes it.
        meta: what the collection remembers, as of `index.filled`.
        vector_field: the name of its column of embeddings.
    """

    def __init__(
        self, path: Path, address: MilvusAddress, client: MilvusClient, meta: dict[str, str], vector_field: str
    ) -> None:
        super().__init__(str(path), meta)
        self.path, self.address = path, address
        self._client, self._vector_field = client, vector_field

    def close(self) -> None:
        """Disconnect."""
        client, self._client = self._client, None
        if client is not None:
            disconnect(client, self.address)

    # Writing.

    def remember(self, *, bundle_path: Path, ranks: Sequence[str] = ()) -> None:
        """Keep where the bundle is now and, if they are given, what the label ranks are called now."""
        news = self._news(bundle_path, ranks)
        if not news:
            return
        with milvus_faults(self.address):
            self._client.alter_collection_properties(
                self.address.collection, {f"{PREFIX}{key}": value for key, value in news.items()}, timeout=TIMEOUT_S
            )
        self.bundle_path, self.ranks = bundle_path.absolute(), tuple(ranks) or self.ranks

    def put(self, items: Sequence[NewItem]) -> None:
        """Add items, or replace those whose id is already there. Of several with one id the last one counts.

        Raises:
            ValueError: an embedding has another length than the encoder's, or is not finite; an id is no UTF-8 text.
            InputError: something of an item is longer than Milvus holds.
            CatalogueError: Milvus refuses, or cannot be reached.
        """
        rows: dict[str, dict[str, Any]] = {}
        for item in items:
            pack(item.embedding, self.manifest.embedding_dim)  # sees that it is as every store wants it
            row = row_of(item, self._vector_field, self.ranks)
            rows[row["key"]] = row
        for chunk in _chunks_by_size(list(rows.values()), self.manifest.embedding_dim):
            with milvus_faults(self.address):
                self._client.upsert(self.address.collection, chunk, timeout=TIMEOUT_S)

    def delete(self, ids: Iterable[str]) -> int:
        """Delete items and return how many of the ids were there."""
        keys = sorted({spelt_text(item_id) for item_id in ids if is_text(item_id)})
        deleted = 0
        for start in range(0, len(keys), _KEYS):
            there = [row["key"] for row in self._query(_of_keys(keys[start : start + _KEYS]), ["key"], limit=_KEYS)]
            if there:
                with milvus_faults(self.address):
                    self._client.delete(self.address.collection, filter=_of_keys(there), timeout=TIMEOUT_S)
            deleted += len(there)
        return deleted

    # Reading.

    def search(
        self,
        queries_QD: NDArray[np.float32],
        *,
        k: int,
        exclude_ids: Iterable[str] = (),
        filter: str | None = None,
    ) -> list[list[Match]]:
        """The k nearest items of each query; see `index.catalogue`."""
        queries_QD = check_search(queries_QD, k, self.manifest.embedding_dim)
        parts = [self._asked(filter)] if filter is not None else []
        excluded = sorted({spelt_text(item_id) for item_id in exclude_ids if is_text(item_id)})
        if excluded:
            parts.append(f"not ({_of_keys(excluded)})")
        answer: list[list[Match]] = []
        at_once = max(1, _MATCHES // k)
        for start in range(0, len(queries_QD), at_once):
            with milvus_faults(self.address):
                found = self._client.search(
                    self.address.collection,
                    data=queries_QD[start : start + at_once].tolist(),
                    anns_field=self._vector_field,
                    filter=" and ".join(parts),
                    limit=k,
                    output_fields=["document"],
                    search_params={"metric_type": "COSINE"},
                    consistency_level="Strong",
                    timeout=TIMEOUT_S,
                )
            answer += [_matches(hits) for hits in found]
        return answer

    def get(self, item_id: str) -> Item | None:
        """One item, or None."""
        row = self._row(item_id, ["document"])
        return None if row is None else item_of(row)

    def by_content(self, content_hash: str) -> tuple[NDArray[np.float32], bytes] | None:
        """Embedding and thumbnail of an item with that content, or None."""
        rows = self._query(has_any([content_token(content_hash)]), [self._vector_field, "thumbnail"], limit=1)
        return (embedding_of(rows[0], self._vector_field), thumbnail_of(rows[0])) if rows else None

    def thumbnail(self, item_id: str) -> bytes | None:
        """The item's thumbnail as a WebP file, or None if there is no such item."""
        row = self._row(item_id, ["thumbnail"])
        return None if row is None else thumbnail_of(row)

    def embedding(self, item_id: str) -> NDArray[np.float32]:
        """The item's embedding, float32, shape (D,).

        Raises:
            NotFoundError: there is no such item.
        """
        row = self._row(item_id, [self._vector_field])
        if row is None:
            raise NotFoundError(f"the catalogue has no item {item_id[:200]!a}")
        return embedding_of(row, self._vector_field)

    def items(self, cursor: str | None = None, limit: int = 100, filter: str | None = None) -> ItemPage:
        """A page of items in the order of their ids, those after `cursor`.

        Raises:
            FilterError: the filter cannot be read, or names a field that no item has.
        """
        asked = self._asked(filter) if filter is not None else ""
        rows = self._after(spelt_text(cursor or ""), limit + 1, ["document"], asked)
        items = [item_of(row) for row in rows]
        return ItemPage(items[:limit], items[limit - 1].id if len(items) > limit else None)

    def count(self, filter: str | None = None) -> int:
        """The number of items that a filter lets through.

        Raises:
            FilterError: the filter cannot be read, or names a field that no item has.
        """
        asked = self._asked(filter) if filter is not None else ""
        return int(self._query(asked, ["count(*)"])[0]["count(*)"])

    def ids(self) -> Iterator[str]:
        """The ids of all items, in their order."""
        for row in self._all(["key"], _PAGE):
            yield read_text(row["key"])

    def labels(self) -> Tally:
        """How many items carry each label; see `index.catalogue`. Milvus counts no groups: goes through all items."""
        counts: dict[str, Counter[str]] = {}
        for row in self._all(["document"], _PAGE):
            for rank, name in item_of(row).labels.items():
                counts.setdefault(rank, Counter())[name] += 1
        return in_rank_order(counts, self.ranks)

    def records(self, filter: str | None = None, *, thumbnails: bool = True) -> Iterator[Record]:
        """As `Catalogue.records`, in the order of their ids."""
        asked = self._asked(filter) if filter is not None else ""
        columns = ["document", self._vector_field, *(["thumbnail"] if thumbnails else [])]
        for row in self._all(columns, _RECORDS, asked):
            vector = pack(embedding_of(row, self._vector_field), self.manifest.embedding_dim)
            yield Record(item_of(row), vector, thumbnail_of(row) if thumbnails else b"")

    def stats(self) -> CatalogueStats:
        """What is in the catalogue. Counts distinct labels, so it goes through all items."""
        names: dict[str, set[str]] = {rank: set() for rank in self.ranks}
        counts: Counter[str] = Counter()
        for row in self._all(["document"], _PAGE):
            labels = item_of(row).labels
            counts.update(["items"] if labels else ["items", "unlabelled"])
            for rank, name in labels.items():
                names.setdefault(rank, set()).add(name)
        return CatalogueStats(
            items=counts["items"],
            ranks=self.ranks,
            labels={rank: len(found) for rank, found in names.items() if found},
            unlabelled=counts["unlabelled"],
            encoder_id=self.manifest.id,
            encoder_name=self.manifest.name,
            dim=self.manifest.embedding_dim,
            bundle_path=str(self.bundle_path),
            store=self.address.text,
        )

    def _asked(self, filter: str) -> str:
        """The expression of a filter all of whose names some item has.

        Raises:
            FilterError: it cannot be read, or names a field that no item has.
        """
        asked = parse_filter(filter)
        for field in fields_of(asked.condition):
            if field.name != ID and not self._query(has_any([existence_token(field.name)]), ["key"], limit=1):
                some = self._query("", ["document"], limit=_PAGE)
                if some:
                    raise unknown_field(field, _names(item_of(row) for row in some))
        return expression_of(asked.condition)

    def _row(self, item_id: str, columns: list[str]) -> dict[str, Any] | None:
        rows = self._query(_of_keys([spelt_text(item_id)]), columns, limit=1) if is_text(item_id) else []
        return rows[0] if rows else None

    def _all(self, columns: list[str], page: int, asked: str = "") -> Iterator[dict[str, Any]]:
        """All rows that an expression lets through, a page in memory at a time."""
        after = ""
        while rows := self._after(after, page, [*{"key", *columns}], asked):
            yield from rows
            after = rows[-1]["key"]

    def _after(self, key: str, limit: int, columns: list[str], asked: str = "") -> list[dict[str, Any]]:
        """The first rows after a key in the order of keys, of those that an expression lets through."""
        later = f'key > "{key}"'
        # Without this word Milvus may leave out any rows beyond the limit; pages of an iterator are in order.
        return self._query(f"{later} and {asked}" if asked else later, columns, limit=limit, iterator="True")

    def _query(self, expression: str, columns: list[str], **options: Any) -> list[dict[str, Any]]:
        with milvus_faults(self.address):
            return list(
                self._client.query(
                    self.address.collection,
                    filter=expression,
                    output_fields=columns,
                    consistency_level="Strong",
                    timeout=TIMEOUT_S,
                    **options,
                )
            )


def _of_keys(keys: Sequence[str]) -> str:
    """The expression for rows by their keys, which need no escaping."""
    return f"key in {json.dumps(keys)}"


def _names(items: Iterable[Item]) -> list[str]:
    """The names of labels and metadata of some items, sorted."""
    return sorted({name for item in items for name in (*item.labels, *item.metadata)})


def _matches(hits: Iterable[Any]) -> list[Match]:
    found = [(float(hit["distance"]), item_of(hit["entity"])) for hit in hits]
    return sorted(
        (Match(item.id, score, item.labels, item.metadata) for score, item in found),
        key=lambda match: (-match.score, match.id),
    )


def _chunks_by_size(rows: Sequence[dict[str, Any]], dim: int) -> Iterator[list[dict[str, Any]]]:
    """Rows in calls that a server takes."""
    chunk, size = list[dict[str, Any]](), 0
    for row in rows:
        row_size = 4 * dim + len(row["thumbnail"]) + 4 * len(row["document"]) + 40 * len(row["tokens"])
        if chunk and size + row_size > _ROWS_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(row)
        size += row_size
    if chunk:
        yield chunk
