"""Opening a source by what it is: a folder, or by its suffix a CSV, Parquet files or tar files."""

from collections.abc import Sequence
from pathlib import Path

from encoder.errors import MissingExtraError, SourceError
from index.sources.csv_table import CsvSource
from index.sources.files import files_of, shards_of
from index.sources.folder import FolderSource
from index.sources.picture import Source
from index.sources.tar_shards import TarSource

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
EXPECTED = "a folder of pictures, or .csv, .parquet or .tar files"


def read_source(location: str | Path, ranks: Sequence[str] = ()) -> Source:
    """Open a source.

    Args:
        location: path or URL; of Parquet and tar files a pattern, `shards/{000..127}.tar` or `data/*.parquet`.
        ranks: label ranks, finest first: of sub-folders from the inside out, or the columns that are labels.

    Raises:
        SourceError: missing, empty, without its columns, or with one id twice.
        MissingExtraError: it needs a package that is not installed.
    """
    location = str(location)
    kind = files_of(location).kind(location)
    if kind == "folder":
        return FolderSource(location, ranks)
    lower = location.lower()
    if kind == "file" and lower.endswith(".csv"):
        return CsvSource(location, ranks)
    if lower.endswith(".parquet"):
        return _parquet(location, ranks)
    if lower.endswith(TAR_SUFFIXES):
        return TarSource(location, shards_of(location), ranks)
    if kind is None:
        raise SourceError(f"source {location} does not exist; give {EXPECTED}")
    raise SourceError(f"source {location} is none of these: {EXPECTED}")


def _parquet(location: str, ranks: Sequence[str]) -> Source:
    shards = shards_of(location)
    try:
        from index.sources.parquet_table import ParquetSource  # an extra: only once chosen
    except ImportError as error:
        raise MissingExtraError(f"{location} needs pyarrow: pip install -e '.[parquet]'") from error
    return ParquetSource(location, shards, ranks)
