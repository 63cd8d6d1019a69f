"""Every error this project raises on purpose, in one tree.

    LodiscError
    ├── InputError                     what a person or a client gave is wrong
    │   ├── SourceError                a source of pictures: missing, empty, without its columns, double ids
    │   │   └── IdTakenError           one picture whose id an item from another place has
    │   ├── ConfigError                a recipe or a flag: misspelt, of the wrong type, out of range
    │   ├── FilterError                a filter of a search or a listing; `detail` has the position
    │   ├── NotFoundError              no such item
    │   └── PictureError               one picture; `position` says which of a request
    │       ├── UndecodablePictureError
    │       ├── PictureTooLargeError
    │       └── UnsupportedFormatError
    ├── BundleError                    an encoder's files
    │   ├── BundleNotFoundError
    │   ├── ManifestError
    │   ├── BundleCorruptError
    │   ├── ProviderUnavailableError
    │   └── ParityError
    ├── CatalogueError                 a catalogue's files
    │   ├── CatalogueNotFoundError
    │   ├── EncoderMismatchError
    │   ├── SchemaVersionError
    │   ├── CatalogueBusyError
    │   └── CatalogueCorruptError
    ├── TrainingError                  a run that cannot go on
    ├── ClusterError                   a cluster of machines that fails, or has no room
    └── MissingExtraError              an optional dependency; the message names the extra

A message says what was found, what was expected and what to do, in one line. `code` names the error in JSON, `status`
is its HTTP status, and `exit_code` is what the command line returns: 2 where the arguments or the files they name are
at fault, 1 otherwise.
"""

from typing import Any


class LodiscError(Exception):
    """The root; catch it to catch all of ours.

    Args:
        message: one line for a person.
        detail: facts for a program, JSON-serialisable.
    """

    code = "error"
    status = 500
    exit_code = 1

    def __init__(self, message: str, *, detail: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.detail: dict[str, Any] = detail or {}


class InputError(LodiscError):
    """What a person or a client gave is wrong."""

    code, status, exit_code = "invalid_input", 400, 2


class SourceError(InputError):
    """A folder, CSV, Parquet or tar of pictures is missing, empty, lacks columns or names one id twice."""

    code = "invalid_source"


class IdTakenError(SourceError):
    """A picture of a source has the id of an item that came from another place, and may not replace it."""

    code = "id_taken"


class ConfigError(InputError):
    """A recipe field or a flag is misspelt, of the wrong type or out of range."""

    code = "invalid_config"


class FilterError(InputError):
    """A filter cannot be read, or names a field that no item has."""

    code = "invalid_filter"


class NotFoundError(InputError):
    """There is no such item."""

    code, status = "not_found", 404


class PictureError(InputError):
    """One picture cannot be used.

    Args:
        message: one line for a person.
        position: its 0-based position in the request, where it came with others.
        detail: facts for a program.
    """

    code, status = "invalid_picture", 422

    def __init__(self, message: str, *, position: int | None = None, detail: dict[str, Any] | None = None) -> None:
        super().__init__(message, detail=detail)
        self.position = position


class UndecodablePictureError(PictureError):
    """The bytes are not a whole picture."""

    code = "undecodable_picture"


class PictureTooLargeError(PictureError):
    """The picture has more pixels than allowed; found before decoding."""

    code, status = "picture_too_large", 413


class UnsupportedFormatError(PictureError):
    """The bytes are a picture, or a file, of a format that is not accepted."""

    code, status = "unsupported_format", 415


class BundleError(LodiscError):
    """An encoder's files are not as they must be."""

    code, status, exit_code = "bundle_error", 503, 2


class BundleNotFoundError(BundleError):
    """There is no bundle at that path."""

    code = "bundle_not_found"


class ManifestError(BundleError):
    """A manifest.json is missing a key, has one too many, a wrong type, or comes from a newer version."""

    code = "invalid_manifest"


class BundleCorruptError(BundleError):
    """A file of a bundle is missing or is not the one that its manifest hashes."""

    code = "bundle_corrupt"


class ProviderUnavailableError(BundleError):
    """An execution provider was asked for and is not active."""

    code = "provider_unavailable"


class ParityError(BundleError):
    """An exported encoder does not answer as the network it was made from."""

    code, exit_code = "parity_failed", 1


class CatalogueError(LodiscError):
    """A catalogue's files are not as they must be."""

    code, status, exit_code = "catalogue_error", 503, 2


class CatalogueNotFoundError(CatalogueError):
    """There is no catalogue at that path."""

    code, status = "catalogue_not_found", 404


class EncoderMismatchError(CatalogueError):
    """A catalogue was filled by one encoder and opened with another."""

    code, status = "encoder_mismatch", 409


class SchemaVersionError(CatalogueError):
    """A catalogue was written by a newer version of this program."""

    code = "newer_schema"


class CatalogueBusyError(CatalogueError):
    """Another process is writing to the catalogue."""

    code = "catalogue_busy"


class CatalogueCorruptError(CatalogueError):
    """A catalogue's database is damaged."""

    code, exit_code = "catalogue_corrupt", 1


class TrainingError(LodiscError):
    """A training run cannot go on."""

    code = "training_failed"


class ClusterError(LodiscError):
    """A cluster that a bulk run was given fails, or has no room for it."""

    code, status = "cluster_failed", 503


class MissingExtraError(LodiscError):
    """An optional dependency is not installed."""

    code, status, exit_code = "missing_extra", 503, 2
