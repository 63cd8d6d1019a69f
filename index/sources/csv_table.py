"""A CSV that lists pictures: a column `path` and, if you like, `id`, labels and others.

It is read twice: once to find every fault of the table, so that none stops a run half way, once to index.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from encoder.errors import SourceError
from index.disk_map import DiskMap
from index.sources.columns import labels_of, metadata_of, number_or_text, wanted_ranks
from index.sources.files import beside, files_of, opened, read
from index.sources.picture import PictureFacts, SourcePicture


class CsvSource:
    """The pictures of a CSV, in the order of its rows.

    Args:
        location: path or URL of the CSV; its paths are relative to its folder, or absolute, or URLs.
        ranks: the columns that are labels, finest first; `label` if there are none. Every other column is metadata.

    Raises:
        SourceError: it is no UTF-8 CSV, lacks a column, has no rows, a row of another length, or one id twice.
    """

    def __init__(self, location: str, ranks: Sequence[str] = ()) -> None:
        self.location, self._ranks = location, ranks
        self._base = files_of(location).absolute(location)
        self.num_pictures: int | None = self._check()

    def __iter__(self) -> Iterator[SourcePicture]:
        for line, row in self._rows():
            facts = self._facts(line, row)
            yield SourcePicture(facts, partial(read, facts.location))

    def _check(self) -> int:
        """The number of rows, all of them sound."""
        count = 0
        with DiskMap() as rows:
            for count, (line, row) in enumerate(self._rows(), start=1):
                item_id = self._facts(line, row).id
                earlier = rows.add(item_id, str(count))
                if earlier is not None:
                    raise SourceError(
                        f"{self.location}: rows {earlier} and {count} both have the id {item_id!r}; ids must differ"
                    )
        if not count:
            raise SourceError(f"{self.location} has no rows below its header; nothing to index")
        return count

    def _rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Line and cells by column of every row."""
        try:
            with opened(self.location) as file, io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
                reader = csv.DictReader(text, strict=True)
                columns = [name.strip() for name in reader.fieldnames or []]
                reader.fieldnames = columns
                self._check_columns(columns)
                for row in reader:
                    yield reader.line_num, row
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise SourceError(f"{self.location} cannot be read as a UTF-8 CSV: {error}") from error

    def _check_columns(self, columns: Sequence[str]) -> None:
        twice = sorted({name for name in columns if name and columns.count(name) > 1})
        if twice:
            raise SourceError(f"{self.location} has two columns of the name {', '.join(twice)}; names must differ")
        missing = [column for column in ("path", *self._ranks) if column not in columns]
        if missing:
            raise SourceError(
                f"{self.location} has no column {', '.join(missing)}; it has {', '.join(columns) or 'none'}; "
                "expected path and, if you like, id, label and others"
            )

    def _facts(self, line: int, row: dict[str, Any]) -> PictureFacts:
        if None in row or None in row.values():
            raise SourceError(f"{self.location}, line {line}: the number of values is not that of the header")
        path = row["path"].strip()
        if not path:
            raise SourceError(f"{self.location}, line {line}: the path is empty")
        ranks = wanted_ranks(self._ranks)
        cells = {name: number_or_text(cell) for name, cell in row.items() if name not in ranks}
        return PictureFacts(
            id=row.get("id", "").strip() or PurePosixPath(path).as_posix(),
            location=beside(self._base, path),
            labels=labels_of(row, ranks),
            metadata=metadata_of(cells, without=("path", "id")),
        )
