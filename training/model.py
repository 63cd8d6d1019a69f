"""LoDisc: MoCo v3's global branch and the Local Discrimination branch over one base encoder (arXiv:2403.04066).

The base encoder sees whole views, and no masked ones. The momentum encoder makes the keys of both branches and, in the
same forward, the attention that finds each view's pivotal patches.

With multi-crop (SwAV, arXiv:2006.09882) the base encoder also sees M small crops of each picture. Their predictor
outputs s_1 ... s_M are further queries to the keys of both views; the momentum encoder never sees them. As in DINO
(arXiv:2104.14294) every pair of a query and a key from another crop weighs the same, and the sum is scaled to what it
is without small crops:

    Lg = (ctr(q1, k2)  + ctr(q2, k1)  + sum over m of [ctr(s_m, k1)  + ctr(s_m, k2)])  / (1 + M)
    Ll = (ctr(q1, km2) + ctr(q2, km1) + sum over m of [ctr(s_m, km1) + ctr(s_m, km2)]) / (1 + M)
"""

# B batch, C embedding dim of the contrastive space, M small crops of a picture, P patches, R ranks of labels, S side in
# pixels.

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.cls_forward import encode_cls
from training.distributed import SyncBatchNorm1d, first_row, frozen_statistics, gather_keys
from training.losses import info_nce, repeated_pictures, supervised_contrast
from training.pivotal import fuse_attention, kept_patches, pivotal_mask, random_mask, zero_masked
from training.vit import Features, VisionTransformer
from training.whitening import Whitening

# Labels of this process's pictures and of those of all, shapes (B, R) and (N, R).
Labels = tuple[Tensor, Tensor]

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


def build_mlp(num_layers: int, in_dim: int, hidden_dim: int, out_dim: int, dropout: float = 0.0) -> nn.Sequential:
    """Linear + BN layers with ReLU between; the last BN without affine (as MoCo v3's heads).

    The batch norms take their statistics over all processes. Dropout follows each ReLU, if there is any.
    """
    layers: list[nn.Module] = []
    for number in range(num_layers):
        last = number == num_layers - 1
        layers.append(nn.Linear(in_dim if number == 0 else hidden_dim, out_dim if last else hidden_dim, bias=False))
        layers.append(SyncBatchNorm1d(out_dim if last else hidden_dim, affine=not last))
        if not last:
            layers.append(nn.ReLU(inplace=True))
            if dropout > 0:
                layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers)


class Encoder(nn.Module):
    """Backbone and projector: what the momentum encoder is a moving average of."""

    def __init__(self, backbone: VisionTransformer, projector: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.projector = projector


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
        projector: "mlp"; or "none" as in the published code, whose contrastive space is that of the CLS features.
        predictor_dropout: share of the predictor's hidden units dropped, 0.2 in the published code.
        momentum_updates: moves of the momentum encoder a step. More than one re-expresses the published code, where
            the second comes before the masks, the third before the local keys and any other after the losses;
            without a local branch all but the first come after the keys.
        micro_batch: views that go through the base encoder at once; 0 for all.
        repeats: rows of a batch, side by side over all processes, that come from one picture.
        whitening: of the embedding, learnt beside the method and no part of it; None for none.
        rank_weights: of the ranks of the labels, finest first, where `forward` is given labels.
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
        projector: str = "mlp",
        predictor_dropout: float = 0.0,
        momentum_updates: int = 1,
        micro_batch: int = 0,
        repeats: int = 1,
        whitening: Whitening | None = None,
        rank_weights: tuple[float, ...] = (1.0,),
    ) -> None:
        super().__init__()
        self.local, self.keep_ratio, self.temperature = local, keep_ratio, temperature
        self.momentum_updates, self.micro_batch, self.repeats = momentum_updates, micro_batch, repeats
        self.rank_weights = rank_weights
        if projector == "none":
            projection_dim = backbone.width
            self.base = Encoder(backbone, nn.Identity())
        else:
            self.base = Encoder(backbone, build_mlp(3, backbone.width, hidden_dim, projection_dim))
        self.predictor = build_mlp(2, projection_dim, hidden_dim, projection_dim, predictor_dropout)
        self.momentum = copy.deepcopy(self.base).requires_grad_(False)
        self.whitening = whitening

    def forward(
        self,
        view1_B3SS: Tensor,
        view2_B3SS: Tensor,
        momentum: float,
        generator: torch.Generator,
        label_BR: Tensor | None = None,
        *,
        small_MB3SS: Tensor | None = None,
        keep_ratio: float | None = None,
    ) -> Losses:
        """One step of the method up to the loss; also moves the momentum encoder.

        Args:
            view1_B3SS: first view of each picture, normalised, shape (B, 3, S, S).
            view2_B3SS: second view, same shape.
            momentum: m of this step, in [0, 1].
            generator: draws the mask of `local="random"`.
            label_BR: number of each picture's label at each rank, int64, -1 for none, shape (B, R): pictures of one
                label are then positives in both branches. None: each picture is its own positive alone.
            small_MB3SS: small crops of each picture, normalised, of any side that divides; None for none.
            keep_ratio: share of the patches kept in this step; the model's own if None.

        Returns:
            The losses of both branches.
        """
        # Both views go through the backbone as one batch; the heads see them apart, so that a batch norm
        # never mixes the statistics of view 1 and view 2 (as in MoCo v3).
        views = torch.cat([view1_B3SS, view2_B3SS])
        base_cls = encode_cls(self.base.backbone, views, micro_batch=self.micro_batch).cls_BD
        q1, q2 = (self.predictor(z) for z in self._project(self.base, base_cls))
        small = [] if small_MB3SS is None else self._small_queries(small_MB3SS)

        with torch.no_grad():
            self.update_momentum_encoder(momentum)
            features = encode_cls(self.momentum.backbone, views, with_attention=self._mask_shares_forward)
            k1, k2 = (gather_keys(k) for k in self._project(self.momentum, features.cls_BD))
            labels = None if label_BR is None else (label_BR, gather_keys(label_BR))
        global_loss = self._branch(q1, q2, small, k1, k2, labels)
        if self.local == "none":
            for _ in range(1, self.momentum_updates):
                self.update_momentum_encoder(momentum)
            return Losses(global_loss, torch.zeros_like(global_loss))

        with torch.no_grad():
            ratio = self.keep_ratio if keep_ratio is None else keep_ratio
            local_cls = self._encode_pivotal(views, features, momentum, ratio, generator).cls_BD
            km1, km2 = (gather_keys(k) for k in self._project(self.momentum, local_cls))
            for _ in range(3, self.momentum_updates):
                self.update_momentum_encoder(momentum)
        return Losses(global_loss, self._branch(q1, q2, small, km1, km2, labels))

    def _small_queries(self, small_MB3SS: Tensor) -> list[Tensor]:
        """Predictor output of each small crop, M of shape (B, C); each crop's batch is normalised by itself.

        The running statistics of the heads stay those of whole views, which an exported head sees.
        """
        cls_ND = encode_cls(self.base.backbone, small_MB3SS.flatten(0, 1), micro_batch=self.micro_batch).cls_BD
        with frozen_statistics(self.base.projector), frozen_statistics(self.predictor):
            return [self.predictor(self.base.projector(cls_BD)) for cls_BD in cls_ND.chunk(len(small_MB3SS))]

    def _branch(
        self, q1: Tensor, q2: Tensor, small: Sequence[Tensor], key1: Tensor, key2: Tensor, labels: Labels | None
    ) -> Tensor:
        """The loss of one branch: each query against the keys of the views that it is not, scaled to two pairs."""
        total = self._contrast(q1, key2, labels) + self._contrast(q2, key1, labels)
        for query in small:
            total = total + self._contrast(query, key1, labels) + self._contrast(query, key2, labels)
        return total / (1 + len(small))

    def _contrast(self, query_BC: Tensor, key_NC: Tensor, labels: Labels | None) -> Tensor:
        """Loss of this process's queries, and their labels, against the keys, and their labels, of all processes."""
        first = first_row(len(query_BC))
        same_BN = None
        if self.repeats > 1:
            same_BN = repeated_pictures(len(query_BC), len(key_NC), first, self.repeats).to(query_BC.device)
        if labels is None:
            return info_nce(query_BC, key_NC, self.temperature, first, same_BN)
        return supervised_contrast(query_BC, key_NC, *labels, self.rank_weights, self.temperature, first, same_BN)

    @property
    def _mask_shares_forward(self) -> bool:
        """Whether the forward that makes the keys is also the one whose attention makes the mask."""
        return self.local in ("zero", "drop") and self.momentum_updates == 1

    @torch.no_grad()
    def update_momentum_encoder(self, momentum: float) -> None:
        """Momentum encoder = m * momentum encoder + (1 - m) * base encoder."""
        torch._foreach_lerp_(
            list(self.momentum.parameters()),
            [parameter.detach() for parameter in self.base.parameters()],
            1.0 - momentum,
        )

    def _encode_pivotal(
        self, views: Tensor, features: Features, momentum: float, keep_ratio: float, generator: torch.Generator
    ) -> Features:
        """The momentum encoder's features of the views with everything but the chosen patches gone."""
        backbone = self.momentum.backbone
        if self.momentum_updates >= 2:
            self.update_momentum_encoder(momentum)
        if self.local == "random":
            mask_BP = random_mask(len(views), backbone.grid_size_for(views) ** 2, keep_ratio, generator)
        elif not self._mask_shares_forward:
            features = encode_cls(backbone, views, with_attention=True)
        if self.momentum_updates >= 3:
            self.update_momentum_encoder(momentum)
        if self.local == "random":
            return encode_cls(backbone, zero_masked(views, mask_BP))
        assert features.cls_attention_LBP is not None
        scores_BP = fuse_attention(features.cls_attention_LBP)
        if self.local == "drop":
            return encode_cls(backbone, views, kept_BK=kept_patches(scores_BP, keep_ratio))
        return encode_cls(backbone, zero_masked(views, pivotal_mask(scores_BP, keep_ratio)))

    @staticmethod
    def _project(encoder: Encoder, cls_ND: Tensor) -> tuple[Tensor, Tensor]:
        """Projector output of view 1 and of view 2, each shape (B, C)."""
        cls1, cls2 = cls_ND.chunk(2)
        return encoder.projector(cls1), encoder.projector(cls2)
