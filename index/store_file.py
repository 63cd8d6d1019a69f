"""`store.json`: in which store the items of a catalogue folder are, where that is not the folder itself."""

import json
from pathlib import Path

from encoder.errors import CatalogueCorruptError, CatalogueError, ConfigError

STORE_NAME = "store.json"


def read_store(path: Path) -> str | None:
    """The address that the catalogue folder `path` names; None where the items are in the folder.

    Raises:
        CatalogueCorruptError: the file is not as it must be.
    """
    file = path / STORE_NAME
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["store"])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CatalogueCorruptError(
            f'{file} cannot be read ({error}); expected {{"store": "milvus://HOST:PORT/NAME"}}'
        ) from error


def require_no_store(path: Path) -> None:
    """See that the items of the catalogue folder `path` are in the folder itself.

    Raises:
        ConfigError: they are elsewhere.
    """
    store = read_store(path)
    if store is not None:
        raise ConfigError(
            f"the items of {path} are in {store}; `verify` and `import` are for folders that hold their items "
            "(`lodisc index export` works with both)"
        )


def write_store(path: Path, address: str) -> None:
    """Name the store of the catalogue folder `path`.

    Raises:
        CatalogueError: it cannot be written.
    """
    try:
        (path / STORE_NAME).write_text(json.dumps({"store": address}) + "\n", encoding="utf-8")
    except OSError as error:
        raise CatalogueError(f"{path / STORE_NAME} cannot be written: {error.strerror or error}") from error
