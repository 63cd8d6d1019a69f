"""Where the pictures of a bulk run come from: a folder, or a CSV.

A source names every picture, its id, labels and metadata before anything is decoded, so faults of the source itself
(missing, empty, without its columns, one id twice) stop a run before it begins; faults of single pictures do not.
"""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from encoder.errors import SourceError
from encoder.picture_files import list_pictures
from index.ranks import folder_ranks

DEFAULT_RANKS = ("label", "group", "supergroup")


@dataclass(frozen=True)
class SourcePicture:
    """A picture to index.

    Attributes:
        id: its name in the catalogue.
        path: of the file.
        labels: rank -> name, finest rank first.
        metadata: anything else.
    """

    id: str
    path: Path
    labels: dict[str, str]
    metadata: dict[str, Any]


def read_source(source: Path, ranks: Sequence[str] = ()) -> list[SourcePicture]:
    """The pictures of a folder or CSV, in a fixed order.

    In a folder, sub-folders are labels, the innermost the finest: `ranks` names them, from the finest (see
    `index.ranks` for folders of unequal depth); the id is the path relative to the folder. In a CSV, `path` is relative
    to the CSV's folder, `id` defaults to `path` without a leading `./`, the columns named by `ranks` are labels
    (`label` if none are), and every other column is metadata.

    Raises:
        SourceError: missing, empty, without its columns, or with one id twice.
    """
    if not source.exists():
        raise SourceError(f"source {source} does not exist; give a folder of pictures or a .csv file")
    if source.is_dir():
        try:
            paths = list_pictures(source)
        except OSError as error:
            raise SourceError(f"{error.filename} cannot be read: {error.strerror}; see who may read it") from error
        return [_from_folder(source, path, ranks) for path in paths]
    if source.suffix.lower() == ".csv":
        return _read_csv(source, ranks)
    raise SourceError(f"source {source} is neither a folder nor a .csv file")


def _from_folder(folder: Path, path: Path, ranks: Sequence[str]) -> SourcePicture:
    relative = path.relative_to(folder)
    names = list(reversed(relative.parent.parts))
    labels = dict(zip(folder_ranks(len(names), ranks, DEFAULT_RANKS), names, strict=True))
    return SourcePicture(relative.as_posix(), path, labels, {})


def _read_csv(source: Path, ranks: Sequence[str]) -> list[SourcePicture]:
    try:
        with source.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            columns = [name.strip() for name in reader.fieldnames or []]
            reader.fieldnames = columns
            twice = sorted({name for name in columns if name and columns.count(name) > 1})
            if twice:
                raise SourceError(f"{source} has two columns of the name {', '.join(twice)}; names must differ")
            wanted = ["path", *ranks]
            missing = [column for column in wanted if column not in columns]
            if missing:
                raise SourceError(
                    f"{source} has no column {', '.join(missing)}; it has {', '.join(columns) or 'none'}; "
                    "expected path and, if you like, id, label and others"
                )
            pictures = [_from_csv_row(source, reader.line_num, row, ranks or ("label",)) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{source} cannot be read as a UTF-8 CSV: {error}") from error
    if not pictures:
        raise SourceError(f"{source} has no rows below its header; nothing to index")
    lines: dict[str, int] = {}
    for number, picture in enumerate(pictures, start=1):
        if picture.id in lines:
            raise SourceError(
                f"{source}: rows {lines[picture.id]} and {number} both have the id {picture.id!r}; ids must differ"
            )
        lines[picture.id] = number
    return pictures


def _from_csv_row(source: Path, line: int, row: dict[str, Any], ranks: Sequence[str]) -> SourcePicture:
    if None in row or None in row.values():
        raise SourceError(f"{source}, line {line}: the number of values is not that of the header")
    path = row["path"].strip()
    if not path:
        raise SourceError(f"{source}, line {line}: the path is empty")
    labels = {rank: row[rank].strip() for rank in ranks if row.get(rank, "").strip()}
    metadata = {
        column: _number_or_text(value)
        for column, value in row.items()
        if column not in ("path", "id", *ranks) and value.strip()
    }
    item_id = row.get("id", "").strip() or PurePosixPath(path).as_posix()
    return SourcePicture(item_id, source.parent / path, labels, metadata)


def _number_or_text(text: str) -> int | float | str:
    """A number where the text is one, so that filters can compare it; else the text.

    What would not be the same again is left as text: `007` is a name, not a seven.
    """
    digits = text.strip().lstrip("+-")
    if "_" in text or (len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()):
        return text
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        if math.isfinite(value) and abs(value) < 2**53:
            return value
    return text
