"""The document that answers a search, over HTTP and on the command line alike."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from encoder.manifest import Manifest
from index.answers.asking import Asked
from index.answers.calibration import Calibration
from index.answers.vote import Prediction, RankVote, predict
from index.domain import domain_note

_DOTS = {".", ".."}


def thumbnail_path(item_id: str) -> str:
    """The URL path of an item's thumbnail.

    The slashes of an id stand as they are, but where a browser would take out `.` or `..` between them.
    """
    if _DOTS & set(item_id.split("/")):
        return f"/items%2F{quote(item_id, safe='')}/thumbnail"
    return f"/items/{quote(item_id)}/thumbnail"


def answer(
    manifest: Manifest,
    asked: Asked,
    timing_ms: Mapping[str, float],
    *,
    domain: str | None,
    ranks: Sequence[str],
    calibration: Calibration | None,
    positions: Sequence[int],
) -> dict[str, Any]:
    """The answer to POST /search.

    Args:
        manifest: of the encoder.
        asked: what was found.
        timing_ms: milliseconds by stage.
        domain: of the catalogue.
        ranks: of the catalogue, finest first.
        calibration: of the catalogue, by which it was asked.
        positions: of the pictures that make the query, among those of the request; none where no picture was sent.
    """
    prediction = predict(asked.photographs, asked.weights, ranks, calibration, filtered=asked.filtered)
    return {
        "model": {"id": manifest.id, "dim": manifest.embedding_dim, "name": manifest.name},
        "matches": [
            {
                "id": match.id,
                "score": round(match.score, 6),
                "labels": match.labels,
                "metadata": match.metadata,
                "thumbnail": thumbnail_path(match.id),
            }
            for match in asked.matches
        ],
        "prediction": prediction_document(prediction),
        "query": [
            {"position": position, "weight": round(weight, 4), "attention": None}
            for position, weight in zip(positions, asked.weights, strict=bool(positions))
        ],
        "reranked": False,
        "timing_ms": {stage: round(milliseconds, 3) for stage, milliseconds in timing_ms.items()},
        "note": domain_note(manifest, domain),
    }


def prediction_document(prediction: Prediction) -> dict[str, Any]:
    """A prediction as JSON."""
    return {
        "label": prediction.label,
        "rank": prediction.rank,
        "confidence": _rounded(prediction.confidence),
        "sure": prediction.sure,
        "floor": prediction.floor,
        "calibrated": prediction.calibrated,
        "unknown": prediction.unknown,
        "unknown_score": _rounded(prediction.unknown_score),
        "ranks": [_rank_document(rank) for rank in prediction.ranks],
        "help": None if prediction.help is None else asdict(prediction.help),
    }


def _rank_document(vote: RankVote) -> dict[str, Any]:
    return {
        "rank": vote.rank,
        "calibrated": vote.calibrated,
        "labels": [
            {"label": one.label, "confidence": _rounded(one.confidence)}
            | ({} if one.within is None else {"within": one.within})
            for one in vote.labels
        ],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
