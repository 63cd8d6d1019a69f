"""Why an item is a match: which region of the query meets which of the item, and its share among these.

The pairs are those of the late interaction. A pair's share is its cosine times what the query's patch weighs, over the
sum of those of all pairs. It weighs what it was measured to settle (`influence`), or, of an item in place of a
photograph, what it weighs in the local score. Pairs that speak against the match, with a negative cosine, have no share
and are left out. Boxes are shares of the whole upright picture, and of the thumbnail, which shows all of it.
"""

# P pivotal patches, A all patches of a picture.

from dataclasses import dataclass
from typing import Any

import numpy as np

from encoder.manifest import Manifest
from index.answers.late_interaction import interact
from index.answers.local_features import LocalFeatures

MAX_PAIRS = 8

Box = tuple[float, float, float, float]  # left, top, right, bottom, in [0, 1]


@dataclass(frozen=True)
class Seen:
    """A picture as its explanation needs it.

    Attributes:
        features: its pivotal patches.
        box: the part of the picture that the encoder saw.
        number: which photograph of the query it is; not used of an item.
    """

    features: LocalFeatures
    box: Box
    number: int = 0


def seen_box(manifest: Manifest, width: int, height: int) -> Box:
    """The part that the encoder sees of a picture of that size, upright."""
    left, top, right, bottom = manifest.preprocessing.crop_box(width, height)
    return left / width, top / height, right / width, bottom / height


def patch_box(patch: int, grid: tuple[int, int], box: Box) -> list[float]:
    """Where a patch lies in the picture, given the part of the picture that the grid lies over."""
    row, column = divmod(patch, grid[1])
    width, height = (box[2] - box[0]) / grid[1], (box[3] - box[1]) / grid[0]
    left, top = box[0] + column * width, box[1] + row * height
    return [round(min(max(side, 0.0), 1.0), 5) for side in (left, top, left + width, top + height)]


def explain(query: Seen, item: Seen, grid: tuple[int, int]) -> dict[str, Any]:
    """The explanation of one match, as POST /search answers it.

    Args:
        query: the photograph that the item fits best.
        item: the match.
        grid: rows and columns of the encoder's patches.
    """
    found = interact(query.features, [item.features])
    measured_P = query.features.influence_P
    parts_P = np.maximum(found.cosine_CQ[0], 0) * (query.features.weights if measured_P is None else measured_P)
    total = float(parts_P.sum())
    best = [place for place in np.argsort(-parts_P, kind="stable").tolist() if parts_P[place] > 0][:MAX_PAIRS]
    pairs = []
    for place in best:
        of_query = int(query.features.positions_P[place])
        of_item = int(item.features.positions_P[found.partner_CQ[0, place]])
        pairs.append(
            {
                "query": {"picture": query.number, "patch": of_query, "box": patch_box(of_query, grid, query.box)},
                "item": {"patch": of_item, "box": patch_box(of_item, grid, item.box)},
                "share": _share(float(parts_P[place]) / total),
            }
        )
    return {
        "pairs": pairs,
        "query_attention": attention_document(query, grid),
        "item_attention": attention_document(item, grid),
    }


def attention_document(seen: Seen, grid: tuple[int, int]) -> dict[str, Any]:
    """What each patch of a picture weighs, as POST /embed answers it."""
    scores = [round(float(score), 6) for score in seen.features.scores_A]
    return {"grid": list(grid), "box": [round(side, 5) for side in seen.box], "scores": scores}


def _share(share: float) -> float:
    """Rounded down, so that shares never sum to more than 1."""
    return int(share * 1e4) / 1e4
