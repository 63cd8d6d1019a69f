"""A table of labels for pictures whose folders do not name them: a CSV of `path`, then one column a rank, finest first.

    path,model,make
    0001.jpg,A4,Audi

A finer label counts within its coarser one, as folders do: `Audi/A4`. An empty cell is no label.
"""

import csv
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath

from encoder.errors import SourceError
from training.label_ranks import LabelRanks


def read_label_table(path: Path, pictures: Collection[str]) -> tuple[LabelRanks, list[str]]:
    """Read the labels of some pictures.

    Args:
        path: the table, UTF-8.
        pictures: paths relative to the data folder; those that the table lacks have no label.

    Returns:
        The labels, and the paths of the table that are no picture.

    Raises:
        SourceError: it cannot be read, has other columns, names a picture twice, gives a finer label without the
            coarser one, or names none of the pictures.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            columns = [name.strip() for name in next(reader, [])]
            _check_columns(path, columns)
            cells_of = dict(_rows(path, reader, columns))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"label table {path} cannot be read as a UTF-8 CSV: {error}") from error
    unknown = [name for name in cells_of if name not in pictures]
    if len(unknown) == len(cells_of):
        raise SourceError(
            f"label table {path} names {len(cells_of)} paths and none is one of the {len(pictures)} pictures "
            f"(a picture: {next(iter(pictures), 'none')}); paths are relative to --data"
        )
    nothing = (None,) * (len(columns) - 1)
    labels = {picture: cells_of.get(picture, nothing) for picture in pictures}
    return LabelRanks(str(path), tuple(columns[1:]), labels), unknown


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    if len(columns) < 2 or columns[0] != "path" or "" in columns or len(set(columns)) < len(columns):
        raise SourceError(
            f"label table {path} has the columns {', '.join(columns) or 'none'}; expected path, then one column a "
            "rank, finest first, each with a name of its own"
        )


def _rows(
    path: Path, reader: Iterator[list[str]], columns: Sequence[str]
) -> Iterator[tuple[str, tuple[str | None, ...]]]:
    """Path and labels of every row that is not blank."""
    seen: dict[str, int] = {}
    for number, row in enumerate(reader, start=1):
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        where = f"label table {path}, row {number} below the header"
        if len(cells) != len(columns):
            raise SourceError(f"{where}: {len(cells)} values, expected {len(columns)} ({', '.join(columns)})")
        if not cells[0]:
            raise SourceError(f"{where}: the path is empty")
        name = PurePosixPath(cells[0]).as_posix()
        if name in seen:
            raise SourceError(f"{where}: {name} is already in row {seen[name]}; name each picture once")
        seen[name] = number
        yield name, _nested(where, cells[1:], columns[1:])


def _nested(where: str, cells: Sequence[str], ranks: Sequence[str]) -> tuple[str | None, ...]:
    """The labels of one picture, each with the coarser ones before it."""
    num_empty = next((number for number, cell in enumerate(cells) if cell), len(cells))
    if "" in cells[num_empty:]:
        missing = ranks[num_empty + cells[num_empty:].index("")]
        raise SourceError(f"{where}: {ranks[num_empty]} is {cells[num_empty]!r}, but {missing} is empty; fill it in")
    return tuple("/".join(reversed(cells[rank:])) if cells[rank] else None for rank in range(len(cells)))
