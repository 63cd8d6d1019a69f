"""manifest.json: everything a server must know about an encoder, and nothing it must guess.

Reading is strict: an unknown key, a missing key, a wrong type or a newer format is a ManifestError that names the
file, what was expected and what was found.
"""

import dataclasses
import hashlib
import json
import math
import re
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from encoder.errors import BundleNotFoundError, ManifestError

MANIFEST_NAME = "manifest.json"
FORMAT_VERSION = 1
RESIZE_RULES = ("shortest_side", "stretch")
INTERPOLATIONS = ("bicubic", "bilinear", "lanczos")
_PLAIN_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How a decoded picture becomes the encoder's input.

    Attributes:
        image_size: side of the square input in pixels.
        resize: "shortest_side" keeps the proportions and takes the middle square; "stretch" squeezes the whole
            picture into the square.
        crop_fraction: share of that middle square (or of the picture) that is kept, in (0, 1].
        interpolation: "bicubic", "bilinear" or "lanczos", always with antialiasing.
        mean: subtracted from each channel, on a scale of 0 to 1. Applied inside the ONNX graph.
        std: divided by, likewise.
    """

    image_size: int
    resize: str
    crop_fraction: float
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def crop_box(self, width: int, height: int) -> tuple[float, float, float, float]:
        """The region of a picture that the encoder sees: left, top, right, bottom in its pixels."""
        if self.resize == "stretch":
            box_width, box_height = width * self.crop_fraction, height * self.crop_fraction
        else:
            box_width = box_height = min(width, height) * self.crop_fraction
        left, top = (width - box_width) / 2, (height - box_height) / 2
        return left, top, left + box_width, top + box_height


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One ONNX file of the bundle.

    Attributes:
        file: its name in the bundle.
        sha256: of its bytes, hex.
        precision: "fp32", "int8", ...
        parity: how far it is from torch, as measured at export.
    """

    file: str
    sha256: str
    precision: str
    parity: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a bundle is.

    Attributes:
        format_version: of this file.
        id: hash of weights and preprocessing; two bundles of one id give one embedding.
        name: for people.
        embedding_dim: length of an embedding.
        preprocessing: from picture to input.
        patch_grid: rows and columns of the patches, if the encoder has patches.
        outputs: names of the graph's outputs.
        variants: ONNX files by name; "fp32" is always there.
        feature: which feature of the network is the embedding.
        licence: of the weights.
        trained_on: one sentence.
        domain: what pictures it knows, as a short noun phrase.
        figures: measurements, by name.
        recipe: the resolved training recipe, if there is one.
        created_with: versions of what wrote it.
    """

    format_version: int = FORMAT_VERSION
    id: str
    name: str
    embedding_dim: int
    preprocessing: Preprocessing
    patch_grid: tuple[int, int] | None
    outputs: list[str]
    variants: dict[str, Variant]
    feature: str
    licence: str
    trained_on: str
    domain: str
    figures: dict[str, float]
    recipe: dict[str, Any]
    created_with: dict[str, str]


def bundle_id(onnx_sha256: str, preprocessing: Preprocessing) -> str:
    """The id of an encoder: 16 hex digits of a hash over its fp32 weights and its preprocessing."""
    canonical = json.dumps(dataclasses.asdict(preprocessing), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{onnx_sha256}\n{canonical}".encode()).hexdigest()[:16]


def manifest_document(manifest: Manifest) -> str:
    """The manifest as the text of manifest.json."""
    return json.dumps(dataclasses.asdict(manifest), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def save_manifest(manifest: Manifest, folder: Path) -> None:
    """Write manifest.json by rename.

    Raises:
        ManifestError: `load_manifest` would refuse it.
    """
    path = folder / MANIFEST_NAME
    try:
        document = manifest_document(manifest)
    except ValueError as error:
        raise ManifestError(f"{path} was not written: a number in it is not finite ({error})") from error
    parse_manifest(json.loads(document), str(path))
    partial = path.with_suffix(".partial")
    partial.write_text(document, encoding="utf-8")
    partial.replace(path)


def load_manifest(folder: Path) -> Manifest:
    """Read and check the manifest of a bundle.

    Raises:
        BundleNotFoundError: no such folder, or no manifest in it.
        ManifestError: not JSON, or not as expected.
    """
    path = folder / MANIFEST_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BundleNotFoundError(
            f"{folder} is not a bundle: it has no {MANIFEST_NAME}; `lodisc export RUN --out {folder}` writes one"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path} cannot be read: {error}") from error
    try:
        return parse_manifest(json.loads(text), str(path))
    except (ValueError, RecursionError) as error:  # ValueError: JSONDecodeError, and numbers of thousands of digits
        raise ManifestError(f"{path} is not valid JSON: {error}") from error


def parse_manifest(document: Any, origin: str) -> Manifest:
    """Build a manifest from a parsed document; `origin` is named in errors."""
    if isinstance(document, dict):
        version = document.get("format_version")
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise ManifestError(
                f"{origin}: format_version is {version}, this program reads up to {FORMAT_VERSION}; update lodisc"
            )
    manifest: Manifest = _read(Manifest, document, origin, "manifest")
    problem = _first_problem(manifest)
    if problem:
        raise ManifestError(f"{origin}: {problem}")
    return manifest


def _first_problem(manifest: Manifest) -> str | None:
    """What is out of range, in words, or None."""
    preprocessing = manifest.preprocessing
    checks = {
        f"preprocessing.image_size is {preprocessing.image_size}, expected 1 to 4096": (
            1 <= preprocessing.image_size <= 4096
        ),
        f"preprocessing.resize is {preprocessing.resize!r}, expected one of {RESIZE_RULES}": (
            preprocessing.resize in RESIZE_RULES
        ),
        f"preprocessing.crop_fraction is {preprocessing.crop_fraction}, expected in (0, 1]": (
            0 < preprocessing.crop_fraction <= 1
        ),
        f"preprocessing.interpolation is {preprocessing.interpolation!r}, expected one of {INTERPOLATIONS}": (
            preprocessing.interpolation in INTERPOLATIONS
        ),
        f"preprocessing.std is {preprocessing.std}, expected above 0": min(preprocessing.std) > 0,
        f"embedding_dim is {manifest.embedding_dim}, expected at least 1": manifest.embedding_dim >= 1,
        f"outputs are {manifest.outputs}, expected 'embedding' among them": "embedding" in manifest.outputs,
        f"variants are {sorted(manifest.variants)}, expected 'fp32' among them": "fp32" in manifest.variants,
        f"patch_grid is {manifest.patch_grid}, expected at least 1 x 1, and not null where there is attention": (
            "attention" not in manifest.outputs if manifest.patch_grid is None else min(manifest.patch_grid) >= 1
        ),
        "a variant's file is not a plain file name": all(
            _PLAIN_FILE_NAME.fullmatch(variant.file) and variant.file != MANIFEST_NAME
            for variant in manifest.variants.values()
        ),
    }
    return next((problem for problem, fine in checks.items() if not fine), None)


def _read(wanted: Any, value: Any, origin: str, where: str) -> Any:
    """Check `value` against a type and build it; the error says where, what was expected and what was found."""
    if dataclasses.is_dataclass(wanted):
        return _read_dataclass(wanted, value, origin, where)
    container, parts = typing.get_origin(wanted), typing.get_args(wanted)
    if container in (typing.Union, types.UnionType):
        if value is None:
            return None
        return _read(next(part for part in parts if part is not type(None)), value, origin, where)
    if container is tuple:
        if not isinstance(value, list) or len(value) != len(parts):
            raise _unexpected(origin, where, f"a list of {len(parts)}", value)
        return tuple(
            _read(part, item, origin, f"{where}[{number}]")
            for number, (part, item) in enumerate(zip(parts, value, strict=True))
        )
    if container is list:
        if not isinstance(value, list):
            raise _unexpected(origin, where, "a list", value)
        return [_read(parts[0], item, origin, f"{where}[{number}]") for number, item in enumerate(value)]
    if container is dict:
        if not isinstance(value, dict):
            raise _unexpected(origin, where, "an object", value)
        return {key: _read(parts[1], item, origin, f"{where}.{_shown(key)}") for key, item in value.items()}
    return _read_scalar(wanted, value, origin, where)


def _read_scalar(wanted: Any, value: Any, origin: str, where: str) -> Any:
    if wanted is Any:
        try:
            json.dumps(value, allow_nan=False)
        except ValueError as error:
            raise _unexpected(origin, where, "finite numbers only", value) from error
        return value
    if wanted is float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _unexpected(origin, where, "a finite number", value)
        try:
            number = float(value)
        except OverflowError:  # a whole number of more than 308 digits
            number = math.inf
        if not math.isfinite(number):
            raise _unexpected(origin, where, "a finite number", value)
        return number
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        raise _unexpected(origin, where, {"str": "a string", "int": "a whole number"}[wanted.__name__], value)
    return value


def _read_dataclass(wanted: Any, value: Any, origin: str, where: str) -> Any:
    if not isinstance(value, dict):
        raise _unexpected(origin, where, "an object", value)
    hints = typing.get_type_hints(wanted)
    unknown, missing = sorted(set(value) - set(hints)), sorted(set(hints) - set(value))
    if unknown:
        found = ", ".join(map(_shown, unknown))
        raise ManifestError(f"{origin}: unknown key {found} in {where}; known are {', '.join(hints)}")
    if missing:
        raise ManifestError(f"{origin}: {where} lacks {', '.join(missing)}")
    return wanted(**{name: _read(hints[name], value[name], origin, f"{where}.{name}") for name in hints})


def _unexpected(origin: str, where: str, expected: str, found: object) -> ManifestError:
    return ManifestError(f"{origin}: {where} is {_shorten(repr(found))}, expected {expected}")


def _shown(key: str) -> str:
    """A key as it may stand in a one-line message."""
    return _shorten(key if key.isprintable() else repr(key))


def _shorten(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:100]}..."
