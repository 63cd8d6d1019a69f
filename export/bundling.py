"""From a training run to a bundle that has proved itself."""

import hashlib
import importlib.metadata
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoder.bundle import Bundle, write_bundle
from encoder.errors import PictureError, SourceError
from encoder.image_encoder import ImageEncoder
from encoder.manifest import Manifest, Variant, bundle_id
from encoder.picture_files import list_pictures
from export.onnx_graph import OUTPUT_NAMES, store_weights_as_half, to_onnx
from export.parity import Parity, measure_parity, require_parity
from training.checkpoint import RunState, build_model, load_model
from training.embedding import EmbeddingModel, read_pixels, serving_preprocessing
from training.recipe import recipe_values

NUM_PARITY_PICTURES = 16


def export_run(
    run: Path,
    out: Path,
    *,
    pictures: Path | None = None,
    name: str | None = None,
    domain: str | None = None,
    licence: str = "not stated",
    figures: Mapping[str, float] | None = None,
    untrained: bool = False,
    half_weights: bool = False,
    overwrite: bool = False,
) -> tuple[Manifest, Parity]:
    """Export a run, compare the graph with torch on real pictures, and only then write the bundle.

    Args:
        run: folder of `lodisc train`, or its checkpoint.
        out: folder of the bundle; appears by rename.
        pictures: folder with pictures for the parity gate; the run's own training pictures if None.
        name: of the bundle; the name of `out` if None.
        domain: a short noun phrase for what pictures it knows; the name of the training folder if None.
        licence: of the weights.
        figures: measurements to store, as name -> value.
        untrained: export the recipe's initial weights instead: the control of a comparison.
        half_weights: store the weights as float16, which halves the file; the gate then compares those.
        overwrite: replace a bundle that is already there.

    Raises:
        ParityError: torch and the graph disagree.
        SourceError: no pictures to compare on.
    """
    model, state = load_model(run)
    if untrained:
        model = build_model(state.recipe)
    embedding_model = EmbeddingModel.from_lodisc(model, state.recipe.feature)
    graph = to_onnx(embedding_model)
    if half_weights:
        graph = store_weights_as_half(graph)

    files, pixels_NSS3 = _parity_pictures(pictures or Path(state.data), state.recipe.image_size)
    manifest = _manifest(embedding_model, state, graph, name or out.name, domain, licence, figures or {}, untrained)
    with tempfile.TemporaryDirectory() as folder:
        candidate = Path(folder) / "bundle"
        write_bundle(candidate, manifest, {"encoder.onnx": graph})
        parity = measure_parity(embedding_model, ImageEncoder(Bundle.open(candidate)), pixels_NSS3)
    require_parity(parity, files)

    variant = replace(manifest.variants["fp32"], parity=parity.figures())
    manifest = replace(manifest, variants={"fp32": variant})
    write_bundle(out, manifest, {"encoder.onnx": graph}, overwrite=overwrite)
    return manifest, parity


def _parity_pictures(folder: Path, image_size: int) -> tuple[list[Path], NDArray[np.uint8]]:
    """Up to NUM_PARITY_PICTURES decodable pictures spread over the folder, and their pixels (N, S, S, 3)."""
    try:
        files = list_pictures(folder)
    except SourceError as error:
        raise SourceError(f"no pictures for the parity check: {error}; name a folder with --pictures DIR") from error
    step = max(1, len(files) // NUM_PARITY_PICTURES)
    preprocessing = serving_preprocessing(image_size)
    chosen: list[Path] = []
    pixels: list[NDArray[np.uint8]] = []
    for path in [*files[::step], *files]:
        if len(chosen) == min(NUM_PARITY_PICTURES, len(files)):
            break
        if path in chosen:
            continue
        try:
            pixels.append(read_pixels(path, preprocessing))
        except PictureError:
            continue  # training reported it already; the gate needs pictures, not this one
        chosen.append(path)
    if not chosen:
        raise SourceError(
            f"none of the {len(files)} pictures of {folder} can be decoded; name others with --pictures DIR"
        )
    return chosen, np.stack(pixels)


def _manifest(
    model: EmbeddingModel,
    state: RunState,
    graph: bytes,
    name: str,
    domain: str | None,
    licence: str,
    figures: Mapping[str, float],
    untrained: bool,
) -> Manifest:
    backbone, recipe = model.backbone, state.recipe
    preprocessing = serving_preprocessing(recipe.image_size)
    sha256 = hashlib.sha256(graph).hexdigest()
    data_name = _data_name(Path(state.data))
    epochs = state.step / max(1, state.num_pictures // recipe.batch_size)
    trained_on = (
        "nothing: these are the initial weights of its recipe"
        if untrained
        else f"{state.num_pictures} unlabelled pictures of {data_name}, {epochs:.0f} epochs, "
        f"{state.seconds / 60:.0f} minutes"
    )
    return Manifest(
        format_version=1,
        id=bundle_id(sha256, preprocessing),
        name=name,
        embedding_dim=model.embedding_dim,
        preprocessing=preprocessing,
        patch_grid=(backbone.grid_size, backbone.grid_size),
        outputs=list(OUTPUT_NAMES),
        variants={"fp32": Variant(file="encoder.onnx", sha256=sha256, precision="fp32", parity={})},
        feature=recipe.feature,
        licence=licence,
        trained_on=trained_on,
        domain="nothing" if untrained else domain or data_name,
        figures=dict(figures),
        recipe=recipe_values(recipe),
        created_with={package: importlib.metadata.version(package) for package in ("lodisc", "torch", "onnx")},
    )


def _data_name(data: Path) -> str:
    """What to call a data folder: its name, with its parent's where the name alone says nothing."""
    return f"{data.parent.name}/{data.name}" if data.name in ("train", "images", "data") else data.name
