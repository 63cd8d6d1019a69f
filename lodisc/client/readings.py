"""Values from the JSON of answers; `KeyError`, `TypeError` and `ValueError` say that it is not what was expected."""

# P patches, D embedding dim.

import base64
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

import httpx
import numpy as np

from lodisc.client.answers import (
    Attention,
    Embedded,
    Help,
    LabelVote,
    Match,
    Model,
    PictureEmbedding,
    Prediction,
    QueryWeight,
    RankVote,
    SearchAnswer,
)
from lodisc.client.errors import PictureProblem

T = TypeVar("T")


def read_embedded(response: httpx.Response) -> Embedded:
    """The answer to /embed, of which embeddings are base64 of little-endian float32."""
    document = response.json()
    model = made(Model, document["model"])
    results = tuple(_embedding(position, one, model) for position, one in enumerate(document["results"]))
    return Embedded(model, results)


def _embedding(position: int, result: Mapping[str, Any], model: Model) -> PictureEmbedding | PictureProblem:
    if "error" in result:
        return _problem(position, result["error"])
    vector_D = np.frombuffer(base64.b64decode(result["embedding"], validate=True), dtype="<f4").astype(np.float32)
    if vector_D.shape != (model.dim,):
        raise ValueError(f"embedding {position} has {len(vector_D)} values, the model {model.dim}")
    attention = result.get("attention")
    if attention is None:
        return PictureEmbedding(vector_D, None)
    (rows, columns), box = attention["grid"], attention["box"]
    scores_P = np.asarray(attention["scores"], np.float32).reshape(rows * columns)
    return PictureEmbedding(vector_D, Attention(scores_P, (rows, columns), tuple(box)))


def read_search(response: httpx.Response) -> SearchAnswer:
    """The answer to /search."""
    document = response.json()
    return SearchAnswer(
        model=made(Model, document["model"]),
        matches=tuple(made(Match, match) for match in document["matches"]),
        prediction=_prediction(document["prediction"]),
        query=tuple(made(QueryWeight, one) for one in document.get("query", ())),
        problems=tuple(_problem(one["position"], one["error"]) for one in document.get("errors", ())),
        note=document["note"],
        timing_ms=document["timing_ms"],
        document=document,
    )


def _prediction(document: Mapping[str, Any]) -> Prediction:
    """A prediction; a server that is older knows no calibration."""
    ranks = tuple(
        RankVote(
            one["rank"],
            tuple(LabelVote(vote["label"], vote["confidence"], vote.get("within")) for vote in one["labels"]),
            one.get("calibrated", False),
        )
        for one in document.get("ranks", ())
    )
    needed = document.get("help")
    return Prediction(
        label=document["label"], rank=document["rank"], confidence=document["confidence"],
        sure=document.get("sure", False), floor=document.get("floor"), calibrated=document.get("calibrated", False),
        unknown=document["unknown"], unknown_score=document["unknown_score"], ranks=ranks,
        help=None if needed is None else made(Help, {**needed, "labels": tuple(needed["labels"])}),
    )  # fmt: skip


def _problem(position: int, error: Mapping[str, Any]) -> PictureProblem:
    return PictureProblem(position, error["code"], error["message"])


def made(kind: type[T], document: Mapping[str, Any]) -> T:
    """A value of a dataclass from the keys of the same names; what has a default may be missing."""
    names = [one.name for one in fields(kind) if one.default is MISSING or one.name in document]  # type: ignore[arg-type]
    return kind(**{name: document[name] for name in names})
