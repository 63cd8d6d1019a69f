"""Which patches can be left out, and after which layer: tried on the person's own pictures.

The fewer patches and the earlier, the faster; how many are needed depends on the pictures. Trials go from the cheapest
pruning to the dearest, and the first whose retrieval passes the floor is taken.
"""

# N pictures, S side in pixels, D embedding dim.

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from encoder.errors import ConfigError, ParityError
from encoder.manifest import Pruning
from export.network import Network
from export.retrieval_gate import LEAST_OVERLAP, RetrievalCheck, compare_retrieval

KEEP_RATIOS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
LAYER_SHARES = (1 / 6, 1 / 4, 1 / 3, 1 / 2)
BATCH_SIZE = 32


@dataclass(frozen=True)
class PruningTrial:
    """One point of the curve.

    Attributes:
        pruning: what was tried.
        cost: layers' work as a share of the dense encoder's, in (0, 1).
        check: its retrieval against the dense encoder's.
    """

    pruning: Pruning
    cost: float
    check: RetrievalCheck


def fixed_pruning(text: str, network: Network) -> Pruning | None:
    """The pruning that the command line names, LAYER:RATIO; None for "" and "auto", which name none.

    Raises:
        ConfigError: it is no such thing, or out of range, or the network has no layers to prune.
    """
    if not text:
        return None
    if not network.depth:
        raise ConfigError(f"{network.source} has no layers whose patches could be left out; omit --prune")
    if text == "auto":
        return None
    layer, _, ratio = text.partition(":")
    try:
        pruning = Pruning(after_layer=int(layer), keep_ratio=float(ratio))
    except ValueError:
        raise ConfigError(f"--prune is {text!r}, expected auto or LAYER:RATIO, as in 4:0.5") from None
    if not 1 <= pruning.after_layer < network.depth or not 0 < pruning.keep_ratio < 1:
        raise ConfigError(
            f"--prune is {text!r}, expected a layer from 1 to {network.depth - 1} and a ratio between 0 and 1"
        )
    return pruning


def prunings(depth: int) -> list[Pruning]:
    """What is tried, the cheapest first."""
    layers = sorted({max(1, round(share * depth)) for share in LAYER_SHARES if round(share * depth) < depth})
    grid = [Pruning(after_layer=layer, keep_ratio=ratio) for layer in layers for ratio in KEEP_RATIOS]
    return sorted(grid, key=lambda pruning: pruning_cost(pruning, depth))


def pruning_cost(pruning: Pruning, depth: int) -> float:
    """Layers' work as a share of the dense encoder's, in (0, 1); the last layer, of CLS alone, counts as a sixth."""
    full, pruned = pruning.after_layer, depth - 1 - pruning.after_layer
    return (full + pruning.keep_ratio * (pruned + 1 / 6)) / (depth - 1 + 1 / 6)


def choose_pruning(
    network: Network, pixels_NSS3: NDArray[np.uint8], labels: Sequence[str | None], floor: float
) -> tuple[Pruning, list[PruningTrial]]:
    """The cheapest pruning that finds as well as the dense encoder, and all that was tried up to it.

    Args:
        network: with a depth.
        pixels_NSS3: pictures to try on, uint8.
        labels: one a picture.
        floor: least mAP as a share of the dense encoder's.

    Raises:
        ParityError: none does.
    """
    dense_ND = embed_pruned(network, pixels_NSS3, None)
    trials = []
    for pruning in prunings(network.depth):
        check = compare_retrieval(dense_ND, embed_pruned(network, pixels_NSS3, pruning), labels)
        trials.append(PruningTrial(pruning, pruning_cost(pruning, network.depth), check))
        if check.ratio >= floor and (check.num_queries or check.overlap >= LEAST_OVERLAP):
            return pruning, trials
    best = max(trials, key=lambda trial: (trial.check.ratio, trial.check.overlap))
    raise ParityError(
        f"no pruning keeps {floor:.0%} of the dense encoder's mAP on these {len(labels)} pictures; the best, "
        f"{best.pruning.after_layer}:{best.pruning.keep_ratio}: {best.check.line()}; omit --prune or lower --floor"
    )


@torch.inference_mode()
def embed_pruned(network: Network, pixels_NSS3: NDArray[np.uint8], pruning: Pruning | None) -> NDArray[np.float32]:
    """Embeddings in torch, float32, shape (N, D), of the dense encoder where the pruning is None."""
    graph = network.make_graph(("embedding",), False, pruning)
    batches = torch.from_numpy(pixels_NSS3).split(BATCH_SIZE)
    return np.concatenate([graph(batch)[0].numpy() for batch in batches])
