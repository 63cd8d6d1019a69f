"""How often a specimen that was not indexed finds its own species first: by the bundle, and by two controls.

The controls are the same network untrained (`bundles/demo-untrained`) and a colour histogram. Within a genus the
species share their colours, so there the histogram can only guess: one in three.
"""

# Q held-out specimens, G indexed specimens, D embedding dim.

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoder.bundle import Bundle
from encoder.histogram import color_histogram
from encoder.image_encoder import ImageEncoder
from encoder.picture_files import folder_label, list_pictures
from encoder.preprocessing import decode_picture, preprocess, read_picture

BATCH_SIZE = 64


@dataclass(frozen=True)
class Rates:
    """Shares of the held-out specimens, in [0, 1].

    Attributes:
        species: whose nearest indexed specimen is of their species.
        genus: of their genus.
        within_genus: of their species, when only their own genus is searched.
    """

    species: float
    genus: float
    within_genus: float


def measure(specimens: Path, bundles: dict[str, Path]) -> dict[str, Rates]:
    """Measure encoders and the colour histogram on the folder of `write_specimens`.

    Args:
        specimens: with train/ and test/.
        bundles: what to measure, by the name to report it under.

    Returns:
        Rates by name; the histogram is "colour histogram".
    """
    gallery, queries = (list_pictures(specimens / part) for part in ("train", "test"))
    gallery_names = [folder_label(specimens / "train", path) or "" for path in gallery]
    query_names = [folder_label(specimens / "test", path) or "" for path in queries]
    rates = {}
    for name, path in bundles.items():
        encoder = ImageEncoder(Bundle.open(path))
        rates[name] = first_neighbour_rates(
            _embed(encoder, queries), query_names, _embed(encoder, gallery), gallery_names
        )
    rates["colour histogram"] = first_neighbour_rates(
        _histograms(queries), query_names, _histograms(gallery), gallery_names
    )
    return rates


def first_neighbour_rates(
    queries_QD: NDArray[np.float32],
    query_names: list[str],
    gallery_GD: NDArray[np.float32],
    gallery_names: list[str],
) -> Rates:
    """Rates of names of the form genus/species, by cosine."""
    similarity_QG = queries_QD @ gallery_GD.T
    query_species, gallery_species = np.array(query_names), np.array(gallery_names)
    query_genus = np.array([name.split("/")[0] for name in query_names])
    gallery_genus = np.array([name.split("/")[0] for name in gallery_names])
    first_Q = similarity_QG.argmax(axis=1)
    of_genus_QG = np.where(query_genus[:, None] == gallery_genus[None, :], similarity_QG, -np.inf)
    return Rates(
        species=float((gallery_species[first_Q] == query_species).mean()),
        genus=float((gallery_genus[first_Q] == query_genus).mean()),
        within_genus=float((gallery_species[of_genus_QG.argmax(axis=1)] == query_species).mean()),
    )


def _embed(encoder: ImageEncoder, paths: list[Path]) -> NDArray[np.float32]:
    preprocessing = encoder.manifest.preprocessing
    batches = []
    for start in range(0, len(paths), BATCH_SIZE):
        pictures = [
            decode_picture(read_picture(path), min_side_wanted=preprocessing.image_size)
            for path in paths[start : start + BATCH_SIZE]
        ]
        pixels = np.stack([preprocess(picture, preprocessing) for picture in pictures])
        batches.append(encoder.encode(pixels).embedding_BD)
    return np.concatenate(batches)


def _histograms(paths: list[Path]) -> NDArray[np.float32]:
    return np.stack([color_histogram(np.asarray(decode_picture(read_picture(path)))) for path in paths])
