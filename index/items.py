"""What goes into a catalogue and what comes out of it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class NewItem:
    """A picture to be put into a catalogue.

    Attributes:
        id: its name in the catalogue, unique.
        labels: rank -> name, finest rank first; empty if nothing is known.
        metadata: anything else, JSON values.
        source: where the picture is.
        content_hash: SHA-256 of its file, hex.
        embedding: of length 1, float32, shape (D,).
        thumbnail: a small WebP file.
        local: its local features, packed; None where they are not wanted, or those of the same content will do.
    """

    id: str
    labels: dict[str, str]
    metadata: dict[str, Any]
    source: str
    content_hash: str
    embedding: NDArray[np.float32]
    thumbnail: bytes
    local: bytes | None = None


@dataclass(frozen=True)
class Item:
    """A picture of a catalogue, without its wide values."""

    id: str
    labels: dict[str, str]
    metadata: dict[str, Any]
    source: str
    content_hash: str


@dataclass(frozen=True)
class Record:
    """An item with its wide values, as they are stored.

    Attributes:
        item: the rest.
        vector: its embedding, packed as by `index.vectors.pack`.
        thumbnail: a small WebP file; empty where it was not asked for.
    """

    item: Item
    vector: bytes
    thumbnail: bytes


@dataclass(frozen=True)
class ItemPage:
    """Some items, and the cursor of the next page, None at the end."""

    items: list[Item]
    next_cursor: str | None


@dataclass(frozen=True)
class Match:
    """An item that a search found; `score` is the cosine to the query, in [-1, 1].

    Where the matches were re-ranked, `score` is what they were ranked by, and the two scores that it was made of are
    beside it; `local_score` is None for an item whose pivotal patches are not known.
    """

    id: str
    score: float
    labels: dict[str, str]
    metadata: dict[str, Any]
    global_score: float | None = None
    local_score: float | None = None


@dataclass(frozen=True, kw_only=True)
class CatalogueStats:
    """What is in a catalogue.

    Attributes:
        items: live items.
        ranks: the label ranks, finest first, as they are called now.
        labels: number of distinct labels by rank.
        unlabelled: items without a label.
        encoder_id, encoder_name, dim, bundle_path: what filled it.
        snapshot_items: vectors in the snapshot, counting those removed since.
        snapshot_kind: FAISS index type; None without a snapshot.
        snapshot_recall: its measured recall@10.
        snapshot_latency_ms: measured median of one search in it.
        snapshot_memory_bytes: what a searching process maps of it.
        snapshot_removed: vectors of the snapshot that are gone since.
        snapshot_trials: the index types that it was chosen from, each with what it measured on a sample.
        tail_items: items that are scanned exactly because they came after the snapshot.
        last_change: number of the last write.
        disk_bytes: of the whole folder.
        store: address of the server that holds the items, which then has a search index of its own and says nothing of
            it: what is above from `snapshot_items` on is that of a folder. None for a folder.
    """

    items: int
    ranks: tuple[str, ...]
    labels: dict[str, int]
    unlabelled: int
    encoder_id: str
    encoder_name: str
    dim: int
    bundle_path: str
    snapshot_items: int = 0
    snapshot_kind: str | None = None
    snapshot_recall: float | None = None
    snapshot_latency_ms: float | None = None
    snapshot_memory_bytes: int | None = None
    snapshot_removed: int = 0
    snapshot_trials: list[dict[str, Any]] = field(default_factory=list)
    tail_items: int = 0
    last_change: int = 0
    disk_bytes: int = 0
    store: str | None = None
