"""LoDisc: MoCo v3's global branch and the Local Discrimination branch over one base encoder (arXiv:2403.04066).

The base encoder only ever sees whole views. The momentum encoder makes the keys of both branches and, in the same
forward, the attention that finds each view's pivotal patches.
"""

# B batch, C embedding dim of the contrastive space, P patches, S side in pixels.

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.losses import info_nce
from training.pivotal import fuse_attention, kept_patches, pivotal_mask, random_mask, zero_masked
from training.vit import Features, VisionTransformer

LOCAL_BRANCHES = ("zero", "drop", "random", "none")


@dataclass(frozen=True)
class Losses:
    """The two parts of the loss, scalars: `global_branch` is Lg, `local_branch` is Ll (0 without a local branch)."""

    global_branch: Tensor
    local_branch: Tensor

    @property
    def total(self) -> Tensor:
        """L = Lg + Ll, equal weights."""
        return self.global_branch + self.local_branch


def build_mlp(num_layers: int, in_dim: int, hidden_dim: int, out_dim: int) -> nn.Sequential:
    """Linear + BN layers with ReLU between; the last BN without affine (as MoCo v3's heads)."""
    layers: list[nn.Module] = []
    for number in range(num_layers):
        last = number == num_layers - 1
        layers.append(nn.Linear(in_dim if number == 0 else hidden_dim, out_dim if last else hidden_dim, bias=False))
        layers.append(nn.BatchNorm1d(out_dim if last else hidden_dim, affine=not last))
        if not last:
            layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


class Encoder(nn.Module):
    """Backbone and projector: what the momentum encoder is a moving average of."""

    def __init__(self, backbone: VisionTransformer, hidden_dim: int, out_dim: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.projector = build_mlp(3, backbone.width, hidden_dim, out_dim)


class LoDisc(nn.Module):
    """Base encoder, predictor and momentum encoder.

    Args:
        backbone: the ViT to train.
        local: "zero" masks all but the pivotal patches by zeros (the paper); "drop" encodes the pivotal tokens alone
            (our cheaper variant); "random" is "zero" with a random mask, the control; "none" is MoCo v3.
        keep_ratio: share of the patches kept as pivotal.
        temperature: of InfoNCE.
        hidden_dim: of projector and predictor.
        projection_dim: of the contrastive space.
    """

    def __init__(
        self,
        backbone: VisionTransformer,
        *,
        local: str,
        keep_ratio: float,
        temperature: float,
        hidden_dim: int,
        projection_dim: int,
    ) -> None:
        super().__init__()
        self.local, self.keep_ratio, self.temperature = local, keep_ratio, temperature
        self.base = Encoder(backbone, hidden_dim, projection_dim)
        self.predictor = build_mlp(2, projection_dim, hidden_dim, projection_dim)
        self.momentum = copy.deepcopy(self.base).requires_grad_(False)

    def forward(self, view1_B3SS: Tensor, view2_B3SS: Tensor, momentum: float, generator: torch.Generator) -> Losses:
        """One step of the method up to the loss; also moves the momentum encoder, once.

        Args:
            view1_B3SS: first view of each picture, normalised, shape (B, 3, S, S).
            view2_B3SS: second view, same shape.
            momentum: m of this step, in [0, 1].
            generator: draws the mask of `local="random"`.

        Returns:
            The losses of both branches.
        """
        # Both views go through the backbone as one batch; the heads see them apart, so that a batch norm
        # never mixes the statistics of view 1 and view 2 (as in MoCo v3).
        views = torch.cat([view1_B3SS, view2_B3SS])
        q1, q2 = (self.predictor(z) for z in self._project(self.base, self.base.backbone(views)))

        with torch.no_grad():
            self.update_momentum_encoder(momentum)
            needs_attention = self.local in ("zero", "drop")
            features = self.momentum.backbone(views, with_attention=needs_attention)
            k1, k2 = self._project(self.momentum, features)
        global_loss = info_nce(q1, k2, self.temperature) + info_nce(q2, k1, self.temperature)
        if self.local == "none":
            return Losses(global_loss, torch.zeros_like(global_loss))

        with torch.no_grad():
            km1, km2 = self._project(self.momentum, self._encode_pivotal(views, features, generator))
        local_loss = info_nce(q1, km2, self.temperature) + info_nce(q2, km1, self.temperature)
        return Losses(global_loss, local_loss)

    @torch.no_grad()
    def update_momentum_encoder(self, momentum: float) -> None:
        """Momentum encoder = m * momentum encoder + (1 - m) * base encoder."""
        torch._foreach_lerp_(
            list(self.momentum.parameters()),
            [parameter.detach() for parameter in self.base.parameters()],
            1.0 - momentum,
        )

    def _encode_pivotal(self, views: Tensor, features: Features, generator: torch.Generator) -> Features:
        """The momentum encoder's features of the views with everything but the chosen patches gone."""
        backbone = self.momentum.backbone
        if self.local == "random":
            mask_BP = random_mask(len(views), backbone.num_patches, self.keep_ratio, generator)
            return backbone(zero_masked(views, mask_BP))
        assert features.cls_attention_LBP is not None
        scores_BP = fuse_attention(features.cls_attention_LBP)
        if self.local == "drop":
            return backbone(views, kept_BK=kept_patches(scores_BP, self.keep_ratio))
        return backbone(zero_masked(views, pivotal_mask(scores_BP, self.keep_ratio)))

    @staticmethod
    def _project(encoder: Encoder, features: Features) -> tuple[Tensor, Tensor]:
        """Projector output of view 1 and of view 2, each shape (B, C)."""
        cls1, cls2 = features.cls_BD.chunk(2)
        return encoder.projector(cls1), encoder.projector(cls2)
