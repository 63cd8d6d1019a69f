"""What export starts from, whatever it came from: a network in torch, how pictures reach it, and what it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from encoder.manifest import Preprocessing, Pruning

# Builds the module to trace: outputs to compute, whether ONNX Runtime's own attention operator may be used, pruning.
GraphMaker = Callable[[Sequence[str], bool, Pruning | None], nn.Module]


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network to export.

    Attributes:
        reference: what everything is compared with: takes pixels uint8 (B, S, S, 3), gives the embedding (B, D) of
            length 1 and, where there is one, the attention (B, P). In eval mode, on the CPU.
        make_graph: the module to trace.
        outputs: what it can give, of `encoder.manifest.OUTPUTS`.
        preprocessing: from picture to pixels.
        embedding_dim: D.
        token_dim: of a patch feature; None where tokens are no output.
        patch_grid: rows and columns, if it has patches.
        depth: number of layers that a pruning can choose from; 0 where patches cannot be left out.
        source: where the weights come from, one phrase.
        feature: which feature is the embedding.
        licence: of the weights.
        trained_on: one sentence.
        domain: a short noun phrase.
        recipe: of the training, if it is known.
        labels: whether training read labels, one sentence; empty where it is not known.
        pictures: folder of pictures that it was trained on, if they are known.
    """

    reference: nn.Module
    make_graph: GraphMaker
    outputs: tuple[str, ...]
    preprocessing: Preprocessing
    embedding_dim: int
    token_dim: int | None
    patch_grid: tuple[int, int] | None
    depth: int
    source: str
    feature: str
    licence: str
    trained_on: str
    domain: str
    recipe: dict[str, Any] = field(default_factory=dict)
    labels: str = ""
    pictures: Path | None = None
