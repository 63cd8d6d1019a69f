"""A trained backbone as the network that servers run: pixels in, unit embedding and patch scores out.

Export traces exactly this module and evaluation of a run calls it, so that what was measured is what is served.
"""

# B batch, S side in pixels, P patches, D embedding dim.

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from encoder.manifest import Preprocessing
from encoder.preprocessing import decode_picture, preprocess, read_picture
from training.augmentation import MEAN, STD, normalise
from training.pivotal import fuse_attention
from training.vit import Features, VisionTransformer


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


def select_feature(features: Features, feature: str) -> Tensor:
    """The unit-length feature of that name, float32, shape (B, D): cls, mean (of the patches) or cls+mean."""
    cls_BD = functional.normalize(features.cls_BD.float(), dim=1)
    if feature == "cls":
        return cls_BD
    mean_BD = functional.normalize(features.patches_BPD.float().mean(dim=1), dim=1)
    if feature == "mean":
        return mean_BD
    return torch.cat([cls_BD, mean_BD], dim=1) * 0.5**0.5


class EmbeddingModel(nn.Module):
    """Normalisation, backbone, feature and patch scores in one module."""

    def __init__(self, backbone: VisionTransformer, feature: str) -> None:
        super().__init__()
        self.backbone = backbone
        self.feature = feature

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
        return select_feature(features, self.feature), attention_BP


@torch.inference_mode()
def embed_files(
    model: EmbeddingModel, files: Sequence[Path], *, device: torch.device, batch_size: int = 64
) -> NDArray[np.float32]:
    """Embed picture files with the preprocessing of the server, float32, shape (N, D).

    Raises:
        PictureError: a file cannot be decoded.
    """
    model = model.eval().to(device)
    preprocessing = serving_preprocessing(model.backbone.image_size)
    embeddings = []
    for start in range(0, len(files), batch_size):
        pixels = np.stack([read_pixels(path, preprocessing) for path in files[start : start + batch_size]])
        embeddings.append(model(torch.from_numpy(pixels).to(device))[0].cpu().numpy())
    return np.concatenate(embeddings)


def read_pixels(path: Path, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Decode and preprocess one file as the server would, uint8, shape (S, S, 3)."""
    picture = decode_picture(read_picture(path), min_side_wanted=preprocessing.image_size)
    return preprocess(picture, preprocessing)
