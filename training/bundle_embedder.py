"""A bundle as what embeds labelled pictures to be measured, as a server would."""

# N pictures, D embedding dim.

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoder.bundle import Bundle
from encoder.image_encoder import ImageEncoder
from encoder.preprocessing import preprocess
from training.embedders import LabelledPictures, embed_in_batches


class BundleEmbedder:
    """Embeds with a bundle."""

    def __init__(self, bundle: Path) -> None:
        self.encoder = ImageEncoder(Bundle.open(bundle))

    def __call__(self, pictures: LabelledPictures) -> NDArray[np.float32]:
        """Embeddings, float32, shape (N, D)."""
        preprocessing = self.encoder.manifest.preprocessing
        return embed_in_batches(
            pictures,
            lambda path: preprocess(pictures.decode(path, preprocessing.image_size), preprocessing),
            lambda pixels_NSS3: self.encoder.encode(pixels_NSS3).embedding_BD,
        )
