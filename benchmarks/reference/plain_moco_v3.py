"""MoCo v3 (arXiv:2104.02057) as its Algorithm 1 reads, on our ViT: what the global branch alone costs."""

# B batch, S side in pixels.

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.model import build_mlp
from training.vit import VisionTransformer


class PlainMoCoV3Step:
    """Model and optimiser; a call is one step."""

    temperature, momentum = 0.2, 0.99

    def __init__(self, vit: VisionTransformer, *, hidden_dim: int = 4096, projection_dim: int = 256) -> None:
        device = vit.cls_token.device
        self.backbone = vit
        self.projector = build_mlp(3, vit.width, hidden_dim, projection_dim).to(device)
        self.predictor = build_mlp(2, projection_dim, hidden_dim, projection_dim).to(device)
        self.base = nn.ModuleList([self.backbone, self.projector])
        self.momentum_encoder = copy.deepcopy(self.base).requires_grad_(False)
        parameters = [*self.base.parameters(), *self.predictor.parameters()]
        self.optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.1)

    def __call__(self, view1: Tensor, view2: Tensor) -> float:
        """One optimiser update on two views, each (B, 3, S, S); the loss."""
        q1 = self.predictor(self.projector(self.backbone(view1).cls_BD))
        q2 = self.predictor(self.projector(self.backbone(view2).cls_BD))
        backbone_m, projector_m = self.momentum_encoder
        with torch.no_grad():
            for mean, value in zip(self.momentum_encoder.parameters(), self.base.parameters(), strict=True):
                mean.data = mean.data * self.momentum + value.data * (1.0 - self.momentum)
            k1, k2 = projector_m(backbone_m(view1).cls_BD), projector_m(backbone_m(view2).cls_BD)
        loss = self.contrast(q1, k2) + self.contrast(q2, k1)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def contrast(self, query: Tensor, key: Tensor) -> Tensor:
        """InfoNCE with the batch as negatives, times 2 T."""
        logits = functional.normalize(query, dim=1) @ functional.normalize(key, dim=1).T / self.temperature
        labels = torch.arange(len(query), device=query.device)
        return functional.cross_entropy(logits, labels) * 2 * self.temperature
