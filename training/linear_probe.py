"""Linear probing: one linear layer on frozen features (the protocol of LoDisc, arXiv:2403.04066).

SGD with momentum 0.9, learning rate 0.5 x batch / 256 falling to 0 by half a cosine, batches of 256, 100 epochs, no
weight decay. The features are computed once, without augmentation, and scaled to a mean square of 1 a picture, which
is what a ViT's last norm gives CLS: the learning rate means the same for every feature.
"""

# N pictures to learn from, Q pictures to classify, D embedding dim, C labels.

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from encoder.errors import SourceError
from encoder.retrieval_metrics import unit
from training.knn import Hits
from training.schedule import learning_rate

EPOCHS = 100
BATCH_SIZE = 256
LR = 0.5  # for a batch of 256


def linear_probe(
    queries_QD: NDArray[np.float32],
    query_labels: Sequence[str],
    train_ND: NDArray[np.float32],
    train_labels: Sequence[str],
    *,
    seed: int = 0,
) -> Hits:
    """Learn the labels of one set of embeddings, and classify another.

    Args:
        queries_QD: of the pictures to classify, any norm.
        query_labels: theirs.
        train_ND: of the pictures to learn from, any norm.
        train_labels: theirs.
        seed: of the order of the pictures.

    Raises:
        SourceError: there is only one label to learn.
    """
    names = sorted(set(train_labels))
    if len(names) < 2:
        raise SourceError(f"linear probing learns to tell labels apart, but all its pictures are {names[0]!r}")
    number_of = {name: number for number, name in enumerate(names)}
    label_N = torch.tensor([number_of[label] for label in train_labels])
    label_Q = torch.tensor([number_of.get(label, -1) for label in query_labels])
    layer = _fit(_scaled(train_ND), label_N, len(names), seed)
    with torch.no_grad():
        guesses = layer(_scaled(queries_QD)).topk(min(5, len(names)), dim=1).indices
    right = (guesses == label_Q[:, None]).double()
    return Hits(right[:, 0].numpy(), right.amax(dim=1).numpy())


def _fit(features_ND: Tensor, label_N: Tensor, num_labels: int, seed: int) -> nn.Linear:
    layer = nn.Linear(features_ND.shape[1], num_labels)
    # As MoCo v3's probe: small weights, a bias that begins at 0.
    generator = torch.Generator().manual_seed(seed)
    nn.init.normal_(layer.weight, std=0.01, generator=generator)
    nn.init.zeros_(layer.bias)
    batch_size = min(BATCH_SIZE, len(features_ND))
    optimizer = torch.optim.SGD(layer.parameters(), lr=LR, momentum=0.9, weight_decay=0.0)
    # The last batch of an epoch may be smaller: a small set is learnt from whole.
    num_steps = EPOCHS * -(-len(features_ND) // batch_size)
    step = 0
    for _ in range(EPOCHS):
        order = torch.randperm(len(features_ND), generator=generator)
        for rows in order.split(batch_size):
            base_lr = LR * batch_size / 256
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, num_steps, base_lr=base_lr, warmup=0.0)
            optimizer.zero_grad()
            functional.cross_entropy(layer(features_ND[rows]), label_N[rows]).backward()
            optimizer.step()
            step += 1
    return layer


def _scaled(embeddings_ND: NDArray[np.float32]) -> Tensor:
    """Mean square 1 a picture."""
    return torch.from_numpy(unit(embeddings_ND)) * embeddings_ND.shape[1] ** 0.5
