"""What is looked at while a run trains: has the embedding collapsed, what does it find, where does it look.

Everything here is a function of the weights: it draws nothing at random and changes nothing, so a run that is measured
is the run that is not.
"""

# N pictures, S side of a view, D embedding dim, P patches.

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from encoder.errors import TrainingError
from encoder.retrieval_metrics import RetrievalScores, leave_one_out
from training.augmentation import centre_views, normalise
from training.embedding import EmbeddingModel
from training.feature import feature_weights
from training.mask_pictures import mask_sheet
from training.model import LoDisc
from training.pictures import PictureStore
from training.pivotal import fuse_attention, pivotal_mask
from training.whitening import NUM_LEARNT_FROM

NUM_SAMPLE = 256
NUM_DRAWN = 16
BATCH_SIZE = 64
# A healthy embedding is far above these, an untrained one too; a collapsed one is at 0 and 1.
LEAST_SPREAD = 0.01
LEAST_RANK = 1.5
# Of fewer pictures the rank is low by their number alone (two are on a line), so their spread is judged and it is not.
LEAST_JUDGED = 8


@dataclass(frozen=True)
class Spread:
    """How much room the embeddings of a sample take up.

    Attributes:
        spread: root mean square distance of the unit embeddings from their mean, in [0, 1]; 0 if all are the same.
        rank: effective rank: exp of the entropy of the singular values of the centred embeddings, 1 to D.
        num_pictures: that it was measured on.
    """

    spread: float
    rank: float
    num_pictures: int


def measure_spread(embeddings_ND: Tensor) -> Spread:
    """Spread and effective rank (Roy & Vetterli 2007) of embeddings, float, any norm, shape (N, D)."""
    unit_ND = functional.normalize(embeddings_ND.double(), dim=1)
    centred_ND = unit_ND - unit_ND.mean(dim=0)
    spread = float(centred_ND.square().sum(dim=1).mean().sqrt())
    values = torch.linalg.svdvals(centred_ND)
    # Embeddings that are all the same leave nothing but rounding, which would have a high rank.
    if spread < 1e-6:
        return Spread(spread, 1.0, len(embeddings_ND))
    share = values / values.sum()
    entropy = -(share * share.clamp_min(1e-30).log()).sum()
    return Spread(spread, math.exp(float(entropy)), len(embeddings_ND))


def require_no_collapse(measured: Spread, epoch: int) -> None:
    """Stop a run whose pictures all get the same embedding.

    Raises:
        TrainingError: with what usually helps.
    """
    has_rank = measured.rank >= LEAST_RANK or measured.num_pictures < LEAST_JUDGED
    if measured.spread >= LEAST_SPREAD and has_rank:
        return
    raise TrainingError(
        f"collapsed in epoch {epoch}: all pictures get nearly the same embedding (spread "
        f"{measured.spread:.4f}, effective rank {measured.rank:.1f}; at least {LEAST_SPREAD} and {LEAST_RANK} wanted); "
        "lower --lr, lengthen --warmup, raise --batch-size, or check that the pictures differ. "
        "The checkpoints before it are kept"
    )


class Monitor:
    """Measures one model on a fixed sample of its training pictures and on the held-out ones.

    Args:
        model: the model, not wrapped.
        store: the training pictures.
        held_out: the held-out pictures and their labels, or None.
        feature: the recipe's, which retrieval is measured by, since that is what export gives.
        image_size: side of a view.
        device: where the model is.
    """

    def __init__(
        self,
        model: LoDisc,
        store: PictureStore,
        held_out: tuple[PictureStore, list[str]] | None,
        feature: str,
        image_size: int,
        device: torch.device,
    ) -> None:
        self.model, self.store, self.held_out = model, store, held_out
        self.feature, self.image_size, self.device = feature, image_size, device
        self.sample_rows = np.unique(np.linspace(0, len(store) - 1, min(NUM_SAMPLE, len(store))).astype(int))

    def spread(self) -> Spread:
        """Spread of the backbone's CLS features over the sample."""
        return measure_spread(self._cls(self.store, self.sample_rows))

    def retrieval(self) -> RetrievalScores | None:
        """Leave-one-out retrieval among the held-out pictures by the run's feature; None if there are none."""
        if self.held_out is None:
            return None
        store, labels = self.held_out
        self.learn_whitening()
        return leave_one_out(self._embeddings(store, np.arange(len(store))).numpy(), labels)

    def learn_whitening(self) -> bool:
        """Learn the whitening from the training pictures if the recipe asks for one that these weights lack.

        Returns:
            Whether it was learnt now.
        """
        whitening = self.model.whitening
        if whitening is None or whitening.is_learnt:
            return False
        rows = np.unique(np.linspace(0, len(self.store) - 1, min(NUM_LEARNT_FROM, len(self.store))).astype(int))
        whitening.learn(self._embeddings(self.store, rows, whitened=False).to(whitening.mean_D.device))
        return True

    def forget_whitening(self) -> None:
        """The weights have moved: what was learnt for those before must not be saved with them."""
        if self.model.whitening is not None:
            self.model.whitening.is_learnt.fill_(False)

    @torch.no_grad()
    def mask_picture(self) -> NDArray[np.uint8]:
        """Some training pictures with their pivotal patches, uint8, shape (H, W, 3)."""
        rows = self.sample_rows[:: max(1, len(self.sample_rows) // NUM_DRAWN)][:NUM_DRAWN]
        views = self._views(self.store, rows)
        features = self.model.momentum.backbone.forward(normalise(views), with_attention=True, cls_only=True)
        assert features.cls_attention_LBP is not None
        mask_BP = pivotal_mask(fuse_attention(features.cls_attention_LBP), self.model.keep_ratio)
        pixels_BSS3 = (views.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1)
        return mask_sheet(pixels_BSS3.cpu().numpy(), mask_BP.cpu().numpy())

    def _views(self, store: PictureStore, rows: NDArray[np.int_]) -> Tensor:
        pixels = torch.from_numpy(store.pixels_NQQ3[rows]).to(self.device)
        aspect = torch.from_numpy(store.aspect_N[rows]).to(self.device)
        return centre_views(pixels.permute(0, 3, 1, 2).float() / 255, aspect, self.image_size)

    @torch.no_grad()
    def _embeddings(self, store: PictureStore, rows: NDArray[np.int_], *, whitened: bool = True) -> Tensor:
        """The run's feature as export gives it, or as it is before whitening, float32, on the CPU, shape (N, D)."""
        model = EmbeddingModel.from_lodisc(self.model, self.feature)
        make = model.embedding if whitened else model.joined
        cls_only = "mean" not in feature_weights(self.feature)
        parts = []
        try:
            for start in range(0, len(rows), BATCH_SIZE):
                views = normalise(self._views(store, rows[start : start + BATCH_SIZE]))
                # `forward` and not a call, as in `_cls`.
                parts.append(make(model.backbone.forward(views, cls_only=cls_only)).cpu())
        finally:
            self.model.train()  # the parts are the model's own, now in eval mode
        return torch.cat(parts)

    @torch.no_grad()
    def _cls(self, store: PictureStore, rows: NDArray[np.int_]) -> Tensor:
        """CLS features, float32, on the CPU, shape (N, D)."""
        parts = []
        for start in range(0, len(rows), BATCH_SIZE):
            views = normalise(self._views(store, rows[start : start + BATCH_SIZE]))
            # `forward` and not a call: a compiled backbone would be compiled again for this batch size.
            parts.append(self.model.base.backbone.forward(views, cls_only=True).cls_BD.float().cpu())
        return torch.cat(parts)
