"""Embeddings and pivotal patches of a set's pictures, by a network of training or by a bundle."""

# N pictures, S side in pixels, B batch.

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from encoder.image_encoder import Encoded, ImageEncoder
from index.answers.local_features import PivotalPatches, pivotal_patches_of
from training.augmentation import normalise
from training.embedding import EmbeddingModel
from training.pivotal import fuse_attention

BATCH_SIZE = 128


@dataclass(frozen=True)
class Embedded:
    """What an encoder makes of a split: embeddings (N, D), and pivotal patches where they were asked for."""

    embedding_ND: NDArray[np.float32]
    patches: list[PivotalPatches]


EmbedBatch = Callable[[NDArray[np.uint8]], Encoded]


def embed_all(embed: EmbedBatch, pixels_NSS3: NDArray[np.uint8]) -> Embedded:
    """Embed batch by batch; of the patches only the pivotal ones are kept."""
    parts, patches = [], []
    for start in range(0, len(pixels_NSS3), BATCH_SIZE):
        encoded = embed(np.array(pixels_NSS3[start : start + BATCH_SIZE]))
        parts.append(encoded.embedding_BD)
        if encoded.tokens_BPE is not None:
            patches += pivotal_patches_of(encoded)
    return Embedded(np.concatenate(parts), patches)


def network_embedder(model: EmbeddingModel, device: torch.device, *, patches: bool) -> EmbedBatch:
    """A network as the bundle that it would be exported to: the same embedding, patch scores and patch features."""
    model = model.eval().to(device)

    @torch.inference_mode()
    def embed(pixels_BSS3: NDArray[np.uint8]) -> Encoded:
        views = torch.from_numpy(pixels_BSS3).to(device).permute(0, 3, 1, 2).float() / 255
        features = model.backbone(normalise(views), with_attention=patches)
        embedding_BD = model.embedding(features).cpu().numpy()
        if not patches:
            return Encoded(embedding_BD, None)
        scores_BP = fuse_attention(features.cls_attention_LBP).softmax(dim=1)
        return Encoded(embedding_BD, scores_BP.cpu().numpy(), features.patches_BPD.float().cpu().numpy())

    return embed


def bundle_embedder(encoder: ImageEncoder) -> EmbedBatch:
    """A bundle, with its patches if it gives any."""
    patches = "tokens" in encoder.manifest.outputs
    return lambda pixels_BSS3: encoder.encode(pixels_BSS3, attention=patches, tokens=patches)
