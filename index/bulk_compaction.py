"""Whether a bulk run ends with a new snapshot, where the store of the catalogue has snapshots at all."""

from index.catalogue import Catalogue
from index.compaction import is_due_after_bulk
from index.following import last_seq, reading
from index.sqlite_catalogue import SqliteCatalogue


class BulkCompaction:
    """The snapshot of one bulk run. Made before the run: afterwards the catalogue would have to take in all of it.

    Args:
        catalogue: that the run fills. Milvus keeps its index by itself: there is nothing to do.
        compact_after: there is none if there are not more changes than this since the last one.
    """

    def __init__(self, catalogue: Catalogue, compact_after: int) -> None:
        self._catalogue = catalogue if isinstance(catalogue, SqliteCatalogue) else None
        self._compact_after = compact_after
        self._seq, self._held = -1, 0  # the last change that a whole snapshot has, and its number of vectors
        if self._catalogue is not None and (view := self._catalogue.refresh()).snapshot is not None:
            self._seq, self._held = view.snapshot_seq, view.snapshot.info.count

    def is_due(self) -> bool:
        """Whether so much has changed that one is worth its work."""
        if self._catalogue is None:
            return False
        with reading(self._catalogue.path) as connection:
            changes = last_seq(connection) - self._seq
        dim = self._catalogue.manifest.embedding_dim
        return changes > self._compact_after and is_due_after_bulk(self._held, changes, dim)

    def run(self) -> None:
        """Build and publish it."""
        assert self._catalogue is not None, "asked for without being due"
        self._catalogue.compact()
