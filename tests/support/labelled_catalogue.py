"""A catalogue of drawn vectors with species and genera that are told apart well, but not always."""

import numpy as np
from tiny_encoder import DIM

from encoder.bundle import Bundle
from index.items import NewItem
from index.sqlite_catalogue import SqliteCatalogue

RANKS = ("species", "genus")


def drawn_pictures(num, *, seed=0, num_species=12, noise=0.55):
    """Unit vectors and their labels: species about a centre of their own near that of their genus."""
    centres = np.random.default_rng(7)
    genera = centres.normal(size=(num_species // 3, DIM))
    species = genera[np.arange(num_species) // 3] + 0.8 * centres.normal(size=(num_species, DIM))
    generator = np.random.default_rng(seed)
    numbers = generator.integers(num_species, size=num)
    vectors = species[numbers] + noise * generator.normal(size=(num, DIM)) * np.sqrt(2)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), [{"species": f"s{n}", "genus": f"G{n // 3}"} for n in numbers.tolist()]


def new_item(item_id, vector, labels, *, metadata=None, content=None):
    return NewItem(
        id=item_id, labels=labels, metadata=metadata or {}, source="", content_hash=content or item_id,
        embedding=vector, thumbnail=b"t",
    )  # fmt: skip


def fill(path, bundle, vectors, labels, *, ranks=RANKS, metadata=None):
    """A catalogue folder with one item a vector: i0, i1, ..."""
    with SqliteCatalogue.create(path, Bundle.open(bundle), ranks=ranks) as catalogue:
        catalogue.put(
            [
                new_item(f"i{number}", vector, named, metadata=metadata[number] if metadata else None)
                for number, (vector, named) in enumerate(zip(vectors, labels, strict=True))
            ]
        )
    return path
