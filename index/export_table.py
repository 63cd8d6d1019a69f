"""A catalogue out into a Parquet file, as `index.catalogue_table` describes it: a row group at a time, in one state.

The file is written aside and renamed, so it is there whole or not at all.
"""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from encoder.errors import SourceError
from index.catalogue import Catalogue
from index.catalogue_table import Heading, schema_of
from index.items import Record
from index.progress import CountedProgress
from index.vectors import STORED_DTYPE

ROWS_OF_GROUP = 2048  # some 15 MB with thumbnails


def export_table(catalogue: Catalogue, path: Path, *, filter: str | None = None, quiet: bool = False) -> int:
    """Write the items that a filter lets through, in place of a file that is at `path`; return how many.

    Raises:
        FilterError: the filter cannot be read, or names a field that no item has.
        SourceError: the file cannot be written; one that is there stays.
    """
    schema = schema_of(Heading.of(catalogue))
    partial = path.with_name(f".{path.name}.partial")
    written = 0
    total = catalogue.count(filter)
    try:
        try:
            with (
                pq.ParquetWriter(partial, schema, compression="zstd") as writer,
                CountedProgress("exporting", total, quiet=quiet) as progress,
            ):
                records = catalogue.records(filter)
                while group := list(itertools.islice(records, ROWS_OF_GROUP)):
                    writer.write_batch(_batch(group, schema))
                    written += len(group)
                    progress.advance_to(written)
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise SourceError(f"{path} cannot be written: {error.strerror or error}") from error
    return written


def _batch(records: Sequence[Record], schema: pa.Schema) -> pa.RecordBatch:
    kind = schema.field("embedding").type
    numbers = np.frombuffer(b"".join(record.vector for record in records), STORED_DTYPE).astype(np.float32)
    return pa.RecordBatch.from_arrays(
        [
            pa.array([record.item.id for record in records], pa.string()),
            pa.array([list(record.item.labels.items()) for record in records], schema.field("labels").type),
            pa.array([json.dumps(record.item.metadata, ensure_ascii=False) for record in records], pa.string()),
            pa.array([record.item.source for record in records], pa.string()),
            pa.array([record.item.content_hash for record in records], pa.string()),
            pa.FixedSizeListArray.from_arrays(pa.array(numbers), kind.list_size).cast(kind),
            pa.array([record.thumbnail for record in records], pa.binary()),
        ],
        schema=schema,
    )
