"""Whitening of the embedding, learnt from the training pictures without labels.

What all pictures have in common fills most of an embedding of a network that has seen few pictures, and hides what sets
them apart. So the mean is taken away and each principal direction is divided by its spread (Jégou and Chum 2012,
"Negative evidences and co-occurrences in image retrieval"), or by a root of it, which keeps more of what was learnt.
One matrix product at the end of the encoder: it is exported with it.
"""

# N pictures, D embedding dim.

import torch
from torch import Tensor, nn
from torch.nn import functional

# Of the mean variance, added to each: a direction in which the pictures hardly differ is mostly noise.
SHRINKAGE = 0.01
# Pictures that it is learnt from at most, spread over all of them.
NUM_LEARNT_FROM = 4096


class Whitening(nn.Module):
    """(x - mean) times a matrix, then length 1. What it has learnt lies in buffers, so it is part of a checkpoint.

    Args:
        feature: the feature that it is for.
        dim: D.
        power: 0 to 1: 1 makes all directions equally wide, 0.5 takes the root of what they differ by.
    """

    mean_D: Tensor
    matrix_DD: Tensor
    is_learnt: Tensor

    def __init__(self, feature: str, dim: int, power: float) -> None:
        super().__init__()
        self.feature, self.power = feature, power
        self.register_buffer("mean_D", torch.zeros(dim))
        self.register_buffer("matrix_DD", torch.eye(dim))
        self.register_buffer("is_learnt", torch.tensor(False))

    @torch.no_grad()
    def learn(self, embeddings_ND: Tensor) -> None:
        """Learn from embeddings as they are without it, float, length 1, shape (N, D)."""
        x_ND = embeddings_ND.double()
        mean_D = x_ND.mean(dim=0)
        covariance_DD = (x_ND - mean_D).T @ (x_ND - mean_D) / len(x_ND)
        variance_D, directions_DD = torch.linalg.eigh(covariance_DD)
        variance_D = variance_D.clamp_min(0) + SHRINKAGE * variance_D.mean().clamp_min(1e-12)
        # Their common scale is of no matter to cosines; 1 on average keeps the numbers near 1 for half precision.
        scale_D = (variance_D / variance_D.mean()) ** (-self.power / 2)
        self.mean_D.copy_(mean_D)
        self.matrix_DD.copy_((directions_DD * scale_D).flip(1))  # widest direction first
        self.is_learnt.fill_(True)

    def forward(self, embeddings_BD: Tensor) -> Tensor:
        """Embeddings of length 1 in and out, float32, shape (B, D)."""
        return functional.normalize((embeddings_BD - self.mean_D) @ self.matrix_DD, dim=1)
