"""A trained backbone as the network that servers run: pixels in, unit embedding and patch scores out.

Export traces exactly this module and evaluation of a run calls it, so that what was measured is what is served.
"""

# B batch, S side in pixels, P patches, D embedding dim.

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from encoder.manifest import Preprocessing
from encoder.preprocessing import decode_picture, preprocess, read_picture
from training.augmentation import MEAN, STD, normalise
from training.feature import feature_weights
from training.model import LoDisc
from training.pivotal import fuse_attention
from training.vit import Features, VisionTransformer
from training.whitening import Whitening


def serving_preprocessing(image_size: int) -> Preprocessing:
    """How pictures reach an encoder trained here: the shortest side to `image_size`, the middle square."""
    return Preprocessing(
        image_size=image_size,
        resize="shortest_side",
        crop_fraction=1.0,
        interpolation="bicubic",
        mean=MEAN,
        std=STD,
    )


class EmbeddingModel(nn.Module):
    """Normalisation, backbone, feature and patch scores in one module.

    Args:
        backbone: the trained ViT.
        feature: as `training.feature.feature_weights` reads it.
        projector: only for the features projector and predictor.
        predictor: only for the feature predictor.
        whitening: what makes the embedding of the feature; the feature itself is the embedding if None.
    """

    def __init__(
        self,
        backbone: VisionTransformer,
        feature: str,
        projector: nn.Module | None = None,
        predictor: nn.Module | None = None,
        whitening: Whitening | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.feature = feature
        self.projector = projector
        self.predictor = predictor
        self.whitening = whitening

    @classmethod
    def from_lodisc(cls, model: LoDisc, feature: str) -> "EmbeddingModel":
        """The parts of a trained model that its feature needs, in eval mode."""
        parts = feature_weights(feature)
        needs_predictor = "predictor" in parts
        needs_projector = needs_predictor or "projector" in parts
        # Learnt for one feature; of a network that has not learnt it (its initial weights) there is nothing to apply.
        whitening = model.whitening
        is_whitened = whitening is not None and whitening.feature == feature and bool(whitening.is_learnt)
        return cls(
            model.base.backbone,
            feature,
            model.base.projector if needs_projector else None,
            model.predictor if needs_predictor else None,
            whitening if is_whitened else None,
        ).eval()

    @property
    def embedding_dim(self) -> int:
        """D of the embedding."""
        heads = {"projector": self.projector, "predictor": self.predictor}
        return sum(_out_dim(heads.get(name)) or self.backbone.width for name in feature_weights(self.feature))

    @property
    def description(self) -> str:
        """What the embedding is, in words."""
        return (
            self.feature
            if self.whitening is None
            else f"{self.feature}, whitened to the power {self.whitening.power:g}"
        )

    def forward(self, pixels_BSS3: Tensor) -> tuple[Tensor, Tensor]:
        """Embed pictures.

        Args:
            pixels_BSS3: RGB, uint8, shape (B, S, S, 3).

        Returns:
            Embeddings of length 1, float32, shape (B, D), and patch scores, float32, shape (B, P), each row >= 0 and
            of sum 1: the attention fused over all layers by element-wise product, then scaled.
        """
        views = normalise(pixels_BSS3.permute(0, 3, 1, 2).float() / 255)
        features = self.backbone(views, with_attention=True)
        attention_BP = fuse_attention(features.cls_attention_LBP).softmax(dim=1)
        return self.embedding(features), attention_BP

    def embedding(self, features: Features) -> Tensor:
        """The embedding of length 1, float32, shape (B, D)."""
        joined_BD = self.joined(features)
        return joined_BD if self.whitening is None else self.whitening(joined_BD)

    def joined(self, features: Features) -> Tensor:
        """The feature at length 1, float32, shape (B, D); joined parts as their weights say."""
        parts = [
            weight * functional.normalize(self._part(features, name).float(), dim=1)
            for name, weight in feature_weights(self.feature).items()
        ]
        return torch.cat(parts, dim=1)

    def _part(self, features: Features, name: str) -> Tensor:
        """One feature at the length that the network gives it, shape (B, D)."""
        if name == "mean":
            return features.patches_BPD.float().mean(dim=1)
        if name == "cls":
            return features.cls_BD
        assert self.projector is not None
        projected = self.projector(features.cls_BD)
        if name == "projector":
            return projected
        assert self.predictor is not None
        return self.predictor(projected)


def _out_dim(head: nn.Module | None) -> int | None:
    """What the last linear layer of a head gives; None where there is no head, or one that does nothing."""
    linear = [layer for layer in head.modules() if isinstance(layer, nn.Linear)] if head is not None else []
    return linear[-1].out_features if linear else None


def read_pixels(path: Path, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Decode and preprocess one file as the server would, uint8, shape (S, S, 3)."""
    picture = decode_picture(read_picture(path), min_side_wanted=preprocessing.image_size)
    return preprocess(picture, preprocessing)
