"""A convolutional stem that begins from the statistics of the training pictures instead of from noise.

Layer by layer, the filters are the principal directions of what the layer sees, each divided by its spread (PCANet,
arXiv:1404.3606; whitening as in Coates and Ng 2011), and each in both signs, so that the nonlinearity after it loses
neither half (arXiv:1603.05201). No label and no gradient is needed, and it takes seconds. Where pictures are too few or
time is too short to learn filters, an encoder that begins so is ahead of one that has trained for epochs from noise.
"""

# B pictures, C channels, O filters, K inputs of a filter, N sampled windows.

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.vit import Block, ConvStem, VisionTransformer

# Of the mean variance, added to each: without it the directions of least variance, mostly noise, weigh as much as any.
SHRINKAGE = 0.5
# Pictures and windows that the directions are learnt from.
NUM_PICTURES = 1024
NUM_WINDOWS = 60_000
BATCH_SIZE = 64


@torch.no_grad()
def learn_stem(backbone: VisionTransformer, pixels_B3SS: Tensor, seed: int) -> None:
    """Set the filters of a convolutional stem.

    Args:
        backbone: with a `ConvStem`; changed in place.
        pixels_B3SS: normalised pictures, float32, shape (B, 3, S, S).
        seed: of the windows that are looked at, and of the filters beyond as many as there are directions.
    """
    stem = backbone.patch_embed
    assert isinstance(stem, ConvStem)
    generator = torch.Generator().manual_seed(seed)
    x_BCSS = pixels_B3SS
    for conv, norm, activation in zip(*(list(stem.layers)[offset::3] for offset in range(3)), strict=True):
        assert isinstance(conv, nn.Conv2d)
        num_pairs = conv.out_channels // 2
        filters_OK, mean_K = _directions(_windows(x_BCSS, conv, generator), num_pairs, generator)
        _set(conv, torch.cat([filters_OK, -filters_OK]), mean_K)
        x_BCSS = torch.cat([activation(norm(conv(part))) for part in x_BCSS.split(BATCH_SIZE)])
    filters_OK, mean_K = _directions(_windows(x_BCSS, stem.proj, generator), stem.proj.out_channels, generator)
    _set(stem.proj, filters_OK, mean_K)


@torch.no_grad()
def scale_residuals(backbone: VisionTransformer, scale: float) -> None:
    """Multiply what each block adds to its tokens, so that a deep encoder begins near its stem (arXiv:1901.09321)."""
    for block in backbone.blocks:
        assert isinstance(block, Block)
        for last in (block.attn.proj, block.mlp.fc2):
            last.weight.mul_(scale)


def _windows(x_BCSS: Tensor, conv: nn.Conv2d, generator: torch.Generator) -> Tensor:
    """What a filter sees at places drawn at random, float64, shape (N, K)."""
    per_picture = -(-NUM_WINDOWS // len(x_BCSS))
    parts = []
    for part in x_BCSS.split(BATCH_SIZE):
        columns_BKP = functional.unfold(
            part, conv.kernel_size, padding=tuple(conv.padding), stride=conv.stride  # type: ignore[arg-type]
        )  # fmt: skip
        num = columns_BKP.shape[2]
        places = torch.randperm(num, generator=generator)[: min(per_picture, num)]
        parts.append(columns_BKP[:, :, places].transpose(1, 2).flatten(0, 1))
    return torch.cat(parts).double()


def _directions(windows_NK: Tensor, num: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The `num` widest principal directions over their spread, (num, K), and the mean (K,).

    Beyond as many as there are, random mixtures of them.
    """
    mean_K = windows_NK.mean(dim=0)
    centred_NK = windows_NK - mean_K
    variance_K, directions_KK = torch.linalg.eigh(centred_NK.T @ centred_NK / len(windows_NK))
    variance_K, directions_KK = variance_K.flip(0).clamp_min(0), directions_KK.flip(1)
    # A direction may point either way; the next layer sees the difference, so the largest of its parts is positive.
    directions_KK = directions_KK * directions_KK.gather(0, directions_KK.abs().argmax(dim=0, keepdim=True)).sign()
    scale_K = (variance_K + SHRINKAGE * variance_K.mean().clamp_min(1e-12)).rsqrt()
    filters_KK = (directions_KK * scale_K).T[:num]
    num_more = num - len(filters_KK)
    if num_more <= 0:
        return filters_KK, mean_K
    mixture = torch.randn(num_more, len(filters_KK), generator=generator, dtype=torch.float64)
    return torch.cat([filters_KK, functional.normalize(mixture, dim=1) @ filters_KK]), mean_K


def _set(conv: nn.Conv2d, filters_OK: Tensor, mean_K: Tensor) -> None:
    assert conv.bias is not None
    conv.weight.copy_(filters_OK.reshape(conv.weight.shape))
    conv.bias.copy_(-(filters_OK @ mean_K))
