"""Parquet files that list pictures, or hold them: needs pyarrow.

A column `path` as in a CSV, or the files themselves in a column `image`: bytes, or the struct {bytes, path} that the
`datasets` library writes. Rows are read a few at a time, whatever the size of a row group.
"""

import json
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from encoder.errors import SourceError, UndecodablePictureError
from index.disk_map import DiskMap
from index.sources.columns import labels_of, metadata_of, text_of, wanted_ranks
from index.sources.files import beside, files_of, name_of, opened, read
from index.sources.picture import PictureFacts, SourcePicture, UnreadablePart

IMAGE = "image"
ROWS_AT_A_TIME = 8
BUFFER_BYTES = 1 << 20
ONE_BY_ONE = "lodisc index add CATALOGUE --images SOURCE --prefix TEXT"

logger = logging.getLogger(__name__)


class ParquetSource:
    """The pictures of Parquet files with the same columns, in the order of the shards and their rows.

    The id is the column `id`, else the path, else shard and row (`train-0.parquet#12`). Of the `datasets` library's
    class labels the names are taken.

    Args:
        location: as it was given.
        shards: its files.
        ranks: the columns that are labels, finest first; `label` if there are none. Every other column is metadata.

    Raises:
        SourceError: a shard is no Parquet file, lacks a column, or one id is there twice; or there are no rows.
    """

    def __init__(self, location: str, shards: Sequence[str], ranks: Sequence[str] = ()) -> None:
        self.location, self._ranks = location, ranks
        self._shards = [files_of(shard).absolute(shard) for shard in shards]
        self.num_pictures: int | None = sum(self._check(shard) for shard in self._shards)
        if not self.num_pictures:
            raise SourceError(f"{location} has no rows; nothing to index")
        self._check_ids()

    def __iter__(self) -> Iterator[SourcePicture | UnreadablePart]:
        for shard in self._shards:
            done = 0
            try:
                for number, row, unreadable in self._rows(shard):
                    yield self._picture(shard, number, row, unreadable)
                    done = number + 1
            except (pa.ArrowException, OSError) as error:
                yield UnreadablePart(shard, f"cannot be read after row {done}: {_line(error)}")

    def _check(self, shard: str) -> int:
        """The number of rows of a shard that has the columns."""
        try:
            with opened(shard) as file, pq.ParquetFile(file) as parquet:
                columns = parquet.schema_arrow.names
                count = parquet.metadata.num_rows
        except (pa.ArrowException, OSError) as error:
            raise SourceError(f"{shard} cannot be read as a Parquet file: {_line(error)}") from error
        missing = [rank for rank in self._ranks if rank not in columns]
        if "path" not in columns and IMAGE not in columns:
            missing.insert(0, f"path or {IMAGE}")
        if missing:
            raise SourceError(
                f"{shard} has no column {', '.join(missing)}; it has {', '.join(columns) or 'none'}; "
                f"expected path or {IMAGE} and, if you like, id, label and others"
            )
        return int(count)

    def _check_ids(self) -> None:
        """No id is there twice; what can be read of it is little, so all of it is read before a run begins."""
        times = Counter(map(name_of, self._shards))
        with DiskMap() as places:
            for shard in self._shards:
                shared = times[name_of(shard)] > 1
                named = shard if shared else name_of(shard)
                try:
                    for number, row, unreadable in self._rows(shard, ids_only=True, nameless=shared):
                        if unreadable:  # costs its row in the run
                            continue
                        item_id, place = _id(shard, number, row), f"row {number} of {named}"
                        earlier = places.add(item_id, place)
                        if earlier is not None:
                            one_by_one = f", or take its shards in one by one: {ONE_BY_ONE}" if shared else ""
                            raise SourceError(
                                f"{self.location}: {earlier} and {place} both have the id {item_id!r}; "
                                f"ids must differ: give the table a column id{one_by_one}"
                            )
                except (pa.ArrowException, OSError) as error:
                    raise SourceError(f"{shard} is damaged: {_line(error)}") from error

    def _rows(
        self, shard: str, *, ids_only: bool = False, nameless: bool = False
    ) -> Iterator[tuple[int, dict[str, Any], dict[str, str]]]:
        """Of every row its number, from 0, its cells by column, and of those that cannot be read why not.

        Args:
            shard: that has them.
            ids_only: no other cells, and no row where ids are made of the shard's name and the row's number.
            nameless: those too.
        """
        # With a buffer and no reading ahead, no more than a page of each column is in memory.
        with opened(shard) as file, pq.ParquetFile(file, buffer_size=BUFFER_BYTES, pre_buffer=False) as parquet:
            schema = parquet.schema_arrow
            columns, names = _readable(shard, schema, warn=not ids_only), _class_names(schema)
            if ids_only:
                columns = [column for column in ("id", "path", f"{IMAGE}.path") if _has(schema, column)]
            if not columns:
                if nameless:
                    yield from ((number, {}, {}) for number in range(parquet.metadata.num_rows))
                return
            rows_at_a_time = 4096 if ids_only else ROWS_AT_A_TIME
            number = 0
            for batch in parquet.iter_batches(rows_at_a_time, columns=columns, use_threads=False):
                for place in range(batch.num_rows):
                    row, unreadable = dict[str, Any](), dict[str, str]()
                    for name, column in zip(batch.schema.names, batch.columns, strict=True):
                        try:
                            row[name] = _named(names.get(name), column[place].as_py())
                        except (ValueError, OverflowError) as error:  # text that is not UTF-8, or the year 100000
                            unreadable[name] = _line(error)
                    yield number, row, unreadable
                    number += 1

    def _picture(self, shard: str, number: int, row: dict[str, Any], unreadable: dict[str, str]) -> SourcePicture:
        ranks = wanted_ranks(self._ranks)
        if unreadable:
            column, reason = next(iter(unreadable.items()))
            told = UndecodablePictureError(f"column {column} of row {number} cannot be read: {reason}")
            nameless = unreadable.keys() & {"id", "path", IMAGE}
            item_id = _id(shard, number, {} if nameless else row)
            return SourcePicture(PictureFacts(item_id, f"{shard}#{number}", {}, {}), partial(_fail, told))
        data, path = _image(row)
        location = beside(shard, path) if data is None and path else f"{shard}#{number}"
        facts = PictureFacts(
            id=_id(shard, number, row),
            location=location,
            labels=labels_of(row, ranks),
            metadata=metadata_of(row, without=("path", "id", IMAGE, *ranks)),
        )
        if data is not None:
            return SourcePicture(facts, partial(bytes, data))
        if path:
            return SourcePicture(facts, partial(read, location))
        told = UndecodablePictureError("the row has no picture: its image and its path are empty")
        return SourcePicture(facts, partial(_fail, told))


def _fail(error: UndecodablePictureError) -> bytes:
    raise error


def _image(row: dict[str, Any]) -> tuple[bytes | None, str]:
    """The file that a row holds, and the path that it names; either may be missing."""
    image, path = row.get(IMAGE), text_of(row.get("path"))
    if isinstance(image, dict):
        return image.get("bytes"), path or text_of(image.get("path"))
    return image, path


def _id(shard: str, number: int, row: dict[str, Any]) -> str:
    _, path = _image(row)
    return text_of(row.get("id")) or (PurePosixPath(path).as_posix() if path else f"{name_of(shard)}#{number}")


def _readable(shard: str, schema: pa.Schema, *, warn: bool) -> list[str]:
    """The columns that are to be read: all but those that hold bytes and are not the picture."""
    columns = [field.name for field in schema if field.name == IMAGE or not _holds_bytes(field.type)]
    passed_over = [name for name in schema.names if name not in columns]
    if passed_over and warn:
        logger.warning("%s: columns with bytes are not metadata and are left out: %s", shard, ", ".join(passed_over))
    return columns


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(_holds_bytes(field.type) for field in kind)
    if pa.types.is_map(kind):
        return _holds_bytes(kind.key_type) or _holds_bytes(kind.item_type)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _holds_bytes(kind.value_type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))


def _has(schema: pa.Schema, column: str) -> bool:
    name, _, part = column.partition(".")
    if name not in schema.names:
        return False
    kind = schema.field(name).type
    return not part or (pa.types.is_struct(kind) and kind.get_field_index(part) >= 0)


def _class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Column -> names of its classes, where the `datasets` library has left them."""
    document = (schema.metadata or {}).get(b"huggingface")
    features = json.loads(document).get("info", {}).get("features", {}) if document else {}
    return {
        name: feature["names"]
        for name, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and feature.get("names")
    }


def _named(names: list[str] | None, cell: Any) -> Any:
    """The name of a class instead of its number; -1 is the library's word for none."""
    if names is None or not isinstance(cell, int):
        return cell
    return names[cell] if 0 <= cell < len(names) else None


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
