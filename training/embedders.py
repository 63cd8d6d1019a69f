"""What turns labelled picture files into embeddings to be measured: a run, its initial weights, a histogram.

A run goes through the preprocessing of the server, as a bundle does (`training.bundle_embedder`).
"""

# N pictures, D embedding dim, S side in pixels.

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from encoder.errors import ConfigError, PictureError, SourceError
from encoder.histogram import color_histogram
from encoder.preprocessing import preprocess
from training.checkpoint import build_model, load_encoder
from training.embedding import EmbeddingModel, serving_preprocessing
from training.initial_weights import initial_model
from training.layouts import decode_listed, list_split
from training.model import LoDisc
from training.recipe import Recipe
from training.second_stage import is_run

BATCH_SIZE = 64
logger = logging.getLogger("lodisc.train")


@dataclass(frozen=True)
class LabelledPictures:
    """Picture files with a label each; those that cannot be decoded are left out and named.

    Attributes:
        paths: the files.
        labels: one a file.
        rejected: file and reason of each that was left out.
        cut_bottom_px: rows to cut from the bottom of each picture (FGVC-Aircraft's banner).
    """

    paths: list[Path]
    labels: list[str]
    rejected: list[tuple[Path, str]]
    cut_bottom_px: int = 0

    def decode(self, path: Path, min_side_wanted: int) -> Image.Image:
        """One of the files as an upright RGB picture."""
        return decode_listed(path, self.cut_bottom_px, min_side_wanted)


Embedder = Callable[[LabelledPictures], NDArray[np.float32]]


def labelled_pictures(data: Path, layout: str = "folder", split: str = "test") -> LabelledPictures:
    """The pictures of one split of a set, with their labels.

    Raises:
        SourceError: no picture has a label, or the set is not laid out so.
    """
    listing = list_split(data, layout, split, labelled=True)

    def fault(path: Path) -> str | None:
        try:
            decode_listed(path, listing.cut_bottom_px, 32)
        except PictureError as error:
            return str(error)
        return None

    paths, labels, rejected = [], [], []
    with ThreadPoolExecutor() as pool:
        for path, label, found in zip(listing.paths, listing.labels, pool.map(fault, listing.paths), strict=True):
            if label is None:
                rejected.append((path, "not in a sub-folder, so it has no label"))
            elif found is not None:
                rejected.append((path, found))
            else:
                paths.append(path)
                labels.append(label)
    if not paths:
        raise SourceError(f"{data} holds no labelled pictures; put those of one label into one sub-folder")
    return LabelledPictures(paths, labels, rejected, listing.cut_bottom_px)


class RunEmbedder:
    """Embeds with a network of training.

    Args:
        model: the trained model, or one with its initial weights.
        recipe: the run's, whose feature is the embedding unless `feature` names another.
        device: where to compute.
        feature: as `training.feature.feature_weights` reads it.
    """

    def __init__(self, model: LoDisc, recipe: Recipe, device: torch.device, feature: str | None = None) -> None:
        recipe = recipe if feature is None else replace(recipe, feature=feature)
        self.model = EmbeddingModel.from_lodisc(model, recipe.feature).to(device)
        self.preprocessing = serving_preprocessing(recipe.image_size)
        self.device = device

    @torch.inference_mode()
    def __call__(self, pictures: LabelledPictures) -> NDArray[np.float32]:
        """Embeddings, float32, shape (N, D)."""

        def embed(pixels_NSS3: NDArray[np.uint8]) -> NDArray[np.float32]:
            return self.model(torch.from_numpy(pixels_NSS3).to(self.device))[0].cpu().numpy()

        side = self.preprocessing.image_size
        return embed_in_batches(
            pictures, lambda path: preprocess(pictures.decode(path, side), self.preprocessing), embed
        )


def histogram_embeddings(pictures: LabelledPictures) -> NDArray[np.float32]:
    """The colour-histogram baseline, float32, shape (N, 216)."""
    return embed_in_batches(
        pictures,
        lambda path: color_histogram(np.asarray(pictures.decode(path, 128))),
        lambda histograms: histograms,
    )


def run_embedders(
    run: Path, device: torch.device, feature: str | None = None, *, baselines: bool
) -> dict[str, Embedder]:
    """The encoder of a run (its folder, or one of its checkpoints) and the networks it is measured against, by name.

    "the stage before" is the run that this one went on from, as it embeds itself; "initial weights" the file that it
    began from; "untrained" has random weights, and neither a learnt stem nor a whitening. The first two are left out
    with a warning where they are gone: what a run began from need not go where the run goes.
    """
    model, state = load_encoder(run)
    embedders: dict[str, Embedder] = {"encoder": RunEmbedder(model, state.recipe, device, feature)}
    if baselines:
        if state.recipe.init:
            embedders |= _beginning(state.recipe, device, feature)
        embedders["untrained"] = RunEmbedder(build_model(state.recipe), state.recipe, device, feature)
    return embedders


def _beginning(recipe: Recipe, device: torch.device, feature: str | None) -> dict[str, Embedder]:
    try:
        if is_run(recipe.init):
            model, state = load_encoder(Path(recipe.init))
            return {"the stage before": RunEmbedder(model, state.recipe, device, feature)}
        return {"initial weights": RunEmbedder(initial_model(recipe), recipe, device, feature)}
    except ConfigError as error:
        logger.warning("what the run began from is not measured: %s", error)
        return {}


def embed_in_batches(
    pictures: LabelledPictures,
    read: Callable[[Path], NDArray[np.generic]],
    embed: Callable[..., NDArray[np.float32]],
) -> NDArray[np.float32]:
    """Read files in threads (Pillow releases the interpreter lock), embed them batch by batch.

    Args:
        pictures: the files.
        read: makes an array of one file, of the same shape for all.
        embed: makes embeddings, float32, shape (B, D), of the stacked arrays of up to `BATCH_SIZE` files.
    """
    with ThreadPoolExecutor() as pool:
        batches = (pictures.paths[start : start + BATCH_SIZE] for start in range(0, len(pictures.paths), BATCH_SIZE))
        return np.concatenate([embed(np.stack(list(pool.map(read, batch)))) for batch in batches])
