"""The published LoDisc step, written again plainly for the benchmark: what a step costs there.

From the description of the method and of the published code's behaviour, not from its text. It computes what ours
does, with the waste that makes it slow:

    attention     whole T x T matrices of each layer and head, kept and returned
    masks         forwards of their own for the attention, fused as whole matrices, cut out patch by patch in a loop
    views         one forward each
    momentum      the encoder moves three times in the loss and once for the log, parameter by parameter
    log           four more forwards (both views through both encoders)
    optimiser     AdamW parameter by parameter
"""

# B batch, H heads, T tokens, D width, S side in pixels, P patches.

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.vit import VisionTransformer


class PlainViT(nn.Module):
    """The same ViT with explicit attention matrices; it holds the layers of one of ours."""

    def __init__(self, vit: VisionTransformer) -> None:
        super().__init__()
        self.vit = vit

    def forward(self, pixels_B3SS: Tensor) -> tuple[Tensor, list[Tensor]]:
        """CLS feature (B, D), and the attention (B, H, T, T) of each layer."""
        vit = self.vit
        patches = vit.patch_embed(pixels_B3SS)
        x = torch.cat([vit.cls_token.expand(len(patches), -1, -1), patches], dim=1) + vit.pos_embed
        matrices = []
        for block in vit.blocks:
            h = block.norm1(x)
            B, T, D = h.shape
            heads = block.attn.num_heads
            q, k, v = block.attn.qkv(h).reshape(B, T, 3, heads, D // heads).permute(2, 0, 3, 1, 4)
            attention = (q @ k.transpose(-2, -1) * block.attn.scale).softmax(dim=-1)
            matrices.append(attention)
            x = x + block.attn.proj((attention @ v).transpose(1, 2).reshape(B, T, D))
            x = x + block.mlp(block.norm2(x))
        return vit.norm(x)[:, 0], matrices


class PublishedStep:
    """Model and optimiser of the published code; a call is one step.

    Args:
        vit: the backbone, on its device.
        with_logging: also do what is done only to print accuracies.
    """

    temperature, momentum, keep_ratio = 0.2, 0.99, 0.3

    def __init__(self, vit: VisionTransformer, *, with_logging: bool = True, hidden_dim: int = 4096) -> None:
        device, width = vit.cls_token.device, vit.width
        self.with_logging = with_logging
        self.base = PlainViT(vit)
        self.predictor = nn.Sequential(
            nn.Linear(width, hidden_dim, bias=False), nn.BatchNorm1d(hidden_dim), nn.ReLU(), nn.Dropout(0.2),
            nn.Linear(hidden_dim, width, bias=False), nn.BatchNorm1d(width, affine=False),
        ).to(device)  # fmt: skip
        self.encoder_m = copy.deepcopy(self.base).requires_grad_(False)
        parameters = [*self.base.parameters(), *self.predictor.parameters()]
        self.optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.1, foreach=False)

    def __call__(self, view1: Tensor, view2: Tensor) -> float:
        """One optimiser update on two views, each (B, 3, S, S); the loss."""
        q1 = self.predictor(self.base(view1)[0])
        q2 = self.predictor(self.base(view2)[0])
        with torch.no_grad():
            self.move_momentum_encoder()
            k1, k2 = self.encoder_m(view1)[0], self.encoder_m(view2)[0]
        loss = self.contrast(q1, k2) + self.contrast(q2, k1)
        with torch.no_grad():
            self.move_momentum_encoder()
            mask1, mask2 = self.mask(view1), self.mask(view2)
            self.move_momentum_encoder()
            km1, km2 = self.encoder_m(view1 * mask1)[0], self.encoder_m(view2 * mask2)[0]
        loss = loss + self.contrast(q1, km2) + self.contrast(q2, km1)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        if self.with_logging:
            self.log(view1, view2)
        return loss.item()

    def contrast(self, query: Tensor, key: Tensor) -> Tensor:
        """InfoNCE with the batch as negatives, times 2 T."""
        logits = functional.normalize(query, dim=1) @ functional.normalize(key, dim=1).T / self.temperature
        labels = torch.arange(len(query), device=query.device)
        return functional.cross_entropy(logits, labels) * 2 * self.temperature

    def move_momentum_encoder(self) -> None:
        """Exponential moving average, one parameter after the other."""
        for mean, value in zip(self.encoder_m.parameters(), self.base.parameters(), strict=True):
            mean.data = mean.data * self.momentum + value.data * (1.0 - self.momentum)

    def mask(self, view: Tensor) -> Tensor:
        """1 on pivotal patches, 0 elsewhere, shape (B, 3, S, S), from a forward of its own."""
        _, matrices = self.encoder_m(view)
        fused = torch.ones_like(matrices[0].mean(dim=1))
        for attention in matrices:
            fused = fused * attention.mean(dim=1)
        scores = fused[:, 0, 1:]
        grid, side = math.isqrt(scores.shape[1]), self.base.vit.patch_size
        mask = torch.zeros_like(view)
        for picture in range(len(view)):
            row = scores[picture].tolist()
            threshold = sorted(row, reverse=True)[int(self.keep_ratio * len(row))]
            for patch, score in enumerate(row):
                if score > threshold:
                    top, left = patch // grid * side, patch % grid * side
                    mask[picture, :, top : top + side, left : left + side] = 1
        return mask

    @torch.no_grad()
    def log(self, view1: Tensor, view2: Tensor) -> tuple[float, float]:
        """Contrastive accuracies for the progress line: both views through both encoders again."""
        q1, q2 = self.predictor(self.base(view1)[0]), self.predictor(self.base(view2)[0])
        self.move_momentum_encoder()
        k1, k2 = self.encoder_m(view1)[0], self.encoder_m(view2)[0]
        labels = torch.arange(len(q1), device=q1.device)
        first = (functional.normalize(q1) @ functional.normalize(k2).T).argmax(dim=1).eq(labels)
        second = (functional.normalize(q2) @ functional.normalize(k1).T).argmax(dim=1).eq(labels)
        return first.float().mean().item(), second.float().mean().item()
