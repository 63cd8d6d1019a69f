"""Retrieval of a run or a bundle on labelled pictures, with the hand-made baselines beside it.

The paper's protocol: leave one out within the set, cosine, rank-1, rank-5 and mAP over the full list. A run and a
bundle go through the same preprocessing.

Not covered: linear probing, kNN, confidence intervals.
"""

# N pictures, D embedding dim.

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from encoder.bundle import Bundle
from encoder.errors import ConfigError, PictureError, SourceError
from encoder.histogram import color_histogram
from encoder.image_encoder import ImageEncoder
from encoder.manifest import MANIFEST_NAME, Preprocessing
from encoder.picture_files import folder_label, list_pictures
from encoder.preprocessing import decode_picture, read_picture
from encoder.retrieval_metrics import RetrievalScores, leave_one_out, query_gallery
from training.checkpoint import build_model, load_model
from training.embedding import EmbeddingModel, read_pixels, serving_preprocessing

BATCH_SIZE = 64


@dataclass(frozen=True)
class LabelledPictures:
    """Picture files with a label each, one list a column; those that cannot be decoded are left out and named."""

    paths: list[Path]
    labels: list[str]
    rejected: list[tuple[Path, str]]


def labelled_pictures(folder: Path) -> LabelledPictures:
    """The pictures of a folder whose sub-folders are the labels.

    Raises:
        SourceError: no picture, or none in a sub-folder.
    """
    paths, labels, rejected = [], [], []
    for path in list_pictures(folder):
        label = folder_label(folder, path)
        if label is None:
            rejected.append((path, "not in a sub-folder, so it has no label"))
            continue
        try:
            decode_picture(read_picture(path), min_side_wanted=32)
        except PictureError as error:
            rejected.append((path, str(error)))
            continue
        paths.append(path)
        labels.append(label)
    if not paths:
        raise SourceError(f"{folder} holds no labelled pictures; put those of one label into one sub-folder")
    return LabelledPictures(paths, labels, rejected)


class RunEmbedder:
    """Embeds with the weights of a run, or with its recipe's initial weights (the untrained control)."""

    def __init__(self, run: Path, device: torch.device, feature: str | None, untrained: bool = False) -> None:
        model, state = load_model(run)
        if untrained:
            model = build_model(state.recipe)
        self.model = EmbeddingModel(model.base.backbone, feature or state.recipe.feature).eval().to(device)
        self.preprocessing = serving_preprocessing(state.recipe.image_size)
        self.device = device

    @torch.inference_mode()
    def __call__(self, paths: Sequence[Path]) -> NDArray[np.float32]:
        """Embed files, float32, shape (N, D)."""
        return np.concatenate(
            [
                self.model(torch.from_numpy(_pixels(chunk, self.preprocessing)).to(self.device))[0].cpu().numpy()
                for chunk in _chunks(paths)
            ]
        )


class BundleEmbedder:
    """Embeds with a bundle, as a server would."""

    def __init__(self, bundle: Path) -> None:
        self.encoder = ImageEncoder(Bundle.open(bundle))

    def __call__(self, paths: Sequence[Path]) -> NDArray[np.float32]:
        """Embed files, float32, shape (N, D)."""
        preprocessing = self.encoder.manifest.preprocessing
        return np.concatenate(
            [self.encoder.encode(_pixels(chunk, preprocessing)).embedding_BD for chunk in _chunks(paths)]
        )


def histogram_embeddings(paths: Sequence[Path]) -> NDArray[np.float32]:
    """The colour-histogram baseline, float32, shape (N, 216)."""
    return np.stack(
        [color_histogram(np.asarray(decode_picture(read_picture(path), min_side_wanted=128))) for path in paths]
    )


def evaluate(
    source: Path,
    pictures: LabelledPictures,
    gallery: LabelledPictures | None,
    *,
    device: torch.device,
    feature: str | None = None,
    baselines: bool = True,
) -> dict[str, RetrievalScores]:
    """Score a run or a bundle, and beside it the untrained network (runs only) and the colour histogram.

    Args:
        source: folder of a run, or of a bundle.
        pictures: the queries.
        gallery: what they are searched in; None means leave one out among the queries.
        device: for a run; a bundle uses the CPU.
        feature: another feature of the run than its recipe names; not for bundles.
        baselines: also score the baselines.

    Returns:
        Scores by method name: "encoder", "untrained", "colour histogram".
    """
    scores = {}
    if (source / MANIFEST_NAME).is_file():
        if feature is not None:
            raise ConfigError(f"{source} is a bundle: its feature is fixed; --feature goes with a run")
        scores["encoder"] = _score(BundleEmbedder(source), pictures, gallery)
    else:
        scores["encoder"] = _score(RunEmbedder(source, device, feature), pictures, gallery)
        if baselines:
            scores["untrained"] = _score(RunEmbedder(source, device, feature, untrained=True), pictures, gallery)
    if baselines:
        scores["colour histogram"] = _score(histogram_embeddings, pictures, gallery)
    return scores


def _score(
    embed: Callable[[Sequence[Path]], NDArray[np.float32]],
    pictures: LabelledPictures,
    gallery: LabelledPictures | None,
) -> RetrievalScores:
    queries_ND = embed(pictures.paths)
    if gallery is None:
        return leave_one_out(queries_ND, pictures.labels)
    return query_gallery(queries_ND, pictures.labels, embed(gallery.paths), gallery.labels)


def _chunks(paths: Sequence[Path]) -> list[Sequence[Path]]:
    return [paths[start : start + BATCH_SIZE] for start in range(0, len(paths), BATCH_SIZE)]


def _pixels(paths: Sequence[Path], preprocessing: Preprocessing) -> NDArray[np.uint8]:
    return np.stack([read_pixels(path, preprocessing) for path in paths])
