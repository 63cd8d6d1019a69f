"""manifest.json: everything a server must know about an encoder, and nothing it must guess.

Reading is strict: an unknown key, a missing key, a wrong type or a newer format is a ManifestError that names the
file, what was expected and what was found.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from encoder.errors import BundleNotFoundError, ManifestError
from encoder.manifest_upgrade import from_version_1
from encoder.shell_words import path_word
from encoder.strict_json import read_typed

MANIFEST_NAME = "manifest.json"
GOLDEN_NAME = "golden.json"
FORMAT_VERSION = 2
OUTPUTS = ("embedding", "attention", "tokens")
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
class Graph:
    """One ONNX graph, and what it computes; ONNX Runtime computes all outputs of a graph, asked for or not.

    Attributes:
        file: its name in the bundle.
        outputs: of OUTPUTS, in the graph's order.
    """

    file: str
    outputs: list[str]


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """Patches that are left out after an early layer, those that the layers so far attend to least.

    Attributes:
        after_layer: how many layers see all patches, at least 1.
        keep_ratio: share of the patches that the other layers see, in (0, 1).
    """

    after_layer: int
    keep_ratio: float


@dataclass(frozen=True, kw_only=True)
class EngineTarget:
    """What a TensorRT engine was built on, which is the only thing that it runs on.

    Attributes:
        gpu: its name.
        compute_capability: as "9.0".
        tensorrt: version.
        onnxruntime: version.
        batch_sizes: one shape profile each; larger batches are cut.
    """

    gpu: str
    compute_capability: str
    tensorrt: str
    onnxruntime: str
    batch_sizes: list[int]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to run the encoder.

    Attributes:
        precision: "fp32", "fp16" or "int8".
        method: how it was made, one phrase for a person.
        graphs: its graphs, fewest outputs first; the first one gives the embedding alone where there are several.
        sha256: of each of its files, graphs and weights, hex by file name.
        pruning: which patches it leaves out; null for none.
        built_for: of a TensorRT engine; null runs anywhere.
        parity: how far it is from the network it was made from, as measured at export.
    """

    precision: str
    method: str
    graphs: list[Graph]
    sha256: dict[str, str]
    pruning: Pruning | None
    built_for: EngineTarget | None
    parity: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a bundle is.

    Attributes:
        format_version: of this file.
        id: hash of weights and preprocessing; two bundles of one id give one embedding.
        name: for people.
        embedding_dim: length of an embedding.
        token_dim: length of a patch feature; null where `outputs` has no tokens.
        preprocessing: from picture to input.
        patch_grid: rows and columns of the patches, if the encoder has patches.
        outputs: what the encoder gives, of OUTPUTS. Without "attention" there is no CLS token to ask; patches are then
            scored by the norms of their tokens.
        variants: ways to run it, by name; "fp32" is always there.
        golden_sha256: of golden.json, the pictures by which a bundle is verified; null if it has none.
        source: where the weights come from.
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
    token_dim: int | None
    preprocessing: Preprocessing
    patch_grid: tuple[int, int] | None
    outputs: list[str]
    variants: dict[str, Variant]
    golden_sha256: str | None
    source: str
    feature: str
    licence: str
    trained_on: str
    domain: str
    figures: dict[str, float]
    recipe: dict[str, Any]
    created_with: dict[str, str]


def bundle_id(file_hashes: Sequence[str], preprocessing: Preprocessing) -> str:
    """The id of an encoder: 16 hex digits of a hash over its weights and its preprocessing.

    Args:
        file_hashes: SHA-256 of what computes the fp32 embedding: its graph, then its weights where they lie apart.
        preprocessing: of the bundle.
    """
    canonical = json.dumps(dataclasses.asdict(preprocessing), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256("\n".join([*file_hashes, canonical]).encode()).hexdigest()[:16]


def id_of(manifest: Manifest) -> str:
    """The id that the manifest's hashes and preprocessing give."""
    fp32 = manifest.variants["fp32"]
    graphs = {graph.file for graph in fp32.graphs}
    weights = sorted(name for name in fp32.sha256 if name not in graphs)
    deciding = [fp32.graphs[0].file, *weights]  # not the graphs of the other outputs
    return bundle_id([fp32.sha256[name] for name in deciding], manifest.preprocessing)


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
            f"{folder} is not a bundle: it has no {MANIFEST_NAME}; "
            f"`lodisc export RUN --out {path_word(folder)}` writes one"
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
        if version == 1:
            document = from_version_1(document)
    manifest: Manifest = read_typed(Manifest, document, origin, "manifest")
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
        f"outputs are {manifest.outputs}, expected of {', '.join(OUTPUTS)}": set(manifest.outputs) <= set(OUTPUTS),
        f"variants are {sorted(manifest.variants)}, expected 'fp32' among them": "fp32" in manifest.variants,
        f"patch_grid is {manifest.patch_grid}, expected at least 1 x 1, and not null where patches are an output": (
            manifest.outputs == ["embedding"] if manifest.patch_grid is None else min(manifest.patch_grid) >= 1
        ),
        f"token_dim is {manifest.token_dim}, expected at least 1 where tokens are an output, null elsewhere": (
            (manifest.token_dim or 0) >= 1 if "tokens" in manifest.outputs else manifest.token_dim is None
        ),
    }
    problem = next((problem for problem, fine in checks.items() if not fine), None)
    variants = (_problem_of_variant(*pair, manifest.outputs) for pair in manifest.variants.items())
    return problem or next(filter(None, variants), None)


def _problem_of_variant(name: str, variant: Variant, outputs: Sequence[str]) -> str | None:
    pruning = variant.pruning
    checks = {
        "has a file that is not a plain file name": all(
            _PLAIN_FILE_NAME.fullmatch(file) and file not in (MANIFEST_NAME, GOLDEN_NAME) for file in variant.sha256
        ),
        "has no graph": bool(variant.graphs),
        "has a graph whose file is not among its sha256": all(graph.file in variant.sha256 for graph in variant.graphs),
        f"has a graph without the embedding, or with outputs that are not of {', '.join(outputs)}": all(
            "embedding" in graph.outputs and set(graph.outputs) <= set(outputs) for graph in variant.graphs
        ),
        "has a pruning that is out of range": (
            pruning is None or (pruning.after_layer >= 1 and 0 < pruning.keep_ratio < 1)
        ),
    }
    problem = next((problem for problem, fine in checks.items() if not fine), None)
    return f"variant {name!r} {problem}" if problem else None
