"""The order of an epoch in which pictures of one label come in groups, so that a batch holds positives of each."""

# N pictures, R ranks of labels.

import torch
from torch import Tensor

from training.views import step_generator


def grouped_order(label_NR: Tensor, epoch: int, seed: int, pictures_per_label: int) -> Tensor:
    """The order of the pictures in an epoch: every picture once, those of one label in groups.

    The pictures of a label are drawn into groups of `pictures_per_label`; where their number is no multiple of it, into
    as few groups as hold them, equal but for one picture, so that none is left alone. Pictures without a label are on
    their own. The groups follow each other in a drawn order.

    Args:
        label_NR: number of each picture's label at each rank, finest first, int64, -1 for none. A picture is grouped
            by the finest label that it has. Shape (N, R).
        epoch: of the run; with `seed` it decides the order, so a resumed run agrees and processes share it.
        seed: of the recipe.
        pictures_per_label: pictures of a group, at least 2.

    Returns:
        A permutation of the pictures, int64, shape (N,).
    """
    generator = step_generator(torch.device("cpu"), seed, epoch, -1)
    drawn_N = torch.randperm(len(label_NR), generator=generator)
    key_N = _finest(label_NR)[drawn_N]
    sorted_N, place_N = key_N.sort(stable=True)
    keys, counts = sorted_N.unique_consecutive(return_counts=True)
    groups: list[Tensor] = []
    for key, rows in zip(keys.tolist(), drawn_N[place_N].split(counts.tolist()), strict=True):
        num_groups = len(rows)
        if key >= 0:  # in pairs, an odd picture makes a group of three
            num_groups = min(-(-len(rows) // pictures_per_label), max(1, len(rows) // 2))
        groups += rows.tensor_split(num_groups)
    return torch.cat([groups[number] for number in torch.randperm(len(groups), generator=generator).tolist()])


def _finest(label_NR: Tensor) -> Tensor:
    """One number for the finest label that each picture has, different at each rank; -1 for none."""
    finest_N = torch.full_like(label_NR[:, 0], -1)
    first = 0
    for label_N in label_NR.T:
        finest_N = torch.where((finest_N < 0) & (label_N >= 0), label_N + first, finest_N)
        first += int(label_N.max()) + 1
    return finest_N
