"""A Parquet file of `lodisc index export` into a catalogue: a new one, which needs no bundle, or one that is there.

The file may come from anybody. What it says of the encoder is checked before anything is written; every row is checked
by itself, and one that is not as it must be costs itself and nothing else. A row that the catalogue has already is
left alone, so that an import may be run again; one whose id is there with other content replaces it.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from encoder.errors import EncoderMismatchError, SourceError
from encoder.manifest import manifest_document
from index.build import claim
from index.catalogue import Catalogue
from index.catalogue_table import KEY, Heading, schema_of
from index.compaction import is_due_after_bulk
from index.disk_map import DiskMap
from index.items import NewItem
from index.locks import writing_alone
from index.progress import CountedProgress
from index.ranks import in_order
from index.schema import DATABASE_NAME, create
from index.sqlite_catalogue import SqliteCatalogue
from index.store_file import require_no_store
from index.text import is_text
from index.vectors import STORED_DTYPE, units

ROWS_AT_A_TIME = 256
BUFFER_BYTES = 1 << 20
MAX_LETTERS = 1 << 24  # of one text
MAX_THUMBNAIL_BYTES = 1 << 20
NUM_NAMED = 20


@dataclass(kw_only=True)
class ImportReport:
    """What became of the rows of a file.

    Attributes:
        added: new in the catalogue.
        replaced: their id was there with other content.
        unchanged: there already.
        num_refused: not as they must be.
        refused: row number, from 0, and reason of the first of them.
    """

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    num_refused: int = 0
    refused: list[tuple[int, str]] = field(default_factory=list)

    def refuse(self, number: int, reason: str) -> None:
        """Count a row that is left out."""
        self.num_refused += 1
        if len(self.refused) < NUM_NAMED:
            self.refused.append((number, reason))


class _BadRowError(Exception):
    """A row is not as it must be; the message says how. Never leaves this module."""


def import_table(path: Path, table: Path, *, quiet: bool = False) -> ImportReport:
    """Take the rows of a file into the catalogue at `path`, making it if there is none, and compact it where that pays.

    Raises:
        ConfigError: the items of the catalogue are in another store.
        SourceError: the file is not one of ours, or is damaged; rows before the damage are in the catalogue.
        EncoderMismatchError: another encoder, or a variant that sees other patches, filled the catalogue.
        CatalogueBusyError: another bulk run is writing to it.
        CatalogueError: it cannot be made, opened or written.
    """
    require_no_store(path)
    report = ImportReport()
    try:
        with pq.ParquetFile(table, buffer_size=BUFFER_BYTES, pre_buffer=False) as parquet:
            heading = _heading(parquet, table)
            columns = schema_of(heading).names
            with _open(path, heading, table) as catalogue, writing_alone(path), DiskMap() as seen:
                with CountedProgress("importing", parquet.metadata.num_rows, quiet=quiet) as progress:
                    first = 0
                    for batch in parquet.iter_batches(ROWS_AT_A_TIME, columns=columns, use_threads=False):
                        _take(catalogue, batch, first, seen, report)
                        first += batch.num_rows
                        progress.advance_to(first)
                stats = catalogue.stats()
                changes = stats.tail_items + stats.snapshot_removed  # also of a run that was cut off before this
                if is_due_after_bulk(stats.snapshot_items, changes, stats.dim):
                    catalogue.compact()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
        raise SourceError(f"{table} cannot be read as a Parquet file, or not to its end: {reason}") from error
    return report


def _heading(parquet: pq.ParquetFile, table: Path) -> Heading:
    """What the file says of itself, with the columns that go with it."""
    found = parquet.schema_arrow
    heading = Heading.loads((found.metadata or {}).get(KEY), str(table))
    for column in schema_of(heading):
        index = found.get_field_index(column.name)
        if index < 0:
            raise SourceError(f"{table} has no column {column.name!r}; it has {', '.join(found.names) or 'none'}")
        if not _same_type(found.field(index).type, column.type):
            raise SourceError(f"{table}: column {column.name} is {found.field(index).type}, expected {column.type}")
    return heading


def _same_type(found: pa.DataType, expected: pa.DataType) -> bool:
    """Whether a column holds what it must, whatever its parts are called and whether they may be null."""
    if pa.types.is_fixed_size_list(expected):
        same = pa.types.is_fixed_size_list(found) and found.list_size == expected.list_size
        return bool(same and found.value_type == expected.value_type)
    if pa.types.is_map(expected):
        return bool(pa.types.is_map(found) and (found.key_type, found.item_type) == (pa.string(), pa.string()))
    return bool(found == expected)


def _open(path: Path, heading: Heading, table: Path) -> SqliteCatalogue:
    """The catalogue to fill: of the same encoder, and of a variant that sees the same patches."""
    if not (path / DATABASE_NAME).is_file():
        claim(path)
        meta = {
            "manifest": manifest_document(heading.manifest),
            "bundle_path": heading.bundle_path,
            "ranks": json.dumps(list(heading.ranks)),
            "variant": heading.variant,
        }
        with writing_alone(path):
            if not (path / DATABASE_NAME).is_file():  # nor has another import made it meanwhile
                create(path, meta | ({"domain": heading.domain} if heading.domain else {}))
    catalogue = SqliteCatalogue.open(path)
    variants = catalogue.manifest.variants
    if catalogue.manifest.id != heading.manifest.id:
        problem = f"by encoder {catalogue.manifest.id} ({catalogue.manifest.name})"
        found = f"by {heading.manifest.id} ({heading.manifest.name})"
    elif variants[catalogue.variant].pruning != heading.manifest.variants[heading.variant].pruning:
        problem, found = f"by variant {catalogue.variant}", f"by {heading.variant}, which sees other patches"
    else:
        return catalogue
    catalogue.close()
    raise EncoderMismatchError(
        f"catalogue {path} was filled {problem}, {table} {found}: their embeddings cannot be compared; "
        "import it into a catalogue of its own",
        detail={"found": heading.manifest.id, "expected": catalogue.manifest.id},
    )


def _take(catalogue: Catalogue, batch: pa.RecordBatch, first: int, seen: DiskMap, report: ImportReport) -> None:
    """Put in what is new of a batch; one transaction."""
    items = []
    for number, row in enumerate(_rows(batch), first):
        try:
            item = _item(row, catalogue.manifest.embedding_dim)
        except _BadRowError as error:
            report.refuse(number, str(error))
            continue
        earlier = seen.add(item.id, str(number))
        if earlier is not None:
            report.refuse(number, f"its id {item.id!a} is that of row {earlier}")
            continue
        if catalogue.get(item.id) is None:
            report.added += 1
        elif _is_there(catalogue, item):
            report.unchanged += 1
            continue
        else:
            report.replaced += 1
        items.append(item)
    if items:
        catalogue.put(items)


def _is_there(catalogue: Catalogue, item: NewItem) -> bool:
    """Whether the catalogue's item with that id is the same in everything."""
    known = catalogue.get(item.id)
    if known is None or (known.source, known.content_hash) != (item.source, item.content_hash):
        return False
    # As text, in which 1, 1.0 and true differ and the order of ranks counts; the catalogue has its own order of them.
    labels = in_order(item.labels, catalogue.ranks)
    if json.dumps([known.labels, known.metadata]) != json.dumps([labels, item.metadata]):
        return False
    embedding_D = units(item.embedding.astype(STORED_DTYPE)[None])[0]
    return np.array_equal(catalogue.embedding(item.id), embedding_D) and catalogue.thumbnail(item.id) == item.thumbnail


def _rows(batch: pa.RecordBatch) -> Iterator[dict[str, Callable[[], Any]]]:
    """Of each row, what reads each of its cells: a text that is not UTF-8 is met only there."""
    for number in range(batch.num_rows):
        yield {name: batch.column(name)[number].as_py for name in batch.schema.names}


def _item(row: dict[str, Callable[[], Any]], dim: int) -> NewItem:
    """A row as an item.

    Raises:
        _BadRowError: it is not as it must be.
    """
    item_id, source, content_hash = (_text(row, name) for name in ("id", "source", "content_hash"))
    if not item_id:
        raise _BadRowError("its id is empty")
    if content_hash and (len(content_hash) != 64 or set(content_hash) - set("0123456789abcdef")):
        raise _BadRowError(f"content_hash is {content_hash[:80]!a}, expected 64 hex digits or nothing")
    return NewItem(
        id=item_id, labels=_labels(row), metadata=_metadata(row), source=source, content_hash=content_hash,
        embedding=_embedding(row, dim), thumbnail=_thumbnail(row),
    )  # fmt: skip


def _cell(row: dict[str, Callable[[], Any]], name: str) -> Any:
    try:
        value = row[name]()
    except UnicodeDecodeError as error:
        raise _BadRowError(f"{name} is not UTF-8 text") from error
    if value is None:
        raise _BadRowError(f"{name} is null")
    return value


def _text(row: dict[str, Callable[[], Any]], name: str) -> str:
    text: str = _cell(row, name)
    if len(text) > MAX_LETTERS:
        raise _BadRowError(f"{name} has {len(text)} letters, expected at most {MAX_LETTERS}")
    return text


def _labels(row: dict[str, Callable[[], Any]]) -> dict[str, str]:
    pairs: list[tuple[str, str]] = _cell(row, "labels")
    labels = dict(pairs)
    if len(labels) < len(pairs):
        raise _BadRowError("labels name a rank twice")
    if None in labels.values():
        raise _BadRowError("a name of its labels is null")
    return labels


def _metadata(row: dict[str, Callable[[], Any]]) -> dict[str, Any]:
    try:
        metadata = json.loads(_text(row, "metadata"))
        text = json.dumps(metadata, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise _BadRowError(f"metadata is no JSON that a catalogue can hold: {error}") from error
    if not isinstance(metadata, dict):
        raise _BadRowError(f"metadata is a JSON {type(metadata).__name__}, expected an object")
    if not is_text(text):
        raise _BadRowError("metadata holds half of a surrogate pair, which is no text")
    return metadata


def _embedding(row: dict[str, Callable[[], Any]], dim: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    numbers = _cell(row, "embedding")
    if len(numbers) != dim or None in numbers:
        raise _BadRowError(f"embedding is not {dim} numbers")
    embedding_D = np.array(numbers, np.float32)
    if not (np.abs(embedding_D) <= np.finfo(STORED_DTYPE).max).all():
        raise _BadRowError("embedding holds a number that is not finite, or too large for half precision")
    return embedding_D


def _thumbnail(row: dict[str, Callable[[], Any]]) -> bytes:
    picture: bytes = _cell(row, "thumbnail")
    if len(picture) > MAX_THUMBNAIL_BYTES:
        raise _BadRowError(f"thumbnail has {len(picture)} bytes, expected at most {MAX_THUMBNAIL_BYTES}")
    if picture and not (picture[:4] == b"RIFF" and picture[8:12] == b"WEBP"):
        raise _BadRowError("thumbnail is not a WebP file")
    return picture
