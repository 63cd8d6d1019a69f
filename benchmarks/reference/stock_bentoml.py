"""BentoML's adaptive batching around the same encoder, as its tutorial has it; `benchmarks/serve.py` starts it.

BUNDLE=bundle/ bentoml serve stock_bentoml:Stock --working-dir benchmarks/reference
"""

import os
from pathlib import Path

import bentoml
import numpy as np
from PIL.Image import Image

from encoder.bundle import Bundle
from encoder.image_encoder import ImageEncoder
from encoder.preprocessing import preprocess

BATCH = 8


@bentoml.service(traffic={"timeout": 600})
class Stock:
    """One picture in the field `image`, its embedding as JSON numbers."""

    def __init__(self):
        self.encoder = ImageEncoder(Bundle.open(Path(os.environ["BUNDLE"])), num_threads=os.cpu_count())

    @bentoml.api(batchable=True, max_batch_size=BATCH)
    def embed(self, image: list[Image]) -> np.ndarray:
        """One batch."""
        preprocessing = self.encoder.manifest.preprocessing
        pixels = np.stack([preprocess(one.convert("RGB"), preprocessing) for one in image])
        return self.encoder.encode(pixels).embedding_BD
